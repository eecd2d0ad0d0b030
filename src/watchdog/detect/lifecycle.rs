//! Taken up, told to stop, deleted: what should happen to a workflow and doesn't.

use crate::api::reasons::Reason;
use crate::watchdog::diagnosis::Found;
use crate::watchdog::facts::{ActiveNode, Facts, Phase, Shutdown};
use crate::watchdog::health::ArgoHealth;

/// Deleted, but a finalizer holds the object.
pub fn deletion_blocked(facts: &Facts) -> Found {
    let held = facts.rare.as_ref().is_some_and(|r| !r.finalizers.is_empty());
    (facts.deleted != 0 && held).then_some((Reason::Finalizer, facts.deleted, None))
}

/// No controller has put its phase on the workflow. Argo's own health check tests the same label.
pub fn not_picked_up(facts: &Facts, argo: &ArgoHealth) -> Found {
    if facts.phase != Phase::Unset || facts.picked_up || facts.deleted != 0 {
        return None;
    }
    let reason = if argo.lists(facts) { Reason::Unreconciled } else { Reason::NoController };
    // A retry clears phase and label and sets a new start.
    Some((reason, facts.created.max(facts.started), None))
}

/// Told to stop or terminate and still there. Argo stores no time of it: the clock is ours.
pub fn stopping(facts: &Facts) -> Found {
    if facts.shutdown == Shutdown::None {
        return None;
    }
    let since = facts.rare.as_ref().map_or(0, |r| r.shutdown_since);
    let reason = if facts.suspended_since != 0 {
        // argo-workflows #17041: with spec.suspend a shutdown is a silent no-op.
        Reason::ShutdownIgnoredWhileSuspended
    } else if facts.nodes.iter().any(|n| n.hooked) {
        Reason::ExitHandlerRunning
    } else if pods_left(facts) > 0 {
        Reason::PodsRemain
    } else if !facts.waiting().is_empty() || facts.nodes.iter().any(ActiveNode::waits_for_lock) {
        Reason::LockWait
    } else {
        Reason::Unexplained
    };
    Some((reason, since, None))
}

/// Pods that a shutdown has not ended yet.
///
/// Argo fails the node of a pod at once when it tells the pod to stop. 3.7 then ends the workflow; by its code, 4.x holds it
/// open until the pod has reported. A node that waits for a lock has no pod yet.
pub fn pods_left(facts: &Facts) -> usize {
    let active = facts.nodes.iter().filter(|n| n.is_pod() && !n.waits_for_lock()).count();
    active + facts.rare.as_ref().map_or(0, |r| r.results_missing.len())
}
