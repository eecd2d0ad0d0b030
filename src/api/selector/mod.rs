//! Selectors as users write them: label selectors of our kinds, `-l` of the CLI, and `nodeFieldSelector`.
//!
//! All are compiled once and matched without allocation. The grammar of `nodeFieldSelector` is that of Kubernetes
//! field selectors: `field=value`, `==`, `!=`, comma means AND.

use std::collections::BTreeMap;

use kube::KubeSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

mod node;

pub use node::NodeSelector;

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

#[cfg(test)]
mod tests;
