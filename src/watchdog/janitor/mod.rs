//! The janitor: which finished runs are archived, and which may go (I1 to I7).
//!
//! ```text
//!   finished --> Waiting --Archive--> Kept --ttl--> Due --Examine--> (live object, proof) --Delete--> gone
//!                   ^                   |                    |
//!                   '------ the copy doesn't match ----------'          retried: a run again, nothing holds any more
//! ```
//!
//! `run` is what is remembered of a finished run, `rules` what its policy says, `judge` one pure decision, `work` hands
//! out jobs and takes their outcomes, `budget` counts deletes in a sliding window, `groups` knows the newest of each
//! template, `hearing` whether rules still reach us, `parting` and `vanished` what is known of
//! runs that have gone, `sooner` who deletes before us, `plan` puts all before `judge` for who wants to know what would be done.
//! Marks on workflows are hints: only a proof made right before it unlocks a delete.

pub mod budget;
mod groups;
mod hearing;
pub mod job;
mod judge;
mod parting;
pub mod plan;
pub mod rules;
pub mod run;
mod said;
mod schedule;
pub mod sooner;
mod summed;
mod vanished;
mod work;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::Watchdog;
use super::facts::{Facts, Uid};
use super::index::{BySlot, Slot};
use super::policy::PolicyKey;
use crate::api::reasons::KeepReason;
use crate::api::workflow::{Secs, Workflow};
use budget::Spent;
use groups::Groups;
use hearing::Hearing;
use job::{JobTicket, Kept};
use parting::Parting;
use run::Finished;
use summed::Summed;
use vanished::Vanished;

/// How far a finished run is.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Stage {
    /// No archive is known.
    #[default]
    Waiting,
    /// A mark on it names an archive; whether that is there has not been looked up.
    Marked,
    /// Its archive was read back and compared.
    Kept(Box<Kept>),
}

/// One finished run under a policy with archive or cleanup.
#[derive(Clone, Debug)]
pub struct Entry {
    pub run: Finished,
    /// The policy that governs archive and cleanup.
    pub policy: u16,
    pub stage: Stage,
    /// A job is under way.
    pub job: Option<JobTicket>,
    /// When it is looked at again.
    look_at: Secs,
    failures: u32,
    /// Why nothing is done now, and since when.
    pub blocked: Option<(KeepReason, String)>,
    told: Told,
}

/// What events have said of a run, each once.
#[derive(Clone, Copy, Debug, Default)]
struct Told {
    archived: bool,
    failed: bool,
    /// When it is due, as it was said.
    scheduled: Secs,
    blocked: Option<KeepReason>,
    simulated: bool,
}

/// A location as the shell last found it.
#[derive(Clone, Debug)]
pub struct Place {
    pub ready: bool,
    pub read_only: bool,
    /// Why it isn't ready, in words.
    pub message: String,
    pub fingerprint: String,
    pub allowed: crate::api::selector::Selector,
}

/// All finished runs that some policy keeps or deletes.
#[derive(Debug, Default)]
pub struct Janitor {
    entries: BySlot<Entry>,
    /// When to look at which: what is due by time goes over to `due`.
    agenda: BTreeSet<(Secs, Secs, Slot)>,
    /// To be looked at now, the run that ended first before all others: whenever each was seen.
    due: BTreeSet<(Secs, Slot)>,
    groups: Groups,
    spent: HashMap<PolicyKey, Spent>,
    pub(crate) places: BTreeMap<String, Place>,
    /// Namespaces with a hold, and what it says.
    held: HashMap<String, String>,
    /// Whether what decides about deletes is still heard.
    hearing: Hearing,
    /// Runs that Argo deletes before they can be archived.
    pub(super) sooner: sooner::Sooner,
    jobs: HashMap<JobTicket, Slot>,
    next_job: u64,
    /// Runs that we have told the API server to delete.
    deleting: HashSet<Uid>,
    parting: Parting,
    /// Runs that others have deleted, and whose archive is looked for.
    vanished: Vanished,
    /// Events on policies that wait to be said together.
    pub(super) summed: Summed,
    /// When we began to lead: budgets have no ledger from before.
    led_since: Secs,
}

impl Janitor {
    pub fn entry(&self, slot: Slot) -> Option<&Entry> {
        self.entries.get(&slot)
    }

    pub fn entries(&self) -> impl Iterator<Item = (Slot, &Entry)> {
        self.entries.iter().map(|(s, e)| (*s, e))
    }

    pub fn in_flight(&self) -> usize {
        self.jobs.len() + self.vanished.asking()
    }

    fn look(&mut self, slot: Slot, at: Secs) {
        let Some(entry) = self.entries.get_mut(&slot) else { return };
        let finished = entry.run.finished;
        if entry.look_at != 0 {
            self.agenda.remove(&(entry.look_at, finished, slot));
            self.due.remove(&(finished, slot));
        }
        entry.look_at = at;
        if at != 0 {
            self.agenda.insert((at, finished, slot));
        }
    }

    /// The next to be looked at now.
    fn next_due(&mut self, now: Secs) -> Option<Slot> {
        while let Some((_, finished, slot)) = self.agenda.first().copied().filter(|(at, ..)| *at <= now) {
            self.agenda.pop_first();
            self.due.insert((finished, slot));
        }
        let (_, slot) = self.due.first().copied()?;
        self.look(slot, 0);
        Some(slot)
    }

    fn forget(&mut self, slot: Slot) -> Option<Entry> {
        self.look(slot, 0);
        let entry = self.entries.remove(&slot)?;
        self.groups.remove(entry.policy, &entry.run, slot);
        if let Some(job) = entry.job {
            self.jobs.remove(&job);
        }
        Some(entry)
    }
}

impl Watchdog {
    /// A workflow was seen; its facts are in the index.
    pub(super) fn janitor_seen(&mut self, slot: Slot, workflow: &Workflow<'_>, now: Secs) {
        self.finished_seen(slot, workflow, now);
        self.sooner_seen(slot, now);
    }

    fn finished_seen(&mut self, slot: Slot, workflow: &Workflow<'_>, now: Secs) {
        let finished = self.index.get(slot).and_then(|f| Finished::read(workflow, f.run()));
        let Some(finished) = finished else {
            self.janitor.forget(slot);
            return;
        };
        let Some(facts) = self.index.get(slot) else { return };
        let template = super::project::template_of(workflow);
        let policy = self.policies.retention_of(&facts.kin.namespace.clone(), &facts.kin.labels.clone(), template);
        let Some(policy) = policy else {
            self.janitor.forget(slot);
            return;
        };
        let same = |e: &Entry| {
            let (old, new) = (&e.run, &finished);
            e.policy == policy
                && (old.run, old.phase, old.finished, &old.group) == (new.run, new.phase, new.finished, &new.group)
        };
        if let Some(known) = self.janitor.entries.get_mut(&slot).filter(|e| same(e)) {
            // Marks of ours and of people change a run's object, not its archive; a job under way goes on.
            if known.run != finished {
                known.run = finished;
                if known.job.is_none() {
                    self.janitor.look(slot, now.max(1));
                }
            }
            return;
        }
        let stage = match self.janitor.entries.get(&slot) {
            // Another policy governs it now; its archive is what it was.
            Some(e) if e.run.run == finished.run && e.run.finished == finished.finished => e.stage.clone(),
            _ if finished.mark.is_some() => Stage::Marked,
            _ => Stage::Waiting,
        };
        let old = self.janitor.forget(slot).filter(|e| e.run.run == finished.run);
        self.janitor.groups.insert(policy, &finished, slot);
        let keep = self.policies.get(policy).and_then(|p| p.rules.as_ref()?.cleanup.as_ref());
        if let Some(next) = keep.and_then(|c| self.janitor.groups.displaced(policy, &finished, c.keep(finished.phase)))
        {
            self.janitor.look(next, now.max(1));
        }
        let (told, failures) = old.map_or((Told::default(), 0), |e| (e.told, e.failures));
        let entry = Entry { run: finished, policy, stage, job: None, look_at: 0, failures, blocked: None, told };
        self.janitor.entries.insert(slot, entry);
        self.janitor.look(slot, now.max(1));
        self.statuses.drift();
    }

    /// A workflow has gone.
    pub(super) fn janitor_gone(&mut self, slot: Slot, facts: &Facts, now: Secs) {
        let entry = self.janitor.forget(slot);
        let ours = self.janitor.deleting.remove(&facts.uid);
        if !self.leading || !self.synced {
            return;
        }
        if ours {
            if let Some(entry) = &entry {
                self.parted(entry, facts, now);
            }
            return;
        }
        // A run that was never archived and is no more: of finished ones the governor is known, of others it is asked.
        let policy = match &entry {
            Some(e) if matches!(e.stage, Stage::Kept(_)) => return,
            Some(e) => Some(e.policy),
            None => self.policies.retention_of(&facts.kin.namespace, &facts.kin.labels, None),
        };
        let Some(policy) = policy.and_then(|p| self.policies.get(p)) else { return };
        let archive = policy.rules.as_ref().and_then(|r| r.archive.as_ref());
        let Some(archive) = archive.filter(|a| a.mode == crate::api::reasons::Mode::Enforce) else { return };
        let (label, location) = (policy.label.clone(), archive.location.clone());
        self.vanished(entry.as_ref(), facts, (label, location), now);
    }

    /// A namespace has a hold with this text, or none.
    pub(super) fn namespace_held(&mut self, namespace: &str, hold: Option<String>, now: Secs) {
        let changed = match hold {
            Some(text) => self.janitor.held.insert(namespace.to_owned(), text).is_none(),
            None => self.janitor.held.remove(namespace).is_some(),
        };
        if changed {
            self.janitor_look_all(now);
        }
    }

    /// A location was tried, has changed or has gone.
    pub(super) fn place(&mut self, name: &str, place: Option<Place>, now: Secs) {
        let ready = |p: Option<&Place>| p.map(|p| (p.ready, p.read_only, p.fingerprint.clone()));
        let before = ready(self.janitor.places.get(name));
        match place {
            Some(place) => {
                self.janitor.places.insert(name.to_owned(), place);
            }
            None => {
                self.janitor.places.remove(name);
            }
        }
        if before != ready(self.janitor.places.get(name)) {
            self.janitor_look_all(now);
            self.statuses.touch();
        }
    }

    /// Something that concerns all has changed.
    pub(super) fn janitor_look_all(&mut self, now: Secs) {
        let idle: Vec<Slot> = self.janitor.entries.iter().filter(|(_, e)| e.job.is_none()).map(|(s, _)| *s).collect();
        for slot in idle {
            self.janitor.look(slot, now.max(1));
        }
    }

    pub(super) fn janitor_leads(&mut self, leading: bool, now: Secs) {
        self.janitor.led_since = if leading { now.max(1) } else { 0 };
        self.janitor.spent.clear();
        self.janitor.jobs.clear();
        self.janitor.parting = Parting::default();
        self.janitor.summed = Summed::default();
        self.janitor.vanished = Vanished::default();
        for entry in self.janitor.entries.values_mut() {
            entry.job = None;
            // Another has led meanwhile, and has marked what it archived.
            if matches!(entry.stage, Stage::Waiting) && entry.run.mark.is_some() {
                entry.stage = Stage::Marked;
            }
        }
        self.janitor_look_all(now);
    }
}
