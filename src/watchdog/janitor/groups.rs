//! The newest finished runs of each template and outcome, for `keepAtLeast`.

use std::collections::{BTreeSet, HashMap};

use super::rules::outcome;
use super::run::Finished;
use crate::api::workflow::Secs;
use crate::watchdog::index::Slot;

/// Finished runs by policy, group and outcome, oldest first.
#[derive(Debug, Default)]
pub struct Groups {
    all: HashMap<(u16, String, usize), BTreeSet<(Secs, Slot)>>,
    of_policy: HashMap<u16, usize>,
}

impl Groups {
    pub fn insert(&mut self, policy: u16, run: &Finished, slot: Slot) {
        let Some(outcome) = outcome(run.phase) else { return };
        self.all.entry((policy, run.group.clone(), outcome)).or_default().insert((run.finished, slot));
        *self.of_policy.entry(policy).or_default() += 1;
    }

    pub fn remove(&mut self, policy: u16, run: &Finished, slot: Slot) {
        let Some(outcome) = outcome(run.phase) else { return };
        let key = (policy, run.group.clone(), outcome);
        let Some(group) = self.all.get_mut(&key) else { return };
        if group.remove(&(run.finished, slot))
            && let Some(n) = self.of_policy.get_mut(&policy)
        {
            *n -= 1;
        }
        if group.is_empty() {
            self.all.remove(&key);
        }
    }

    /// Whether a run is among the `least` newest of its group and outcome.
    pub fn is_among_newest(&self, policy: u16, run: &Finished, slot: Slot, least: usize) -> bool {
        let Some(outcome) = outcome(run.phase) else { return true };
        self.all
            .get(&(policy, run.group.clone(), outcome))
            .is_some_and(|group| group.iter().rev().take(least).any(|(_, s)| *s == slot))
    }

    /// The run that is no longer among the `least` newest of its group now that `run` is there.
    pub fn displaced(&self, policy: u16, run: &Finished, least: usize) -> Option<Slot> {
        let key = (policy, run.group.clone(), outcome(run.phase)?);
        self.all.get(&key)?.iter().rev().nth(least).map(|(_, slot)| *slot)
    }

    /// Finished runs a policy governs.
    pub fn count(&self, policy: u16) -> usize {
        self.of_policy.get(&policy).copied().unwrap_or(0)
    }
}
