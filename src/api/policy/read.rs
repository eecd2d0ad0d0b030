//! Reading a policy or the Watchdog from what the server returned: an unknown enum value or field ends in an error that can be shown
//! in `Ready`, not in a failed watch.

use serde::de::DeserializeOwned;
use serde_json::Value;
use thiserror::Error;

use super::{ClusterPolicySpec, PolicySpec};
use crate::api::reasons::ConditionReason;
use crate::api::schema::{self, Breach, tree};
use crate::api::watchdog::WatchdogSpec;

/// Why a spec can't be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{field} {message}{}", if *.more == 0 { String::new() } else { format!(" (and {} more)", .more) })]
pub struct SpecError {
    /// Path of the first field at fault, such as `spec.detections[0].type`.
    pub field: String,
    /// What it must be.
    pub message: String,
    /// `UnknownValue` when it may come from a newer version, else `InvalidSpec`.
    pub reason: ConditionReason,
    /// How many other fields are at fault.
    pub more: usize,
}

impl PolicySpec {
    /// Reads the `spec` of a WorkflowPolicy.
    ///
    /// # Errors
    /// The first field at fault.
    pub fn from_value(spec: &Value) -> Result<Self, SpecError> {
        read(spec, "WorkflowPolicy")
    }
}

impl ClusterPolicySpec {
    /// Reads the `spec` of a ClusterWorkflowPolicy.
    ///
    /// # Errors
    /// The first field at fault.
    pub fn from_value(spec: &Value) -> Result<Self, SpecError> {
        read(spec, "ClusterWorkflowPolicy")
    }
}

impl WatchdogSpec {
    /// Reads the `spec` of a Watchdog.
    ///
    /// # Errors
    /// The first field at fault.
    pub fn from_value(spec: &Value) -> Result<Self, SpecError> {
        read(spec, "Watchdog")
    }
}

/// Every breach of the schema in the `spec` of an object of `kind`.
pub fn breaches(spec: &Value, kind: &str) -> Vec<Breach> {
    let known = tree::of(kind).and_then(|schema| schema.properties.as_ref()?.get("spec"));
    known.map_or_else(Vec::new, |schema| schema::check(schema, spec, "spec"))
}

fn read<T: DeserializeOwned>(spec: &Value, kind: &str) -> Result<T, SpecError> {
    let found = breaches(spec, kind);
    // What may come from a newer version is the more telling cause.
    if let Some(first) = found.iter().find(|b| b.unknown).or_else(|| found.first()) {
        let reason = if first.unknown { ConditionReason::UnknownValue } else { ConditionReason::InvalidSpec };
        return Err(SpecError {
            field: first.field.clone(),
            message: first.message.clone(),
            reason,
            more: found.len() - 1,
        });
    }
    let mut pruned = spec.clone();
    schema::prune_nulls(&mut pruned);
    serde_json::from_value(pruned).map_err(|error| SpecError {
        field: "spec".to_owned(),
        message: format!("can't be read: {error}"),
        reason: ConditionReason::InvalidSpec,
        more: 0,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::policy::Precedence;

    #[test]
    fn an_unknown_type_is_named_with_its_path() {
        let spec = json!({"selector": {}, "detections": [{"name": "a", "type": "Haunted", "after": "1h"}]});
        let error = PolicySpec::from_value(&spec).unwrap_err();
        assert_eq!(error.reason, ConditionReason::UnknownValue);
        assert!(error.to_string().starts_with("spec.detections[0].type must be one of DeletionBlocked, "), "{error}");
    }

    #[test]
    fn a_field_of_a_newer_version_is_refused() {
        let spec = json!({"selector": {}, "detections": [{"name": "a", "type": "Pending", "after": "1h"}],
            "remediation": {"steps": [{"name": "s", "type": "Stop", "fourEyes": true}]}});
        let error = PolicySpec::from_value(&spec).unwrap_err();
        assert_eq!(
            (error.field.as_str(), error.reason),
            ("spec.remediation.steps[0].fourEyes", ConditionReason::UnknownValue)
        );
    }

    #[test]
    fn an_empty_watchdog_is_the_default_one() {
        assert_eq!(WatchdogSpec::from_value(&json!({})), Ok(WatchdogSpec::default()));
        let error = WatchdogSpec::from_value(&json!({"argo": [{"name": "a"}]})).unwrap_err();
        assert_eq!(error.to_string(), "spec.argo[0].namespace is required: add it");
    }

    #[test]
    fn defaults_are_those_of_the_schema() {
        let spec = json!({"namespaceSelector": {}, "selector": {}, "priority": null,
            "archive": {"location": "main"}, "cleanup": {"ttl": {"succeeded": "7d"}}});
        let read = ClusterPolicySpec::from_value(&spec).unwrap();
        assert_eq!(read.precedence, Precedence::Default);
        let back = serde_json::to_value(&read).unwrap();
        assert_eq!(back["archive"], json!({"location": "main", "mode": "Observe", "artifacts": "Block"}));
        assert_eq!(back["cleanup"], json!({"ttl": {"succeeded": "7d"}, "mode": "Observe", "require": "Archive"}));
        assert_eq!(back["priority"], 0);
    }
}
