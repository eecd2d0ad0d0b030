//! What the watchdog says of a run: one value behind events, incidents, `stuck`, `explain` and the page.

use jiff::Timestamp;

use crate::api::reasons::{DetectionType, Reason, UnknownReason};

/// A detection that holds on a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holding {
    /// Name of the detection in its policy.
    pub name: String,
    pub kind: DetectionType,
    pub reason: Reason,
    /// Since when the state lasts (not since when the threshold passed).
    pub since: Timestamp,
    /// `displayName` of the node concerned, empty when it is the whole workflow.
    pub node: String,
    /// One sentence for people; never holds a value from outside beyond 256 characters.
    pub message: String,
}

/// One stuck run: a row of `stuck`, an incident, an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub namespace: String,
    pub name: String,
    pub uid: String,
    /// `None` while the workflow has not started (Pending).
    pub started_at: Option<Timestamp>,
    /// `name` or `cluster/name`; empty for the built-in default.
    pub policy: String,
    pub mode: String,
    /// What happens next, in words; empty when nothing does.
    pub next: String,
    /// All that hold, the one shown first.
    pub detections: Vec<Holding>,
}

/// One line of `explain`: a detection looked at, whether it holds or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    pub name: String,
    pub kind: DetectionType,
    pub after_seconds: i64,
    pub verdict: Verdict,
}

/// The diagnosis of one detection on one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The state it looks for is not there.
    Absent,
    /// The state is there, the threshold passes at `until`.
    HealthyUntil { until: Timestamp, holding: Holding },
    Stuck(Holding),
    Unknown(UnknownReason),
}
