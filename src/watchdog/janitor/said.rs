//! What is said of finished runs: events on the run and on its policy, and the counts in the policy's status.

use std::collections::{BTreeMap, HashMap};

use super::{Entry, Stage};
use crate::api::policy::{RetentionBlock, RetentionStatus};
use crate::api::reasons::{EventReason, KeepReason};
use crate::api::workflow::Secs;
use crate::watchdog::effect::{Note, Reference};
use crate::watchdog::facts::Facts;
use crate::watchdog::index::Slot;
use crate::watchdog::{Watchdog, instant};

/// Something to be said of a run.
#[derive(Clone, Debug)]
pub(super) enum Say {
    /// Whether its archive was there already.
    Archived(bool),
    Failed(String),
    /// When it is due: it may be so already.
    Scheduled(Secs),
    Simulated,
    Deleted,
    Blocked(KeepReason, String),
}

/// Why a run was deleted, as events say it.
pub(super) const DELETED: &str = "deleted: its time to live is over";

impl Watchdog {
    /// Counts it and, unless it has been said of this run, writes the events: one on the run, and one on the policy for
    /// all runs of a time.
    pub(super) fn say(&mut self, slot: Slot, say: &Say, now: Secs) {
        let Some(entry) = self.janitor.entries.get_mut(&slot) else { return };
        let Some(policy) = self.policies.get(entry.policy) else { return };
        let (label, key) = (policy.label.clone(), policy.key.clone());
        let told = &mut entry.told;
        let first = match say {
            Say::Archived(_) => !std::mem::replace(&mut told.archived, true),
            Say::Failed(_) => !std::mem::replace(&mut told.failed, true),
            Say::Scheduled(due) => std::mem::replace(&mut told.scheduled, *due) != *due,
            Say::Simulated => !std::mem::replace(&mut told.simulated, true),
            Say::Deleted => true,
            Say::Blocked(reason, _) => told.blocked.replace(*reason) != Some(*reason),
        };
        if matches!(say, Say::Archived(_)) {
            told.failed = false;
        }
        let (reason, text, warning) = match say {
            Say::Archived(already) => {
                let at = if let Stage::Kept(kept) = &entry.stage { kept.mark.key.as_str() } else { "" };
                let how = if *already { "its archive was there, and is verified" } else { "archived and verified" };
                (EventReason::Archived, format!("{how}: {at}"), false)
            }
            Say::Failed(text) => (EventReason::ArchiveFailed, text.clone(), true),
            Say::Scheduled(due) if *due <= now => {
                let text = format!("to be deleted now: its time to live was over at {}", instant(*due));
                (EventReason::DeletionScheduled, text, false)
            }
            Say::Scheduled(due) => {
                (EventReason::DeletionScheduled, format!("to be deleted at {}", instant(*due)), false)
            }
            Say::Simulated => {
                (EventReason::DeletionScheduled, "DryRun: would be deleted now; nothing is done".to_owned(), false)
            }
            Say::Deleted => (EventReason::Deleted, DELETED.to_owned(), false),
            Say::Blocked(reason, text) => (EventReason::DeleteBlocked, format!("{reason}: {text}"), true),
        };
        let keeps = if let Say::Blocked(reason, _) = say { Some(*reason) } else { None };
        let Some((workflow, related)) = self.references(slot) else { return };
        match say {
            Say::Failed(_) => self.tally.add("unstick_archive_failures_total", &[&label], 1),
            Say::Deleted => self.tally.add("unstick_deleted_runs_total", &[&label], 1),
            Say::Blocked(..) | Say::Archived(_) | Say::Scheduled(_) | Say::Simulated => {}
        }
        if !first {
            return;
        }
        self.note_of_run(Note {
            namespace: workflow.namespace.clone(),
            reason,
            regarding: workflow.clone(),
            related: related.clone(),
            text: text.clone(),
            warning,
        });
        self.say_on_policy(key, (reason, keeps, warning), (related, workflow), &text, now);
    }

    /// The run, and the policy that governs it.
    pub(super) fn references(&self, slot: Slot) -> Option<(Reference, Reference)> {
        self.references_of(self.index.get(slot)?, self.janitor.entries.get(&slot)?)
    }

    pub(super) fn references_of(&self, facts: &Facts, entry: &Entry) -> Option<(Reference, Reference)> {
        let policy = self.policies.get(entry.policy)?;
        let workflow = Reference {
            api_version: "argoproj.io/v1alpha1".to_owned(),
            kind: "Workflow".to_owned(),
            namespace: facts.kin.namespace.to_string(),
            name: facts.name().to_owned(),
            uid: facts.uid_text(),
        };
        let related = Reference {
            api_version: "unstick.dev/v1alpha1".to_owned(),
            kind: policy.key.kind().to_string(),
            namespace: policy.key.namespace.clone().unwrap_or_default(),
            name: policy.key.name.clone(),
            uid: policy.uid.clone(),
        };
        Some((workflow, related))
    }

    /// What the statuses of policies say of finished runs, by policy: all in one walk. A policy without such a section
    /// has none.
    pub(in crate::watchdog) fn retention_census(&self, now: Secs) -> HashMap<u16, RetentionStatus> {
        let mut all = HashMap::new();
        let mut blocked: BTreeMap<(u16, KeepReason), RetentionBlock> = BTreeMap::new();
        let deleted = self.tally.counters.get("unstick_deleted_runs_total");
        for (index, policy) in self.policies.iter().filter(|(_, policy)| policy.rules.is_some()) {
            let own = deleted.and_then(|s| s.get(&vec![policy.label.to_string()]));
            let deleted = own.map_or(0, |n| i64::try_from(*n).unwrap_or(i64::MAX));
            all.insert(index, RetentionStatus { deleted, ..RetentionStatus::default() });
        }
        for (slot, entry) in self.janitor.entries() {
            let Some(status) = all.get_mut(&entry.policy) else { continue };
            status.finished += 1;
            status.archived += i64::from(matches!(entry.stage, Stage::Kept(_)));
            let rules = self.policies.get(entry.policy).and_then(|p| p.rules.as_ref());
            let due = rules
                .and_then(|r| r.cleanup.as_ref()?.ttl(entry.run.phase))
                .is_some_and(|ttl| entry.run.finished != 0 && entry.run.finished.saturating_add(ttl) <= now);
            status.due += i64::from(due);
            if let Some((reason, _)) = &entry.blocked {
                let block = blocked.entry((entry.policy, *reason)).or_insert_with(|| RetentionBlock {
                    reason: *reason,
                    runs: 0,
                    example: self
                        .index
                        .get(slot)
                        .map_or_else(String::new, |f| format!("{}/{}", f.kin.namespace, f.name())),
                });
                block.runs += 1;
            }
        }
        for ((policy, _), block) in blocked {
            if let Some(status) = all.get_mut(&policy) {
                status.blocked.push(block);
            }
        }
        all
    }
}
