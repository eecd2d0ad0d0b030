//! How workflow type, task id, stage and agent are read from a workflow (API.md section 1).

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::api::reasons::closed;

/// What names a workflow and its stages in metrics. Stage and agent are read per node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = (
    "!has(self.workflowType) || !(self.workflowType.from.type in ['InputParameter', 'TemplateName', 'NodeName'])",
    "workflowType is read per workflow: use from.type Label, Annotation, Parameter or Constant"
))]
#[x_kube(validation = (
    "!has(self.taskId) || !(self.taskId.from.type in ['InputParameter', 'TemplateName', 'NodeName'])",
    "taskId is read per workflow: use from.type Label, Annotation, Parameter or Constant"
))]
#[serde(rename_all = "camelCase")]
pub struct Observe {
    /// The template or CronWorkflow label when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workflow_type: Option<ObserveRule>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_id: Option<ObserveRule>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<ObserveRule>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<ObserveRule>,
}

/// Where a value is read and what it is turned into.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ObserveRule {
    pub from: ObserveFrom,
    /// The first that matches gives the value; a value that matches none stays as it is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub map: Vec<ValueMap>,
    /// Values beyond so many become `other`; 20 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 200))]
    pub max_values: Option<i32>,
}

/// Where a value is read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = (
    "self.type in ['TemplateName', 'NodeName'] || has(self.key)",
    "key is required for this type: set the label, annotation, parameter or constant to read"
))]
#[x_kube(validation = (
    "!(self.type in ['TemplateName', 'NodeName']) || !has(self.key)",
    "key has no meaning for TemplateName and NodeName: remove it"
))]
#[serde(rename_all = "camelCase")]
pub struct ObserveFrom {
    #[serde(rename = "type")]
    pub kind: ObserveSource,
    /// Key of the label or annotation, name of the parameter, or the constant itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 317))]
    pub key: Option<String>,
}

closed! {
    /// Where a value is read. InputParameter, TemplateName and NodeName are of a node.
    ObserveSource { Label, Annotation, Parameter, InputParameter, TemplateName, NodeName, Constant }
}

/// Turns what matches into one value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ValueMap {
    /// A regular expression for the whole value.
    #[serde(rename = "match")]
    #[schemars(length(min = 1, max = 256))]
    pub pattern: String,
    #[schemars(length(min = 1, max = 63))]
    pub value: String,
}
