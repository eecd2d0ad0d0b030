//! `WorkflowIncident`: one run stuck under one policy; the ledger of attempts and the place of approval.

#![allow(clippy::duplicated_attributes, reason = "columns share a type")]

use jiff::Timestamp;
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::condition::Condition;
use super::policy::Step;
use super::reasons::{DetectionType, Mode, Outcome, StepType, closed};
use super::time::Time;

/// The most attempts one incident lists.
pub const MAX_ATTEMPTS: usize = 64;

/// Whose incident it is and the ladder as it stood. Written once; only approvals are added, by people.
#[derive(CustomResource, Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "unstick.dev",
    version = "v1alpha1",
    kind = "WorkflowIncident",
    printcolumn(name = "Workflow", type_ = "string", json_path = ".spec.workflowRef.name"),
    printcolumn(name = "Detection", type_ = "string", json_path = ".status.detections[0].name"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.detections[0].reason"),
    printcolumn(name = "Since", type_ = "date", json_path = ".status.stuckSince"),
    printcolumn(name = "Step", type_ = "string", json_path = ".status.currentStep"),
    printcolumn(name = "Next", type_ = "string", json_path = ".status.next"),
    printcolumn(name = "State", type_ = "string", json_path = ".status.state"),
    printcolumn(name = "Policy", type_ = "string", json_path = ".spec.policyRef.name", priority = 1),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.detections[0].message", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    plural = "workflowincidents",
    namespaced,
    shortname = "wfi",
    category = "unstick",
    status = "IncidentStatus",
    derive = "PartialEq",
    doc = "One run stuck under one policy, from confirmation to its end; outlives its workflow."
)]
#[x_kube(validation = (
    "self.workflowRef == oldSelf.workflowRef && self.policyRef == oldSelf.policyRef",
    "workflowRef and policyRef can't be changed: an incident belongs to one run and one policy"
))]
#[x_kube(validation = (
    "has(self.steps) == has(oldSelf.steps) && (!has(self.steps) || self.steps == oldSelf.steps)",
    "steps can't be changed: they are the ladder as it stood when the incident was opened"
))]
#[x_kube(validation = (
    "!has(oldSelf.approvals) || (has(self.approvals) && self.approvals.size() >= oldSelf.approvals.size() && oldSelf.approvals.all(a, self.approvals.exists(b, b == a)))",
    "approvals can only be added to: keep the entries that are there"
))]
#[x_kube(validation = (
    "!has(self.approvals) || (has(self.steps) && self.approvals.all(a, self.steps.exists(s, s.name == a.step)))",
    "approvals: step must name an entry of spec.steps"
))]
#[serde(rename_all = "camelCase")]
pub struct IncidentSpec {
    pub workflow_ref: WorkflowRef,
    pub policy_ref: PolicyRef,
    /// Snapshot of the ladder.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub steps: Vec<Step>,
    /// Decisions of people; append-only. A rejection of a step is final.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub approvals: Vec<ApprovalDecision>,
}

/// The run: name, uid and start of its workflow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkflowRef {
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    #[schemars(length(min = 1, max = 64))]
    pub uid: String,
    /// Absent while the workflow has not started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
}

/// The policy that governed when the incident was opened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyRef {
    pub kind: PolicyKind,
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    #[schemars(length(min = 1, max = 64))]
    pub uid: String,
    #[schemars(range(min = 1))]
    pub generation: i64,
}

closed! {
    /// Kinds of policies.
    PolicyKind { WorkflowPolicy, ClusterWorkflowPolicy }
}

/// A person's word on a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApprovalDecision {
    #[schemars(length(min = 1, max = 63))]
    pub step: String,
    pub decision: Decision,
    /// Name of the user; checked against the request by an admission policy.
    #[schemars(length(min = 1, max = 256))]
    pub by: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 256))]
    pub reason: String,
}

closed! {
    /// A person's word on a step.
    Decision { Approved, Rejected }
}

/// Where the incident stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct IncidentStatus {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Confirmed, Blocked, Exhausted and Closed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// The conditions in one word, for `kubectl get`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<IncidentState>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stuck_since: Option<Time>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_at: Option<Time>,
    /// All that hold, the one shown first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub detections: Vec<HeldDetection>,
    /// At most 64, the newest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub attempts: Vec<Attempt>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 63))]
    pub current_step: String,
    /// What happens next, in words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 256))]
    pub next: String,
}

closed! {
    /// The conditions of an incident in one word.
    IncidentState { Unconfirmed, Open, Blocked, Exhausted, Recovered, Ended, TargetGone }
}

/// A detection that holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct HeldDetection {
    #[schemars(length(max = 63))]
    pub name: String,
    #[serde(rename = "type")]
    pub kind: DetectionType,
    pub reason: super::reasons::Reason,
    pub since: Time,
    /// `displayName` of the node concerned.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 253))]
    pub node: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 1024))]
    pub message: String,
}

/// One try of a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    #[schemars(length(max = 63))]
    pub step: String,
    #[schemars(range(min = 1))]
    pub attempt: i32,
    pub action: StepType,
    pub mode: Mode,
    pub reserved_at: Time,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Time>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 64))]
    pub reason: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 1024))]
    pub message: String,
}

/// Longest part of the workflow's name in an incident's name, in characters.
const NAME_PART: usize = 40;

/// Name of the incident of one run under one policy: `<workflow name, at most 40>-<10 hex>`.
///
/// The same inputs give the same name in every replica and after every restart, so that a second create fails.
pub fn incident_name(
    workflow_name: &str,
    uid: &str,
    started_at: Option<Timestamp>,
    policy_uid: &str,
    stuck_since: Timestamp,
) -> String {
    let started = started_at.map_or_else(String::new, |t| t.as_second().to_string());
    let joined = [uid, &started, policy_uid, &stuck_since.as_second().to_string()].join("\n");
    let digest = Sha256::digest(joined.as_bytes());
    let hex = digest.iter().take(5).fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
    let cut: String = workflow_name
        .chars()
        .take(NAME_PART)
        .map(|c| if c.is_ascii_lowercase() || c.is_ascii_digit() { c } else { '-' })
        .collect();
    let part = cut.trim_matches('-');
    if part.is_empty() { format!("incident-{hex:010x}") } else { format!("{part}-{hex:010x}") }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn the_name_is_the_same_everywhere_and_differs_by_every_input() {
        let name = |wf, uid, started, policy, since| incident_name(wf, uid, started, policy, at(since));
        let one = name("load-eu-7xk2p", "u1", Some(at(10)), "p1", 20);
        assert_eq!(one, "load-eu-7xk2p-af4089ca0c");
        let others = [
            name("load-eu-7xk2p", "u2", Some(at(10)), "p1", 20),
            name("load-eu-7xk2p", "u1", Some(at(11)), "p1", 20),
            name("load-eu-7xk2p", "u1", None, "p1", 20),
            name("load-eu-7xk2p", "u1", Some(at(10)), "p2", 20),
            name("load-eu-7xk2p", "u1", Some(at(10)), "p1", 21),
        ];
        assert!(others.iter().all(|o| *o != one));
    }

    #[test]
    fn long_and_dotted_names_stay_valid() {
        let long = format!("{}-tail", "a".repeat(39));
        assert!(incident_name(&long, "u", None, "p", at(1)).starts_with(&format!("{}-", "a".repeat(39))));
        assert!(incident_name("load.eu.v2", "u", None, "p", at(1)).starts_with("load-eu-v2-"));
        assert!(incident_name("", "u", None, "p", at(1)).starts_with("incident-"));
    }

    proptest! {
        #[test]
        fn any_text_gives_a_dns_label(name in "\\PC{0,300}", uid in "\\PC{0,40}", since in 0_i64..4_000_000_000) {
            let out = incident_name(&name, &uid, None, "p", at(since));
            prop_assert!(out.len() <= 63);
            prop_assert!(out.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'));
            prop_assert!(!out.starts_with('-') && !out.ends_with('-'));
        }
    }
}
