//! Verdicts become incidents, the server's incidents become ours, outcomes come back.

use std::sync::Arc;

use jiff::Timestamp;

use super::detect::suspended::keeps_clock;
use super::effect::{Note, Op, Reference, Ticket, Write};
use super::facts::{Facts, Run, Uid};
use super::index::Slot;
use super::input::Wrote;
use super::ledger::{Id, Incident, Want};
use super::policy::PolicyKey;
use super::report::Holding;
use super::words::Scene;
use super::{Watchdog, instant, secs};
use crate::api::condition::{self, ConditionStatus};
use crate::api::incident::{PolicyKind, WorkflowIncident, incident_name};
use crate::api::reasons::{CloseReason, ConditionType, EventReason};
use crate::api::workflow::Secs;

/// A write that failed is tried again after this, doubled up to `MAX_RETRY`.
const FIRST_RETRY: Secs = 2;
const MAX_RETRY: Secs = 300;
/// Tickets of events carry this bit, those of statuses the next one.
const EVENT: u64 = 1 << 62;
const STATUS: u64 = 1 << 61;

impl Watchdog {
    /// We lead, or we don't any more.
    pub(super) fn leading(&mut self, mark: Option<Option<String>>, now: Secs) {
        let was = self.leading;
        self.leading = mark.is_some();
        self.tally.leading = self.leading;
        if let (Some(mark), false) = (mark, was) {
            self.completions.lead(mark.as_deref(), now);
            for i in self.ledger.all.values_mut() {
                i.in_flight = false;
            }
            self.statuses.restart();
            if self.synced {
                self.count_finished();
            }
            self.decide_all(now);
        }
        if !self.leading {
            self.events.clear();
            self.ledger.forget_writes();
        }
    }

    /// Runs that finished while nobody led, or before the first list ended.
    pub(super) fn count_finished(&mut self) {
        for slot in self.index.slots() {
            if let Some(facts) = self.index.get_mut(slot)
                && facts.is_finished()
                && !facts.completion_counted
            {
                facts.completion_counted = true;
                self.completions.note(facts);
            }
        }
    }

    pub(super) fn decide_all(&mut self, now: Secs) {
        if !self.ready() {
            return;
        }
        for slot in self.index.slots() {
            self.decide(slot, now);
        }
        let gone: Vec<Id> =
            self.ledger.all.iter().filter(|(_, i)| i.is_open() && self.index.find(i.run.uid).is_none()).map(|(id, _)| *id).collect();
        for id in gone {
            self.close(id, CloseReason::TargetGone, now);
        }
        let ids: Vec<Id> = self.ledger.all.keys().copied().collect();
        for id in ids {
            self.settle(id, now);
        }
    }

    fn ready(&self) -> bool {
        self.leading && self.synced && self.ledger.listed
    }

    /// Brings the incidents of one run in line with its verdict.
    pub(super) fn decide(&mut self, slot: Slot, now: Secs) {
        if !self.ready() {
            return;
        }
        self.ledger.drop_candidate(slot);
        let Some(facts) = self.index.get(slot) else { return };
        let (run, finished) = (facts.run(), facts.is_finished());
        let verdict = self.stuck.get(&slot);
        let policy = facts.governor().and_then(|i| self.policies.get(i));
        let policy_uid = policy.map(|p| p.uid.clone());
        let unknown = self.unknown.contains_key(&slot);
        let clock = facts.suspended_since != 0 && policy.is_some_and(|p| p.detections.iter().any(keeps_clock));
        let (since, stuck) = (verdict.map_or(0, super::stuck::Stuck::since), verdict.is_some());
        let mut current = None;
        for id in self.ledger.of_run(run.uid) {
            let Some(incident) = self.ledger.all.get(&id) else { continue };
            let ours = incident.run == run && Some(&incident.policy_uid) == policy_uid.as_ref();
            if ours && incident.want != Want::Delete {
                current = Some(id);
            } else if incident.is_open() {
                // A Pending workflow that starts becomes a run of its own: it has recovered from being pending.
                let started = incident.run.uid == run.uid && incident.run.started == 0 && run.started != 0;
                let reason = if incident.run == run || started { CloseReason::Recovered } else { CloseReason::Ended };
                self.close(id, reason, now);
            }
        }
        match current {
            Some(id) if stuck => self.hold(id, slot, now),
            Some(id) => {
                let confirmed = self.ledger.all.get(&id).is_some_and(|i| i.confirmed);
                if confirmed && !unknown {
                    self.close(id, if finished { CloseReason::Ended } else { CloseReason::Recovered }, now);
                } else if !confirmed && !clock {
                    self.ledger.mark(id, Want::Delete);
                }
            }
            None if stuck => {
                self.ledger.add_candidate(slot, since);
            }
            None if clock && self.ledger.unconfirmed < self.config.max_unconfirmed => self.open(slot, false),
            None => {}
        }
    }

    /// A stuck run and its incident: confirm, reopen, update.
    fn hold(&mut self, id: Id, slot: Slot, now: Secs) {
        let detections = self.holdings(slot);
        let healthy_for = self.stuck.get(&slot).and_then(|s| self.policies.get(s.policy)).map_or(0, |p| p.healthy_for);
        let since = self.stuck.get(&slot).map_or(0, super::stuck::Stuck::since);
        let Some(incident) = self.ledger.all.get(&id) else { return };
        let relapse = incident.closed.is_some();
        if let Some((_, at)) = incident.closed {
            let fresh = incident_name(&incident.workflow, &incident.uid_text, started(incident.run), &incident.policy_uid, instant(since));
            if at.saturating_add(healthy_for) <= now && fresh != incident.name {
                self.ledger.add_candidate(slot, since);
                return;
            }
        }
        let first = !incident.confirmed;
        // An object that a restart finds without its status is confirmed by the verdict, told once.
        self.ledger.confirm(id);
        if let Some(incident) = self.ledger.all.get_mut(&id) {
            incident.closed = None;
            if relapse || first {
                incident.told_open = false;
                incident.told_close = false;
            }
            let changed = !same(&incident.detections, &detections);
            incident.detections = detections;
            if changed || relapse || first {
                self.ledger.mark(id, Want::Status);
            }
        }
    }

    /// Writes an incident of a run into the ledger; it is created when its turn comes.
    fn open(&mut self, slot: Slot, confirmed: bool) {
        let Some(facts) = self.index.get(slot) else { return };
        let Some(policy) = facts.governor().and_then(|i| self.policies.get(i)) else { return };
        let since = match self.stuck.get(&slot) {
            Some(stuck) if confirmed => stuck.since(),
            _ => facts.suspended_since,
        };
        let uid_text = facts.uid_text();
        let name = incident_name(&facts.name, &uid_text, started(facts.run()), &policy.uid, instant(since));
        let incident = Incident {
            namespace: Arc::clone(&facts.namespace),
            name,
            workflow: facts.name.clone(),
            uid_text,
            run: facts.run(),
            policy: policy.key.clone(),
            policy_uid: policy.uid.clone(),
            generation: policy.generation,
            steps: policy.steps.clone(),
            stuck_since: since,
            confirmed,
            closed: None,
            detections: if confirmed { self.holdings(slot) } else { Vec::new() },
            exists: false,
            in_flight: false,
            want: Want::Nothing,
            queued: None,
            retry_at: 0,
            failures: 0,
            told_open: false,
            told_close: false,
            observed: None,
        };
        let id = match self.ledger.find(&incident.namespace, &incident.name) {
            Some(id) => id,
            None => self.ledger.insert(incident),
        };
        self.ledger.mark(id, Want::Open);
    }

    fn close(&mut self, id: Id, reason: CloseReason, now: Secs) {
        let Some(incident) = self.ledger.all.get_mut(&id) else { return };
        if incident.closed.is_some() {
            return;
        }
        if !incident.confirmed {
            self.ledger.mark(id, Want::Delete);
            return;
        }
        incident.closed = Some((reason, now));
        self.tally.incident_closed(reason);
        if incident.exists || incident.in_flight {
            self.ledger.mark(id, Want::Status);
        } else {
            // Over before anybody was told.
            self.ledger.remove(id);
        }
    }

    pub(super) fn run_gone(&mut self, facts: &Facts, now: Secs) {
        for id in self.ledger.of_run(facts.uid) {
            if self.ready() {
                let reason = if facts.is_finished() { CloseReason::Ended } else { CloseReason::TargetGone };
                self.close(id, reason, now);
            }
        }
    }

    fn holdings(&self, slot: Slot) -> Vec<Holding> {
        let (Some(facts), Some(stuck)) = (self.index.get(slot), self.stuck.get(&slot)) else { return Vec::new() };
        let Some(policy) = self.policies.get(stuck.policy) else { return Vec::new() };
        let scene = Scene { facts, index: &self.index, pods: &self.pods };
        stuck.holds.iter().map(|h| super::survey::holding(&scene, policy, h)).collect()
    }

    /// An incident as the server has it.
    pub(super) fn incident_seen(&mut self, object: &WorkflowIncident, now: Secs) {
        let (Some(namespace), Some(name)) = (object.metadata.namespace.as_deref(), object.metadata.name.as_deref()) else { return };
        let namespace: Arc<str> = namespace.into();
        let status = object.status.clone().unwrap_or_default();
        let closed = condition::find(&status.conditions, ConditionType::Closed)
            .filter(|c| c.status == ConditionStatus::True)
            .and_then(|c| Some((CloseReason::parse(&c.reason)?, status.closed_at.map_or(now, |t| secs(t.get())))));
        let confirmed = condition::find(&status.conditions, ConditionType::Confirmed).is_some_and(|c| c.status == ConditionStatus::True);
        if let Some(id) = self.ledger.find(&namespace, name) {
            if let Some(known) = self.ledger.all.get_mut(&id) {
                known.exists = true;
                known.observed = Some(status);
            }
            if !self.leading && confirmed {
                self.ledger.confirm(id);
                if let Some(known) = self.ledger.all.get_mut(&id) {
                    known.closed = closed;
                    known.told_open = true;
                    known.told_close = closed.is_some();
                }
            }
            self.settle(id, now);
            return;
        }
        let spec = &object.spec;
        let (uid, _) = Uid::parse(&spec.workflow_ref.uid);
        let policy_namespace = (spec.policy_ref.kind == PolicyKind::WorkflowPolicy).then(|| namespace.to_string());
        let id = self.ledger.insert(Incident {
            namespace,
            name: name.to_owned(),
            workflow: spec.workflow_ref.name.as_str().into(),
            uid_text: spec.workflow_ref.uid.clone(),
            run: Run { uid, started: spec.workflow_ref.started_at.map_or(0, |t| secs(t.get())) },
            policy: PolicyKey { namespace: policy_namespace, name: spec.policy_ref.name.clone() },
            policy_uid: spec.policy_ref.uid.clone(),
            generation: spec.policy_ref.generation,
            steps: spec.steps.clone(),
            stuck_since: status.stuck_since.map_or(0, |t| secs(t.get())),
            confirmed,
            closed,
            detections: Vec::new(),
            exists: true,
            in_flight: false,
            want: Want::Nothing,
            queued: None,
            retry_at: 0,
            failures: 0,
            told_open: confirmed,
            told_close: closed.is_some(),
            observed: Some(status),
        });
        self.adopt_clock(id);
        self.settle(id, now);
    }

    /// The clock of spec.suspend that an unconfirmed incident has kept for us.
    fn adopt_clock(&mut self, id: Id) {
        let Some(incident) = self.ledger.all.get(&id) else { return };
        if incident.stuck_since == 0 {
            return;
        }
        let since = incident.stuck_since;
        if let Some(slot) = self.index.find(incident.run.uid)
            && let Some(facts) = self.index.get_mut(slot)
            && facts.suspended_since > since
        {
            facts.suspended_since = since;
        }
    }

    pub(super) fn incident_gone(&mut self, namespace: &str, name: &str, now: Secs) {
        let Some(id) = self.ledger.find(&namespace.into(), name) else { return };
        let Some(old) = self.ledger.remove(id) else { return };
        // Deleted by hand while the run is stuck: it is opened again.
        if let Some(slot) = self.index.find(old.run.uid) {
            self.decide(slot, now);
        }
    }

    /// Puts a closed incident on the list of those that expire, and writes what is not yet said.
    fn settle(&mut self, id: Id, now: Secs) {
        let ttl = self.config.incident_ttl;
        let Some(incident) = self.ledger.all.get(&id) else { return };
        if let (Some((_, at)), true) = (incident.closed, incident.exists) {
            self.ledger.later.insert((at.saturating_add(ttl), id));
        }
        if self.leading && incident.want == Want::Nothing && !incident.in_flight && incident.exists && incident.confirmed {
            let stated = condition::find(
                &incident.observed.as_ref().map(|o| o.conditions.clone()).unwrap_or_default(),
                ConditionType::Confirmed,
            )
            .is_some();
            if !stated {
                self.ledger.mark(id, Want::Status);
            }
        }
        let _ = now;
    }

    /// The most urgent write.
    pub(super) fn pull(&mut self, now: Secs) -> Option<Write> {
        self.expire(now);
        if let Some(write) = self.statuses_write(now) {
            return Some(write);
        }
        // Closing first, then by age what is open and what waits to be opened.
        let oldest = self.ledger.urgent();
        if oldest.is_none_or(|(urgency, _)| urgency >= 1)
            && self.ledger.confirmed < self.config.max_incidents
            && let Some((since, slot)) = self.ledger.first_candidate()
            && oldest.is_none_or(|(urgency, s)| urgency > 1 || since < s)
        {
            self.ledger.drop_candidate(slot);
            self.open(slot, true);
        }
        // An event belongs to what has just been written: it goes before the next opening, or it would come hours late.
        let urgent = self.ledger.urgent();
        if urgent.is_some_and(|(urgency, _)| urgency == 0 || (urgency < 3 && self.events.len() < 8) || self.events.is_empty())
            && let Some(id) = self.ledger.pop_urgent()
        {
            return self.incident_write(id, now);
        }
        let (n, note) = self.events.pop_front()?;
        Some(Write { ticket: Ticket(EVENT | n), op: Op::Event(Box::new(note)) })
    }

    fn incident_write(&mut self, id: Id, now: Secs) -> Option<Write> {
        let incident = self.ledger.all.get_mut(&id)?;
        incident.in_flight = true;
        let namespace = incident.namespace.to_string();
        let name = incident.name.clone();
        let op = match std::mem::replace(&mut incident.want, Want::Nothing) {
            Want::Open => Op::OpenIncident(Box::new(incident.object())),
            Want::Status => {
                let status = Box::new(incident.status(now));
                Op::IncidentStatus { namespace, name, closes: incident.closed.is_some(), status }
            }
            Want::Delete => Op::DeleteIncident { namespace, name },
            Want::Nothing => {
                incident.in_flight = false;
                return None;
            }
        };
        Some(Write { ticket: Ticket(id), op })
    }

    fn expire(&mut self, now: Secs) {
        while let Some((at, id)) = self.ledger.later.first().copied()
            && at <= now
        {
            self.ledger.later.pop_first();
            let ttl = self.config.incident_ttl;
            let Some(incident) = self.ledger.all.get_mut(&id) else { continue };
            if incident.retry_at != 0 && incident.retry_at <= now {
                incident.retry_at = 0;
                let want = incident.want;
                self.ledger.mark(id, want);
            } else if incident.closed.is_some_and(|(_, c)| c.saturating_add(ttl) <= now) && incident.exists {
                self.ledger.mark(id, Want::Delete);
            }
        }
        // Over the cap the oldest closed ones make place.
        if self.ledger.confirmed >= self.config.max_incidents && self.ledger.first_candidate().is_some() {
            let closed = self.ledger.all.iter().filter(|(_, i)| i.closed.is_some() && i.exists && i.want == Want::Nothing && !i.in_flight);
            if let Some(id) = closed.min_by_key(|(_, i)| i.closed.map(|(_, at)| at)).map(|(id, _)| *id) {
                self.ledger.mark(id, Want::Delete);
            }
        }
    }

    pub(super) fn wrote(&mut self, ticket: Ticket, result: Wrote, now: Secs) {
        if ticket.0 & EVENT != 0 {
            return;
        }
        if ticket.0 & STATUS != 0 {
            self.statuses.wrote(ticket.0 & !STATUS, result, now);
            return;
        }
        let id = ticket.0;
        let Some(incident) = self.ledger.all.get_mut(&id) else { return };
        incident.in_flight = false;
        match result {
            // Somebody has created it in between: it is there, that is what was wanted.
            Wrote::Done | Wrote::Conflict => {
                incident.failures = 0;
                self.went_well(id, now);
            }
            Wrote::Gone | Wrote::Refused if incident.exists || result == Wrote::Gone => {
                // The object or its namespace has gone: what is still stuck is opened anew.
                let run = incident.run;
                self.ledger.remove(id);
                if result == Wrote::Refused && let Some(slot) = self.index.find(run.uid) {
                    self.ledger.drop_candidate(slot);
                }
            }
            Wrote::Refused | Wrote::Failed | Wrote::Gone => {
                incident.failures += 1;
                let wait = FIRST_RETRY.checked_shl(incident.failures.min(8)).unwrap_or(MAX_RETRY).min(MAX_RETRY);
                let at = now.saturating_add(wait);
                incident.retry_at = at;
                if incident.want == Want::Nothing {
                    incident.want = if incident.exists { Want::Status } else { Want::Open };
                }
                self.ledger.later.insert((at, id));
            }
        }
    }

    fn went_well(&mut self, id: Id, now: Secs) {
        let Some(incident) = self.ledger.all.get_mut(&id) else { return };
        if !incident.exists {
            incident.exists = true;
            if incident.want != Want::Delete {
                incident.want = Want::Status;
            }
        } else if incident.want == Want::Nothing {
            // What has been written is on its way back as an observation; it is told once.
            incident.observed = Some(incident.status(now));
            self.tell(id);
        }
        if let Some(incident) = self.ledger.all.get(&id) {
            let want = incident.want;
            if want != Want::Nothing {
                self.ledger.mark(id, want);
            }
        }
        self.settle(id, now);
    }

    /// Events of an incident that has opened or closed: one on the workflow, one on the policy.
    fn tell(&mut self, id: Id) {
        let Some(incident) = self.ledger.all.get_mut(&id) else { return };
        if !incident.confirmed {
            return;
        }
        let reason = match incident.closed {
            None if !incident.told_open => {
                incident.told_open = true;
                EventReason::WorkflowStuck
            }
            Some(_) if !incident.told_close => {
                incident.told_close = true;
                EventReason::WorkflowRecovered
            }
            _ => return,
        };
        let workflow = Reference {
            api_version: "argoproj.io/v1alpha1".to_owned(),
            kind: "Workflow".to_owned(),
            namespace: incident.namespace.to_string(),
            name: incident.workflow.to_string(),
            uid: incident.uid_text.clone(),
        };
        let policy = Reference {
            api_version: "unstick.dev/v1alpha1".to_owned(),
            kind: incident.policy.kind().to_string(),
            namespace: incident.policy.namespace.clone().unwrap_or_default(),
            name: incident.policy.name.clone(),
            uid: incident.policy_uid.clone(),
        };
        let text = match (incident.closed, incident.detections.first()) {
            (Some((CloseReason::Recovered, _)), _) => "no longer stuck".to_owned(),
            (Some((CloseReason::Ended, _)), _) => "the run has ended".to_owned(),
            (Some((CloseReason::TargetGone, _)), _) => "the workflow no longer exists".to_owned(),
            (None, Some(h)) => format!("{} {}: {}", h.kind, h.reason, h.message),
            (None, None) => "stuck".to_owned(),
        };
        let about = format!("{}/{}: {text}", incident.namespace, incident.workflow);
        let place = incident.policy.namespace.clone().unwrap_or_else(|| "default".to_owned());
        let warning = reason == EventReason::WorkflowStuck;
        let own = incident.namespace.to_string();
        // A workflow that is gone can't be found by its events; the policy still can.
        let gone = matches!(incident.closed, Some((CloseReason::TargetGone, _)));
        if !gone {
            self.note(Note { namespace: own, reason, regarding: workflow.clone(), related: policy.clone(), text, warning });
        }
        self.note(Note { namespace: place, reason, regarding: policy, related: workflow, text: about, warning });
    }

    fn note(&mut self, note: Note) {
        if self.events.len() >= self.config.max_events {
            self.tally.add("unstick_events_total", &[note.reason.as_str(), "Dropped"], 1);
            return;
        }
        self.next_ticket += 1;
        self.events.push_back((self.next_ticket, note));
    }

    fn statuses_write(&mut self, now: Secs) -> Option<Write> {
        if self.statuses.stale(now) {
            self.refresh_statuses(now);
        }
        let (n, op) = self.statuses.pull(now)?;
        Some(Write { ticket: Ticket(STATUS | n), op })
    }
}

fn started(run: Run) -> Option<Timestamp> {
    (run.started != 0).then(|| instant(run.started))
}

/// The words of a message may move (a count of pods) without anything new to say.
fn same(a: &[Holding], b: &[Holding]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a.kind, a.reason, a.since, &a.node) == (b.kind, b.reason, b.since, &b.node))
}

