//! Workflows come into sight, change and go; policies decide how they are read.

use std::sync::Arc;

use jiff::Timestamp;

use super::detect::locks::of_node_id;
use super::facts::{Facts, Uid};
use super::index::Slot;
use super::input::{PodSeen, PolicySeen};
use super::pods::StrayPod;
use super::policy::{Policy, PolicyKey};
use super::project::{self, Projection, template_of};
use super::{Watchdog, secs};
use crate::api::validate::Severity;
use crate::api::watchdog::Watchdog as WatchdogObject;
use crate::api::workflow::Workflow;

impl Watchdog {
    pub(super) fn list_begin(&mut self) {
        self.epoch += 1;
        self.listing = true;
        // Whatever has changed until now is what this list is read for.
        self.relist_wanted = false;
    }

    /// What the list did not show has gone (mark and sweep: no second copy).
    pub(super) fn list_end(&mut self, now: Timestamp) {
        let first = !self.synced;
        self.synced = true;
        self.listing = false;
        for slot in self.index.slots() {
            if self.index.get(slot).is_some_and(|f| f.epoch != self.epoch) {
                self.remove(slot, now);
            }
        }
        if first && self.leading {
            self.count_finished();
        }
        // Holders may have been listed after those that wait for them.
        self.judge_all(now);
        // Also of runs that went while nobody watched.
        self.settle_all(secs(now));
    }

    pub(super) fn workflow(&mut self, workflow: &Workflow<'_>, now: Timestamp) {
        let at = secs(now);
        let (uid, _) = Uid::parse(&workflow.meta.uid);
        let old_slot = self.index.find(uid);
        // Most changes leave alone what decides who governs.
        let known = old_slot.and_then(|s| self.index.get(s)).filter(|f| f.epoch == self.epoch && f.is_of(workflow));
        let is_known = known.is_some();
        let (labels, line) = if let Some(known) = known {
            (known.labels.clone(), Arc::clone(&known.line))
        } else {
            let namespace = self.pool.text(&workflow.meta.namespace);
            let labels = self.pool.labels(project::labels(workflow));
            let line = self.policies.in_line(&namespace, &labels, template_of(workflow));
            (labels, self.pool.line(&line))
        };
        let policy = line.first().and_then(|i| self.policies.get_mut(*i));
        let old = old_slot.and_then(|s| self.index.get(s));
        let projection = Projection {
            pool: &mut self.pool,
            labels,
            line: line.clone(),
            policy,
            old,
            known: is_known,
            now: at,
            epoch: self.epoch,
            live: self.synced,
            tally: &mut self.tally,
        };
        let facts = projection.facts(workflow);
        let (finished_now, appeared) = match old {
            Some(old) => (facts.is_finished() && !old.is_finished(), false),
            None => (facts.is_finished(), true),
        };
        // A retry counts too: policies say how many unfinished ones they govern.
        let moved = old.is_some_and(|old| old.line != facts.line || (old.is_finished() && !facts.is_finished()));
        self.took_up(old_slot, &facts);
        self.stop_waiting(old_slot, &facts);
        if self.leading && self.synced && facts.is_finished() && !facts.completion_counted {
            self.completions.note(&facts);
        }
        let mut facts = facts;
        facts.completion_counted |= self.leading && self.synced && facts.is_finished();
        let another = old_slot.and_then(|s| self.index.get(s)).is_none_or(|o| o.run() != facts.run());
        let slot = self.index.put(facts);
        if another {
            self.adopt_clocks(slot);
        }
        self.note_waiting(slot);
        self.janitor_seen(slot, workflow, at);
        if !self.synced {
            return;
        }
        self.judge(slot, now);
        if moved {
            self.statuses.drift();
        }
        if finished_now || appeared {
            self.statuses.drift();
            self.judge_waiters(slot, now);
        }
    }

    /// Counts how long a workflow waited before it started, once it starts.
    fn took_up(&mut self, old: Option<Slot>, facts: &Facts) {
        let waited = old.and_then(|s| self.index.get(s)).is_some_and(|o| o.started == 0 && facts.started != 0);
        let new = old.is_none() && self.synced && facts.started != 0;
        if waited || new {
            let kind = facts.workflow_type.as_deref().unwrap_or("");
            self.tally.started(kind, facts.started.saturating_sub(facts.created));
        }
    }

    pub(super) fn workflow_gone(&mut self, workflow: &Workflow<'_>, now: Timestamp) {
        let (uid, _) = Uid::parse(&workflow.meta.uid);
        if let Some(slot) = self.index.find(uid) {
            self.remove(slot, now);
        }
    }

    fn remove(&mut self, slot: Slot, now: Timestamp) {
        let Some(facts) = self.index.remove(slot) else { return };
        self.agenda.set(slot, facts.deadline, 0);
        self.ledger.drop_candidate(slot);
        self.unset_waiting(slot, &facts);
        if self.stuck.remove(&slot).is_some() | self.unknown.remove(&slot).is_some() {
            self.statuses.touch();
        }
        self.was_stuck.remove(&slot);
        self.statuses.drift();
        self.janitor_gone(slot, &facts, secs(now));
        self.run_gone(&facts, secs(now));
        self.judge_waiters_of(&facts.namespace, facts.name(), now);
    }

    fn stop_waiting(&mut self, old: Option<Slot>, new: &Facts) {
        if let Some(slot) = old
            && let Some(facts) = self.index.get(slot)
            && !facts.waiting().is_empty()
            && facts.waiting() != new.waiting()
        {
            let facts = facts.clone();
            self.unset_waiting(slot, &facts);
        }
    }

    fn note_waiting(&mut self, slot: Slot) {
        let Some(facts) = self.index.get(slot) else { return };
        for holder in named(facts) {
            let slots = self.waiters.entry(holder).or_default();
            if !slots.contains(&slot) {
                slots.push(slot);
            }
        }
    }

    fn unset_waiting(&mut self, slot: Slot, facts: &Facts) {
        for holder in named(facts) {
            if let Some(slots) = self.waiters.get_mut(&holder) {
                slots.retain(|s| *s != slot);
                if slots.is_empty() {
                    self.waiters.remove(&holder);
                }
            }
        }
    }

    fn judge_waiters(&mut self, holder: Slot, now: Timestamp) {
        let Some(facts) = self.index.get(holder) else { return };
        let (namespace, name) = (facts.namespace.clone(), facts.name().to_owned());
        self.judge_waiters_of(&namespace, &name, now);
    }

    fn judge_waiters_of(&mut self, namespace: &str, name: &str, now: Timestamp) {
        if self.waiters.is_empty() {
            return;
        }
        for slot in self.waiters.get(&(namespace.into(), name.into())).cloned().unwrap_or_default() {
            self.judge(slot, now);
        }
    }

    pub(super) fn policy(&mut self, seen: PolicySeen, now: Timestamp) {
        let PolicySeen { origin, spec, problems, status } = seen;
        let key = origin.key.clone();
        let refused = problems.iter().any(|p| p.severity == Severity::Error);
        let compiled = match &spec {
            Some(spec) if !refused => Policy::compile(origin.clone(), spec, self.config.no_progress_floor).ok(),
            _ => None,
        };
        self.statuses.seen(&origin, spec.as_ref(), problems, status, compiled.is_some());
        self.tally.policy_seen(&key.label());
        if compiled.as_ref().is_some_and(|p| p.rules.is_some()) {
            self.tally.keeper_seen(&key.label());
        }
        let Some(mut policy) = compiled else {
            if self.policies.remove(&key).is_some() {
                self.read_anew();
            }
            return;
        };
        let known = self.policies.find(&key).and_then(|i| Some((i, self.policies.get(i)?)));
        match known {
            Some((_, old)) if old.reads_as(&policy) => {
                let thresholds = old.thresholds().ne(policy.thresholds());
                // The values seen so far count towards their bound.
                policy.observe.clone_from(&old.observe);
                policy.from_epoch = old.from_epoch;
                self.policies.put(policy);
                self.janitor_look_all(secs(now));
                if thresholds {
                    self.judge_all(now);
                }
            }
            known => {
                let places = known.map(|(index, old)| (index, policy.places_of(old)));
                policy.from_epoch = self.read_anew();
                self.policies.put(policy);
                if let Some((index, places)) = places {
                    self.move_holds(index, &places);
                }
            }
        }
    }

    /// What holds under a policy is known by its place among the detections; these have changed.
    fn move_holds(&mut self, policy: u16, places: &[Option<u16>]) {
        self.stuck.retain(|_, stuck| {
            stuck.policy != policy
                || stuck.retain(|h| match places.get(usize::from(h.detection)) {
                    Some(Some(place)) => {
                        h.detection = *place;
                        true
                    }
                    _ => false,
                })
        });
    }

    pub(super) fn policy_gone(&mut self, key: &PolicyKey, now: Timestamp) {
        self.statuses.gone(key);
        if self.policies.iter().all(|(_, p)| p.key == *key || p.key.label() != key.label()) {
            self.tally.policy_gone(&key.label());
        }
        if self.policies.remove(key).is_some() {
            self.read_anew();
            self.judge_all(now);
        }
    }

    pub(super) fn settings(&mut self, object: Option<&WatchdogObject>, now: Timestamp) {
        let settings = super::input::settings(object);
        self.statuses.watchdog_seen(object);
        if settings == self.settings {
            return;
        }
        self.settings = settings;
        self.argo.set(&self.settings.argo, secs(now));
        self.janitor_look_all(secs(now));
        self.judge_all(now);
    }

    pub(super) fn pod(&mut self, seen: &PodSeen, now: Timestamp) {
        let pod = StrayPod {
            name: seen.pod.as_str().into(),
            node: super::facts::fnv32(&seen.node_id),
            finished: seen.finished,
        };
        self.pods.put(&seen.namespace, &seen.workflow, pod);
        self.judge_name(&seen.namespace, &seen.workflow, now);
    }

    pub(super) fn judge_name(&mut self, namespace: &str, workflow: &str, now: Timestamp) {
        if let Some(slot) = self.index.find_name(namespace, workflow) {
            self.judge(slot, now);
        }
    }
}

/// The workflows that the holders of a run's locks may mean: a name may be a node id of an old Argo.
fn named(facts: &Facts) -> impl Iterator<Item = (Box<str>, Box<str>)> {
    let holders = facts.waiting().iter().flat_map(|l| &l.holders);
    holders.flat_map(|(namespace, name)| {
        let names = [Some(&**name), of_node_id(name)];
        names.into_iter().flatten().map(|n| (namespace.clone(), n.into()))
    })
}
