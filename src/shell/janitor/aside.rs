//! Work on large runs, aside of the one thread that everything else runs on.
//!
//! To make the canonical form of a run, pack it and unpack what was stored is work without a pause: half a millisecond at
//! 50 KB, a tenth of a second and more where nodes unpack to 20 MB. Detection waits for no archive, so what is large goes
//! to a thread of its own, one run at a time. It stops before its next call of the store when its job is given up.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::AT_WORK;
use crate::api::reasons::KeepReason;
use crate::api::workflow::codec::{self, MAX_DECODED};
use crate::api::workflow::{Nodes, Workflow};
use crate::archive::store::{Bytes, Fingerprint, Head, List, Meta, Object, Page, Put, Store, StoreError};
use crate::watchdog::janitor::job::Outcome;

/// Runs of more bytes, events included, are worked on aside: this many take about 5 ms.
const LARGE: usize = 256 << 10;

/// Places to work at: memory for all, and one thread for large runs.
#[derive(Clone)]
pub struct Desks {
    /// KiB of live objects at work.
    room: Arc<Semaphore>,
    aside: Arc<Semaphore>,
}

impl Default for Desks {
    fn default() -> Self {
        Self { room: Arc::new(Semaphore::new(AT_WORK >> 10)), aside: Arc::new(Semaphore::new(1)) }
    }
}

/// A place to work at. It is free again when the work has ended, which is later than that it was given up.
pub struct Desk {
    room: OwnedSemaphorePermit,
    aside: Option<OwnedSemaphorePermit>,
}

impl Desks {
    /// Waits for a run's share of memory, its texts with its nodes unpacked, and, where it is large, for its turn. How much
    /// nodes become is found out by unpacking them once without keeping anything; until then the most counts.
    ///
    /// # Errors
    /// It alone is larger than all there is.
    pub async fn take(&self, live: &str, events: &str) -> Result<Desk, Outcome> {
        let packed = live.contains("\"compressedNodes\"");
        let size = live.len() + events.len();
        if size > AT_WORK {
            return Err(too_large(size));
        }
        let closed = |e: tokio::sync::AcquireError| Outcome::Failed(e.to_string());
        // The turn first: who waits for it holds no memory that small runs could use.
        let aside = if packed || size > LARGE {
            Some(Arc::clone(&self.aside).acquire_owned().await.map_err(closed)?)
        } else {
            None
        };
        let most = if packed { (size + MAX_DECODED).min(AT_WORK) } else { size };
        let room = Arc::clone(&self.room).acquire_many_owned(kib(most)).await.map_err(closed)?;
        let desk = Desk { room, aside };
        if packed { desk.unpacked(live.to_owned(), size).await } else { Ok(desk) }
    }

    /// Waits until nothing is at work aside.
    pub async fn aside_is_idle(&self) {
        drop(self.aside.acquire().await);
    }
}

/// Of the room, for so many bytes.
fn kib(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(1 << 10)).unwrap_or(u32::MAX)
}

fn too_large(bytes: usize) -> Outcome {
    let text = format!(
        "it has {} MiB with its nodes unpacked, and archiving has room for {} MiB in all",
        bytes.div_ceil(1 << 20),
        AT_WORK >> 20
    );
    Outcome::NotArchivable(KeepReason::NotArchivable, text)
}

/// How long the nodes of a run are when they are unpacked.
fn unpacked_nodes(live: &str) -> Result<usize, Outcome> {
    let Ok(workflow) = Workflow::from_json(live) else { return Ok(0) };
    let Nodes::Compressed(nodes) = &workflow.status.nodes else { return Ok(0) };
    codec::decoded_len(nodes)
        .map_err(|error| Outcome::NotArchivable(KeepReason::NotArchivable, format!("its nodes can't be read: {error}")))
}

impl Desk {
    /// Counts what the nodes become, aside, and gives back the room that they don't need.
    async fn unpacked(mut self, live: String, size: usize) -> Result<Self, Outcome> {
        let counted = tokio::task::spawn_blocking(move || {
            let bytes = size + unpacked_nodes(&live)?;
            if bytes > AT_WORK {
                return Err(too_large(bytes));
            }
            let spare = self.room.num_permits().saturating_sub(kib(bytes) as usize);
            drop(self.room.split(spare));
            Ok(self)
        });
        counted.await.unwrap_or_else(|error| Err(Outcome::Failed(format!("the work broke: {error}"))))
    }

    /// Does the work here, or aside where the run is large. `work` is given the store to use.
    ///
    /// # Errors
    /// It ended without a result: it broke, or the process ends.
    pub async fn work<F>(
        self,
        store: Arc<dyn Store>,
        work: impl FnOnce(Arc<dyn Store>) -> F,
    ) -> Result<F::Output, Outcome>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        if self.aside.is_none() {
            return Ok(work(store).await);
        }
        let work = work(Arc::new(Pausing(store)));
        let handle = Handle::current();
        // Dropped with this future: that is what tells the work to stop.
        let (tether, cut) = oneshot::channel::<()>();
        let done = tokio::task::spawn_blocking(move || {
            let _desk = self;
            handle.block_on(async move {
                tokio::select! {
                    biased;
                    _ = cut => None,
                    done = work => Some(done),
                }
            })
        });
        let done = done.await;
        drop(tether);
        match done {
            Ok(Some(done)) => Ok(done),
            Ok(None) => Err(Outcome::Failed("the work was given up".to_owned())),
            Err(error) => Err(Outcome::Failed(format!("the work broke: {error}"))),
        }
    }
}

/// The store, with a pause before each call: there the work can be stopped, also where the store answers at once.
struct Pausing(Arc<dyn Store>);

#[async_trait]
impl Store for Pausing {
    fn fingerprint(&self) -> &Fingerprint {
        self.0.fingerprint()
    }

    async fn put_new(&self, key: &str, body: Bytes, meta: &Meta) -> Result<Put, StoreError> {
        tokio::task::yield_now().await;
        self.0.put_new(key, body, meta).await
    }

    async fn get(&self, key: &str, limit: usize) -> Result<Option<Object>, StoreError> {
        tokio::task::yield_now().await;
        self.0.get(key, limit).await
    }

    async fn head(&self, key: &str) -> Result<Option<Head>, StoreError> {
        tokio::task::yield_now().await;
        self.0.head(key).await
    }

    async fn list(&self, what: &List<'_>) -> Result<Page, StoreError> {
        tokio::task::yield_now().await;
        self.0.list(what).await
    }

    async fn settle(&self, key: &str) -> Result<(), StoreError> {
        tokio::task::yield_now().await;
        self.0.settle(key).await
    }

    fn rely_on(&self, key: &str) {
        self.0.rely_on(key);
    }

    async fn keeps_checksum(&self, key: &str) -> Result<bool, StoreError> {
        tokio::task::yield_now().await;
        self.0.keeps_checksum(key).await
    }

    fn looks_first(&self) -> bool {
        self.0.looks_first()
    }

    async fn identity(&self) -> Result<String, StoreError> {
        tokio::task::yield_now().await;
        self.0.identity().await
    }
}

#[cfg(test)]
mod tests;
