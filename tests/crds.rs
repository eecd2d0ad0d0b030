//! crds/ is what `unstick crds` prints. `UPDATE=1 cargo test --test crds` writes it anew.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Deserialize as _;
use serde_json::{Value, json};
use unstick::api::crds;
use unstick::api::schema::installed::Installed;
use unstick::api::schema::tree::{self, Fields, Schema};

fn directory() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("crds")
}

#[test]
fn the_files_are_current() {
    let update = std::env::var_os("UPDATE").is_some();
    let mut expected: Vec<String> = Vec::new();
    for crd in crds::all() {
        let file = format!("{}.yaml", crds::name(crd));
        let text = crds::yaml(crd).unwrap();
        let path = directory().join(&file);
        if update {
            std::fs::create_dir_all(directory()).unwrap();
            std::fs::write(&path, &text).unwrap();
        }
        let there = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(there == text, "{} is stale: run UPDATE=1 cargo test --test crds", path.display());
        expected.push(file);
    }
    for entry in std::fs::read_dir(directory()).unwrap() {
        let file = entry.unwrap().file_name().into_string().unwrap();
        assert!(expected.contains(&file) || file == "kustomization.yaml", "crds/{file} belongs to no kind");
    }
    assert_eq!(expected.len(), 5);
}

#[test]
fn the_yaml_reads_back_as_the_same_value() {
    for crd in crds::all() {
        let back: Value = serde_saphyr::from_str(&crds::yaml(crd).unwrap()).unwrap();
        assert_eq!(&back, crd, "{}", crds::name(crd));
    }
}

/// Every list, string and map has an upper bound: the server's CEL budget and our memory depend on it.
#[test]
fn everything_is_bounded() {
    let mut open = Vec::new();
    for crd in crds::all() {
        let schema = crd.pointer("/spec/versions/0/schema/openAPIV3Schema").unwrap();
        unbounded(schema, crds::name(crd), &mut open);
    }
    assert!(open.is_empty(), "no upper bound: {open:#?}");
}

fn unbounded(schema: &Value, path: &str, open: &mut Vec<String>) {
    let has = |key: &str| schema.get(key).is_some();
    let fine = match schema["type"].as_str().unwrap_or_default() {
        "string" => has("enum") || has("maxLength") || has("format"),
        "array" => has("maxItems"),
        "object" => !has("additionalProperties") || has("maxProperties"),
        "integer" => has("minimum") || path.contains(".status."),
        _ => true,
    };
    if !fine {
        open.push(path.to_owned());
    }
    for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
        if !matches!(name.as_str(), "apiVersion" | "kind" | "metadata") || path.contains(".spec") {
            unbounded(inner, &format!("{path}.{name}"), open);
        }
    }
    for key in ["items", "additionalProperties"] {
        if has(key) {
            unbounded(&schema[key], &format!("{path}.{key}"), open);
        }
    }
}

/// What a running operator has of the schemas says the same as the CRDs.
#[test]
fn the_kinds_at_hand_are_current() {
    let kinds: BTreeMap<&str, Schema> = crds::all()
        .iter()
        .filter_map(crds::schema)
        .map(|(kind, schema)| (kind, Schema::deserialize(schema).unwrap()))
        .collect();
    assert_eq!(kinds.len(), 5);
    let text = serde_json::to_string(&kinds).unwrap() + "\n";
    if std::env::var_os("UPDATE").is_some() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/api/schema/kinds.json");
        std::fs::write(path, &text).unwrap();
        // What is compiled in is that of before.
        return;
    }
    assert!(text == tree::TEXT, "src/api/schema/kinds.json is stale: run UPDATE=1 cargo test --test crds");
    for (kind, schema) in &kinds {
        assert_eq!(tree::of(kind), Some(schema), "{kind}");
    }
}

/// Every word of the schemas is either checked by us too or known not to bound anything, or the server's own.
#[test]
fn no_word_of_the_schemas_is_unknown() {
    const NOT_OURS: [&str; 4] = ["default", "description", "x-kubernetes-validations", "x-kubernetes-map-type"];
    let text = || Box::<str>::from("x");
    let whole = Schema {
        kind: text(),
        properties: Some(Fields::default()),
        additional_properties: Some(Box::default()),
        items: Some(Box::default()),
        required: [text()].into(),
        values: [text()].into(),
        minimum: Some(0),
        maximum: Some(0),
        min_items: Some(0),
        max_items: Some(0),
        min_length: Some(0),
        max_length: Some(0),
        min_properties: Some(0),
        max_properties: Some(0),
        pattern: Some(text()),
        format: Some(text()),
        keys: [text()].into(),
        list: Some(text()),
    };
    let ours = serde_json::to_value(whole).unwrap();
    let mut used = BTreeSet::new();
    crds::all().iter().filter_map(crds::schema).for_each(|(_, schema)| words(schema, &mut used));
    used.retain(|word| ours.get(word).is_none() && !NOT_OURS.contains(word));
    assert_eq!(used, BTreeSet::new());
}

fn words<'a>(schema: &'a Value, into: &mut BTreeSet<&'a str>) {
    for (word, value) in schema.as_object().unwrap() {
        into.insert(word);
        match word.as_str() {
            "properties" => value.as_object().unwrap().values().for_each(|inner| words(inner, into)),
            "items" | "additionalProperties" => words(value, into),
            _ => {}
        }
    }
}

fn missing_fields(installed: &Value, kind: &str) -> Vec<String> {
    Installed::deserialize(installed).unwrap().missing_fields(kind)
}

#[test]
fn fields_an_older_crd_lacks_are_named() {
    let known = crds::all().iter().find(|c| c["spec"]["names"]["kind"] == "WorkflowPolicy").unwrap();
    assert!(missing_fields(known, "WorkflowPolicy").is_empty());

    let mut older = known.clone();
    let schema = older.pointer_mut("/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties").unwrap();
    schema["remediation"]["properties"]["steps"]["items"]["properties"].as_object_mut().unwrap().remove("approval");
    schema.as_object_mut().unwrap().remove("observe");
    assert_eq!(missing_fields(&older, "WorkflowPolicy"), ["spec.observe", "spec.remediation.steps[].approval"]);

    let other_version = json!({"spec": {"versions": [{"name": "v1", "schema": {"openAPIV3Schema": {}}}]}});
    assert_eq!(missing_fields(&other_version, "WorkflowPolicy"), ["version v1alpha1 of WorkflowPolicy"]);

    let open = json!({"spec": {"versions": [{"name": "v1alpha1", "schema": {
        "openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}]}});
    assert!(missing_fields(&open, "WorkflowPolicy").is_empty());
}
