//! What policies and the Watchdog object say of themselves. Written only when it differs from what the server has, and
//! each at most once in `Config::status_every`.

use std::collections::BTreeMap;

use super::effect::Op;
use super::input::Wrote;
use super::policy::{Origin, PolicyKey};
use super::policy_seen::Seen;
use super::{Watchdog, instant};
use crate::api::condition::{self, Condition, ConditionStatus};
use crate::api::policy::{DetectionCount, PolicySpec, PolicyStatus, RetentionStatus};
use crate::api::reasons::{ArgoState, ConditionReason, ConditionType, Mode, UnknownReason};
use crate::api::validate::{Problem, Severity, not_in_force};
use crate::api::watchdog::{ArgoHealth, Watchdog as WatchdogObject, WatchdogStatus};
use crate::api::workflow::Secs;

#[derive(Debug)]
struct Entry {
    n: u64,
    generation: i64,
    served: bool,
    mode: Mode,
    problems: Vec<Problem>,
    not_in_force: Vec<(&'static str, Mode)>,
    observed: PolicyStatus,
    wanted: Option<PolicyStatus>,
    written_at: Secs,
    in_flight: bool,
}

#[derive(Debug, Default)]
pub struct Statuses {
    policies: BTreeMap<PolicyKey, Entry>,
    watchdog: Option<(i64, WatchdogStatus)>,
    watchdog_wanted: Option<WatchdogStatus>,
    watchdog_written: Secs,
    watchdog_in_flight: bool,
    refresh_at: Option<Secs>,
    refreshed: Secs,
    next: u64,
    every: Secs,
}

/// Ticket of the Watchdog object's status.
const WATCHDOG: u64 = 0;
/// An operator for one namespace reads no kind of the cluster.
const NO_LOCATIONS: &str = "archive is not in force: an operator for one namespace (--namespace) reads no ArchiveLocation. \
     Nothing is archived here, and nothing deleted where an archive is asked for. Install the operator for the whole \
     cluster (deploy/install.yaml), or say cleanup.require: None.";
/// How often what is said is worked out anew.
const REFRESH: Secs = 2;
/// The same for counts alone: each workflow that comes or goes moves one.
const DRIFT: Secs = 30;

impl Statuses {
    pub fn seen(
        &mut self,
        origin: &Origin,
        spec: Option<&PolicySpec>,
        problems: Vec<Problem>,
        status: Option<PolicyStatus>,
        served: bool,
    ) {
        self.next += 1;
        let old = self.policies.remove(&origin.key);
        let fresh = Entry {
            n: old.as_ref().map_or(self.next, |o| o.n),
            generation: origin.generation,
            served,
            mode: spec.and_then(|s| s.remediation.as_ref()).map_or(Mode::Observe, |r| r.mode),
            problems,
            not_in_force: spec.map(not_in_force).unwrap_or_default(),
            observed: status.unwrap_or_default(),
            wanted: None,
            written_at: old.as_ref().map_or(0, |o| o.written_at),
            in_flight: old.as_ref().is_some_and(|o| o.in_flight),
        };
        self.policies.insert(origin.key.clone(), fresh);
        self.touch();
    }

    /// What the server has now of a known policy's status. What we wrote ourselves is nothing new.
    pub fn observed(&mut self, key: &PolicyKey, status: PolicyStatus) {
        if let Some(entry) = self.policies.get_mut(key)
            && entry.observed != status
        {
            entry.observed = status;
            self.touch();
        }
    }

    pub fn gone(&mut self, key: &PolicyKey) {
        self.policies.remove(key);
        self.touch();
    }

    pub fn watchdog_seen(&mut self, object: Option<&WatchdogObject>) {
        self.watchdog = object.map(|o| (o.metadata.generation.unwrap_or(1), o.status.clone().unwrap_or_default()));
        self.touch();
    }

    /// Something has changed that is to be said soon.
    pub fn touch(&mut self) {
        self.refresh_in(REFRESH);
    }

    /// A count or a next threshold may have changed.
    pub fn drift(&mut self) {
        self.refresh_in(DRIFT);
    }

    fn refresh_in(&mut self, after: Secs) {
        let at = self.refreshed.saturating_add(after);
        self.refresh_at = Some(self.refresh_at.map_or(at, |known| known.min(at)));
    }

    /// We lead from now on. What was under way when we last did may not have arrived: it is said again.
    pub fn restart(&mut self) {
        self.touch();
        for e in self.policies.values_mut() {
            if std::mem::take(&mut e.in_flight) {
                e.observed = PolicyStatus::default();
            }
        }
        if std::mem::take(&mut self.watchdog_in_flight) {
            self.forget_watchdog();
        }
    }

    fn forget_watchdog(&mut self) {
        if let Some((_, observed)) = &mut self.watchdog {
            *observed = WatchdogStatus::default();
        }
    }

    pub fn stale(&self, now: Secs) -> bool {
        self.refresh_at.is_some_and(|at| at <= now)
    }

    pub fn next_due(&self) -> Option<Secs> {
        let write = self
            .policies
            .values()
            .filter(|e| e.wanted.is_some() && !e.in_flight)
            .map(|e| e.written_at.saturating_add(self.every))
            .min();
        let own = self.watchdog_wanted.as_ref().map(|_| self.watchdog_written.saturating_add(self.every));
        [self.refresh_at, write, own].into_iter().flatten().min()
    }

    pub fn waiting(&self) -> usize {
        self.policies.values().filter(|e| e.wanted.is_some()).count() + usize::from(self.watchdog_wanted.is_some())
    }

    pub fn pull(&mut self, now: Secs) -> Option<(u64, Op)> {
        let every = self.every;
        let due = |written: Secs| written == 0 || written.saturating_add(every) <= now;
        if due(self.watchdog_written)
            && let Some(status) = self.watchdog_wanted.take()
        {
            self.watchdog_written = now;
            self.watchdog_in_flight = true;
            if let Some((_, observed)) = &mut self.watchdog {
                *observed = status.clone();
            }
            return Some((WATCHDOG, Op::WatchdogStatus(Box::new(status))));
        }
        let (key, entry) =
            self.policies.iter_mut().find(|(_, e)| e.wanted.is_some() && !e.in_flight && due(e.written_at))?;
        let status = entry.wanted.take()?;
        entry.written_at = now;
        entry.in_flight = true;
        entry.observed = status.clone();
        Some((entry.n, Op::PolicyStatus { key: key.clone(), status: Box::new(status) }))
    }

    pub fn wrote(&mut self, n: u64, result: Wrote, now: Secs) {
        if n == WATCHDOG {
            self.watchdog_in_flight = false;
            if result == Wrote::Failed {
                self.touch();
                self.watchdog_written = now;
                self.forget_watchdog();
            }
            return;
        }
        if let Some(entry) = self.policies.values_mut().find(|e| e.n == n) {
            entry.in_flight = false;
            if result == Wrote::Failed {
                entry.observed = PolicyStatus::default();
                self.touch();
            }
        }
    }

    /// (served, refused)
    pub fn counts(&self) -> (usize, usize) {
        let served = self.policies.values().filter(|e| e.served).count();
        (served, self.policies.len() - served)
    }

    pub fn readiness(&self) -> impl Iterator<Item = (&PolicyKey, bool)> {
        self.policies.iter().map(|(k, e)| (k, e.served))
    }
}

impl Watchdog {
    pub(super) fn refresh_statuses(&mut self, now: Secs) {
        self.statuses.refresh_at = None;
        self.statuses.refreshed = now;
        self.statuses.every = self.config.status_every;
        let mut census = self.census();
        let unfinished = census.unfinished;
        let mut retention = self.retention_census(now);
        let stated: Vec<_> = self
            .statuses
            .policies
            .keys()
            .filter_map(|key| {
                let index = self.policies.find(key);
                let found = index.map(|i| census.take(i)).unwrap_or_default();
                let kept = index.and_then(|i| retention.remove(&i));
                Some((key.clone(), self.policy_status(key, (index, kept), &found, now)?))
            })
            .collect();
        for (key, status) in stated {
            if let Some(entry) = self.statuses.policies.get_mut(&key) {
                entry.wanted = (entry.observed != status).then_some(status);
            }
        }
        self.janitor.sooner.forget_old(now);
        self.statuses.refresh_at = self.janitor.sooner.next();
        let own = self.watchdog_status(now, unfinished);
        if let Some((_, observed)) = &self.statuses.watchdog {
            self.statuses.watchdog_wanted = (*observed != own).then_some(own);
        }
    }

    fn policy_status(
        &self,
        key: &PolicyKey,
        (index, retention): (Option<u16>, Option<RetentionStatus>),
        seen: &Seen<'_>,
        now: Secs,
    ) -> Option<PolicyStatus> {
        let entry = self.statuses.policies.get(key)?;
        let mut conditions = entry.observed.conditions.clone();
        let at = instant(now).into();
        let mut say = |kind, status, reason: ConditionReason, message: &str| {
            condition::set(
                &mut conditions,
                Condition::new(kind, status, reason.as_str(), message, at).of_generation(entry.generation),
            );
        };
        let errors: Vec<_> = entry.problems.iter().filter(|p| p.severity == Severity::Error).collect();
        let warnings: Vec<_> =
            entry.problems.iter().filter(|p| p.severity == Severity::Warning).map(ToString::to_string).collect();
        if let Some(first) = errors.first() {
            let more = if errors.len() > 1 { format!(" (and {} more)", errors.len() - 1) } else { String::new() };
            let message = format!("{first}{more}. Nothing is done under this policy.");
            say(ConditionType::Ready, ConditionStatus::False, first.reason, &message);
            say(ConditionType::Stalled, ConditionStatus::True, first.reason, &message);
        } else {
            let (reason, mut message) = if seen.governs_nothing() {
                (ConditionReason::NoMatch, "In force; no unfinished workflow matches its selector.".to_owned())
            } else if seen.matched == 0 {
                (ConditionReason::NoMatch, "In force; other policies govern every workflow it matches.".to_owned())
            } else {
                (ConditionReason::Active, "In force.".to_owned())
            };
            if !warnings.is_empty() {
                message = format!("{message} Mind: {}", warnings.join("; "));
            }
            say(ConditionType::Ready, ConditionStatus::True, reason, &message);
            say(ConditionType::Stalled, ConditionStatus::False, ConditionReason::Active, "");
        }
        say(ConditionType::Reconciling, ConditionStatus::False, ConditionReason::Active, "");
        let mut missing = Vec::new();
        if !entry.not_in_force.is_empty() {
            let sections: Vec<_> = entry.not_in_force.iter().map(|(s, m)| format!("{s} ({m})")).collect();
            let sections = sections.join(", ");
            missing.push(format!("Accepted, but not in force yet in this version: {sections}. It observes only."));
        }
        let archives = index.and_then(|i| self.policies.get(i)?.rules.as_ref()?.archive.as_ref()).is_some();
        if archives && self.config.namespace.is_some() {
            missing.push(NO_LOCATIONS.to_owned());
        }
        if missing.is_empty() {
            conditions.retain(|c| c.kind != ConditionType::NotInForce.as_str());
        } else {
            let message = missing.join(" ");
            condition::set(
                &mut conditions,
                Condition::new(
                    ConditionType::NotInForce,
                    ConditionStatus::True,
                    ConditionReason::NotImplemented.as_str(),
                    &message,
                    at,
                )
                .of_generation(entry.generation),
            );
        }
        if let Some((reason, message)) = self.too_short(key, now) {
            let kind = ConditionType::TtlTooShort;
            let said = Condition::new(kind, ConditionStatus::True, reason.as_str(), &message, at);
            condition::set(&mut conditions, said.of_generation(entry.generation));
        } else {
            conditions.retain(|c| c.kind != ConditionType::TtlTooShort.as_str());
        }
        let detections = index.and_then(|i| self.policies.get(i)).map(|p| {
            let each = (0..).zip(&p.detections);
            each.map(|(i, d)| DetectionCount {
                name: d.name.clone(),
                stuck: seen.per_detection.get(&i).copied().unwrap_or(0),
            })
            .collect()
        });
        Some(PolicyStatus {
            observed_generation: Some(entry.generation),
            conditions,
            mode: Some(entry.mode),
            matched: seen.matched,
            stuck: seen.stuck,
            governed_elsewhere: seen.governed_elsewhere(),
            oldest_stuck: seen.oldest_stuck(),
            next: seen.next(),
            detections: detections.unwrap_or_default(),
            retention,
        })
    }

    fn watchdog_status(&self, now: Secs, unfinished: i64) -> WatchdogStatus {
        let (generation, observed) = self.statuses.watchdog.clone().unwrap_or_default();
        let (_, open, waiting, _) = self.ledger.counts();
        let mut conditions = observed.conditions.clone();
        let at = instant(now).into();
        let down: Vec<_> =
            self.argo.instances().iter().filter(|i| i.state == ArgoState::Down).map(|i| i.spec.name.as_str()).collect();
        let (status, reason, message) = match self.blind {
            Some(UnknownReason::ClockSkew) => (
                ConditionStatus::False,
                "ClockSkew",
                "The clock here and the API server's differ by more than 30 s: nothing is judged. Correct the clocks."
                    .to_owned(),
            ),
            Some(reason) => (
                ConditionStatus::False,
                reason.as_str(),
                "The watch of workflows is stale: nothing is judged until it is back.".to_owned(),
            ),
            None if !down.is_empty() => (
                ConditionStatus::False,
                "ControllerDown",
                format!(
                    "Argo controller down: {}. Only suspensions, ages and blocked deletions are still detected.",
                    down.join(", ")
                ),
            ),
            None => (ConditionStatus::True, "Active", "Watching.".to_owned()),
        };
        condition::set(
            &mut conditions,
            Condition::new(ConditionType::Ready, status, reason, &message, at).of_generation(generation),
        );
        let argo = self.argo.instances().iter().map(|i| ArgoHealth {
            name: i.spec.name.clone(),
            state: i.state,
            // Kept while the state is the same, so that a restart writes nothing.
            since: observed
                .argo
                .iter()
                .find(|o| o.name == i.spec.name && o.state == i.state)
                .map_or(instant(i.since).into(), |o| o.since),
            message: match i.state {
                ArgoState::Unknown => "neither Lease nor metrics address is there to ask".to_owned(),
                ArgoState::Down => "no sign of life for 60 s".to_owned(),
                ArgoState::Up => String::new(),
            },
        });
        WatchdogStatus {
            observed_generation: Some(generation),
            conditions,
            leader: self.config.identity.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            argo: argo.collect(),
            argo_state: self.argo.in_words(),
            tracked: unfinished,
            stuck: i64::try_from(self.stuck.len()).unwrap_or(i64::MAX),
            incidents: i64::try_from(open + waiting).unwrap_or(i64::MAX),
            acted24h: 0,
        }
    }
}
