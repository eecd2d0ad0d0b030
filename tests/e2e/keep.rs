//! Finished runs on the real parts: archived, read back, and only then deleted.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use unstick_bed::s3::{S3Kind, S3Server};
use unstick_bed::{Bed, Operator};

use super::ground::{Ground, USER};

/// The rights to mark and to delete, which a cluster gives by two components of deploy/.
pub async fn grant(bed: &Bed) -> Result<()> {
    for file in ["components/archive/roles.yaml", "components/cleanup/role.yaml"] {
        let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(file))?;
        for document in text.split("\n---\n") {
            let object: Value = serde_saphyr::from_str(document)?;
            let namespace = object["metadata"]["namespace"].as_str().unwrap_or("default").to_owned();
            bed.apply_value(object, &namespace).await?;
        }
    }
    Ok(())
}

/// A location of this name in a folder of the bed.
pub async fn folder(bed: &Bed, name: &str) -> Result<PathBuf> {
    let path = bed.folder().join(name);
    std::fs::create_dir_all(&path)?;
    let location = json!({
        "apiVersion": "unstick.dev/v1alpha1", "kind": "ArchiveLocation", "metadata": {"name": name},
        "spec": {"type": "Filesystem", "filesystem": {"path": path}, "allowedNamespaces": {}},
    });
    bed.apply_value(location, "default").await?;
    Ok(path)
}

/// A policy that keeps at `location` and deletes after `ttl`.
pub async fn policy(bed: &Bed, namespace: &str, location: &str, ttl: &str) -> Result<()> {
    let policy = json!({
        "apiVersion": "unstick.dev/v1alpha1", "kind": "WorkflowPolicy", "metadata": {"name": namespace},
        "spec": {
            "selector": {},
            "archive": {"mode": "Enforce", "location": location},
            "cleanup": {"mode": "Enforce", "ttl": {"succeeded": ttl, "failed": ttl, "error": ttl}},
        },
    });
    bed.apply_value(policy, namespace).await.map(drop)
}

/// Names of the workflows that are in a namespace.
pub async fn there(ground: &Ground, namespace: &str) -> Result<Vec<String>> {
    let path = format!("/apis/argoproj.io/v1alpha1/namespaces/{namespace}/workflows");
    let list: Value = ground.client.request(http::Request::get(&path).body(Vec::new())?).await?;
    let names = list["items"].as_array().into_iter().flatten();
    Ok(names.filter_map(|w| w["metadata"]["name"].as_str().map(str::to_owned)).collect())
}

/// Waits until no workflow is left.
pub async fn all_gone(ground: &Ground, namespace: &str, operator: &Operator, limit: Duration) -> Result<()> {
    let begun = Instant::now();
    loop {
        let left = there(ground, namespace).await?;
        if left.is_empty() {
            return Ok(());
        }
        if begun.elapsed() > limit {
            bail!("{} are left after {limit:?}: {left:?}\nlog:\n{}", left.len(), operator.tail(30));
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

/// Files below a folder that end so, relative to it.
pub fn files(root: &Path, ending: &str) -> Vec<String> {
    fn walk(at: &Path, root: &Path, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(at).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                walk(&path, root, found);
            } else if let Ok(below) = path.strip_prefix(root) {
                found.push(below.to_string_lossy().into_owned());
            }
        }
    }
    let mut found = Vec::new();
    walk(root, root, &mut found);
    found.retain(|f| f.ends_with(ending));
    found.sort();
    found
}

/// The whole chain into a folder, with four API calls a run.
pub async fn finished_runs_are_kept_and_then_deleted(ground: &Ground) -> Result<()> {
    const NAMESPACE: &str = "keeps";
    ground.install().await?;
    grant(&ground.bed).await?;
    ground.bed.namespace(NAMESPACE).await?;
    let path = folder(&ground.bed, "kept").await?;
    let mut operator = ground.operator("keeper").await?;
    let audit = ground.bed.audit().mark()?;
    // Argo is done with all of them before the policy asks for anything: no call of ours meets a write of its.
    let runs = ground.gates(NAMESPACE, "run", 10, Some(1)).await?;
    ground.all_finished(NAMESPACE).await?;
    policy(&ground.bed, NAMESPACE, "kept", "8s").await?;
    all_gone(ground, NAMESPACE, &operator, Duration::from_secs(60)).await?;

    for run in &runs {
        let bodies = files(&path.join("workflow-archives").join(NAMESPACE).join(&run.name), ".json.gz");
        ensure!(bodies.len() == 1, "{run}: {bodies:?}");
    }
    let manifests = files(&path.join("workflow-archives-index/manifests").join(NAMESPACE), ".manifest.json");
    ensure!(manifests.len() == runs.len(), "{manifests:?}");
    let ours = audit.by(USER)?;
    let calls = ours.iter().filter(|e| e.resource == "workflows" && e.verb != "watch" && e.verb != "list").count();
    let lines = || ours.iter().filter(|e| e.resource == "workflows").map(unstick_bed::Entry::line).collect::<Vec<_>>();
    ensure!(calls <= 4 * runs.len(), "{calls} calls for {} runs: {:#?}", runs.len(), lines());
    let deletes = ours.iter().filter(|e| e.resource == "workflows" && e.verb == "delete").count();
    ensure!(deletes == runs.len(), "{deletes} deletes of {} runs", runs.len());
    let names: Vec<&str> = runs.iter().map(|run| run.name.as_str()).collect();
    events_tell_the_way(ground, NAMESPACE, &names).await?;
    let (status, took) = operator.terminate(Duration::from_secs(20)).await?;
    ensure!(status.success(), "ended with {status} after {took:?}:\n{}", operator.tail(10));
    Ok(())
}

/// The API server holds what was said: of each run that it was archived, was to be deleted, and was, in this order; and of
/// the policy the first of each.
async fn events_tell_the_way(ground: &Ground, namespace: &str, runs: &[&str]) -> Result<()> {
    const WAY: [&str; 3] = ["Archived", "DeletionScheduled", "Deleted"];
    let path = format!("/apis/events.k8s.io/v1/namespaces/{namespace}/events");
    let begun = Instant::now();
    let events = loop {
        let list: Value = ground.client.request(http::Request::get(&path).body(Vec::new())?).await?;
        let mut events = list["items"].as_array().cloned().unwrap_or_default();
        events.retain(|e| e["reportingController"] == "unstick.dev/watchdog" && WAY.iter().any(|r| e["reason"] == *r));
        let of_runs = events.iter().filter(|e| e["regarding"]["kind"] == "Workflow").count();
        if of_runs >= WAY.len() * runs.len() || begun.elapsed() > Duration::from_secs(20) {
            break events;
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    };
    for run in runs {
        let mut own: Vec<_> = events.iter().filter(|e| e["regarding"]["name"] == *run).collect();
        own.sort_by_key(|e| e["eventTime"].as_str());
        let said: Vec<_> = own.iter().filter_map(|e| e["reason"].as_str()).collect();
        ensure!(said == WAY, "{run}: {said:?}");
        for event in own {
            let (policy, of) = (&event["related"], &event["regarding"]);
            ensure!(policy["kind"] == "WorkflowPolicy" && policy["name"] == namespace, "{event}");
            ensure!(of["kind"] == "Workflow" && of["uid"].is_string() && event["type"] == "Normal", "{event}");
        }
    }
    for reason in WAY {
        let of_policy = |e: &&Value| e["regarding"]["kind"] == "WorkflowPolicy" && e["reason"] == reason;
        let own: Vec<_> = events.iter().filter(of_policy).collect();
        ensure!(own.len() == 1, "{reason}: {} events of {} runs on the policy", own.len(), runs.len());
        let (run, note) = (own[0]["related"]["name"].as_str(), own[0]["note"].as_str());
        let (run, note) = (run.unwrap_or_default(), note.unwrap_or_default());
        ensure!(runs.contains(&run) && note.starts_with(&format!("{namespace}/{run}: ")), "{}", own[0]);
    }
    Ok(())
}

const BUCKET: &str = "archives";

/// A bucket on a real S3 server, and a location that names it.
async fn bucket(bed: &Bed, name: &str) -> Result<S3Server> {
    let server = S3Server::start(S3Kind::Versitygw).await?;
    server.create_bucket(BUCKET).await?;
    place(bed, name, BUCKET, &server, &server.endpoint).await?;
    Ok(server)
}

/// A location of this name in a bucket, its credentials in a Secret; `endpoint` may be a proxy's.
pub async fn place(bed: &Bed, name: &str, bucket: &str, server: &S3Server, endpoint: &str) -> Result<()> {
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name},
        "stringData": {"AWS_ACCESS_KEY_ID": server.access_key, "AWS_SECRET_ACCESS_KEY": server.secret_key},
    });
    bed.apply_value(secret, "unstick-system").await?;
    let location = json!({
        "apiVersion": "unstick.dev/v1alpha1", "kind": "ArchiveLocation", "metadata": {"name": name},
        "spec": {"type": "S3", "allowedNamespaces": {}, "s3": {
            "bucket": bucket, "endpoint": endpoint, "forcePathStyle": true,
            "credentialsSecretRef": {"name": name},
        }},
    });
    bed.apply_value(location, "default").await.map(drop)
}

/// `unstick` with the server's credentials.
fn unstick(server: &S3Server, args: &[&str]) -> Result<String> {
    let output = Command::new(env!("CARGO_BIN_EXE_unstick"))
        .args(args)
        .args(["--location", &format!("s3://{BUCKET}/workflow-archives"), "--endpoint", &server.endpoint])
        .env("AWS_ACCESS_KEY_ID", &server.access_key)
        .env("AWS_SECRET_ACCESS_KEY", &server.secret_key)
        .env("AWS_REGION", "us-east-1")
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "unstick {args:?}: {} {said}", output.status);
    Ok(String::from_utf8(output.stdout)?)
}

/// The chain into a real S3 server; what a judge that isn't the operator finds there; and the way back.
pub async fn into_a_bucket_and_back(ground: &Ground) -> Result<()> {
    const NAMESPACE: &str = "bucket";
    ground.install().await?;
    grant(&ground.bed).await?;
    ground.bed.namespace(NAMESPACE).await?;
    let server = bucket(&ground.bed, "s3").await?;
    policy(&ground.bed, NAMESPACE, "s3", "6s").await?;
    let mut operator = ground.operator_with("archivist", &["--catalogue-every", "2s"]).await?;
    let audit = ground.bed.audit().mark()?;
    let runs = ground.gates(NAMESPACE, "run", 6, Some(1)).await?;
    all_gone(ground, NAMESPACE, &operator, Duration::from_secs(60)).await?;
    tokio::time::sleep(Duration::from_secs(3)).await;
    super::seen::scrape(&operator).await?;

    // Each deleted run has one body and one manifest that agree with each other.
    let deleted = audit.by(USER)?.into_iter().filter(|e| e.resource == "workflows" && e.verb == "delete").count();
    ensure!(deleted == runs.len(), "{deleted} deletes");
    for run in &runs {
        let bodies = server.keys(BUCKET, &format!("workflow-archives/{NAMESPACE}/{}/", run.name)).await?;
        ensure!(bodies.len() == 1, "{run}: {bodies:?}");
        let key = bodies.into_keys().next().unwrap_or_default();
        let body = server.read(BUCKET, &key).await?.context("the body")?;
        let mut text = String::new();
        flate2::read::GzDecoder::new(body.bytes.as_slice()).read_to_string(&mut text)?;
        let archived: Value = serde_json::from_str(&text)?;
        ensure!(archived["metadata"]["name"] == *run.name && archived["status"]["phase"] == "Succeeded", "{archived}");
        let digest = format!("{:x}", Sha256::digest(text.as_bytes()));
        let stem = key.rsplit('/').next().and_then(|k| k.strip_suffix(".json.gz")).context("a stem")?;
        let manifest = format!("workflow-archives-index/manifests/{NAMESPACE}/{}/{stem}.manifest.json", run.name);
        let manifest = server.read(BUCKET, &manifest).await?.with_context(|| manifest.clone())?;
        let manifest: Value = serde_json::from_slice(&manifest.bytes)?;
        ensure!(manifest["digest"] == digest && manifest["uid"] == archived["metadata"]["uid"], "{manifest}");
    }

    let list: Value = serde_json::from_str(&unstick(&server, &["archive", "list", "-n", NAMESPACE, "-o", "json"])?)?;
    let listed = list["items"].as_array().map_or(0, Vec::len);
    ensure!(listed == runs.len(), "{list}");
    unstick(&server, &["archive", "verify", "--all", "-n", NAMESPACE])?;

    // Back: the restored one runs to success on the real controller.
    let one = format!("{NAMESPACE}/{}", runs[0].name);
    let restored: Value = serde_json::from_str(&unstick(&server, &["archive", "restore", &one, "-o", "json"])?)?;
    let again = ground.bed.submit_value(NAMESPACE, restored).await?;
    let begun = Instant::now();
    while ground.bed.workflow(&again).await?["status"]["phase"] != "Succeeded" {
        ensure!(begun.elapsed() < Duration::from_secs(30), "the restored one never ends");
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    operator.terminate(Duration::from_secs(20)).await.map(drop)
}

/// A store that is gone: nothing is deleted, it is said why, and all goes on by itself when it is back. What somebody else
/// deletes meanwhile is counted as lost, and a hold keeps what it is on.
pub async fn while_the_store_is_gone_nothing_goes(ground: &Ground) -> Result<()> {
    const NAMESPACE: &str = "storeless";
    ground.install().await?;
    grant(&ground.bed).await?;
    ground.bed.namespace(NAMESPACE).await?;
    let path = folder(&ground.bed, "comes-and-goes").await?;
    policy(&ground.bed, NAMESPACE, "comes-and-goes", "2s").await?;
    let mut operator = ground.operator("patient").await?;
    // Open, then gone.
    let away = path.with_extension("away");
    until(&operator, "unstick_archive_location_ready{location=\"comes-and-goes\"} 1").await?;
    std::fs::rename(&path, &away)?;
    let runs = ground.gates(NAMESPACE, "run", 3, Some(1)).await?;
    ground.all_finished(NAMESPACE).await?;
    until(&operator, "unstick_archive_failures_total{policy=\"storeless\"}").await?;
    tokio::time::sleep(Duration::from_secs(5)).await;
    ensure!(there(ground, NAMESPACE).await?.len() == runs.len(), "something was deleted without a store");
    let text = super::seen::scrape(&operator).await?;
    ensure!(text.contains("unstick_archive_backlog{policy=\"storeless\"} 3"), "no backlog of three:\n{text}");

    ground.bed.delete_workflow(&runs[2]).await?;
    until(&operator, "unstick_archive_lost_total{policy=\"storeless\"} 1").await?;
    let hold = json!({"metadata": {"annotations": {"unstick.dev/hold": "audit"}}});
    ground.bed.patch_workflow(&runs[0], &hold).await?;
    std::fs::rename(&away, &path)?;
    let begun = Instant::now();
    while there(ground, NAMESPACE).await? != [runs[0].name.clone()] {
        ensure!(begun.elapsed() < Duration::from_secs(120), "the others stay:\n{}", operator.tail(20));
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    until(&operator, "unstick_deletions_blocked_total{reason=\"Hold\"}").await?;
    ensure!(
        !files(&path.join("workflow-archives").join(NAMESPACE).join(&runs[0].name), ".json.gz").is_empty(),
        "a hold keeps, and archives"
    );
    let unhold = json!({"metadata": {"annotations": {"unstick.dev/hold": null}}});
    ground.bed.patch_workflow(&runs[0], &unhold).await?;
    all_gone(ground, NAMESPACE, &operator, Duration::from_secs(60)).await?;
    operator.terminate(Duration::from_secs(20)).await.map(drop)
}

/// Waits until a scrape has this.
async fn until(operator: &Operator, text: &str) -> Result<()> {
    let begun = Instant::now();
    loop {
        let page = super::seen::scrape(operator).await?;
        if page.contains(text) && !page.contains(&format!("{text} 0")) {
            return Ok(());
        }
        let ours: Vec<_> = page.lines().filter(|l| l.contains("archive") || l.contains("delet")).collect();
        ensure!(begun.elapsed() < Duration::from_secs(60), "never {text}: {ours:#?}\n{}", operator.tail(20));
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}
