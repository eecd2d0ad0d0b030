//! A watch is lines of JSON that arrive in pieces: here they are put together again, in blocks of whole lines.
//!
//! Nothing is parsed: a line that begins as an object's event is passed on as it is, and only the rare others
//! (bookmarks, errors) come out one by one for the watch to read. Lines over a limit are skipped, not kept.

use memchr::{memchr, memrchr};

use crate::api::workflow::{Identity, Spotter};

/// Blocks are cut at the last line end before this many bytes.
pub const BLOCK: usize = 64 << 10;
/// With so many bytes it is time to take blocks out: one more event mostly still fits into the room of a block, which need
/// not be copied to a larger one.
pub const FULL: usize = BLOCK / 4 * 3;

/// How lines begin that are events of objects; API servers write `type` first, without spaces.
const EVENTS: [&[u8]; 3] = [br#"{"type":"ADDED","#, br#"{"type":"MODIFIED","#, br#"{"type":"DELETED","#];

/// What comes out of a [`Splitter`].
#[derive(Debug, PartialEq, Eq)]
pub enum Piece {
    /// Whole lines, each an event of an object: at most [`BLOCK`] bytes, or one line.
    Events(Vec<u8>),
    /// One line of another sort.
    Other(Vec<u8>),
    /// A line over the limit was dropped.
    Skipped { identity: Option<Identity>, bytes: u64 },
}

/// Turns pieces of any size into [`Piece`]s, with memory for one line of the longest length allowed.
#[derive(Debug)]
pub struct Splitter {
    longest: usize,
    buffer: Vec<u8>,
    /// Taken out already.
    start: usize,
    /// Searched for a line end already.
    searched: usize,
    skipping: Option<(Spotter, u64)>,
}

impl Splitter {
    /// `longest`: longer lines are skipped, in bytes.
    pub const fn new(longest: usize) -> Self {
        Self { longest, buffer: Vec::new(), start: 0, searched: 0, skipping: None }
    }

    pub fn push(&mut self, bytes: &[u8]) {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.searched -= self.start;
            self.start = 0;
        }
        // A single huge line must not leave its room behind for ever.
        if self.buffer.is_empty() && self.buffer.capacity() > 8 * BLOCK {
            self.buffer = Vec::new();
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// How many bytes wait to be taken out or completed.
    pub fn waiting(&self) -> usize {
        self.buffer.len() - self.start
    }

    /// Whether a line has begun and not ended.
    pub fn inside_line(&self) -> bool {
        self.waiting() > 0 || self.skipping.is_some()
    }

    /// The next piece, `None` when more bytes are needed.
    pub fn next_piece(&mut self) -> Option<Piece> {
        loop {
            if self.skipping.is_some() {
                return self.skip();
            }
            let rest = self.buffer.get(self.start..)?;
            let Some(end) = self.first_end(rest) else {
                self.searched = self.buffer.len();
                if rest.len() > self.longest {
                    self.skipping = Some((Spotter::default(), 0));
                    continue;
                }
                return None;
            };
            if end > self.longest {
                self.skipping = Some((Spotter::default(), 0));
                continue;
            }
            let line = rest.get(..=end)?;
            if line.trim_ascii().is_empty() {
                self.advance(end + 1);
                continue;
            }
            if !is_event(line) {
                let other = line.to_vec();
                self.advance(end + 1);
                return Some(Piece::Other(other));
            }
            let length = events_length(rest, end + 1);
            return self.take(length).map(Piece::Events);
        }
    }

    fn first_end(&self, rest: &[u8]) -> Option<usize> {
        let known = self.searched.saturating_sub(self.start);
        memchr(b'\n', rest.get(known..)?).map(|at| at + known)
    }

    fn advance(&mut self, by: usize) {
        self.start += by;
        self.searched = self.searched.max(self.start);
    }

    /// Takes out the next `length` bytes. Mostly they are nearly all there are: then what is left is copied, not they.
    fn take(&mut self, length: usize) -> Option<Vec<u8>> {
        let left = self.waiting().checked_sub(length)?;
        if self.start > 0 || left > length {
            let taken = self.buffer.get(self.start..self.start + length)?.to_vec();
            self.advance(length);
            return Some(taken);
        }
        // As much will come again, or somewhat more.
        let mut rest = Vec::with_capacity((2 * length).min(BLOCK));
        rest.extend_from_slice(self.buffer.get(length..)?);
        self.searched = self.searched.saturating_sub(length);
        let mut taken = std::mem::replace(&mut self.buffer, rest);
        taken.truncate(length);
        Some(taken)
    }

    /// Goes over the bytes of a line that is too long; `None` when it goes on.
    fn skip(&mut self) -> Option<Piece> {
        let (spotter, bytes) = self.skipping.as_mut()?;
        let rest = self.buffer.get(self.start..)?;
        let end = memchr(b'\n', rest);
        let part = rest.get(..end.unwrap_or(rest.len()))?;
        spotter.feed(part);
        *bytes += part.len() as u64;
        let Some(end) = end else {
            self.buffer = Vec::new();
            (self.start, self.searched) = (0, 0);
            return None;
        };
        self.advance(end + 1);
        let (spotter, bytes) = self.skipping.take()?;
        Some(Piece::Skipped { identity: spotter.finish(), bytes })
    }
}

fn is_event(line: &[u8]) -> bool {
    EVENTS.iter().any(|start| line.starts_with(start))
}

/// How many bytes of whole event lines begin `rest`, whose first line (of `first` bytes) is one.
fn events_length(rest: &[u8], first: usize) -> usize {
    let window = rest.get(..BLOCK.min(rest.len())).unwrap_or(rest);
    let Some(last) = memrchr(b'\n', window) else { return first };
    let mut length = first;
    while length <= last {
        let line = window.get(length..).unwrap_or_default();
        let Some(end) = memchr(b'\n', line) else { break };
        if !is_event(line) {
            break;
        }
        length += end + 1;
    }
    length
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(n: usize, padding: usize) -> String {
        format!(
            "{{\"type\":\"ADDED\",\"object\":{{\"metadata\":{{\"name\":\"w{n}\",\"uid\":\"u{n}\"}},\"p\":\"{}\"}}}}\n",
            "x".repeat(padding)
        )
    }

    fn all(text: &str, chunk: usize, longest: usize) -> Vec<Piece> {
        let mut splitter = Splitter::new(longest);
        let mut pieces = Vec::new();
        for part in text.as_bytes().chunks(chunk) {
            splitter.push(part);
            pieces.extend(std::iter::from_fn(|| splitter.next_piece()));
        }
        assert!(!splitter.inside_line());
        pieces
    }

    /// Pieces as one text again, what was skipped as its name.
    fn joined(pieces: &[Piece]) -> String {
        let text = |b: &Vec<u8>| String::from_utf8(b.clone()).unwrap();
        pieces
            .iter()
            .map(|piece| match piece {
                Piece::Events(b) | Piece::Other(b) => text(b),
                Piece::Skipped { identity, bytes } => {
                    format!("<{} {bytes}>\n", identity.as_ref().map_or("", |i| &i.name))
                }
            })
            .collect()
    }

    #[test]
    fn every_way_of_cutting_gives_the_same_lines_in_order() {
        let bookmark = "{\"type\":\"BOOKMARK\",\"object\":{}}\n";
        let long = event(3, 2_000);
        let text = [
            &event(1, 10),
            &event(2, 500),
            bookmark,
            "\n",
            &long,
            &event(4, 0),
            "{\"object\":{},\"type\":\"ADDED\"}\n",
        ]
        .concat();
        let expected = text.replace(&format!("\n\n{long}"), &format!("\n<w3 {}>\n", long.len() - 1));
        for chunk in (1..200).chain([1_000, 3_000, 10_000]) {
            let pieces = all(&text, chunk, 1_000);
            assert_eq!(joined(&pieces), expected, "cut every {chunk}");
            assert!(pieces.contains(&Piece::Other(bookmark.into())));
        }
        assert_eq!(all(&text, 10_000, 1_000).len(), 5, "events are put together");
    }

    #[test]
    fn blocks_are_bounded_unless_one_line_is_longer() {
        let text: String = (0..400).map(|n| event(n, 5_800)).chain([event(400, 200_000)]).collect();
        let pieces = all(&text, 300_000, 4 << 20);
        assert_eq!(joined(&pieces), text);
        let sizes: Vec<_> = pieces.iter().map(|p| if let Piece::Events(b) = p { b.len() } else { 0 }).collect();
        assert!(sizes.iter().all(|s| *s <= BLOCK || *s > 200_000), "{sizes:?}");
        assert!(sizes.len() < 60, "{}", sizes.len());
    }

    #[test]
    fn a_cut_line_is_noticed_and_a_long_one_takes_no_memory() {
        let mut splitter = Splitter::new(1 << 20);
        splitter.push(b"{\"type\":\"ADDED\",\"object\":{\"metadata\":{\"name\":\"big\",");
        assert!(splitter.next_piece().is_none() && splitter.inside_line());
        for _ in 0..64 {
            splitter.push(&vec![b' '; 1 << 20]);
            assert!(splitter.next_piece().is_none() && splitter.inside_line());
            assert!(splitter.buffer.capacity() <= 4 << 20);
        }
        splitter.push(b"\"uid\":\"u\"}}}\n");
        let Some(Piece::Skipped { identity, bytes }) = splitter.next_piece() else { panic!("skipped") };
        assert!(bytes > 64 << 20);
        assert_eq!(identity.unwrap().to_string(), "?/big (uid u)");
        assert!(!splitter.inside_line());
    }
}
