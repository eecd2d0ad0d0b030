//! Incidents: one run stuck under one policy, from confirmation to its end.
//!
//! Open incidents are never displaced; under the cap the longest-stuck runs come first. What is written is compared
//! with what the server has, so that nothing is written twice and writes stop once all is said (I21).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::facts::{Run, Uid};
use super::index::{BySlot, Slot};
use super::policy::PolicyKey;
use super::report::Holding;
use super::{instant, secs};
use crate::api::condition::{self, Condition, ConditionStatus};
use crate::api::incident::{
    HeldDetection, IncidentSpec, IncidentState, IncidentStatus, PolicyRef, WorkflowIncident, WorkflowRef,
};
use crate::api::policy::Step;
use crate::api::reasons::{CloseReason, ConditionType};
use crate::api::workflow::Secs;

pub type Id = u64;

/// What the server should be told next of an incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    Nothing,
    Open,
    Status,
    Delete,
}

#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Incident {
    pub namespace: Arc<str>,
    pub name: String,
    pub workflow: Box<str>,
    pub uid_text: String,
    pub run: Run,
    pub policy: PolicyKey,
    pub policy_uid: String,
    pub generation: i64,
    /// One copy for all incidents of a policy.
    pub steps: Arc<[Step]>,
    pub stuck_since: Secs,
    pub confirmed: bool,
    pub closed: Option<(CloseReason, Secs)>,
    pub detections: Vec<Holding>,
    /// The server has it.
    pub exists: bool,
    /// The write that is under way.
    pub flying: Want,
    pub want: Want,
    /// Place in the queue of writes.
    pub queued: Option<(u8, Secs)>,
    pub retry_at: Secs,
    pub failures: u32,
    /// The opening, or the closing, has been told as Events.
    pub told_open: bool,
    pub told_close: bool,
    /// The status that is under way.
    pub sent: Option<IncidentStatus>,
    /// As the server has it.
    pub observed: Option<IncidentStatus>,
}

#[derive(Debug, Default)]
pub struct Ledger {
    pub all: BTreeMap<Id, Incident>,
    by_uid: HashMap<Uid, Vec<Id>, RandomState>,
    by_name: HashMap<(Arc<str>, String), Id>,
    /// Stuck runs without an incident yet, the longest-stuck first.
    candidates: BTreeSet<(Secs, Slot)>,
    candidate_since: BySlot<Secs>,
    /// Incidents with something to write: (urgency, since, id).
    dirty: BTreeSet<(u8, Secs, Id)>,
    /// When closed incidents are deleted, and failed writes tried again.
    pub later: BTreeSet<(Secs, Id)>,
    next: Id,
    /// The server's incidents have all been told.
    pub listed: bool,
    /// Open and closed, and unconfirmed.
    pub confirmed: usize,
    pub unconfirmed: usize,
    /// Counts whatever may decide which incidents make place; see `make_place`.
    pub changes: u64,
    /// What `make_place` has last been done for.
    pub placed: (u64, usize),
}

impl Ledger {
    pub fn of_run(&self, uid: Uid) -> Vec<Id> {
        self.by_uid.get(&uid).cloned().unwrap_or_default()
    }

    pub fn find(&self, namespace: &Arc<str>, name: &str) -> Option<Id> {
        self.by_name.get(&(Arc::clone(namespace), name.to_owned())).copied()
    }

    pub fn insert(&mut self, incident: Incident) -> Id {
        self.changes += 1;
        self.next += 1;
        let id = self.next;
        self.by_uid.entry(incident.run.uid).or_default().push(id);
        self.by_name.insert((Arc::clone(&incident.namespace), incident.name.clone()), id);
        *self.count(incident.confirmed) += 1;
        self.all.insert(id, incident);
        id
    }

    pub fn remove(&mut self, id: Id) -> Option<Incident> {
        let incident = self.all.remove(&id)?;
        self.changes += 1;
        if let Some(ids) = self.by_uid.get_mut(&incident.run.uid) {
            ids.retain(|i| *i != id);
            if ids.is_empty() {
                self.by_uid.remove(&incident.run.uid);
            }
        }
        self.by_name.remove(&(Arc::clone(&incident.namespace), incident.name.clone()));
        *self.count(incident.confirmed) -= 1;
        if let Some((urgency, since)) = incident.queued {
            self.dirty.remove(&(urgency, since, id));
        }
        Some(incident)
    }

    pub fn confirm(&mut self, id: Id) {
        self.changes += 1;
        if let Some(incident) = self.all.get_mut(&id)
            && !incident.confirmed
        {
            incident.confirmed = true;
            self.unconfirmed -= 1;
            self.confirmed += 1;
        }
    }

    fn count(&mut self, confirmed: bool) -> &mut usize {
        if confirmed { &mut self.confirmed } else { &mut self.unconfirmed }
    }

    /// Puts an incident in the queue of writes. Closing frees places and comes first, then opening by age.
    pub fn mark(&mut self, id: Id, want: Want) {
        self.changes += 1;
        let Some(incident) = self.all.get_mut(&id) else { return };
        if want == Want::Delete && !incident.exists && incident.flying == Want::Nothing {
            self.remove(id);
            return;
        }
        // An object that is not there yet is created first.
        let want = if want == Want::Status && !incident.exists { Want::Open } else { want };
        incident.want = want;
        if want == Want::Nothing || incident.flying != Want::Nothing || incident.retry_at != 0 {
            return;
        }
        let urgency = match want {
            _ if incident.closed.is_some() && want == Want::Status => 0,
            Want::Open | Want::Status => 1,
            Want::Delete | Want::Nothing => 3,
        };
        let place = (urgency, incident.stuck_since);
        if let Some((urgency, since)) = incident.queued.replace(place) {
            self.dirty.remove(&(urgency, since, id));
        }
        self.dirty.insert((place.0, place.1, id));
    }

    /// The most urgent incident: its urgency, since when it is stuck.
    pub fn urgent(&self) -> Option<(u8, Secs)> {
        self.dirty.first().map(|(urgency, since, _)| (*urgency, *since))
    }

    pub fn pop_urgent(&mut self) -> Option<Id> {
        let (_, _, id) = self.dirty.pop_first()?;
        if let Some(incident) = self.all.get_mut(&id) {
            incident.queued = None;
        }
        Some(id)
    }

    /// A stuck run without an incident.
    pub fn add_candidate(&mut self, slot: Slot, since: Secs) {
        self.drop_candidate(slot);
        self.candidate_since.insert(slot, since);
        self.candidates.insert((since, slot));
    }

    pub fn drop_candidate(&mut self, slot: Slot) {
        if let Some(since) = self.candidate_since.remove(&slot) {
            self.candidates.remove(&(since, slot));
        }
    }

    /// The longest-stuck run without an incident.
    pub fn first_candidate(&self) -> Option<(Secs, Slot)> {
        self.candidates.first().copied()
    }

    /// We don't lead: nothing is to be written any more, and what was not written is not so.
    pub fn forget_writes(&mut self, now: Secs) {
        self.candidates.clear();
        self.candidate_since.clear();
        self.dirty.clear();
        for id in self.all.keys().copied().collect::<Vec<_>>() {
            let Some(incident) = self.all.get_mut(&id) else { continue };
            incident.queued = None;
            if incident.exists {
                self.believe(id, now);
            } else {
                self.remove(id);
            }
        }
    }

    /// Takes an incident for what the server says of it.
    pub fn believe(&mut self, id: Id, now: Secs) {
        self.changes += 1;
        let Some(incident) = self.all.get_mut(&id) else { return };
        let status = incident.observed.clone().unwrap_or_default();
        let condition = |kind| condition::find(&status.conditions, kind).filter(|c| c.status == ConditionStatus::True);
        let confirmed = condition(ConditionType::Confirmed).is_some();
        incident.closed = condition(ConditionType::Closed)
            .and_then(|c| Some((CloseReason::parse(&c.reason)?, status.closed_at.map_or(now, |t| secs(t.get())))));
        incident.stuck_since = status.stuck_since.map_or(0, |t| secs(t.get()));
        incident.detections = status.detections.iter().map(holding).collect();
        incident.told_open = confirmed;
        incident.told_close = incident.closed.is_some();
        incident.want = Want::Nothing;
        incident.flying = Want::Nothing;
        incident.retry_at = 0;
        incident.failures = 0;
        let was = std::mem::replace(&mut incident.confirmed, confirmed);
        *self.count(was) -= 1;
        *self.count(confirmed) += 1;
    }

    pub fn candidates_waiting(&self) -> usize {
        self.candidates.len()
    }

    pub fn waiting(&self) -> usize {
        self.dirty.len() + self.candidates.len()
    }

    pub fn next_expiry(&self) -> Option<Secs> {
        self.later.first().map(|(at, _)| *at)
    }

    /// (unconfirmed, open, waiting for a place or the rate limit, closed)
    pub fn counts(&self) -> (usize, usize, usize, usize) {
        let (mut open, mut closed, mut unwritten) = (0, 0, 0);
        for i in self.all.values().filter(|i| i.confirmed) {
            match (i.closed.is_some(), i.exists) {
                (true, _) => closed += 1,
                (false, true) => open += 1,
                (false, false) => unwritten += 1,
            }
        }
        (self.unconfirmed, open, unwritten + self.candidates.len(), closed)
    }
}

impl Incident {
    pub fn is_open(&self) -> bool {
        self.closed.is_none()
    }

    /// Is being deleted, or about to be.
    pub fn is_leaving(&self) -> bool {
        self.want == Want::Delete || self.flying == Want::Delete
    }

    /// The server knows whether it is confirmed.
    pub fn is_stated(&self) -> bool {
        self.observed.as_ref().is_some_and(|o| condition::find(&o.conditions, ConditionType::Confirmed).is_some())
    }

    /// The object as it is created. The status goes by its own subresource.
    pub fn object(&self) -> WorkflowIncident {
        let mut object = WorkflowIncident::new(
            &self.name,
            IncidentSpec {
                workflow_ref: WorkflowRef {
                    name: self.workflow.to_string(),
                    uid: self.uid_text.clone(),
                    started_at: (self.run.started != 0).then(|| instant(self.run.started).into()),
                },
                policy_ref: PolicyRef {
                    kind: self.policy.kind(),
                    name: self.policy.name.clone(),
                    uid: self.policy_uid.clone(),
                    generation: self.generation.max(1),
                },
                steps: self.steps.to_vec(),
                approvals: Vec::new(),
            },
        );
        object.metadata.namespace = Some(self.namespace.to_string());
        object
    }

    /// The status as it should be; conditions keep their transition times.
    pub fn status(&self, now: Secs) -> IncidentStatus {
        let at = instant(now).into();
        let mut conditions = self.observed.as_ref().map(|o| o.conditions.clone()).unwrap_or_default();
        let (status, reason, message) = if self.confirmed {
            (ConditionStatus::True, "ThresholdPassed", "The state has lasted beyond its threshold.")
        } else {
            (ConditionStatus::False, "ClockRunning", "Keeps the time since when spec.suspend is set; not stuck yet.")
        };
        condition::set(&mut conditions, Condition::new(ConditionType::Confirmed, status, reason, message, at));
        match self.closed {
            Some((reason, _)) => {
                let message = match reason {
                    CloseReason::Recovered => "No detection holds any more.",
                    CloseReason::Ended => "The run has ended.",
                    CloseReason::TargetGone => "The workflow no longer exists.",
                };
                condition::set(
                    &mut conditions,
                    Condition::new(ConditionType::Closed, ConditionStatus::True, reason.as_str(), message, at),
                );
            }
            None if condition::find(&conditions, ConditionType::Closed).is_some() => {
                let message = "The run is stuck again.";
                condition::set(
                    &mut conditions,
                    Condition::new(ConditionType::Closed, ConditionStatus::False, "Relapsed", message, at),
                );
            }
            None => {}
        }
        let state = match (self.confirmed, self.closed) {
            (false, None) => IncidentState::Unconfirmed,
            (true, None) => IncidentState::Open,
            (_, Some((CloseReason::Recovered, _))) => IncidentState::Recovered,
            (_, Some((CloseReason::Ended, _))) => IncidentState::Ended,
            (_, Some((CloseReason::TargetGone, _))) => IncidentState::TargetGone,
        };
        IncidentStatus {
            observed_generation: None,
            conditions,
            state: Some(state),
            stuck_since: Some(instant(self.stuck_since).into()),
            closed_at: self.closed.map(|(_, at)| instant(at).into()),
            detections: self.detections.iter().take(16).map(held).collect(),
            attempts: self.observed.as_ref().map(|o| o.attempts.clone()).unwrap_or_default(),
            current_step: String::new(),
            next: if self.confirmed && self.is_open() { super::survey::NEXT.to_owned() } else { String::new() },
        }
    }
}

fn holding(h: &HeldDetection) -> Holding {
    Holding {
        name: h.name.clone(),
        kind: h.kind,
        reason: h.reason,
        since: h.since.get(),
        node: h.node.clone(),
        message: h.message.clone(),
    }
}

fn held(h: &Holding) -> HeldDetection {
    HeldDetection {
        name: h.name.clone(),
        kind: h.kind,
        reason: h.reason,
        since: h.since.into(),
        node: condition::cut(&h.node, 253).to_owned(),
        message: condition::cut(&h.message, 1024).to_owned(),
    }
}
