//! Suspensions: a Suspend node nobody resumes, `spec.suspend` somebody forgot, a timer that did not fire.

use super::nodes;
use crate::api::policy::SuspendedScope;
use crate::api::reasons::Reason;
use crate::api::workflow::Secs;
use crate::watchdog::diagnosis::State;
use crate::watchdog::facts::{Facts, Shutdown};
use crate::watchdog::policy::Detection;

/// A Suspend node with a duration is healthy until its own end plus this (API.md section 2).
const RESUME_GRACE: Secs = 300;

/// The suspension whose threshold passes first.
pub fn suspended(facts: &Facts, detection: &Detection, index: u16) -> State {
    if facts.shutdown != Shutdown::None && facts.suspended_since == 0 {
        // It is being stopped: StoppingTooLong watches that.
        return State::Absent;
    }
    let mut first: Option<(Secs, Reason, Secs, Option<u32>)> = None;
    let mut consider = |due: Secs, reason, since, node| {
        if since != 0 && first.is_none_or(|(d, ..)| due < d) {
            first = Some((due, reason, since, node));
        }
    };
    if detection.scope != SuspendedScope::Node && detection.nodes.is_empty() && facts.suspended_since != 0 {
        let since = facts.suspended_since;
        consider(since.saturating_add(detection.after), Reason::SuspendedBySpec, since, None);
    }
    let looks_at_nodes = detection.scope != SuspendedScope::Workflow;
    if looks_at_nodes {
        for node in nodes(facts).filter(|n| n.is_suspension() && n.picked & (1 << index) != 0) {
            let due = node.started.saturating_add(detection.after);
            if node.resumes == 0 {
                consider(due, Reason::AwaitingResume, node.started, Some(node.id));
            } else {
                let overdue = node.resumes.saturating_add(RESUME_GRACE);
                consider(due.max(overdue), Reason::AutoResumeOverdue, node.resumes, Some(node.id));
            }
        }
    }
    match (first, facts.rare.as_ref().and_then(|r| r.nodes_unknown)) {
        (Some((due, reason, since, node)), _) => State::Present { reason, since, due, node },
        (None, Some(unknown)) if looks_at_nodes => State::Unknown(unknown),
        (None, None | Some(_)) => State::Absent,
    }
}

/// Whether a policy wants the own clock of `spec.suspend` kept for a run.
pub fn keeps_clock(detection: &Detection) -> bool {
    detection.kind == crate::api::reasons::DetectionType::Suspended
        && detection.scope != SuspendedScope::Node
        && detection.nodes.is_empty()
}
