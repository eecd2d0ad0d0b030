//! `Watchdog`: the one object for the whole installation. Absent = [`WatchdogSpec::default`].

#![allow(clippy::duplicated_attributes, reason = "columns share a type")]

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use super::condition::Condition;
use super::period::Period;
use super::policy::{Budget, BudgetAction, CleanupRequire, MaxDeletes, Pause};
use super::reasons::ArgoState;
use super::time::Time;

/// The only name a Watchdog may have.
pub const NAME: &str = "default";

/// Settings of the whole installation.
#[derive(CustomResource, Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "unstick.dev",
    version = "v1alpha1",
    kind = "Watchdog",
    validation = ("self.metadata.name == 'default'", "metadata.name of a Watchdog must be default: there is one for the whole cluster"),
    printcolumn(name = "Leader", type_ = "string", json_path = ".status.leader"),
    printcolumn(name = "Tracked", type_ = "integer", json_path = ".status.tracked"),
    printcolumn(name = "Stuck", type_ = "integer", json_path = ".status.stuck"),
    printcolumn(name = "Acted24h", type_ = "integer", json_path = ".status.acted24h"),
    printcolumn(name = "Argo", type_ = "string", json_path = ".status.argoState"),
    printcolumn(name = "Ready", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].status"#),
    printcolumn(name = "Version", type_ = "string", json_path = ".status.version", priority = 1),
    printcolumn(name = "Incidents", type_ = "integer", json_path = ".status.incidents", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    plural = "watchdogs",
    shortname = "wd",
    category = "unstick",
    status = "WatchdogStatus",
    derive = "PartialEq",
    doc = "Settings of the whole installation and its state in one line; the only name is `default`."
)]
#[x_kube(validation = (
    "self.argo.all(a, self.argo.exists_one(b, b.__namespace__ == a.__namespace__ && b.instanceId == a.instanceId))",
    "argo: two entries have the same namespace and instanceId: remove one or correct it"
))]
#[serde(rename_all = "camelCase")]
pub struct WatchdogSpec {
    /// Goes into manifests and the catalogue.
    #[serde(default = "default_name")]
    #[schemars(length(min = 1, max = 63), regex(pattern = super::policy::NAME_PATTERN))]
    pub cluster_name: String,
    /// One entry per Argo controller.
    #[serde(default = "default_argo")]
    #[schemars(length(min = 1, max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub argo: Vec<ArgoInstance>,
    /// While one is active nothing has an effect anywhere.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub pauses: Vec<Pause>,
    /// Actions of the whole installation in a sliding window.
    #[serde(default = "default_budgets")]
    #[schemars(length(max = 8), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["action"]))]
    pub budgets: Vec<Budget>,
    /// The most a WorkflowPolicy may set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant_maxima: Option<TenantMaxima>,
}

impl Default for WatchdogSpec {
    fn default() -> Self {
        Self {
            cluster_name: default_name(),
            argo: default_argo(),
            pauses: Vec::new(),
            budgets: default_budgets(),
            tenant_maxima: None,
        }
    }
}

fn default_name() -> String {
    NAME.to_owned()
}

fn default_lease() -> String {
    "workflow-controller".to_owned()
}

fn default_argo() -> Vec<ArgoInstance> {
    vec![ArgoInstance {
        name: default_name(),
        namespace: "argo".to_owned(),
        instance_id: String::new(),
        lease: default_lease(),
        metrics_url: String::new(),
    }]
}

fn default_budgets() -> Vec<Budget> {
    vec![Budget { action: BudgetAction::All, max_actions: 60, per: Period::new("1h") }]
}

/// One Argo controller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = (
    "self.metricsURL == '' || (isURL(self.metricsURL) && url(self.metricsURL).getScheme() in ['http', 'https'])",
    "metricsURL must be an http or https address, or empty"
))]
#[serde(rename_all = "camelCase")]
pub struct ArgoInstance {
    #[schemars(length(min = 1, max = 63), regex(pattern = super::policy::NAME_PATTERN))]
    pub name: String,
    /// Where it runs and keeps its Lease.
    #[schemars(length(min = 1, max = 63), regex(pattern = super::policy::NAME_PATTERN))]
    pub namespace: String,
    /// Its `instanceID`; empty = it takes the workflows that have none.
    #[serde(default)]
    #[schemars(length(max = 63))]
    pub instance_id: String,
    /// Name of its Lease; empty = it has none.
    #[serde(default = "default_lease")]
    #[schemars(length(max = 253))]
    pub lease: String,
    /// Where its metrics are, asked instead of the Lease: anything but 2xx within 5 s is a failure. Empty = not asked.
    /// Of an `https` address the certificate is not verified, as Argo signs its own; nothing of ours is sent there.
    #[serde(default, rename = "metricsURL")]
    #[schemars(length(max = 512))]
    pub metrics_url: String,
}

/// The most a WorkflowPolicy may set; what is more is refused.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct TenantMaxima {
    /// For `remediation.limits.budgets`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["action"]))]
    pub budgets: Vec<Budget>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cleanup: Option<CleanupMaxima>,
}

/// The most a WorkflowPolicy may clean up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct CleanupMaxima {
    /// Archive: no policy may delete without an archive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub require: Option<CleanupRequire>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_deletes: Option<MaxDeletes>,
}

/// The state of the whole installation in one line.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct WatchdogStatus {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// Pod that holds the lease.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 253))]
    pub leader: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 64))]
    pub version: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub argo: Vec<ArgoHealth>,
    /// All Argo controllers in one word: `Up`, or those that are not, by name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 256))]
    pub argo_state: String,
    /// Unfinished workflows watched.
    #[serde(default)]
    pub tracked: i64,
    #[serde(default)]
    pub stuck: i64,
    /// Open, confirmed incidents.
    #[serde(default)]
    pub incidents: i64,
    /// Actions of the last 24 hours.
    #[serde(default)]
    pub acted24h: i64,
}

/// Health of one Argo controller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ArgoHealth {
    #[schemars(length(max = 63))]
    pub name: String,
    pub state: ArgoState,
    pub since: Time,
    /// What the state was read from.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 256))]
    pub message: String,
}
