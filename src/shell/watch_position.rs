//! How far a watch has come: the resource version to resume from.

use crate::api::workflow::{Identity, WatchLine, identify};

/// The version of the last bookmark, or the last event after it, which is read only when somebody asks.
#[derive(Debug, Default)]
pub(super) struct Position {
    version: String,
    /// The last line passed on; empty once read.
    last: Vec<u8>,
    /// Nothing new since the version was last asked for.
    stale: bool,
}

impl Position {
    pub(super) fn at(&mut self, version: &str) {
        if !version.is_empty() {
            version.clone_into(&mut self.version);
            self.last.clear();
            self.stale = false;
        }
    }

    pub(super) fn skipped(&mut self, identity: Option<&Identity>) {
        match identity {
            Some(identity) if !identity.resource_version.is_empty() => self.at(&identity.resource_version),
            _ => self.stale = false,
        }
    }

    /// Remembers the last line of a block.
    pub(super) fn after(&mut self, lines: &[u8]) {
        let lines = lines.trim_ascii_end();
        let start = memchr::memrchr(b'\n', lines).map_or(0, |at| at + 1);
        self.last.clear();
        self.last.extend_from_slice(lines.get(start..).unwrap_or_default());
        self.stale = false;
    }

    /// Where to resume; empty before the first list.
    pub(super) fn version(&mut self) -> &str {
        self.stale = true;
        let last = std::mem::take(&mut self.last);
        if !last.is_empty() {
            let text = String::from_utf8_lossy(&last);
            let version = match WatchLine::from_json(&text) {
                Ok(WatchLine::Object(_, workflow)) => workflow.meta.resource_version.into_owned(),
                _ => identify(&text).unwrap_or_default().resource_version,
            };
            if !version.is_empty() {
                self.version = version;
            }
        }
        &self.version
    }

    /// Whether nothing came since the version was last asked for.
    pub(super) const fn is_stale(&self) -> bool {
        self.stale
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resumes_after_the_last_event_or_bookmark_even_a_poisoned_one() {
        let line = |v: &str, rest: &str| {
            format!("{{\"type\":\"ADDED\",\"object\":{{\"metadata\":{{\"resourceVersion\":\"{v}\"}}{rest}}}}}\n")
        };
        let mut position = Position::default();
        assert_eq!(position.version(), "");
        position.at("5");
        assert!(!position.is_stale());
        assert_eq!(position.version(), "5");
        assert!(position.is_stale());
        position.after((line("6", "") + &line("7", "")).as_bytes());
        assert_eq!(position.version(), "7");
        position.after(line("8", ",oops").as_bytes());
        assert_eq!(position.version(), "8");
        position.after(b"{\"type\":\"ADDED\",\"object\":{}}\n");
        assert_eq!(position.version(), "8", "an event without a version moves nothing");
        position.after(line("9", "").as_bytes());
        position.at("12");
        assert_eq!(position.version(), "12");
    }
}
