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
    HealthyUntil {
        until: Timestamp,
        holding: Holding,
    },
    Stuck(Holding),
    Unknown(UnknownReason),
}

/// How a workflow stands, in one word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    Stuck,
    Healthy,
    /// Nothing can be said of it, and why.
    Unknown(UnknownReason),
    /// Its run has ended.
    Finished,
    /// People took it out (`unstick.dev/ignore`, `/snooze-until`); the text says how.
    SetAside(String),
}

/// The policy that governs a workflow's detections, and why it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Governing {
    /// As in [`Finding::policy`].
    pub policy: String,
    pub mode: String,
    /// One sentence, such as "the only policy that selects it".
    pub why: String,
    /// Policies that select the workflow too: (policy, why it does not govern).
    pub others: Vec<(String, String)>,
}

/// All that can be said of one workflow at one instant: what `explain` prints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    pub namespace: String,
    pub name: String,
    pub uid: String,
    pub started_at: Option<Timestamp>,
    /// Argo's phase; empty before it has one.
    pub phase: String,
    pub standing: Standing,
    /// All that hold, the one shown first; empty unless [`Standing::Stuck`].
    pub detections: Vec<Holding>,
    /// Every detection of the governing policy, in its order; empty when none governs.
    pub checks: Vec<Check>,
    /// `None`: no policy selects the workflow.
    pub governing: Option<Governing>,
    /// What was done so far, oldest first, one sentence each.
    pub done: Vec<String>,
    /// What happens next, in words; empty when nothing does.
    pub next: String,
    /// What resuming would do, in words; empty unless it is suspended.
    pub if_resumed: String,
    /// What people should know besides, one sentence each.
    pub notes: Vec<String>,
    /// (title, address).
    pub links: Vec<(String, String)>,
}

/// What a survey looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Workflows whose run has not ended.
    pub unfinished: usize,
    pub finished: usize,
    /// Unfinished ones of which nothing can be said, by reason, in the order of [`UnknownReason::ALL`].
    pub unknown: Vec<(UnknownReason, usize)>,
    /// Unfinished ones that no policy selects.
    pub ungoverned: usize,
}
