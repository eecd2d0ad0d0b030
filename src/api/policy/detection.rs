//! Detections: a union by `type`; a member object only where a type takes options.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::api::period::Period;
use crate::api::reasons::{DetectionType, closed};

use super::NAME_PATTERN;

/// One rule: a state and how long it may last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = (
    "!has(self.suspended) || self.type == 'Suspended'",
    "suspended is for type Suspended only: remove it or change type"
))]
#[x_kube(validation = (
    "!has(self.nodeRunningTooLong) || self.type == 'NodeRunningTooLong'",
    "nodeRunningTooLong is for type NodeRunningTooLong only: remove it or change type"
))]
#[serde(rename_all = "camelCase")]
pub struct Detection {
    #[schemars(length(min = 1, max = 63), regex(pattern = NAME_PATTERN))]
    pub name: String,
    /// The state looked for; selects the member that may be set.
    #[serde(rename = "type")]
    pub kind: DetectionType,
    /// How long the state may last before the run counts as stuck.
    pub after: Period,
    /// Options of type Suspended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspended: Option<Suspended>,
    /// Options of type NodeRunningTooLong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_running_too_long: Option<NodeRunningTooLong>,
}

/// Options of type Suspended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = (
    "!has(self.nodeFieldSelector) || self.nodeFieldSelector == '' || self.nodeFieldSelector.split(',').all(t, t.matches('^ *(displayName|templateName|phase|name|id|templateRef[.](name|template)|inputs[.]parameters[.][^,=!]+[.]value) *(==?|!=)[^=!]*$'))",
    "nodeFieldSelector must be field=value or field!=value, joined by commas; fields: displayName, templateName, phase, name, id, templateRef.name, templateRef.template, inputs.parameters.NAME.value"
))]
#[x_kube(validation = (
    "self.scope != 'Workflow' || !has(self.nodeFieldSelector) || self.nodeFieldSelector == ''",
    "nodeFieldSelector picks suspend steps: remove it or set scope to Node or Any"
))]
#[serde(rename_all = "camelCase")]
pub struct Suspended {
    /// Suspend steps, `spec.suspend`, or both.
    #[serde(default)]
    pub scope: SuspendedScope,
    /// Only these nodes, e.g. `displayName=approve`; empty = every suspend step.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 512))]
    pub node_field_selector: String,
}

closed! {
    /// What counts as a suspension.
    #[derive(Default)]
    SuspendedScope {
        Node,
        Workflow,
        #[default]
        Any,
    }
}

/// Options of type NodeRunningTooLong.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = (
    "!has(self.nodeFieldSelector) || self.nodeFieldSelector == '' || self.nodeFieldSelector.split(',').all(t, t.matches('^ *(displayName|templateName|phase|name|id|templateRef[.](name|template)|inputs[.]parameters[.][^,=!]+[.]value) *(==?|!=)[^=!]*$'))",
    "nodeFieldSelector must be field=value or field!=value, joined by commas; fields: displayName, templateName, phase, name, id, templateRef.name, templateRef.template, inputs.parameters.NAME.value"
))]
#[serde(rename_all = "camelCase")]
pub struct NodeRunningTooLong {
    /// Only these nodes, e.g. `templateName=implement`; empty = every node that does work itself.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 512))]
    pub node_field_selector: String,
}
