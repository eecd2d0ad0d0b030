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
    /// Ready, Reconciling, Stalled and NotInForce.
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
