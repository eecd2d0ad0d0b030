//! Archives read by programs that nobody here wrote: boto3, gunzip and Python's JSON from a bucket, `DuckDB` over the catalogue
//! of a folder.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bucket;
mod catalogue;

use std::process::Command;

use serde_json::Value;
use unstick::api::time::Time;
use unstick_bed::python;

/// Runs a script with that Python; what it printed, as JSON.
fn told_by(script: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Value {
    let out = Command::new(python::interpreter().unwrap())
        .args(["-c", script])
        .args(arguments)
        .envs(environment.iter().copied())
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    serde_json::from_slice(&out.stdout).unwrap()
}

fn time(text: &str) -> Time {
    serde_json::from_value(text.into()).unwrap()
}

/// A run as Argo wrote it, changed.
fn run(change: impl FnOnce(&mut Value)) -> String {
    let mut run: Value = serde_json::from_str(include_str!("../fixtures/argo-4.1.2/done-ok.json")).unwrap();
    change(&mut run);
    run.to_string()
}
