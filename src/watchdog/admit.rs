//! From the objects of small kinds, as the server or a file has them, to inputs. Nothing here fails: what can't be read
//! becomes a problem of its object.

use std::collections::BTreeMap;

use serde_json::Value;

use super::input::{PodSeen, PolicySeen};
use super::policy::{Origin, PolicyKey};
use crate::api::policy::{ClusterPolicySpec, PolicySpec, Precedence};
use crate::api::reasons::ConditionReason;
use crate::api::selector::Selector;
use crate::api::validate::{self, Context, Problem, Severity};
use crate::api::workflow::Secs;

/// A policy of either kind; `None` for an object that has no name.
pub fn policy(object: &Value, context: &Context<'_>) -> Option<PolicySeen> {
    let cluster = object["kind"] == "ClusterWorkflowPolicy";
    let metadata = &object["metadata"];
    let text = |key: &str| metadata[key].as_str().unwrap_or_default().to_owned();
    let name = text("name");
    if name.is_empty() {
        return None;
    }
    let namespace = (!cluster).then(|| metadata["namespace"].as_str().unwrap_or("default").to_owned());
    let mut problems = validate::lint(object, context);
    let mut origin = Origin {
        key: PolicyKey { namespace, name },
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
    let status = object.get("status").and_then(|s| serde_json::from_value(s.clone()).ok());
    Some(PolicySeen { origin, spec: read.ok(), problems, status })
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
