//! Blocks of objects on their way from the watch to whoever reads them, and the reading.

use std::ops::Range;

use tokio::sync::OwnedSemaphorePermit;

use crate::api::workflow::{EventKind, Identity, WatchLine, Workflow, identify};

/// Some events of a watch or items of a list, still text. Give it back (drop it) soon: the bytes in flight are limited.
pub struct Block {
    bytes: Vec<u8>,
    /// Where the items of a page are; `None` for the lines of a watch.
    items: Option<Vec<Range<usize>>>,
    /// Returned with the block.
    room: Option<OwnedSemaphorePermit>,
}

/// What happened to one workflow.
#[derive(Debug)]
pub struct Event<'a> {
    /// Items of a list are `Added`.
    pub kind: EventKind,
    pub workflow: Workflow<'a>,
}

/// An object that can't be read; the others go on. `Display` is fit for the log: it never shows the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Poison {
    /// Whose it is, as far as that could be found.
    pub identity: Option<Box<Identity>>,
    pub bytes: usize,
    pub error: String,
}

impl std::fmt::Display for Poison {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.identity {
            Some(identity) => write!(f, "workflow {identity}, {} bytes: {}", self.bytes, self.error),
            None => write!(f, "unnamed object, {} bytes: {}", self.bytes, self.error),
        }
    }
}

impl std::fmt::Debug for Block {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Block")
            .field("bytes", &self.bytes.len())
            .field("room", &self.room.is_some())
            .finish_non_exhaustive()
    }
}

impl Block {
    /// Lines of a watch, each ending with a line end.
    pub const fn of_lines(bytes: Vec<u8>) -> Self {
        Self { bytes, items: None, room: None }
    }

    /// Objects at the given places of a text.
    pub const fn of_items(bytes: Vec<u8>, items: Vec<Range<usize>>) -> Self {
        Self { bytes, items: Some(items), room: None }
    }

    pub(super) fn holding(mut self, room: OwnedSemaphorePermit) -> Self {
        self.room = Some(room);
        self
    }

    /// Size of the text, in bytes.
    pub const fn size(&self) -> usize {
        self.bytes.len()
    }

    /// Reads the events one after the other.
    pub fn events(&self) -> Events<'_> {
        Events { block: self, at: 0 }
    }
}

/// See [`Block::events`].
#[derive(Debug)]
pub struct Events<'b> {
    block: &'b Block,
    /// The next byte of lines, the next of the items.
    at: usize,
}

impl<'b> Events<'b> {
    fn next_text(&mut self) -> Option<&'b [u8]> {
        if let Some(items) = &self.block.items {
            let range = items.get(self.at)?.clone();
            self.at += 1;
            return self.block.bytes.get(range);
        }
        let rest = self.block.bytes.get(self.at..)?;
        if rest.is_empty() {
            return None;
        }
        let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        self.at += end + 1;
        rest.get(..end)
    }
}

impl<'b> Iterator for Events<'b> {
    type Item = Result<Event<'b>, Poison>;

    fn next(&mut self) -> Option<Self::Item> {
        let bytes = self.next_text()?;
        Some(read(bytes, self.block.items.is_some()).map_err(|error| Poison {
            identity: identify(&String::from_utf8_lossy(bytes)).map(Box::new),
            bytes: bytes.len(),
            error,
        }))
    }
}

fn read(bytes: &[u8], item: bool) -> Result<Event<'_>, String> {
    let text = std::str::from_utf8(bytes).map_err(|e| e.to_string())?;
    let event = if item {
        Event { kind: EventKind::Added, workflow: Workflow::from_json(text).map_err(|e| place(&e))? }
    } else {
        match WatchLine::from_json(text).map_err(|e| place(&e))? {
            WatchLine::Object(kind, workflow) => Event { kind, workflow },
            WatchLine::Bookmark { .. } | WatchLine::Error(_) | WatchLine::Unknown(_) => {
                return Err("no event of an object".into());
            }
        }
    };
    let meta = &event.workflow.meta;
    if meta.uid.is_empty() || meta.name.is_empty() || meta.namespace.is_empty() {
        return Err("no uid, name or namespace".into());
    }
    Ok(event)
}

/// What `serde_json` says is about the grammar, never about values; only where it is belongs to the log.
fn place(error: &serde_json::Error) -> String {
    format!("not one JSON object (column {}, {:?})", error.column(), error.classify())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_poison_line_stands_alone_and_is_named_without_its_body() {
        let good = r#"{"type":"MODIFIED","object":{"metadata":{"name":"a","namespace":"n","uid":"u"}}}"#;
        let bad = r#"{"type":"ADDED","object":{"metadata":{"name":"b","namespace":"n","uid":"v"},"spec":{"secret":}}}"#;
        let nobody = r#"{"type":"ADDED","object":{}}"#;
        let block = Block::of_lines([good, bad, nobody, good, ""].join("\n").into_bytes());
        let read: Vec<_> = block.events().map(|e| e.map(|e| e.workflow.meta.name.to_string())).collect();
        assert_eq!(read.len(), 4);
        assert_eq!((read[0].as_deref(), read[3].as_deref()), (Ok("a"), Ok("a")));
        let poison = read[1].as_ref().unwrap_err();
        assert_eq!(poison.identity.as_ref().unwrap().to_string(), "n/b (uid v)");
        assert!(!poison.to_string().contains("secret"), "{poison}");
        assert_eq!(read[2].as_ref().unwrap_err().identity, None);
    }

    #[test]
    fn items_are_read_where_they_are() {
        let text = r#"[{"metadata":{"name":"a","namespace":"n","uid":"u"}}, 7]"#;
        let block = Block::of_items(text.into(), vec![1..52, 54..55]);
        let read: Vec<_> = block.events().map(|e| e.map(|e| (e.kind, e.workflow.meta.uid.to_string()))).collect();
        assert_eq!(read[0], Ok((EventKind::Added, "u".to_owned())));
        assert!(read[1].is_err() && read.len() == 2);
    }
}
