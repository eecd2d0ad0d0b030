//! A bucket of versitygw, read by boto3.

use serde_json::Value;
use serde_json::value::RawValue;
use unstick::archive::keep::{KeepOptions, keep};
use unstick::archive::key::Layout;
use unstick::archive::redaction::Redaction;
use unstick::archive::store::s3::{S3, S3Credentials, S3Settings};
use unstick::archive::store::{Location, LocationKind, Store};
use unstick_bed::{S3Kind, S3Server};

use crate::{run, time, told_by};

const PREFIX: &str = "workflow-archives";

/// `20261121_071844_d85a284e092c`.
fn is_stem(text: &str) -> bool {
    let parts: Vec<&str> = text.split('_').collect();
    let digits = |part: &str, n: usize| part.len() == n && part.chars().all(|c| c.is_ascii_digit());
    let hex = |part: &str| part.len() == 12 && part.chars().all(|c| c.is_ascii_hexdigit());
    matches!(parts[..], [day, clock, digest] if digits(day, 8) && digits(clock, 6) && hex(digest))
}

#[tokio::test]
async fn boto3_and_gunzip_read_what_was_kept() {
    let server = S3Server::start(S3Kind::Versitygw).await.unwrap();
    server.create_bucket("archive").await.unwrap();
    let store = S3::connect(S3Settings {
        bucket: "archive".into(),
        prefix: PREFIX.into(),
        endpoint: server.endpoint.clone(),
        force_path_style: true,
        credentials: Some(S3Credentials {
            access_key_id: server.access_key.clone(),
            secret_access_key: server.secret_key.clone(),
            session_token: None,
        }),
        ..S3Settings::default()
    });
    let store = store.await.unwrap();
    let location = Location {
        name: "main".into(),
        kind: LocationKind::S3,
        layout: Layout::new(PREFIX).unwrap(),
        fingerprint: store.fingerprint().clone(),
        cluster: "prod-eu".into(),
        conditional_put: true,
    };
    let events =
        RawValue::from_string(r#"[{"reason":"WorkflowSucceeded","note":"größer als 1 €"}]"#.to_owned()).unwrap();
    let rules = Redaction::default();
    let options =
        KeepOptions { rules: &rules, events: Some(&events), now: time("2026-11-22T08:00:00Z"), stuck_seconds: None };
    let live = run(|wf| {
        wf["metadata"]["name"] = "load-eu-7xk2p".into();
        wf["metadata"]["annotations"]["note"] = "größer als 1 €, \u{1f600}".into();
        wf["spec"]["arguments"]["parameters"] =
            serde_json::json!([{"name": "day", "value": "2026-11-21"}, {"name": "api_token", "value": "s3cr3t"}]);
    });
    let kept = keep(&store, &location, &live, &options).await.unwrap();

    let environment = [
        ("AWS_ACCESS_KEY_ID", server.access_key.as_str()),
        ("AWS_SECRET_ACCESS_KEY", &server.secret_key),
        ("AWS_EC2_METADATA_DISABLED", "true"),
    ];
    let endpoint = server.endpoint.clone();
    let read = |prefix: String| {
        let (endpoint, environment) = (endpoint.clone(), environment.map(|(k, v)| (k.to_owned(), v.to_owned())));
        tokio::task::spawn_blocking(move || {
            let environment: Vec<(&str, &str)> = environment.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
            told_by(include_str!("read.py"), &[&endpoint, "archive", &prefix], &environment)
        })
    };
    let told = read(format!("{PREFIX}/")).await.unwrap();
    let told = told.as_array().unwrap();
    // Body and events, where seed 001's script put what it archived: namespace, name, time of the end.
    assert_eq!(told.len(), 2, "{told:#?}");
    let body = told.iter().find(|o| o["key"] == kept.key.as_str()).unwrap();
    let parts: Vec<&str> = kept.key.split('/').collect();
    assert!(
        matches!(parts[..], [PREFIX, "default", "load-eu-7xk2p", file]
        if is_stem(file.strip_suffix(".json.gz").unwrap()) && file.starts_with("20261121_071844_")),
        "{parts:?}"
    );
    let line = body["line"].as_str().unwrap();
    assert!(line.ends_with(&format!("{:10} {}", kept.stored_bytes, kept.key)), "{line}");
    assert_eq!(body["sha256"], kept.digest.to_string());
    assert_eq!(body["type"], "application/gzip");
    for (name, value) in [
        ("workflow-name", "load-eu-7xk2p"),
        ("namespace", "default"),
        ("archive-date", "20261122_080000"),
        ("uid", "38055fbe-bbac-4091-964a-edee6814d007"),
        ("sha256", &kept.digest.to_string()),
    ] {
        assert_eq!(body["metadata"][name], value, "{name}");
    }
    let live: Value = serde_json::from_str(&live).unwrap();
    let stored = &body["json"];
    assert_eq!(stored["status"], live["status"]);
    assert_eq!(stored["metadata"]["annotations"]["note"], live["metadata"]["annotations"]["note"]);
    assert_eq!(stored["spec"]["arguments"]["parameters"][0], live["spec"]["arguments"]["parameters"][0]);
    assert!(!stored.to_string().contains("s3cr3t"));
    assert!(stored["metadata"].get("managedFields").is_none());
    let events = told.iter().find(|o| o["key"] != kept.key.as_str()).unwrap();
    assert!(events["key"].as_str().unwrap().ends_with(".events.json.gz"));
    assert_eq!(events["json"][0]["note"], "größer als 1 €");

    let index = read(format!("{PREFIX}-index/manifests/")).await.unwrap();
    let manifest = &index[0]["json"];
    assert_eq!(index.as_array().unwrap().len(), 1);
    assert_eq!((&manifest["key"], &manifest["digest"]), (&kept.key.as_str().into(), &body["sha256"]), "{manifest:#}");
    assert_eq!(manifest["fingerprint"], location.fingerprint.as_str());
}
