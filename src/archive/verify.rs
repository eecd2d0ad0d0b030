//! The one proof that allows a delete (I1): made right before it, of the live object and of what is stored, and nowhere
//! else.
//!
//! Outside of this file no proof can be made, copied or read from anywhere:
//!
//! ```compile_fail
//! fn forge(proof: &unstick::archive::verify::VerifiedArchive) {
//!     let _two: unstick::archive::verify::VerifiedArchive = proof.clone();
//! }
//! ```
//! ```compile_fail
//! use unstick::archive::verify::VerifiedArchive;
//! fn forge(old: VerifiedArchive, key: String) -> VerifiedArchive {
//!     VerifiedArchive { key, ..old }
//! }
//! ```
//! ```compile_fail
//! let _ = <unstick::archive::verify::VerifiedArchive as Default>::default();
//! ```
//! ```compile_fail
//! let _: unstick::archive::verify::VerifiedArchive = serde_json::from_str("{}").unwrap();
//! ```
//! What can be done with one is to look at it:
//! ```
//! fn look(proof: &unstick::archive::verify::VerifiedArchive) -> (&str, &str) {
//!     (proof.uid(), proof.resource_version())
//! }
//! ```

use super::canonical::{Canonical, LARGEST, NotArchivable, canonical};
use super::digest::Digest;
use super::facts::RunFacts;
use super::gzip;
use super::key::Stem;
use super::manifest::{self, Manifest};
use super::redaction::Redaction;
use super::store::{Fault, Fingerprint, Location, Store, StoreError};
use crate::mutant;

/// What the annotation `unstick.dev/archived` says: where to look besides, never a proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hint {
    pub fingerprint: Fingerprint,
    pub key: String,
    pub digest: Digest,
}

/// A live object whose stored copy was found to be the same.
#[derive(Debug)]
#[must_use = "it is made for one delete"]
pub struct VerifiedArchive {
    facts: RunFacts,
    digest: Digest,
    key: String,
    fingerprint: Fingerprint,
    version_id: Option<String>,
    cold: bool,
}

impl VerifiedArchive {
    pub fn uid(&self) -> &str {
        &self.facts.uid
    }

    /// Of the very object that was judged: the delete must ask for it.
    pub fn resource_version(&self) -> &str {
        &self.facts.resource_version
    }

    pub fn namespace(&self) -> &str {
        &self.facts.namespace
    }

    pub fn name(&self) -> &str {
        &self.facts.name
    }

    pub fn facts(&self) -> &RunFacts {
        &self.facts
    }

    pub fn digest(&self) -> Digest {
        self.digest
    }

    pub fn key(&self) -> &str {
        &self.key
    }

    pub fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    pub fn version_id(&self) -> Option<&str> {
        self.version_id.as_deref()
    }

    /// The copy lies in a class that can't be read: its manifest and its presence stood for it.
    pub const fn is_cold(&self) -> bool {
        self.cold
    }
}

/// Why there is no proof. Each of them means: nothing is deleted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    #[error("not archivable: {0}")]
    NotArchivable(#[from] NotArchivable),
    #[error("the live object has no resourceVersion")]
    NoResourceVersion,
    #[error("{0}")]
    Store(#[from] StoreError),
    #[error("the location has been changed to another place")]
    OtherPlace,
    #[error("there is no copy of it as it is now ({key})")]
    Missing { key: String },
    #[error("the copy {key} is another: {what}")]
    Differs { key: String, what: String },
}

impl VerifyError {
    /// A word for conditions, events and metrics.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::NotArchivable(why) => why.reason(),
            Self::NoResourceVersion => "NoResourceVersion",
            Self::Store(error) => error.kind.reason(),
            Self::OtherPlace => "LocationChanged",
            Self::Missing { .. } => "NotArchived",
            Self::Differs { .. } => "CopyDiffers",
        }
    }
}

/// Looks for the stored copy of a live object and compares it.
///
/// # Errors
/// There is no proof: see [`VerifyError`].
pub async fn verify_for_delete(
    store: &dyn Store,
    location: &Location,
    live: &str,
    rules: &Redaction,
    hint: Option<&Hint>,
) -> Result<VerifiedArchive, VerifyError> {
    if *store.fingerprint() != location.fingerprint && !mutant::on("fingerprint-ignored") {
        return Err(VerifyError::OtherPlace);
    }
    let (own, stem) = live_form(location, live, rules)?;
    if own.facts.resource_version.is_empty() {
        return Err(VerifyError::NoResourceVersion);
    }
    if hint.is_some_and(|hint| hint.digest == own.digest) && mutant::on("annotation-trusted") {
        return Ok(proof(own, location.layout.body(&stem), location, None, false));
    }
    let missing = match compare(store, location, &own, &stem).await {
        Err(missing @ VerifyError::Missing { .. }) => missing,
        Err(error) => return Err(error),
        Ok((version_id, cold)) => return Ok(proof(own, location.layout.body(&stem), location, version_id, cold)),
    };
    // It may have been archived while other rules of redaction were in force: then the manifest has these.
    let Some(hint) = hint else { return Err(missing) };
    let known = hint.fingerprint == location.fingerprint || mutant::on("fingerprint-ignored");
    if !known || hint.digest == own.digest {
        return Err(missing);
    }
    // The key is made of the live object, so that a hint can't lead to the archive of another.
    let stem = Stem::of(&own.facts, &hint.digest);
    if location.layout.body(&stem) != hint.key {
        return Err(missing);
    }
    let Some(manifest) = read_manifest(store, location, &stem).await? else { return Err(missing) };
    let Ok(rules) = Redaction::new(manifest.redaction) else { return Err(missing) };
    let (then, stem) = live_form(location, live, &rules)?;
    if then.digest != hint.digest {
        return Err(missing);
    }
    let (version_id, cold) = compare(store, location, &then, &stem).await?;
    Ok(proof(then, location.layout.body(&stem), location, version_id, cold))
}

fn live_form(location: &Location, live: &str, rules: &Redaction) -> Result<(Canonical, Stem), VerifyError> {
    let mut own = canonical(live, rules)?;
    // From here on only the digest counts: no second copy is held while the first is read.
    own.bytes = Vec::new();
    let stem = Stem::of(&own.facts, &own.digest);
    debug_assert!(location.layout.read(&location.layout.body(&stem)).is_some(), "{stem}");
    Ok((own, stem))
}

fn proof(own: Canonical, key: String, location: &Location, version_id: Option<String>, cold: bool) -> VerifiedArchive {
    let fingerprint = location.fingerprint.clone();
    VerifiedArchive { facts: own.facts, digest: own.digest, key, fingerprint, version_id, cold }
}

/// Reads the copy and compares its digest; its version, and whether it is cold.
async fn compare(
    store: &dyn Store,
    location: &Location,
    own: &Canonical,
    stem: &Stem,
) -> Result<(Option<String>, bool), VerifyError> {
    let key = location.layout.body(stem);
    if mutant::on("no-read-back") && store.head(&key).await?.is_some() {
        return Ok((None, false));
    }
    let stored = match store.get(&key, LARGEST).await {
        Ok(Some(stored)) => stored,
        Ok(None) => return Err(VerifyError::Missing { key }),
        Err(error) if error.kind == Fault::Unreadable => {
            return cold(store, location, own, stem, error).await.map(|version_id| (version_id, true));
        }
        Err(error) => return Err(error.into()),
    };
    match gzip::digest(&stored.bytes, LARGEST) {
        Ok((digest, _)) if digest == own.digest || mutant::on("digest-with-itself") => Ok((stored.version_id, false)),
        Ok((digest, _)) => {
            Err(VerifyError::Differs { key, what: format!("its digest is {digest}, not {}", own.digest) })
        }
        Err(error) => Err(VerifyError::Differs { key, what: error.to_string() }),
    }
}

/// Stands for reading a copy in a class that can't be read: its manifest, which was written only after the copy had
/// been read back, and the very object it speaks of is there.
pub(super) async fn cold(
    store: &dyn Store,
    location: &Location,
    own: &Canonical,
    stem: &Stem,
    unreadable: StoreError,
) -> Result<Option<String>, VerifyError> {
    let key = location.layout.body(stem);
    let there = store.head(&key).await?;
    if mutant::on("cold-without-manifest") && there.is_some() {
        return Ok(None);
    }
    let Some(manifest) = read_manifest(store, location, stem).await? else { return Err(unreadable.into()) };
    if !manifest.is_of(&key, &own.digest, &own.facts.uid) {
        return Err(VerifyError::Differs { key, what: "its manifest is of another archive".to_owned() });
    }
    // It was read back at another place, or while this one was spelt otherwise: nobody has read what lies here. Once
    // it is restored it is read, and proven by that.
    if manifest.fingerprint != location.fingerprint && !mutant::on("fingerprint-ignored") {
        return Err(unreadable.into());
    }
    if mutant::on("cold-without-head") {
        return Ok(manifest.version_id);
    }
    let Some(there) = there else { return Err(VerifyError::Missing { key }) };
    if there.size != manifest.stored_bytes {
        let what = format!("it has {} bytes, not {}", there.size, manifest.stored_bytes);
        return Err(VerifyError::Differs { key, what });
    }
    match (&there.version_id, &manifest.version_id) {
        (Some(now), Some(then)) if now != then => {
            Err(VerifyError::Differs { key, what: format!("its version is {now}, not {then}") })
        }
        _ => Ok(there.version_id),
    }
}

async fn read_manifest(store: &dyn Store, location: &Location, stem: &Stem) -> Result<Option<Manifest>, VerifyError> {
    let object = store.get(&location.layout.manifest(stem), manifest::LARGEST).await?;
    Ok(object.and_then(|object| Manifest::read(&object.bytes)))
}
