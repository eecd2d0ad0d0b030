//! Label selectors, and the two field selectors every kind has.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::entry::Entry;
use super::failure::Failure;

/// Which objects of a kind a request is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector {
    pub namespace: Option<String>,
    pub name: Option<String>,
    labels: Vec<Requirement>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Requirement {
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Exists(String),
    Absent(String),
}

impl Selector {
    /// Reads `labelSelector` and `fieldSelector`; `namespace` is that of the path.
    pub fn parse(namespace: Option<&str>, labels: &str, fields: &str) -> Result<Self, Failure> {
        let mut selector = Self { namespace: namespace.map(str::to_owned), ..Self::default() };
        for term in fields.split(',').filter(|t| !t.is_empty()) {
            match term.split_once('=').map(|(k, v)| (k, v.trim_start_matches('='))) {
                Some(("metadata.name", name)) => selector.name = Some(name.to_owned()),
                Some(("metadata.namespace", space)) => selector.namespace = Some(space.to_owned()),
                _ => return Err(Failure::bad_request(format!("field label not supported: {term}"))),
            }
        }
        for term in split_terms(labels) {
            selector.labels.push(
                requirement(term.trim())
                    .ok_or_else(|| Failure::bad_request(format!("unable to parse requirement: {term}")))?,
            );
        }
        Ok(selector)
    }

    /// Selects by more than the namespace.
    pub fn narrow(&self) -> bool {
        self.name.is_some() || !self.labels.is_empty()
    }

    pub fn matches(&self, entry: &Entry) -> bool {
        self.namespace.as_ref().is_none_or(|n| *n == entry.key.0)
            && self.name.as_ref().is_none_or(|n| *n == entry.key.1)
            && (self.labels.is_empty() || {
                let labels = labels_of(entry);
                self.labels.iter().all(|r| r.holds(&labels))
            })
    }
}

impl Requirement {
    fn holds(&self, labels: &BTreeMap<String, String>) -> bool {
        match self {
            Self::In(key, values) => labels.get(key).is_some_and(|v| values.contains(v)),
            Self::NotIn(key, values) => labels.get(key).is_none_or(|v| !values.contains(v)),
            Self::Exists(key) => labels.contains_key(key),
            Self::Absent(key) => !labels.contains_key(key),
        }
    }
}

/// Commas inside parentheses belong to a term.
fn split_terms(text: &str) -> Vec<&str> {
    let (mut terms, mut depth, mut from) = (Vec::new(), 0, 0);
    for (i, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                terms.push(&text[from..i]);
                from = i + 1;
            }
            _ => {}
        }
    }
    terms.push(&text[from..]);
    terms.retain(|t| !t.trim().is_empty());
    terms
}

fn requirement(term: &str) -> Option<Requirement> {
    let key = |k: &str| k.trim().to_owned();
    if let Some(rest) = term.strip_suffix(')') {
        let (head, values) = rest.split_once('(')?;
        let values = values.split(',').map(key).collect();
        let (name, operator) = head.trim().rsplit_once(' ')?;
        return match operator {
            "in" => Some(Requirement::In(key(name), values)),
            "notin" => Some(Requirement::NotIn(key(name), values)),
            _ => None,
        };
    }
    if let Some((k, v)) = term.split_once("!=") {
        return Some(Requirement::NotIn(key(k), vec![key(v)]));
    }
    if let Some((k, v)) = term.split_once("==").or_else(|| term.split_once('=')) {
        return Some(Requirement::In(key(k), vec![key(v)]));
    }
    Some(match term.strip_prefix('!') {
        Some(k) => Requirement::Absent(key(k)),
        None => Requirement::Exists(key(term)),
    })
}

fn labels_of(entry: &Entry) -> BTreeMap<String, String> {
    #[derive(Deserialize, Default)]
    struct Object {
        metadata: Metadata,
    }
    #[derive(Deserialize, Default)]
    struct Metadata {
        #[serde(default)]
        labels: BTreeMap<String, String>,
    }
    let mut text = Vec::new();
    entry.write(&mut text);
    serde_json::from_slice::<Object>(&text).unwrap_or_default().metadata.labels
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    fn matches(selector: &str) -> bool {
        let value = json!({"metadata": {"labels": {"app": "x", "done": "false"}}});
        let entry = Entry::text(("n".into(), "a".into()), 1, &value);
        Selector::parse(None, selector, "").unwrap().matches(&entry)
    }

    #[test]
    fn every_operator() {
        for yes in
            ["app=x", "app==x", "app!=y", "app", "!gone", "app in (y, x)", "app notin (y),done=false", "gone!=x", ""]
        {
            assert!(matches(yes), "{yes}");
        }
        for no in ["app=y", "app!=x", "gone", "!app", "app in (y)", "app notin (x)", "app=x,done=true"] {
            assert!(!matches(no), "{no}");
        }
        assert!(Selector::parse(None, "", "spec.x=1").is_err());
    }
}
