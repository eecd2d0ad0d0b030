//! An `ArchiveLocation`, opened and tried again and again: what comes of it goes to the watchdog and into its status.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use kube::api::{Api, Patch, PatchParams};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::connect::{Unopened, connect, fingerprint, location_of, unopened};
use super::{Open, Shelf};
use crate::api::archive_location::{AccessMode, ArchiveLocation, ArchiveLocationStatus, Capabilities};
use crate::api::condition::{self, Condition, ConditionStatus};
use crate::api::reasons::{ConditionType, LocationReason};
use crate::api::selector::Selector;
use crate::archive::store::mounted::apart_from;
use crate::archive::store::probe::{Probed, probe};
use crate::archive::store::{Fault, Fingerprint, Location, StoreError};
use crate::shell::clock::ServerClock;
use crate::watchdog::janitor::Place;

/// What came of trying a location.
pub struct Tried {
    pub name: String,
    /// Of the object that was tried.
    pub uid: Option<String>,
    pub generation: Option<i64>,
    pub place: Place,
    pub open: Option<Arc<Open>>,
}

impl Tried {
    /// Whether it was this object that was tried. One that was made anew under the same name begins at the same generation.
    pub fn is_of(&self, object: &ArchiveLocation) -> bool {
        (&self.uid, self.generation) == (&object.metadata.uid, object.metadata.generation)
    }
}

/// What a location that is ready says.
const KEPT: &str = "Archives are stored and verified here.";
/// The same of a store without the condition.
const LOOKED_FIRST: &str = "Archives are stored and verified here. The store doesn't honour conditional puts \
    (If-None-Match): unstick looks before each put that nothing is there, and reads back what it wrote. Let nobody else \
    write below the prefix.";

/// What it says of a catalogue that can't be written, before why.
const BEHIND: &str = "But the catalogue is behind: its lines wait and are tried again, for they can't be written:";

/// A location that isn't ready is tried again after this.
const AGAIN: Duration = Duration::from_secs(30);

/// What opening a location needs.
#[derive(Clone)]
pub struct Opening {
    /// Reads Secrets and `ConfigMap`s of the operator's own namespace.
    pub read: Client,
    /// Writes the status.
    pub act: Client,
    pub clock: Arc<ServerClock>,
    pub namespace: String,
    pub cluster: String,
    /// In a pod: `/`. What lies on the same file system ends with the container.
    pub container_root: Option<PathBuf>,
    /// How often the catalogue gets its batches: more often makes more and smaller ones.
    pub flush_every: Duration,
    pub shelf: Shelf,
}

/// Opens and tries a location until the handle is aborted.
pub fn follow_place(object: ArchiveLocation, opening: Opening, tell: mpsc::Sender<Tried>) -> JoinHandle<()> {
    tokio::spawn(async move {
        let name = object.metadata.name.clone().unwrap_or_default();
        let every = object.spec.probe_every.seconds().and_then(|s| u64::try_from(s).ok()).unwrap_or(3600);
        let mut written = object.status.clone().unwrap_or_default();
        // Also what could not be written is known: above all which probe was the first.
        let mut status = written.clone();
        let mut open: Option<Arc<Open>> = None;
        let mut resolved = String::new();
        // Why the catalogue can't be written.
        let mut behind = None;
        loop {
            let found = attempt(&object, &status, &opening, open.take()).await;
            let ready = found.reason == LocationReason::Probed;
            let next = said(&object, &status, &found, behind.as_ref(), &opening);
            if next != status {
                status = ArchiveLocationStatus { last_probe_time: Some(opening.clock.now().into()), ..next };
            }
            publish(&opening.act, &name, &status, &mut written).await;
            open.clone_from(&found.open);
            if ready && introduced(&mut resolved, &found.identity) {
                let (bucket, fingerprint) = (object.spec.bucket(), found.fingerprint.to_string());
                tracing::info!(location = name, bucket, fingerprint, identity = resolved, "location is ready");
            }
            let place = Place {
                ready,
                read_only: object.spec.access_mode == AccessMode::ReadOnly,
                message: found.message.clone(),
                fingerprint: found.fingerprint.to_string(),
                allowed: found.allowed.clone(),
            };
            let (uid, generation) = (object.metadata.uid.clone(), object.metadata.generation);
            if tell.send(Tried { name: name.clone(), uid, generation, place, open: open.clone() }).await.is_err() {
                return;
            }
            let wait = if ready { Duration::from_secs(every) } else { AGAIN.min(Duration::from_secs(every)) };
            let next = Instant::now() + wait;
            while Instant::now() < next {
                let tick = (Instant::now() + opening.flush_every).min(next);
                let Some(open) = &open else {
                    tokio::time::sleep_until(tick).await;
                    continue;
                };
                let failed = tokio::select! {
                    () = tokio::time::sleep_until(tick) => open.flush(opening.clock.now().into()).await,
                    () = open.rows.full() => open.flush(opening.clock.now().into()).await,
                    () = open.trouble.notified() => {
                        tokio::time::sleep(Duration::from_secs(5)).await;
                        break;
                    }
                };
                note(&mut behind, failed);
                status = said(&object, &status, &found, behind.as_ref(), &opening);
                publish(&opening.act, &name, &status, &mut written).await;
            }
        }
    })
}

/// Keeps why the catalogue can't be written, in the words of the first try with this reason: what each says may differ
/// by the store's number of the request.
fn note(behind: &mut Option<Unopened>, failed: Option<StoreError>) {
    let failed = failed.map(|error| unopened(&error));
    if failed.as_ref().map(|(reason, _)| *reason) != behind.as_ref().map(|(reason, _)| *reason) {
        *behind = failed;
    }
}

/// Who we are at a location is said once, and again when it changes.
fn introduced(said: &mut String, identity: &str) -> bool {
    let new = said != identity;
    if new {
        identity.clone_into(said);
    }
    new
}

struct Found {
    reason: LocationReason,
    message: String,
    fingerprint: Fingerprint,
    identity: String,
    capabilities: Option<Capabilities>,
    /// Day of the probe that is stored.
    day: Option<String>,
    allowed: Selector,
    open: Option<Arc<Open>>,
}

async fn attempt(
    object: &ArchiveLocation,
    before: &ArchiveLocationStatus,
    opening: &Opening,
    known: Option<Arc<Open>>,
) -> Found {
    let mut found = Found {
        reason: LocationReason::InvalidSpec,
        message: String::new(),
        fingerprint: fingerprint(object),
        identity: String::new(),
        capabilities: None,
        day: None,
        allowed: Selector::default(),
        open: None,
    };
    match Selector::compile(&object.spec.allowed_namespaces) {
        Ok(selector) => found.allowed = selector,
        Err(error) => {
            found.message = format!("spec.allowedNamespaces can't be read: {error}");
            return found;
        }
    }
    let store = match &known {
        Some(open) => Arc::clone(&open.asking),
        None => match connect(object, &opening.read, &opening.namespace).await {
            Ok(store) => store,
            Err((reason, message)) => return Found { reason, message, ..found },
        },
    };
    // Whether it is known not to take the condition of a put.
    let plain = before.fingerprint == found.fingerprint.as_str()
        && before.capabilities.as_ref().is_some_and(|known| !known.conditional_put);
    let location = match location_of(object, &opening.cluster, !plain) {
        Ok(location) => location,
        Err((reason, message)) => return Found { reason, message, ..found },
    };
    let first = before.first_probe_at(found.fingerprint.as_str());
    let probed = match lies_apart(object, opening).await {
        Ok(()) => probe(&*store, &location, first, opening.clock.now().into()).await,
        Err(error) => Err(error),
    };
    match probed {
        Ok(Probed { identity, capabilities, day }) => {
            let location = Location { conditional_put: capabilities.conditional_put, ..location };
            Found {
                reason: LocationReason::Probed,
                message: if capabilities.conditional_put { KEPT } else { LOOKED_FIRST }.to_owned(),
                identity,
                capabilities: Some(Capabilities {
                    conditional_put: capabilities.conditional_put,
                    checksums: capabilities.checksums,
                    versioning: capabilities.versioning,
                }),
                day: Some(day),
                // The same place stays open, with what waits for it.
                open: known
                    .filter(|o| o.location == location)
                    .or_else(|| Some(Arc::new(Open::new(store, location, &opening.shelf)))),
                ..found
            }
        }
        Err(error) => {
            let (reason, message) = unopened(&error);
            Found { reason, message, ..found }
        }
    }
}

/// In a pod a folder has to be a mounted one.
async fn lies_apart(object: &ArchiveLocation, opening: &Opening) -> Result<(), StoreError> {
    let (Some(folder), Some(root)) = (&object.spec.filesystem, &opening.container_root) else { return Ok(()) };
    let (root, path) = (root.clone(), folder.path.clone());
    // Where a file server hangs, only this waits.
    let looked = tokio::task::spawn_blocking(move || apart_from(&root, Path::new(&path))).await;
    looked.unwrap_or_else(|e| Err(StoreError::new(Fault::Other, e.to_string())))
}

/// The status as it is to be: the same as before while nothing new was found; the time of the probe is the caller's.
/// `behind`: why the catalogue can't be written.
fn said(
    object: &ArchiveLocation,
    before: &ArchiveLocationStatus,
    found: &Found,
    behind: Option<&Unopened>,
    opening: &Opening,
) -> ArchiveLocationStatus {
    let now = opening.clock.now();
    let generation = object.metadata.generation.unwrap_or(1);
    let mut conditions = before.conditions.clone();
    let ready = found.reason == LocationReason::Probed;
    let status = if ready { ConditionStatus::True } else { ConditionStatus::False };
    let message = match behind.filter(|_| ready) {
        Some((_, why)) => format!("{} {BEHIND} {why}", found.message),
        None => found.message.clone(),
    };
    condition::set(
        &mut conditions,
        Condition::new(ConditionType::Ready, status, found.reason.as_str(), &message, now.into())
            .of_generation(generation),
    );
    ArchiveLocationStatus {
        observed_generation: Some(generation),
        conditions,
        bucket: object.spec.bucket().to_owned(),
        fingerprint: found.fingerprint.to_string(),
        identity: if ready { found.identity.clone() } else { before.identity.clone() },
        capabilities: found.capabilities.clone().or_else(|| before.capabilities.clone()),
        first_probe: before.first_probe_at(found.fingerprint.as_str()).map(str::to_owned).or_else(|| found.day.clone()),
        last_probe_time: before.last_probe_time,
    }
}

/// Writes the status unless the object has it already.
async fn publish(client: &Client, name: &str, status: &ArchiveLocationStatus, written: &mut ArchiveLocationStatus) {
    if status == written {
        return;
    }
    match write(client, name, status).await {
        Ok(()) => written.clone_from(status),
        Err(error) => tracing::warn!(location = name, %error, "the status of a location can't be written"),
    }
}

async fn write(client: &Client, name: &str, status: &ArchiveLocationStatus) -> kube::Result<()> {
    let locations: Api<ArchiveLocation> = Api::all(client.clone());
    locations.patch_status(name, &PatchParams::default(), &Patch::Merge(patch(status))).await.map(drop)
}

/// What is merged into the object: what isn't named stays, so that the first probe of another place is named to go.
fn patch(status: &ArchiveLocationStatus) -> Value {
    let mut patch = json!({"status": status});
    if status.first_probe.is_none() {
        patch["status"]["firstProbe"] = Value::Null;
    }
    patch
}

#[cfg(test)]
mod tests;
