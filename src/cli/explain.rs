//! `unstick explain`: why a workflow is or isn't stuck.

use clap::Args;
use jiff::Timestamp;
use serde::Serialize;

use super::args::{From, Plain};
use super::stuck::HeldItem;
use super::words::seconds_since;
use crate::api::reasons::{DetectionType, UnknownReason};
use crate::api::time::Time;
use crate::watchdog::report::{Check, Explanation, Standing, Verdict};

/// Flags of `unstick explain`.
#[derive(Args, Clone, Debug)]
pub struct ExplainArgs {
    /// NAME, NAMESPACE/NAME or workflow.argoproj.io/NAME
    #[arg(value_name = "WORKFLOW")]
    pub workflow: String,
    #[command(flatten)]
    pub from: From,
    /// Namespace; default: that of the context, with -f any
    #[arg(short, long, value_name = "NS")]
    pub namespace: Option<String>,
    /// Form of the output
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value = "table")]
    pub output: Plain,
    /// Exit with 0 also when the workflow is stuck
    #[arg(long)]
    pub exit_zero: bool,
}

impl ExplainArgs {
    /// Namespace, where one was named, and name.
    pub fn target(&self) -> (Option<String>, String) {
        let text = self.workflow.as_str();
        let (front, name) = text.rsplit_once('/').unwrap_or(("", text));
        let kind =
            matches!(front, "" | "workflow.argoproj.io" | "workflows.argoproj.io" | "workflow" | "workflows" | "wf");
        let namespace = if kind { self.namespace.clone() } else { Some(front.to_owned()) };
        (namespace, name.to_owned())
    }
}

/// `explain -o json`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExplanationItem {
    namespace: String,
    name: String,
    uid: String,
    started_at: Option<Time>,
    phase: String,
    /// Stuck, Healthy, Unknown, Finished or `SetAside`.
    standing: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    unknown_reason: Option<UnknownReason>,
    #[serde(skip_serializing_if = "Option::is_none")]
    set_aside: Option<String>,
    policy: Option<String>,
    mode: Option<String>,
    policy_why: Option<String>,
    other_policies: Vec<OtherPolicy>,
    detections: Vec<HeldItem>,
    checks: Vec<CheckItem>,
    done: Vec<String>,
    next: String,
    if_resumed: String,
    notes: Vec<String>,
    links: Vec<Link>,
}

#[derive(Debug, Serialize)]
struct OtherPolicy {
    name: String,
    why: String,
}

#[derive(Debug, Serialize)]
struct Link {
    title: String,
    url: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct CheckItem {
    name: String,
    #[serde(rename = "type")]
    kind: DetectionType,
    after_seconds: i64,
    /// Absent, `HealthyUntil`, Stuck or Unknown.
    verdict: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unknown_reason: Option<UnknownReason>,
    #[serde(skip_serializing_if = "Option::is_none")]
    held: Option<HeldItem>,
}

/// The explanation as it is written to JSON and YAML.
pub fn item(e: &Explanation, now: Timestamp) -> ExplanationItem {
    let (standing, unknown_reason, set_aside) = match &e.standing {
        Standing::Stuck => ("Stuck", None, None),
        Standing::Healthy => ("Healthy", None, None),
        Standing::Unknown(reason) => ("Unknown", Some(*reason), None),
        Standing::Finished => ("Finished", None, None),
        Standing::SetAside(how) => ("SetAside", None, Some(how.clone())),
    };
    let governing = e.governing.as_ref();
    let others = governing.map(|g| g.others.as_slice()).unwrap_or_default();
    ExplanationItem {
        namespace: e.namespace.clone(),
        name: e.name.clone(),
        uid: e.uid.clone(),
        started_at: e.started_at.map(Time::new),
        phase: e.phase.clone(),
        standing,
        unknown_reason,
        set_aside,
        policy: governing.map(|g| g.policy.clone()),
        mode: governing.map(|g| g.mode.clone()),
        policy_why: governing.map(|g| g.why.clone()),
        other_policies: others.iter().map(|(name, why)| OtherPolicy { name: name.clone(), why: why.clone() }).collect(),
        detections: e.detections.iter().map(|h| HeldItem::new(h, now)).collect(),
        checks: e.checks.iter().map(|c| check(c, now)).collect(),
        done: e.done.clone(),
        next: e.next.clone(),
        if_resumed: e.if_resumed.clone(),
        notes: e.notes.clone(),
        links: e.links.iter().map(|(title, url)| Link { title: title.clone(), url: url.clone() }).collect(),
    }
}

fn check(check: &Check, now: Timestamp) -> CheckItem {
    let (verdict, until, unknown_reason, held) = match &check.verdict {
        Verdict::Absent => ("Absent", None, None, None),
        Verdict::HealthyUntil { until, holding } => ("HealthyUntil", Some((*until).into()), None, Some(holding)),
        Verdict::Stuck(holding) => ("Stuck", None, None, Some(holding)),
        Verdict::Unknown(reason) => ("Unknown", None, Some(*reason), None),
    };
    CheckItem {
        name: check.name.clone(),
        kind: check.kind,
        after_seconds: check.after_seconds,
        verdict,
        until,
        unknown_reason,
        held: held.map(|h| HeldItem::new(h, now)),
    }
}

/// For how long what a check looks at has been so.
pub fn lasted(check: &Check, now: Timestamp) -> Option<i64> {
    match &check.verdict {
        Verdict::HealthyUntil { holding, .. } | Verdict::Stuck(holding) => Some(seconds_since(holding.since, now)),
        Verdict::Absent | Verdict::Unknown(_) => None,
    }
}
