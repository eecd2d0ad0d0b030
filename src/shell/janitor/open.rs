//! A location that is open: its store, and what of the catalogue waits to be written there.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use crate::api::time::Time;
use crate::archive::catalogue::Row;
use crate::archive::catalogue::generation::append;
use crate::archive::key::Kind;
use crate::archive::manifest::{self, Manifest};
use crate::archive::store::{Fingerprint, Location, Store, StoreError};
use crate::archive::verify::Hint;
use crate::watchdog::janitor::job::Target;

/// A location that is open.
pub struct Open {
    pub store: Arc<dyn Store>,
    /// The same as probes use it: asking for the condition of puts, whether it was honoured or not.
    pub asking: Arc<dyn Store>,
    pub location: Location,
    pub rows: Arc<Rows>,
    /// A job has met a failure of the store: it is tried at once, and jobs wait until it works.
    pub trouble: Notify,
}

impl Open {
    /// `asking`: a store that asks for the condition of puts. Where the location says that it isn't honoured, the store is
    /// used without.
    pub fn new(asking: Arc<dyn Store>, location: Location, shelf: &Shelf) -> Self {
        let rows = shelf.rows(&location.fingerprint);
        let plain = if location.conditional_put { None } else { asking.without_condition() };
        let store = plain.unwrap_or_else(|| Arc::clone(&asking));
        Self { store, asking, location, rows, trouble: Notify::new() }
    }

    /// Writes the lines that wait as one batch for each day and namespace; what can't be written waits on. Says why it
    /// couldn't.
    pub async fn flush(&self, now: Time) -> Option<StoreError> {
        let location = &self.location.name;
        let failed = self.write_lines(now).await.err();
        if let Some(error) = &failed {
            let lines = self.rows.len();
            tracing::warn!(location, lines, %error, "the catalogue can't be written; it is tried again");
        }
        let lost = self.rows.lost();
        if lost > 0 {
            tracing::warn!(
                location,
                lost,
                "too many lines wait for the catalogue: of archives they come back with unstick archive reindex, that \
                 runs were deleted is told by this log only"
            );
        }
        failed
    }

    /// The same, for who wants to know.
    ///
    /// # Errors
    /// They wait on.
    pub async fn write_lines(&self, now: Time) -> Result<(), StoreError> {
        let mut taken = Taken { rows: &self.rows, lines: self.rows.take() };
        if !taken.lines.is_empty() {
            append(&*self.store, &self.location.layout, &taken.lines, now).await?;
            taken.lines.clear();
        }
        Ok(())
    }

    /// Size of the archive that a hint names, if its manifest says that it is of this run.
    ///
    /// # Errors
    /// The store can't be asked.
    pub async fn names(&self, target: &Target, hint: &Hint) -> Result<Option<u64>, StoreError> {
        let Some(Kind::Body(stem)) = self.location.layout.read(&hint.key) else { return Ok(None) };
        let key = self.location.layout.manifest(&stem);
        let Some(object) = self.store.get(&key, manifest::LARGEST).await? else { return Ok(None) };
        let seconds = |t: Option<crate::api::time::Time>| t.map_or(0, |t| t.get().as_second());
        let is_it = |m: &Manifest| {
            m.key == hint.key
                && m.digest == hint.digest
                && m.fingerprint == self.location.fingerprint
                && m.summary.uid == target.uid
                && seconds(m.summary.started_at) == i64::from(target.started)
                && seconds(m.summary.finished_at) == i64::from(target.finished)
        };
        Ok(Manifest::read(&object.bytes).filter(is_it).map(|m| m.stored_bytes))
    }
}

/// Lines on their way: what wasn't written waits again, also when the writing is broken off. A batch has its digest for a
/// name, so writing it twice is writing it once.
struct Taken<'r> {
    rows: &'r Rows,
    lines: Vec<Row>,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.rows.give_back(std::mem::take(&mut self.lines));
    }
}

/// The lines that wait, by the place they are for. They outlive a location that is shut: when its spec is edited or the
/// Lease is lost, they are written at once beside everything else, and what of them can't be written waits for the next
/// location that is opened at the same place. So do those of jobs that end after it was shut.
#[derive(Clone, Default)]
pub struct Shelf(Arc<Mutex<HashMap<Fingerprint, Arc<Rows>>>>);

impl Shelf {
    fn rows(&self, place: &Fingerprint) -> Arc<Rows> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, rows| Arc::strong_count(rows) > 1 || rows.len() > 0);
        Arc::clone(all.entry(place.clone()).or_default())
    }
}

/// Lines for the catalogue that wait for their batch. What is lost of them in a crash: archives are in the manifests too,
/// and a reindex brings them back; that a run was deleted is told nowhere else.
#[derive(Default)]
pub struct Rows {
    waiting: Mutex<Vec<Row>>,
    full: Notify,
    lost: AtomicUsize,
}

/// So many are written before their time: each takes some 3 KB.
const FULL: usize = 1_000;
/// More are not held, when the store takes none; they are counted, and that is said.
const MOST: usize = 10_000;

impl Rows {
    pub fn add(&self, row: Row) {
        let mut rows = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if rows.len() < MOST {
            rows.push(row);
        } else {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
        if rows.len() == FULL {
            self.full.notify_one();
        }
    }

    /// What could not be written waits for its time, however many they are.
    pub fn give_back(&self, rows: Vec<Row>) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let room = MOST.saturating_sub(waiting.len());
        self.lost.fetch_add(rows.len().saturating_sub(room), Ordering::Relaxed);
        waiting.extend(rows.into_iter().take(room));
    }

    /// How many found no place since this was last asked.
    pub fn lost(&self) -> usize {
        self.lost.swap(0, Ordering::Relaxed)
    }

    /// Waits until there are so many that they should be written.
    pub async fn full(&self) {
        self.full.notified().await;
    }

    pub fn take(&self) -> Vec<Row> {
        std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn len(&self) -> usize {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}
