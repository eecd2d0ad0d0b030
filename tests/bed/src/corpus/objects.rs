//! What stands around the workflows: namespaces and the policies under which they are stuck.

use serde_json::{Value, json};

use super::Trouble;

/// Half of them namespaced, half for the cluster.
pub const POLICIES: u32 = 20;

/// Namespaces `team-00` and on; each with a label `team`.
pub fn namespaces(count: u32) -> Vec<Value> {
    (0..count)
        .map(|n| {
            let name = format!("team-{n:02}");
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": {"team": name}}})
        })
        .collect()
}

/// Policies with every detection type and every `observe` rule, so that each namespace has one that governs: even
/// namespaces their own, odd ones a cluster policy with a `namespaceSelector`.
pub fn policies() -> Vec<Value> {
    (0..POLICIES)
        .map(|n| {
            let team = format!("team-{n:02}");
            let mut spec = spec();
            if n % 2 == 0 {
                json!({"apiVersion": "unstick.dev/v1alpha1", "kind": "WorkflowPolicy",
                       "metadata": {"name": "default", "namespace": team}, "spec": spec})
            } else {
                spec["namespaceSelector"] = json!({"matchLabels": {"team": team}});
                spec["precedence"] = json!("Default");
                json!({"apiVersion": "unstick.dev/v1alpha1", "kind": "ClusterWorkflowPolicy", "metadata": {"name": team}, "spec": spec})
            }
        })
        .collect()
}

fn spec() -> Value {
    let mut detections: Vec<Value> = Vec::new();
    for trouble in Trouble::ALL {
        let (kind, seconds) = trouble.detection();
        if detections.iter().any(|d| d["type"] == kind) {
            continue;
        }
        let mut detection = json!({"name": kind.to_lowercase(), "type": kind, "after": format!("{}m", seconds / 60)});
        if kind == "NodeRunningTooLong" {
            detection["nodeRunningTooLong"] = json!({"nodeFieldSelector": "templateName=implement"});
        }
        detections.push(detection);
    }
    json!({
        "selector": {},
        "detections": detections,
        "remediation": {"mode": "Observe", "steps": [{"name": "tell", "type": "Notify"}]},
        "observe": {
            "workflowType": {"from": {"type": "Label", "key": "workflows.argoproj.io/workflow-template"}},
            "taskId": {"from": {"type": "Parameter", "key": "task-id"}},
            "stage": {"from": {"type": "TemplateName"}, "map": [
                {"match": "impl.*", "value": "implementation"}, {"match": "qual.*", "value": "quality"},
                {"match": "test.*", "value": "testing"}, {"match": "appr.*", "value": "approval"}]},
            "agent": {"from": {"type": "InputParameter", "key": "agent"}},
        },
    })
}
