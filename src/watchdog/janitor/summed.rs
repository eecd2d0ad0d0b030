//! Events on a policy, of which there is one and not thousands: what happens to its runs is said of it at once for the
//! first, and then once in [`EVERY`] with how many more there were and the last of them (I23).

use std::collections::BTreeMap;

use crate::api::reasons::{EventReason, KeepReason};
use crate::api::workflow::Secs;
use crate::watchdog::effect::{Note, Reference};
use crate::watchdog::policy::PolicyKey;
use crate::watchdog::{Watchdog, instant};

/// A policy has at most one event of a kind in this time.
pub(super) const EVERY: Secs = 600;

/// What is counted together: of a policy, why, and what keeps the runs.
type Kind = (PolicyKey, EventReason, Option<KeepReason>);

/// What has not been said yet of policies.
#[derive(Debug, Default)]
pub struct Summed {
    open: BTreeMap<Kind, Sum>,
}

#[derive(Debug)]
struct Sum {
    since: Secs,
    more: u32,
    /// The last of those that are not said.
    last: Option<Note>,
}

impl Summed {
    /// Counts one more; the note comes back where it is the first and is to be said now.
    fn add(&mut self, kind: Kind, note: Note, now: Secs) -> Option<Note> {
        let open = |s: &&mut Sum| s.more > 0 || s.since.saturating_add(EVERY) > now;
        if let Some(sum) = self.open.get_mut(&kind).filter(open) {
            sum.more = sum.more.saturating_add(1);
            sum.last = Some(note);
            return None;
        }
        self.open.insert(kind, Sum { since: now, more: 0, last: None });
        Some(note)
    }

    /// When a sum is to be said next. What has nothing to say is not waited for.
    pub fn next_due(&self) -> Option<Secs> {
        self.open.values().filter(|s| s.more > 0).map(|s| s.since.saturating_add(EVERY)).min()
    }

    /// What is to be said now.
    fn due(&mut self, now: Secs) -> Vec<Note> {
        let mut said = Vec::new();
        self.open.retain(|_, sum| {
            if sum.since.saturating_add(EVERY) > now {
                return true;
            }
            let since = std::mem::replace(&mut sum.since, now);
            let more = std::mem::take(&mut sum.more);
            let Some(mut note) = sum.last.take() else { return false };
            if more > 1 {
                note.text = format!("{more} more runs since {}, the last {}", instant(since), note.text);
            }
            said.push(note);
            true
        });
        said
    }
}

impl Watchdog {
    /// Says on a policy what has happened to a run of it: now, or with others later. `text` has no name in it.
    pub(super) fn say_on_policy(
        &mut self,
        key: PolicyKey,
        note: (EventReason, Option<KeepReason>, bool),
        (policy, workflow): (Reference, Reference),
        text: &str,
        now: Secs,
    ) {
        let (reason, keeps, warning) = note;
        // Events of what belongs to no namespace are written to this one.
        let namespace = if policy.namespace.is_empty() { "default" } else { &policy.namespace }.to_owned();
        let text = format!("{}/{}: {text}", workflow.namespace, workflow.name);
        let note = Note { namespace, reason, regarding: policy, related: workflow, text, warning };
        if let Some(note) = self.janitor.summed.add((key, reason, keeps), note, now) {
            self.note(note);
        }
    }

    /// Says what is due of policies.
    pub(in crate::watchdog) fn say_sums(&mut self, now: Secs) {
        for note in self.janitor.summed.due(now) {
            self.note(note);
        }
    }

    /// Of runs that are well there may be very many: they leave half of the places to what somebody has to look at.
    pub(super) fn note_of_run(&mut self, note: Note) {
        if !note.warning && self.events.len() >= self.config.max_events / 2 {
            self.tally.add("unstick_events_total", &[note.reason.as_str(), "Dropped"], 1);
            return;
        }
        self.note(note);
    }
}
