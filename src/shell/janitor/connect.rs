//! From an `ArchiveLocation` to its store: settings, credentials and certificates.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::Client;
use kube::api::Api;

use crate::api::archive_location::{
    ArchiveLocation, Checksums as WantedChecksums, Encryption as WantedEncryption, S3Location,
};
use crate::api::reasons::LocationReason;
use crate::archive::store::filesystem::Filesystem;
use crate::archive::store::s3::{Checksums, Encryption, Limits, S3, S3Credentials, S3Settings};
use crate::archive::store::{Fingerprint, Store, StoreError};

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

/// Opens the store of a location. `namespace`: the operator's own, the only one whose Secrets are read.
///
/// # Errors
/// What it refers to is missing, or a setting can't be used.
pub async fn connect(
    object: &ArchiveLocation,
    client: &Client,
    namespace: &str,
    plain_put: bool,
) -> Result<Arc<dyn Store>, Unopened> {
    match (&object.spec.s3, &object.spec.filesystem) {
        (Some(s3), _) => {
            let settings = settings(s3, client, namespace, plain_put).await?;
            S3::connect(settings).await.map(|s3| Arc::new(s3) as Arc<dyn Store>).map_err(|error| unopened(&error))
        }
        (None, Some(folder)) => Ok(Arc::new(Filesystem::new(&folder.path, FOLDER))),
        (None, None) => Err((LocationReason::InvalidSpec, "neither spec.s3 nor spec.filesystem is there".to_owned())),
    }
}

/// The reason of a store's error, and what to do about it.
pub fn unopened(error: &StoreError) -> Unopened {
    let reason = LocationReason::parse(error.kind.reason()).unwrap_or(LocationReason::StoreFailed);
    (reason, format!("{error}; {}", error.kind.remedy()))
}

async fn settings(s3: &S3Location, client: &Client, namespace: &str, plain_put: bool) -> Result<S3Settings, Unopened> {
    let credentials = match &s3.credentials_secret_ref {
        Some(reference) => Some(secret(client, namespace, &reference.name).await?),
        None => None,
    };
    let ca_bundle = match &s3.ca_config_map_ref {
        Some(reference) => Some(certificates(client, namespace, &reference.name).await?),
        None => None,
    };
    Ok(S3Settings {
        bucket: s3.bucket.clone(),
        prefix: s3.prefix.clone(),
        region: s3.region.clone(),
        endpoint: s3.endpoint.clone(),
        force_path_style: s3.force_path_style,
        ca_bundle,
        credentials,
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
        without_conditional_put: plain_put,
        limits: Limits::default(),
    })
}

async fn secret(client: &Client, namespace: &str, name: &str) -> Result<S3Credentials, Unopened> {
    let missing = |what: String| (LocationReason::NoCredentials, what);
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let found = secrets.get_opt(name).await.map_err(|e| missing(format!("Secret {namespace}/{name}: {e}")))?;
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
    Ok(S3Credentials {
        access_key_id: needed("AWS_ACCESS_KEY_ID")?,
        secret_access_key: needed("AWS_SECRET_ACCESS_KEY")?,
        session_token: text("AWS_SESSION_TOKEN"),
    })
}

async fn certificates(client: &Client, namespace: &str, name: &str) -> Result<Vec<u8>, Unopened> {
    let missing = |what: String| (LocationReason::InvalidSpec, what);
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let found = maps.get_opt(name).await.map_err(|e| missing(format!("ConfigMap {namespace}/{name}: {e}")))?;
    let text = found.and_then(|m| m.data).and_then(|mut d| d.remove("ca.crt"));
    text.map(String::into_bytes)
        .ok_or_else(|| missing(format!("ConfigMap {namespace}/{name} with key ca.crt is not there: create it")))
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
