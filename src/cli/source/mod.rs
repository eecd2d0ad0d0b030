//! Where workflows and policies come from: a cluster, or saved files.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::engine::Engine;

pub mod cluster;
pub mod files;
pub mod keeping;
pub mod load;

/// An engine that has been fed, and the instant it is asked about.
pub struct Survey {
    pub engine: Box<dyn Engine>,
    pub now: Timestamp,
    /// (namespace, name) of the workflows in scope; from a cluster only the one asked for by name.
    pub names: Vec<(String, String)>,
    /// Fed because others wait for their locks, not because they are in scope.
    pub outside: BTreeSet<(String, String)>,
    /// More than one namespace was looked at.
    pub namespaces: bool,
}

/// Which workflows are wanted.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    /// `None` = all.
    pub namespace: Option<String>,
    /// Syntax of `kubectl -l`; empty = all.
    pub selector: String,
    /// One workflow by name: no other is listed.
    pub name: Option<String>,
}

/// The few fields by which objects are sorted, read so that no wrong type fails the object.
#[derive(Debug, Default)]
pub struct Head {
    pub kind: String,
    pub name: String,
    pub namespace: String,
    pub labels: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Loose<'a> {
    #[serde(borrow, default)]
    kind: Option<&'a RawValue>,
    #[serde(borrow, default)]
    metadata: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct LooseMeta<'a> {
    #[serde(borrow, default)]
    name: Option<&'a RawValue>,
    #[serde(borrow, default)]
    namespace: Option<&'a RawValue>,
    #[serde(borrow, default)]
    labels: Option<&'a RawValue>,
}

impl Head {
    /// Reads `json`; what is missing or of another type is empty.
    pub fn read(json: &str) -> Self {
        let Ok(loose) = serde_json::from_str::<Loose<'_>>(json) else { return Self::default() };
        let meta = loose.metadata.and_then(|m| serde_json::from_str::<LooseMeta<'_>>(m.get()).ok());
        let (name, namespace, labels) = meta.map_or((None, None, None), |m| (m.name, m.namespace, m.labels));
        Self {
            kind: text(loose.kind),
            name: text(name),
            namespace: text(namespace),
            labels: labels.and_then(|l| serde_json::from_str(l.get()).ok()).unwrap_or_default(),
        }
    }
}

fn text(raw: Option<&RawValue>) -> String {
    raw.and_then(|r| serde_json::from_str::<Cow<'_, str>>(r.get()).ok()).unwrap_or_default().into_owned()
}

#[cfg(test)]
mod tests {
    use super::Head;

    #[test]
    fn heads_survive_wrong_types() {
        let head = Head::read(r#"{"kind":"Workflow","metadata":{"name":7,"namespace":"etl","labels":{"a":1}}}"#);
        assert_eq!((head.kind.as_str(), head.name.as_str(), head.namespace.as_str()), ("Workflow", "", "etl"));
        assert_eq!(Head::read("[1]").kind, "");
        assert_eq!(Head::read(r#"{"kind":"A\u0042","metadata":"no"}"#).kind, "AB");
    }
}
