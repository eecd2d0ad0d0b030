//! The server's own record of every request: the judge of what anybody really did.

use std::fs::File;
use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use jiff::Timestamp;
use serde::Deserialize;

/// Reads the audit log, from wherever the last mark was set.
#[derive(Clone, Debug)]
pub struct Audit {
    path: PathBuf,
    from: u64,
}

/// One answered request. A watch is recorded twice: when it begins (`stage` `ResponseStarted`) and when it ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub user: String,
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`.
    pub verb: String,
    /// API group, empty for the core group.
    pub group: String,
    /// Plural, `workflows`; empty for paths such as `/readyz`.
    pub resource: String,
    pub subresource: String,
    pub namespace: String,
    /// Empty for lists, and for creates (the path doesn't hold it and bodies aren't recorded).
    pub name: String,
    /// HTTP status.
    pub code: u16,
    pub stage: String,
    pub at: Timestamp,
    /// Path and query.
    pub uri: String,
    /// What the client calls itself.
    pub agent: String,
}

impl Entry {
    /// Changes something, or tries to (look at `code`); `create` of a review is no write.
    pub fn writes(&self) -> bool {
        let changes = matches!(self.verb.as_str(), "create" | "update" | "patch" | "delete" | "deletecollection");
        let asks = matches!(self.group.as_str(), "authorization.k8s.io" | "authentication.k8s.io");
        changes && !asks && !self.uri.contains("dryRun=All")
    }

    /// `patch workflows ns/name 200`, for messages.
    pub fn line(&self) -> String {
        let slash = if self.subresource.is_empty() { "" } else { "/" };
        let Self { verb, resource, subresource, namespace, name, code, at, .. } = self;
        format!("{at} {verb} {resource}{slash}{subresource} {namespace}/{name} {code}")
    }
}

impl Audit {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, from: 0 }
    }

    /// The same log, but only what comes from now on.
    pub fn mark(&self) -> Result<Self> {
        let length =
            std::fs::metadata(&self.path).with_context(|| format!("no audit log {}", self.path.display()))?.len();
        Ok(Self { path: self.path.clone(), from: length })
    }

    /// What has been recorded since the mark, oldest first.
    pub fn entries(&self) -> Result<Vec<Entry>> {
        let mut file = File::open(&self.path).with_context(|| format!("no audit log {}", self.path.display()))?;
        file.seek(SeekFrom::Start(self.from))?;
        let mut reader = BufReader::new(file);
        let (mut entries, mut line) = (Vec::new(), Vec::new());
        loop {
            line.clear();
            reader.read_until(b'\n', &mut line)?;
            // The last line may be half written.
            if line.last() != Some(&b'\n') {
                return Ok(entries);
            }
            let raw: Raw = serde_json::from_slice(&line).context("a line of the audit log is not what we know")?;
            entries.push(raw.into());
        }
    }

    /// Requests of one user: `system:serviceaccount:<namespace>:<name>`, `admin`, `argo-controller`, `bed-kubelet`.
    pub fn by(&self, user: &str) -> Result<Vec<Entry>> {
        Ok(self.entries()?.into_iter().filter(|e| e.user == user).collect())
    }

    /// Writes of one user.
    pub fn writes_by(&self, user: &str) -> Result<Vec<Entry>> {
        Ok(self.by(user)?.into_iter().filter(Entry::writes).collect())
    }

    /// Everything answered at `since` or later.
    pub fn since(&self, since: Timestamp) -> Result<Vec<Entry>> {
        Ok(self.entries()?.into_iter().filter(|e| e.at >= since).collect())
    }

    /// Waits for an entry; the server writes the line a moment after it has answered.
    pub async fn wait_for(&self, what: &str, limit: Duration, wanted: impl Fn(&Entry) -> bool) -> Result<Entry> {
        let until = Instant::now() + limit;
        loop {
            let entries = self.entries()?;
            if let Some(found) = entries.iter().find(|e| wanted(e)) {
                return Ok(found.clone());
            }
            if Instant::now() > until {
                let last: Vec<String> = entries.iter().rev().take(10).map(Entry::line).collect();
                bail!(
                    "the audit log has no {what} after {limit:?}; its last entries, newest first:\n  {}",
                    last.join("\n  ")
                );
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    #[serde(default)]
    user: RawUser,
    verb: String,
    stage: String,
    #[serde(default)]
    object_ref: RawObject,
    #[serde(default)]
    response_status: RawStatus,
    stage_timestamp: Timestamp,
    #[serde(rename = "requestURI")]
    request_uri: String,
    #[serde(default)]
    user_agent: String,
}

#[derive(Default, Deserialize)]
struct RawUser {
    #[serde(default)]
    username: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RawObject {
    api_group: String,
    resource: String,
    subresource: String,
    namespace: String,
    name: String,
}

#[derive(Default, Deserialize)]
struct RawStatus {
    #[serde(default)]
    code: u16,
}

impl From<Raw> for Entry {
    fn from(raw: Raw) -> Self {
        Self {
            user: raw.user.username,
            verb: raw.verb,
            group: raw.object_ref.api_group,
            resource: raw.object_ref.resource,
            subresource: raw.object_ref.subresource,
            namespace: raw.object_ref.namespace,
            name: raw.object_ref.name,
            code: raw.response_status.code,
            stage: raw.stage,
            at: raw.stage_timestamp,
            uri: raw.request_uri,
            agent: raw.user_agent,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    const LINE: &str = r#"{"kind":"Event","level":"Metadata","stage":"ResponseComplete","requestURI":"/apis/argoproj.io/v1alpha1/namespaces/a/workflows/w?x","verb":"patch","user":{"username":"u"},"objectRef":{"resource":"workflows","namespace":"a","name":"w","apiGroup":"argoproj.io"},"responseStatus":{"code":403},"stageTimestamp":"2026-11-21T08:00:00.5Z"}"#;

    #[test]
    fn half_a_line_waits_and_a_mark_hides_the_past() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        write!(file, "{LINE}\n{}", &LINE[..40]).unwrap();
        let audit = Audit::new(file.path().to_owned());
        let seen = audit.entries().unwrap();
        assert_eq!(seen.len(), 1);
        assert_eq!((seen[0].code, seen[0].name.as_str(), seen[0].writes()), (403, "w", true));
        writeln!(file, "{}", &LINE[40..]).unwrap();
        assert_eq!(audit.by("u").unwrap().len(), 2);
        assert!(audit.mark().unwrap().entries().unwrap().is_empty());
    }

    #[test]
    fn asking_for_rights_is_no_write() {
        let line = LINE.replace("argoproj.io\"}", "authorization.k8s.io\"}").replace("\"patch\"", "\"create\"");
        let raw: Raw = serde_json::from_str(&line).unwrap();
        assert!(!Entry::from(raw).writes());
        let dry: Raw = serde_json::from_str(&LINE.replace("w?x", "w?dryRun=All")).unwrap();
        assert!(!Entry::from(dry).writes());
    }
}
