//! Verdicts become incidents, the server's incidents become ours, outcomes come back.

use std::sync::Arc;

use jiff::Timestamp;

use super::detect::suspended::keeps_clock;
use super::facts::{Facts, Run};
use super::index::Slot;
use super::ledger::{Id, Incident, Want};
use super::report::Holding;
use super::words::Scene;
use super::{Watchdog, instant};
use crate::api::incident::incident_name;
use crate::api::reasons::CloseReason;
use crate::api::workflow::Secs;

impl Watchdog {
    /// We lead, or we don't any more.
    pub(super) fn leading(&mut self, mark: Option<super::input::Watermark>, now: Secs) {
        let was = self.leading;
        self.leading = mark.is_some();
        self.tally.leading = self.leading;
        if let (Some(mark), false) = (mark, was) {
            self.completions.lead(mark.as_deref(), now);
            for i in self.ledger.all.values_mut() {
                i.in_flight = None;
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
        if !self.may_write() {
            return;
        }
        for slot in self.index.slots() {
            self.decide(slot, now);
        }
        let gone: Vec<Id> = self
            .ledger
            .all
            .iter()
            .filter(|(_, i)| i.is_open() && self.index.find(i.run.uid).is_none())
            .map(|(id, _)| *id)
            .collect();
        for id in gone {
            self.close(id, CloseReason::TargetGone, now);
        }
        let ids: Vec<Id> = self.ledger.all.keys().copied().collect();
        for id in ids {
            self.settle(id, now);
        }
    }

    /// Brings the incidents of one run in line with its verdict.
    pub(super) fn decide(&mut self, slot: Slot, now: Secs) {
        if !self.may_write() {
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
            let fresh = incident_name(
                &incident.workflow,
                &incident.uid_text,
                started(incident.run),
                &incident.policy_uid,
                instant(since),
            );
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
    pub(super) fn open(&mut self, slot: Slot, confirmed: bool) {
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
            in_flight: None,
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
        if incident.exists || incident.in_flight.is_some() {
            self.ledger.mark(id, Want::Status);
        } else {
            // Over before anybody was told.
            self.ledger.remove(id);
        }
    }

    pub(super) fn run_gone(&mut self, facts: &Facts, now: Secs) {
        for id in self.ledger.of_run(facts.uid) {
            if self.may_write() {
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
}

fn started(run: Run) -> Option<Timestamp> {
    (run.started != 0).then(|| instant(run.started))
}

/// The words of a message may move (a count of pods) without anything new to say.
fn same(a: &[Holding], b: &[Holding]) -> bool {
    a.len() == b.len()
        && a.iter().zip(b).all(|(a, b)| (a.kind, a.reason, a.since, &a.node) == (b.kind, b.reason, b.since, &b.node))
}
