//! The ladder and its rails. Checked and reported in this version, not in force yet.

use std::collections::BTreeMap;

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::api::period::Period;
use crate::api::reasons::{Mode, StepType, closed};

use super::NAME_PATTERN;

/// What is done about a stuck run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = (
    "self.steps.all(s, self.steps.exists_one(t, t.name == s.name))",
    "steps must have unique names: rename one of them"
))]
#[x_kube(validation = (
    "!has(self.afterEnd) || self.afterEnd.type != 'Resubmit' || self.steps.exists(s, s.type == 'Stop' || s.type == 'Terminate')",
    "afterEnd Resubmit needs a step of type Stop or Terminate: add one or set afterEnd.type to None"
))]
#[x_kube(validation = (
    "!has(self.alertTriggers) || self.alertTriggers.all(t, !has(t.startStep) || self.steps.exists(s, s.name == t.startStep))",
    "alertTriggers: startStep must name an entry of steps: correct the name or add the step"
))]
#[serde(rename_all = "camelCase")]
pub struct Remediation {
    /// Observe detects and tells; DryRun also walks the ladder and records what it would do; Enforce acts.
    #[serde(default)]
    pub mode: Mode,
    /// The ladder; its order is the order of this list.
    #[schemars(length(min = 1, max = 8))]
    pub steps: Vec<Step>,
    /// What follows once the ladder has ended a run, once per lineage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after_end: Option<AfterEnd>,
    /// Recovered this long, the ladder starts afresh next time; 1h when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub healthy_for: Option<Period>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
    /// When actions are allowed; Deny wins, any Allow closes the time outside of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub windows: Vec<Window>,
    /// An alert may shorten a detection, never replace it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub alert_triggers: Vec<AlertTrigger>,
}

/// One rung of the ladder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = (
    "!has(self.approval) || self.approval == 'None' || self.type != 'Notify'",
    "approval is for steps that act: remove it from the Notify step"
))]
#[x_kube(validation = (
    "!has(self.retryAfter) || (has(self.maxAttempts) && self.maxAttempts > 1)",
    "retryAfter needs maxAttempts of at least 2: set it or remove retryAfter"
))]
#[serde(rename_all = "camelCase")]
pub struct Step {
    #[schemars(length(min = 1, max = 63), regex(pattern = NAME_PATTERN))]
    pub name: String,
    /// Notify tells people, Stop lets exit handlers run, Terminate doesn't.
    #[serde(rename = "type")]
    pub kind: StepType,
    /// How long to wait for the step to show its effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verify_for: Option<Period>,
    /// Tries of this step; 1 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10))]
    pub max_attempts: Option<i32>,
    /// Time between two tries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<Period>,
    /// Whether a person must approve in the incident first; None when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<Approval>,
    /// Only when one of these detections holds; empty = any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 63)), extend("x-kubernetes-list-type" = "set"))]
    pub only_detections: Vec<String>,
}

closed! {
    /// Whether a step waits for a person.
    #[derive(Default)]
    Approval { #[default] None, Required }
}

/// What follows once the ladder has ended a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct AfterEnd {
    #[serde(rename = "type")]
    pub kind: AfterEndType,
}

closed! {
    /// What follows once the ladder has ended a run.
    #[derive(Default)]
    AfterEndType { #[default] None, Resubmit }
}

/// The rails of the ladder; what is absent has the default of the field.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// Incidents with an action under way at once; 5 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub max_in_flight: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_workflow: Option<PerWorkflow>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_owner: Option<PerOwner>,
    /// Actions in a sliding window, by action.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["action"]))]
    pub budgets: Vec<Budget>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub breaker: Option<Breaker>,
}

/// Rails of one run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PerWorkflow {
    #[schemars(range(min = 1, max = 64))]
    pub max_actions: i32,
    /// Least time between two actions on one run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cooldown: Option<Period>,
}

/// Rails of one CronWorkflow or template, followed across resubmits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PerOwner {
    #[schemars(range(min = 1, max = 1000))]
    pub max_actions: i32,
    pub per: Period,
}

/// At most so many actions in any sliding window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Budget {
    pub action: BudgetAction,
    /// 0 forbids the action.
    #[schemars(range(min = 0, max = 10_000))]
    pub max_actions: i32,
    pub per: Period,
}

closed! {
    /// What has an effect on a workflow.
    Action { Stop, Terminate, Resubmit, Delete }
}

closed! {
    /// An action, or all of them together.
    BudgetAction { All, Stop, Terminate, Resubmit, Delete }
}

/// Stops everything when too much is stuck at once: then the cause is elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Breaker {
    #[schemars(range(min = 1, max = 100))]
    pub max_affected_percent: i32,
    /// Never trips below so many stuck runs.
    #[schemars(range(min = 1, max = 10_000))]
    pub min_affected: i32,
    pub window: Period,
    /// Manual: a person closes it again; Auto: it closes once the window is quiet.
    #[serde(default)]
    pub reset: BreakerReset,
}

closed! {
    /// How a tripped breaker closes again.
    #[derive(Default)]
    BreakerReset { #[default] Manual, Auto }
}

/// A recurring span of time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = (
    "self.schedule.matches('^[^ ]+( [^ ]+){4}$')",
    "schedule must have five cron fields parted by single spaces, such as '0 8 * * 1-5'"
))]
#[x_kube(validation = (
    "!has(self.timeZone) || self.timeZone.matches('^[A-Za-z][A-Za-z0-9_+/-]*$')",
    "timeZone must be an IANA name such as Europe/Berlin or UTC"
))]
#[serde(rename_all = "camelCase")]
pub struct Window {
    /// Deny forbids actions inside the window, Allow forbids them outside.
    #[serde(rename = "type")]
    pub kind: WindowType,
    /// When it opens: five cron fields.
    #[schemars(length(max = 100))]
    pub schedule: String,
    /// How long it stays open.
    pub duration: Period,
    /// IANA name; UTC when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub time_zone: Option<String>,
    /// What it is for; empty = every action.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4), extend("x-kubernetes-list-type" = "set"))]
    pub actions: Vec<Action>,
}

closed! {
    /// Whether a window closes or opens.
    WindowType { Deny, Allow }
}

/// Which alert shortens which detection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct AlertTrigger {
    #[schemars(length(min = 1, max = 63), regex(pattern = NAME_PATTERN))]
    pub name: String,
    /// Labels the alert must have.
    #[schemars(schema_with = "alert_labels")]
    pub match_labels: BTreeMap<String, String>,
    /// The detection that is shortened.
    #[schemars(length(min = 1, max = 63))]
    pub detection: String,
    /// Its `after` while the alert fires.
    pub after: Period,
    /// Where the ladder starts; its first step when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub start_step: Option<String>,
}

fn alert_labels(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "object", "additionalProperties": {"type": "string", "maxLength": 256},
        "minProperties": 1, "maxProperties": 16,
    })
}
