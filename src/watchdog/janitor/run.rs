//! A finished run, as far as keeping and deleting look at it.

use serde::{Deserialize, Serialize};

use crate::api::policy::SourceKind;
use crate::api::workflow::{Nodes, Secs, Workflow};
use crate::watchdog::facts::{Phase, Run};
use crate::watchdog::policy::source_label;

/// The label by which Argo says how far its own archive is.
const ARCHIVING: &str = "workflows.argoproj.io/workflow-archiving-status";
/// A hold of people: never deleted.
pub const HOLD: &str = "unstick.dev/hold";
/// Our mark on an archived run: a hint, never proof (I1).
pub const ARCHIVED: &str = "unstick.dev/archived";

/// Where the archive of a run is: what the mark on a workflow says, and what is known once it was read back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Mark {
    pub location: String,
    pub fingerprint: String,
    pub key: String,
    pub digest: String,
}

/// What of a finished run decides whether it is archived and deleted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Finished {
    pub run: Run,
    pub phase: Phase,
    /// `status.finishedAt`; 0 when Argo wrote none.
    pub finished: Secs,
    /// Namespace, and `CronWorkflow`, else template, else generateName: what `keepAtLeast` counts by.
    pub group: String,
    /// `unstick.dev/hold` is set, whatever its value.
    pub held: bool,
    /// Argo's own archive is not done with it.
    pub argo_pending: bool,
    pub offloaded: bool,
    pub mark: Option<Mark>,
    /// Being deleted already.
    pub leaving: bool,
    /// How long after its end Argo deletes it by itself.
    pub argo_ttl: Option<Secs>,
}

impl Finished {
    /// Reads a workflow; `None` when its run has not finished.
    pub fn read(workflow: &Workflow<'_>, run: Run) -> Option<Self> {
        let phase = Phase::parse(&workflow.status.phase);
        if !phase.is_finished() {
            return None;
        }
        let annotation = |key: &str| workflow.meta.annotations.iter().find(|(k, _)| k == key);
        Some(Self {
            run,
            phase,
            finished: workflow.status.finished,
            group: group(workflow),
            held: annotation(HOLD).is_some(),
            argo_pending: workflow.label(ARCHIVING) == Some("Pending"),
            offloaded: matches!(workflow.status.nodes, Nodes::Offloaded(_)),
            mark: workflow.annotation(ARCHIVED).and_then(|text| serde_json::from_str(&text).ok()),
            leaving: workflow.meta.deleted != 0,
            argo_ttl: workflow.argo_ttl(),
        })
    }
}

fn group(workflow: &Workflow<'_>) -> String {
    let labelled = [SourceKind::CronWorkflow, SourceKind::WorkflowTemplate, SourceKind::ClusterWorkflowTemplate]
        .into_iter()
        .find_map(|kind| Some(format!("{kind}/{}", workflow.label(source_label(kind))?)));
    let template = || {
        let template = workflow.spec.template_ref.as_ref()?;
        let kind =
            if template.cluster_scope { SourceKind::ClusterWorkflowTemplate } else { SourceKind::WorkflowTemplate };
        Some(format!("{kind}/{}", template.name))
    };
    let generated = || (!workflow.meta.generate_name.is_empty()).then(|| workflow.meta.generate_name.to_string());
    // A name given by hand is a group of its own; templates and CronWorkflows of one name are others elsewhere.
    let group = labelled.or_else(template).or_else(generated).unwrap_or_else(|| workflow.meta.name.to_string());
    format!("{}/{group}", workflow.meta.namespace)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn group_of(namespace: &str, labels: &serde_json::Value) -> String {
        let text = json!({
            "metadata": {"name": "nightly-7", "namespace": namespace, "uid": "u", "labels": labels},
            "status": {"phase": "Succeeded", "finishedAt": "2026-11-21T10:00:00Z"},
        });
        group(&Workflow::from_json(&text.to_string()).unwrap())
    }

    #[test]
    fn a_cron_workflow_of_the_same_name_elsewhere_is_another_group() {
        let cron = json!({"workflows.argoproj.io/cron-workflow": "nightly"});
        assert_eq!(group_of("a", &cron), "a/CronWorkflow/nightly");
        assert_ne!(group_of("a", &cron), group_of("b", &cron));
        assert_ne!(group_of("a", &cron), group_of("a", &json!({})));
    }
}
