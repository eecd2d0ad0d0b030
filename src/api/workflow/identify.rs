//! Whose object a text is when it can't be read as a whole: too long, cut, or damaged. For the log, which never holds
//! the body itself.

use std::fmt;

/// Longest name, namespace, uid or version looked at, in bytes; Kubernetes allows 253.
const LONGEST: usize = 512;

/// The identity of an object, as far as it was found; parts not found are empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    pub namespace: String,
    pub name: String,
    pub uid: String,
    pub resource_version: String,
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let or = |text: &str| if text.is_empty() { "?".to_owned() } else { text.escape_debug().to_string() };
        write!(f, "{}/{} (uid {})", or(&self.namespace), or(&self.name), or(&self.uid))
    }
}

/// Looks for the identity of an object or of the object in a watch line; `None` when nothing of it is there.
pub fn identify(text: &str) -> Option<Identity> {
    let mut spotter = Spotter::default();
    spotter.feed(text.as_bytes());
    spotter.finish()
}

/// Where in the text the spotter is, as far as that matters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Outside,
    Root,
    /// `object` of a watch line.
    Object,
    Metadata,
}

/// Finds an identity in text that arrives in pieces, with constant memory.
#[derive(Debug, Default)]
pub struct Spotter {
    found: Identity,
    /// The places around the present one.
    outer: [Place; 4],
    depth: usize,
    at: Place,
    /// How deep in a part that doesn't matter.
    skipped: u32,
    in_string: bool,
    escaped: bool,
    /// A key is next, not a value.
    key_next: bool,
    key: Vec<u8>,
    text: Vec<u8>,
}

impl Spotter {
    /// Looks at the next piece.
    pub fn feed(&mut self, piece: &[u8]) {
        if self.complete() {
            return;
        }
        for &byte in piece {
            if self.in_string {
                self.string_byte(byte);
            } else {
                self.structure_byte(byte);
            }
        }
    }

    /// What was found; `None` when nothing was.
    pub fn finish(self) -> Option<Identity> {
        (self.found != Identity::default()).then_some(self.found)
    }

    fn complete(&self) -> bool {
        let f = &self.found;
        ![&f.namespace, &f.name, &f.uid, &f.resource_version].iter().any(|part| part.is_empty())
    }

    fn string_byte(&mut self, byte: u8) {
        if self.escaped {
            self.escaped = false;
        } else if byte == b'\\' {
            self.escaped = true;
        } else if byte == b'"' {
            self.in_string = false;
            self.string_end();
            return;
        }
        if self.skipped == 0 && self.text.len() < LONGEST {
            self.text.push(byte);
        }
    }

    fn structure_byte(&mut self, byte: u8) {
        match byte {
            b'"' => {
                self.in_string = true;
                self.text.clear();
            }
            b'{' if self.skipped == 0 => self.enter(),
            b'{' | b'[' => self.skipped = self.skipped.saturating_add(1),
            b'}' | b']' if self.skipped > 0 => self.skipped -= 1,
            b'}' => self.leave(),
            b',' if self.skipped == 0 => self.key_next = true,
            b':' if self.skipped == 0 => self.key_next = false,
            _ => {}
        }
    }

    fn enter(&mut self) {
        let inside = match (self.at, self.key.as_slice()) {
            (Place::Outside, _) => Place::Root,
            (Place::Root, b"object") => Place::Object,
            (Place::Root | Place::Object, b"metadata") => Place::Metadata,
            _ => {
                self.skipped = 1;
                return;
            }
        };
        if let Some(slot) = self.outer.get_mut(self.depth) {
            *slot = self.at;
            self.depth += 1;
            self.at = inside;
            self.key_next = true;
        }
    }

    fn leave(&mut self) {
        self.depth = self.depth.saturating_sub(1);
        self.at = self.outer.get(self.depth).copied().unwrap_or_default();
        self.key.clear();
    }

    fn string_end(&mut self) {
        if self.skipped > 0 || self.at == Place::Outside {
            return;
        }
        if self.key_next {
            std::mem::swap(&mut self.key, &mut self.text);
            return;
        }
        if self.at != Place::Metadata {
            return;
        }
        let part = match self.key.as_slice() {
            b"namespace" => &mut self.found.namespace,
            b"name" => &mut self.found.name,
            b"uid" => &mut self.found.uid,
            b"resourceVersion" => &mut self.found.resource_version,
            _ => return,
        };
        *part = String::from_utf8_lossy(&self.text).into_owned();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"type":"ADDED","object":{"metadata":{"annotations":{"name":"no","x":"\"uid\":\"no\""},
        "ownerReferences":[{"name":"no","uid":"no"}],"name":"load","namespace":"etl","resourceVersion":"17","uid":"u-1"},
        "spec":{"metadata":{"name":"no"}}}}"#;

    fn load() -> Identity {
        Identity { namespace: "etl".into(), name: "load".into(), uid: "u-1".into(), resource_version: "17".into() }
    }

    #[test]
    fn finds_the_object_of_a_line_in_pieces_of_any_size() {
        assert_eq!(identify(LINE), Some(load()));
        for size in 1..LINE.len() {
            let mut spotter = Spotter::default();
            LINE.as_bytes().chunks(size).for_each(|piece| spotter.feed(piece));
            assert_eq!(spotter.finish(), Some(load()), "pieces of {size}");
        }
    }

    #[test]
    fn takes_what_is_there_of_damaged_text_and_nothing_from_elsewhere() {
        let cut = LINE.find("resourceVersion").unwrap();
        let found = identify(&LINE[..cut]).unwrap();
        assert_eq!((found.name.as_str(), found.namespace.as_str(), found.uid.as_str()), ("load", "etl", ""));
        assert_eq!(found.to_string(), "etl/load (uid ?)");
        assert_eq!(identify(r#"{"metadata":{"name":7,"labels":{"name":"no"}},"spec":{"name":"no"}}"#), None);
        assert_eq!(identify("]]}}{{{{{{{{{[["), None);
        let long = format!(r#"{{"metadata":{{"name":"{}"}}}}"#, "n".repeat(9_000));
        assert_eq!(identify(&long).unwrap().name.len(), LONGEST);
    }
}
