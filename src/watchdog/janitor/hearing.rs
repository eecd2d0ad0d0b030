//! Whether what decides about deletes is still heard: policies, the Watchdog object, namespaces, locations.
//!
//! A watch that is dead brings no hold, no pause and no `require: Archive`. What was known by then may be wrong by now, so
//! nothing is deleted under it; archiving loses nothing and goes on.

use std::collections::BTreeMap;

use crate::api::workflow::Secs;
use crate::mutant;
use crate::watchdog::Watchdog;

/// What a watch that lives again has missed comes right after its first sign of life.
const SETTLED: Secs = 2;

/// By source.
#[derive(Debug, Default)]
pub(super) struct Hearing(BTreeMap<&'static str, Ear>);

#[derive(Debug, Default)]
struct Ear {
    /// The last sign of life.
    alive: Secs,
    failing: Option<String>,
    /// It was not heard, and is again; 0 = it always was.
    back: Secs,
}

impl Hearing {
    /// Why rules can't be relied on now.
    fn deaf(&self, bound: Secs, now: Secs) -> Option<String> {
        self.0.iter().find_map(|(source, ear)| match &ear.failing {
            Some(error) => Some(format!("{source} can't be watched: {error}")),
            None if now > ear.alive.saturating_add(bound) => {
                Some(format!("the watch of {source} has given no sign of life for {} s", now - ear.alive))
            }
            None if ear.back != 0 && now < ear.back.saturating_add(SETTLED) => {
                Some(format!("the watch of {source} has just come back"))
            }
            None => None,
        })
    }
}

impl Watchdog {
    /// A source of rules gave a sign of life, or can't be watched.
    pub(in crate::watchdog) fn rules_heard(&mut self, source: &'static str, failing: Option<String>, now: Secs) {
        let bound = self.config.deaf_after;
        let ear = self.janitor.hearing.0.entry(source).or_insert_with(|| Ear { alive: now, ..Ear::default() });
        let lost = ear.failing.is_some() || now > ear.alive.saturating_add(bound);
        if failing.is_none() {
            ear.alive = ear.alive.max(now);
        }
        ear.failing = failing;
        if lost && ear.failing.is_none() {
            ear.back = now;
            self.janitor_look_all(now.saturating_add(SETTLED));
        }
    }

    /// Why nothing may be deleted now for want of hearing the rules.
    pub fn deaf(&self, now: Secs) -> Option<String> {
        self.janitor.hearing.deaf(self.config.deaf_after, now).filter(|_| !mutant::on("deaf-ignored"))
    }
}
