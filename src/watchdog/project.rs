//! From the workflow as it was read to the facts that are kept.

use std::sync::Arc;

use super::facts::{ActiveNode, Facts, HeldLock, Kin, Marks, Phase, Rare, Run, Shutdown, Uid, fnv32, fnv64};
use super::intern::{Interner, Labels};
use super::node_ids::NodeIds;
use super::nodes::{Nodes, NodesOf, Parent};
use super::policy::{Policy, source_label};
use super::tally::Tally;
use crate::api::policy::SourceKind;
use crate::api::reasons::{EndedBy, SuspensionEnd, UnknownReason};
use crate::api::workflow::{Lock, Nodes as Where, Secs, Text, Workflow, codec};

/// Longest text kept of anything that comes from outside, in bytes.
pub const MAX_TEXT: usize = 256;
/// Most locks and holders kept of one workflow.
const MAX_LOCKS: usize = 32;

/// Type of a workflow that says none.
pub const NO_TYPE: &str = "none";

pub struct Projection<'p> {
    pub pool: &'p mut Interner,
    pub labels: Labels,
    /// The policies that match, in line.
    pub line: Arc<[u16]>,
    /// The first of them: it governs the workflow's detections.
    pub policy: Option<&'p mut Policy>,
    pub old: Option<&'p Facts>,
    /// What decides who governs is as it was in `old`: labels, template, namespace and line are the same.
    pub known: bool,
    pub now: Secs,
    pub epoch: u32,
    /// The first list is over: what is seen for the first time now is new.
    pub live: bool,
    pub tally: &'p mut Tally,
}

/// Source of a workflow as `spec.workflowTemplateRef` says it.
pub fn template_of<'w>(workflow: &'w Workflow<'_>) -> Option<(SourceKind, &'w str)> {
    let template = workflow.spec.template_ref.as_ref()?;
    let kind = if template.cluster_scope { SourceKind::ClusterWorkflowTemplate } else { SourceKind::WorkflowTemplate };
    Some((kind, template.name.as_ref()))
}

/// Whether a label is kept: completed and phase follow the status, they would only multiply the sets.
pub fn is_kept(label: &str) -> bool {
    !matches!(label, "workflows.argoproj.io/completed" | "workflows.argoproj.io/phase")
}

pub fn labels<'w>(workflow: &'w Workflow<'_>) -> impl Iterator<Item = (&'w str, &'w str)> {
    workflow.meta.labels.iter().map(|(k, v)| (k.as_ref(), v.as_ref())).filter(|(k, _)| is_kept(k))
}

impl Facts {
    /// Whether a workflow still has what decides which policies match it.
    pub(super) fn is_of(&self, workflow: &Workflow<'_>) -> bool {
        *self.namespace == *workflow.meta.namespace
            && self.template.as_deref() == template_of(workflow).map(|(_, name)| cut(name))
            && labels(workflow).eq(self.labels.iter().map(|(k, v)| (&**k, &**v)))
    }
}

impl Projection<'_> {
    pub fn facts(mut self, workflow: &Workflow<'_>) -> Facts {
        let (uid, odd_uid) = Uid::parse(&workflow.meta.uid);
        let status = &workflow.status;
        let run = Run { uid, started: status.started };
        // A retry starts another run: nothing that was remembered of the old one holds for it.
        let same_run = self.old.filter(|o| o.run() == run || o.started == 0);
        let phase = Phase::parse(&status.phase);
        let (kin, task_id) = self.kin(workflow);
        let (names, name_end) = Facts::names(&workflow.meta.name, task_id.as_deref().unwrap_or_default());
        let mut facts = Facts {
            uid,
            names,
            name_end,
            kin,
            created: workflow.meta.created,
            started: status.started,
            finished: status.finished,
            deleted: workflow.meta.deleted,
            progress: progress(&status.progress),
            phase,
            shutdown: shutdown(&workflow.spec.shutdown),
            exit_handler: workflow.spec.has_exit_handler || status.stored_exit_handler,
            picked_up: workflow.label("workflows.argoproj.io/phase").is_some(),
            completion_counted: self.old.is_some_and(|o| o.run() == run && o.completion_counted),
            ended_by: ended_by(workflow),
            epoch: self.epoch,
            deadline: self.old.map_or(0, |o| o.deadline),
            last_change: 0,
            suspended_since: 0,
            nodes: Box::default(),
            counted_until: 0,
            counted: NodeIds::default(),
            rare: None,
        };
        let mut rare = Self::rare(workflow, same_run, odd_uid);
        self.suspended_by_spec(workflow, same_run, &mut facts);
        if facts.shutdown != Shutdown::None && !phase.is_finished() {
            let seen = same_run.filter(|o| o.shutdown != Shutdown::None).and_then(|o| o.rare.as_ref());
            rare.shutdown_since = match seen {
                Some(seen) => seen.shutdown_since,
                // Seen for the first time: the newest writer of spec is the best evidence there is, else now.
                None if same_run.is_none() => spec_written(workflow).unwrap_or(self.now).min(self.now),
                None => self.now,
            };
        }
        self.nodes(workflow, same_run, &mut facts, &mut rare);
        if let Some(old) = same_run
            && old.progress != facts.progress
        {
            facts.last_change = facts.last_change.max(self.now);
        }
        facts.last_change = facts.last_change.max(same_run.map_or(0, |o| o.last_change)).max(facts.started);
        if !rare.is_plain() {
            facts.rare = Some(Box::new(rare));
        }
        facts
    }

    /// What it shares with others, and its task id.
    fn kin(&mut self, workflow: &Workflow<'_>) -> (Arc<Kin>, Option<Box<str>>) {
        let mut observe = self.policy.as_deref_mut().map(|p| &mut p.observe);
        let task = observe.as_ref().and_then(|o| o.task_id.as_ref()?.any_of_workflow(workflow));
        let rule = observe.as_mut().and_then(|o| o.workflow_type.as_mut());
        if let Some(old) = self.old.filter(|_| self.known && rule.as_ref().is_none_or(|r| r.reads_kin())) {
            return (Arc::clone(&old.kin), task);
        }
        let kind = rule.and_then(|r| r.of_workflow(workflow));
        let labelled = || {
            [SourceKind::WorkflowTemplate, SourceKind::ClusterWorkflowTemplate, SourceKind::CronWorkflow]
                .into_iter()
                .find_map(|k| workflow.label(source_label(k)))
        };
        let template = template_of(workflow).map(|(_, name)| name);
        let kind = kind.as_deref().or_else(labelled).or(template).unwrap_or(NO_TYPE);
        if let Some(old) = self.old.filter(|o| self.known && o.workflow_type.as_deref() == Some(kind)) {
            return (Arc::clone(&old.kin), task);
        }
        let kin = Kin {
            namespace: self.pool.text(&workflow.meta.namespace),
            labels: self.labels.clone(),
            line: Arc::clone(&self.line),
            workflow_type: Some(self.pool.text(kind)),
            template: template.map(|t| self.pool.text(cut(t))),
        };
        (self.pool.kin(kin), task)
    }

    fn rare(workflow: &Workflow<'_>, same_run: Option<&Facts>, odd_uid: Option<Box<str>>) -> Rare {
        let status = &workflow.status;
        let old = same_run.and_then(|o| o.rare.as_ref());
        let finished = Phase::parse(&status.phase).is_finished();
        let message = if finished || status.phase != "Running" { cut(&status.message) } else { "" };
        let waiting = if finished {
            Vec::new()
        } else {
            status.waiting.iter().take(MAX_LOCKS).map(|l| held(l, workflow)).collect()
        };
        let still_waits = old.filter(|o| o.waiting == waiting);
        Rare {
            message: message.into(),
            wedged_since: still_waits.map_or(0, |o| o.wedged_since),
            waiting,
            holding: status.holding.iter().take(MAX_LOCKS).map(|l| cut(&l.name).into()).collect(),
            finalizers: if workflow.meta.deleted == 0 {
                Vec::new()
            } else {
                workflow.meta.finalizers.iter().take(8).map(|f| cut(f).into()).collect()
            },
            marks: marks(workflow),
            odd_uid,
            active_deadline: workflow.spec.active_deadline_seconds.and_then(|s| u32::try_from(s).ok()).unwrap_or(0),
            ..Rare::default()
        }
    }

    fn suspended_by_spec(&mut self, workflow: &Workflow<'_>, same_run: Option<&Facts>, facts: &mut Facts) {
        let was = same_run.map_or(0, |o| o.suspended_since);
        if workflow.spec.suspend && !facts.is_finished() {
            facts.suspended_since = match was {
                0 if same_run.is_some() => self.now,
                // The clock is ours; what is met suspended starts at the newest write of spec: late, never early.
                0 => spec_written(workflow).unwrap_or(self.now).min(self.now),
                since => since,
            };
        } else if was != 0 {
            let end = if facts.shutdown == Shutdown::None && !facts.is_finished() {
                SuspensionEnd::Resumed
            } else {
                SuspensionEnd::Stopped
            };
            self.tally.suspension_ended(&facts.namespace, "spec", end, self.now.saturating_sub(was));
        }
    }

    fn nodes(&mut self, workflow: &Workflow<'_>, same_run: Option<&Facts>, facts: &mut Facts, rare: &mut Rare) {
        let nodes = match &workflow.status.nodes {
            Where::None => &[][..],
            Where::Inline(nodes) => nodes.as_slice(),
            Where::Offloaded(_) => {
                rare.nodes_unknown = (!facts.is_finished()).then_some(UnknownReason::NodesOffloaded);
                return;
            }
            Where::Compressed(text) => {
                rare.compressed = fnv64(text);
                if let Some(old) = same_run
                    && let Some(known) = old.rare.as_ref().filter(|r| r.compressed == rare.compressed)
                    && Arc::ptr_eq(&old.line, &facts.line)
                {
                    keep_nodes(old, known, facts, rare);
                    return;
                }
                // Decoding costs milliseconds: only for runs that a policy judges.
                if facts.is_finished() || self.policy.is_none() {
                    return;
                }
                match codec::decode(text) {
                    Ok(json) => match Where::fold_map(&json) {
                        Ok(nodes) => return self.fold(workflow, &nodes, same_run, facts, rare),
                        Err(error) => self.tally.undecodable(error),
                    },
                    Err(error) => self.tally.undecodable(error),
                }
                rare.nodes_unknown = Some(UnknownReason::NodesUndecodable);
                return;
            }
        };
        self.fold(workflow, nodes, same_run, facts, rare);
    }

    fn fold(
        &mut self,
        workflow: &Workflow<'_>,
        nodes: &[crate::api::workflow::Node<'_>],
        same_run: Option<&Facts>,
        facts: &mut Facts,
        rare: &mut Rare,
    ) {
        let parent = Parent {
            namespace: Arc::clone(&facts.namespace),
            old: same_run,
            known: same_run.filter(|o| o.epoch == self.epoch && Arc::ptr_eq(&o.kin, &facts.kin)),
            count: self.live || same_run.is_some(),
            finished: facts.is_finished(),
            shutdown: facts.shutdown != Shutdown::None,
        };
        let policy = self.policy.as_deref_mut();
        let Nodes { active, last_change, counted_until, counted, results_missing } =
            NodesOf { workflow, pool: self.pool, policy, tally: self.tally }.read(nodes, &parent);
        facts.nodes = active;
        facts.last_change = last_change;
        facts.counted_until = counted_until;
        facts.counted = counted;
        rare.results_missing = results_missing;
    }
}

fn keep_nodes(old: &Facts, known: &Rare, facts: &mut Facts, rare: &mut Rare) {
    facts.nodes.clone_from(&old.nodes);
    facts.last_change = old.last_change;
    facts.counted_until = old.counted_until;
    facts.counted.clone_from(&old.counted);
    rare.nodes_unknown = known.nodes_unknown;
    rare.results_missing.clone_from(&known.results_missing);
}

impl Rare {
    fn is_plain(&self) -> bool {
        self.message.is_empty()
            && self.waiting.is_empty()
            && self.holding.is_empty()
            && self.finalizers.is_empty()
            && self.results_missing.is_empty()
            && self.marks == Marks::default()
            && self.odd_uid.is_none()
            && self.nodes_unknown.is_none()
            && self.compressed == 0
            && self.active_deadline == 0
            && self.shutdown_since == 0
    }
}

/// Newest write of `spec` by anybody, from managedFields. Every later write of the same manager moves it, so it can be
/// late, never early.
fn spec_written(workflow: &Workflow<'_>) -> Option<Secs> {
    #[derive(serde::Deserialize)]
    struct Entry<'a> {
        #[serde(default)]
        time: serde_json::Value,
        #[serde(borrow, rename = "fieldsV1")]
        fields: Option<&'a serde_json::value::RawValue>,
    }
    let entries: Vec<Entry<'_>> = serde_json::from_str(workflow.meta.managed_fields?.get()).ok()?;
    let owns_spec = entries.iter().filter(|e| e.fields.is_some_and(|f| f.get().contains("\"f:spec\"")));
    owns_spec
        .filter_map(|e| e.time.as_str()?.parse::<jiff::Timestamp>().ok())
        .filter_map(|t| Secs::try_from(t.as_second()).ok())
        .max()
}

fn shutdown(text: &str) -> Shutdown {
    match text {
        "Stop" => Shutdown::Stop,
        "Terminate" => Shutdown::Terminate,
        _ => Shutdown::None,
    }
}

/// What ended the workflow, from what Argo writes into its message (`workflow/controller/operator.go`).
fn ended_by(workflow: &Workflow<'_>) -> EndedBy {
    let message = workflow.status.message.as_ref();
    if workflow.status.phase == "Succeeded" {
        EndedBy::Own
    } else if message.contains("deadline") || message.contains("Max duration limit exceeded") {
        EndedBy::Deadline
    } else if message.contains("Terminate") || workflow.spec.shutdown == "Terminate" {
        EndedBy::Terminated
    } else if message.contains("Stop") || workflow.spec.shutdown == "Stop" {
        EndedBy::Stopped
    } else {
        EndedBy::Own
    }
}

fn progress(text: &str) -> (u16, u16) {
    let read = |t: &str| t.parse::<u32>().map_or(0, |n| u16::try_from(n).unwrap_or(u16::MAX));
    text.split_once('/').map_or((0, 0), |(n, m)| (read(n), read(m)))
}

/// A holder is `namespace/workflow`, `namespace/workflow/node` or, from older versions, `workflow` or a node id.
fn held(lock: &Lock<'_>, workflow: &Workflow<'_>) -> HeldLock {
    let holder = |text: &Text<'_>| {
        let mut parts = text.split('/');
        let (namespace, name) = match (parts.next()?, parts.next()) {
            (namespace, Some(name)) => (namespace, name),
            (name, None) => (workflow.meta.namespace.as_ref(), name),
        };
        let readable = !namespace.is_empty() && !name.is_empty() && cut(name) == name;
        readable.then(|| (cut(namespace).into(), name.into()))
    };
    let holders: Vec<_> = lock.holders.iter().filter_map(holder).take(MAX_LOCKS).collect();
    let all = lock.holders.iter().filter(|h| !h.is_empty()).count();
    HeldLock { name: cut(&lock.name).into(), unnamed: u32::try_from(all - holders.len()).unwrap_or(u32::MAX), holders }
}

fn marks(workflow: &Workflow<'_>) -> Marks {
    let mut marks = Marks::default();
    if workflow.meta.annotations.iter().all(|(k, _)| !k.starts_with("unstick.dev/")) {
        return marks;
    }
    let mut unreadable = |key: &str, form: &str| {
        marks.unreadable = Some(format!("annotation unstick.dev/{key} must be {form}").into());
    };
    if let Some(value) = workflow.annotation("unstick.dev/ignore") {
        marks.ignore = value != "false";
    }
    if let Some(value) = workflow.annotation("unstick.dev/snooze-until") {
        match value.parse::<jiff::Timestamp>().ok().and_then(|t| Secs::try_from(t.as_second()).ok()) {
            Some(until) => marks.snooze_until = until,
            None => unreadable("snooze-until", "a time such as 2026-11-21T14:00:00Z"),
        }
    }
    if let Some(value) = workflow.annotation("unstick.dev/max-running") {
        match crate::api::period::Period::new(value).seconds().and_then(|s| Secs::try_from(s).ok()) {
            Some(seconds) => marks.max_running = seconds,
            None => unreadable("max-running", "a duration such as 72h"),
        }
    }
    marks
}

/// At most [`MAX_TEXT`] bytes, cut between characters.
pub fn cut(text: &str) -> &str {
    crate::api::condition::cut(text, MAX_TEXT)
}

/// A node's id as a number.
pub fn node_id(node: &crate::api::workflow::Node<'_>) -> u32 {
    fnv32(&node.id)
}

impl ActiveNode {
    pub fn is_pod(&self) -> bool {
        matches!(self.kind, crate::api::workflow::NodeKind::Pod | crate::api::workflow::NodeKind::Container)
    }

    /// Waits for a lock of its own, before its pod is made (`nodes` sets the cause).
    pub fn waits_for_lock(&self) -> bool {
        self.phase == crate::api::workflow::NodePhase::Pending && self.cause().starts_with("Waiting for lock ")
    }

    /// A Suspend node that waits now.
    pub fn is_suspension(&self) -> bool {
        self.kind == crate::api::workflow::NodeKind::Suspend && self.phase == crate::api::workflow::NodePhase::Running
    }
}
