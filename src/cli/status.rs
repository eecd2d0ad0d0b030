//! `unstick status`: the operator, its policies and its oldest incidents on one screen.

use std::fmt::Write as _;

use clap::Args;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::args::Plain;
use super::columns::{Cell, Column, table, wrap};
use super::screen::{Screen, Tone};
use super::source::cluster::{Cluster, Fault};
use super::words::{seconds_since, span};
use crate::api::condition::{self, Condition, ConditionStatus};
use crate::api::incident::{IncidentState, IncidentStatus};
use crate::api::policy::PolicyStatus;
use crate::api::reasons::{ArgoState, ConditionType};
use crate::api::time::Time;
use crate::api::watchdog::WatchdogStatus;

const OURS: &str = "/apis/unstick.dev/v1alpha1";
/// Incidents that are shown; `kubectl get wfi -A` has all.
const INCIDENTS: usize = 10;

/// Flags of `unstick status`.
#[derive(Args, Clone, Debug)]
pub struct StatusArgs {
    /// Policies and incidents of this namespace only
    #[arg(short, long, value_name = "NS")]
    pub namespace: Option<String>,
    /// Form of the output
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value = "table")]
    pub output: Plain,
    /// Exit with 0 also when something is stuck or not ready
    #[arg(long)]
    pub exit_zero: bool,
}

/// What is known of the installation.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    /// Our CRDs are there.
    pub installed: bool,
    pub cluster_name: String,
    /// `status` of the Watchdog object; `None` = there is none, or it may not be read.
    pub watchdog: Option<WatchdogStatus>,
    pub policies: Vec<PolicyLine>,
    /// Open ones, the oldest first, at most 10.
    pub incidents: Vec<IncidentLine>,
    pub open_incidents: usize,
}

/// One policy.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyLine {
    /// `cluster/name` or `namespace/name`.
    pub policy: String,
    pub status: PolicyStatus,
}

/// One open incident.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct IncidentLine {
    pub namespace: String,
    pub name: String,
    pub workflow: String,
    pub detection: String,
    pub reason: String,
    pub stuck_since: Option<Time>,
    pub state: String,
    pub next: String,
}

impl State {
    /// Something is stuck or doesn't work.
    pub fn has_findings(&self) -> bool {
        let down = |w: &WatchdogStatus| w.stuck > 0 || failing(&w.conditions).is_some();
        self.watchdog.as_ref().is_some_and(down)
            || self.open_incidents > 0
            || self.policies.iter().any(|p| failing(&p.status.conditions).is_some())
    }
}

/// The Ready condition, when it is False.
fn failing(conditions: &[Condition]) -> Option<&Condition> {
    condition::find(conditions, ConditionType::Ready).filter(|c| c.status == ConditionStatus::False)
}

/// Reads what there is.
///
/// # Errors
/// When the API server can't be reached.
pub async fn read(cluster: &Cluster, namespace: Option<&str>) -> anyhow::Result<State> {
    let mut state = State { cluster_name: "default".to_owned(), ..State::default() };
    match cluster.object(OURS).await {
        Ok(_) => state.installed = true,
        Err(Fault::NotFound) => return Ok(state),
        Err(fault) => return Err(fault.into()),
    }
    match cluster.object(&format!("{OURS}/watchdogs/default")).await {
        Ok(object) => {
            if let Some(name) = object.pointer("/spec/clusterName").and_then(Value::as_str) {
                name.clone_into(&mut state.cluster_name);
            }
            state.watchdog = serde_json::from_value(object["status"].clone()).ok();
        }
        Err(Fault::NotFound | Fault::Denied(_)) => {}
        Err(fault) => return Err(fault.into()),
    }
    let place = namespace.map_or_else(String::new, |n| format!("/namespaces/{n}"));
    let mut policies = Vec::new();
    let mut incidents = Vec::new();
    for path in [format!("{OURS}/clusterworkflowpolicies"), format!("{OURS}{place}/workflowpolicies")] {
        tolerate(cluster.each(&path, "", &mut |json| policies.extend(policy(json))).await)?;
    }
    let path = format!("{OURS}{place}/workflowincidents");
    tolerate(cluster.each(&path, "", &mut |json| incidents.extend(incident(json))).await)?;
    policies.sort_by(|a: &PolicyLine, b| a.policy.cmp(&b.policy));
    incidents.sort_by(|a: &IncidentLine, b| {
        (a.stuck_since, &a.namespace, &a.name).cmp(&(b.stuck_since, &b.namespace, &b.name))
    });
    state.open_incidents = incidents.len();
    incidents.truncate(INCIDENTS);
    state.policies = policies;
    state.incidents = incidents;
    Ok(state)
}

/// What may not be read is left out.
fn tolerate(read: Result<(), Fault>) -> anyhow::Result<()> {
    match read {
        Ok(()) | Err(Fault::NotFound | Fault::Denied(_)) => Ok(()),
        Err(fault) => Err(fault.into()),
    }
}

fn policy(json: &str) -> Option<PolicyLine> {
    let object: Value = serde_json::from_str(json).ok()?;
    let name = object.pointer("/metadata/name")?.as_str()?;
    let front = object.pointer("/metadata/namespace").and_then(Value::as_str).unwrap_or("cluster");
    let status = serde_json::from_value(object["status"].clone()).unwrap_or_default();
    Some(PolicyLine { policy: format!("{front}/{name}"), status })
}

/// `None` unless it is open and confirmed.
fn incident(json: &str) -> Option<IncidentLine> {
    let object: Value = serde_json::from_str(json).ok()?;
    let status: IncidentStatus = serde_json::from_value(object["status"].clone()).ok()?;
    let state = status.state?;
    if !matches!(state, IncidentState::Open | IncidentState::Blocked | IncidentState::Exhausted) {
        return None;
    }
    let text = |path: &str| object.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
    let first = status.detections.first();
    Some(IncidentLine {
        namespace: text("/metadata/namespace"),
        name: text("/metadata/name"),
        workflow: text("/spec/workflowRef/name"),
        detection: first.map(|d| d.name.clone()).unwrap_or_default(),
        reason: first.map(|d| d.reason.to_string()).unwrap_or_default(),
        stuck_since: status.stuck_since,
        state: state.to_string(),
        next: status.next,
    })
}

/// The screen.
pub fn render(state: &State, now: Timestamp, screen: Screen, program: &str) -> String {
    let mut out = String::new();
    let mut say = |label: &str, tone: Tone, text: &str| {
        out.push_str(&screen.paint(Tone::Heading, &format!("{label:<10}")));
        out.push_str(&screen.paint(tone, &wrap(text, 10, 10, screen.width)));
        out.push('\n');
    };
    if !state.installed {
        say("Operator", Tone::Waiting, "unstick's CRDs are not installed in this cluster");
        say("", Tone::Plain, &format!("without them: {program} stuck -A"));
        say("", Tone::Plain, &format!("to install: {program} crds | kubectl apply --server-side -f -, then deploy/"));
        return out;
    }
    match &state.watchdog {
        Some(w) => overview(state, w, now, &mut say),
        None => say(
            "Operator",
            Tone::Waiting,
            &format!("no status of a Watchdog object: is it running? See {program} check"),
        ),
    }
    if state.policies.is_empty() {
        say("Policies", Tone::Waiting, &format!("none: {program} policy init | kubectl apply -f -"));
    } else {
        out.push('\n');
        out.push_str(&policies(state, now, screen));
    }
    if state.open_incidents > 0 {
        out.push('\n');
        out.push_str(&incidents(state, now, screen));
    }
    out
}

fn overview(state: &State, w: &WatchdogStatus, now: Timestamp, say: &mut impl FnMut(&str, Tone, &str)) {
    let leader = if w.leader.is_empty() { "nobody leads" } else { &w.leader };
    let version = if w.version.is_empty() { String::new() } else { format!(", version {}", w.version) };
    say("Operator", Tone::Plain, &format!("{leader}{version}, cluster {}", state.cluster_name));
    match condition::find(&w.conditions, ConditionType::Ready) {
        Some(c) => {
            let tone = if c.status == ConditionStatus::True { Tone::Good } else { Tone::Bad };
            let message = if c.message.is_empty() { String::new() } else { format!(": {}", c.message) };
            say("Ready", tone, &format!("{} ({}){message}", c.status, c.reason));
        }
        None => say("Ready", Tone::Waiting, "Unknown"),
    }
    for (i, argo) in w.argo.iter().enumerate() {
        let tone = match argo.state {
            ArgoState::Up => Tone::Good,
            ArgoState::Down => Tone::Bad,
            ArgoState::Unknown => Tone::Waiting,
        };
        let since = span(seconds_since(argo.since.get(), now));
        let message = if argo.message.is_empty() { String::new() } else { format!(": {}", argo.message) };
        say(if i == 0 { "Argo" } else { "" }, tone, &format!("{} {} for {since}{message}", argo.name, argo.state));
    }
    let numbers = format!(
        "{} unfinished workflows, {} stuck, {} open incidents, {} actions in 24h",
        w.tracked, w.stuck, w.incidents, w.acted24h
    );
    say("Watching", if w.stuck > 0 { Tone::Waiting } else { Tone::Plain }, &numbers);
}

fn policies(state: &State, now: Timestamp, screen: Screen) -> String {
    let columns = [
        Column::name("POLICY", 15),
        Column::fixed("MODE").leave(2),
        Column::fixed("MATCHED"),
        Column::fixed("STUCK"),
        Column::fixed("OLDEST"),
        Column::fixed("READY"),
        Column::text("NEXT", 12).leave(3),
    ];
    let rows: Vec<Vec<Cell>> = state
        .policies
        .iter()
        .map(|p| {
            let s = &p.status;
            let ready = condition::find(&s.conditions, ConditionType::Ready);
            let (word, tone) = match ready.map(|c| c.status) {
                Some(ConditionStatus::True) => ("True", Tone::Good),
                Some(ConditionStatus::False) => ("False", Tone::Bad),
                _ => ("Unknown", Tone::Waiting),
            };
            let oldest = s.oldest_stuck.as_ref().map(|o| span(seconds_since(o.since.get(), now)));
            vec![
                Cell::new(&p.policy),
                Cell::new(&s.mode.map(|m| m.to_string()).unwrap_or_default()),
                Cell::new(&s.matched.to_string()),
                Cell::toned(&s.stuck.to_string(), if s.stuck > 0 { Tone::Waiting } else { Tone::Plain }),
                Cell::new(&oldest.unwrap_or_default()),
                Cell::toned(word, tone),
                Cell::new(&s.next),
            ]
        })
        .collect();
    let mut out = table(&columns, &rows, true, screen);
    for policy in &state.policies {
        if let Some(condition) = failing(&policy.status.conditions) {
            let text = format!("{} is not ready: {}", policy.policy, condition.message);
            out.push_str(&wrap(&text, 0, 2, screen.width));
            out.push('\n');
        }
    }
    out
}

fn incidents(state: &State, now: Timestamp, screen: Screen) -> String {
    let columns = [
        Column::name("NAMESPACE", 9),
        Column::name("WORKFLOW", 16),
        Column::text("DETECTION", 9).leave(2),
        Column::fixed("REASON"),
        Column::fixed("SINCE"),
        Column::fixed("STATE").leave(1),
        Column::text("NEXT", 12).leave(3),
    ];
    let rows: Vec<Vec<Cell>> = state
        .incidents
        .iter()
        .map(|i| {
            let since = i.stuck_since.map(|t| span(seconds_since(t.get(), now)));
            [&i.namespace, &i.workflow, &i.detection, &i.reason, &since.unwrap_or_default(), &i.state, &i.next]
                .map(|text| Cell::new(text))
                .into()
        })
        .collect();
    let mut out = table(&columns, &rows, true, screen);
    if state.open_incidents > rows.len() {
        let _ = writeln!(out, "and {} more: kubectl get wfi -A", state.open_incidents - rows.len());
    }
    out
}
