//! `WorkflowPolicy` and `ClusterWorkflowPolicy`: one spec, two scopes (DESIGN.md section 2).
//!
//! Two concerns are governed separately: detections with remediation, and archive with cleanup. The operator reads
//! policies through [`PolicySpec::from_value`], not as typed objects, so that a value from a newer version ends in a
//! readable condition instead of a failed watch.

#![allow(clippy::duplicated_attributes, reason = "columns share a type")]

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use super::selector::LabelSelector;
use super::time::Time;

mod detection;
mod observe;
mod read;
mod remediation;
mod retention;
mod status;

pub use detection::{Detection, NodeRunningTooLong, Suspended, SuspendedScope};
pub use observe::{Observe, ObserveFrom, ObserveRule, ObserveSource, ValueMap};
pub use read::{SpecError, breaches};
pub use remediation::{
    Action, AfterEnd, AfterEndType, AlertTrigger, Approval, Breaker, BreakerReset, Budget, BudgetAction, Limits,
    PerOwner, PerWorkflow, Remediation, Step, Window, WindowType,
};
pub use retention::{
    Archive, ArchiveInclude, Artifacts, Cleanup, CleanupRequire, KeepAtLeast, MaxDeletes, Redaction, Ttl,
};
pub use status::{DetectionCount, GovernedElsewhere, OldestStuck, PolicyStatus, RetentionBlock, RetentionStatus};

/// Names of detections, steps, pauses and triggers.
pub(crate) const NAME_PATTERN: &str = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";

/// What is watched, what is done about it, and what is kept.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "unstick.dev",
    version = "v1alpha1",
    kind = "WorkflowPolicy",
    printcolumn(name = "Mode", type_ = "string", json_path = ".status.mode"),
    printcolumn(name = "Matched", type_ = "integer", json_path = ".status.matched"),
    printcolumn(name = "Stuck", type_ = "integer", json_path = ".status.stuck"),
    printcolumn(name = "Oldest", type_ = "date", json_path = ".status.oldestStuck.since"),
    printcolumn(name = "Next", type_ = "string", json_path = ".status.next"),
    printcolumn(name = "Ready", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].status"#),
    printcolumn(name = "Reason", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].reason"#),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].message"#,
        priority = 1
    ),
    printcolumn(name = "Priority", type_ = "integer", json_path = ".spec.priority", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    plural = "workflowpolicies",
    namespaced,
    shortname = "wfp",
    category = "unstick",
    status = "PolicyStatus",
    derive = "PartialEq",
    doc = "Detections, ladder, archive and cleanup rules for the workflows of one namespace."
)]
#[x_kube(validation = (
    "has(self.detections) || has(self.archive) || has(self.cleanup)",
    "spec must have detections, archive or cleanup: add at least one of these sections"
))]
#[x_kube(validation = (
    "!has(self.remediation) || has(self.detections)",
    "spec.remediation needs detections: add spec.detections or remove spec.remediation"
))]
#[x_kube(validation = (
    "!has(self.remediation) || !has(self.detections) || self.remediation.steps.all(s, !has(s.onlyDetections) || s.onlyDetections.all(n, self.detections.exists(d, d.name == n)))",
    "spec.remediation.steps: onlyDetections must name entries of spec.detections: correct the name or add the detection"
))]
#[x_kube(validation = (
    "!has(self.remediation) || !has(self.remediation.alertTriggers) || !has(self.detections) || self.remediation.alertTriggers.all(t, self.detections.exists(d, d.name == t.detection))",
    "spec.remediation.alertTriggers: detection must name an entry of spec.detections: correct the name or add the detection"
))]
#[x_kube(validation = (
    "!has(self.cleanup) || self.cleanup.require != 'Archive' || has(self.archive)",
    "spec.cleanup.require Archive needs spec.archive: add the section or set require to None"
))]
#[serde(rename_all = "camelCase")]
pub struct PolicySpec {
    /// Among policies of equal standing the higher priority governs, then the older one.
    #[serde(default)]
    #[schemars(range(min = -1000, max = 1000))]
    pub priority: i32,
    /// Workflows this policy is for, by label; `{}` is every workflow in reach.
    pub selector: LabelSelector,
    /// Only workflows that come from one of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["kind", "name"]))]
    pub workflows_from: Vec<WorkflowsFrom>,
    /// When a run counts as stuck.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub detections: Vec<Detection>,
    /// What is done about a stuck run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remediation: Option<Remediation>,
    /// How finished runs are stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archive: Option<Archive>,
    /// When finished runs are deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cleanup: Option<Cleanup>,
    /// While one is active this policy has no effect on any workflow.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub pauses: Vec<Pause>,
    /// How workflow type, task id, stage and agent are read from a workflow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observe: Option<Observe>,
}

/// The same for the namespaces of a cluster; owned by its admins.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "unstick.dev",
    version = "v1alpha1",
    kind = "ClusterWorkflowPolicy",
    printcolumn(name = "Mode", type_ = "string", json_path = ".status.mode"),
    printcolumn(name = "Matched", type_ = "integer", json_path = ".status.matched"),
    printcolumn(name = "Stuck", type_ = "integer", json_path = ".status.stuck"),
    printcolumn(name = "Oldest", type_ = "date", json_path = ".status.oldestStuck.since"),
    printcolumn(name = "Next", type_ = "string", json_path = ".status.next"),
    printcolumn(name = "Ready", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].status"#),
    printcolumn(name = "Reason", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].reason"#),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].message"#,
        priority = 1
    ),
    printcolumn(name = "Priority", type_ = "integer", json_path = ".spec.priority", priority = 1),
    printcolumn(name = "Precedence", type_ = "string", json_path = ".spec.precedence", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    plural = "clusterworkflowpolicies",
    shortname = "cwfp",
    category = "unstick",
    status = "PolicyStatus",
    derive = "PartialEq",
    doc = "Detections, ladder, archive and cleanup rules for the workflows of many namespaces."
)]
#[serde(rename_all = "camelCase")]
pub struct ClusterPolicySpec {
    /// Namespaces this policy is for, by label; `{}` is every namespace.
    pub namespace_selector: LabelSelector,
    /// Default yields to the policies of a namespace, Override stands before them.
    #[serde(default)]
    pub precedence: Precedence,
    #[serde(flatten)]
    pub policy: PolicySpec,
}

super::reasons::closed! {
    /// Where a cluster policy stands in the line of who governs.
    #[derive(Default)]
    Precedence { #[default] Default, Override }
}

/// Where a workflow must come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkflowsFrom {
    pub kind: SourceKind,
    /// Name of the template or CronWorkflow.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

super::reasons::closed! {
    /// What a workflow can come from.
    SourceKind { WorkflowTemplate, ClusterWorkflowTemplate, CronWorkflow }
}

/// A named reason for not acting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Pause {
    #[schemars(length(min = 1, max = 63), regex(pattern = NAME_PATTERN))]
    pub name: String,
    /// Shown wherever an effect is held back.
    #[schemars(length(min = 1, max = 256))]
    pub reason: String,
    /// The pause ends by itself then; absent = until it is removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Time>,
}
