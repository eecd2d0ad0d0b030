//! Locks whose holders are gone: the workflow waits for ever, Argo shows it as Pending.

use crate::api::reasons::Reason;
use crate::watchdog::diagnosis::Found;
use crate::watchdog::facts::{Facts, HeldLock};
use crate::watchdog::index::{Index, Slot};

/// Waits for a lock none of whose named holders is alive.
///
/// The time is that of our own first sight (`Rare::wedged_since`), set by the watchdog when [`dead`] turns true.
pub fn wedged(facts: &Facts, index: &Index) -> Found {
    let since = facts.rare.as_ref().map_or(0, |r| r.wedged_since);
    let (_, reason) = dead(facts, index)?;
    Some((reason, since, None))
}

/// The first lock the workflow waits for whose holders are all gone or finished.
pub fn dead<'f>(facts: &'f Facts, index: &Index) -> Option<(&'f HeldLock, Reason)> {
    facts.waiting().iter().find_map(|lock| {
        if lock.holders.is_empty() || lock.unnamed > 0 {
            // Argo names nobody, or somebody whom we don't know: nothing to prove the lock dead with (I12).
            return None;
        }
        let mut reason = Reason::HolderGone;
        for (namespace, name) in &lock.holders {
            match holder(index, namespace, name).and_then(|s| index.get(s)) {
                None if index.knows_absent(namespace, name) => {}
                Some(f) if f.is_finished() => reason = Reason::HolderFinished,
                // Alive, or perhaps alive where we don't look.
                None | Some(_) => return None,
            }
        }
        Some((lock, reason))
    })
}

/// The workflow that a holder's name means; old Argo versions write a node id, `<workflow>-<number>`.
pub fn holder(index: &Index, namespace: &str, name: &str) -> Option<Slot> {
    index.find_name(namespace, name).or_else(|| index.find_name(namespace, of_node_id(name)?))
}

/// The workflow of a node id.
pub fn of_node_id(name: &str) -> Option<&str> {
    let (workflow, number) = name.rsplit_once('-')?;
    (!number.is_empty() && number.bytes().all(|b| b.is_ascii_digit())).then_some(workflow)
}
