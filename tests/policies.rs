//! The policy files without a server: what the API server rejects, `policy lint` and the operator find by themselves,
//! because a policy may reach them past an older CRD or from a file. tests/e2e/policies brings the same files to a
//! real server.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;

use serde_json::Value;
use unstick::api::validate::{self, Context, Problem, Severity};

fn policies(directory: &str) -> Vec<(String, Value)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/policies").join(directory);
    let mut out = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let last = text.split("\n---\n").last().unwrap();
        let object: Value = serde_saphyr::from_str(last).unwrap();
        let is_policy = object["kind"].as_str().unwrap().ends_with("Policy");
        if is_policy && object.get("status").is_none() {
            out.push((path.file_name().unwrap().to_str().unwrap().to_owned(), object));
        }
    }
    out
}

/// The first thing wrong, or the warnings.
fn lint(object: &Value) -> Result<Vec<Problem>, String> {
    let problems = validate::lint(object, &Context::default());
    match problems.iter().find(|p| p.severity == Severity::Error) {
        Some(error) => Err(error.to_string()),
        None => Ok(problems),
    }
}

#[test]
fn what_the_server_rejects_is_found_without_it() {
    let cases = policies("invalid");
    assert!(cases.len() >= 60, "{}", cases.len());
    let missed: Vec<_> = cases.iter().filter(|(_, o)| lint(o).is_ok()).map(|(name, _)| name).collect();
    assert!(missed.is_empty(), "found by the server only: {missed:#?}");
}

#[test]
fn each_message_starts_with_the_field() {
    for (name, object) in policies("invalid") {
        let message = lint(&object).unwrap_err();
        assert!(message.starts_with("spec"), "{name}: {message}");
    }
}

#[test]
fn what_the_server_takes_is_taken() {
    let cases = policies("valid");
    assert!(cases.len() >= 5);
    for (name, object) in cases {
        assert_eq!(lint(&object), Ok(Vec::new()), "{name}");
    }
}

/// What no schema can say: the server takes these, the operator says Ready=False.
#[test]
fn what_only_the_operator_can_tell_is_told() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/policies/unserved");
    let cases = policies("unserved");
    assert!(cases.len() >= 4);
    for (name, object) in cases {
        let text = std::fs::read_to_string(directory.join(&name)).unwrap();
        let expect = text.lines().next().unwrap().strip_prefix("# expect: ").unwrap();
        let message = lint(&object).unwrap_err();
        assert!(message.starts_with(expect), "{name}: {message}");
    }
}
