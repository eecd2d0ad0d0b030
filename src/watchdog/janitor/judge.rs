//! One pure decision: what is to be done with a finished run now.
//!
//! Everything that keeps a run stands here; only what passes all of it is examined, and is judged once more with the
//! live object before it is deleted.

use super::rules::{ArchiveRule, CleanupRule, paused};
use super::run::Mark;
use super::{Entry, Stage};
use crate::api::policy::CleanupRequire;
use crate::api::reasons::{KeepReason, Mode};
use crate::api::workflow::Secs;
use crate::mutant;
use crate::watchdog::Watchdog;
use crate::watchdog::index::Slot;
use crate::watchdog::policy::Policy;

/// What is to be done now.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// Nothing, until then; 0 = until something changes.
    Rest(Secs),
    /// Something keeps it; looked at again then.
    Blocked(KeepReason, String, Secs),
    Archive(ArchiveRule),
    Confirm(Mark),
    /// Say that it will be deleted at this time.
    Announce(Secs),
    /// Mode `DryRun`: say that it would be deleted now.
    Simulate,
    /// Read it and prove its archive: it may go.
    Examine,
}

/// When a run may go, as far as its end, its policy's TTL and those that are newer tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// The policy has no TTL for its outcome.
    NoTtl,
    /// Argo wrote no end.
    NoEnd,
    /// `keepAtLeast` keeps it.
    AmongNewest,
    At(Secs),
}

/// How long until something that keeps a run is looked at again by time alone.
const AGAIN: Secs = 60;

impl Watchdog {
    /// Judges a finished run under the policy that governs it now.
    pub(super) fn janitor_verdict(&self, slot: Slot, entry: &Entry, now: Secs) -> Verdict {
        let Some(policy) = self.policies.get(entry.policy) else { return Verdict::Rest(0) };
        let Some(rules) = &policy.rules else { return Verdict::Rest(0) };
        if entry.run.leaving {
            return Verdict::Rest(0);
        }
        let mut kept_back = None;
        if let Some(rule) = &rules.archive
            && !self.is_kept(entry, rule)
        {
            match self.archive_verdict(entry, policy, rule, now) {
                Verdict::Rest(_) => {}
                blocked @ Verdict::Blocked(..) => kept_back = Some(blocked),
                work => return work,
            }
        }
        let Some(rule) = &rules.cleanup else { return kept_back.unwrap_or(Verdict::Rest(0)) };
        match self.cleanup_verdict(slot, entry, policy, rule, now) {
            // What keeps it from being archived is the better thing to say.
            Verdict::Rest(at) => kept_back.unwrap_or(Verdict::Rest(at)),
            Verdict::Blocked(KeepReason::NotArchived, text, at) => {
                kept_back.unwrap_or(Verdict::Blocked(KeepReason::NotArchived, text, at))
            }
            other => other,
        }
    }

    /// Its archive is known, and at the place where the location points now.
    fn is_kept(&self, entry: &Entry, rule: &ArchiveRule) -> bool {
        let Stage::Kept(kept) = &entry.stage else { return false };
        let place = self.janitor.places.get(&rule.location);
        let here = place.is_none_or(|p| p.fingerprint.is_empty() || p.fingerprint == kept.mark.fingerprint);
        kept.mark.location == rule.location && (here || mutant::on("fingerprint-ignored"))
    }

    fn archive_verdict(&self, entry: &Entry, policy: &Policy, rule: &ArchiveRule, now: Secs) -> Verdict {
        let blocked = |reason, text: String| Verdict::Blocked(reason, text, now.saturating_add(AGAIN));
        if rule.mode != Mode::Enforce {
            return Verdict::Rest(0);
        }
        if let Some(stop) = self.nothing_now(policy, entry, now) {
            return stop;
        }
        if entry.run.offloaded && !mutant::on("offloaded-accepted") {
            let text = "its nodes are in Argo's database: an archive would be hollow, so it stays";
            return Verdict::Blocked(KeepReason::Offloaded, text.to_owned(), 0);
        }
        if let Some(stop) = self.place_blocks(entry, &rule.location) {
            return blocked(stop.0, stop.1);
        }
        match (&entry.stage, &entry.run.mark) {
            (Stage::Marked, Some(mark)) => Verdict::Confirm(mark.clone()),
            _ => Verdict::Archive(rule.clone()),
        }
    }

    fn cleanup_verdict(&self, slot: Slot, entry: &Entry, policy: &Policy, rule: &CleanupRule, now: Secs) -> Verdict {
        let blocked = |reason, text: &str| Verdict::Blocked(reason, text.to_owned(), now.saturating_add(AGAIN));
        let run = &entry.run;
        let Due::At(due) = self.may_go(slot, entry, rule) else { return Verdict::Rest(0) };
        if now < due {
            let ttl = rule.ttl(run.phase).unwrap_or(0);
            let notice = due.saturating_sub((ttl / 10).clamp(1, 86_400));
            let tell = rule.mode == Mode::Enforce && !run.held && entry.told.scheduled != due;
            return match (tell, now >= notice) {
                (true, true) => Verdict::Announce(due),
                (true, false) => Verdict::Rest(notice),
                (false, _) => Verdict::Rest(due),
            };
        }
        if run.held && !mutant::on("hold-ignored") {
            return Verdict::Blocked(KeepReason::Hold, "annotation unstick.dev/hold keeps it".to_owned(), 0);
        }
        let namespace = self.index.get(slot).map_or("", |f| &*f.kin.namespace);
        if let Some(text) = self.janitor.held.get(namespace)
            && !mutant::on("hold-ignored")
        {
            return Verdict::Blocked(KeepReason::Hold, format!("its namespace is on hold: {text}"), 0);
        }
        match rule.mode {
            Mode::Observe => return Verdict::Rest(0),
            Mode::DryRun if mutant::on("dry-run-acts") => {}
            Mode::DryRun if entry.told.simulated => return Verdict::Rest(0),
            Mode::DryRun => return Verdict::Simulate,
            Mode::Enforce => {}
        }
        if let Some(stop) = self.nothing_now(policy, entry, now) {
            return stop;
        }
        if let Some(why) = self.deaf(now) {
            return blocked(KeepReason::Blind, &why);
        }
        if self.index.get(slot).is_none_or(|f| self.policies.is_outdated(f.epoch)) {
            return blocked(KeepReason::Changed, "policies have changed; all workflows are being read again");
        }
        if rule.require == CleanupRequire::Archive {
            let Some(archive) = policy.rules.as_ref().and_then(|r| r.archive.as_ref()) else {
                return blocked(KeepReason::NotArchived, "the policy asks for an archive and names no location");
            };
            if !self.is_kept(entry, archive) {
                return blocked(KeepReason::NotArchived, "it has no archive yet");
            }
            if let Some((reason, text)) = self.place_blocks(entry, &archive.location) {
                return blocked(reason, &text);
            }
        }
        if let Some(budget) = &rule.budget {
            let matched = self.janitor.groups.count(entry.policy);
            let spent = self.janitor.spent.get(&policy.key).cloned().unwrap_or_default();
            let led = if mutant::on("budget-unspent-after-restart") { 0 } else { self.janitor.led_since };
            let free = spent.free_at(budget, matched, led, now);
            if free > now {
                let text = "maxDeletes is used up for now".to_owned();
                return Verdict::Blocked(KeepReason::BudgetExceeded, text, free);
            }
        }
        Verdict::Examine
    }

    /// When it may go by time and number.
    pub(super) fn may_go(&self, slot: Slot, entry: &Entry, rule: &CleanupRule) -> Due {
        let run = &entry.run;
        let Some(ttl) = rule.ttl(run.phase) else { return Due::NoTtl };
        if run.finished == 0 {
            return Due::NoEnd;
        }
        if self.janitor.groups.is_among_newest(entry.policy, run, slot, rule.keep(run.phase)) {
            return Due::AmongNewest;
        }
        let created = self.index.get(slot).map_or(run.finished, |f| f.created);
        let from = if mutant::on("ttl-from-creation") { created } else { run.finished };
        Due::At(from.saturating_add(ttl))
    }

    /// Pauses, Argo's own archive and our own blindness hold everything.
    fn nothing_now(&self, policy: &Policy, entry: &Entry, now: Secs) -> Option<Verdict> {
        let again = now.saturating_add(AGAIN);
        if let Some(reason) = self.blind
            && !mutant::on("skew-ignored")
        {
            return Some(Verdict::Blocked(KeepReason::Blind, format!("nothing is done while {reason}"), again));
        }
        let pause = paused(&self.settings.pauses, now).or_else(|| paused(&policy.pauses, now));
        if let Some(pause) = pause
            && !mutant::on("pause-ignored")
        {
            let until = pause.until.and_then(|t| Secs::try_from(t.get().as_second()).ok()).unwrap_or(again);
            let text = format!("pause {}: {}", pause.name, pause.reason);
            return Some(Verdict::Blocked(KeepReason::Paused, text, until));
        }
        if entry.run.argo_pending && !mutant::on("archiving-status-ignored") {
            let text = "Argo has not put it into its own archive yet".to_owned();
            return Some(Verdict::Blocked(KeepReason::ArgoArchivePending, text, 0));
        }
        None
    }

    /// Why nothing of this namespace can be stored at, or be deleted on the strength of, a location.
    fn place_blocks(&self, entry: &Entry, location: &str) -> Option<(KeepReason, String)> {
        let not = KeepReason::LocationNotReady;
        let Some(place) = self.janitor.places.get(location) else {
            return Some((not, format!("ArchiveLocation {location:?} is not there")));
        };
        let slot = self.index.find(entry.run.run.uid)?;
        let namespace = self.index.get(slot).map_or("", |f| &*f.kin.namespace);
        if !self.policies.admits(&place.allowed, namespace) {
            let text = format!("ArchiveLocation {location:?} doesn't admit namespace {namespace:?}");
            return Some((KeepReason::LocationNotAllowed, text));
        }
        if !place.ready {
            return Some((not, format!("ArchiveLocation {location:?} is not ready: {}", place.message)));
        }
        place.read_only.then(|| (not, format!("ArchiveLocation {location:?} is read-only")))
    }
}
