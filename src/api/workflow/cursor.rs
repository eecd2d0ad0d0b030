//! A cursor over JSON text: tokens, and values skipped whole.
//!
//! The grammar is RFC 8259 to the letter, but for what is leapt over; there is no limit on depth and no recursion. Not
//! `serde_json`, because what it charges for each key and value (a visitor, a result, a number turned into a float that
//! may not fit) doubled the cost of a watch line; it remains the judge of this one in the tests.

use wide::u8x16;

use super::leap::container_end;

/// The text is no JSON from here on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Broken;

/// A string as it is in the text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quoted<'de> {
    /// Between the quotes.
    pub(crate) inner: &'de str,
    pub(crate) escaped: bool,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor<'de> {
    text: &'de str,
    at: usize,
}

impl<'de> Cursor<'de> {
    pub(crate) const fn new(text: &'de str) -> Self {
        Self { text, at: 0 }
    }

    /// The next byte that is no white space, left where it is; 0 at the end.
    #[inline]
    pub(crate) fn peek(&mut self) -> u8 {
        let (byte, at) = next(self.text.as_bytes(), self.at);
        self.at = at;
        byte
    }

    /// Steps over `byte` if it is next.
    #[inline]
    pub(crate) fn take(&mut self, byte: u8) -> bool {
        let there = self.peek() == byte;
        self.at += usize::from(there);
        there
    }

    pub(crate) fn expect(&mut self, byte: u8) -> Result<(), Broken> {
        if self.take(byte) { Ok(()) } else { Err(Broken) }
    }

    /// Nothing but white space is left.
    pub(crate) fn end(&mut self) -> Result<(), Broken> {
        self.peek();
        if self.at == self.text.len() { Ok(()) } else { Err(Broken) }
    }

    /// Reads a string.
    #[inline]
    pub(crate) fn string(&mut self) -> Result<Quoted<'de>, Broken> {
        self.expect(b'"')?;
        let start = self.at;
        let (end, escaped) = string_end(self.text.as_bytes(), start)?;
        self.at = end + 1;
        Ok(Quoted { inner: self.text.get(start..end).ok_or(Broken)?, escaped })
    }

    /// Reads a key with its colon.
    #[inline]
    pub(crate) fn key(&mut self) -> Result<Quoted<'de>, Broken> {
        let key = self.string()?;
        self.expect(b':')?;
        Ok(key)
    }

    /// Steps over a value and returns its text.
    pub(crate) fn value(&mut self) -> Result<&'de str, Broken> {
        self.peek();
        let start = self.at;
        self.skip()?;
        self.text.get(start..self.at).ok_or(Broken)
    }

    /// Steps over a value that nobody reads; of an object or a list only strings and brackets are looked at.
    #[inline]
    pub(crate) fn leap(&mut self) -> Result<(), Broken> {
        if !matches!(self.peek(), b'{' | b'[') {
            return self.skip();
        }
        self.at = container_end(self.text.as_bytes(), self.at).ok_or(Broken)?;
        Ok(())
    }

    /// The same, and returns its text.
    pub(crate) fn piece(&mut self) -> Result<&'de str, Broken> {
        self.peek();
        let start = self.at;
        self.leap()?;
        self.text.get(start..self.at).ok_or(Broken)
    }

    /// Steps over a value of any depth.
    pub(crate) fn skip(&mut self) -> Result<(), Broken> {
        let bytes = self.text.as_bytes();
        let mut at = self.at;
        let mut open = Nesting::default();
        loop {
            let first;
            (first, at) = next(bytes, at);
            at = match first {
                b'"' => string_end(bytes, at + 1)?.0 + 1,
                b'{' => match next(bytes, at + 1) {
                    (b'}', end) => end + 1,
                    (_, key) => {
                        open.enter(true);
                        at = key_end(bytes, key)?;
                        continue;
                    }
                },
                b'[' => match next(bytes, at + 1) {
                    (b']', end) => end + 1,
                    (_, element) => {
                        open.enter(false);
                        at = element;
                        continue;
                    }
                },
                b't' => word_end(bytes, at, b"true")?,
                b'f' => word_end(bytes, at, b"false")?,
                b'n' => word_end(bytes, at, b"null")?,
                _ => number_end(bytes, at)?,
            };
            loop {
                let Some(object) = open.innermost() else {
                    self.at = at;
                    return Ok(());
                };
                let (mark, here) = next(bytes, at);
                at = here + 1;
                match (mark, object) {
                    (b',', true) => {
                        at = key_end(bytes, at)?;
                        break;
                    }
                    (b',', false) => break,
                    (b'}', true) | (b']', false) => open.leave(),
                    _ => return Err(Broken),
                }
            }
        }
    }
}

/// The next byte from `at` on that is no white space, and where it is; 0 at the end.
#[inline]
fn next(bytes: &[u8], mut at: usize) -> (u8, usize) {
    loop {
        match bytes.get(at) {
            Some(b' ' | b'\n' | b'\t' | b'\r') => at += 1,
            Some(&byte) => return (byte, at),
            None => return (0, at),
        }
    }
}

/// Where the string that has begun before `at` has its closing quote, and whether it has escapes.
#[inline]
fn string_end(bytes: &[u8], mut at: usize) -> Result<(usize, bool), Broken> {
    let mut escaped = false;
    loop {
        at = plain(bytes, at);
        match bytes.get(at) {
            Some(b'"') => return Ok((at, escaped)),
            Some(b'\\') => {
                escaped = true;
                at += escape_length(bytes.get(at + 1..).unwrap_or_default()).ok_or(Broken)?;
            }
            _ => return Err(Broken),
        }
    }
}

/// Length of an escape with its backslash, which `rest` follows.
#[inline]
fn escape_length(rest: &[u8]) -> Option<usize> {
    match rest {
        [b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', ..] => Some(2),
        [b'u', a, b, c, d, ..] if [a, b, c, d].iter().all(|x| x.is_ascii_hexdigit()) => Some(6),
        _ => None,
    }
}

/// Steps over a key and its colon.
#[inline]
fn key_end(bytes: &[u8], at: usize) -> Result<usize, Broken> {
    let (b'"', at) = next(bytes, at) else { return Err(Broken) };
    let (end, _) = string_end(bytes, at + 1)?;
    // Servers write no white space.
    if bytes.get(end + 1) == Some(&b':') {
        return Ok(end + 2);
    }
    let (b':', at) = next(bytes, end + 1) else { return Err(Broken) };
    Ok(at + 1)
}

fn word_end(bytes: &[u8], at: usize, word: &[u8]) -> Result<usize, Broken> {
    let end = at + word.len();
    if bytes.get(at..end) == Some(word) { Ok(end) } else { Err(Broken) }
}

fn number_end(bytes: &[u8], mut at: usize) -> Result<usize, Broken> {
    let byte = |at: usize| bytes.get(at).copied().unwrap_or(0);
    // At least one digit.
    let digits = |mut at: usize| {
        let start = at;
        while byte(at).is_ascii_digit() {
            at += 1;
        }
        if at > start { Ok(at) } else { Err(Broken) }
    };
    at += usize::from(byte(at) == b'-');
    at = if byte(at) == b'0' { at + 1 } else { digits(at)? };
    if byte(at) == b'.' {
        at = digits(at + 1)?;
    }
    if matches!(byte(at), b'e' | b'E') {
        at += 1;
        at = digits(at + usize::from(matches!(byte(at), b'+' | b'-')))?;
    }
    Ok(at)
}

/// Where the first byte from `at` on is that is quote, backslash or control character. Sixteen at a time.
#[inline]
fn plain(bytes: &[u8], mut at: usize) -> usize {
    while let Some(part) = bytes.get(at..).and_then(<[u8]>::first_chunk) {
        let part = u8x16::new(*part);
        let is = |byte| part.simd_eq(u8x16::splat(byte));
        // No larger than the largest control character: the smaller of both is itself.
        let control = part.min(u8x16::splat(0x1f)).simd_eq(part);
        let marks = (is(b'"') | is(b'\\') | control).to_bitmask();
        if marks != 0 {
            return at + marks.trailing_zeros() as usize;
        }
        at += 16;
    }
    let stop = |b: u8| b == b'"' || b == b'\\' || b < 0x20;
    while bytes.get(at).is_some_and(|b| !stop(*b)) {
        at += 1;
    }
    at
}

/// Which containers are open: a bit each, 1 for an object. The first 64 need no memory.
#[derive(Default)]
struct Nesting {
    bits: u64,
    depth: usize,
    outer: Vec<u64>,
}

impl Nesting {
    fn enter(&mut self, object: bool) {
        if self.depth > 0 && self.depth.is_multiple_of(64) {
            self.outer.push(self.bits);
        }
        self.bits = self.bits << 1 | u64::from(object);
        self.depth += 1;
    }

    fn leave(&mut self) {
        self.depth = self.depth.saturating_sub(1);
        self.bits >>= 1;
        if self.depth > 0 && self.depth.is_multiple_of(64) {
            self.bits = self.outer.pop().unwrap_or_default();
        }
    }

    /// Whether the innermost one is an object; `None` when none is open.
    const fn innermost(&self) -> Option<bool> {
        if self.depth == 0 { None } else { Some(self.bits & 1 == 1) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepts(text: &str) -> bool {
        let mut cursor = Cursor::new(text);
        cursor.skip().and_then(|()| cursor.end()).is_ok()
    }

    #[test]
    fn accepts_what_serde_json_accepts_and_nothing_else() {
        let good = [
            "0",
            "-0",
            "1.5e+3",
            "-10E-2",
            "1e999",
            "\"\"",
            " [ ] ",
            "{ }",
            "[[],{},[{}]]",
            "{\"a\":[1,{\"b\":null}],\"c\":\"d\"}",
            "\"\\u00e9\\ud800 \\\\ \\\" \\/\"",
            "\"unicode \u{e9}\u{1f600} and more than eight bytes\"",
            "true",
            "\t\r\nfalse",
            "\"\u{7f}\"",
        ];
        let bad = [
            "",
            " ",
            "01",
            "1.",
            ".5",
            "-",
            "+1",
            "1e",
            "1e+",
            "tru",
            "nul",
            "nulll",
            "[1,]",
            "[,1]",
            "[1 2]",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{,}",
            "{1:2}",
            "{a:1}",
            "[1}",
            "{\"a\":1]",
            "]",
            "}",
            "[",
            "{",
            "{\"a\":[}",
            "\"",
            "\"\\",
            "\"\\x\"",
            "\"\\u12\"",
            "\"\\u12G4\"",
            "\"a\nb\"",
            "\"long enough for a word \u{1}\"",
            "\"\u{0}\"",
            "1 1",
            "[]]",
            "'a'",
            "\u{feff}1",
            "NaN",
            "[1]x",
        ];
        for text in good {
            assert!(accepts(text), "{text}");
        }
        for text in bad {
            assert!(!accepts(text), "{text}");
        }
        for text in good.iter().chain(&bad) {
            let theirs = serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
            assert_eq!(accepts(text), theirs, "{text}");
        }
    }

    #[test]
    fn strings_end_where_they_end_at_every_alignment() {
        for before in 0..40 {
            for stop in ["\"", "\\", "\u{0}", "\u{1f}"] {
                for after in ["", "x", "a long tail of ordinary text \u{e9}\u{1f600}"] {
                    let text = format!("{}{stop}{after}", "\u{7f}".repeat(before));
                    assert_eq!(plain(text.as_bytes(), 0), before, "{text:?}");
                }
            }
            assert_eq!(plain("\u{e9}".repeat(before).as_bytes(), 0), before * 2, "no byte of a longer character stops");
        }
    }

    #[test]
    fn depth_is_no_limit_and_mixed_nesting_is_told_apart() {
        for depth in [1, 63, 64, 65, 127, 128, 129, 200, 100_000] {
            let open: String = (0..depth).map(|n| if n % 3 == 0 { "{\"k\":" } else { "[" }).collect();
            let close: String = (0..depth).rev().map(|n| if n % 3 == 0 { '}' } else { ']' }).collect();
            assert!(accepts(&format!("{open}1{close}")), "{depth}");
            assert!(!accepts(&format!("{open}1{}", &close[1..])), "{depth}");
            assert!(!accepts(&format!("{open}1{}", close.replace('}', "]"))), "{depth}");
        }
    }
}
