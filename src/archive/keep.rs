//! Storing a run: put, read back, compare, and only then the manifest.
//!
//! A put that says it worked proves nothing, nor does one that says the object is there already: each time what is
//! stored is read and its digest compared. Nothing is ever replaced.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::canonical::{Canonical, LARGEST, NotArchivable, canonical};
use super::catalogue::Row;
use super::digest::Digest;
use super::gzip;
use super::key::{Stem, stamp};
use super::manifest::{self, Beside, Manifest, Written};
use super::redaction::Redaction;
use super::store::{Bytes, Fault, Fingerprint, Location, Meta, Put, Store, StoreError};
use super::verify::{self, VerifyError};
use crate::api::time::Time;
use crate::mutant;

/// How a run is kept.
#[derive(Clone, Copy, Debug)]
pub struct KeepOptions<'a> {
    pub rules: &'a Redaction,
    /// Its events as a JSON list, to be stored beside it.
    pub events: Option<&'a RawValue>,
    pub now: Time,
    /// How long it was seen stuck.
    pub stuck_seconds: Option<i64>,
}

/// A run that is stored, read back and found to be the same.
#[derive(Clone, Debug)]
pub struct Kept {
    pub key: String,
    pub digest: Digest,
    pub fingerprint: Fingerprint,
    pub bytes: u64,
    pub stored_bytes: u64,
    pub version_id: Option<String>,
    pub row: Row,
    /// It was there before.
    pub already: bool,
}

/// Why a run isn't kept. Whatever was written is no archive before it has its manifest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeepError {
    #[error("not archivable: {0}")]
    NotArchivable(#[from] NotArchivable),
    #[error("{0}")]
    Store(#[from] StoreError),
    /// The store is another one than the location names: the location has changed.
    #[error("the location has been changed to another place")]
    OtherPlace,
    /// Something else is stored under the key. It is never replaced.
    #[error("something else is stored under {key}: {what}")]
    Collision { key: String, what: String },
    /// What was just written reads as something else.
    #[error("what was written to {key} reads back as something else: {what}")]
    ReadBack { key: String, what: String },
    /// What was just written can't be read yet.
    #[error("what was written to {key} can't be read yet")]
    NotReadableYet { key: String },
}

impl KeepError {
    /// A word for conditions and metrics.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::NotArchivable(why) => why.reason(),
            Self::Store(error) => error.kind.reason(),
            Self::OtherPlace => "LocationChanged",
            Self::Collision { .. } => "Collision",
            Self::ReadBack { .. } => "ReadBackDiffers",
            Self::NotReadableYet { .. } => "NotReadableYet",
        }
    }

    /// Whether trying again may help without anybody doing anything.
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::Store(error) => error.kind.is_transient(),
            Self::NotReadableYet { .. } | Self::ReadBack { .. } | Self::OtherPlace => true,
            Self::NotArchivable(_) | Self::Collision { .. } => false,
        }
    }
}

/// Stores a run.
///
/// # Errors
/// It isn't stored whole and proven to be: see [`KeepError`].
pub async fn keep(
    store: &dyn Store,
    location: &Location,
    live: &str,
    options: &KeepOptions<'_>,
) -> Result<Kept, KeepError> {
    if *store.fingerprint() != location.fingerprint && !mutant::on("fingerprint-ignored") {
        return Err(KeepError::OtherPlace);
    }
    let (canonical, packed) = {
        let mut canonical = canonical(live, options.rules)?;
        let packed = Bytes::from(gzip::pack(&canonical.bytes));
        // Only its length is needed from here on: what waits for the store should be small.
        let length = canonical.bytes.len();
        canonical.bytes = Vec::new();
        ((canonical, length), packed)
    };
    let (canonical, length) = canonical;
    let stem = Stem::of(&canonical.facts, &canonical.digest);
    let key = location.layout.body(&stem);
    if mutant::on("manifest-first") {
        let early = manifest_of(&canonical, length, &key, &packed, None, None, location, options);
        store.put_new(&location.layout.manifest(&stem), Bytes::from(early.text()), &Meta::new()).await?;
    }
    let (already, version_id) = put_and_compare(store, location, &canonical, &key, &packed, options).await?;
    let events = match options.events {
        Some(events) => Some(keep_events(store, location, &canonical, &stem, events, options).await?),
        None => None,
    };
    let manifest = manifest_of(&canonical, length, &key, &packed, version_id.clone(), events, location, options);
    let manifest = put_manifest(store, location, &stem, manifest).await?;
    Ok(Kept {
        key,
        digest: canonical.digest,
        fingerprint: location.fingerprint.clone(),
        bytes: length as u64,
        stored_bytes: packed.len() as u64,
        version_id,
        row: Row::archive(&manifest, &location.layout.manifest(&stem)),
        already,
    })
}

/// Puts the body and proves that it is stored: whether it was there before, and its version.
async fn put_and_compare(
    store: &dyn Store,
    location: &Location,
    canonical: &Canonical,
    key: &str,
    packed: &Bytes,
    options: &KeepOptions<'_>,
) -> Result<(bool, Option<String>), KeepError> {
    let meta = meta(canonical, options.now);
    let put = put(store, location, key, packed.clone(), &meta).await;
    match &put {
        Ok(Put::Exists) if mutant::on("exists-is-success") => return Ok((true, None)),
        Ok(Put::Raced) if mutant::on("raced-is-success") => return Ok((true, None)),
        Ok(Put::Created { version_id }) if mutant::on("no-read-back") => return Ok((false, version_id.clone())),
        Err(error) if error.kind.is_transient() && mutant::on("lost-reply-is-success") => return Ok((false, None)),
        _ => {}
    }
    let stored = match (&put, store.get(key, LARGEST).await) {
        // It was archived long ago and has moved to a class that can't be read.
        (Ok(Put::Exists), Err(error)) if error.kind == Fault::Unreadable => {
            let stem = Stem::of(&canonical.facts, &canonical.digest);
            return match verify::cold(store, location, canonical, &stem, error).await {
                Ok(version_id) => Ok((true, version_id)),
                Err(VerifyError::Differs { key, what }) => Err(KeepError::Collision { key, what }),
                Err(VerifyError::Store(error)) => Err(error.into()),
                Err(_) => Err(KeepError::NotReadableYet { key: key.to_owned() }),
            };
        }
        (_, stored) => stored,
    };
    let (stored, created) = match (put, stored) {
        // The reply may have got lost after the object was written: what is there decides.
        (Err(_) | Ok(Put::Exists | Put::Raced), Ok(Some(stored))) => (stored, None),
        (Err(error), _) | (Ok(_), Err(error)) => return Err(error.into()),
        (Ok(_), Ok(None)) => return Err(KeepError::NotReadableYet { key: key.to_owned() }),
        (Ok(Put::Created { version_id }), Ok(Some(stored))) => (stored, Some(version_id)),
    };
    let compared = if mutant::on("digest-with-itself") {
        gzip::digest(&stored.bytes, LARGEST).map(|_| canonical.digest)
    } else {
        gzip::digest(&stored.bytes, LARGEST).map(|(digest, _)| digest)
    };
    let what = match compared {
        Ok(digest) if digest == canonical.digest => {
            if created.is_none() {
                store.settle(key).await?;
            }
            let version_id = created.clone().flatten().or(stored.version_id);
            return Ok((created.is_none(), version_id));
        }
        Ok(other) => format!("its digest is {other}, not {}", canonical.digest),
        Err(error) => error.to_string(),
    };
    let key = key.to_owned();
    Err(if created.is_some() { KeepError::ReadBack { key, what } } else { KeepError::Collision { key, what } })
}

/// A put that replaces nothing, also where the store itself would.
async fn put(store: &dyn Store, location: &Location, key: &str, body: Bytes, meta: &Meta) -> Result<Put, StoreError> {
    if !location.conditional_put && !store.looks_first() && store.head(key).await?.is_some() {
        return Ok(Put::Exists);
    }
    store.put_new(key, body, meta).await
}

/// Stores the events. They come and go in the cluster: those of the first time are kept.
async fn keep_events(
    store: &dyn Store,
    location: &Location,
    canonical: &Canonical,
    stem: &Stem,
    events: &RawValue,
    options: &KeepOptions<'_>,
) -> Result<Beside, KeepError> {
    let key = location.layout.events(stem);
    let own = Digest::of(events.get().as_bytes());
    let packed = Bytes::from(gzip::pack(events.get().as_bytes()));
    let put = put(store, location, &key, packed, &meta(canonical, options.now)).await;
    let stored = match (&put, store.get(&key, LARGEST).await?) {
        (_, Some(stored)) => stored,
        (Err(error), None) => return Err(error.clone().into()),
        (Ok(_), None) => return Err(KeepError::NotReadableYet { key }),
    };
    let created = matches!(put, Ok(Put::Created { .. }));
    let what = match gzip::unpack(&stored.bytes, LARGEST) {
        Ok(plain) => {
            let (digest, bytes) = (Digest::of(&plain), plain.len() as u64);
            if digest == own || !created && are_events_of(&plain, &canonical.facts.uid) {
                if !created {
                    store.settle(&key).await?;
                }
                return Ok(Beside { key, digest, bytes });
            }
            if created { format!("its digest is {digest}, not {own}") } else { "no events of this run".to_owned() }
        }
        Err(error) => error.to_string(),
    };
    Err(if created { KeepError::ReadBack { key, what } } else { KeepError::Collision { key, what } })
}

/// Whether text is a list of events about a run. There may be none: they were gone when it was archived.
fn are_events_of(plain: &[u8], uid: &str) -> bool {
    #[derive(Deserialize)]
    struct Event {
        /// Of events.k8s.io; in core/v1 it has the other name.
        #[serde(alias = "involvedObject")]
        regarding: Regarding,
    }
    #[derive(Deserialize)]
    struct Regarding {
        uid: String,
    }
    let read = serde_json::from_slice::<Vec<Event>>(plain);
    read.is_ok_and(|events| events.iter().all(|event| event.regarding.uid == uid))
}

#[expect(clippy::too_many_arguments, reason = "what a manifest is made of")]
fn manifest_of(
    canonical: &Canonical,
    length: usize,
    key: &str,
    packed: &Bytes,
    version_id: Option<String>,
    events: Option<Beside>,
    location: &Location,
    options: &KeepOptions<'_>,
) -> Manifest {
    let copy = Written {
        location,
        key,
        bytes: length as u64,
        stored_bytes: packed.len() as u64,
        version_id,
        events,
        archived_at: options.now,
        stuck_seconds: options.stuck_seconds,
        rules: options.rules.rules(),
    };
    Manifest::new(canonical, copy)
}

/// Puts the manifest; the one that is there already, if it is of the same archive, stays.
async fn put_manifest(
    store: &dyn Store,
    location: &Location,
    stem: &Stem,
    own: Manifest,
) -> Result<Manifest, KeepError> {
    let key = location.layout.manifest(stem);
    match put(store, location, &key, Bytes::from(own.text()), &Meta::new()).await {
        Ok(Put::Created { .. }) => Ok(own),
        Ok(Put::Exists | Put::Raced) => {
            let Some(there) = store.get(&key, manifest::LARGEST).await? else {
                return Err(KeepError::NotReadableYet { key });
            };
            match Manifest::read(&there.bytes) {
                // The body was read back here and is the same: a manifest that was copied here with it, or written
                // while this place was spelt otherwise, is its manifest. One that isn't believed would stay for ever.
                Some(there) if there.is_of(&own.key, &own.digest, &own.summary.uid) => {
                    store.settle(&key).await?;
                    Ok(there)
                }
                Some(_) => Err(KeepError::Collision { key, what: "the manifest is of another archive".to_owned() }),
                None => Err(KeepError::Collision { key, what: "it is no manifest".to_owned() }),
            }
        }
        Err(error) => Err(error.into()),
    }
}

/// What a plain kubectl script said of an object, and what makes it ours.
fn meta(canonical: &Canonical, now: Time) -> Meta {
    let facts = &canonical.facts;
    [
        ("workflow-name", facts.name.clone()),
        ("namespace", facts.namespace.clone()),
        ("archive-date", stamp(now.get())),
        ("uid", facts.uid.clone()),
        ("sha256", canonical.digest.to_string()),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value))
    .collect()
}
