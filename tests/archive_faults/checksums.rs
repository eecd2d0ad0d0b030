//! Whether a store keeps checksums is found out, not assumed: real servers, with and without a checksum sent along.

use unstick::archive::key::Layout;
use unstick::archive::store::probe::probe;
use unstick::archive::store::s3::{Checksums, S3, S3Credentials, S3Settings};
use unstick::archive::store::{Location, LocationKind, Store};
use unstick_bed::S3Server;

use crate::bucket::PLAIN;
use crate::run::now;

/// Probes a place of its own, and says whether it was found to keep checksums.
async fn found(server: &S3Server, checksums: Checksums) -> Result<bool, String> {
    let prefix = format!("checksums/{checksums:?}").to_ascii_lowercase();
    let settings = S3Settings {
        bucket: PLAIN.to_owned(),
        prefix: prefix.clone(),
        endpoint: server.endpoint.clone(),
        force_path_style: true,
        credentials: Some(S3Credentials {
            access_key_id: server.access_key.clone(),
            secret_access_key: server.secret_key.clone(),
            session_token: None,
        }),
        checksums,
        ..S3Settings::default()
    };
    let store = S3::connect(settings).await.map_err(|e| e.to_string())?;
    let location = Location {
        name: "main".into(),
        kind: LocationKind::S3,
        layout: Layout::new(&prefix).ok_or("no layout")?,
        fingerprint: store.fingerprint().clone(),
        cluster: "default".into(),
        conditional_put: true,
    };
    let probed = probe(&store, &location, None, now()).await.map_err(|e| e.to_string())?;
    Ok(probed.capabilities.checksums)
}

/// Sent along they are kept. Where none is sent, versitygw makes one by itself, as AWS does, and `MinIO` doesn't.
pub async fn are_told_as_they_are(server: &S3Server, makes_its_own: bool) -> Result<(), String> {
    if !found(server, Checksums::WhenSupported).await? {
        return Err("a checksum was sent along, and the probe finds none".to_owned());
    }
    match found(server, Checksums::WhenRequired).await? {
        found if found == makes_its_own => Ok(()),
        found => Err(format!("no checksum was sent along, and the probe says {found}")),
    }
}
