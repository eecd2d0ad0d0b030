//! From the objects of small kinds, as the server or a file has them, to inputs. Nothing here fails: what can't be read
//! becomes a problem of its object.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::input::{PodSeen, PolicySeen};
use super::policy::{Origin, PolicyKey};
use crate::api::policy::{ClusterPolicySpec, PolicySpec, PolicyStatus, Precedence};
use crate::api::reasons::ConditionReason;
use crate::api::selector::Selector;
use crate::api::validate::{self, Context, Problem, Severity};
use crate::api::workflow::Secs;

/// A policy of either kind; `None` for an object that has no name.
pub fn policy(object: &Value, context: &Context<'_>) -> Option<PolicySeen> {
    let cluster = object["kind"] == "ClusterWorkflowPolicy";
    let metadata = &object["metadata"];
    let text = |key: &str| metadata[key].as_str().unwrap_or_default().to_owned();
    let key = policy_key(object)?;
    let mut problems = validate::lint(object, context);
    let mut origin = Origin {
        key,
        uid: text("uid"),
        generation: metadata["generation"].as_i64().unwrap_or(1),
        created: time(&metadata["creationTimestamp"]),
        namespaces: Selector::default(),
        precedence: Precedence::default(),
    };
    if origin.uid.is_empty() {
        // From a file: the name tells it apart.
        origin.uid = origin.key.label();
    }
    let read = if cluster {
        ClusterPolicySpec::from_value(&object["spec"]).map(|spec| {
            origin.namespaces = Selector::compile(&spec.namespace_selector).unwrap_or_default();
            origin.precedence = spec.precedence;
            spec.policy
        })
    } else {
        PolicySpec::from_value(&object["spec"])
    };
    if let (Err(error), true) = (&read, problems.is_empty()) {
        problems.push(Problem {
            severity: Severity::Error,
            reason: ConditionReason::InvalidSpec,
            field: error.field.clone(),
            message: error.message.clone(),
        });
    }
    Some(PolicySeen { origin, spec: read.ok(), problems, status: policy_status(object) })
}

/// What is said of a policy, if it can be read.
pub fn policy_status(object: &Value) -> Option<PolicyStatus> {
    object.get("status").and_then(|status| PolicyStatus::deserialize(status).ok())
}

/// Which policy an object is; `None` for one that has no name.
pub fn policy_key(object: &Value) -> Option<PolicyKey> {
    let metadata = &object["metadata"];
    let name = metadata["name"].as_str().filter(|n| !n.is_empty())?.to_owned();
    let cluster = object["kind"] == "ClusterWorkflowPolicy";
    let namespace = (!cluster).then(|| metadata["namespace"].as_str().unwrap_or("default").to_owned());
    Some(PolicyKey { namespace, name })
}

/// Whether two versions of an object differ in nothing but their status.
pub fn same_but_status(one: &Value, other: &Value) -> bool {
    let same = |one: &Value, other: &Value, but: &[&str]| match (one.as_object(), other.as_object()) {
        (Some(one), Some(other)) => {
            let keys = one.keys().chain(other.keys());
            keys.filter(|key| !but.contains(&key.as_str())).all(|key| one.get(key) == other.get(key))
        }
        _ => false,
    };
    same(one, other, &["status", "metadata"])
        && same(&one["metadata"], &other["metadata"], &["resourceVersion", "managedFields"])
}

/// Labels of any object.
pub fn labels(object: &Value) -> BTreeMap<String, String> {
    let labels = object["metadata"]["labels"].as_object();
    labels
        .map(|l| l.iter().filter_map(|(k, v)| Some((k.clone(), v.as_str()?.to_owned()))).collect())
        .unwrap_or_default()
}

/// A finished pod of a workflow; `None` for one that says too little to prove anything.
pub fn pod(object: &Value) -> Option<PodSeen> {
    let metadata = &object["metadata"];
    let text = |value: &Value| value.as_str().filter(|t| !t.is_empty()).map(str::to_owned);
    let statuses = object["status"]["containerStatuses"].as_array();
    let ended =
        statuses.into_iter().flatten().map(|s| time(&s["state"]["terminated"]["finishedAt"])).max().unwrap_or(0);
    Some(PodSeen {
        namespace: text(&metadata["namespace"])?,
        workflow: text(&metadata["labels"]["workflows.argoproj.io/workflow"])?,
        pod: text(&metadata["name"])?,
        node_id: text(&metadata["annotations"]["workflows.argoproj.io/node-id"])?,
        finished: if ended == 0 { time(&metadata["creationTimestamp"]) } else { ended },
    })
}

/// When a Lease was renewed last.
pub fn renewed(object: &Value) -> Option<Secs> {
    let at = time(&object["spec"]["renewTime"]);
    (at != 0).then_some(at)
}

fn time(value: &Value) -> Secs {
    value.as_str().and_then(|t| t.parse::<jiff::Timestamp>().ok()).map_or(0, super::secs)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_status_alone_is_no_new_policy() {
        let before = json!({"kind": "WorkflowPolicy", "spec": {"selector": {}},
            "metadata": {"name": "a", "uid": "1", "resourceVersion": "5"}});
        let with = |path: &str, value: Value| {
            let mut after = before.clone();
            after["status"] = json!({"stuck": 3});
            after["metadata"]["resourceVersion"] = "6".into();
            after["metadata"]["managedFields"] = json!([{}]);
            if let Some(place) = after.pointer_mut(path) {
                *place = value;
            } else {
                after["metadata"]["labels"] = value;
            }
            after
        };
        assert!(same_but_status(&before, &with("/status/stuck", 4.into())));
        for (path, value) in [
            ("/spec/selector", json!({"matchLabels": {"a": "b"}})),
            ("/spec", Value::Null),
            ("/metadata/uid", "2".into()),
            ("/metadata/labels", json!({"a": "b"})),
        ] {
            assert!(!same_but_status(&before, &with(path, value.clone())), "{path}");
            assert!(!same_but_status(&with(path, value), &before), "{path}");
        }
    }
}
