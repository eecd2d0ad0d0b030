//! How a bucket is reached: what an `ArchiveLocation` says of it, as plain values.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::api::percent::encode;

/// Of one bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct S3Settings {
    pub bucket: String,
    pub prefix: String,
    /// Empty = as the environment says; for a custom endpoint `us-east-1`.
    pub region: String,
    /// Empty = AWS's own.
    pub endpoint: String,
    pub force_path_style: bool,
    /// Certificates to trust besides those of the system, PEM.
    pub ca_bundle: Option<Vec<u8>>,
    /// `None` = the default chain of AWS: environment, profile, web identity, Pod Identity, instance.
    pub credentials: Option<S3Credentials>,
    pub encryption: Encryption,
    /// Of bodies; the index is always STANDARD. Empty = STANDARD.
    pub storage_class: String,
    pub tags: BTreeMap<String, String>,
    pub checksums: Checksums,
    /// The store was found not to honour `If-None-Match`: puts go without it, after a look whether something is there.
    pub without_conditional_put: bool,
    pub limits: Limits,
}

/// A fixed access key.
#[derive(Clone, PartialEq, Eq)]
pub struct S3Credentials {
    pub access_key_id: String,
    pub secret_access_key: String,
    pub session_token: Option<String>,
}

impl fmt::Debug for S3Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "S3Credentials(…{})", last_four(&self.access_key_id))
    }
}

/// What a person may see of an access key.
pub(super) fn last_four(key: &str) -> &str {
    key.len().checked_sub(4).and_then(|at| key.get(at..)).unwrap_or_default()
}

/// Who encrypts, with what key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Encryption {
    /// As the bucket does by default.
    #[default]
    None,
    Aes256,
    /// The key's id or ARN; empty = the account's own for S3.
    Kms(String),
}

/// Checksums of the SDK, besides our own digest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Checksums {
    /// Where the endpoint is AWS's own: other stores refuse them, or worse, store them.
    #[default]
    Auto,
    WhenRequired,
    WhenSupported,
}

/// How long a call may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub connect: Duration,
    /// One try.
    pub attempt: Duration,
    /// With its retries, and with reading the answer.
    pub call: Duration,
    pub attempts: u32,
}

impl Default for Limits {
    fn default() -> Self {
        let (connect, attempt, call) = (Duration::from_secs(5), Duration::from_secs(20), Duration::from_secs(45));
        Self { connect, attempt, call, attempts: 2 }
    }
}

impl S3Settings {
    pub(super) fn own_endpoint(&self) -> bool {
        self.endpoint.is_empty()
    }

    pub(super) fn sends_checksums(&self) -> bool {
        match self.checksums {
            Checksums::Auto => self.own_endpoint(),
            Checksums::WhenRequired => false,
            Checksums::WhenSupported => true,
        }
    }

    /// `a=b&c=d`, as the header of a put has it.
    pub(super) fn tagging(&self) -> Option<String> {
        let pairs: Vec<_> = self.tags.iter().map(|(k, v)| format!("{}={}", encode(k), encode(v))).collect();
        (!pairs.is_empty()).then(|| pairs.join("&"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown() {
        let credentials = S3Credentials {
            access_key_id: "AKIAEXAMPLE1234".into(),
            secret_access_key: "wJalrXUtnFEMI".into(),
            session_token: Some("IQoJb3JpZ2lu".into()),
        };
        let settings = S3Settings { credentials: Some(credentials), ..S3Settings::default() };
        let shown = format!("{settings:?}");
        assert!(shown.contains("…1234") && !shown.contains("AKIA"), "{shown}");
        assert!(!shown.contains("wJalr") && !shown.contains("IQoJ"), "{shown}");
        assert_eq!(last_four("ab"), "");
    }

    #[test]
    fn tags_are_escaped_and_checksums_are_for_aws() {
        let tags = [("team".to_owned(), "a b&c=d".to_owned()), ("x".to_owned(), String::new())].into();
        let settings = S3Settings { tags, ..S3Settings::default() };
        assert_eq!(settings.tagging().unwrap(), "team=a%20b%26c%3Dd&x=");
        assert_eq!(S3Settings::default().tagging(), None);
        assert!(settings.sends_checksums());
        let custom = S3Settings { endpoint: "https://minio:9000".into(), ..settings };
        assert!(!custom.sends_checksums());
        assert!(S3Settings { checksums: Checksums::WhenSupported, ..custom }.sends_checksums());
    }
}
