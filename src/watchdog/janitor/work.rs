//! Jobs are handed out, their outcomes taken: the only place where a delete is permitted.

use super::job::{Ground, Job, JobTicket, Kept, Live, Needed, Outcome, Permit, Target, Task};
use super::judge::{Due, Verdict};
use super::said::Say;
use super::{Entry, Stage};
use crate::api::policy::CleanupRequire;
use crate::api::reasons::{KeepReason, Mode};
use crate::api::workflow::Secs;
use crate::archive::verify::VerifiedArchive;
use crate::mutant;
use crate::watchdog::Watchdog;
use crate::watchdog::facts::{Facts, Uid};
use crate::watchdog::index::Slot;

/// A job that failed is tried again after this, doubled up to `LONGEST`, spread by the run's own number.
const FIRST_RETRY: Secs = 5;
const LONGEST: Secs = 600;

/// How long to wait after so many failures. Up to a quarter more by the run's own number, so that those that failed
/// together don't come back together.
pub(super) fn backoff(failures: u32, uid: Uid) -> Secs {
    let wait = FIRST_RETRY.checked_shl(failures.clamp(1, 8) - 1).unwrap_or(LONGEST).min(LONGEST);
    wait + u32::try_from(uid.0 % 64).unwrap_or(0) * wait / 256
}

/// The run that these facts are of.
pub(super) fn target_of(facts: &Facts) -> Target {
    Target {
        namespace: facts.kin.namespace.to_string(),
        name: facts.name().to_owned(),
        uid: facts.uid_text(),
        started: facts.started,
        finished: facts.finished,
    }
}

impl Watchdog {
    /// When a job may be due by time alone.
    pub fn next_job_due(&self) -> Option<Secs> {
        let free = self.may_work() && self.janitor.in_flight() < self.config.max_jobs;
        let janitor = &self.janitor;
        let now = !janitor.parting.records.is_empty() || !janitor.due.is_empty();
        let later = [janitor.agenda.first().map(|(at, ..)| *at), janitor.vanished.next_due()];
        now.then_some(0).or_else(|| later.into_iter().flatten().min()).filter(|_| free)
    }

    fn may_work(&self) -> bool {
        self.leading && self.synced
    }

    /// The next job, if there is one and a place for it.
    pub fn next_job(&mut self, now: Secs) -> Option<Job> {
        if !self.may_work() || self.janitor.in_flight() >= self.config.max_jobs {
            return None;
        }
        if let Some(target) = self.janitor.parting.records.pop_front() {
            return Some(Job { ticket: self.ticket(), target, task: Task::Record });
        }
        // What is there can still be lost, what has gone can't: of four places one is for the questions about that.
        let asks = self.janitor.next_job.is_multiple_of(4);
        if let Some(job) = if asks { self.next_question(now) } else { None } {
            return Some(job);
        }
        while let Some(slot) = self.janitor.next_due(now) {
            if let Some(job) = self.look_at(slot, now) {
                return Some(job);
            }
        }
        self.next_question(now)
    }

    fn look_at(&mut self, slot: Slot, now: Secs) -> Option<Job> {
        let entry = self.janitor.entries.get(&slot).filter(|e| e.job.is_none())?;
        let verdict = self.janitor_verdict(slot, entry, now);
        let own = match &verdict {
            Verdict::Blocked(KeepReason::Hold, ..) => entry.run.held,
            Verdict::Blocked(KeepReason::ArgoArchivePending, ..) => true,
            _ => false,
        };
        let task = match verdict {
            Verdict::Rest(at) => {
                self.unblock(slot);
                self.janitor.look(slot, at);
                return None;
            }
            Verdict::Blocked(reason, text, at) => {
                let first = reason == KeepReason::Offloaded && !entry.told.failed;
                self.block(slot, reason, &text);
                if first {
                    self.say(slot, &Say::Failed(text.clone()), now);
                }
                self.janitor.look(slot, at);
                // What keeps all runs of a policy is in its status; what keeps this one is said where it is looked for.
                if own {
                    self.say(slot, &Say::Blocked(reason, text), now);
                }
                return None;
            }
            Verdict::Announce(due) => {
                self.say(slot, &Say::Scheduled(due), now);
                self.janitor.look(slot, due);
                return None;
            }
            Verdict::Simulate => {
                self.say(slot, &Say::Simulated, now);
                return None;
            }
            Verdict::Archive(rule) => {
                let stuck_seconds = self.stuck_seconds(slot, entry.run.run);
                Task::Archive { location: rule.location, redaction: rule.redaction, events: rule.events, stuck_seconds }
            }
            Verdict::Confirm(mark) => Task::Confirm { location: self.location_of(entry)?, mark },
            Verdict::Examine => self.examination(entry)?,
        };
        self.start(slot, task)
    }

    fn due_of(&self, slot: Slot, entry: &Entry) -> Option<Secs> {
        let rule = self.policies.get(entry.policy)?.rules.as_ref()?.cleanup.as_ref()?;
        match self.may_go(slot, entry, rule) {
            Due::At(due) => Some(due),
            Due::NoTtl | Due::NoEnd | Due::AmongNewest => None,
        }
    }

    pub(super) fn location_of(&self, entry: &Entry) -> Option<String> {
        Some(self.policies.get(entry.policy)?.rules.as_ref()?.archive.as_ref()?.location.clone())
    }

    fn examination(&self, entry: &Entry) -> Option<Task> {
        let rules = self.policies.get(entry.policy)?.rules.as_ref()?;
        let proven = rules.cleanup.as_ref()?.require == CleanupRequire::Archive;
        let needed = match &rules.archive {
            Some(archive) if proven => {
                let hint = match &entry.stage {
                    Stage::Kept(kept) => Some(kept.mark.clone()),
                    _ => entry.run.mark.clone(),
                };
                Needed::Proof(archive.location.clone(), archive.redaction.clone(), hint)
            }
            Some(archive) => Needed::Facts(archive.redaction.clone()),
            None => Needed::Nothing,
        };
        Some(Task::Examine { needed })
    }

    fn start(&mut self, slot: Slot, task: Task) -> Option<Job> {
        let target = target_of(self.index.get(slot)?);
        let ticket = self.ticket();
        self.janitor.jobs.insert(ticket, slot);
        self.janitor.entries.get_mut(&slot)?.job = Some(ticket);
        Some(Job { ticket, target, task })
    }

    pub(super) fn ticket(&mut self) -> JobTicket {
        self.janitor.next_job += 1;
        JobTicket(self.janitor.next_job)
    }

    /// A job has ended; a delete that it has made possible comes back at once.
    pub fn job_ended(&mut self, ticket: JobTicket, outcome: Outcome, now: Secs) -> Option<Job> {
        self.delete_ended_late(ticket, &outcome, now);
        self.question_ended(ticket, &outcome, now);
        let slot = self.janitor.jobs.remove(&ticket)?;
        // The run may have been retried, deleted or put under another policy meanwhile: then this is of no more use.
        let entry = self.janitor.entries.get_mut(&slot).filter(|e| e.job == Some(ticket))?;
        entry.job = None;
        match outcome {
            Outcome::Kept(kept) => self.kept(slot, kept, now),
            Outcome::Unconfirmed => {
                entry.stage = Stage::Waiting;
                self.janitor.look(slot, now);
            }
            Outcome::Examined(live, proof) => return self.examined(slot, &live, proof, now),
            Outcome::NotVerified(text) => {
                entry.stage = Stage::Waiting;
                self.block(slot, KeepReason::NotVerified, &text);
                self.say(slot, &Say::Blocked(KeepReason::NotVerified, text), now);
                self.again(slot, now);
            }
            Outcome::NotArchivable(reason, text) => {
                self.block(slot, reason, &text);
                self.say(slot, &Say::Failed(text.clone()), now);
                // As it is now it won't do; a change of it is looked at at once.
                self.janitor.look(slot, now.saturating_add(3600));
            }
            Outcome::Store(reason, text) => {
                self.block(slot, KeepReason::ArchiveFailed, &format!("{reason}: {text}"));
                self.say(slot, &Say::Failed(text.clone()), now);
                self.again(slot, now);
            }
            Outcome::Deleted => self.say(slot, &Say::Deleted, now),
            // Somebody else's doing: the watch brings it, and there it is counted as what it is.
            Outcome::Gone => {}
            Outcome::Changed => {
                self.janitor.deleting.remove(&entry.run.run.uid);
                self.block(slot, KeepReason::Changed, "it changed while it was looked at");
                self.again(slot, now);
            }
            Outcome::Refused(text) => {
                self.janitor.deleting.remove(&entry.run.run.uid);
                self.block(slot, KeepReason::Refused, &text);
                self.say(slot, &Say::Blocked(KeepReason::Refused, text), now);
                self.janitor.look(slot, now.saturating_add(LONGEST));
            }
            Outcome::Unanswered(text) => {
                self.janitor.parting.unanswered.insert(entry.run.run.uid);
                self.block(slot, KeepReason::Refused, &text);
                self.again(slot, now);
            }
            Outcome::Failed(text) => {
                self.block(slot, KeepReason::Refused, &text);
                self.again(slot, now);
            }
        }
        None
    }

    fn kept(&mut self, slot: Slot, kept: Kept, now: Secs) {
        let Some(entry) = self.janitor.entries.get_mut(&slot) else { return };
        entry.failures = 0;
        let (bytes, already, finished) = (kept.stored_bytes, kept.already, entry.run.finished);
        let confirmed = already && matches!(entry.stage, Stage::Marked) && entry.run.mark.is_some();
        entry.stage = Stage::Kept(Box::new(kept));
        let label = self.policies.get(entry.policy).map(|p| p.label.clone());
        self.unblock(slot);
        if let (false, Some(label)) = (already, label) {
            self.tally.add("unstick_archived_runs_total", &[&label], 1);
            self.tally.add("unstick_archived_bytes_total", &[], bytes);
            self.tally.observe("unstick_archive_delay_seconds", &[], f64::from(now.saturating_sub(finished)));
        }
        // One that a mark named was said when it was made.
        if !confirmed {
            self.say(slot, &Say::Archived(already), now);
        }
        self.janitor.look(slot, now);
        self.statuses.drift();
    }

    /// Judges once more, with the live object: only from here a delete comes.
    fn examined(&mut self, slot: Slot, live: &Live, proof: Option<Box<VerifiedArchive>>, now: Secs) -> Option<Job> {
        let entry = self.janitor.entries.get(&slot)?;
        // It is there: what was sent for it and not answered was not done.
        self.janitor.parting.unanswered.remove(&entry.run.run.uid);
        let same = live.finished.as_ref().is_some_and(|f| f.run == entry.run.run && f.finished == entry.run.finished);
        if !same {
            self.block(slot, KeepReason::Changed, "it is not the run that was looked at");
            self.again(slot, now);
            return None;
        }
        if !self.governed_alike(slot, live) && !mutant::on("labels-of-the-watch") {
            self.block(
                slot,
                KeepReason::Changed,
                "its labels, source or outcome are others than the watch has brought",
            );
            self.again(slot, now);
            return None;
        }
        let entry = self.janitor.entries.get(&slot)?;
        // The same judgement on what is there now, not on what the watch has brought so far.
        let mut entry = entry.clone();
        entry.run = live.finished.clone()?;
        match self.janitor_verdict(slot, &entry, now) {
            Verdict::Examine => {}
            Verdict::Blocked(reason, text, at) => {
                self.block(slot, reason, &text);
                self.janitor.look(slot, if at == 0 { now.saturating_add(LONGEST) } else { at });
                return None;
            }
            _ => {
                self.janitor.look(slot, now.saturating_add(FIRST_RETRY));
                return None;
            }
        }
        if let Some(text) = self.artifacts_stop(entry.policy, live.artifacts_go) {
            self.block(slot, KeepReason::ArtifactsWouldGo, text);
            self.say(slot, &Say::Blocked(KeepReason::ArtifactsWouldGo, text.to_owned()), now);
            self.janitor.look(slot, now.saturating_add(3600));
            return None;
        }
        let policy = self.policies.get(entry.policy)?;
        let rules = policy.rules.as_ref()?;
        let cleanup = rules.cleanup.as_ref().filter(|c| c.mode == Mode::Enforce)?;
        let ground = match (cleanup.require, proof) {
            (CleanupRequire::Archive, Some(archive)) => Ground::Verified(archive),
            (CleanupRequire::Archive, None) => {
                // Asked for without a proof while the policy changed: it is examined anew.
                self.again(slot, now);
                return None;
            }
            (CleanupRequire::None, _) => {
                Ground::NotRequired { policy: policy.uid.clone(), generation: policy.generation }
            }
        };
        let budget = cleanup.budget;
        let place = rules.archive.as_ref().map(|a| a.location.clone());
        let told = place.filter(|_| cleanup.require == CleanupRequire::None).zip(live.facts.clone());
        let key = policy.key.clone();
        let name = match &key.namespace {
            Some(namespace) => format!("{}/{namespace}/{}", key.kind(), key.name),
            None => format!("{}/{}", key.kind(), key.name),
        };
        self.janitor.spent.entry(key).or_default().take(budget.as_ref(), now);
        self.janitor.deleting.insert(entry.run.run.uid);
        // Whoever was past its time when it was first seen, or when its policy changed, hears of it now.
        if let Some(due) = self.due_of(slot, &entry) {
            self.say(slot, &Say::Scheduled(due), now);
        }
        self.start(
            slot,
            Task::Delete {
                resource_version: live.resource_version.clone(),
                permit: Permit(ground),
                policy: name,
                told,
            },
        )
    }

    /// Whether the live object has the governing policy, the group and the outcome it is judged by. If not, it waits for
    /// the watch, which brings the same object and with it another judgement.
    fn governed_alike(&mut self, slot: Slot, live: &Live) -> bool {
        let Some(namespace) = self.index.get(slot).map(|f| f.kin.namespace.clone()) else { return false };
        let labels = self.pool.labels(live.labels.iter().map(|(k, v)| (k.as_str(), v.as_str())));
        let template = live.template.as_ref().map(|(kind, name)| (*kind, name.as_str()));
        let governor = self.policies.retention_of(&namespace, &labels, template);
        let (Some(entry), Some(run)) = (self.janitor.entries.get(&slot), &live.finished) else { return false };
        governor == Some(entry.policy) && (run.phase, &run.group) == (entry.run.phase, &entry.run.group)
    }

    fn again(&mut self, slot: Slot, now: Secs) {
        let Some(entry) = self.janitor.entries.get_mut(&slot) else { return };
        entry.failures += 1;
        let wait = backoff(entry.failures, entry.run.run.uid);
        self.janitor.look(slot, now.saturating_add(wait));
    }

    fn block(&mut self, slot: Slot, reason: KeepReason, text: &str) {
        let Some(entry) = self.janitor.entries.get_mut(&slot) else { return };
        if entry.blocked.as_ref().is_none_or(|(r, t)| *r != reason || t != text) {
            if entry.blocked.as_ref().is_none_or(|(r, _)| *r != reason) {
                self.tally.add("unstick_deletions_blocked_total", &[reason.as_str()], 1);
            }
            entry.blocked = Some((reason, text.to_owned()));
            self.statuses.drift();
        }
    }

    fn unblock(&mut self, slot: Slot) {
        if self.janitor.entries.get_mut(&slot).is_some_and(|e| e.blocked.take().is_some()) {
            self.statuses.drift();
        }
    }
}
