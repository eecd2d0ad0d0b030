//! What a schema forbids, one entry per bound, and which of them an answer of the API server is about.
//!
//! A bound counts once per schema definition, however often the definition is used: bounds of closed enums, durations
//! and times are identified by their own schema, all others by the object that holds the field (without descriptions
//! and defaults). The `spec` of both policy kinds is one definition.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};

use kube::core::response::StatusCause;
use serde_json::Value;

/// Keywords that reject values, as the generated schemas use them.
const KEYWORDS: &[&str] = &[
    "enum",
    "format",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "pattern",
    "required",
    "x-kubernetes-list-type",
    "x-kubernetes-validations",
];

/// Keywords that describe; anything else in a schema must be listed above, or a bound would go untested.
const SILENT: &[&str] =
    &["additionalProperties", "default", "description", "items", "properties", "type", "x-kubernetes-list-map-keys"];

/// A definition of a bound: (what identifies the definition, keyword and what of it).
type Definition = (String, String);

/// All bounds of all kinds.
#[derive(Default)]
pub struct Bounds {
    /// Where a bound is: (kind, path with `[]` for indices and `*` for map keys, keyword) to its definitions.
    places: BTreeMap<(String, String, &'static str), Vec<(String, Definition)>>,
    tripped: BTreeSet<Definition>,
}

impl Bounds {
    /// Collects the bounds of a CRD.
    pub fn add(&mut self, crd: &Value) {
        let kind = crd["spec"]["names"]["kind"].as_str().unwrap().to_owned();
        let root = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        self.walk(&kind, root, "", &kind.clone());
    }

    fn walk(&mut self, kind: &str, schema: &Value, path: &str, holder: &str) {
        let own = bare(schema).to_string();
        let is_own_definition = schema.get("enum").is_some()
            || schema["format"] == "date-time"
            || schema["pattern"] == unstick::api::period::PATTERN;
        let leaf = path.rsplit('.').next().unwrap_or_default();
        let place = if is_own_definition { own.clone() } else { format!("{holder}/{leaf}") };
        for (keyword, value) in schema.as_object().unwrap() {
            let Some(keyword) = KEYWORDS.iter().find(|k| *k == keyword) else {
                assert!(SILENT.contains(&keyword.as_str()), "{kind} {path}: nobody checks {keyword}");
                continue;
            };
            match *keyword {
                // Said together with a range, which is narrower.
                "format" if value == "int32" || value == "int64" => {}
                "required" => {
                    for field in value.as_array().unwrap() {
                        let field = field.as_str().unwrap();
                        let at = join(path, field);
                        self.put(kind, &at, keyword, "", (own.clone(), format!("required {field}")));
                    }
                }
                "x-kubernetes-validations" => {
                    for rule in value.as_array().unwrap() {
                        let message = rule["message"].as_str().expect("each rule has a message");
                        let text = rule["rule"].as_str().unwrap();
                        self.put(kind, path, keyword, message, (text.to_owned(), "rule".to_owned()));
                    }
                }
                _ => self.put(kind, path, keyword, "", (place.clone(), (*keyword).to_owned())),
            }
        }
        let holder = match path {
            "spec" if kind.ends_with("Policy") => "spec of a policy",
            _ => &own,
        };
        for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
            if !path.is_empty() || matches!(name.as_str(), "spec" | "status") {
                self.walk(kind, inner, &join(path, name), holder);
            }
        }
        if let Some(items) = schema.get("items") {
            self.walk(kind, items, &format!("{path}[]"), holder);
        }
        if let Some(values) = schema.get("additionalProperties") {
            self.walk(kind, values, &join(path, "*"), holder);
        }
    }

    fn put(&mut self, kind: &str, path: &str, keyword: &'static str, message: &str, definition: Definition) {
        let place = (kind.to_owned(), path.to_owned(), keyword);
        self.places.entry(place).or_default().push((message.to_owned(), definition));
    }

    /// Marks the bound that `cause`, of an answer about an object of `kind`, is about; false when there is none such.
    pub fn trip(&mut self, kind: &str, cause: &StatusCause) -> bool {
        let keywords = keywords(cause);
        let path = without_indices(if cause.field == "<nil>" { "" } else { &cause.field });
        // A duplicate is told of the entry; the bound is the list's.
        let path = if keywords == ["x-kubernetes-list-type"] { path.trim_end_matches("[]") } else { &path };
        let mut hit = false;
        for ((k, place, word), definitions) in &self.places {
            if k != kind || !keywords.contains(word) || !same_path(place, path) {
                continue;
            }
            for (message, definition) in definitions {
                if message.is_empty() || cause.message.contains(message.as_str()) {
                    self.tripped.insert(definition.clone());
                    hit = true;
                }
            }
        }
        hit
    }

    /// Where the bounds are that nothing has tripped, one place per definition.
    pub fn untripped(&self) -> Vec<String> {
        let mut listed = BTreeSet::new();
        let mut out = Vec::new();
        for ((kind, path, keyword), definitions) in &self.places {
            for (message, definition) in definitions {
                if !self.tripped.contains(definition) && listed.insert(definition.clone()) {
                    out.push(format!("{kind} {path}: {keyword} {message}"));
                }
            }
        }
        out
    }

    /// How many definitions there are, and how many of them are CEL rules.
    pub fn count(&self) -> (usize, usize) {
        let all: BTreeSet<_> = self.places.values().flatten().map(|(_, d)| d).collect();
        (all.len(), all.iter().filter(|(_, what)| what == "rule").count())
    }
}

/// The schema without what doesn't reject anything.
fn bare(schema: &Value) -> Value {
    match schema {
        Value::Object(map) => map
            .iter()
            .filter(|(key, _)| !matches!(key.as_str(), "description" | "default"))
            .map(|(key, inner)| (key.clone(), bare(inner)))
            .collect(),
        Value::Array(list) => list.iter().map(bare).collect(),
        other => other.clone(),
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// `spec.steps[0].name` as `spec.steps[].name`.
fn without_indices(field: &str) -> String {
    let mut out = String::new();
    let mut inside = false;
    for c in field.chars() {
        match c {
            '[' => {
                inside = true;
                out.push_str("[]");
            }
            ']' => inside = false,
            c if !inside => out.push(c),
            _ => {}
        }
    }
    out
}

fn same_path(place: &str, path: &str) -> bool {
    let (mut a, mut b) = (place.split('.'), path.split('.'));
    loop {
        match (a.next(), b.next()) {
            (None, None) => return true,
            (Some(x), Some(y)) if x == y || x == "*" => {}
            _ => return false,
        }
    }
}

/// Which keyword a cause is about, from the wording of kube-apiserver, which has one for lists and maps.
fn keywords(cause: &StatusCause) -> &'static [&'static str] {
    let says = |part: &str| cause.message.contains(part);
    match cause.reason.as_str() {
        "FieldValueRequired" => &["required"],
        "FieldValueNotSupported" => &["enum"],
        "FieldValueDuplicate" => &["x-kubernetes-list-type"],
        "FieldValueTooLong" => &["maxLength"],
        "FieldValueTooMany" => &["maxItems", "maxProperties"],
        _ if says("should have at least") && says("items") => &["minItems"],
        _ if says("should have at least") && says("properties") => &["minProperties"],
        _ if says("should be at least") && says("chars long") => &["minLength"],
        _ if says("should match") => &["pattern"],
        _ if says("must be of type date-time") => &["format"],
        _ if says("should be greater than or equal to") => &["minimum"],
        _ if says("should be less than or equal to") => &["maximum"],
        _ if cause.reason == "FieldValueInvalid" => &["x-kubernetes-validations"],
        _ => &[],
    }
}
