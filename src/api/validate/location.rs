//! What is wrong with an `ArchiveLocation`: its schema, and its CEL rules once more.

use serde_json::Value;

use super::{Found, Problem, Severity};
use crate::api::archive_location::{ArchiveLocationSpec, Encryption, LocationType};
use crate::api::policy::breaches;
use crate::api::reasons::ConditionReason;
use crate::api::schema::{Breach, prune_nulls};
use crate::api::selector::Selector;

/// Every problem of an `ArchiveLocation` as it stands in a file; the spec where it can be read.
pub fn lint_location(object: &Value) -> (Vec<Problem>, Option<ArchiveLocationSpec>) {
    let mut found = Found::default();
    for Breach { field, message, unknown } in breaches(&object["spec"], "ArchiveLocation") {
        let reason = if unknown { ConditionReason::UnknownValue } else { ConditionReason::InvalidSpec };
        found.push(Severity::Error, reason, &field, message);
    }
    if !found.all.is_empty() {
        return (found.all, None);
    }
    let mut spec = object["spec"].clone();
    prune_nulls(&mut spec);
    let spec: ArchiveLocationSpec = match serde_json::from_value(spec) {
        Ok(spec) => spec,
        Err(error) => {
            found.error("spec", format!("can't be read: {error}"));
            return (found.all, None);
        }
    };
    if (spec.kind == LocationType::S3) != spec.s3.is_some() {
        found.error("spec", "type S3 needs s3, and only it: add spec.s3 or remove it");
    }
    if (spec.kind == LocationType::Filesystem) != spec.filesystem.is_some() {
        found.error("spec", "type Filesystem needs filesystem, and only it: add spec.filesystem or remove it");
    }
    if let Some(s3) = &spec.s3 {
        if (s3.server_side_encryption == Encryption::KMS) == s3.kms_key_id.is_empty() {
            let message = "kmsKeyId and serverSideEncryption KMS belong together: set both or neither";
            found.error("spec.s3", message);
        }
        let host = ["http://", "https://"].iter().find_map(|scheme| s3.endpoint.strip_prefix(scheme));
        if !s3.endpoint.is_empty() && host.is_none_or(|h| h.is_empty() || h.starts_with('/') || h.contains(' ')) {
            let message =
                "endpoint must be an http or https address such as https://minio.example:9000, or empty for AWS";
            found.error("spec.s3", message);
        }
    }
    if let Err(error) = Selector::compile(&spec.allowed_namespaces) {
        found.error("spec.allowedNamespaces", format!("can't be read: {error}"));
    }
    (found.all, Some(spec))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::crds;

    fn said(spec: &Value) -> Vec<String> {
        lint_location(&json!({"spec": spec})).0.iter().map(|p| p.message.clone()).collect()
    }

    /// The messages of all CEL rules below.
    fn rules(at: &Value, found: &mut Vec<String>) {
        match at {
            Value::Object(map) => map.iter().for_each(|(key, value)| match (key.as_str(), value) {
                ("x-kubernetes-validations", Value::Array(list)) => {
                    found.extend(list.iter().map(|r| r["message"].as_str().unwrap().to_owned()));
                }
                // Selectors are judged where they are compiled.
                ("allowedNamespaces", _) => {}
                (_, value) => rules(value, found),
            }),
            Value::Array(list) => list.iter().for_each(|value| rules(value, found)),
            _ => {}
        }
    }

    #[test]
    fn each_rule_of_the_crd_is_judged_here_too() {
        let s3 = |more: &Value| {
            let mut s3 = json!({"bucket": "some-bucket"});
            s3.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            json!({"type": "S3", "allowedNamespaces": {}, "s3": s3})
        };
        let folder = json!({"type": "Filesystem", "allowedNamespaces": {}, "filesystem": {"path": "/archive"}});
        for fine in [
            s3(&json!({})),
            s3(&json!({"endpoint": "https://minio:9000"})),
            s3(&json!({"serverSideEncryption": "KMS", "kmsKeyId": "k"})),
            folder,
        ] {
            assert_eq!(said(&fine), Vec::<String>::new(), "{fine}");
        }
        let broken = [
            json!({"type": "S3", "allowedNamespaces": {}}),
            json!({"type": "Filesystem", "allowedNamespaces": {}}),
            s3(&json!({"kmsKeyId": "k"})),
            s3(&json!({"endpoint": "minio:9000"})),
        ];
        let all: Vec<String> = broken.iter().flat_map(said).collect();
        let mut wanted = Vec::new();
        let schemas = crds::all().iter().filter_map(crds::schema);
        for (_, schema) in schemas.filter(|(kind, _)| *kind == "ArchiveLocation") {
            rules(schema, &mut wanted);
        }
        assert!(wanted.len() >= 4, "{wanted:?}");
        for rule in wanted {
            assert!(all.contains(&rule), "nothing trips {rule:?}: {all:#?}");
        }
    }

    #[test]
    fn a_selector_that_can_not_be_read_is_named() {
        for (operator, values) in [("In", json!([])), ("Exists", json!(["a"]))] {
            let selector = json!({"matchExpressions": [{"key": "team", "operator": operator, "values": values}]});
            let spec = json!({"type": "Filesystem", "filesystem": {"path": "/archive"}, "allowedNamespaces": selector});
            let problems = lint_location(&json!({"spec": spec})).0;
            assert!(problems.iter().any(|p| p.field.starts_with("spec.allowedNamespaces")), "{operator}: {problems:?}");
        }
    }

    #[test]
    fn what_the_schema_refuses_is_said_first() {
        let (problems, spec) = lint_location(&json!({"spec": {"type": "S3", "s3": {"bucket": "B"}}}));
        assert!(spec.is_none());
        let all: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert!(all.iter().any(|p| p.starts_with("spec.allowedNamespaces is required")), "{all:?}");
        assert!(all.iter().any(|p| p.starts_with("spec.s3.bucket")), "{all:?}");
    }
}
