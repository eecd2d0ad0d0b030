//! The second half of the demo: finished runs go to a real S3 server and to a folder, are deleted within a budget, and one
//! comes back and runs again.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use serde_json::{Value, json};
use unstick_bed::s3::{S3Kind, S3Server, files_below};
use unstick_bed::{Bed, scenario};

use super::{Demo, SYSTEM};

const BUCKET: &str = "archives";
/// Where archives go: (namespace, `ArchiveLocation`).
const PLACES: &[(&str, &str)] = &[("reports", "s3"), ("backups", "folder")];
/// Runs in each.
const RUNS: usize = 4;
/// From the first submission on.
const LIMIT: Duration = Duration::from_secs(75);

/// Starts the S3 server and says where archives go.
pub async fn start(bed: &Bed) -> Result<S3Server> {
    let server = S3Server::start(S3Kind::Versitygw).await?;
    server.create_bucket(BUCKET).await?;
    std::fs::create_dir_all(bed.folder().join("archive"))?;
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "archive"},
        "stringData": {"AWS_ACCESS_KEY_ID": server.access_key, "AWS_SECRET_ACCESS_KEY": server.secret_key},
    });
    bed.apply_value(secret, SYSTEM).await?;
    let location = |name: &str, spec: Value| json!({"apiVersion": "unstick.dev/v1alpha1", "kind": "ArchiveLocation", "metadata": {"name": name}, "spec": spec});
    let s3 = json!({"type": "S3", "allowedNamespaces": {}, "s3": {"bucket": BUCKET, "endpoint": server.endpoint,
        "forcePathStyle": true, "credentialsSecretRef": {"name": "archive"}}});
    let folder = json!({"type": "Filesystem", "allowedNamespaces": {},
        "filesystem": {"path": bed.folder().join("archive")}});
    bed.apply_value(location("s3", s3), "").await?;
    bed.apply_value(location("folder", folder), "").await?;
    for (namespace, place) in PLACES {
        bed.namespace(namespace).await?;
        let policy = json!({
            "apiVersion": "unstick.dev/v1alpha1", "kind": "WorkflowPolicy", "metadata": {"name": "keep"},
            "spec": {"selector": {}, "archive": {"mode": "Enforce", "location": place}, "cleanup": {"mode": "Enforce",
                "ttl": {"succeeded": "3s"}, "maxDeletes": {"count": 3, "per": "5s"}}},
        });
        bed.apply_value(policy, namespace).await?;
    }
    bed.namespace("restored").await?;
    Ok(server)
}

impl Demo {
    /// What a user sees of it; returns what differs from what should be.
    pub async fn keep(&self) -> Result<Vec<String>> {
        let begun = Instant::now();
        let mut names = BTreeSet::new();
        for (namespace, _) in PLACES {
            for n in 0..RUNS {
                let mut workflow: Value =
                    serde_saphyr::from_str(&scenario::yaml("succeeded")?).map_err(|e| anyhow!("succeeded: {e}"))?;
                workflow["metadata"]["name"] = json!(format!("daily-{n}"));
                self.bed.submit_value(namespace, workflow).await?;
                names.insert(format!("{namespace}/daily-{n}"));
            }
        }
        eprintln!("\nbed: {} runs submitted that are to be archived and deleted, three in 5 s", names.len());
        let mut left = names.clone();
        while !left.is_empty() && begun.elapsed() < LIMIT {
            tokio::time::sleep(Duration::from_millis(300)).await;
            left = self.there().await?.intersection(&names).cloned().collect();
        }
        let mut differences: Vec<String> = left.iter().map(|name| format!("{name} is still there")).collect();
        // The catalogue gets its batch a moment later.
        tokio::time::sleep(Duration::from_secs(3)).await;
        for line in [
            "kubectl get aloc",
            "kubectl get events -n reports --field-selector reason=Deleted",
            "unstick archive list --location s3://archives/workflow-archives -n reports",
            "unstick archive verify --location s3://archives/workflow-archives --all",
            "unstick archive restore reports/daily-0 --location s3://archives/workflow-archives --into restored --submit",
        ] {
            self.screen.show(line).await?;
        }
        let kept = self.s3.keys(BUCKET, "workflow-archives/").await?;
        let bodies = kept.keys().filter(|key| key.starts_with("workflow-archives/")).count();
        if bodies != RUNS {
            differences.push(format!("the bucket has {bodies} archives, not {RUNS}: {kept:?}"));
        }
        let files = files_below(&self.bed.folder().join("archive/workflow-archives"))?;
        let bodies = files.keys().filter(|file| file.ends_with(".json.gz")).count();
        if bodies != RUNS {
            differences.push(format!("the folder has {bodies} archives, not {RUNS}: {:?}", files.keys()));
        }
        differences.extend(self.restored().await?);
        Ok(differences)
    }

    /// The restored one must run to success.
    async fn restored(&self) -> Result<Option<String>> {
        let begun = Instant::now();
        loop {
            let list = self.list("argoproj.io", "workflows").await?;
            let all = list["items"].as_array().context("a list")?;
            let phase =
                all.iter().find(|w| w["metadata"]["namespace"] == "restored").map(|w| w["status"]["phase"].clone());
            if phase == Some(json!("Succeeded")) {
                self.screen.show("kubectl get workflows -n restored --show-labels").await?;
                return Ok(None);
            }
            if begun.elapsed() > Duration::from_secs(30) {
                return Ok(Some(format!("the restored workflow is {phase:?}, not Succeeded")));
            }
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }

    async fn there(&self) -> Result<BTreeSet<String>> {
        let list = self.list("argoproj.io", "workflows").await?;
        let name =
            |w: &Value| Some(format!("{}/{}", w["metadata"]["namespace"].as_str()?, w["metadata"]["name"].as_str()?));
        Ok(list["items"].as_array().into_iter().flatten().filter_map(name).collect())
    }
}
