//! Archive and cleanup of finished runs.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::api::period::Period;
use crate::api::reasons::{Mode, closed};

/// How finished runs are stored. Nodes are always included.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Archive {
    /// Enforce stores; Observe and DryRun store nothing.
    #[serde(default)]
    pub mode: Mode,
    /// Name of an ArchiveLocation.
    #[schemars(length(min = 1, max = 253))]
    pub location: String,
    /// What is stored besides the workflow itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4), extend("x-kubernetes-list-type" = "set"))]
    pub include: Vec<ArchiveInclude>,
    /// Block: a workflow whose artifacts Argo would delete with it is kept; Reference: the archive refers to them.
    #[serde(default)]
    pub artifacts: Artifacts,
    /// Which values are left out of what is stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redaction: Option<Redaction>,
}

/// Values of environment variables and parameters that are left out of archives; the manifest lists where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Redaction {
    /// Leaves out what is named like a secret: password, token, api key, credential, private key and the like.
    #[serde(default = "yes")]
    pub defaults: bool,
    /// Further names, exactly as they are written.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 253)), extend("x-kubernetes-list-type" = "set"))]
    pub names: Vec<String>,
    /// Further names, as regular expressions that match anywhere in the name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 256)), extend("x-kubernetes-list-type" = "set"))]
    pub patterns: Vec<String>,
    /// Names whose values are kept all the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 253)), extend("x-kubernetes-list-type" = "set"))]
    pub except: Vec<String>,
}

impl Default for Redaction {
    fn default() -> Self {
        Self { defaults: true, names: Vec::new(), patterns: Vec::new(), except: Vec::new() }
    }
}

const fn yes() -> bool {
    true
}

closed! {
    /// What is stored besides the workflow itself.
    ArchiveInclude { Events }
}

closed! {
    /// What about artifacts that Argo deletes together with the workflow (`artifactGC: OnWorkflowDeletion`).
    #[derive(Default)]
    Artifacts {
        /// Such a workflow is not deleted.
        #[default]
        Block,
        /// The archive refers to them, though they go.
        Reference,
    }
}

/// When finished runs are deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = (
    "!has(self.keepAtLeast) || ((!has(self.keepAtLeast.succeeded) || has(self.ttl.succeeded)) && (!has(self.keepAtLeast.failed) || has(self.ttl.failed)) && (!has(self.keepAtLeast.error) || has(self.ttl.error)))",
    "keepAtLeast of a phase needs the ttl of that phase, without one all are kept: set the ttl or remove the phase from keepAtLeast"
))]
#[serde(rename_all = "camelCase")]
pub struct Cleanup {
    /// Observe counts what is due, DryRun also says so in an event, Enforce deletes.
    #[serde(default)]
    pub mode: Mode,
    /// Whether a verified archive must exist before a run is deleted.
    #[serde(default)]
    pub require: CleanupRequire,
    /// How long finished runs are kept, by phase; absent = for ever.
    pub ttl: Ttl,
    /// So many are kept whatever their age, by CronWorkflow, else template, else generateName.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_at_least: Option<KeepAtLeast>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_deletes: Option<MaxDeletes>,
}

closed! {
    /// What must exist before a run is deleted.
    #[derive(Default)]
    CleanupRequire { #[default] Archive, None }
}

/// How long finished runs are kept, by phase.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = (
    "has(self.succeeded) || has(self.failed) || has(self.error)",
    "ttl must set succeeded, failed or error: a phase without a ttl is kept for ever"
))]
#[serde(rename_all = "camelCase")]
pub struct Ttl {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub succeeded: Option<Period>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<Period>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Period>,
}

/// How many finished runs are kept whatever their age.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeepAtLeast {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000))]
    pub succeeded: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000))]
    pub failed: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000))]
    pub error: Option<i32>,
}

/// The most that is deleted in any sliding window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct MaxDeletes {
    #[schemars(range(min = 1, max = 10_000))]
    pub count: i32,
    pub per: Period,
    /// Of the runs the policy matches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub percent: Option<i32>,
}
