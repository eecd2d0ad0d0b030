//! Policies, compiled: who governs a workflow, and the detections in the order of diagnosis.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::facts::Facts;
use super::intern::{Labels, label};
use super::janitor::rules::Rules;
use super::observe::Observe;
use crate::api::incident::PolicyKind;
use crate::api::policy::{Pause, PolicySpec, Precedence, SourceKind, Step, SuspendedScope};
use crate::api::reasons::{DetectionType, Mode};
use crate::api::selector::{NodeSelector, Selector, SelectorError};
use crate::api::workflow::Secs;

/// Name of a policy among all of both kinds.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PolicyKey {
    /// `None` for a `ClusterWorkflowPolicy`.
    pub namespace: Option<String>,
    pub name: String,
}

impl PolicyKey {
    pub fn kind(&self) -> PolicyKind {
        if self.namespace.is_some() { PolicyKind::WorkflowPolicy } else { PolicyKind::ClusterWorkflowPolicy }
    }

    /// Value of the label `policy`: `name` or `cluster/name`.
    pub fn label(&self) -> String {
        if self.namespace.is_some() { self.name.clone() } else { format!("cluster/{}", self.name) }
    }
}

/// One rule of a policy.
#[derive(Clone, Debug)]
pub struct Detection {
    pub name: String,
    pub kind: DetectionType,
    pub after: Secs,
    pub scope: SuspendedScope,
    pub nodes: NodeSelector,
}

/// Default of `remediation.healthyFor`.
pub const HEALTHY_FOR: Secs = 3600;

/// A policy that can be served.
#[derive(Clone, Debug)]
pub struct Policy {
    pub key: PolicyKey,
    pub label: Arc<str>,
    pub uid: String,
    pub generation: i64,
    /// Place in line: Override 0, namespaced 1, Default 2; then priority, then age.
    rank: (u8, i32, Secs),
    namespaces: Selector,
    selector: Selector,
    sources: Vec<(SourceKind, String)>,
    /// In the order of diagnosis.
    pub detections: Vec<Detection>,
    pub observe: Observe,
    pub mode: Mode,
    pub steps: Arc<[Step]>,
    pub healthy_for: Secs,
    /// Archive and cleanup.
    pub rules: Option<Rules>,
    pub pauses: Vec<Pause>,
    /// Facts read before this relist epoch were read for an older form of the policy: they are not judged by it.
    pub from_epoch: u32,
    /// All that facts are read by; a change asks for a relist.
    shape: String,
}

/// Where a policy comes from: what its object's metadata and wrapper say.
#[derive(Clone, Debug)]
pub struct Origin {
    pub key: PolicyKey,
    pub uid: String,
    pub generation: i64,
    pub created: Secs,
    /// `ClusterWorkflowPolicy` only.
    pub namespaces: Selector,
    pub precedence: Precedence,
}

impl Policy {
    /// Compiles a spec that `api::validate::check` found no error in.
    ///
    /// # Errors
    /// A selector that can't be read.
    pub fn compile(origin: Origin, spec: &PolicySpec, no_progress_floor: Secs) -> Result<Self, SelectorError> {
        let mut detections = Vec::with_capacity(spec.detections.len());
        for d in &spec.detections {
            let (scope, text) = match (&d.suspended, &d.node_running_too_long) {
                (Some(s), _) => (s.scope, s.node_field_selector.as_str()),
                (None, Some(n)) => (SuspendedScope::Any, n.node_field_selector.as_str()),
                (None, None) => (SuspendedScope::Any, ""),
            };
            let after = secs(d.after.seconds().unwrap_or(i64::from(u32::MAX)));
            let after = if d.kind == DetectionType::NoProgress { after.max(no_progress_floor) } else { after };
            detections.push(Detection {
                name: d.name.clone(),
                kind: d.kind,
                after,
                scope,
                nodes: NodeSelector::parse(text)?,
            });
        }
        detections.sort_by(|a, b| (a.kind, a.after, &a.name).cmp(&(b.kind, b.after, &b.name)));
        let rank = match (&origin.key.namespace, origin.precedence) {
            (None, Precedence::Override) => 0,
            (Some(_), _) => 1,
            (None, Precedence::Default) => 2,
        };
        let remediation = spec.remediation.as_ref();
        let read_by: Vec<_> = detections.iter().map(|d| (&d.name, d.kind, d.scope, &d.nodes)).collect();
        let shape = format!(
            "{rank} {:?} {:?} {:?} {:?} {:?} {read_by:?} {}",
            spec.priority,
            origin.namespaces,
            spec.selector,
            spec.workflows_from,
            spec.observe,
            spec.archive.is_some() || spec.cleanup.is_some()
        );
        Ok(Self {
            label: origin.key.label().into(),
            uid: origin.uid,
            generation: origin.generation,
            rank: (rank, -spec.priority, origin.created),
            namespaces: origin.namespaces,
            selector: Selector::compile(&spec.selector)?,
            sources: spec.workflows_from.iter().map(|f| (f.kind, f.name.clone())).collect(),
            detections,
            observe: Observe::compile(spec.observe.as_ref()),
            mode: remediation.map_or(Mode::Observe, |r| r.mode),
            steps: remediation.map(|r| r.steps.as_slice().into()).unwrap_or_default(),
            healthy_for: remediation.and_then(|r| r.healthy_for.as_ref()?.seconds()).map_or(HEALTHY_FOR, secs),
            rules: Rules::compile(spec),
            pauses: spec.pauses.clone(),
            key: origin.key,
            from_epoch: 0,
            shape,
        })
    }

    pub(super) fn rank(&self) -> (u8, i32, Secs) {
        self.rank
    }

    /// Whether facts read for `other` serve this one too.
    pub fn reads_as(&self, other: &Self) -> bool {
        self.uid == other.uid && self.shape == other.shape
    }

    /// All that a verdict depends on besides what facts are read by.
    pub fn thresholds(&self) -> impl Iterator<Item = Secs> {
        self.detections.iter().map(|d| d.after)
    }

    /// Where the detections of an older form stand now.
    pub fn places_of(&self, old: &Self) -> Vec<Option<u16>> {
        let place = |o: &Detection| self.detections.iter().position(|d| d.kind == o.kind && d.name == o.name);
        old.detections.iter().map(|o| u16::try_from(place(o)?).ok()).collect()
    }

    pub fn after(&self, kind: DetectionType) -> Option<Secs> {
        self.detections.iter().find(|d| d.kind == kind).map(|d| d.after)
    }

    fn reaches(&self, namespace: &str, labels: Option<&BTreeMap<String, String>>) -> bool {
        match &self.key.namespace {
            Some(own) => own == namespace,
            None => self.namespaces.is_empty() || labels.is_some_and(|l| self.namespaces.matches_map(l)),
        }
    }

    fn selects(&self, labels: &Labels, template: Option<(SourceKind, &str)>) -> bool {
        self.selector.matches(|key| label(labels, key))
            && (self.sources.is_empty()
                || self.sources.iter().any(|(kind, name)| {
                    template == Some((*kind, name.as_str())) || label(labels, source_label(*kind)) == Some(name)
                }))
    }
}

/// The label by which Argo names where a workflow came from.
pub const fn source_label(kind: SourceKind) -> &'static str {
    match kind {
        SourceKind::WorkflowTemplate => "workflows.argoproj.io/workflow-template",
        SourceKind::ClusterWorkflowTemplate => "workflows.argoproj.io/cluster-workflow-template",
        SourceKind::CronWorkflow => "workflows.argoproj.io/cron-workflow",
    }
}

fn secs(value: i64) -> Secs {
    Secs::try_from(value.max(0)).unwrap_or(Secs::MAX)
}

/// All served policies, and the line in which they stand for each namespace.
#[derive(Debug, Default)]
pub struct Policies {
    /// A place is never given to another policy: facts refer to it by index.
    all: Vec<(PolicyKey, Option<Policy>)>,
    namespaces: HashMap<String, BTreeMap<String, String>>,
    /// Candidates of a namespace in order; emptied on every change.
    lines: HashMap<Arc<str>, Vec<u16>>,
    /// The same for archive and cleanup.
    keepers: HashMap<Arc<str>, Vec<u16>>,
    /// The highest `Policy::from_epoch` so far.
    newest: u32,
}

impl Policies {
    pub fn get(&self, index: u16) -> Option<&Policy> {
        self.all.get(usize::from(index))?.1.as_ref()
    }

    pub fn get_mut(&mut self, index: u16) -> Option<&mut Policy> {
        self.all.get_mut(usize::from(index))?.1.as_mut()
    }

    pub fn find(&self, key: &PolicyKey) -> Option<u16> {
        self.iter().find(|(_, p)| p.key == *key).map(|(i, _)| i)
    }

    pub fn iter(&self) -> impl Iterator<Item = (u16, &Policy)> {
        (0..u16::MAX).zip(&self.all).filter_map(|(i, (_, p))| p.as_ref().map(|p| (i, p)))
    }

    pub fn put(&mut self, mut policy: Policy) {
        self.empty_lines();
        for (_, other) in self.iter() {
            policy.observe.share(&other.observe);
        }
        self.newest = self.newest.max(policy.from_epoch);
        if let Some((_, place)) = self.all.iter_mut().find(|(key, _)| *key == policy.key) {
            *place = Some(policy);
        } else if self.all.len() < usize::from(u16::MAX) {
            self.all.push((policy.key.clone(), Some(policy)));
        }
    }

    pub fn remove(&mut self, key: &PolicyKey) -> Option<Policy> {
        self.empty_lines();
        self.all.iter_mut().find(|(k, _)| k == key)?.1.take()
    }

    /// Labels of a namespace, `None` when it has gone; the policies that reach it now and did not, or the reverse.
    #[allow(clippy::needless_pass_by_value)] // the caller has no use for the labels
    pub fn set_namespace(&mut self, name: &str, labels: Option<BTreeMap<String, String>>) -> Vec<u16> {
        let old = match labels.clone() {
            Some(labels) => self.namespaces.insert(name.to_owned(), labels),
            None => self.namespaces.remove(name),
        };
        let moved = self.iter().filter(|(_, p)| p.reaches(name, old.as_ref()) != p.reaches(name, labels.as_ref()));
        let moved: Vec<u16> = moved.map(|(i, _)| i).collect();
        self.lines.remove(name);
        self.keepers.remove(name);
        moved
    }

    /// Facts read before `epoch` were read before these policies reached as far as they do now.
    pub fn stale_before(&mut self, policies: &[u16], epoch: u32) {
        for index in policies {
            if let Some(policy) = self.get_mut(*index) {
                policy.from_epoch = epoch;
            }
        }
        self.newest = self.newest.max(epoch);
    }

    /// Whether the facts were read before a policy that governs them, or may do so, came to be as it is.
    pub fn is_stale(&self, facts: &Facts) -> bool {
        if facts.epoch >= self.newest {
            return false;
        }
        let governor = facts.governor().and_then(|i| self.get(i));
        let labels = self.namespaces.get(&*facts.namespace);
        let before = |p: &Policy| governor.is_none_or(|g| (p.rank, &p.key) < (g.rank, &g.key));
        governor.is_some_and(|g| facts.epoch < g.from_epoch)
            || self.iter().any(|(_, p)| facts.epoch < p.from_epoch && p.reaches(&facts.namespace, labels) && before(p))
    }

    /// The policies that match a workflow, in line: the first governs.
    pub fn in_line(&mut self, namespace: &Arc<str>, labels: &Labels, template: Option<(SourceKind, &str)>) -> Vec<u16> {
        if !self.lines.contains_key(namespace) {
            let line = self.line(namespace, |p| !p.detections.is_empty());
            self.lines.insert(Arc::clone(namespace), line);
        }
        let line = self.lines.get(namespace).map_or(&[][..], Vec::as_slice);
        line.iter().copied().filter(|i| self.selects(*i, labels, template)).collect()
    }

    /// The policy that governs archive and cleanup of a workflow.
    pub fn retention_of(
        &mut self,
        namespace: &Arc<str>,
        labels: &Labels,
        template: Option<(SourceKind, &str)>,
    ) -> Option<u16> {
        if !self.keepers.contains_key(namespace) {
            let line = self.line(namespace, |p| p.rules.is_some());
            self.keepers.insert(Arc::clone(namespace), line);
        }
        self.keepers.get(namespace)?.iter().copied().find(|i| self.selects(*i, labels, template))
    }

    /// Whether a selector for namespaces admits one.
    pub fn admits(&self, selector: &Selector, namespace: &str) -> bool {
        selector.is_empty() || self.namespaces.get(namespace).is_some_and(|l| selector.matches_map(l))
    }

    /// Whether what was read in `epoch` was read before some policy came to be as it is.
    pub fn is_outdated(&self, epoch: u32) -> bool {
        epoch < self.newest
    }

    fn selects(&self, index: u16, labels: &Labels, template: Option<(SourceKind, &str)>) -> bool {
        self.get(index).is_some_and(|p| p.selects(labels, template))
    }

    fn empty_lines(&mut self) {
        self.lines.clear();
        self.keepers.clear();
    }

    fn line(&self, namespace: &str, concerned: fn(&Policy) -> bool) -> Vec<u16> {
        let labels = self.namespaces.get(namespace);
        let mut line: Vec<_> = self
            .iter()
            .filter(|(_, p)| concerned(p) && p.reaches(namespace, labels))
            .map(|(i, p)| (p.rank, &p.key, i))
            .collect();
        line.sort();
        line.into_iter().map(|(_, _, i)| i).collect()
    }
}
