//! What a policy says of finished runs, compiled.

use crate::api::policy::{ArchiveInclude, Artifacts, CleanupRequire, Pause, PolicySpec, Redaction};
use crate::api::reasons::Mode;
use crate::api::workflow::Secs;
use crate::watchdog::facts::Phase;

/// Archive and cleanup of one policy; either section present governs both.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rules {
    pub archive: Option<ArchiveRule>,
    pub cleanup: Option<CleanupRule>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct ArchiveRule {
    pub mode: Mode,
    pub location: String,
    pub events: bool,
    pub artifacts: Artifacts,
    pub redaction: Redaction,
}

#[derive(Clone, Debug, PartialEq)]
pub struct CleanupRule {
    pub mode: Mode,
    pub require: CleanupRequire,
    /// By outcome: Succeeded, Failed, Error; `None` = never.
    ttl: [Option<Secs>; 3],
    keep: [usize; 3],
    pub budget: Option<Budget>,
}

/// The most that is deleted in any sliding window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    pub count: usize,
    pub per: Secs,
    /// Of the finished runs the policy governs.
    pub percent: Option<usize>,
}

/// Place of an outcome in the tables above; `None` for a run that has not finished.
pub const fn outcome(phase: Phase) -> Option<usize> {
    match phase {
        Phase::Succeeded => Some(0),
        Phase::Failed => Some(1),
        Phase::Error => Some(2),
        Phase::Unset | Phase::Pending | Phase::Running => None,
    }
}

impl Rules {
    /// `None` when the policy has neither section. A period that can't be read means never: it is refused elsewhere,
    /// and here nothing unlocks a delete.
    pub fn compile(spec: &PolicySpec) -> Option<Self> {
        let archive = spec.archive.as_ref().map(|a| ArchiveRule {
            mode: a.mode,
            location: a.location.clone(),
            events: a.include.contains(&ArchiveInclude::Events),
            artifacts: a.artifacts,
            redaction: a.redaction.clone().unwrap_or_default(),
        });
        let cleanup = spec.cleanup.as_ref().map(|c| {
            let keep = c.keep_at_least.clone().unwrap_or_default();
            let least = |n: Option<i32>| usize::try_from(n.unwrap_or(0)).unwrap_or(0);
            let period = |p: &Option<crate::api::period::Period>| {
                p.as_ref().and_then(crate::api::period::Period::seconds).map(|s| Secs::try_from(s).unwrap_or(Secs::MAX))
            };
            CleanupRule {
                mode: c.mode,
                require: c.require,
                ttl: [period(&c.ttl.succeeded), period(&c.ttl.failed), period(&c.ttl.error)],
                keep: [least(keep.succeeded), least(keep.failed), least(keep.error)],
                budget: c.max_deletes.as_ref().map(|m| Budget {
                    count: usize::try_from(m.count).unwrap_or(0),
                    per: m.per.seconds().and_then(|s| Secs::try_from(s).ok()).unwrap_or(Secs::MAX),
                    percent: m.percent.map(|p| usize::try_from(p).unwrap_or(0)),
                }),
            }
        });
        (archive.is_some() || cleanup.is_some()).then_some(Self { archive, cleanup })
    }
}

impl CleanupRule {
    pub fn ttl(&self, phase: Phase) -> Option<Secs> {
        *self.ttl.get(outcome(phase)?)?
    }

    pub fn keep(&self, phase: Phase) -> usize {
        outcome(phase).and_then(|o| self.keep.get(o).copied()).unwrap_or(0)
    }
}

/// The first pause that is active at `now`.
pub fn paused(pauses: &[Pause], now: Secs) -> Option<&Pause> {
    pauses.iter().find(|p| p.until.is_none_or(|until| until.get().as_second() > i64::from(now)))
}
