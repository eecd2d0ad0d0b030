//! A workflow that can be submitted again, made of an archived one.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::redaction::MARKER;

/// Labels that Argo, or whoever submitted it, put on the run that was.
const RUN_LABELS: &[&str] = &[
    "workflows.argoproj.io/completed",
    "workflows.argoproj.io/phase",
    "workflows.argoproj.io/workflow-archiving-status",
    "workflows.argoproj.io/creator",
    "workflows.argoproj.io/creator-email",
    "workflows.argoproj.io/creator-preferred-username",
    "workflows.argoproj.io/actor",
    "workflows.argoproj.io/actor-email",
    "workflows.argoproj.io/actor-preferred-username",
    "workflows.argoproj.io/action",
    "workflows.argoproj.io/cron-workflow",
    "workflows.argoproj.io/resubmitted-from-workflow",
];
/// Annotations of the run that was.
const RUN_ANNOTATIONS: &[&str] = &[
    "kubectl.kubernetes.io/last-applied-configuration",
    "workflows.argoproj.io/scheduled-time",
    "workflows.argoproj.io/trace-id",
    "workflows.argoproj.io/pod-name-format",
];
const LINEAGE: &str = "workflows.argoproj.io/resubmitted-from-workflow";
/// The uid of the run that was archived.
pub const RESTORED_FROM: &str = "unstick.dev/restored-from-uid";

/// How the new workflow is to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RestoreOptions {
    /// `None` = a generated one.
    pub name: Option<String>,
    pub namespace: Option<String>,
    /// Values of `spec.arguments.parameters`, such as those that were redacted.
    pub parameters: BTreeMap<String, String>,
}

/// A workflow to submit.
#[derive(Clone, Debug, PartialEq)]
pub struct Restored {
    pub workflow: Value,
    /// Places that still have no value but the mark of redaction.
    pub redacted: Vec<String>,
}

/// Why an archive gives no workflow.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotRestorable {
    #[error("it is no Workflow")]
    NotAWorkflow,
    #[error("it has no parameter {0}")]
    NoParameter(String),
}

/// Makes a workflow of an archive's content.
///
/// # Errors
/// See [`NotRestorable`].
pub fn restore(archived: &[u8], options: &RestoreOptions) -> Result<Restored, NotRestorable> {
    let mut old: Value = serde_json::from_slice(archived).map_err(|_| NotRestorable::NotAWorkflow)?;
    if old["kind"] != "Workflow" || !old["spec"].is_object() || !old["metadata"].is_object() {
        return Err(NotRestorable::NotAWorkflow);
    }
    let (mut spec, metadata) = (old["spec"].take(), old["metadata"].take());
    let text = |key: &str| metadata[key].as_str().unwrap_or_default().to_owned();
    let name = text("name");
    let mut own = Map::new();
    if let Some(name) = &options.name {
        own.insert("name".into(), name.as_str().into());
    } else {
        let generated = metadata["generateName"].as_str().filter(|g| !g.is_empty()).map(str::to_owned);
        own.insert("generateName".into(), generated.unwrap_or_else(|| generate_name(&name)).into());
    }
    own.insert("namespace".into(), options.namespace.clone().unwrap_or_else(|| text("namespace")).into());
    let mut labels = kept(&metadata["labels"], RUN_LABELS);
    // A label takes 63 characters; a name may have more.
    labels.insert(LINEAGE.into(), name.get(..63).unwrap_or(&name).trim_end_matches(['-', '.', '_']).into());
    labels.insert(RESTORED_FROM.into(), text("uid").into());
    own.insert("labels".into(), labels.into());
    let annotations = kept(&metadata["annotations"], RUN_ANNOTATIONS);
    if !annotations.is_empty() {
        own.insert("annotations".into(), annotations.into());
    }
    // What stopped or suspended the run that was must not stop the new one.
    if let Some(spec) = spec.as_object_mut() {
        spec.remove("shutdown");
        spec.remove("suspend");
    }
    set_parameters(&mut spec, &options.parameters)?;
    let mut redacted = Vec::new();
    places(&spec, "spec", &mut redacted);
    let workflow = serde_json::json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "metadata": own, "spec": spec,
    });
    Ok(Restored { workflow, redacted })
}

/// A name without the five characters that the server added, with a dash.
fn generate_name(name: &str) -> String {
    let stem = match name.rsplit_once('-') {
        Some((stem, tail)) if tail.len() == 5 && tail.bytes().all(|b| b.is_ascii_alphanumeric()) => stem,
        _ => name,
    };
    format!("{}-", stem.get(..52).unwrap_or(stem).trim_end_matches(['-', '.']))
}

fn kept(map: &Value, without: &[&str]) -> Map<String, Value> {
    let all = map.as_object().into_iter().flatten();
    let own = all.filter(|(key, _)| !without.contains(&key.as_str()) && !key.starts_with("unstick.dev/"));
    own.map(|(key, value)| (key.clone(), value.clone())).collect()
}

fn set_parameters(spec: &mut Value, values: &BTreeMap<String, String>) -> Result<(), NotRestorable> {
    for (name, value) in values {
        let list = spec.pointer_mut("/arguments/parameters").and_then(Value::as_array_mut);
        let own = list.into_iter().flatten().find(|p| p["name"] == name.as_str());
        let own = own.and_then(Value::as_object_mut).ok_or_else(|| NotRestorable::NoParameter(name.clone()))?;
        own.insert("value".into(), value.as_str().into());
        // A list of one black bar would refuse every value.
        if own.get("enum").and_then(Value::as_array).is_some_and(|list| list.iter().any(|v| v == MARKER)) {
            own.remove("enum");
        }
    }
    Ok(())
}

fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::String(text) if text == MARKER => found.push(at.to_owned()),
        Value::Array(list) => {
            for (index, value) in list.iter().enumerate() {
                let name = value["name"].as_str().map_or_else(|| index.to_string(), str::to_owned);
                places(value, &format!("{at}[{name}]"), found);
            }
        }
        Value::Object(map) => map.iter().for_each(|(key, value)| places(value, &format!("{at}.{key}"), found)),
        _ => {}
    }
}
