//! What cleanup would do now, run by run: the operator's own judgement, played through by a watchdog that has no hands.
//!
//! Nothing is judged here. Each run, oldest first, is put before `judge` again and again, and what the shell would answer
//! is supposed to be fine: an archive that is asked for is stored, a mark says the truth.

use std::collections::HashMap;

use super::job::Kept;
use super::judge::{Due, Verdict};
use super::rules::ArchiveRule;
use super::run::Mark;
use super::{Entry, Place, Stage};
use crate::api::policy::Artifacts;
use crate::api::reasons::{KeepReason, Mode};
use crate::api::workflow::Secs;
use crate::watchdog::Watchdog;
use crate::watchdog::facts::{Facts, Phase};
use crate::watchdog::index::Slot;

/// What would become of one finished run.
#[derive(Clone, Debug, PartialEq)]
pub struct Planned {
    pub namespace: String,
    pub name: String,
    pub uid: String,
    pub phase: Phase,
    /// 0 when Argo wrote no end.
    pub finished: Secs,
    /// `name` or `cluster/name` of the policy that governs it.
    pub policy: String,
    /// Of its cleanup, else of its archive. What follows is as if it were Enforce.
    pub mode: Mode,
    /// A mark on it names an archive at the place where the policy keeps.
    pub marked: bool,
    /// It would be archived now.
    pub archive: bool,
    pub fate: Fate,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Fate {
    Delete,
    /// Not before this time.
    Later(Secs),
    /// Kept; looked at again at that time, 0 = when something changes.
    Keep(Keep, String, Secs),
}

/// Why a run is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Keep {
    Reason(KeepReason),
    /// Among the newest of its template and outcome (`keepAtLeast`).
    KeepAtLeast,
    /// The policy has no TTL for its outcome.
    NoTtl,
    /// Argo wrote no time at which it finished.
    NoEnd,
    /// The policy archives and deletes nothing.
    NoCleanup,
    /// It is being deleted already.
    Leaving,
}

impl Keep {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reason(reason) => reason.as_str(),
            Self::KeepAtLeast => "KeepAtLeast",
            Self::NoTtl => "NoTtl",
            Self::NoEnd => "NoEnd",
            Self::NoCleanup => "NoCleanup",
            Self::Leaving => "Leaving",
        }
    }

    const fn text(self) -> &'static str {
        match self {
            // These come with a text of their own.
            Self::Reason(_) => "",
            Self::KeepAtLeast => "among the newest of its template and outcome",
            Self::NoTtl => "its policy has no ttl for this outcome",
            Self::NoEnd => "Argo wrote no time at which it finished",
            Self::NoCleanup => "its policy has no cleanup",
            Self::Leaving => "it is being deleted already",
        }
    }
}

/// Who governs archive and cleanup of a finished run.
#[derive(Clone, Debug, PartialEq)]
pub struct Keeper {
    pub policy: String,
    pub archive: Option<ArchiveRule>,
    /// `None` = it never deletes.
    pub cleanup: Option<Mode>,
    /// When its TTL is over.
    pub due: Option<Secs>,
}

impl Watchdog {
    /// Plays cleanup at `now`, budgets unspent. `artifacts_go`: whether Argo would delete artifacts with the run of this
    /// uid. The watchdog is of no use for anything else afterwards: it takes for gone what it would delete.
    pub fn plan(&mut self, artifacts_go: impl Fn(&str) -> bool, now: Secs) -> Vec<Planned> {
        let modes = self.suppose_enforced();
        let mut order: Vec<(Secs, Slot)> = self.janitor.entries().map(|(slot, e)| (e.run.finished, slot)).collect();
        order.sort_unstable();
        let mut all = Vec::with_capacity(order.len());
        for (_, slot) in order {
            let (Some(entry), Some(facts)) = (self.janitor.entries.get(&slot).cloned(), self.index.get(slot)) else {
                continue;
            };
            let Some(policy) = self.policies.get(entry.policy) else { continue };
            let mut planned = Planned {
                namespace: facts.kin.namespace.to_string(),
                name: facts.name().to_owned(),
                uid: facts.uid_text(),
                phase: entry.run.phase,
                finished: entry.run.finished,
                policy: policy.label.to_string(),
                mode: modes.get(&entry.policy).copied().unwrap_or(Mode::Observe),
                marked: false,
                archive: false,
                fate: Fate::Delete,
            };
            planned.fate = self.fate(slot, &entry, &mut planned, &artifacts_go, now);
            if planned.fate == Fate::Delete {
                self.suppose_deleted(slot, entry.policy, now);
            }
            all.push(planned);
        }
        all
    }

    /// Whether a workflow that was seen has finished.
    pub fn is_finished(&self, namespace: &str, name: &str) -> bool {
        self.index.find_name(namespace, name).and_then(|slot| self.index.get(slot)).is_some_and(Facts::is_finished)
    }

    /// Who governs a finished run that was seen; `None` when no policy with archive or cleanup does.
    pub fn keeper(&self, namespace: &str, name: &str) -> Option<Keeper> {
        let slot = self.index.find_name(namespace, name)?;
        let entry = self.janitor.entry(slot)?;
        let policy = self.policies.get(entry.policy)?;
        let rules = policy.rules.as_ref()?;
        let ttl = rules.cleanup.as_ref().and_then(|c| c.ttl(entry.run.phase));
        Some(Keeper {
            policy: policy.label.to_string(),
            archive: rules.archive.clone(),
            cleanup: rules.cleanup.as_ref().map(|c| c.mode),
            due: ttl.filter(|_| entry.run.finished != 0).map(|ttl| entry.run.finished.saturating_add(ttl)),
        })
    }

    /// Where a policy's cleanup isn't in force, it is asked what it would do if both its sections were.
    fn suppose_enforced(&mut self) -> HashMap<u16, Mode> {
        let indices: Vec<u16> = self.policies.iter().map(|(index, _)| index).collect();
        let mut modes = HashMap::new();
        for index in indices {
            let Some(rules) = self.policies.get_mut(index).and_then(|p| p.rules.as_mut()) else { continue };
            let own = rules.cleanup.as_ref().map(|c| c.mode).or_else(|| rules.archive.as_ref().map(|a| a.mode));
            modes.insert(index, own.unwrap_or(Mode::Observe));
            if let Some(cleanup) = rules.cleanup.as_mut().filter(|c| c.mode != Mode::Enforce) {
                cleanup.mode = Mode::Enforce;
                if let Some(archive) = &mut rules.archive {
                    archive.mode = Mode::Enforce;
                }
            }
        }
        modes
    }

    fn fate(
        &self,
        slot: Slot,
        entry: &Entry,
        planned: &mut Planned,
        artifacts_go: &impl Fn(&str) -> bool,
        now: Secs,
    ) -> Fate {
        let keep = |keep: Keep| Fate::Keep(keep, keep.text().to_owned(), 0);
        let mut entry = entry.clone();
        // An archive, or a mark and then an archive; what is kept isn't asked for again.
        for _ in 0..4 {
            match self.janitor_verdict(slot, &entry, now) {
                Verdict::Archive(rule) => {
                    planned.archive = true;
                    entry.stage = self.supposed_archive(&rule.location);
                }
                Verdict::Confirm(mark) => {
                    let location = self.location_of(&entry).unwrap_or_default();
                    let place = self.janitor.places.get(&location);
                    planned.marked =
                        place.is_some_and(|p| p.fingerprint.is_empty() || p.fingerprint == mark.fingerprint);
                    entry.stage = if planned.marked { self.supposed_archive(&location) } else { Stage::Waiting };
                }
                Verdict::Announce(due) => return Fate::Later(due),
                Verdict::Blocked(reason, text, at) => return Fate::Keep(Keep::Reason(reason), text, at),
                Verdict::Rest(_) => return self.rests(slot, &entry).map_or_else(keep, Fate::Later),
                Verdict::Simulate | Verdict::Examine => {
                    return match self.artifacts_stop(entry.policy, artifacts_go(&planned.uid)) {
                        Some(text) => Fate::Keep(Keep::Reason(KeepReason::ArtifactsWouldGo), text.to_owned(), 0),
                        None => Fate::Delete,
                    };
                }
            }
        }
        keep(Keep::Reason(KeepReason::NotArchived))
    }

    /// Why a run that nothing holds is left alone, or until when.
    fn rests(&self, slot: Slot, entry: &Entry) -> Result<Secs, Keep> {
        if entry.run.leaving {
            return Err(Keep::Leaving);
        }
        let rules = self.policies.get(entry.policy).and_then(|p| p.rules.as_ref());
        let Some(rule) = rules.and_then(|r| r.cleanup.as_ref()) else { return Err(Keep::NoCleanup) };
        match self.may_go(slot, entry, rule) {
            Due::At(at) => Ok(at),
            Due::NoTtl => Err(Keep::NoTtl),
            Due::NoEnd => Err(Keep::NoEnd),
            Due::AmongNewest => Err(Keep::KeepAtLeast),
        }
    }

    fn supposed_archive(&self, location: &str) -> Stage {
        let fingerprint = self.janitor.places.get(location).map_or_else(String::new, |p| p.fingerprint.clone());
        let mark = Mark { location: location.to_owned(), fingerprint, ..Mark::default() };
        Stage::Kept(Box::new(Kept { mark, ..Kept::default() }))
    }

    fn suppose_deleted(&mut self, slot: Slot, policy: u16, now: Secs) {
        if let Some(policy) = self.policies.get(policy) {
            let budget = policy.rules.as_ref().and_then(|r| r.cleanup.as_ref()?.budget);
            self.janitor.spent.entry(policy.key.clone()).or_default().take(budget.as_ref(), now);
        }
        self.janitor.forget(slot);
    }

    /// Why an end of the artifacts keeps a run: Argo would delete them with it, and its policy says Block.
    pub(super) fn artifacts_stop(&self, policy: u16, artifacts_go: bool) -> Option<&'static str> {
        let archive = self.policies.get(policy)?.rules.as_ref()?.archive.as_ref();
        let block = archive.is_none_or(|a| a.artifacts == Artifacts::Block);
        (artifacts_go && block).then_some(
            "Argo would delete its artifacts with it (artifactGC OnWorkflowDeletion) and the policy says Block",
        )
    }
}

impl Place {
    /// One of which nothing is known: it may be fine.
    pub fn unknown() -> Self {
        Self {
            ready: true,
            read_only: false,
            message: String::new(),
            fingerprint: String::new(),
            allowed: crate::api::selector::Selector::default(),
        }
    }
}
