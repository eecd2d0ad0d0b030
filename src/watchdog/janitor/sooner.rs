//! `TtlTooShort`: Argo itself would delete a run sooner than its archive can be expected.
//!
//! ```text
//!   ttlStrategy of the run, its template or the controller's defaults      known of each run as it ends
//!   history limits of its CronWorkflow                                     so many further runs at its quickest pace
//!   retentionPolicy of its controller                                      the newest N are tracked; who falls out, and when
//! ```
//!
//! Said of the policy that governs archiving, in whatever mode: a condition for as long as such runs come, and an event when
//! it begins. What can't be seen is not spoken of.

use std::collections::{BTreeMap, HashMap};

use super::rules::outcome;
use super::schedule;
use crate::api::argo_deletes::{CronSpec, RetentionPolicy};
use crate::api::policy::SourceKind;
use crate::api::reasons::{ConditionReason, EventReason};
use crate::api::workflow::Secs;
use crate::watchdog::Watchdog;
use crate::watchdog::effect::Note;
use crate::watchdog::facts::Uid;
use crate::watchdog::health::instance_of;
use crate::watchdog::index::Slot;
use crate::watchdog::policy::PolicyKey;

/// An archive can be expected this long after the end of a run: one job may take as long.
pub const EXPECTED: Secs = 300;
/// So long after the last such run it is said no more.
const LASTS: Secs = 25 * 3600;
/// More runs than that are not tracked; nobody finishes so many in [`EXPECTED`].
const MOST: usize = 10_000;

const OUTCOMES: [&str; 3] = ["Succeeded", "Failed", "Error"];

/// The limits of a `CronWorkflow` that are too tight: how many of its runs stay, and how soon others push one out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CronLimits {
    kept: [usize; 2],
    within: [Option<Secs>; 2],
}

impl CronLimits {
    /// `None` when no run is pushed out too soon, or its schedules can't be read.
    pub fn of(spec: &CronSpec<'_>) -> Option<Self> {
        if spec.suspend {
            return None;
        }
        let kept = spec.kept();
        let within = kept.map(|n| schedule::quickest(spec.all_schedules(), n).filter(|secs| *secs < EXPECTED));
        within.iter().any(Option::is_some).then_some(Self { kept, within })
    }
}

/// What Argo is told elsewhere, as last read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ArgoDeletes {
    /// By `namespace/name`; only those that are too tight.
    pub crons: HashMap<String, CronLimits>,
    /// By instance id.
    pub retention: BTreeMap<String, RetentionPolicy>,
}

/// What was read, and what is said because of it.
#[derive(Debug, Default)]
pub struct Sooner {
    argo: ArgoDeletes,
    said: BTreeMap<(PolicyKey, ConditionReason), Said>,
    /// The newest finished runs by instance and outcome: created, and when each finished. Argo deletes the oldest first.
    newest: HashMap<(String, usize), BTreeMap<(Secs, Uid), Secs>>,
}

#[derive(Debug)]
struct Said {
    text: String,
    /// Whose runs: when one of them shows that it isn't so any more, it is taken back.
    of: String,
    at: Secs,
}

impl Sooner {
    /// Conditions of a policy: the first reason, and all that is to be said.
    pub fn condition(&self, policy: &PolicyKey, now: Secs) -> Option<(ConditionReason, String)> {
        let mut all = self.said.iter().filter(|((key, _), s)| key == policy && s.at.saturating_add(LASTS) > now);
        let ((_, reason), first) = all.next()?;
        let texts: Vec<&str> = std::iter::once(first).chain(all.map(|(_, s)| s)).map(|s| s.text.as_str()).collect();
        Some((*reason, texts.join(" ")))
    }

    /// When the first thing said is over by time alone.
    pub fn next(&self) -> Option<Secs> {
        self.said.values().map(|s| s.at.saturating_add(LASTS)).min()
    }

    pub fn forget_old(&mut self, now: Secs) {
        self.said.retain(|_, s| s.at.saturating_add(LASTS) > now);
    }

    /// A run has finished: those that Argo deletes because of it, and how long after their end.
    fn pushed_out(&mut self, instance: &str, outcome: usize, run: (Secs, Uid), finished: Secs) -> Option<(Uid, Secs)> {
        let kept =
            self.argo.retention.get(instance).map(RetentionPolicy::kept).and_then(|k| k.get(outcome).copied())?;
        if kept > MOST {
            return None;
        }
        let newest = self.newest.entry((instance.to_owned(), outcome)).or_default();
        newest.insert(run, finished);
        let mut soon = None;
        while newest.len() > kept
            && let Some(((_, uid), ended)) = newest.pop_first()
        {
            soon = Some((uid, finished.saturating_sub(ended)));
        }
        soon
    }
}

impl Watchdog {
    /// What Argo is told elsewhere was read anew.
    pub(in crate::watchdog) fn argo_deletes(&mut self, argo: ArgoDeletes, now: Secs) {
        let sooner = &mut self.janitor.sooner;
        if sooner.argo == argo {
            return;
        }
        sooner.newest.retain(|(instance, _), _| argo.retention.contains_key(instance));
        sooner.said.retain(|(_, reason), said| match reason {
            ConditionReason::HistoryLimit => argo.crons.contains_key(&said.of),
            ConditionReason::RetentionPolicy => argo.retention.contains_key(&said.of),
            _ => true,
        });
        sooner.argo = argo;
        let known: Vec<Slot> = self.janitor.entries().map(|(slot, _)| slot).collect();
        for slot in known {
            self.sooner_seen(slot, now);
        }
        self.statuses.touch();
    }

    /// A finished run was seen.
    pub(super) fn sooner_seen(&mut self, slot: Slot, now: Secs) {
        self.by_retention(slot, now);
        let (Some(entry), Some(facts)) = (self.janitor.entries.get(&slot), self.index.get(slot)) else { return };
        let (run, namespace) = (&entry.run, &facts.kin.namespace);
        let Some(outcome) = outcome(run.phase) else { return };
        let ttl = run.argo_ttl.filter(|ttl| *ttl < EXPECTED);
        // Of nearly all runs nothing is to be said, and nothing to be taken back.
        if ttl.is_none() && self.janitor.sooner.said.is_empty() && self.janitor.sooner.argo.crons.is_empty() {
            return;
        }
        let (what, phase) = (format!("{namespace}/{}", facts.name()), run.phase.as_str());
        let of = format!("{}/{phase}", run.group);
        let ttl = ttl.map(|ttl| {
            format!(
                "Argo deletes {what} {ttl} s after its end, perhaps before it is archived: set its ttlStrategy (or its \
                 template's, or the controller's workflowDefaults) to {EXPECTED} s or more, or remove it."
            )
        });
        self.sooner(slot, ConditionReason::WorkflowTtl, of, ttl, now);
        let Some(entry) = self.janitor.entries.get(&slot) else { return };
        let namespace = what.split('/').next().unwrap_or_default();
        let from = format!("{namespace}/{}/", SourceKind::CronWorkflow);
        let Some(cron) = entry.run.group.strip_prefix(&from) else { return };
        let of = format!("{namespace}/{cron}");
        let limits = self.janitor.sooner.argo.crons.get(&of);
        let (which, field) =
            if outcome == 0 { (0, "successfulJobsHistoryLimit") } else { (1, "failedJobsHistoryLimit") };
        let tight = limits.and_then(|l| Some((l.kept.get(which)?, (*l.within.get(which)?)?)));
        // Its other outcome may be the one that is too tight: nothing is taken back here.
        let Some((kept, within)) = tight else { return };
        let text = format!(
            "CronWorkflow {of} keeps {kept} runs that end as {what} did ({phase}), and starts others within {within} s: \
             raise its {field}, or run it less often."
        );
        self.sooner(slot, ConditionReason::HistoryLimit, of, Some(text), now);
    }

    /// The controller's `retentionPolicy`, whatever policy of ours governs the run that has just finished.
    fn by_retention(&mut self, slot: Slot, now: Secs) {
        if self.janitor.sooner.argo.retention.is_empty() {
            return;
        }
        let Some(facts) = self.index.get(slot) else { return };
        let (Some(outcome), true) = (outcome(facts.phase), facts.finished != 0) else { return };
        let instance = instance_of(facts).to_owned();
        let run = (facts.created, facts.uid);
        let finished = facts.finished;
        let (reason, listed) = (ConditionReason::RetentionPolicy, self.synced);
        let Some((uid, after)) = self.janitor.sooner.pushed_out(&instance, outcome, run, finished) else { return };
        // In a list runs come in any order.
        if !listed || after >= EXPECTED {
            return;
        }
        let Some(slot) = self.index.find(uid) else { return };
        let Some(facts) = self.index.get(slot) else { return };
        let text = format!(
            "The retentionPolicy of the Argo controller leaves few runs that end as {}/{} did ({}): {after} s after its end \
             so many others had ended that Argo deletes it. Raise it in the controller's ConfigMap.",
            facts.kin.namespace,
            facts.name(),
            OUTCOMES.get(outcome).copied().unwrap_or_default(),
        );
        self.sooner(slot, reason, instance, Some(text), now);
    }

    /// Says it, says it still, or takes it back.
    fn sooner(&mut self, slot: Slot, reason: ConditionReason, of: String, text: Option<String>, now: Secs) {
        let Some(policy) = self.janitor.entries.get(&slot).and_then(|e| self.policies.get(e.policy)) else { return };
        if policy.rules.as_ref().is_none_or(|r| r.archive.is_none()) {
            return;
        }
        let key = (policy.key.clone(), reason);
        let said = &mut self.janitor.sooner.said;
        match (text, said.get_mut(&key)) {
            (Some(_), Some(known)) => known.at = now,
            (Some(text), None) => {
                said.insert(key, Said { text: text.clone(), of, at: now });
                self.statuses.touch();
                self.tell_sooner(slot, &text);
            }
            (None, Some(known)) if known.of == of => {
                said.remove(&key);
                self.statuses.touch();
            }
            (None, _) => {}
        }
    }

    /// One event on the run and one on its policy.
    fn tell_sooner(&mut self, slot: Slot, text: &str) {
        let Some((workflow, policy)) = self.references(slot) else { return };
        let place = if policy.namespace.is_empty() { "default".to_owned() } else { policy.namespace.clone() };
        for (namespace, regarding, related) in
            [(workflow.namespace.clone(), workflow.clone(), policy.clone()), (place, policy, workflow)]
        {
            let (reason, text) = (EventReason::TtlTooShort, text.to_owned());
            self.note(Note { namespace, reason, regarding, related, text, warning: true });
        }
    }

    /// What a policy says of it; what is over is forgotten.
    pub(in crate::watchdog) fn too_short(&self, policy: &PolicyKey, now: Secs) -> Option<(ConditionReason, String)> {
        let governs = self.policies.find(policy).and_then(|i| self.policies.get(i)?.rules.as_ref()?.archive.as_ref());
        governs.and_then(|_| self.janitor.sooner.condition(policy, now))
    }
}
