//! Which generation is current, and adding to it.

use super::batch;
use super::row::Row;
use crate::api::time::Time;
use crate::archive::gzip;
use crate::archive::key::Layout;
use crate::archive::store::{Bytes, Fault, List, Meta, Put, Store, StoreError};
use crate::mutant;

/// The object that says that a generation is whole has no more bytes.
const COMPLETE: usize = 64 << 10;

/// All generations that were begun, the newest first.
///
/// # Errors
/// The store can't be listed.
pub async fn all(store: &dyn Store, layout: &Layout) -> Result<Vec<u32>, StoreError> {
    let begin = format!("{}g=", layout.catalogue());
    let folders = folders(store, &begin).await?;
    let mut numbers: Vec<u32> = folders.iter().filter_map(|name| name.parse().ok()).collect();
    numbers.sort_unstable_by(|a, b| b.cmp(a));
    Ok(numbers)
}

/// What stands between `prefix` and the next slash, for all that is there.
pub(super) async fn folders(store: &dyn Store, prefix: &str) -> Result<Vec<String>, StoreError> {
    let (mut found, mut token) = (Vec::new(), None);
    loop {
        let page = store.list(&List { prefix, after: None, token: token.as_deref(), folders: true }).await?;
        let names = page.folders.iter().filter_map(|f| f.strip_prefix(prefix)?.strip_suffix('/'));
        found.extend(names.map(str::to_owned));
        token = page.next;
        if token.is_none() {
            return Ok(found);
        }
    }
}

/// The current generation; `None` where there is no catalogue yet.
///
/// # Errors
/// The store can't be asked.
pub async fn current(store: &dyn Store, layout: &Layout) -> Result<Option<u32>, StoreError> {
    for number in all(store, layout).await? {
        if is_whole(store, layout, number).await? {
            return Ok(Some(number));
        }
    }
    Ok(None)
}

pub(super) async fn is_whole(store: &dyn Store, layout: &Layout, number: u32) -> Result<bool, StoreError> {
    // Read, though only its presence counts: what a HEAD is refused for has no words.
    match store.get(&batch::complete(layout, number), COMPLETE).await {
        Ok(found) => Ok(found.is_some()),
        // It has moved to a class that can't be read, hence it is there.
        Err(error) if error.kind == Fault::Unreadable => Ok(true),
        Err(error) => Err(error),
    }
}

/// Says that a generation is whole.
pub(super) async fn complete(store: &dyn Store, layout: &Layout, number: u32) -> Result<(), StoreError> {
    let (key, body) = (batch::complete(layout, number), Bytes::from_static(b"complete\n"));
    match store.put_new(&key, body, &Meta::new()).await? {
        Put::Created { .. } => Ok(()),
        // Somebody else was first; or the store says so.
        Put::Exists | Put::Raced if is_whole(store, layout, number).await? => Ok(()),
        Put::Exists | Put::Raced => Err(not_yet(&key)),
    }
}

fn not_yet(key: &str) -> StoreError {
    StoreError::new(Fault::Other, format!("what was written to {key} can't be read yet"))
}

/// Adds lines to the current generation, and to its successor if that has become current meanwhile. Safe to repeat.
///
/// # Errors
/// Not all lines are there.
pub async fn append(store: &dyn Store, layout: &Layout, rows: &[Row], now: Time) -> Result<(), StoreError> {
    let mut into = if let Some(number) = current(store, layout).await? {
        number
    } else {
        complete(store, layout, 1).await?;
        1
    };
    loop {
        write(store, layout, into, rows, now).await?;
        match current(store, layout).await? {
            Some(newer) if newer > into => into = newer,
            // It has been there before: nobody who reads now would find the lines.
            None if !mutant::on("stale-generation") => return Err(not_yet(&batch::complete(layout, into))),
            _ => return Ok(()),
        }
    }
}

/// Writes lines into a generation.
pub(super) async fn write(
    store: &dyn Store,
    layout: &Layout,
    number: u32,
    rows: &[Row],
    now: Time,
) -> Result<(), StoreError> {
    for (partition, rows) in batch::by_partition(rows) {
        let (key, packed) = batch::pack(layout, number, &partition, &rows, now);
        let packed = Bytes::from(packed);
        match store.put_new(&key, packed.clone(), &Meta::new()).await? {
            Put::Created { .. } => {}
            Put::Exists if mutant::on("batch-exists-is-success") => {}
            Put::Exists => is_same(store, &key, &packed).await?,
            // The key has the digest of the lines: whoever else writes it writes the same.
            Put::Raced => return Err(StoreError::new(Fault::Throttled, format!("{key} is being written by another"))),
        }
    }
    Ok(())
}

/// That something is there already isn't success: what is stored is read and compared. Otherwise the lines wait; at
/// another time they have another key.
async fn is_same(store: &dyn Store, key: &str, own: &[u8]) -> Result<(), StoreError> {
    let there = store.get(key, batch::LARGEST).await?.ok_or_else(|| not_yet(key))?;
    let plain = |packed: &[u8]| gzip::unpack(packed, batch::LARGEST).ok();
    match plain(&there.bytes) {
        Some(lines) if plain(own).as_ref() == Some(&lines) => Ok(()),
        _ => Err(StoreError::new(Fault::Corrupt, format!("something else is stored under {key}"))),
    }
}
