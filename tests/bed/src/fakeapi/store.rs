//! Objects and what happened to them, per kind: the watch cache of kube-apiserver in small.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::entry::{Entry, Key};
use super::failure::Failure;
use super::kinds::KINDS;

/// The first resourceVersion; everything below it is too old.
const FIRST: u64 = 1000;
/// Snapshots held per kind for lists that are read in pages.
const SNAPSHOTS: usize = 8;

#[derive(Debug)]
pub struct Store {
    /// The last resourceVersion given out; one counter for all kinds, as etcd has.
    version: u64,
    kinds: Vec<Collection>,
    snapshots_made: u64,
}

#[derive(Debug, Default)]
pub struct Collection {
    pub objects: BTreeMap<Key, Arc<Entry>>,
    log: VecDeque<Event>,
    /// Watches may start here or later.
    floor: u64,
    snapshots: VecDeque<(u64, Arc<Snapshot>)>,
}

/// A list as it was at one resourceVersion.
#[derive(Debug)]
pub struct Snapshot {
    pub version: u64,
    pub entries: Vec<Arc<Entry>>,
}

#[derive(Clone, Debug)]
pub struct Event {
    pub version: u64,
    pub change: Change,
    /// The object now; of a deleted one its last state.
    pub entry: Arc<Entry>,
    pub before: Option<Arc<Entry>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Added,
    Modified,
    Deleted,
}

impl Change {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Added => "ADDED",
            Self::Modified => "MODIFIED",
            Self::Deleted => "DELETED",
        }
    }
}

impl Store {
    pub fn new() -> Self {
        let empty = || Collection { floor: FIRST, ..Collection::default() };
        Self { version: FIRST, kinds: KINDS.iter().map(|_| empty()).collect(), snapshots_made: 0 }
    }

    pub fn version(&self) -> u64 {
        self.version
    }

    pub fn of(&self, kind: usize) -> &Collection {
        &self.kinds[kind]
    }

    pub fn get(&self, kind: usize, key: &Key) -> Option<&Arc<Entry>> {
        self.kinds[kind].objects.get(key)
    }

    /// The next resourceVersion.
    pub fn advance(&mut self) -> u64 {
        self.version += 1;
        self.version
    }

    /// Makes `entry`, which has a resourceVersion from [`Self::advance`], the current one.
    pub fn put(&mut self, kind: usize, entry: Arc<Entry>, history: usize) {
        let before = self.kinds[kind].objects.insert(entry.key.clone(), Arc::clone(&entry));
        let change = if before.is_some() { Change::Modified } else { Change::Added };
        self.kinds[kind].record(Event { version: entry.resource_version, change, entry, before }, history);
    }

    /// Removes the object; `last` is how it looked, with the resourceVersion of its deletion.
    pub fn remove(&mut self, kind: usize, last: Arc<Entry>, history: usize) {
        let before = self.kinds[kind].objects.remove(&last.key);
        let event = Event { version: last.resource_version, change: Change::Deleted, entry: last, before };
        self.kinds[kind].record(event, history);
    }

    /// Keeps a snapshot for later pages and returns its number.
    pub fn keep(&mut self, kind: usize, snapshot: Arc<Snapshot>) -> u64 {
        self.snapshots_made += 1;
        let held = &mut self.kinds[kind].snapshots;
        if held.len() >= SNAPSHOTS {
            held.pop_front();
        }
        held.push_back((self.snapshots_made, snapshot));
        self.snapshots_made
    }

    pub fn snapshot(&self, kind: usize, number: u64) -> Option<Arc<Snapshot>> {
        self.kinds[kind].snapshots.iter().find(|(n, _)| *n == number).map(|(_, s)| Arc::clone(s))
    }
}

impl Collection {
    fn record(&mut self, event: Event, history: usize) {
        self.log.push_back(event);
        while self.log.len() > history.max(1) {
            if let Some(gone) = self.log.pop_front() {
                self.floor = gone.version;
            }
        }
    }

    /// Up to `most` events after `version`.
    ///
    /// # Errors
    /// 410 when some of them are no longer known.
    pub fn after(&self, version: u64, most: usize) -> Result<Vec<Event>, Failure> {
        if version < self.floor {
            return Err(Failure::too_old(version, self.floor));
        }
        let first = self.log.partition_point(|e| e.version <= version);
        Ok(self.log.range(first..).take(most).cloned().collect())
    }
}
