//! Verdicts: which runs are stuck now, and what changes when one comes to be or recovers.

use std::sync::Arc;

use jiff::Timestamp;

use super::detect::locks;
use super::diagnosis::{Around, Diagnosis, Hold, diagnose};
use super::facts::Run;
use super::index::Slot;
use super::{Watchdog, secs};
use crate::api::reasons::{DetectionType, Reason};
use crate::api::workflow::Secs;

/// A run that is stuck now.
#[derive(Clone, Debug)]
pub struct Stuck {
    pub run: Run,
    /// Index of the policy.
    pub policy: u16,
    /// That of the run.
    pub namespace: Arc<str>,
    /// Never empty.
    holds: Vec<Hold>,
    /// What the holds say in short: scrapes ask for it of each run that is stuck.
    since: Secs,
    shown: (DetectionType, Reason),
}

impl Stuck {
    /// `None` when nothing holds.
    pub fn new(run: Run, policy: u16, namespace: Arc<str>, holds: Vec<Hold>) -> Option<Self> {
        let (since, shown) = in_short(&holds)?;
        Some(Self { run, policy, namespace, holds, since, shown })
    }

    /// All that hold, the one shown first; never empty.
    pub fn holds(&self) -> &[Hold] {
        &self.holds
    }

    /// Since when the run has been stuck: the oldest state that holds.
    pub const fn since(&self) -> Secs {
        self.since
    }

    /// What is shown first.
    pub const fn shown(&self) -> (DetectionType, Reason) {
        self.shown
    }

    /// Keeps those that `keep` says; false when none is left.
    pub fn retain(&mut self, keep: impl FnMut(&mut Hold) -> bool) -> bool {
        self.holds.retain_mut(keep);
        let short = in_short(&self.holds);
        if let Some((since, shown)) = short {
            (self.since, self.shown) = (since, shown);
        }
        short.is_some()
    }
}

fn in_short(holds: &[Hold]) -> Option<(Secs, (DetectionType, Reason))> {
    let first = holds.first()?;
    Some((holds.iter().map(|h| h.since).min()?, (first.kind, first.reason)))
}

impl Watchdog {
    pub(super) fn judge_all(&mut self, now: Timestamp) {
        if !self.synced {
            return;
        }
        for slot in self.index.slots() {
            self.judge(slot, now);
        }
    }

    /// Something asks for a judgement; a deadline that has passed unseen meanwhile is met with it.
    pub(super) fn judge(&mut self, slot: Slot, now: Timestamp) {
        let deadline = self.index.get(slot).map_or(0, |f| f.deadline);
        self.judge_at(slot, now, if deadline <= secs(now) { deadline } else { 0 });
    }

    /// Judges one run; `due` is the deadline that has just passed, 0 when something else asks.
    pub(super) fn judge_at(&mut self, slot: Slot, now: Timestamp, due: Secs) {
        let at = secs(now);
        self.mark_wedged(slot, at);
        let Some(facts) = self.index.get(slot) else { return };
        if self.policies.is_stale(facts) {
            // The relist that was asked for will read it anew.
            return;
        }
        let policy = facts.governor().and_then(|i| Some((i, self.policies.get(i)?)));
        let verdict = match policy {
            Some((_, p)) => {
                let around = Around { index: &self.index, argo: &self.argo, pods: &self.pods, blind: self.blind };
                diagnose(facts, p, &around, at)
            }
            None => Diagnosis::default(),
        };
        let governor = policy.map_or(u16::MAX, |(i, _)| i);
        let (run, old_deadline) = (facts.run(), facts.deadline);
        self.agenda.set(slot, old_deadline, verdict.next);
        if old_deadline != verdict.next {
            self.index.change(slot, |facts| facts.deadline = verdict.next);
            self.statuses.drift();
        }
        self.learn(slot, run, governor, verdict, now, due);
        self.decide(slot, at);
    }

    fn learn(&mut self, slot: Slot, run: Run, governor: u16, mut verdict: Diagnosis, now: Timestamp, due: Secs) {
        let unknown_before = match verdict.unknown {
            Some(reason) => self.unknown.insert(slot, reason),
            None => self.unknown.remove(&slot),
        };
        let before = self.stuck.get(&slot);
        let known = before.filter(|b| b.run == run && b.policy == governor).map_or(&[][..], |b| b.holds());
        verdict.keep_undecided(known);
        let new: Vec<_> =
            verdict.holds.iter().filter(|h| known.iter().all(|k| k.detection != h.detection)).cloned().collect();
        if self.leading
            && let Some(policy) = self.policies.get(governor)
        {
            for hold in &new {
                self.tally.detected(&policy.label.clone(), hold.kind);
                if due != 0 && hold.due == due {
                    let lag = now.as_duration().as_secs_f64() - f64::from(due);
                    self.tally.lag(lag.max(0.0));
                }
            }
        }
        // What was said of another run, or under another policy, is no longer so either.
        let was_stuck = before.is_some();
        let taken_back = was_stuck && known.is_empty();
        let changed = taken_back || known != verdict.holds.as_slice() || unknown_before != verdict.unknown;
        let namespace = self.index.get(slot).map(|f| Arc::clone(&f.namespace)).filter(|_| !verdict.holds.is_empty());
        if let Some(stuck) = namespace.and_then(|ns| Stuck::new(run, governor, ns, verdict.holds)) {
            self.stuck.insert(slot, stuck);
        } else if was_stuck && let Some(over) = self.stuck.remove(&slot).filter(|over| over.run == run) {
            self.no_longer_stuck(slot, &over, secs(now));
        }
        if changed {
            self.statuses.touch();
        }
    }

    /// Adds up how long a run was stuck; one that has ended, until its end.
    fn no_longer_stuck(&mut self, slot: Slot, over: &Stuck, now: Secs) {
        let finished = self.index.get(slot).map_or(0, |f| f.finished);
        let end = if finished == 0 { now } else { finished };
        let all = self.was_stuck.entry(slot).or_insert((over.run, 0));
        if all.0 != over.run {
            *all = (over.run, 0);
        }
        all.1 = all.1.saturating_add(end.saturating_sub(over.since()));
    }

    /// How long a run was seen stuck; `None` when nothing is known of it. What was before we started is known by its
    /// incidents: the longest of them, for two of one time would count it twice.
    pub(super) fn stuck_seconds(&self, slot: Slot, run: Run) -> Option<i64> {
        let own = self.was_stuck.get(&slot).filter(|(of, _)| *of == run).map(|(_, seconds)| i64::from(*seconds));
        let finished = self.index.get(slot).map_or(0, |f| f.finished);
        let ended = if finished == 0 { Secs::MAX } else { finished };
        let ids = self.ledger.of_run(run.uid);
        let incidents = ids.iter().filter_map(|id| self.ledger.all.get(id));
        let told = incidents.filter(|i| i.run == run && i.confirmed && i.stuck_since != 0).filter_map(|incident| {
            let end = incident.closed.map_or(Secs::MAX, |(_, at)| at).min(ended);
            (end != Secs::MAX).then(|| i64::from(end.saturating_sub(incident.stuck_since)))
        });
        own.max(told.max())
    }

    /// Keeps our own clock of a lock without a live holder.
    fn mark_wedged(&mut self, slot: Slot, now: Secs) {
        let Some(facts) = self.index.get(slot) else { return };
        if facts.waiting().is_empty() {
            return;
        }
        let since = match locks::dead(facts, &self.index) {
            None => 0,
            Some((lock, Reason::HolderFinished)) => lock
                .holders
                .iter()
                .filter_map(|(ns, name)| Some(self.index.get(locks::holder(&self.index, ns, name)?)?.finished))
                .max()
                .unwrap_or(now)
                .max(facts.created),
            Some(_) => now,
        };
        self.index.change(slot, |facts| {
            if let Some(rare) = facts.rare.as_mut()
                && (since == 0 || rare.wedged_since == 0)
            {
                rare.wedged_since = since;
            }
        });
    }
}
