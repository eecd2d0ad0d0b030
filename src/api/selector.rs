//! Selectors as users write them: label selectors of our kinds, `-l` of the CLI, and `nodeFieldSelector`.
//!
//! All are compiled once and matched without allocation. The grammar of `nodeFieldSelector` is that of Kubernetes
//! field selectors: `field=value`, `==`, `!=`, comma means AND.

use std::collections::BTreeMap;

use kube::KubeSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::workflow::{Node, NodePhase};

/// A label selector as it stands in a spec; empty matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct LabelSelector {
    /// Labels that must have exactly these values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "match_labels")]
    pub match_labels: BTreeMap<String, String>,
    /// Requirements that must all hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub match_expressions: Vec<LabelRequirement>,
}

fn match_labels(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "object", "additionalProperties": {"type": "string", "maxLength": 63}, "maxProperties": 32,
    })
}

/// One requirement on one label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = (
    "!(self.operator in ['In', 'NotIn']) || (has(self.values) && self.values.size() > 0)",
    "operators In and NotIn need values: add at least one"
))]
#[x_kube(validation = (
    "self.operator in ['In', 'NotIn'] || !has(self.values) || self.values.size() == 0",
    "operators Exists and DoesNotExist take no values: remove them"
))]
#[serde(rename_all = "camelCase")]
pub struct LabelRequirement {
    /// The label's key.
    #[schemars(length(min = 1, max = 317))]
    pub key: String,
    /// How the label is compared.
    pub operator: LabelOperator,
    /// Values for In and NotIn.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 63)))]
    pub values: Vec<String>,
}

super::reasons::closed! {
    /// Operators of a label requirement, as in Kubernetes.
    LabelOperator { In, NotIn, Exists, DoesNotExist }
}

/// Why a selector can't be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SelectorError {
    #[error("{0:?} must be key=value, key!=value, key, !key, key in (a,b) or key notin (a,b)")]
    Requirement(String),
    #[error("{0:?} must be field=value or field!=value")]
    Term(String),
    #[error(
        "field {0:?} is not known; use displayName, templateName, phase, name, id, templateRef.name, \
         templateRef.template or inputs.parameters.NAME.value"
    )]
    Field(String),
    #[error("{operator} of label {key:?} must {rule}")]
    Values { key: String, operator: LabelOperator, rule: &'static str },
}

/// A compiled label selector.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector {
    requirements: Vec<(String, Test)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Test {
    In(Vec<String>),
    NotIn(Vec<String>),
    Exists,
    Absent,
}

impl Selector {
    /// Compiles a selector from a spec.
    ///
    /// # Errors
    /// In and NotIn need values, Exists and DoesNotExist must have none.
    pub fn compile(wire: &LabelSelector) -> Result<Self, SelectorError> {
        let mut requirements: Vec<_> =
            wire.match_labels.iter().map(|(k, v)| (k.clone(), Test::In(vec![v.clone()]))).collect();
        for LabelRequirement { key, operator, values } in &wire.match_expressions {
            let fail = |rule| SelectorError::Values { key: key.clone(), operator: *operator, rule };
            let test = match (operator, values.is_empty()) {
                (LabelOperator::In, false) => Test::In(values.clone()),
                (LabelOperator::NotIn, false) => Test::NotIn(values.clone()),
                (LabelOperator::Exists, true) => Test::Exists,
                (LabelOperator::DoesNotExist, true) => Test::Absent,
                (LabelOperator::In | LabelOperator::NotIn, true) => return Err(fail("have values")),
                (_, false) => return Err(fail("have no values")),
            };
            requirements.push((key.clone(), test));
        }
        Ok(Self { requirements })
    }

    /// Reads the syntax of `kubectl -l`: `a=b,c!=d,e,!f,g in (x,y),h notin (z)`. Empty text matches everything.
    ///
    /// # Errors
    /// Names the part that can't be read.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        let parts = split_outside_parentheses(text);
        let requirements = parts.into_iter().map(|p| parse_requirement(p.trim())).collect::<Result<_, _>>()?;
        Ok(Self { requirements })
    }

    /// Whether it matches everything.
    pub fn is_empty(&self) -> bool {
        self.requirements.is_empty()
    }

    /// Matches labels given as a look-up of values by key.
    pub fn matches<'l>(&self, label: impl Fn(&str) -> Option<&'l str>) -> bool {
        self.requirements.iter().all(|(key, test)| {
            let value = label(key);
            match test {
                Test::In(values) => value.is_some_and(|v| values.iter().any(|x| x == v)),
                Test::NotIn(values) => value.is_none_or(|v| values.iter().all(|x| x != v)),
                Test::Exists => value.is_some(),
                Test::Absent => value.is_none(),
            }
        })
    }

    /// Matches labels held in a map.
    pub fn matches_map(&self, labels: &BTreeMap<String, String>) -> bool {
        self.matches(|key| labels.get(key).map(String::as_str))
    }
}

fn split_outside_parentheses(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut depth, mut start) = (0_u32, 0);
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    if !text.trim().is_empty() {
        parts.push(&text[start..]);
    }
    parts
}

fn parse_requirement(part: &str) -> Result<(String, Test), SelectorError> {
    let fail = || SelectorError::Requirement(part.to_owned());
    let word = |s: &str| {
        let s = s.trim();
        let fine = !s.is_empty() && s.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_./".contains(&b));
        fine.then(|| s.to_owned())
    };
    if let Some(key) = part.strip_prefix('!') {
        return word(key).map(|k| (k, Test::Absent)).ok_or_else(fail);
    }
    if let Some(list) = part.strip_suffix(')') {
        let (head, list) = list.split_once('(').ok_or_else(fail)?;
        let values = list.split(',').map(word).collect::<Option<Vec<_>>>().ok_or_else(fail)?;
        let mut words = head.split_whitespace();
        let key = words.next().and_then(word).ok_or_else(fail)?;
        return match (words.next(), words.next()) {
            (Some("in"), None) => Ok((key, Test::In(values))),
            (Some("notin"), None) => Ok((key, Test::NotIn(values))),
            _ => Err(fail()),
        };
    }
    let (key, value, negative) = if let Some((k, v)) = part.split_once("!=") {
        (k, v, true)
    } else if let Some((k, v)) = part.split_once("==").or_else(|| part.split_once('=')) {
        (k, v, false)
    } else {
        return word(part).map(|k| (k, Test::Exists)).ok_or_else(fail);
    };
    let key = word(key).ok_or_else(fail)?;
    // An empty value is legal for labels: `key=`.
    let value = if value.trim().is_empty() { String::new() } else { word(value).ok_or_else(fail)? };
    Ok((key, if negative { Test::NotIn(vec![value]) } else { Test::In(vec![value]) }))
}

/// A compiled `nodeFieldSelector`; empty matches every node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeSelector {
    terms: Vec<Term>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Term {
    field: Field,
    equal: bool,
    value: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Field {
    DisplayName,
    TemplateName,
    Phase,
    Name,
    Id,
    TemplateRefName,
    TemplateRefTemplate,
    InputParameter(String),
}

impl NodeSelector {
    /// Reads `displayName=approve,templateName!=x`.
    ///
    /// # Errors
    /// Names the term or field that can't be read.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        let terms = text.split(',').map(|t| Term::parse(t.trim())).collect::<Result<_, _>>()?;
        Ok(Self { terms })
    }

    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    pub fn matches(&self, node: &Node<'_>) -> bool {
        self.terms.iter().all(|t| t.matches(node))
    }
}

impl Term {
    fn parse(text: &str) -> Result<Self, SelectorError> {
        let (field, value, equal) = if let Some((f, v)) = text.split_once("!=") {
            (f, v, false)
        } else if let Some((f, v)) = text.split_once("==").or_else(|| text.split_once('=')) {
            (f, v, true)
        } else {
            return Err(SelectorError::Term(text.to_owned()));
        };
        let field = field.trim();
        let known = match field {
            "displayName" => Field::DisplayName,
            "templateName" => Field::TemplateName,
            "phase" => Field::Phase,
            "name" => Field::Name,
            "id" => Field::Id,
            "templateRef.name" => Field::TemplateRefName,
            "templateRef.template" => Field::TemplateRefTemplate,
            other => match other.strip_prefix("inputs.parameters.").and_then(|r| r.strip_suffix(".value")) {
                Some(name) if !name.is_empty() => Field::InputParameter(name.to_owned()),
                _ => return Err(SelectorError::Field(field.to_owned())),
            },
        };
        Ok(Self { field: known, equal, value: value.trim().to_owned() })
    }

    fn matches(&self, node: &Node<'_>) -> bool {
        let value = self.value.as_str();
        let same = match &self.field {
            Field::DisplayName => node.display_name == value,
            Field::TemplateName => node.template_name == value,
            Field::Phase => phase_name(node.phase) == value,
            Field::Name => node.name == value,
            Field::Id => node.id == value,
            Field::TemplateRefName => node.template_ref.as_ref().map_or("", |(n, _)| n) == value,
            Field::TemplateRefTemplate => node.template_ref.as_ref().map_or("", |(_, t)| t) == value,
            Field::InputParameter(name) => input_parameter(node, name).unwrap_or_default() == value,
        };
        same == self.equal
    }
}

fn phase_name(phase: NodePhase) -> &'static str {
    match phase {
        NodePhase::Unset => "",
        NodePhase::Pending => "Pending",
        NodePhase::Running => "Running",
        NodePhase::Succeeded => "Succeeded",
        NodePhase::Skipped => "Skipped",
        NodePhase::Failed => "Failed",
        NodePhase::Error => "Error",
        NodePhase::Omitted => "Omitted",
    }
}

/// Value of one input parameter; `None` when it isn't there or not a scalar.
pub fn input_parameter(node: &Node<'_>, name: &str) -> Option<String> {
    let inputs: serde_json::Value = serde_json::from_str(node.inputs?.get()).ok()?;
    let parameters = inputs.get("parameters")?.as_array()?;
    let value = parameters.iter().find(|p| p.get("name").and_then(|n| n.as_str()) == Some(name))?.get("value")?;
    match value {
        serde_json::Value::String(text) => Some(text.clone()),
        serde_json::Value::Number(_) | serde_json::Value::Bool(_) => Some(value.to_string()),
        _ => None,
    }
}
