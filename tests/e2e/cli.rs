//! `stuck` and `explain` where there is no operator and no CRD, and from a saved list: the words of the operator's events.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::events::v1::Event;
use kube::api::{Api, ListParams};
use serde_json::{Value, json};
use unstick_bed::scenario;

use super::ground::Ground;

const NAMESPACE: &str = "words";
/// States that the built-in policy and the one below judge alike.
const STATES: &[&str] = &["suspended-node", "spec-suspend", "image-pull", "unschedulable", "container-config"];

pub async fn same_words(ground: &Ground) -> Result<()> {
    let bed = &ground.bed;
    bed.namespace(NAMESPACE).await?;
    for name in STATES {
        let workflow = bed.submit(NAMESPACE, &scenario::yaml(name)?).await?;
        bed.wait_for_phase(&workflow, "Running", Duration::from_secs(30)).await?;
    }
    // Their nodes get to where they stay.
    tokio::time::sleep(Duration::from_secs(5)).await;

    let served = ground.client.list_api_groups().await?.groups.iter().any(|g| g.name == "unstick.dev");
    ensure!(!served, "our CRDs are here already: run this trial first");
    let kubeconfig = bed.admin_kubeconfig();
    // No policy is there, so the built-in one judges, and its thresholds are days: look from five days on.
    let later = (jiff::Timestamp::now() + jiff::SignedDuration::from_hours(5 * 24)).to_string();
    let live = messages(&kubeconfig, &["-n", NAMESPACE, "--now", &later]).context("live")?;
    ensure!(STATES.iter().all(|s| live.contains_key(*s)), "not all are found: {live:?}");

    let list: Value = ground
        .client
        .request(
            http::Request::get(format!("/apis/argoproj.io/v1alpha1/namespaces/{NAMESPACE}/workflows"))
                .body(Vec::new())?,
        )
        .await?;
    let saved = bed.folder().join("saved.json");
    std::fs::write(&saved, serde_json::to_vec(&list)?)?;
    let file = saved.to_string_lossy().into_owned();
    // No cluster is asked: the kubeconfig isn't there.
    let nowhere = bed.folder().join("no.kubeconfig");
    let filed = messages(&nowhere, &["-f", &file, "--now", &later]).context("from the file")?;
    for (name, message) in &live {
        ensure!(filed.get(name) == Some(message), "{name}: live {message:?}, from the file {:?}", filed.get(name));
        let told = unstick(&kubeconfig, &["explain", name, "-n", NAMESPACE, "--now", &later, "-o", "json"])?;
        let filed = unstick(&nowhere, &["explain", name, "-f", &file, "--now", &later, "-o", "json"])?;
        for (what, text) in [("explain", told), ("explain -f", filed)] {
            let said: Value = serde_json::from_str(&text).with_context(|| format!("{what} {name}: {text}"))?;
            let all = said["detections"].as_array().cloned().unwrap_or_default();
            ensure!(
                all.iter().any(|d| d["message"] == json!(message)),
                "{what} {name} says {all:?}, stuck {message:?}"
            );
        }
    }
    compare_with_events(ground, &live).await
}

async fn compare_with_events(ground: &Ground, live: &BTreeMap<String, String>) -> Result<()> {
    ground.install().await?;
    let rule = |name: &str, kind: &str| json!({"name": name, "type": kind, "after": "2s"});
    let policy = json!({
        "apiVersion": "unstick.dev/v1alpha1", "kind": "WorkflowPolicy", "metadata": {"name": "team"},
        "spec": {"selector": {}, "detections": [rule("gate", "Suspended"), rule("pending", "Pending")]},
    });
    ground.bed.apply_value(policy, NAMESPACE).await?;
    let mut operator = ground.operator("speaker").await?;
    let events: Api<Event> = Api::namespaced(ground.client.clone(), NAMESPACE);
    let begun = Instant::now();
    loop {
        let all = events.list(&ListParams::default()).await?.items;
        let note = |name: &str| {
            let about = |e: &&Event| {
                e.reason.as_deref() == Some("WorkflowStuck")
                    && e.regarding.as_ref().is_some_and(|r| r.name.as_deref() == Some(name))
            };
            all.iter().find(about).and_then(|e| e.note.clone())
        };
        let missing: Vec<_> = live
            .iter()
            .filter(|(name, message)| !note(name).is_some_and(|n| n.contains(message.as_str())))
            .map(|(name, message)| format!("{name}: {message:?}, its event {:?}", note(name)))
            .collect();
        if missing.is_empty() {
            break;
        }
        ensure!(begun.elapsed() < Duration::from_secs(40), "{}\n{}", missing.join("\n"), operator.tail(10));
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    operator.terminate(Duration::from_secs(20)).await.map(drop)
}

/// `stuck -o json`: message of each workflow.
fn messages(kubeconfig: &Path, args: &[&str]) -> Result<BTreeMap<String, String>> {
    let text = unstick(kubeconfig, &[&["stuck", "-o", "json"], args].concat())?;
    let list: Value = serde_json::from_str(&text).with_context(|| text.clone())?;
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    Ok(list["items"].as_array().into_iter().flatten().map(|i| (text(&i["name"]), text(&i["message"]))).collect())
}

/// Standard output of a command that finds something (exit code 1).
fn unstick(kubeconfig: &Path, args: &[&str]) -> Result<String> {
    let output = Command::new(env!("CARGO_BIN_EXE_unstick")).args(args).arg("--kubeconfig").arg(kubeconfig).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.code() == Some(1), "unstick {} ended with {}: {said}", args.join(" "), output.status);
    Ok(String::from_utf8(output.stdout)?)
}
