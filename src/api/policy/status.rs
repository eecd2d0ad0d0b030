//! What a policy says of itself. No per-workflow list: that is what incidents are for.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::api::condition::Condition;
use crate::api::reasons::Mode;
use crate::api::time::Time;

/// Status of a WorkflowPolicy or ClusterWorkflowPolicy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyStatus {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready, Reconciling, Stalled, and where there is something to say NotInForce and TtlTooShort.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// The mode in which remediation runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// Unfinished workflows this policy governs.
    #[serde(default)]
    pub matched: i64,
    /// Of these, the stuck ones.
    #[serde(default)]
    pub stuck: i64,
    /// Workflows it matches that another policy governs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub governed_elsewhere: Option<GovernedElsewhere>,
    /// The run that has been stuck longest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest_stuck: Option<OldestStuck>,
    /// The next threshold that passes, in words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 256))]
    pub next: String,
    /// How many runs each detection holds on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub detections: Vec<DetectionCount>,
    /// The finished runs, when the policy has archive or cleanup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<RetentionStatus>,
}

/// What becomes of the finished runs a policy governs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RetentionStatus {
    /// Finished runs that this policy governs.
    #[serde(default)]
    pub finished: i64,
    /// Of these, those with a verified archive.
    #[serde(default)]
    pub archived: i64,
    /// Of these, those whose time to live is over and that may go.
    #[serde(default)]
    pub due: i64,
    /// Deleted since the leader started.
    #[serde(default)]
    pub deleted: i64,
    /// Runs that would be archived or deleted now, but for this.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["reason"]))]
    pub blocked: Vec<RetentionBlock>,
}

/// How many runs one reason holds back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RetentionBlock {
    pub reason: crate::api::reasons::KeepReason,
    pub runs: i64,
    /// One of them, `namespace/name`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 317))]
    pub example: String,
}

/// Workflows that match but are governed by another policy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct GovernedElsewhere {
    pub count: i64,
    /// Up to 10 of them: `namespace/name (policy that governs)`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10), inner(length(max = 640)))]
    pub examples: Vec<String>,
}

/// The run that has been stuck longest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct OldestStuck {
    /// `namespace/name`.
    #[schemars(length(max = 317))]
    pub workflow: String,
    /// The detection that is shown.
    #[schemars(length(max = 63))]
    pub detection: String,
    pub since: Time,
}

/// How many runs a detection holds on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct DetectionCount {
    #[schemars(length(max = 63))]
    pub name: String,
    pub stuck: i64,
}
