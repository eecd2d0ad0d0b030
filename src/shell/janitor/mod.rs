//! The janitor's hands: reads live objects, stores and proves archives, deletes. Decides nothing.
//!
//! A job is one call of [`Hands::perform`]; it never outlives the Lease (its task is aborted) and never holds more than
//! its share of memory.

mod aside;
pub mod connect;
mod delete;
mod look;
mod object;
mod open;
mod place;
mod task;
#[cfg(test)]
mod tests;
pub mod wanted;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::archive::store::Fingerprint;
use kube::Client;

use aside::Desks;
pub use look::{Judged, LastLook};
pub use open::Open;
pub use place::{Opening, Tried, follow_place};

/// Bytes of live objects at work at once, those decoded included.
const AT_WORK: usize = 64 << 20;

/// What jobs need.
#[derive(Clone)]
pub struct Hands {
    /// Reads, marks and deletes workflows; made for Enforce only.
    pub client: Client,
    pub clock: Arc<super::clock::ServerClock>,
    pub look: LastLook,
    desks: Desks,
    /// Locations that are open, by name.
    places: Arc<Mutex<HashMap<String, Arc<Open>>>>,
}

impl Hands {
    pub fn new(client: Client, clock: Arc<super::clock::ServerClock>, look: LastLook) -> Self {
        Self { client, clock, look, desks: Desks::default(), places: Arc::default() }
    }

    pub fn open(&self, name: &str, place: Option<Arc<Open>>) {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        match place {
            Some(place) => places.insert(name.to_owned(), place),
            None => places.remove(name),
        };
    }

    /// Writes what waits for the catalogues and waits for what is at work aside; for the end of the process.
    pub async fn flush(&self) {
        let places: Vec<Arc<Open>> =
            self.places.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        for place in places {
            place.flush(self.clock.now().into()).await;
        }
        // Jobs were given up: what is aside stops at its next call, and it may not outlive the runtime.
        self.desks.aside_is_idle().await;
    }

    fn place_of(&self, fingerprint: &Fingerprint) -> Option<Arc<Open>> {
        let places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        places.values().find(|p| p.location.fingerprint == *fingerprint).cloned()
    }

    fn place(&self, name: &str) -> Option<Arc<Open>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }
}
