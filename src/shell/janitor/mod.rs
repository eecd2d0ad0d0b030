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
use std::time::Duration;

use crate::archive::catalogue::Row;
use crate::archive::store::Fingerprint;
use kube::Client;

use aside::Desks;
pub use look::{Judged, LastLook};
pub use open::{Open, Shelf};
pub use place::{Opening, Tried, follow_place};

/// Bytes of live objects at work at once, their nodes unpacked.
const AT_WORK: usize = 64 << 20;

/// How long the lines of a location that was shut may take to be written there.
const LAST_LINES: Duration = Duration::from_secs(30);

/// What jobs need.
#[derive(Clone)]
pub struct Hands {
    /// Reads, marks and deletes workflows; made for Enforce only.
    pub client: Client,
    pub clock: Arc<super::clock::ServerClock>,
    pub look: LastLook,
    desks: Desks,
    /// Lines that wait for catalogues.
    pub shelf: Shelf,
    /// Locations that are open, by name.
    places: Arc<Mutex<HashMap<String, Arc<Open>>>>,
    /// Lines of deletes that were sent and not answered, by the run's uid.
    unanswered: Arc<Mutex<HashMap<String, Line>>>,
}

/// A line of a catalogue, and where it belongs.
type Line = (Arc<Open>, Row);

/// So many lines of deletes without an answer are held.
const MOST_UNANSWERED: usize = 1_000;

impl Hands {
    pub fn new(client: Client, clock: Arc<super::clock::ServerClock>, look: LastLook) -> Self {
        Self {
            client,
            clock,
            look,
            desks: Desks::default(),
            shelf: Shelf::default(),
            places: Arc::default(),
            unanswered: Arc::default(),
        }
    }

    pub fn open(&self, name: &str, place: Option<Arc<Open>>) {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        match place {
            Some(place) => places.insert(name.to_owned(), place),
            None => places.remove(name),
        };
    }

    /// Holds the line of a delete, or takes it back.
    fn unanswered(&self, uid: &str, line: Option<Line>) -> Option<Line> {
        let mut held = self.unanswered.lock().unwrap_or_else(PoisonError::into_inner);
        match line {
            Some(line) if held.len() < MOST_UNANSWERED => held.insert(uid.to_owned(), line),
            Some(_) => None,
            None => held.remove(uid),
        }
    }

    /// A location that is not to be used any more. What waits for its catalogue is written in a task of its own: lines
    /// about what has been done already, which neither a new spec nor another's Lease makes untrue. Nobody waits for it.
    pub fn shut(&self, name: &str) {
        let gone = self.places.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
        let Some(gone) = gone.filter(|open| open.rows.len() > 0) else { return };
        let now = self.clock.now().into();
        tokio::spawn(async move { tokio::time::timeout(LAST_LINES, gone.flush(now)).await });
    }

    /// Writes what waits for the catalogues and waits for what is at work aside; for the end of the process.
    pub async fn flush(&self) {
        let places: Vec<Arc<Open>> =
            self.places.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        for place in places {
            let _ = place.flush(self.clock.now().into()).await;
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
