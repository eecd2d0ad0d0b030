//! What lies in a bucket, read by somebody who is not the operator: over the owner's client, or as files on the disk.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use aws_sdk_s3::error::SdkError;

use super::S3Server;

/// One object as it lies in the bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredObject {
    pub key: String,
    pub bytes: Vec<u8>,
    /// User metadata without `x-amz-meta-`, in small letters.
    pub metadata: BTreeMap<String, String>,
    pub version_id: Option<String>,
    pub content_type: Option<String>,
    pub content_encoding: Option<String>,
}

/// One version of an object in a bucket that keeps versions.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    pub key: String,
    pub id: String,
    pub delete_marker: bool,
}

impl S3Server {
    /// The keys below a prefix with their sizes, sorted.
    pub async fn keys(&self, bucket: &str, prefix: &str) -> Result<BTreeMap<String, u64>> {
        let mut pages = self.client().list_objects_v2().bucket(bucket).prefix(prefix).into_paginator().send();
        let mut found = BTreeMap::new();
        while let Some(page) = pages.next().await {
            for object in page.with_context(|| format!("cannot list {bucket}/{prefix}"))?.contents() {
                let size = u64::try_from(object.size().unwrap_or_default())?;
                found.insert(object.key().unwrap_or_default().to_owned(), size);
            }
        }
        Ok(found)
    }

    /// One object whole; `None` when there is none.
    pub async fn read(&self, bucket: &str, key: &str) -> Result<Option<StoredObject>> {
        let answer = match self.client().get_object().bucket(bucket).key(key).send().await {
            Err(SdkError::ServiceError(e)) if e.err().is_no_such_key() => return Ok(None),
            other => other.with_context(|| format!("cannot read {bucket}/{key}"))?,
        };
        let metadata = answer.metadata().into_iter().flatten();
        Ok(Some(StoredObject {
            key: key.to_owned(),
            metadata: metadata.map(|(name, value)| (name.to_ascii_lowercase(), value.clone())).collect(),
            version_id: answer.version_id().map(str::to_owned),
            content_type: answer.content_type().map(str::to_owned),
            content_encoding: answer.content_encoding().map(str::to_owned),
            bytes: answer.body.collect().await?.into_bytes().to_vec(),
        }))
    }

    /// Puts an object the plain way, over whatever is there: for tests that plant something.
    pub async fn plant(&self, bucket: &str, key: &str, bytes: &[u8]) -> Result<()> {
        let put = self.client().put_object().bucket(bucket).key(key).body(bytes.to_vec().into());
        put.send().await.with_context(|| format!("cannot put {bucket}/{key}"))?;
        Ok(())
    }

    /// Takes an object away: for tests that lose one.
    pub async fn remove(&self, bucket: &str, key: &str) -> Result<()> {
        let gone = self.client().delete_object().bucket(bucket).key(key).send().await;
        gone.with_context(|| format!("cannot delete {bucket}/{key}"))?;
        Ok(())
    }

    /// Every version of every object, sorted; in a versioned bucket two for one key mean that it was overwritten.
    pub async fn versions(&self, bucket: &str) -> Result<Vec<Version>> {
        self.versions_below(bucket, "").await
    }

    /// Every version whose key begins so.
    pub async fn versions_below(&self, bucket: &str, prefix: &str) -> Result<Vec<Version>> {
        let (mut found, mut key, mut id) = (Vec::new(), None, None);
        loop {
            let asked = self.client().list_object_versions().bucket(bucket).prefix(prefix);
            let page = asked.set_key_marker(key.take()).set_version_id_marker(id.take()).send().await?;
            let of = |key: Option<&str>, id: Option<&str>, delete_marker| Version {
                key: key.unwrap_or_default().to_owned(),
                id: id.unwrap_or_default().to_owned(),
                delete_marker,
            };
            found.extend(page.versions().iter().map(|v| of(v.key(), v.version_id(), false)));
            found.extend(page.delete_markers().iter().map(|v| of(v.key(), v.version_id(), true)));
            if page.is_truncated() != Some(true) {
                found.sort();
                return Ok(found);
            }
            (key, id) = (page.next_key_marker.clone(), page.next_version_id_marker.clone());
        }
    }
}

/// Every file below a folder with its bytes, by its path with `/`: what versitygw has in a bucket, or what lies in a
/// `Filesystem` location. The folders a server works in (they begin with `.sgwtmp`) are left out.
pub fn files_below(folder: &Path) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(at) = folders.pop() {
        for entry in std::fs::read_dir(&at).with_context(|| format!("cannot look into {}", at.display()))? {
            let path = entry?.path();
            if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(".sgwtmp")) {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.strip_prefix(folder)?.to_string_lossy().into_owned();
            found.insert(name, std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_found_whole_but_not_what_is_being_written() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("a/b")).unwrap();
        std::fs::create_dir_all(folder.path().join(".sgwtmp/x")).unwrap();
        std::fs::write(folder.path().join("a/b/c"), "1").unwrap();
        std::fs::write(folder.path().join(".sgwtmp/x/half"), "2").unwrap();
        let found = files_below(folder.path()).unwrap();
        assert_eq!(found.into_iter().collect::<Vec<_>>(), [("a/b/c".to_owned(), b"1".to_vec())]);
    }
}
