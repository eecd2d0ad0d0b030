//! Jobs of the janitor, started and ended; locations, opened while we lead.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinHandle, JoinSet};

use super::janitor::{Opening, Tried, follow_place};
use super::looping::Loop;
use crate::api::archive_location::ArchiveLocation;
use crate::watchdog::input::Input;
use crate::watchdog::janitor::job::{Job, JobTicket, Outcome};
use crate::watchdog::{instant, secs};

pub type Jobs = JoinSet<(JobTicket, Outcome)>;

/// The locations there are, and the tasks that try them.
pub struct Locations {
    all: BTreeMap<String, ArchiveLocation>,
    tasks: BTreeMap<String, JoinHandle<()>>,
    tell: mpsc::Sender<Tried>,
    open: bool,
    /// The name of the cluster that archives bear.
    cluster: String,
}

impl Locations {
    pub const fn new(tell: mpsc::Sender<Tried>) -> Self {
        Self { all: BTreeMap::new(), tasks: BTreeMap::new(), tell, open: false, cluster: String::new() }
    }
}

impl Loop {
    pub(super) fn next_job_at(&self, now: Instant, server: Timestamp) -> Option<Instant> {
        let due = self.watchdog.next_job_due().filter(|_| self.may_write())?;
        let wait = Duration::try_from(instant(due).duration_since(server)).unwrap_or(Duration::ZERO);
        Some(now + wait.max(self.job_limit.soonest(now)))
    }

    /// Starts jobs while there is place and allowance.
    pub fn pump_jobs(&mut self, jobs: &mut Jobs) {
        while self.may_write() && self.job_limit.take(Instant::now()) {
            let now = secs(self.now());
            let Some(job) = self.watchdog.next_job(now) else {
                self.job_limit.give_back();
                return;
            };
            self.start_job(job, jobs);
        }
    }

    fn start_job(&self, job: Job, jobs: &mut Jobs) {
        let (hands, ticket, judged) = (self.hands.clone(), job.ticket, self.hands.look.now());
        jobs.spawn(async move { (ticket, hands.perform(job, judged).await) });
    }

    pub fn job_done(&mut self, result: Result<(JobTicket, Outcome), JoinError>, jobs: &mut Jobs) {
        let Ok((ticket, outcome)) = result else { return };
        match &outcome {
            Outcome::Store(reason, text) => tracing::warn!(%reason, text, "a store failed; it is tried again"),
            Outcome::Failed(text) | Outcome::Refused(text) => tracing::warn!(text, "the API server failed the janitor"),
            Outcome::Unanswered(text) => {
                tracing::warn!(text, "a delete was not answered: the watch says what came of it");
            }
            Outcome::NotVerified(text) => tracing::warn!(text, "nothing is deleted without a verified archive"),
            _ => {}
        }
        let now = secs(self.now());
        let Some(next) = self.watchdog.job_ended(ticket, outcome, now) else { return };
        if self.may_write() {
            self.start_job(next, jobs);
        } else {
            let held = Outcome::Failed("held back: the Lease or the watch was lost".to_owned());
            let _ = self.watchdog.job_ended(next.ticket, held, now);
        }
    }

    pub fn tried(&mut self, tried: Tried) {
        // What was on its way when the location was changed is of another place.
        if self.locations.all.get(&tried.name).is_none_or(|known| !tried.is_of(known)) {
            return;
        }
        let Tried { name, place, open, .. } = tried;
        // Or the cluster had another name.
        if open.as_ref().is_some_and(|open| open.location.cluster != self.locations.cluster) {
            return;
        }
        self.hands.open(&name, open);
        self.handle(Input::Place { name, place: Some(Box::new(place)) });
    }

    pub(super) fn location(&mut self, value: Value) {
        let name = value["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let object = match serde_json::from_value::<ArchiveLocation>(value) {
            Ok(object) => object,
            Err(error) => {
                tracing::warn!(location = name, %error, "an ArchiveLocation can't be read; nothing is stored there");
                self.location_gone(&name);
                return;
            }
        };
        let known = self.locations.all.insert(name.clone(), object.clone());
        // Its status is ours.
        if known.is_none_or(|k| k.spec != object.spec || k.metadata.uid != object.metadata.uid) {
            self.shut(&name);
            self.try_location(&name);
        }
    }

    pub(super) fn location_gone(&mut self, name: &str) {
        self.locations.all.remove(name);
        self.shut(name);
    }

    /// Archives name the cluster: when the Watchdog object gives it another name, all locations are opened anew.
    pub(super) fn name_cluster(&mut self) {
        let name = self.settings.as_ref().map_or_else(|| "default".to_owned(), |s| s.spec.cluster_name.clone());
        if std::mem::replace(&mut self.locations.cluster, name.clone()) != name && self.locations.open {
            self.close_locations();
            self.open_locations();
        }
    }

    /// Only the leader tries locations.
    pub(super) fn open_locations(&mut self) {
        self.locations.open = true;
        for name in self.locations.all.keys().cloned().collect::<Vec<_>>() {
            self.try_location(&name);
        }
    }

    pub(super) fn close_locations(&mut self) {
        self.locations.open = false;
        for name in self.locations.all.keys().cloned().collect::<Vec<_>>() {
            self.shut(&name);
        }
    }

    fn shut(&mut self, name: &str) {
        if let Some(task) = self.locations.tasks.remove(name) {
            task.abort();
        }
        self.hands.shut(name);
        self.handle(Input::Place { name: name.to_owned(), place: None });
    }

    fn try_location(&mut self, name: &str) {
        let Some(object) = self.locations.all.get(name).filter(|_| self.locations.open) else { return };
        let opening = Opening {
            read: self.clients.watch.clone(),
            act: self.clients.act.clone(),
            clock: self.clients.clock.clone(),
            namespace: self.clients.namespace.clone(),
            flush_every: self.flush_every,
            container_root: self.container_root.clone(),
            shelf: self.hands.shelf.clone(),
            cluster: self.locations.cluster.clone(),
        };
        let task = follow_place(object.clone(), opening, self.locations.tell.clone());
        self.locations.tasks.insert(name.to_owned(), task);
    }
}

#[cfg(test)]
mod tests;
