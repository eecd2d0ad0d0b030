//! One line of the catalogue. All lines have the same columns, so that any reader makes one table of them.

use serde::{Deserialize, Serialize};

use crate::api::time::Time;
use crate::archive::digest::Digest;
use crate::archive::facts::RunFacts;
use crate::archive::manifest::{Manifest, Summary};
use crate::archive::store::Fingerprint;

/// What a line tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Record {
    /// An archive is there.
    Archive,
    /// The workflow was deleted from the cluster.
    Deletion,
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    pub record: Record,
    #[serde(flatten)]
    pub summary: Summary,
    /// Empty for a deletion that asked for no archive.
    pub key: String,
    pub manifest_key: String,
    pub digest: Option<Digest>,
    pub bytes: u64,
    pub stored_bytes: u64,
    pub version_id: Option<String>,
    pub fingerprint: Fingerprint,
    pub archived_at: Option<Time>,
    pub deleted_at: Option<Time>,
    /// Who deleted it, as `kind/name` or `kind/namespace/name`.
    pub policy: Option<String>,
    /// Why it was deleted.
    pub reason: Option<String>,
}

/// A deletion, for its line.
#[derive(Clone, Copy, Debug)]
pub struct Deletion<'a> {
    pub facts: &'a RunFacts,
    pub cluster: &'a str,
    pub fingerprint: &'a Fingerprint,
    /// Key and digest of the archive that was verified.
    pub archive: Option<(&'a str, Digest)>,
    pub deleted_at: Time,
    pub policy: &'a str,
    pub reason: &'a str,
}

impl Row {
    pub fn archive(manifest: &Manifest, manifest_key: &str) -> Self {
        Self {
            record: Record::Archive,
            summary: manifest.summary.clone(),
            key: manifest.key.clone(),
            manifest_key: manifest_key.to_owned(),
            digest: Some(manifest.digest),
            bytes: manifest.bytes,
            stored_bytes: manifest.stored_bytes,
            version_id: manifest.version_id.clone(),
            fingerprint: manifest.fingerprint.clone(),
            archived_at: Some(manifest.archived_at),
            deleted_at: None,
            policy: None,
            reason: None,
        }
    }

    pub fn deletion(told: &Deletion<'_>) -> Self {
        Self {
            record: Record::Deletion,
            summary: Summary::new(told.facts, told.cluster, None),
            key: told.archive.map(|(key, _)| key.to_owned()).unwrap_or_default(),
            manifest_key: String::new(),
            digest: told.archive.map(|(_, digest)| digest),
            bytes: 0,
            stored_bytes: 0,
            version_id: None,
            fingerprint: told.fingerprint.clone(),
            archived_at: None,
            deleted_at: Some(told.deleted_at),
            policy: Some(told.policy.to_owned()),
            reason: Some(told.reason.to_owned()),
        }
    }

    /// The day of the partition: of the end of the run, else of what the line tells.
    pub fn date(&self) -> String {
        let at = self.summary.finished_at.or(self.archived_at).or(self.deleted_at);
        at.map(|at| at.get().strftime("%Y-%m-%d").to_string()).unwrap_or_default()
    }
}
