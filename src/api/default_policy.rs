//! The built-in policy: what `policy init` writes and what `stuck` uses where a cluster has no policies.

use std::sync::LazyLock;

use serde_json::Value;

use super::policy::{ClusterPolicySpec, SpecError};
use super::reasons::ConditionReason;

/// A ClusterWorkflowPolicy with every detection type, as commented YAML.
pub const TEXT: &str = include_str!("default_policy.yaml");

static PARSED: LazyLock<Result<ClusterPolicySpec, SpecError>> = LazyLock::new(|| {
    let object: Value = serde_saphyr::from_str(TEXT).map_err(|error| SpecError {
        field: "the built-in policy".to_owned(),
        message: error.to_string(),
        reason: ConditionReason::InvalidSpec,
        more: 0,
    })?;
    ClusterPolicySpec::from_value(&object["spec"])
});

/// The built-in policy.
///
/// # Errors
/// Never for the text that is compiled in; a test holds that.
pub fn default_policy() -> Result<ClusterPolicySpec, SpecError> {
    PARSED.clone()
}

/// The same as an object, as a server would have it.
pub fn object() -> Value {
    serde_saphyr::from_str(TEXT).unwrap_or_default()
}

/// The text of `policy init`: for the whole cluster, or a WorkflowPolicy for one namespace.
pub fn init_text(namespace: Option<&str>) -> String {
    let Some(namespace) = namespace else { return TEXT.to_owned() };
    let mut text = String::with_capacity(TEXT.len());
    for line in TEXT.lines() {
        match line.trim_start() {
            "kind: ClusterWorkflowPolicy" => text.push_str("kind: WorkflowPolicy"),
            "name: default" => {
                text.push_str(line);
                text.push_str("\n  namespace: ");
                text.push_str(namespace);
            }
            "namespaceSelector: {}" | "precedence: Default" => continue,
            l if l.starts_with("# Default: a WorkflowPolicy") => continue,
            l if l.starts_with("# Namespaces and workflows") => {
                text.push_str("  # Workflows by label; {} is all of them.");
            }
            _ => text.push_str(line),
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::policy::PolicySpec;
    use crate::api::reasons::DetectionType;

    #[test]
    fn the_built_in_policy_has_every_type_in_the_order_of_diagnosis() {
        let spec = default_policy().unwrap();
        let types: Vec<_> = spec.policy.detections.iter().map(|d| d.kind).collect();
        assert_eq!(types, DetectionType::ALL);
        assert!(spec.policy.remediation.is_none());
    }

    #[test]
    fn the_text_for_one_namespace_reads_as_a_workflow_policy() {
        let object: Value = serde_saphyr::from_str(&init_text(Some("etl"))).unwrap();
        assert_eq!((&object["kind"], &object["metadata"]["namespace"]), (&"WorkflowPolicy".into(), &"etl".into()));
        let spec = PolicySpec::from_value(&object["spec"]).unwrap();
        assert_eq!(spec, default_policy().unwrap().policy);
    }
}
