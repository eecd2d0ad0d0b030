//! What is known of a run besides its content: what its key is made of, and what a catalogue is searched by.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::canonical::NotArchivable;
use super::json::{Tree, Value, text};
use super::redaction::{MARKER, Redaction};
use crate::api::time::Time;

/// Values longer than this are cut in the catalogue, in characters; the archive has them whole.
const LONGEST: usize = 256;
/// Parameters and labels that a catalogue row has at most.
const MOST: usize = 64;
const LABEL_TEMPLATE: &str = "workflows.argoproj.io/workflow-template";
const LABEL_CLUSTER_TEMPLATE: &str = "workflows.argoproj.io/cluster-workflow-template";
const LABEL_CRON: &str = "workflows.argoproj.io/cron-workflow";

/// Of one run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunFacts {
    pub uid: String,
    pub namespace: String,
    pub name: String,
    /// Of the object this was read from.
    pub resource_version: String,
    /// Empty before Argo has taken it up.
    pub phase: String,
    pub message: String,
    pub created: Option<Time>,
    pub started: Option<Time>,
    /// `None` = it hasn't finished.
    pub finished: Option<Time>,
    /// The `WorkflowTemplate` or `ClusterWorkflowTemplate` it was made of.
    pub template: Option<String>,
    pub cron_workflow: Option<String>,
    pub labels: BTreeMap<String, String>,
    /// `spec.arguments.parameters`, redacted as the archive is.
    pub parameters: BTreeMap<String, String>,
    /// Resource time in seconds, as Argo estimates it.
    pub resources_duration: BTreeMap<String, i64>,
    pub nodes: u32,
    /// Of all its Suspend nodes together.
    pub suspended_seconds: i64,
    pub longest_suspension_seconds: i64,
    /// Argo deletes artifacts of it when it is deleted.
    pub artifacts_go_with_it: bool,
}

impl RunFacts {
    pub(super) fn read<'a>(tree: &Tree<'a>, root: Value<'a>, rules: &Redaction) -> Result<Self, NotArchivable> {
        let own = |path: &[&str]| tree.text(root, path).map(std::borrow::Cow::into_owned).unwrap_or_default();
        let time = |path: &[&str]| tree.text(root, path).and_then(|t| instant(&t));
        let mut facts = Self {
            uid: own(&["metadata", "uid"]),
            namespace: own(&["metadata", "namespace"]),
            name: own(&["metadata", "name"]),
            resource_version: own(&["metadata", "resourceVersion"]),
            phase: cut(&own(&["status", "phase"])),
            message: cut(&own(&["status", "message"])),
            created: time(&["metadata", "creationTimestamp"]),
            started: time(&["status", "startedAt"]),
            finished: time(&["status", "finishedAt"]),
            ..Self::default()
        };
        for (what, value) in [("uid", &facts.uid), ("namespace", &facts.namespace), ("name", &facts.name)] {
            if !super::key::is_part(value) {
                return Err(NotArchivable::NoIdentity(what));
            }
        }
        facts.labels = tree.at(root, &["metadata", "labels"]).map(|labels| strings(tree, labels)).unwrap_or_default();
        // Of the labels themselves: the map of the facts may be cut short.
        let label =
            |key: &str| tree.text(root, &["metadata", "labels", key]).filter(|v| !v.is_empty()).map(|v| cut(&v));
        facts.template = label(LABEL_TEMPLATE)
            .or_else(|| label(LABEL_CLUSTER_TEMPLATE))
            .or_else(|| tree.text(root, &["spec", "workflowTemplateRef", "name"]).map(|t| cut(&t)));
        facts.cron_workflow = label(LABEL_CRON);
        for parameter in tree.at(root, &["spec", "arguments", "parameters"]).map_or(&[][..], |l| tree.elements(l)) {
            let (name, value) = (tree.text(*parameter, &["name"]), tree.text(*parameter, &["value"]));
            if let (Some(name), Some(value)) = (name, value)
                && facts.parameters.len() < MOST
            {
                let value = if rules.hides(&name) && !value.is_empty() { MARKER.to_owned() } else { cut(&value) };
                facts.parameters.insert(cut(&name), value);
            }
        }
        for (resource, value) in tree.at(root, &["status", "resourcesDuration"]).map_or(&[][..], |m| tree.members(m)) {
            if let Some(seconds) = text(*value).and_then(|t| t.parse().ok()) {
                facts.resources_duration.insert(cut(resource), seconds);
            }
        }
        facts.look_at_nodes(tree, root);
        facts.artifacts_go_with_it =
            ["spec", "status"].iter().filter_map(|part| tree.get(root, part)).any(|part| deletes_artifacts(tree, part));
        Ok(facts)
    }

    fn look_at_nodes<'a>(&mut self, tree: &Tree<'a>, root: Value<'a>) {
        for (_, node) in tree.at(root, &["status", "nodes"]).map_or(&[][..], |n| tree.members(n)) {
            self.nodes += 1;
            if tree.get(*node, "type") != Some(Value::Text("Suspend", false)) {
                continue;
            }
            let time = |key: &str| tree.text(*node, &[key]).and_then(|t| instant(&t));
            let end = time("finishedAt").or(self.finished);
            if let (Some(from), Some(to)) = (time("startedAt"), end) {
                let seconds = (to.get().as_second() - from.get().as_second()).max(0);
                self.suspended_seconds += seconds;
                self.longest_suspension_seconds = self.longest_suspension_seconds.max(seconds);
            }
        }
    }

    /// How long the run took, once it has finished.
    pub fn duration_seconds(&self) -> Option<i64> {
        Some((self.finished?.get().as_second() - self.started?.get().as_second()).max(0))
    }
}

/// Whether any `artifactGC` below says that artifacts go when the workflow is deleted.
fn deletes_artifacts<'a>(tree: &Tree<'a>, value: Value<'a>) -> bool {
    match value {
        Value::List(_) => tree.elements(value).iter().any(|element| deletes_artifacts(tree, *element)),
        Value::Map(_) => tree.members(value).iter().any(|(key, member)| {
            key == "artifactGC" && tree.text(*member, &["strategy"]).is_some_and(|s| s == "OnWorkflowDeletion")
                || deletes_artifacts(tree, *member)
        }),
        _ => false,
    }
}

fn strings<'a>(tree: &Tree<'a>, map: Value<'a>) -> BTreeMap<String, String> {
    let all = tree.members(map).iter().filter_map(|(key, value)| Some((cut(key), cut(&text(*value)?))));
    all.take(MOST).collect()
}

/// An RFC 3339 time; none for Go's zero time.
fn instant(text: &str) -> Option<Time> {
    let at: Timestamp = text.parse().ok()?;
    (at.as_second() > 0).then(|| Time::new(at))
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text.to_owned(),
    }
}
