//! The manifest of an archive: written only after the archive was read back, and all that is needed to find it, to
//! judge it and to list it again.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::artifacts::Artifact;
use super::canonical::Canonical;
use super::digest::Digest;
use super::facts::RunFacts;
use super::redaction::Rules;
use super::store::{Fingerprint, Location};
use crate::api::time::Time;
use crate::api::workflow::codec::Codec;

/// Version of what is written here.
pub const API_VERSION: &str = "archive.unstick.dev/v1alpha1";
/// Manifests longer than this are not read, in bytes.
pub const LARGEST: usize = 8 << 20;
/// Places of redacted values listed at most.
const MOST_PLACES: usize = 1_000;

/// What is known of a run without its archive: part of the manifest and of each row of the catalogue.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    pub cluster: String,
    pub namespace: String,
    pub name: String,
    pub uid: String,
    pub phase: String,
    #[serde(default)]
    pub message: String,
    pub created_at: Option<Time>,
    pub started_at: Option<Time>,
    /// null = it was archived unfinished.
    pub finished_at: Option<Time>,
    pub duration_seconds: Option<i64>,
    pub template: Option<String>,
    pub cron_workflow: Option<String>,
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    #[serde(default)]
    pub parameters: BTreeMap<String, String>,
    /// Resource time in seconds, by resource.
    #[serde(default)]
    pub resources_duration: BTreeMap<String, i64>,
    pub nodes: u32,
    pub suspended_seconds: i64,
    pub longest_suspension_seconds: i64,
    /// How long unstick saw it stuck; null where nothing was told.
    #[serde(default)]
    pub stuck_seconds: Option<i64>,
}

impl Summary {
    pub fn new(facts: &RunFacts, cluster: &str, stuck_seconds: Option<i64>) -> Self {
        Self {
            cluster: cluster.to_owned(),
            namespace: facts.namespace.clone(),
            name: facts.name.clone(),
            uid: facts.uid.clone(),
            phase: facts.phase.clone(),
            message: facts.message.clone(),
            created_at: facts.created,
            started_at: facts.started,
            finished_at: facts.finished,
            duration_seconds: facts.duration_seconds(),
            template: facts.template.clone(),
            cron_workflow: facts.cron_workflow.clone(),
            labels: facts.labels.clone(),
            parameters: facts.parameters.clone(),
            resources_duration: facts.resources_duration.clone(),
            nodes: facts.nodes,
            suspended_seconds: facts.suspended_seconds,
            longest_suspension_seconds: facts.longest_suspension_seconds,
            stuck_seconds,
        }
    }
}

/// What the archive has of the run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Completeness {
    /// `Inline`, or how they were compressed: `Gzip`, `Zstd`, `Brotli`. They are always stored decoded.
    pub nodes: String,
    pub events: bool,
    /// Logs are Argo's own artifacts: see the index of artifacts.
    pub logs: bool,
    /// The index below lists them; it has no copies.
    pub artifacts: usize,
}

/// An object beside the archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Beside {
    pub key: String,
    pub digest: Digest,
    pub bytes: u64,
}

/// Of one archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    pub api_version: String,
    pub kind: String,
    pub key: String,
    /// SHA-256 of the unpacked archive.
    pub digest: Digest,
    pub bytes: u64,
    pub stored_bytes: u64,
    /// Where the store keeps versions.
    pub version_id: Option<String>,
    pub location: String,
    pub fingerprint: Fingerprint,
    pub archived_at: Time,
    pub written_by: String,
    #[serde(flatten)]
    pub summary: Summary,
    pub completeness: Completeness,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub events: Option<Beside>,
    pub redaction: Rules,
    pub redacted_count: usize,
    #[serde(default)]
    pub redacted: Vec<String>,
    #[serde(default)]
    pub artifacts: Vec<Artifact>,
}

/// What is stored, for a manifest.
pub(super) struct Written<'a> {
    pub location: &'a Location,
    pub key: &'a str,
    pub bytes: u64,
    pub stored_bytes: u64,
    pub version_id: Option<String>,
    pub events: Option<Beside>,
    pub archived_at: Time,
    pub stuck_seconds: Option<i64>,
    pub rules: &'a Rules,
}

impl Manifest {
    pub(super) fn new(canonical: &Canonical, stored: Written<'_>) -> Self {
        let nodes = match canonical.decoded {
            None => "Inline",
            Some(Codec::Gzip) => "Gzip",
            Some(Codec::Zstd) => "Zstd",
            Some(Codec::Brotli) => "Brotli",
        };
        Self {
            api_version: API_VERSION.to_owned(),
            kind: "ArchiveManifest".to_owned(),
            key: stored.key.to_owned(),
            digest: canonical.digest,
            bytes: stored.bytes,
            stored_bytes: stored.stored_bytes,
            version_id: stored.version_id,
            location: stored.location.name.clone(),
            fingerprint: stored.location.fingerprint.clone(),
            archived_at: stored.archived_at,
            written_by: concat!("unstick ", env!("CARGO_PKG_VERSION")).to_owned(),
            summary: Summary::new(&canonical.facts, &stored.location.cluster, stored.stuck_seconds),
            completeness: Completeness {
                nodes: nodes.to_owned(),
                events: stored.events.is_some(),
                logs: false,
                artifacts: canonical.artifacts.len(),
            },
            events: stored.events,
            redaction: stored.rules.clone(),
            redacted_count: canonical.redacted.len(),
            redacted: canonical.redacted.iter().take(MOST_PLACES).cloned().collect(),
            artifacts: canonical.artifacts.clone(),
        }
    }

    /// Reads a manifest; `None` for what is none.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let read: Self = serde_json::from_slice(bytes).ok()?;
        (read.api_version == API_VERSION && read.kind == "ArchiveManifest").then_some(read)
    }

    pub fn text(&self) -> Vec<u8> {
        let mut text = serde_json::to_vec_pretty(self).unwrap_or_default();
        text.push(b'\n');
        text
    }

    /// Whether this is the manifest of the same archive: the same content under the same key. When and by which version
    /// it was written doesn't matter, nor under which rules: the digest is that of what they made.
    ///
    /// Nor does it matter under which name of the place (endpoint, bucket, path) it was written, **where the archive
    /// itself was just read and compared**. Without that it speaks only for the place whose fingerprint it has.
    pub fn is_of(&self, key: &str, digest: &Digest, uid: &str) -> bool {
        self.key == key && self.digest == *digest && self.summary.uid == uid
    }
}
