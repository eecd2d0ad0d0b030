//! The diagnosis of one run under one policy: a pure function of the facts, what surrounds them, and the time.
//!
//! The order of detections and of reasons is that of API.md section 2. Each detection looks for a *state* with a start
//! (`since`); it holds once the state has lasted beyond its threshold (`due`).

use super::detect;
use super::facts::Facts;
use super::health::ArgoHealth;
use super::index::Index;
use super::pods::StrayPods;
use super::policy::{Detection, Policy};
use crate::api::reasons::{DetectionType, Reason, UnknownReason};
use crate::api::workflow::Secs;

/// What a diagnosis needs to know besides the facts of the run.
pub struct Around<'a> {
    pub index: &'a Index,
    pub argo: &'a ArgoHealth,
    pub pods: &'a StrayPods,
    /// Nothing can be said of any run: the watch is stale or the clocks disagree.
    pub blind: Option<UnknownReason>,
}

/// A detection that holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Index in the policy's detections.
    pub detection: u16,
    pub kind: DetectionType,
    pub reason: Reason,
    pub since: Secs,
    /// When the threshold passed.
    pub due: Secs,
    /// `ActiveNode::id`: a place among the nodes would name another one once they are read anew.
    pub node: Option<u32>,
}

/// What one detection finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Absent,
    Present { reason: Reason, since: Secs, due: Secs, node: Option<u32> },
    Unknown(UnknownReason),
}

/// The verdict on one run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diagnosis {
    /// All that hold, the one shown first.
    pub holds: Vec<Hold>,
    /// The earliest threshold still ahead; 0 = none.
    pub next: Secs,
    pub unknown: Option<UnknownReason>,
    /// Bit i: detection i can't be judged now.
    pub unknowns: u16,
}

/// Looks at one run with every detection of its policy.
pub fn diagnose(facts: &Facts, policy: &Policy, around: &Around<'_>, now: Secs) -> Diagnosis {
    let mut out = Diagnosis::default();
    if facts.marks().is_some_and(|m| m.ignore) {
        return out;
    }
    let snoozed = facts.marks().map_or(0, |m| m.snooze_until);
    for (i, detection) in (0..).zip(&policy.detections) {
        match look(facts, detection, i, around) {
            State::Absent => {}
            State::Unknown(reason) => {
                out.unknown = out.unknown.or(Some(reason));
                out.unknowns |= 1_u16.checked_shl(u32::from(i)).unwrap_or(0);
            }
            State::Present { reason, since, due, node } => {
                let due = due.max(snoozed);
                if due <= now {
                    out.holds.push(Hold { detection: i, kind: detection.kind, reason, since, due, node });
                } else if out.next == 0 || due < out.next {
                    out.next = due;
                }
            }
        }
    }
    out.sort();
    out
}

impl Diagnosis {
    /// What held before and can't be judged now stays: Unknown opens nothing and closes nothing.
    pub fn keep_undecided(&mut self, before: &[Hold]) {
        let undecided =
            |h: &&Hold| 1_u16.checked_shl(u32::from(h.detection)).is_some_and(|bit| self.unknowns & bit != 0);
        let kept: Vec<_> = before.iter().filter(undecided).cloned().collect();
        self.holds.extend(kept);
        self.sort();
    }

    fn sort(&mut self) {
        self.holds.sort_by_key(|h| (h.kind, h.due));
    }
}

/// Looks at one run with one detection.
pub fn look(facts: &Facts, detection: &Detection, index: u16, around: &Around<'_>) -> State {
    let kind = detection.kind;
    if facts.is_finished() && (kind != DetectionType::DeletionBlocked || facts.deleted == 0) {
        return State::Absent;
    }
    if let Some(reason) = around.blind {
        return State::Unknown(reason);
    }
    if !kind.holds_without_controller() && around.argo.excuses(facts) {
        return State::Unknown(UnknownReason::ControllerDown);
    }
    let found = match kind {
        DetectionType::DeletionBlocked => detect::lifecycle::deletion_blocked(facts),
        DetectionType::NotPickedUp => detect::lifecycle::not_picked_up(facts, around.argo),
        DetectionType::StoppingTooLong => detect::lifecycle::stopping(facts),
        DetectionType::LockWedged => detect::locks::wedged(facts, around.index),
        DetectionType::TaskResultLost => detect::results::lost(facts, around.pods),
        DetectionType::Pending => detect::pending::pending(facts, around.pods),
        DetectionType::Suspended => return detect::suspended::suspended(facts, detection, index),
        DetectionType::NodeRunningTooLong => detect::running::node_running(facts, index),
        DetectionType::NoProgress => detect::running::no_progress(facts),
        DetectionType::RunningTooLong => {
            let own = facts.marks().map_or(0, |m| m.max_running);
            let after = if own == 0 { detection.after } else { own };
            return present(detect::running::running(facts), after);
        }
    };
    match (found, facts.rare.as_ref().and_then(|r| r.nodes_unknown)) {
        // What needs the nodes and doesn't see them says so; what was found without them stands. That none of them
        // changes is never found without them (I12).
        (None, Some(reason)) if needs_nodes(kind) => State::Unknown(reason),
        (Some(_), Some(reason)) if kind == DetectionType::NoProgress => State::Unknown(reason),
        (found, _) => present(found, detection.after),
    }
}

const fn needs_nodes(kind: DetectionType) -> bool {
    matches!(
        kind,
        DetectionType::TaskResultLost
            | DetectionType::Pending
            | DetectionType::NodeRunningTooLong
            | DetectionType::NoProgress
    )
}

/// What a look finds: the reason, since when, at which node.
pub type Found = Option<(Reason, Secs, Option<u32>)>;

fn present(found: Found, after: Secs) -> State {
    match found {
        // A state without a time can't have lasted.
        Some((_, 0, _)) | None => State::Absent,
        Some((reason, since, node)) => State::Present { reason, since, due: since.saturating_add(after), node },
    }
}
