//! Verdicts become incidents, the server's incidents become ours, outcomes come back.

use std::sync::Arc;

use jiff::Timestamp;

use super::detect::suspended::keeps_clock;
use super::diagnosis::{State, look};
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
            self.statuses.restart();
            if self.synced {
                self.count_finished();
            }
            self.decide_all(now);
        }
        if was != self.leading {
            self.janitor_leads(self.leading, now);
        }
        if !self.leading {
            self.events.clear();
            self.ledger.forget_writes(now);
        }
    }

    /// Runs that finished while somebody else led, or before the first list ended: the watermark knows which of them
    /// are counted. What we had noted before we lost the Lease is not.
    pub(super) fn count_finished(&mut self) {
        for slot in self.index.slots() {
            if self.index.get(slot).is_some_and(Facts::is_finished) {
                self.index.change(slot, |facts| {
                    facts.completion_counted = true;
                    self.completions.note(facts);
                });
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
        self.settle_all(now);
    }

    /// Closes the incidents of runs that have gone, and writes what is not yet said of the others.
    pub(super) fn settle_all(&mut self, now: Secs) {
        if !self.may_write() {
            return;
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
            self.settle(id);
        }
    }

    /// Brings the incidents of one run in line with its verdict.
    pub(super) fn decide(&mut self, slot: Slot, now: Secs) {
        if !self.may_write() {
            return;
        }
        let Some(facts) = self.index.get(slot).filter(|f| !self.policies.is_stale(f)) else { return };
        self.ledger.drop_candidate(slot);
        let (run, finished) = (facts.run(), facts.is_finished());
        let verdict = self.stuck.get(&slot);
        let policy = facts.governor().and_then(|i| self.policies.get(i));
        let suspended = facts.suspended_since;
        let clock = facts.suspended_since != 0 && policy.is_some_and(|p| p.detections.iter().any(keeps_clock));
        let (since, stuck) = (verdict.map_or(0, super::stuck::Stuck::since), verdict.is_some());
        let incidents = self.ledger.of_run(run.uid);
        if incidents.is_empty() && !stuck && !clock {
            // Most runs, at each of their events.
            return;
        }
        let policy_uid = policy.map(|p| p.uid.clone());
        let current = policy_uid.and_then(|uid| self.current(run, &uid));
        for id in incidents {
            let Some(incident) = self.ledger.all.get(&id) else { continue };
            // Of two of ours the second is one whose creation was taken for failed.
            if incident.is_open() && current.is_none_or(|(is, _)| is != id) {
                // A Pending workflow that starts becomes a run of its own: it has recovered from being pending.
                let started = incident.run.started == 0 && run.started != 0;
                let reason = if incident.run == run || started { CloseReason::Recovered } else { CloseReason::Ended };
                self.close(id, reason, now);
            }
        }
        let Some((id, leaving)) = current else {
            if stuck {
                self.ledger.add_candidate(slot, since);
            } else if clock && self.ledger.unconfirmed < self.config.max_unconfirmed {
                self.open(slot, false);
            }
            return;
        };
        if leaving {
            // Once it has gone the run is looked at again.
            return;
        }
        if stuck {
            return self.hold(id, slot, now);
        }
        let undecided = self.undecided(id, slot);
        let Some(incident) = self.ledger.all.get_mut(&id) else { return };
        match (incident.confirmed, clock) {
            (true, _) if undecided => {}
            (true, _) => self.close(id, if finished { CloseReason::Ended } else { CloseReason::Recovered }, now),
            (false, false) => self.ledger.mark(id, Want::Delete),
            (false, true) => {
                if incident.stuck_since != suspended {
                    incident.stuck_since = suspended;
                    self.ledger.mark(id, Want::Status);
                }
            }
        }
    }

    /// The incident of a run under a policy that counts: the open one, else the one closed last; and whether it is
    /// on its way out.
    fn current(&self, run: Run, policy_uid: &str) -> Option<(Id, bool)> {
        let ids = self.ledger.of_run(run.uid).into_iter();
        let ours = ids.filter_map(|id| Some((id, self.ledger.all.get(&id)?)));
        ours.filter(|(_, i)| i.run == run && i.policy_uid == policy_uid)
            .max_by_key(|(id, i)| (i.is_open(), !i.is_leaving(), i.confirmed, i.closed.map(|(_, at)| at), *id))
            .map(|(id, i)| (id, i.is_leaving()))
    }

    /// Whether a detection that the incident lists can't be judged now: Unknown closes nothing.
    fn undecided(&self, id: Id, slot: Slot) -> bool {
        let Some(incident) = self.ledger.all.get(&id) else { return false };
        incident.detections.iter().any(|h| self.is_unknown(slot, &h.name))
    }

    /// A stuck run and its incident: confirm, reopen, update.
    fn hold(&mut self, id: Id, slot: Slot, now: Secs) {
        let detections = self.holdings(slot, id);
        let healthy_for = self.stuck.get(&slot).and_then(|s| self.policies.get(s.policy)).map_or(0, |p| p.healthy_for);
        let since = self.stuck.get(&slot).map_or(0, super::stuck::Stuck::since);
        let Some(incident) = self.ledger.all.get(&id) else { return };
        let (relapse, first) = (incident.closed.is_some(), !incident.confirmed);
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
        if first && (!incident.exists || incident.is_stated()) && self.ledger.confirmed >= self.config.max_incidents {
            // It waits for a place like any other; its clock goes on.
            self.ledger.add_candidate(slot, since);
            return;
        }
        self.ledger.confirm(id);
        if let Some(incident) = self.ledger.all.get_mut(&id) {
            incident.closed = None;
            if relapse || first {
                incident.stuck_since = since;
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

    /// A stuck run whose turn has come: its clock's incident is confirmed, else a new one is opened.
    pub(super) fn open_stuck(&mut self, slot: Slot, now: Secs) {
        let Some(facts) = self.index.get(slot) else { return };
        let Some(policy) = facts.governor().and_then(|i| self.policies.get(i)) else { return };
        match self.current(facts.run(), &policy.uid) {
            Some((id, false)) if self.ledger.all.get(&id).is_some_and(|i| !i.confirmed) => self.hold(id, slot, now),
            _ => self.open(slot, true),
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
        let name = incident_name(facts.name(), &uid_text, started(facts.run()), &policy.uid, instant(since));
        let incident = Incident {
            namespace: Arc::clone(&facts.namespace),
            name,
            workflow: facts.name().into(),
            uid_text,
            run: facts.run(),
            policy: policy.key.clone(),
            policy_uid: policy.uid.clone(),
            generation: policy.generation,
            steps: Arc::clone(&policy.steps),
            stuck_since: since,
            confirmed,
            closed: None,
            detections: if confirmed { self.holdings(slot, 0) } else { Vec::new() },
            exists: false,
            flying: Want::Nothing,
            want: Want::Nothing,
            queued: None,
            retry_at: 0,
            failures: 0,
            told_open: false,
            told_close: false,
            sent: None,
            observed: None,
        };
        // One of this name that is there already is on its way out; once it has gone the run is looked at again.
        if self.ledger.find(&incident.namespace, &incident.name).is_none() {
            let id = self.ledger.insert(incident);
            self.ledger.mark(id, Want::Open);
        }
    }

    pub(super) fn close(&mut self, id: Id, reason: CloseReason, now: Secs) {
        let Some(incident) = self.ledger.all.get_mut(&id) else { return };
        if incident.closed.is_some() {
            return;
        }
        if !incident.confirmed {
            self.ledger.mark(id, Want::Delete);
            return;
        }
        incident.closed = Some((reason, now));
        if incident.exists || incident.flying != Want::Nothing {
            self.tally.incident_closed(reason);
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

    /// What holds on a run, in words. What can't be judged now keeps the words that its incident has for it.
    fn holdings(&self, slot: Slot, id: Id) -> Vec<Holding> {
        let (Some(facts), Some(stuck)) = (self.index.get(slot), self.stuck.get(&slot)) else { return Vec::new() };
        let Some(policy) = self.policies.get(stuck.policy) else { return Vec::new() };
        let scene = Scene { facts, index: &self.index, pods: &self.pods };
        let mut all: Vec<_> = stuck.holds().iter().map(|h| super::survey::holding(&scene, policy, h)).collect();
        if self.unknown.contains_key(&slot)
            && let Some(incident) = self.ledger.all.get(&id)
        {
            for kept in incident.detections.iter().filter(|h| self.is_unknown(slot, &h.name)) {
                match all.iter_mut().find(|h| h.name == kept.name) {
                    Some(h) => h.clone_from(kept),
                    None => all.push(kept.clone()),
                }
            }
            all.sort_by_key(|h| h.kind);
        }
        all
    }

    /// Whether the detection of this name can't be judged now.
    fn is_unknown(&self, slot: Slot, detection: &str) -> bool {
        let Some(facts) = self.index.get(slot) else { return false };
        let Some(policy) = facts.governor().and_then(|i| self.policies.get(i)) else { return false };
        let mut named = (0..).zip(&policy.detections).filter(|(_, d)| d.name == detection);
        named.any(|(i, d)| matches!(look(facts, d, i, &self.around()), State::Unknown(_)))
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
