//! Judges by what the API server and the bucket have on record, not by what the operator says.

use std::collections::BTreeMap;
use std::io::Read as _;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use unstick_bed::{Audit, Entry, S3Server};

use super::super::ground::USER;
use super::{BUCKET, NAMESPACE};

/// Knows every run as it was when it had finished.
pub struct Judge {
    audit: Audit,
    runs: BTreeMap<String, Value>,
}

impl Judge {
    /// From a mark that was set before the first run.
    pub fn new(audit: Audit) -> Self {
        Self { audit, runs: BTreeMap::new() }
    }

    /// A run that is at its end. Names are used once: one name is one uid.
    pub fn saw(&mut self, run: Value) -> Result<()> {
        let name = run["metadata"]["name"].as_str().context("a name")?.to_owned();
        let nodes = run["status"]["nodes"].as_object().map_or(0, serde_json::Map::len);
        ensure!(nodes >= 4, "{name} has {nodes} nodes: that all of them are kept would prove little");
        ensure!(self.runs.insert(name.clone(), run).is_none(), "a second {name}");
        Ok(())
    }

    /// Each run was deleted once, by the operator, and has its copy; no object was ever replaced or removed. Returns how
    /// many deletes were judged.
    pub async fn all(&self, server: &S3Server) -> Result<usize> {
        let entries = self.audit.entries()?;
        let deletes: Vec<&Entry> = entries
            .iter()
            .filter(|e| e.resource == "workflows" && e.verb.starts_with("delete") && (200..300).contains(&e.code))
            .collect();
        let mut times: BTreeMap<&str, usize> = BTreeMap::new();
        for delete in &deletes {
            ensure!(delete.user == USER && delete.namespace == NAMESPACE, "somebody else's: {}", delete.line());
            ensure!(self.runs.contains_key(&delete.name), "a run nobody knows: {}", delete.line());
            *times.entry(&delete.name).or_default() += 1;
            self.copy_of(server, &delete.name).await.with_context(|| delete.line())?;
        }
        for name in self.runs.keys() {
            ensure!(times.get(name.as_str()) == Some(&1), "{name} was deleted {:?} times", times.get(name.as_str()));
        }
        Self::nothing_replaced(server).await?;
        Ok(deletes.len())
    }

    /// The bucket has one whole copy of this very run, and a manifest that says the same.
    pub async fn copy_of(&self, server: &S3Server, name: &str) -> Result<()> {
        let run = self.runs.get(name).with_context(|| format!("{name} was never seen"))?;
        let uid = &run["metadata"]["uid"];
        let bodies = server.keys(BUCKET, &format!("workflow-archives/{NAMESPACE}/{name}/")).await?;
        let keys: Vec<&String> = bodies.keys().collect();
        ensure!(keys.len() == 1, "{name} has the bodies {keys:?}");
        let stem = keys[0].rsplit('/').next().and_then(|k| k.strip_suffix(".json.gz")).context("a stem")?;
        let body = server.read(BUCKET, keys[0]).await?.context("the body")?;
        let mut text = String::new();
        flate2::read::GzDecoder::new(body.bytes.as_slice()).read_to_string(&mut text).context("the body")?;
        let archived: Value = serde_json::from_str(&text)?;
        ensure!(archived["metadata"]["uid"] == *uid, "{name} is {uid}, its copy {}", archived["metadata"]["uid"]);
        for field in ["nodes", "phase", "startedAt", "finishedAt"] {
            let (was, is) = (&run["status"][field], &archived["status"][field]);
            ensure!(was == is, "status.{field} of {name} was {was}, its copy has {is}");
        }
        let key = format!("workflow-archives-index/manifests/{NAMESPACE}/{name}/{stem}.manifest.json");
        let manifest = server.read(BUCKET, &key).await?.with_context(|| format!("no {key}"))?;
        let manifest: Value = serde_json::from_slice(&manifest.bytes)?;
        let digest = format!("{:x}", Sha256::digest(text.as_bytes()));
        ensure!(manifest["digest"] == digest, "the body has the digest {digest}, its manifest says {manifest}");
        ensure!(manifest["uid"] == *uid && manifest["key"] == *keys[0], "the manifest is of another: {manifest}");
        Ok(())
    }

    async fn nothing_replaced(server: &S3Server) -> Result<()> {
        let versions = server.versions(BUCKET).await?;
        ensure!(!versions.is_empty(), "the bucket keeps no versions: that proves nothing");
        let mut times: BTreeMap<&str, usize> = BTreeMap::new();
        for version in &versions {
            ensure!(!version.delete_marker, "{} was removed", version.key);
            *times.entry(&version.key).or_default() += 1;
        }
        let twice: Vec<_> = times.iter().filter(|(_, n)| **n != 1).collect();
        ensure!(twice.is_empty(), "written more than once: {twice:?}");
        Ok(())
    }

    /// A control: each kind of damage is noticed. Leaves the bucket damaged.
    pub async fn can_say_no(&self, server: &S3Server) -> Result<()> {
        let keys = server.keys(BUCKET, &format!("workflow-archives/{NAMESPACE}/")).await?;
        let [one, other] = [0, 1].map(|n| keys.keys().nth(n).cloned().unwrap_or_default());
        let taken = server.read(BUCKET, &one).await?.context("a body")?;
        let name = one.split('/').nth(2).context("a name")?;

        // The very same bytes again: every copy is right, and yet something was written over.
        server.plant(BUCKET, &one, &taken.bytes).await?;
        self.copy_of(server, name).await?;
        ensure!(self.all(server).await.is_err(), "an object that was replaced isn't noticed");
        let another = server.read(BUCKET, &other).await?.context("a body")?;
        server.plant(BUCKET, &one, &another.bytes).await?;
        ensure!(self.copy_of(server, name).await.is_err(), "the copy of another run isn't noticed");
        server.plant(BUCKET, &one, &taken.bytes[..taken.bytes.len() / 2]).await?;
        ensure!(self.copy_of(server, name).await.is_err(), "half a copy isn't noticed");
        server.remove(BUCKET, &one).await?;
        ensure!(self.copy_of(server, name).await.is_err(), "a missing copy isn't noticed");
        Ok(())
    }
}
