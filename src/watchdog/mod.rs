//! The pure core: facts in, effects out. No I/O, no clock, no randomness.
//!
//! ```text
//!   Input --> Watchdog::handle --> Effect            (at once)
//!             Watchdog::next_wake --> Timestamp      (the earliest deadline; one timer)
//!             Watchdog::next_write --> Write         (when a write is allowed: the rate limit pulls)
//! ```
//!
//! `project` makes facts of a workflow, `index` keeps them, `diagnosis` judges them, `stuck` remembers the verdicts,
//! `ledger` turns verdicts into incidents, `words` says them. Archive and ladder will stand beside `ledger`.

pub mod admit;
pub mod agenda;
pub mod completions;
pub mod detect;
pub mod diagnosis;
pub mod effect;
pub mod facts;
pub mod health;
pub mod index;
pub mod input;
pub mod intern;
pub mod janitor;
pub mod ledger;
mod ledger_seen;
mod ledger_sync;
mod ledger_write;
pub mod node_ids;
pub mod nodes;
pub mod observe;
pub mod outline;
pub mod pods;
pub mod policy;
mod policy_seen;
mod policy_status;
pub mod project;
pub mod report;
mod sight;
pub mod stuck;
pub mod survey;
pub mod tally;
pub mod words;

use std::collections::{HashMap, VecDeque};

use jiff::Timestamp;

use crate::api::reasons::UnknownReason;
use crate::api::watchdog::WatchdogSpec;
use crate::api::workflow::Secs;
use agenda::Agenda;
use completions::Completions;
use effect::{Effect, Note, Write};
use health::ArgoHealth;
use index::{BySlot, Index, Slot};
use input::{Config, Input};
use intern::Interner;
use janitor::Janitor;
use ledger::Ledger;
use pods::StrayPods;
use policy::Policies;
use policy_status::Statuses;
use stuck::Stuck;
use tally::Tally;

/// Owner of all state. One task calls it; nothing in it waits.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Watchdog {
    pub(crate) config: Config,
    pub(crate) settings: WatchdogSpec,
    pub(crate) index: Index,
    pub(crate) agenda: Agenda,
    pool: Interner,
    pub(crate) policies: Policies,
    pub(crate) argo: ArgoHealth,
    pub(crate) pods: StrayPods,
    pub tally: Tally,
    pub(crate) stuck: BySlot<Stuck>,
    /// Runs that were stuck and aren't now, and for how many seconds.
    was_stuck: BySlot<(facts::Run, Secs)>,
    pub(crate) unknown: BySlot<UnknownReason>,
    /// Runs that wait for a lock, by the holder they name.
    waiters: HashMap<(Box<str>, Box<str>), Vec<Slot>>,
    pub(crate) ledger: Ledger,
    pub(crate) janitor: Janitor,
    pub(crate) statuses: Statuses,
    events: VecDeque<(u64, Note)>,
    pub(crate) completions: Completions,
    blind: Option<UnknownReason>,
    epoch: u32,
    /// The first list of workflows has ended.
    synced: bool,
    leading: bool,
    relist_wanted: bool,
    /// A list of workflows is under way.
    listing: bool,
    pulls: u32,
    next_ticket: u64,
}

impl Watchdog {
    /// `bounds`: the upper bounds of each histogram family, from the catalogue.
    pub fn new(config: Config, bounds: fn(&str) -> &'static [f64]) -> Self {
        let settings = WatchdogSpec::default();
        let mut argo = ArgoHealth::default();
        argo.set(&settings.argo, 0);
        let mut index = Index::default();
        if let Some(own) = &config.namespace {
            index.set_cover(index::Cover::Namespace(own.as_str().into()));
        }
        Self {
            config,
            settings,
            index,
            agenda: Agenda::default(),
            pool: Interner::default(),
            policies: Policies::default(),
            argo,
            pods: StrayPods::default(),
            tally: Tally::new(bounds),
            stuck: BySlot::default(),
            was_stuck: BySlot::default(),
            unknown: BySlot::default(),
            waiters: HashMap::new(),
            ledger: Ledger::default(),
            janitor: Janitor::default(),
            statuses: Statuses::default(),
            events: VecDeque::new(),
            completions: Completions::default(),
            blind: None,
            epoch: 0,
            synced: false,
            leading: false,
            relist_wanted: false,
            listing: false,
            pulls: 0,
            next_ticket: 0,
        }
    }

    /// Takes one input at `now`, the API server's time.
    pub fn handle(&mut self, input: Input<'_>, now: Timestamp) -> Vec<Effect> {
        let at = secs(now);
        match input {
            Input::ListBegin => self.list_begin(),
            Input::ListEnd => self.list_end(now),
            Input::Workflow(workflow) => self.workflow(workflow, now),
            Input::WorkflowGone(workflow) => self.workflow_gone(workflow, now),
            Input::WorkflowUnreadable { uid } => {
                if let Some(slot) = self.index.find(facts::Uid::parse(uid).0) {
                    self.index.change(slot, |facts| facts.epoch = self.epoch);
                }
            }
            Input::Policy(seen) => self.policy(*seen, now),
            Input::PolicyStatus(key, status) => self.statuses.observed(&key, status.map(|s| *s).unwrap_or_default()),
            Input::PolicyGone(key) => self.policy_gone(&key, now),
            Input::Namespace { name, labels } => {
                let moved = self.policies.set_namespace(&name, labels);
                if !moved.is_empty() && self.index.iter().any(|(_, f)| *f.namespace == *name) {
                    let epoch = self.read_anew();
                    self.policies.stale_before(&moved, epoch);
                }
            }
            Input::NamespaceHeld { name, hold } => self.namespace_held(&name, hold, at),
            Input::Place { name, place } => self.place(&name, place.map(|p| *p), at),
            Input::ArgoDeletes(argo) => self.argo_deletes(*argo, at),
            Input::Settings(object) => self.settings(object.as_deref(), now),
            Input::Incident(incident) => self.incident_seen(&incident, at),
            Input::IncidentGone { namespace, name } => self.incident_gone(&namespace, &name, at),
            Input::IncidentsListed => {
                self.ledger.listed = true;
                self.decide_all(at);
            }
            Input::Pod(pod) => self.pod(&pod, now),
            Input::PodGone { namespace, workflow, pod } => {
                self.pods.remove(&namespace, &workflow, &pod);
                self.judge_name(&namespace, &workflow, now);
            }
            Input::PodVanished { namespace, pod } => {
                if let Some(workflow) = self.pods.forget(&namespace, &pod) {
                    self.judge_name(&namespace, &workflow, now);
                }
            }
            Input::ArgoLease { namespace, name, renewed } => {
                self.argo.lease(&namespace, &name, renewed);
                self.argo_judged(now);
            }
            Input::ArgoMetrics { instance, answered } => {
                self.argo.metrics(&instance, answered, at);
                self.argo_judged(now);
            }
            Input::Leading(mark) => self.leading(mark, at),
            Input::Blind(reason) => {
                if self.blind != reason {
                    self.blind = reason;
                    self.judge_all(now);
                }
            }
            Input::Rules { source, failing } => self.rules_heard(source, failing, at),
            Input::Wrote { ticket, result } => self.wrote(ticket, result, at),
            Input::WatermarkDurable => self.completions.commit(&mut self.tally),
            Input::Tick => {}
        }
        self.due(now);
        // A list that is under way is let go on: policies that change all the time must not keep it from ending.
        if self.relist_wanted && !self.listing {
            self.relist_wanted = false;
            return vec![Effect::Relist];
        }
        Vec::new()
    }

    /// The earliest instant at which something becomes due by time alone.
    pub fn next_wake(&self, now: Timestamp) -> Option<Timestamp> {
        [self.next_judged(now), self.next_write_due()].into_iter().flatten().min()
    }

    /// The earliest instant at which something is to be judged by time alone.
    pub fn next_judged(&self, now: Timestamp) -> Option<Timestamp> {
        [self.agenda.first(), self.argo.next(secs(now))].into_iter().flatten().min().map(instant)
    }

    /// When [`Self::next_write`] may have something by time alone; of no interest to who can't write now.
    pub fn next_write_due(&self) -> Option<Timestamp> {
        if !self.may_write() {
            return None;
        }
        [self.ledger.next_expiry(), self.statuses.next_due(), self.janitor.summed.next_due()]
            .into_iter()
            .flatten()
            .min()
            .map(instant)
    }

    /// The most urgent write, if any: closing and opening incidents, then statuses, events, and clearing up.
    pub fn next_write(&mut self, now: Timestamp) -> Option<Write> {
        if self.may_write() { self.pull(secs(now)) } else { None }
    }

    /// We lead, and know both what is and what has been said of it.
    fn may_write(&self) -> bool {
        self.leading && self.synced && self.ledger.listed
    }

    /// Asks for a relist; facts read before the epoch that comes back were read for policies that have changed.
    fn read_anew(&mut self) -> u32 {
        if self.epoch == 0 {
            return 0;
        }
        self.relist_wanted = true;
        self.epoch + 1
    }

    /// What surrounds a diagnosis made now.
    pub(crate) fn around(&self) -> diagnosis::Around<'_> {
        diagnosis::Around { index: &self.index, argo: &self.argo, pods: &self.pods, blind: self.blind }
    }

    pub fn no_progress_floor(&self) -> Secs {
        self.config.no_progress_floor
    }

    /// Argo's controllers, as the Watchdog object lists them.
    pub fn argo_instances(&self) -> Vec<crate::api::watchdog::ArgoInstance> {
        self.settings.argo.clone()
    }

    /// Workflows in the index.
    pub fn tracked(&self) -> usize {
        self.index.len()
    }

    pub fn is_leading(&self) -> bool {
        self.leading
    }

    pub fn is_synced(&self) -> bool {
        self.synced
    }

    /// Writes that wait now.
    pub fn writes_waiting(&self) -> usize {
        self.ledger.waiting() + self.events.len() + self.statuses.waiting()
    }

    /// The watermark to write to the Lease so that finished runs may be counted.
    pub fn watermark(&mut self) -> Option<String> {
        if self.leading { self.completions.prepare() } else { None }
    }

    fn due(&mut self, now: Timestamp) {
        let at = secs(now);
        while let Some((due, slot)) = self.agenda.pop_due(at) {
            self.index.change(slot, |facts| facts.deadline = 0);
            self.judge_at(slot, now, due);
        }
        self.argo_judged(now);
    }

    fn argo_judged(&mut self, now: Timestamp) {
        if self.argo.judge(secs(now)) {
            self.statuses.touch();
            self.judge_all(now);
        }
    }
}

/// Whole seconds, as Kubernetes keeps them.
pub fn secs(at: Timestamp) -> Secs {
    Secs::try_from(at.as_second().max(0)).unwrap_or(Secs::MAX)
}

/// The instant of whole seconds.
pub fn instant(at: Secs) -> Timestamp {
    Timestamp::from_second(i64::from(at)).unwrap_or(Timestamp::MAX)
}
