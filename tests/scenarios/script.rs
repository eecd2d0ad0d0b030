//! A story in YAML: given policies, at T this happens, expect that. See any file beside this one.
//!
//! Times are relative to the story's start: `+10m`, `-1h30m`; wherever such a text stands in an object it becomes a
//! time. A workflow is a merge patch on what was there before; nodes get id, name and template from their key.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use unstick::api::workflow::Secs;
use unstick::watchdog::facts::fnv64;
use unstick::watchdog::{input::Config, instant};

use super::world::{T0, unrel};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    pub case: String,
    /// `Type/Reason` that must be found at some time.
    #[serde(default)]
    pub fires: Vec<String>,
    /// `Type/Reason` that must not be found at any time, though it is near.
    #[serde(default)]
    pub near_miss: Vec<String>,
    #[serde(default)]
    pub given: Given,
    pub timeline: Vec<Step>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Given {
    /// Of the policy `p` of namespace `etl`: `Type after`, or a whole entry.
    #[serde(default)]
    pub detections: Vec<Value>,
    #[serde(default)]
    pub policies: Vec<Value>,
    pub settings: Option<Value>,
    #[serde(default)]
    pub namespaces: BTreeMap<String, BTreeMap<String, String>>,
    #[serde(default)]
    pub workflows: Vec<Value>,
    #[serde(default)]
    pub config: Value,
    /// The controller's Lease is there and renewed.
    #[serde(default)]
    pub argo: bool,
    /// false: the process starts as a standby.
    pub leading: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Time passes until then; absent = at once.
    pub at: Option<String>,
    pub workflow: Option<Value>,
    #[serde(default)]
    pub workflows: Vec<Value>,
    #[serde(default)]
    pub gone: Vec<String>,
    /// Deleted without anybody hearing of it.
    #[serde(default)]
    pub vanish: Vec<String>,
    /// No process runs until the next restart.
    #[serde(default)]
    pub down: bool,
    pub policy: Option<Value>,
    pub policy_gone: Option<String>,
    pub settings: Option<Value>,
    pub namespace: Option<(String, Option<BTreeMap<String, String>>)>,
    /// [workflow, node, finished]
    pub pod: Option<(String, String, String)>,
    pub pod_gone: Option<String>,
    /// false = the Lease is not renewed any more, null with `lease_gone`.
    pub argo: Option<bool>,
    #[serde(default)]
    pub lease_gone: bool,
    pub leading: Option<bool>,
    /// A reason of Unknown, or `none`.
    pub blind: Option<String>,
    /// A new process with what the server has.
    #[serde(default)]
    pub restart: bool,
    /// A new process, told of workflows before incidents.
    #[serde(default)]
    pub restart_workflows_first: bool,
    /// Read all workflows again.
    #[serde(default)]
    pub list: bool,
    /// false = a relist that is asked for waits.
    pub auto_relist: Option<bool>,
    /// Answers by kind of write: Conflict, Gone, Refused, Failed, Lost, Done.
    pub answers: Option<BTreeMap<String, String>>,
    pub echo: Option<String>,
    /// Deletes the incidents of these workflows behind our back.
    #[serde(default)]
    pub delete_incidents: Vec<String>,
    #[serde(default)]
    pub scrape: bool,
    pub expect: Option<Expect>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    pub stuck: Option<Vec<String>>,
    pub incidents: Option<Vec<String>>,
    /// Since the last time events were expected.
    pub events: Option<Vec<String>>,
    /// Since the last time writes were expected; without statuses of policies and the Watchdog.
    pub writes: Option<Vec<String>>,
    pub wake: Option<String>,
    pub relists: Option<u32>,
    pub standing: Option<BTreeMap<String, String>>,
    pub governing: Option<BTreeMap<String, String>>,
    pub policies: Option<BTreeMap<String, String>>,
    pub watchdog: Option<String>,
    pub count: Option<BTreeMap<String, u64>>,
    /// A detection of a workflow, as `explain` lists it: `Healthy until +48h`, `Absent`, `Unknown ...`, `Stuck`.
    pub checks: Option<BTreeMap<String, BTreeMap<String, String>>>,
}

pub fn config(value: &Value) -> Config {
    let mut config = Config { identity: "unstick-0".to_owned(), ..Config::default() };
    let number = |v: &Value| v.as_u64().unwrap();
    for (key, v) in value.as_object().into_iter().flatten() {
        match key.as_str() {
            "no_progress_floor" => config.no_progress_floor = Secs::try_from(number(v)).unwrap(),
            "max_incidents" => config.max_incidents = usize::try_from(number(v)).unwrap(),
            "max_unconfirmed" => config.max_unconfirmed = usize::try_from(number(v)).unwrap(),
            "incident_ttl" => config.incident_ttl = Secs::try_from(number(v)).unwrap(),
            "max_events" => config.max_events = usize::try_from(number(v)).unwrap(),
            "namespace" => config.namespace = v.as_str().map(str::to_owned),
            other => panic!("config: {other}"),
        }
    }
    config
}

/// `etl/a` or `a`.
pub fn split(name: &str) -> (String, String) {
    let (namespace, name) = name.split_once('/').unwrap_or(("etl", name));
    (namespace.to_owned(), name.to_owned())
}

/// Turns `+10m` into a time, everywhere below.
pub fn times(value: &mut Value) {
    match value {
        Value::String(text) => {
            if let Some(at) = unrel(text) {
                *text = instant(at).to_string();
            }
        }
        Value::Array(all) => all.iter_mut().for_each(times),
        Value::Object(map) => map.values_mut().for_each(times),
        _ => {}
    }
}

pub fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    let map: &mut Map<_, _> = target.as_object_mut().unwrap();
    for (key, value) in patch {
        if value.is_null() {
            map.remove(key);
        } else {
            merge(map.entry(key.clone()).or_insert(Value::Null), value);
        }
    }
}

pub fn uid_of(text: &str) -> String {
    let hash = fnv64(text);
    format!("{:08x}-0000-4000-8000-{:012x}", hash >> 32, hash & 0xffff_ffff)
}

/// The workflow after a patch in the short form.
pub fn workflow(short: &Value, old: Option<&Value>, now: Secs) -> Value {
    let mut short = short.clone();
    times(&mut short);
    let map = short.as_object_mut().unwrap();
    let (namespace, name) = split(map.remove("name").expect("a workflow needs a name").as_str().unwrap());
    let mut patch = json!({"metadata": {}});
    for (key, place) in [
        ("uid", "uid"),
        ("labels", "labels"),
        ("annotations", "annotations"),
        ("finalizers", "finalizers"),
        ("created", "creationTimestamp"),
        ("deleted", "deletionTimestamp"),
        ("managedFields", "managedFields"),
    ] {
        if let Some(value) = map.remove(key) {
            patch["metadata"][place] = value;
        }
    }
    for key in ["spec", "status"] {
        if let Some(value) = map.remove(key) {
            patch[key] = value;
        }
    }
    assert!(map.is_empty(), "not part of a workflow's short form: {map:?}");
    if let Some(nodes) = patch["status"]["nodes"].as_object_mut() {
        for (key, node) in nodes.iter_mut().filter(|(_, n)| n.is_object()) {
            let old = old.map_or(&Value::Null, |o| &o["status"]["nodes"][key]);
            let mut whole = json!({"id": format!("{name}-{key}"), "name": format!("{name}.{key}"), "displayName": key, "templateName": key});
            if old.is_object() {
                merge(&mut whole, old);
            }
            merge(&mut whole, node);
            *node = whole;
        }
    }
    let mut object = old.cloned().unwrap_or_else(|| {
        json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow",
            "metadata": {
                "namespace": namespace, "name": name, "uid": uid_of(&format!("{namespace}/{name}")),
                "creationTimestamp": instant(now).to_string(),
            },
            "spec": {}, "status": {},
        })
    });
    merge(&mut object, &patch);
    if let Some(phase) = object["status"]["phase"].as_str().map(str::to_owned) {
        merge(&mut object, &json!({"metadata": {"labels": {"workflows.argoproj.io/phase": phase}}}));
    }
    object
}

/// The policy after its short form: `{name, namespace | cluster: true, ...spec}`.
pub fn policy(short: &Value) -> Value {
    let mut spec = short.clone();
    times(&mut spec);
    let map = spec.as_object_mut().unwrap();
    let cluster = map.remove("cluster").is_some();
    let mut metadata = json!({"name": map.remove("name").unwrap_or(json!("p"))});
    let namespace = map.remove("namespace");
    if !cluster {
        metadata["namespace"] = namespace.unwrap_or(json!("etl"));
    }
    metadata["creationTimestamp"] = map.remove("created").unwrap_or(json!(instant(T0 - 86_400).to_string()));
    metadata["uid"] = map.remove("uid").unwrap_or(json!(uid_of(&metadata.to_string())));
    map.entry("selector").or_insert(json!({}));
    if cluster {
        map.entry("namespaceSelector").or_insert(json!({}));
    }
    if let Some(detections) = map.get_mut("detections").and_then(Value::as_array_mut) {
        detections.iter_mut().for_each(|d| *d = detection(d));
    }
    let kind = if cluster { "ClusterWorkflowPolicy" } else { "WorkflowPolicy" };
    json!({"apiVersion": "unstick.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec})
}

/// `Suspended 48h` is `{name: suspended, type: Suspended, after: 48h}`.
fn detection(value: &Value) -> Value {
    let Some(text) = value.as_str() else { return value.clone() };
    let (kind, after) = text.split_once(' ').unwrap();
    json!({"name": kind.to_lowercase(), "type": kind, "after": after})
}
