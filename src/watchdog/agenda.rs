//! When to look at which workflow again: one deadline a slot, ordered.

use std::collections::BTreeSet;

use super::index::Slot;
use crate::api::workflow::Secs;

/// Deadlines in whole seconds, the resolution of Kubernetes times.
#[derive(Debug, Default)]
pub struct Agenda {
    due: BTreeSet<(Secs, Slot)>,
}

impl Agenda {
    /// Moves the deadline of `slot` from `old` to `new`; 0 = none.
    pub fn set(&mut self, slot: Slot, old: Secs, new: Secs) {
        if old == new {
            return;
        }
        if old != 0 {
            self.due.remove(&(old, slot));
        }
        if new != 0 {
            self.due.insert((new, slot));
        }
    }

    pub fn first(&self) -> Option<Secs> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Takes the earliest entry that is due at `now`.
    pub fn pop_due(&mut self, now: Secs) -> Option<(Secs, Slot)> {
        if self.first()? > now {
            return None;
        }
        self.due.pop_first()
    }

    pub fn len(&self) -> usize {
        self.due.len()
    }

    pub fn is_empty(&self) -> bool {
        self.due.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pops_in_order_and_not_before() {
        let mut agenda = Agenda::default();
        agenda.set(Slot(1), 0, 20);
        agenda.set(Slot(2), 0, 10);
        agenda.set(Slot(1), 20, 5);
        assert_eq!(agenda.pop_due(4), None);
        assert_eq!(agenda.pop_due(10), Some((5, Slot(1))));
        assert_eq!(agenda.pop_due(10), Some((10, Slot(2))));
        assert!(agenda.is_empty());
    }
}
