//! How workflow type, task id, stage and agent are read from a workflow: the `observe` rules of its policy.

use std::collections::HashSet;

use regex::Regex;
use serde::Deserialize;

use crate::api::policy::{self, ObserveSource};
use crate::api::selector::input_parameter;
use crate::api::workflow::{Node, Raw, Workflow};

/// Value of everything beyond `maxValues`.
pub const OTHER: &str = "other";
const DEFAULT_MAX_VALUES: usize = 20;
/// Longer values are cut: they become metric labels.
const MAX_VALUE: usize = 63;

#[derive(Clone, Debug, Default)]
pub struct Observe {
    pub workflow_type: Option<Rule>,
    pub task_id: Option<Rule>,
    pub stage: Option<Rule>,
    pub agent: Option<Rule>,
}

#[derive(Clone, Debug)]
pub struct Rule {
    source: ObserveSource,
    key: String,
    map: Vec<(Regex, String)>,
    max_values: usize,
    seen: HashSet<String>,
}

impl Observe {
    /// Rules whose patterns don't compile are left out; `api::validate` has refused such a policy before.
    pub fn compile(spec: Option<&policy::Observe>) -> Self {
        let Some(spec) = spec else { return Self::default() };
        Self {
            workflow_type: spec.workflow_type.as_ref().map(Rule::compile),
            // Task ids are free: they stand on capped per-workflow series only.
            task_id: spec.task_id.as_ref().map(Rule::compile).map(|r| Rule { max_values: usize::MAX, ..r }),
            stage: spec.stage.as_ref().map(Rule::compile),
            agent: spec.agent.as_ref().map(Rule::compile),
        }
    }
}

impl Rule {
    fn compile(spec: &policy::ObserveRule) -> Self {
        let map =
            spec.map.iter().filter_map(|m| Some((Regex::new(&format!("^(?:{})$", m.pattern)).ok()?, m.value.clone())));
        Self {
            source: spec.from.kind,
            key: spec.from.key.clone().unwrap_or_default(),
            map: map.collect(),
            max_values: spec.max_values.and_then(|n| usize::try_from(n).ok()).unwrap_or(DEFAULT_MAX_VALUES),
            seen: HashSet::new(),
        }
    }

    /// What the rule reads of the workflow as a whole.
    pub fn of_workflow(&mut self, workflow: &Workflow<'_>) -> Option<String> {
        let raw = match self.source {
            ObserveSource::Label => workflow.label(&self.key).map(str::to_owned),
            ObserveSource::Annotation => workflow.annotation(&self.key),
            ObserveSource::Parameter => parameter(workflow.spec.parameters?, &self.key),
            ObserveSource::Constant => Some(self.key.clone()),
            ObserveSource::InputParameter | ObserveSource::TemplateName | ObserveSource::NodeName => None,
        }?;
        self.bound(&raw)
    }

    /// What the rule reads of one node; rules that don't look at nodes read the workflow.
    pub fn of_node(&mut self, workflow: &Workflow<'_>, node: &Node<'_>) -> Option<String> {
        match self.source {
            ObserveSource::InputParameter => input_parameter(node, &self.key).and_then(|v| self.bound(&v)),
            ObserveSource::TemplateName => {
                let template = node.template_ref.as_ref().map_or(&node.template_name, |(_, template)| template);
                self.bound(&template.clone())
            }
            ObserveSource::NodeName => self.bound(&node.display_name.clone()),
            _ => self.of_workflow(workflow),
        }
    }

    fn bound(&mut self, raw: &str) -> Option<String> {
        if raw.is_empty() {
            return None;
        }
        let mapped = self.map.iter().find(|(r, _)| r.is_match(raw)).map_or(raw, |(_, v)| v);
        let value: String = mapped.chars().take(MAX_VALUE).collect();
        if self.max_values == usize::MAX || self.seen.contains(&value) {
            return Some(value);
        }
        if self.seen.len() >= self.max_values {
            return Some(OTHER.to_owned());
        }
        self.seen.insert(value.clone());
        Some(value)
    }
}

#[derive(Deserialize)]
struct Parameter {
    #[serde(default)]
    name: serde_json::Value,
    #[serde(default)]
    value: serde_json::Value,
}

fn parameter(raw: Raw<'_>, key: &str) -> Option<String> {
    let all: Vec<Parameter> = serde_json::from_str(raw.get()).ok()?;
    match all.into_iter().find(|p| p.name.as_str() == Some(key))?.value {
        serde_json::Value::String(text) => Some(text),
        value @ (serde_json::Value::Number(_) | serde_json::Value::Bool(_)) => Some(value.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(json: serde_json::Value) -> Rule {
        Rule::compile(&serde_json::from_value(json).unwrap())
    }

    #[test]
    fn values_are_mapped_whole_and_bounded() {
        let mut stage = rule(serde_json::json!({
            "from": {"type": "TemplateName"}, "map": [{"match": "impl.*", "value": "implementation"}], "maxValues": 2
        }));
        let workflow = Workflow::default();
        let mut read =
            |name: &str| stage.of_node(&workflow, &Node { template_name: name.to_owned().into(), ..Node::default() });
        assert_eq!(read("implement").as_deref(), Some("implementation"));
        assert_eq!(read("reimpl").as_deref(), Some("reimpl"), "a pattern matches the whole value");
        assert_eq!(read("testing").as_deref(), Some(OTHER));
        assert_eq!(read("implode").as_deref(), Some("implementation"));
        assert_eq!(read(""), None);
    }

    #[test]
    fn parameters_of_any_scalar_type_are_read() {
        let raw = Raw::new(r#"[{"name": "task-id", "value": 17}, {"name": "x", "value": "y"}, {"name": 3}]"#).unwrap();
        assert_eq!(parameter(raw, "task-id").as_deref(), Some("17"));
        assert_eq!(parameter(raw, "x").as_deref(), Some("y"));
        assert_eq!(parameter(raw, "absent"), None);
    }
}
