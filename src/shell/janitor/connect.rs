//! From an `ArchiveLocation` to its store: settings, credentials and certificates. The operator's way and that of the
//! command line.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::Client;
use kube::api::Api;

use crate::api::archive_location::{
    ArchiveLocation, Checksums as WantedChecksums, Encryption as WantedEncryption, LocationType, S3Location,
};
use crate::api::reasons::LocationReason;
use crate::archive::key::Layout;
use crate::archive::store::filesystem::Filesystem;
use crate::archive::store::s3::{Checksums, Encryption, Limits, S3, S3Credentials, S3Settings};
use crate::archive::store::{Fingerprint, Location, LocationKind, Store, StoreError};

/// Folder below a mounted path, as the prefix is in a bucket.
pub const FOLDER: &str = "workflow-archives";

/// Why a location can't be opened.
pub type Unopened = (LocationReason, String);

/// What all keys of a location begin with.
pub fn prefix(object: &ArchiveLocation) -> &str {
    object.spec.s3.as_ref().map_or(FOLDER, |s3| s3.prefix.as_str())
}

/// Tells the place from any other.
pub fn fingerprint(object: &ArchiveLocation) -> Fingerprint {
    match (&object.spec.s3, &object.spec.filesystem) {
        (Some(s3), _) => Fingerprint::s3(&s3.endpoint, &s3.bucket, &s3.prefix),
        (None, Some(folder)) => Fingerprint::filesystem(&folder.path, FOLDER),
        (None, None) => Fingerprint::read(""),
    }
}

/// What a location refers to, read beforehand.
#[derive(Clone, Default)]
pub struct Given {
    /// `None` = what the default chain of AWS finds.
    pub credentials: Option<S3Credentials>,
    pub ca_bundle: Option<Vec<u8>>,
    pub limits: Limits,
}

/// Opens the store of a location. `namespace`: the operator's own, the only one whose Secrets are read.
///
/// # Errors
/// What it refers to is missing, or a setting can't be used.
pub async fn connect(object: &ArchiveLocation, client: &Client, namespace: &str) -> Result<Arc<dyn Store>, Unopened> {
    let credentials = credentials(object, client, namespace).await?;
    let ca_bundle = certificates(object, client, namespace).await?;
    open(object, Given { credentials, ca_bundle, limits: Limits::default() }).await
}

/// Opens the store of a location with what it refers to.
///
/// # Errors
/// A setting can't be used.
pub async fn open(object: &ArchiveLocation, given: Given) -> Result<Arc<dyn Store>, Unopened> {
    match (&object.spec.s3, &object.spec.filesystem) {
        (Some(s3), _) => {
            let opened = S3::connect(settings(s3, given)).await;
            opened.map(|s3| Arc::new(s3) as Arc<dyn Store>).map_err(|error| unopened(&error))
        }
        (None, Some(folder)) => Ok(Arc::new(Filesystem::new(&folder.path, FOLDER))),
        (None, None) => Err((LocationReason::InvalidSpec, "neither spec.s3 nor spec.filesystem is there".to_owned())),
    }
}

/// The location as archiving sees it. `conditional_put`: the store is known to refuse to replace an object.
///
/// # Errors
/// Its prefix is none.
pub fn location_of(object: &ArchiveLocation, cluster: &str, conditional_put: bool) -> Result<Location, Unopened> {
    let invalid = || (LocationReason::InvalidSpec, "the prefix is no path".to_owned());
    Ok(Location {
        name: object.metadata.name.clone().unwrap_or_default(),
        kind: if object.spec.kind == LocationType::S3 { LocationKind::S3 } else { LocationKind::Filesystem },
        layout: Layout::new(prefix(object)).ok_or_else(invalid)?,
        fingerprint: fingerprint(object),
        cluster: cluster.to_owned(),
        conditional_put,
    })
}

/// The reason of a store's error, and what to do about it.
pub fn unopened(error: &StoreError) -> Unopened {
    let reason = LocationReason::parse(error.kind.reason()).unwrap_or(LocationReason::StoreFailed);
    (reason, format!("{error}; {}", error.kind.remedy()))
}

fn settings(s3: &S3Location, given: Given) -> S3Settings {
    S3Settings {
        bucket: s3.bucket.clone(),
        prefix: s3.prefix.clone(),
        region: s3.region.clone(),
        endpoint: s3.endpoint.clone(),
        force_path_style: s3.force_path_style,
        ca_bundle: given.ca_bundle,
        credentials: given.credentials,
        encryption: match s3.server_side_encryption {
            WantedEncryption::None => Encryption::None,
            WantedEncryption::AES256 => Encryption::Aes256,
            WantedEncryption::KMS => Encryption::Kms(s3.kms_key_id.clone()),
        },
        storage_class: s3.storage_class.clone(),
        tags: s3.tags.clone(),
        checksums: match s3.checksums {
            WantedChecksums::Auto => Checksums::Auto,
            WantedChecksums::WhenRequired => Checksums::WhenRequired,
            WantedChecksums::WhenSupported => Checksums::WhenSupported,
        },
        without_conditional_put: false,
        limits: given.limits,
    }
}

/// The access key in the Secret that a location names; `None` where it names none.
///
/// # Errors
/// It can't be read, or lacks a key.
pub async fn credentials(
    object: &ArchiveLocation,
    client: &Client,
    namespace: &str,
) -> Result<Option<S3Credentials>, Unopened> {
    let Some(reference) = object.spec.s3.as_ref().and_then(|s3| s3.credentials_secret_ref.as_ref()) else {
        return Ok(None);
    };
    let name = &reference.name;
    let missing = |what: String| (LocationReason::NoCredentials, what);
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let found = secrets.get_opt(name).await.map_err(|e| missing(format!("Secret {namespace}/{name}: {}", said(&e))))?;
    let data = found.and_then(|s| s.data).ok_or_else(|| {
        missing(format!(
            "Secret {namespace}/{name} is not there: create it, with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        ))
    })?;
    let text = |key: &str| {
        let value = data.get(key).and_then(|v| std::str::from_utf8(&v.0).ok()).map(|v| v.trim().to_owned());
        value.filter(|v| !v.is_empty())
    };
    let needed = |key: &str| text(key).ok_or_else(|| missing(format!("Secret {namespace}/{name} has no {key}")));
    Ok(Some(S3Credentials {
        access_key_id: needed("AWS_ACCESS_KEY_ID")?,
        secret_access_key: needed("AWS_SECRET_ACCESS_KEY")?,
        session_token: text("AWS_SESSION_TOKEN"),
    }))
}

/// The certificates in the `ConfigMap` that a location names; `None` where it names none.
///
/// # Errors
/// It can't be read, or has none.
pub async fn certificates(
    object: &ArchiveLocation,
    client: &Client,
    namespace: &str,
) -> Result<Option<Vec<u8>>, Unopened> {
    let Some(reference) = object.spec.s3.as_ref().and_then(|s3| s3.ca_config_map_ref.as_ref()) else {
        return Ok(None);
    };
    let name = &reference.name;
    let missing = |what: String| (LocationReason::InvalidSpec, what);
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let found = maps.get_opt(name).await;
    let found = found.map_err(|e| missing(format!("ConfigMap {namespace}/{name}: {}", said(&e))))?;
    let text = found.and_then(|m| m.data).and_then(|mut d| d.remove("ca.crt"));
    let absent = || missing(format!("ConfigMap {namespace}/{name} with key ca.crt is not there: create it"));
    text.map(|text| Some(text.into_bytes())).ok_or_else(absent)
}

/// In the server's words where it has any.
pub fn said(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::store::Fault;

    #[test]
    fn a_fault_of_the_store_comes_with_its_remedy() {
        let (reason, message) = unopened(&StoreError::new(Fault::Tls, "can't put a: invalid peer certificate"));
        assert_eq!(reason, LocationReason::TlsFailed);
        assert!(message.contains("invalid peer certificate; check the endpoint's certificate"), "{message}");
        assert!(message.contains("caConfigMapRef"), "{message}");
        for fault in Fault::ALL {
            let (reason, message) = unopened(&StoreError::new(*fault, "it failed"));
            assert_eq!(reason.as_str(), fault.reason(), "a reason that a location doesn't know");
            assert!(message.ends_with(fault.remedy()), "{message}");
        }
    }
}
