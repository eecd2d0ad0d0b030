//! The CRDs of this binary, generated from the Rust types: printed by `unstick crds`, kept in crds/. What a running
//! operator needs of them is in schema/kinds.json.

use std::sync::LazyLock;

use kube::CustomResourceExt;
use serde_json::Value;

use super::VERSION;
use super::archive_location::ArchiveLocation;
use super::incident::WorkflowIncident;
use super::policy::{ClusterWorkflowPolicy, WorkflowPolicy};
use super::watchdog::Watchdog;

/// Every CRD, in the order in which they are printed.
static ALL: LazyLock<Vec<Value>> = LazyLock::new(|| {
    [
        Watchdog::crd(),
        WorkflowPolicy::crd(),
        ClusterWorkflowPolicy::crd(),
        WorkflowIncident::crd(),
        ArchiveLocation::crd(),
    ]
    .iter()
    .filter_map(|crd| serde_json::to_value(crd).ok())
    .map(|mut crd| {
        tidy(&mut crd);
        sort(crd)
    })
    .collect()
});

/// Every CRD as JSON, keys sorted.
pub fn all() -> &'static [Value] {
    &ALL
}

/// Name of a CRD, such as `workflowpolicies.unstick.dev`.
pub fn name(crd: &Value) -> &str {
    crd.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default()
}

/// One CRD as YAML.
///
/// # Errors
/// When the YAML writer fails, which it doesn't for plain JSON values.
pub fn yaml(crd: &Value) -> Result<String, serde_saphyr::ser::Error> {
    serde_saphyr::to_string(crd)
}

/// Kind of the objects of a CRD, and their schema.
pub fn schema(crd: &Value) -> Option<(&str, &Value)> {
    let kind = crd.pointer("/spec/names/kind")?.as_str()?;
    let versions = crd.pointer("/spec/versions")?.as_array()?;
    let ours = versions.iter().find(|version| version.get("name").and_then(Value::as_str) == Some(VERSION))?;
    Some((kind, ours.pointer("/schema/openAPIV3Schema")?))
}

/// Takes out `nullable` (without it the server prunes a null like an absent field, so rules need not care) and the titles
/// (names of Rust types), and writes whole bounds as integers.
fn tidy(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.remove("nullable");
            if map.get("title").is_some_and(Value::is_string) {
                map.remove("title");
            }
            if let Some(Value::Array(values)) = map.get_mut("enum") {
                values.retain(|v| !v.is_null());
            }
            map.values_mut().for_each(tidy);
        }
        Value::Array(list) => list.iter_mut().for_each(tidy),
        Value::Number(number) => {
            // The generated types hold bounds as floats.
            let whole = number.as_f64().filter(|f| f.fract() == 0.0 && number.is_f64());
            if let Some(integer) = whole.and_then(|f| format!("{f:.0}").parse::<i64>().ok()) {
                *value = integer.into();
            }
        }
        _ => {}
    }
}

/// Sorts keys whatever order the JSON map keeps, so that the output is stable.
fn sort(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut pairs: Vec<_> = map.into_iter().map(|(k, v)| (k, sort(v))).collect();
            pairs.sort_by(|a, b| a.0.cmp(&b.0));
            Value::Object(pairs.into_iter().collect())
        }
        Value::Array(list) => Value::Array(list.into_iter().map(sort).collect()),
        other => other,
    }
}
