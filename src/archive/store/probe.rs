//! The probe of a location: can we put, read and compare, and what does the store keep its word on? One object per day,
//! since nothing of ours may delete (API.md section 5).

use super::mounted::as_since;
use super::{Bytes, Fault, List, Location, LocationKind, Meta, Put, Store, StoreError};
use crate::api::time::Time;

/// What a store was found to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// A put that must not replace is refused where something is.
    pub conditional_put: bool,
    /// The store has a checksum of its own of what we send, in the way that we send it.
    pub checksums: bool,
    /// Objects have versions.
    pub versioning: bool,
}

/// What a probe found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probed {
    pub identity: String,
    pub capabilities: Capabilities,
    /// The day whose object is there now, such as `2026-11-22`.
    pub day: String,
}

/// Probes a location, with a store that asks for the condition: puts the object of the day unless it is there, puts it again
/// and expects to be refused, reads and compares. `first`: the day of the first probe of this place; a folder must still have
/// it. A location whose `conditional_put` is false is known not to take the condition; it is asked for all the same.
///
/// # Errors
/// Something that archiving needs doesn't work.
pub async fn probe(
    store: &dyn Store,
    location: &Location,
    first: Option<&str>,
    now: Time,
) -> Result<Probed, StoreError> {
    let identity = store.identity().await?;
    // Before anything is put: an empty folder must not become one that isn't.
    if let Some(first) = first.filter(|_| location.kind == LocationKind::Filesystem) {
        as_since(store, location, first).await?;
    }
    let date = now.get().strftime("%Y-%m-%d").to_string();
    let key = location.layout.probe(&date);
    let body = Bytes::from(format!("unstick probes this location once a day: {date}\n"));
    let (created, second) = puts(store, &key, &body, !location.conditional_put).await?;
    let Some(read) = store.get(&key, 4 << 10).await? else {
        return Err(StoreError::new(Fault::Other, format!("what was written to {key} can't be read yet")));
    };
    if read.bytes != body {
        return Err(StoreError::new(Fault::Corrupt, format!("what was written to {key} reads as something else")));
    }
    let fresh = matches!(created, Put::Created { .. });
    let versions = [Some(&created), second.as_ref()]
        .into_iter()
        .any(|put| matches!(put, Some(Put::Created { version_id: Some(_) })));
    // Lists are for the catalogue: not to be allowed to list is found out here, not when somebody looks for a run.
    store.list(&List { prefix: &key, ..List::default() }).await?;
    // Nothing hangs on it: our own digest is what is compared. A store that can't be asked so has none.
    let checksums = store.keeps_checksum(&key).await.unwrap_or(false);
    // From here on each call looks for it: a volume that goes away between two probes is noticed by the next call.
    store.rely_on(&first.map_or(key, |first| location.layout.probe(first)));
    Ok(Probed {
        identity,
        capabilities: Capabilities {
            conditional_put: second == Some(Put::Exists) && (fresh || matches!(created, Put::Exists)),
            checksums,
            versioning: versions || read.version_id.is_some(),
        },
        day: date,
    })
}

/// The first put and, unless the store refuses to be asked so, a second that it has to refuse. `known`: it is known not to
/// take the condition.
async fn puts(store: &dyn Store, key: &str, body: &Bytes, known: bool) -> Result<(Put, Option<Put>), StoreError> {
    match put(store, key, body).await {
        Ok(first) => Ok((first, Some(put(store, key, body).await?))),
        // Is it the condition that it doesn't take (501, or 400)? Then it takes the same without it.
        Err(error) if matches!(error.kind, Fault::Unsupported | Fault::Invalid) => {
            let plain = store.without_condition().ok_or_else(|| error.clone())?;
            match put(&*plain, key, body).await {
                // That the object of the day is there proves no put: a tag or a key that it refuses looks the same.
                Ok(Put::Exists) if !known => Err(error),
                Ok(put) => Ok((put, None)),
                // No better: the first answer is the one to be shown.
                Err(_) => Err(error),
            }
        }
        Err(error) => Err(error),
    }
}

async fn put(store: &dyn Store, key: &str, body: &Bytes) -> Result<Put, StoreError> {
    // 409: another replica probes at the same moment.
    for _ in 0..2 {
        match store.put_new(key, body.clone(), &Meta::new()).await? {
            Put::Raced => {}
            put => return Ok(put),
        }
    }
    Ok(Put::Raced)
}
