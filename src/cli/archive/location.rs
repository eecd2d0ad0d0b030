//! An `ArchiveLocation` of the cluster, opened here: with its Secret where the user may read that, else with credentials of
//! the user's own.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use anyhow::{anyhow, bail};

use super::place::{ReachArgs, patient, told};
use crate::api::archive_location::ArchiveLocation;
use crate::api::percent::encode;
use crate::archive::store::mounted::{apart_from, as_since};
use crate::archive::store::{Location, Store};
use crate::cli::source::cluster::{Cluster, Fault};
use crate::shell::janitor::connect::{self, Given, Unopened};

const LOCATIONS: &str = "/apis/unstick.dev/v1alpha1/archivelocations";

/// Reads one by its name.
pub async fn read(cluster: &Cluster, name: &str) -> anyhow::Result<ArchiveLocation> {
    match cluster.object(&format!("{LOCATIONS}/{}", encode(name))).await {
        Ok(object) => serde_json::from_value(object).map_err(|e| anyhow!("ArchiveLocation {name} can't be read: {e}")),
        Err(Fault::NotFound) => {
            let there = match all(cluster).await {
                Ok(all) if all.is_empty() => "there is none in this cluster".to_owned(),
                Ok(all) => format!("there are: {}", all.iter().map(named).collect::<Vec<_>>().join(", ")),
                Err(Fault::NotFound) => "unstick's CRDs are not installed in this cluster".to_owned(),
                Err(fault) => format!("others can't be listed: {fault}"),
            };
            let folder = if Path::new(name).is_dir() {
                format!("; the folder of that name is written ./{name}")
            } else {
                String::new()
            };
            bail!("no ArchiveLocation {name:?}: {there}{folder}")
        }
        Err(Fault::Denied(why)) => bail!(
            "ArchiveLocation {name:?} may not be read: {why}\n  ask for the right to get archivelocations.unstick.dev, or \
             name the place itself: s3://BUCKET/PREFIX"
        ),
        Err(fault) => Err(fault.into()),
    }
}

/// All of the cluster.
pub async fn all(cluster: &Cluster) -> Result<Vec<ArchiveLocation>, Fault> {
    let mut found = Vec::new();
    cluster.each(LOCATIONS, "", &mut |json| found.extend(serde_json::from_str(json).ok())).await?;
    Ok(found)
}

/// Its name.
pub fn named(object: &ArchiveLocation) -> &str {
    object.metadata.name.as_deref().unwrap_or_default()
}

/// Opens its store; what was used instead of what it names is said to `err`.
pub async fn open(
    cluster: &Cluster,
    object: &ArchiveLocation,
    reach: &ReachArgs,
    err: &mut dyn Write,
) -> anyhow::Result<Arc<dyn Store>> {
    let (name, namespace) = (named(object), &reach.operator_namespace);
    if let Some(folder) = &object.spec.filesystem
        && !Path::new(&folder.path).is_dir()
    {
        bail!(
            "ArchiveLocation {name} is the folder {0} in the operator's pods, and there is no {0} on this machine\n  \
             run this where that volume is mounted, or give a copy of it as a folder: --location /PATH",
            folder.path
        );
    }
    let mut given = Given { ca_bundle: reach.ca_bundle()?, limits: patient(), ..Given::default() };
    match connect::credentials(object, cluster.client(), namespace).await {
        Ok(credentials) => given.credentials = credentials,
        Err((_, why)) => writeln!(
            err,
            "note: your own AWS credentials are used, not those of ArchiveLocation {name}: {why} \
             (--operator-namespace names another namespace)"
        )?,
    }
    if given.ca_bundle.is_none() {
        given.ca_bundle = connect::certificates(object, cluster.client(), namespace)
            .await
            .map_err(|(_, why)| anyhow!("{why}\n  give its certificates with --ca-file"))?;
    }
    let mut object = object.clone();
    if let Some(s3) = &mut object.spec.s3 {
        if let Some(endpoint) = &reach.endpoint {
            s3.endpoint.clone_from(endpoint);
            s3.force_path_style = true;
        }
        if let Some(region) = &reach.region {
            s3.region.clone_from(region);
        }
    }
    connect::open(&object, given).await.map_err(|e| unopened(&object, &e))
}

/// Refuses a folder that isn't the volume the operator has tried, as the operator itself does: what is stored in an
/// empty mount point is gone with the next mount.
pub async fn mounted(object: &ArchiveLocation, store: &dyn Store, location: &Location) -> anyhow::Result<()> {
    let Some(folder) = &object.spec.filesystem else { return Ok(()) };
    let first = object.status.as_ref().and_then(|status| status.first_probe_at(location.fingerprint.as_str()));
    let apart = match std::env::var_os("KUBERNETES_SERVICE_HOST") {
        Some(_) => apart_from(Path::new("/"), Path::new(folder.path.as_str())),
        None => Ok(()),
    };
    let as_before = match (apart, first) {
        (Ok(()), Some(day)) => as_since(store, location, day).await,
        (apart, _) => apart,
    };
    as_before.map_err(|error| anyhow!("ArchiveLocation {}: {}", named(object), told(&error)))
}

/// A store that is known not to take the condition of a put is used without it.
pub fn as_known(object: &ArchiveLocation, store: Arc<dyn Store>) -> Arc<dyn Store> {
    let known = object.status.as_ref().and_then(|status| status.capabilities.as_ref());
    let plain = if known.is_some_and(|c| !c.conditional_put) { store.without_condition() } else { None };
    plain.unwrap_or(store)
}

/// Its fingerprint and the keys below it.
pub fn location_of(object: &ArchiveLocation) -> anyhow::Result<Location> {
    connect::location_of(object, "", true).map_err(|e| unopened(object, &e))
}

/// Why it can't be opened, with its name.
pub fn unopened(object: &ArchiveLocation, (reason, why): &Unopened) -> anyhow::Error {
    anyhow!("ArchiveLocation {}: {why}\n  {reason}", named(object))
}
