//! Finished runs on the real parts: archived, read back, and only then deleted.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
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
        "apiVersion": "unstick.dev/v1alpha1", "kind": "WorkflowPolicy", "metadata": {"name": "keep"},
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
    policy(&ground.bed, NAMESPACE, "kept", "8s").await?;
    let mut operator = ground.operator("keeper").await?;
    let audit = ground.bed.audit().mark()?;
    let runs = ground.gates(NAMESPACE, "run", 10, Some(1)).await?;
    ground.all_finished(NAMESPACE).await.context("none may be deleted before all have ended")?;
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
    let (status, took) = operator.terminate(Duration::from_secs(20)).await?;
    ensure!(status.success(), "ended with {status} after {took:?}:\n{}", operator.tail(10));
    Ok(())
}
