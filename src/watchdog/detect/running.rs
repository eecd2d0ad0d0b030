//! Runs that go on: one node too long, nothing changing, the whole run too long.

use super::nodes;
use crate::api::reasons::Reason;
use crate::api::workflow::NodePhase;
use crate::watchdog::diagnosis::Found;
use crate::watchdog::facts::{Facts, Phase};

/// The oldest running node that the detection picks. Suspend nodes are never picked; daemons are meant to stay.
pub fn node_running(facts: &Facts, index: u16) -> Found {
    nodes(facts)
        .filter(|n| n.phase == NodePhase::Running && !n.daemoned && n.picked & (1 << index) != 0)
        .min_by_key(|n| n.started)
        .map(|n| (Reason::NodeOverAge, n.started, Some(n.id)))
}

/// No node has started or finished, though nothing that is known to last is at work.
pub fn no_progress(facts: &Facts) -> Found {
    if facts.phase != Phase::Running || facts.suspended_since != 0 {
        return None;
    }
    let lasting = facts
        .nodes
        .iter()
        .any(|n| n.is_suspension() || (n.kind.is_leaf() && n.phase == NodePhase::Running && !n.daemoned));
    (!lasting).then_some((Reason::NoNodeChange, facts.last_change, None))
}

pub fn running(facts: &Facts) -> Found {
    Some((Reason::OverAge, facts.age_base(), None))
}
