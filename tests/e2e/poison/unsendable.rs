//! Texts that no API server should send, from one that sends whatever it is given.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use kube::api::{Api, ListParams};
use serde_json::{Value, json};
use unstick::api::crds;
use unstick::api::incident::WorkflowIncident;
use unstick_bed::fakeapi::{FakeApi, Options};
use unstick_bed::{Operator, OperatorOptions, free_port};

use super::made::{self, SECRET};
use super::{bounded, policy};
use crate::ground::sum;

/// What the real server never sends: no JSON, no names, more than etcd holds.
pub async fn run() -> Result<()> {
    let api = FakeApi::start(Options::default(), 0)?;
    let folder = tempfile::tempdir()?;
    for object in crds::all() {
        api.put(object)?;
    }
    for namespace in ["team", "unstick-system"] {
        api.put(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}))?;
    }
    let mut policy = policy();
    policy["metadata"]["namespace"] = json!("team");
    api.put(&policy)?;
    put(&api, made::stuck("others-0"))?;
    put(&api, made::healthy("fine"))?;
    let broken = broken();
    let (before, after) = broken.split_at(broken.len() / 2);
    for (name, text, _) in before {
        api.shared().put_text("team", name, text.clone());
    }
    let kubeconfig = folder.path().join("kubeconfig.json");
    std::fs::write(&kubeconfig, api.kubeconfig())?;
    let mut operator = operator(&kubeconfig, folder.path()).await?;
    put(&api, made::stuck("others-1"))?;
    for (name, text, _) in after {
        api.shared().put_text("team", name, text.clone());
    }
    put(&api, made::stuck("others-2"))?;
    let client = api.client()?;
    let incidents: Api<WorkflowIncident> = Api::namespaced(client, "team");
    let begun = Instant::now();
    let found = loop {
        let found: BTreeSet<String> =
            incidents.list(&ListParams::default()).await?.items.into_iter().map(|i| i.spec.workflow_ref.name).collect();
        if found.len() >= 3 {
            break found;
        }
        ensure!(begun.elapsed() < Duration::from_secs(40), "{found:?}\n{}", operator.tail(20));
        tokio::time::sleep(Duration::from_millis(250)).await;
    };
    ensure!(found == ["others-0", "others-1", "others-2"].map(str::to_owned).into(), "{found:?}");
    // The watch goes on where it was, though its last line could not be read.
    api.shared().put_text("team", "last", r#"{"metadata":{"name":"last","namespace":"team","uid":"u-last"},"spec":"#);
    settle(&operator, broken.len() + 1).await?;
    let before = api.requests();
    api.drop_connections();
    put(&api, made::stuck("others-3"))?;
    let begun = Instant::now();
    // Our own connection was dropped, too.
    while !incidents.list(&ListParams::default()).await.is_ok_and(|all| all.items.len() == 4) {
        ensure!(begun.elapsed() < Duration::from_secs(40), "others-3 is not found\n{}", operator.tail(20));
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    let text = operator.scrape().await?;
    let relists = sum(&text, "unstick_relists_total", "workflows");
    ensure!(relists < 1.5, "{relists} lists of workflows");
    let again = api.requests().of("watch workflows.argoproj.io") - before.of("watch workflows.argoproj.io");
    ensure!(again <= 2, "{again} watches after one break");
    let log = std::fs::read_to_string(operator.log())?;
    ensure!(!log.contains(SECRET), "the log shows a body");
    for (name, _, named) in &broken {
        ensure!(log.contains(named), "{name}: {named:?} is not in the log:\n{}", operator.tail(40));
    }
    bounded(&operator)?;
    let (status, took) = operator.terminate(Duration::from_secs(20)).await?;
    ensure!(status.success(), "ended with {status} after {took:?}");
    Ok(())
}

/// (name, text, what the log says of it)
fn broken() -> Vec<(String, Vec<u8>, String)> {
    let text = |name: &str, rest: &str| {
        format!(r#"{{"metadata":{{"name":"{name}","namespace":"team","uid":"u-{name}"}},{rest}"#)
    };
    let named = |name: &str| format!("team/{name} (uid u-{name})");
    let deep = "[".repeat(200_000);
    let mut each: Vec<(&str, Vec<u8>, String)> = Vec::new();
    for (name, rest) in [
        ("cut", format!(r#""spec":{{"x":"{SECRET}"#)),
        ("no-value", format!(r#""spec":{{"{SECRET}":}}}}"#)),
        ("deep", format!(r#""spec":{deep}"{SECRET}"}}"#)),
        ("two", format!(r#""spec":"{SECRET}"}}}}"#)),
        ("large", format!(r#""spec":"{}{SECRET}"}}"#, "x".repeat(6 << 20))),
    ] {
        each.push((name, text(name, &rest).into_bytes(), named(name)));
    }
    let mut bytes = text("bytes", r#""spec":"#).into_bytes();
    bytes.extend_from_slice(b"\"\xff\xfe\"}");
    each.push(("bytes", bytes, named("bytes")));
    each.push((
        "no-uid",
        format!(r#"{{"metadata":{{"name":"no-uid","namespace":"team","uid":7}},"x":"{SECRET}"}}"#).into(),
        "team/no-uid (uid ?)".to_owned(),
    ));
    each.push(("number", b"7".to_vec(), "workflow=\"?\"".to_owned()));
    each.into_iter().map(|(name, text, named)| (name.to_owned(), text, named)).collect()
}

/// Waits until so many could not be read.
async fn settle(operator: &Operator, poisoned: usize) -> Result<()> {
    let begun = Instant::now();
    loop {
        let now = sum(&operator.scrape().await?, "unstick_poison_objects_total", "workflows");
        #[allow(clippy::cast_precision_loss)]
        let wanted = poisoned as f64;
        if (now - wanted).abs() < 0.5 {
            return Ok(());
        }
        ensure!(
            now < wanted && begun.elapsed() < Duration::from_secs(20),
            "{now} of {wanted} are counted\n{}",
            operator.tail(40)
        );
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

fn put(api: &FakeApi, mut workflow: Value) -> Result<()> {
    workflow["apiVersion"] = json!("argoproj.io/v1alpha1");
    workflow["kind"] = json!("Workflow");
    workflow["metadata"]["namespace"] = json!("team");
    api.put(&workflow)
}

async fn operator(kubeconfig: &Path, folder: &Path) -> Result<Operator> {
    let port = free_port()?;
    let listen = format!("127.0.0.1:{port}");
    let args = ["run", "--lease-namespace", "unstick-system", "--identity", "poisoned", "--listen", &listen];
    let mut operator = Operator::start(&OperatorOptions {
        binary: env!("CARGO_BIN_EXE_unstick").into(),
        args: args.map(str::to_owned).to_vec(),
        kubeconfig: kubeconfig.to_owned(),
        log: folder.join("unstick.log"),
        port,
        ..OperatorOptions::default()
    })?;
    operator.wait_for("/readyz", Duration::from_secs(30)).await?;
    Ok(operator)
}
