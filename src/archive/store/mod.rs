//! Where archives are put: one small trait. It has no way to delete or to replace, and the operator needs no right to.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
pub use hyper::body::Bytes;
use serde::{Deserialize, Serialize};

use super::digest::Digest;
use super::key::Layout;

pub mod fault;
pub mod filesystem;
pub mod mounted;
pub mod probe;
pub mod s3;

pub use fault::{Call, Fault, StoreError};

/// What is said of an object beside its content; keys are lower case.
pub type Meta = BTreeMap<String, String>;

/// How a put that may not replace anything ended. Only [`Put::Created`] says that the object is ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Put {
    Created {
        version_id: Option<String>,
    },
    /// 412: something is there already.
    Exists,
    /// 409: another put of the same key was under way.
    Raced,
}

/// An object as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    pub bytes: Bytes,
    pub version_id: Option<String>,
    pub storage_class: Option<String>,
    pub meta: Meta,
}

/// An object as it is known without reading it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    pub size: u64,
    pub version_id: Option<String>,
    pub storage_class: Option<String>,
    pub meta: Meta,
}

/// One line of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listed {
    pub key: String,
    pub size: u64,
    pub storage_class: Option<String>,
}

/// What to list: keys that begin with `prefix`, in the order of their bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct List<'a> {
    pub prefix: &'a str,
    /// Only keys behind this one.
    pub after: Option<&'a str>,
    /// Goes on where a page ended: its `next`.
    pub token: Option<&'a str>,
    /// Keys with a `/` behind the prefix are told as the folder they begin with.
    pub folders: bool,
}

/// A part of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    pub objects: Vec<Listed>,
    /// With their `/`.
    pub folders: Vec<String>,
    /// The token of the next page.
    pub next: Option<String>,
}

/// A place for archives.
#[async_trait]
pub trait Store: Send + Sync {
    /// Of the place this store writes to: what a location must have for this store to be its own.
    fn fingerprint(&self) -> &Fingerprint;

    /// Puts an object where there is none.
    ///
    /// # Errors
    /// Also when the answer got lost: an error doesn't say that nothing was written.
    async fn put_new(&self, key: &str, body: Bytes, meta: &Meta) -> Result<Put, StoreError>;

    /// Reads an object of at most `limit` bytes; `None` if there is none.
    async fn get(&self, key: &str, limit: usize) -> Result<Option<Object>, StoreError>;

    /// Reads what is known of an object; `None` if there is none. Works in every storage class.
    async fn head(&self, key: &str) -> Result<Option<Head>, StoreError>;

    /// Lists one page.
    async fn list(&self, what: &List<'_>) -> Result<Page, StoreError>;

    /// Makes sure that an object that is there, and that no put of ours has just created, outlives a crash of the store's
    /// machine. A bucket's answer says that already. Without a default, as what follows: a store that wraps another would
    /// forget it.
    ///
    /// # Errors
    /// It may be gone after a crash.
    async fn settle(&self, key: &str) -> Result<(), StoreError>;

    /// This object has been seen and nothing of ours deletes it. A place that can be swapped under us, as a folder whose
    /// volume goes away, shows by it that it is still the same: without it nothing is put, and nothing counts as missing.
    fn rely_on(&self, key: &str);

    /// Whether the store has a checksum of its own of an object: then it has checked what it was sent, and can check later.
    ///
    /// # Errors
    /// It can't be asked.
    async fn keeps_checksum(&self, key: &str) -> Result<bool, StoreError>;

    /// The same store, used as one that doesn't honour the condition of a put that may not replace anything: it is looked
    /// first whether something is there, and the put goes without the condition. `None` where the condition is always kept.
    /// For who has found out that it isn't: between the look and the put another may write.
    fn without_condition(&self) -> Option<Arc<dyn Store>> {
        None
    }

    /// Whether [`Store::put_new`] looks by itself whether something is there.
    fn looks_first(&self) -> bool {
        false
    }

    /// Who we are there, for a person to read.
    async fn identity(&self) -> Result<String, StoreError>;
}

/// Identifies the place of a location: another bucket, endpoint or prefix has another one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(String);

impl Fingerprint {
    /// Of a bucket. An endpoint of `""` is AWS's own.
    pub fn s3(endpoint: &str, bucket: &str, prefix: &str) -> Self {
        let endpoint = endpoint.trim_end_matches('/').to_ascii_lowercase();
        Self::of(&["S3", &endpoint, bucket, prefix.trim_matches('/')])
    }

    /// Of a folder.
    pub fn filesystem(path: &str, prefix: &str) -> Self {
        Self::of(&["Filesystem", path.trim_end_matches('/'), prefix.trim_matches('/')])
    }

    /// As it was written down.
    pub fn read(text: &str) -> Self {
        Self(text.to_owned())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn of(parts: &[&str]) -> Self {
        // The parts can't have a zero byte: different parts never make the same text.
        let mut digest = Digest::of(parts.join("\0").as_bytes()).to_string();
        digest.truncate(16);
        Self(digest)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// What kind of place a location is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LocationKind {
    S3,
    Filesystem,
}

/// A location as archiving sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// Name of the `ArchiveLocation`.
    pub name: String,
    pub kind: LocationKind,
    pub layout: Layout,
    pub fingerprint: Fingerprint,
    /// Name of the cluster whose runs are archived.
    pub cluster: String,
    /// Whether a put that must not replace anything is refused by the store itself; where it isn't, we look first.
    pub conditional_put: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_tells_places_apart_and_spellings_not() {
        let own = Fingerprint::s3("", "bucket", "workflow-archives");
        assert_eq!(own, Fingerprint::s3("", "bucket", "/workflow-archives/"));
        assert_eq!(own.as_str().len(), 16);
        for other in [
            Fingerprint::s3("", "bucket2", "workflow-archives"),
            Fingerprint::s3("https://minio:9000", "bucket", "workflow-archives"),
            Fingerprint::s3("", "bucket", "workflow-archives/team"),
            Fingerprint::s3("", "bucketworkflow-archives", ""),
            Fingerprint::filesystem("bucket", "workflow-archives"),
        ] {
            assert_ne!(own, other);
        }
        let endpoint = Fingerprint::s3("https://minio:9000", "b", "p");
        assert_eq!(endpoint, Fingerprint::s3("HTTPS://MinIO:9000/", "b", "p"));
    }
}
