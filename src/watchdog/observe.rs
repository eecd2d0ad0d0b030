//! How workflow type, task id, stage and agent are read from a workflow: the `observe` rules of its policy.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use foldhash::fast::RandomState;
use regex::Regex;

use super::project::is_kept;
use crate::api::policy::{self, ObserveSource};
use crate::api::workflow::{Node, Text, Workflow, input_parameter, parameter};

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
    seen: HashSet<Arc<str>, RandomState>,
    /// What each text read of late has become.
    memo: HashMap<Box<str>, Arc<str>, RandomState>,
}

/// Texts remembered by one rule; beyond it begins to remember anew.
const MEMO: usize = 256;

impl Observe {
    /// Rules whose patterns don't compile are left out; `api::validate` has refused such a policy before.
    pub fn compile(spec: Option<&policy::Observe>) -> Self {
        let Some(spec) = spec else { return Self::default() };
        Self {
            workflow_type: spec.workflow_type.as_ref().map(Rule::compile),
            task_id: spec.task_id.as_ref().map(Rule::compile),
            stage: spec.stage.as_ref().map(Rule::compile),
            agent: spec.agent.as_ref().map(Rule::compile),
        }
    }

    /// Takes over what another policy has of the same patterns: compiled, even a short one is large.
    pub fn share(&mut self, other: &Self) {
        for rule in [&mut self.workflow_type, &mut self.task_id, &mut self.stage, &mut self.agent].into_iter().flatten()
        {
            for (pattern, _) in &mut rule.map {
                let rules = [&other.workflow_type, &other.task_id, &other.stage, &other.agent].into_iter().flatten();
                let same = rules.flat_map(|r| &r.map).find(|(theirs, _)| theirs.as_str() == pattern.as_str());
                if let Some((theirs, _)) = same {
                    pattern.clone_from(theirs);
                }
            }
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
            seen: HashSet::default(),
            memo: HashMap::default(),
        }
    }

    /// Whether all it reads is kept in [`Kin`](super::facts::Kin): of a workflow that is known it says what it said
    /// before.
    pub fn reads_kin(&self) -> bool {
        match self.source {
            ObserveSource::Label => is_kept(&self.key),
            ObserveSource::Constant => true,
            _ => false,
        }
    }

    /// What the rule reads of the workflow as a whole where values are free: they stand on capped per-workflow series only.
    pub fn any_of_workflow(&self, workflow: &Workflow<'_>) -> Option<Box<str>> {
        let raw: Text<'_> = match self.source {
            ObserveSource::Label => workflow.label(&self.key)?.into(),
            ObserveSource::Annotation => workflow.annotation(&self.key)?.into(),
            ObserveSource::Parameter => parameter(workflow.spec.parameters?, &self.key)?,
            ObserveSource::Constant => self.key.as_str().into(),
            ObserveSource::InputParameter | ObserveSource::TemplateName | ObserveSource::NodeName => return None,
        };
        (!raw.is_empty()).then(|| self.mapped(&raw).into())
    }

    /// What the rule reads of the workflow as a whole.
    pub fn of_workflow(&mut self, workflow: &Workflow<'_>) -> Option<Arc<str>> {
        match self.source {
            ObserveSource::Label => workflow.label(&self.key).and_then(|v| self.bound(v)),
            ObserveSource::Annotation => workflow.annotation(&self.key).and_then(|v| self.bound(&v)),
            ObserveSource::Parameter => parameter(workflow.spec.parameters?, &self.key).and_then(|v| self.bound(&v)),
            ObserveSource::Constant => self.bound(&self.key.clone()),
            ObserveSource::InputParameter | ObserveSource::TemplateName | ObserveSource::NodeName => None,
        }
    }

    /// What the rule reads of one node; rules that don't look at nodes read the workflow.
    pub fn of_node(&mut self, workflow: &Workflow<'_>, node: &Node<'_>) -> Option<Arc<str>> {
        match self.source {
            ObserveSource::InputParameter => input_parameter(node.inputs?, &self.key).and_then(|v| self.bound(&v)),
            ObserveSource::TemplateName => {
                self.bound(node.template_ref.as_ref().map_or(&node.template_name, |(_, template)| template))
            }
            ObserveSource::NodeName => self.bound(&node.display_name),
            _ => self.of_workflow(workflow),
        }
    }

    fn bound(&mut self, raw: &str) -> Option<Arc<str>> {
        if raw.is_empty() {
            return None;
        }
        if let Some(known) = self.memo.get(raw) {
            return Some(Arc::clone(known));
        }
        let value: Arc<str> = self.mapped(raw).into();
        let value = if self.seen.contains(&value) || self.seen.len() < self.max_values {
            self.seen.insert(Arc::clone(&value));
            value
        } else {
            OTHER.into()
        };
        if self.memo.len() >= MEMO {
            self.memo.clear();
        }
        self.memo.insert(raw.into(), Arc::clone(&value));
        Some(value)
    }

    /// As it becomes a value, cut.
    fn mapped<'r>(&'r self, raw: &'r str) -> &'r str {
        let mapped = self.map.iter().find(|(r, _)| r.is_match(raw)).map_or(raw, |(_, v)| v);
        if mapped.len() <= MAX_VALUE {
            return mapped;
        }
        let end = mapped.char_indices().nth(MAX_VALUE).map_or(mapped.len(), |(at, _)| at);
        mapped.get(..end).unwrap_or_default()
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
    fn patterns_that_policies_share_are_there_once() {
        let observe = |pattern: &str| {
            let rule = serde_json::json!({"from": {"type": "TemplateName"}, "map": [{"match": pattern, "value": "v"}]});
            Observe::compile(serde_json::from_value(serde_json::json!({"stage": rule, "agent": rule})).ok().as_ref())
        };
        let place = |rule: &Option<Rule>| rule.as_ref().unwrap().map[0].0.as_str().as_ptr();
        let (first, mut same, mut other) = (observe("impl.*"), observe("impl.*"), observe("test.*"));
        assert_ne!(place(&same.stage), place(&first.stage));
        same.share(&first);
        other.share(&first);
        assert_eq!([place(&same.stage), place(&same.agent)], [place(&first.stage); 2]);
        assert_eq!(other.stage.unwrap().map[0].0.as_str(), "^(?:test.*)$");
    }
}
