//! The demo as data: which workflows are submitted, and what unstick must say of them.

/// What becomes of a workflow.
pub enum Fate {
    /// (detection type, reason, node or empty, policy).
    Stuck(&'static str, &'static str, &'static str, &'static str),
    /// Ends in this phase by itself and is never mentioned.
    Ends(&'static str),
    /// Still in this phase when we look, and rightly so.
    Healthy(&'static str),
}

pub struct Row {
    pub namespace: &'static str,
    pub name: &'static str,
    /// One of tests/bed/workflows/.
    pub scenario: &'static str,
    pub labels: &'static [(&'static str, &'static str)],
    pub fate: Fate,
}

const fn row(
    namespace: &'static str,
    name: &'static str,
    scenario: &'static str,
    labels: &'static [(&'static str, &'static str)],
    fate: Fate,
) -> Row {
    Row { namespace, name, scenario, labels, fate }
}

use Fate::{Ends, Healthy, Stuck};

const LOAD: &[(&str, &str)] = &[("workflow-type", "load")];
const DEPLOY: &[(&str, &str)] = &[("workflow-type", "deploy"), ("github_app", "release-bot")];
const TRAIN: &[(&str, &str)] = &[("workflow-type", "training")];
const RELEASE: &[(&str, &str)] = &[("workflow-type", "release"), ("github_app", "release-bot"), ("needs", "approval")];

/// In the order of submission: the holder of the mutex comes before who waits for it.
pub const ROWS: &[Row] = &[
    row("etl", "deploy-api", "mutex-holder", DEPLOY, Healthy("Running")),
    row("etl", "deploy-web", "mutex-workflow", DEPLOY, Stuck("Pending", "WaitingForLock", "", "default")),
    row("ml", "train-nightly", "long-running", TRAIN, Stuck("RunningTooLong", "OverAge", "", "default")),
    row("ml", "train-gpu", "unschedulable", TRAIN, Stuck("Pending", "Unschedulable", "train-gpu", "default")),
    row("etl", "export-done", "finalizer", LOAD, Stuck("DeletionBlocked", "Finalizer", "", "default")),
    row("etl", "release-42", "suspended-node", RELEASE, Stuck("Suspended", "AwaitingResume", "approve", "approvals")),
    row("etl", "forgotten-pause", "spec-suspend", LOAD, Stuck("Suspended", "SuspendedBySpec", "", "default")),
    row("etl", "load-eu", "image-pull", LOAD, Stuck("Pending", "ImagePull", "load-eu", "default")),
    row(
        "etl",
        "report-weekly",
        "lost-result",
        LOAD,
        Stuck("TaskResultLost", "ResultIncomplete", "report-weekly", "default"),
    ),
    row("etl", "import-legacy", "no-controller", LOAD, Stuck("NotPickedUp", "NoController", "", "default")),
    row("etl", "load-us", "succeeded", LOAD, Ends("Succeeded")),
    row("etl", "wait-an-hour", "auto-resume-hour", LOAD, Healthy("Running")),
    row("ml", "cool-down", "auto-resume", TRAIN, Ends("Succeeded")),
];

/// `unstick_workflows_stuck`: (namespace, policy, detection, reason, how many).
pub const STUCK_COUNTS: &[(&str, &str, &str, &str, u32)] = &[
    ("etl", "approvals", "Suspended", "AwaitingResume", 1),
    ("etl", "default", "DeletionBlocked", "Finalizer", 1),
    ("etl", "default", "NotPickedUp", "NoController", 1),
    ("etl", "default", "Pending", "ImagePull", 1),
    ("etl", "default", "Pending", "WaitingForLock", 1),
    ("etl", "default", "Suspended", "SuspendedBySpec", 1),
    ("etl", "default", "TaskResultLost", "ResultIncomplete", 1),
    ("ml", "default", "Pending", "Unschedulable", 1),
    ("ml", "default", "RunningTooLong", "OverAge", 1),
];

/// `unstick_workflows_completed_total`: (namespace, workflow type, phase, ended by, how many). The one that a finalizer
/// holds has finished too.
pub const COMPLETED: &[(&str, &str, &str, &str, u32)] =
    &[("etl", "load", "Succeeded", "Own", 2), ("ml", "training", "Succeeded", "Own", 1)];
