//! Says once what is wrong with a workflow: a broken one that changes each second must not fill the log.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use crate::api::workflow::{Identity, Meta};

/// So many are named; more are only counted, until the next hour.
const MOST: usize = 1_000;
const AGAIN: Duration = Duration::from_hours(1);
/// Kubernetes allows no longer names.
const LONGEST: usize = 253;

/// What can be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wrong {
    /// Too large or no JSON object: left out.
    Unread,
    /// Some fields are of a type that Argo never writes.
    Odd,
    /// Its compressed nodes can't be decoded.
    Undecodable,
}

/// Who has been named for what.
#[derive(Debug, Default)]
pub struct Named {
    said: HashSet<(String, Wrong)>,
    since: Option<Instant>,
}

impl Named {
    /// Whether it is to be said at `now`: not yet in this hour, and not after a thousand others.
    pub fn first(&mut self, whose: &str, wrong: Wrong, now: Instant) -> bool {
        if self.since.is_none_or(|since| now.saturating_duration_since(since) >= AGAIN) {
            self.said.clear();
            self.since = Some(now);
        }
        let key = (whose.to_owned(), wrong);
        if self.said.len() >= MOST || !self.said.insert(key) {
            return false;
        }
        if self.said.len() == MOST {
            tracing::warn!("{MOST} broken workflows were named within an hour; further ones are only counted");
        }
        true
    }
}

/// Whose object it is, for the log.
pub fn whose(meta: &Meta<'_>) -> String {
    let identity = Identity {
        namespace: cut(&meta.namespace),
        name: cut(&meta.name),
        uid: cut(&meta.uid),
        resource_version: String::new(),
    };
    identity.to_string()
}

fn cut(text: &str) -> String {
    text.chars().take(LONGEST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_named_once_an_hour_for_each_thing_and_a_thousand_at_most() {
        let (mut named, now) = (Named::default(), Instant::now());
        assert!(named.first("a", Wrong::Odd, now) && named.first("a", Wrong::Undecodable, now));
        assert!(!named.first("a", Wrong::Odd, now + AGAIN / 2));
        let more = (0..2_000).filter(|n| named.first(&n.to_string(), Wrong::Odd, now)).count();
        assert_eq!(more, MOST - 2);
        assert!(named.first("a", Wrong::Odd, now + AGAIN));
    }

    #[test]
    fn a_name_without_end_is_cut() {
        let meta = Meta { name: "ä".repeat(100_000).into(), ..Meta::default() };
        assert_eq!(whose(&meta), format!("?/{} (uid ?)", "ä".repeat(LONGEST)));
    }
}
