//! An installed CRD next to our schema: which of our fields the server would drop without a word.

use serde::Deserialize;

use super::tree::{self, Fields, Schema};
use crate::api::VERSION;

/// A `CustomResourceDefinition` as the server returns it, as far as it names fields.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Installed {
    spec: Spec,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Spec {
    versions: Vec<Version>,
}

#[derive(Debug, Deserialize)]
struct Version {
    name: String,
    schema: Option<Validation>,
}

#[derive(Debug, Deserialize)]
struct Validation {
    #[serde(rename = "openAPIV3Schema")]
    schema: Option<Node>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Node {
    properties: Fields<Node>,
    items: Option<Box<Node>>,
    #[serde(rename = "x-kubernetes-preserve-unknown-fields")]
    takes_all: bool,
}

impl Installed {
    /// Paths such as `spec.remediation.steps[].approval` that this program's schema of `kind` has and the installed CRD
    /// lacks: the server would drop them without a word. Only the topmost of a missing branch is named.
    pub fn missing_fields(&self, kind: &str) -> Vec<String> {
        let Some(known) = tree::of(kind) else { return Vec::new() };
        let ours = self.spec.versions.iter().find(|version| version.name == VERSION);
        let Some(there) = ours.and_then(|version| version.schema.as_ref()?.schema.as_ref()) else {
            return vec![format!("version {VERSION} of {kind}")];
        };
        let mut missing = Vec::new();
        compare(known, there, "", &mut missing);
        missing
    }
}

fn compare(known: &Schema, there: &Node, path: &str, missing: &mut Vec<String>) {
    if there.takes_all {
        return;
    }
    for (field, inner) in known.properties.iter().flat_map(Fields::iter) {
        let at = super::join(path, field);
        match there.properties.get(field) {
            Some(other) => compare(inner, other, &at, missing),
            None => missing.push(at),
        }
    }
    if let (Some(inner), Some(other)) = (&known.items, &there.items) {
        compare(inner, other, &format!("{path}[]"), missing);
    }
}
