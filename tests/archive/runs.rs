//! Runs as Argo wrote them, and how they are changed and brought into canonical form in these tests.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use unstick::api::time::Time;
use unstick::archive::canonical::{Canonical, canonical};
use unstick::archive::key::Layout;
use unstick::archive::redaction::Redaction;
use unstick::archive::store::{Fingerprint, Location, LocationKind};

pub fn fixture(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// A run that has ended.
pub fn done() -> String {
    fixture("argo-4.1.2/done-ok.json")
}

/// Every fixture.
pub fn all() -> Vec<(String, String)> {
    let mut all = Vec::new();
    for folder in ["argo-3.7.4", "argo-4.1.2"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(folder);
        for entry in std::fs::read_dir(path).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if Path::new(&name).extension().is_some_and(|e| e == "json") {
                let name = format!("{folder}/{name}");
                all.push((name.clone(), fixture(&name)));
            }
        }
    }
    assert!(all.len() > 30, "{}", all.len());
    all
}

pub fn changed(live: &str, change: impl FnOnce(&mut Value)) -> String {
    let mut value: Value = serde_json::from_str(live).unwrap();
    change(&mut value);
    value.to_string()
}

pub fn form(live: &str) -> Canonical {
    canonical(live, &Redaction::default()).unwrap()
}

pub fn text(canonical: &Canonical) -> String {
    String::from_utf8(canonical.bytes.clone()).unwrap()
}

pub fn gzip_nodes(live: &str) -> String {
    packed_nodes(live, unstick::archive::gzip::pack)
}

/// The same run as Argo keeps it when it is too large: its nodes compressed.
pub fn packed_nodes(live: &str, pack: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    changed(live, |wf| {
        let status = wf["status"].as_object_mut().unwrap();
        let nodes = status.remove("nodes").unwrap();
        let packed = pack(nodes.to_string().as_bytes());
        status.insert("compressedNodes".into(), STANDARD.encode(packed).into());
    })
}

pub fn location() -> Location {
    Location {
        name: "main".into(),
        kind: LocationKind::S3,
        layout: Layout::new("workflow-archives").unwrap(),
        fingerprint: Fingerprint::s3("", "bucket", "workflow-archives"),
        cluster: "prod-eu".into(),
        conditional_put: true,
    }
}

pub fn now() -> Time {
    serde_json::from_value(json!("2026-11-22T08:00:00Z")).unwrap()
}
