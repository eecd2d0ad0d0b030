//! What the shell knows and the core doesn't: requests, watches, writes, the clock.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::bounds;
use crate::api::reasons::closed;
use crate::api::workflow::Secs;
use crate::watchdog::effect::Op;
use crate::watchdog::input::Wrote;
use crate::watchdog::secs;
use crate::watchdog::tally::Tally;

/// Series of each family with a series per workflow, unless configured otherwise.
pub const SERIES_CAP: usize = 300;

/// Kubernetes verbs, as the API server's own metrics name them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    Get,
    List,
    Watch,
    Create,
    Update,
    Patch,
    Delete,
}

closed! {
    /// Why a watch was opened again.
    RestartCause {
        /// The server ended it, as it does every few minutes.
        Closed,
        /// 410: the resource version is too old.
        Expired,
        /// Nothing came for too long.
        Timeout,
        /// The connection broke or could not be made.
        Failed,
        /// An error event in the stream, or an error instead of one.
        ServerError,
    }
}

/// Plain data, owned by the loop.
#[derive(Debug)]
pub struct Process {
    /// Most series of each family with a series per workflow.
    pub series_cap: usize,
    /// Own clock minus the API server's, seconds; `None` before its first answer.
    pub clock_skew: Option<i64>,
    pub(super) tally: Tally,
    /// Last sign of life of each watch.
    pub(super) alive: BTreeMap<&'static str, Secs>,
}

impl Default for Process {
    fn default() -> Self {
        Self { series_cap: SERIES_CAP, clock_skew: None, tally: Tally::new(bounds), alive: BTreeMap::new() }
    }
}

impl Process {
    /// `series_cap`: most series of each per-workflow family.
    pub fn new(series_cap: usize) -> Self {
        Self { series_cap, ..Self::default() }
    }

    /// What is counted where requests are sent.
    pub fn take_over(&mut self, counted: &Tally) {
        for (family, series) in &counted.counters {
            self.tally.counters.insert(family, series.clone());
        }
        for (family, series) in &counted.histograms {
            self.tally.histograms.insert(family, series.clone());
        }
    }

    /// An event, a bookmark or the end of a list: the watch of `resource` is alive.
    pub fn alive(&mut self, resource: &'static str, now: Timestamp) {
        let at = self.alive.entry(resource).or_default();
        *at = (*at).max(secs(now));
    }

    pub fn restarted(&mut self, cause: RestartCause) {
        self.tally.add("unstick_watch_restarts_total", &[cause.as_str()], 1);
    }

    pub fn relisted(&mut self, resource: &'static str) {
        self.tally.add("unstick_relists_total", &[resource], 1);
    }

    /// An object that could not be read at all was skipped.
    pub fn poison(&mut self, resource: &'static str) {
        self.tally.add("unstick_poison_objects_total", &[resource], 1);
    }

    /// A workflow had `n` fields of a type that Argo never writes.
    pub fn odd(&mut self, n: u32) {
        self.tally.add("unstick_workflow_oddities_total", &[], u64::from(n));
    }

    /// A write has ended. Events that the core drops are counted there.
    pub fn wrote(&mut self, op: &Op, result: Wrote) {
        let operation = match op {
            Op::OpenIncident(_) => "Open",
            Op::IncidentStatus { closes: true, .. } => "Close",
            Op::IncidentStatus { .. } => "Update",
            Op::DeleteIncident { .. } => "Delete",
            Op::Event(note) => {
                // 409: the same Event is there already.
                let sent = matches!(result, Wrote::Done | Wrote::Conflict);
                let key = [note.reason.as_str(), if sent { "Sent" } else { "Failed" }];
                return self.tally.add("unstick_events_total", &key, 1);
            }
            Op::PolicyStatus { .. } | Op::WatchdogStatus(_) => return,
        };
        let result = match (op, result) {
            (_, Wrote::Done) | (Op::DeleteIncident { .. }, Wrote::Gone) => "Done",
            (_, Wrote::Conflict) => "Conflict",
            (_, Wrote::Gone | Wrote::Refused | Wrote::Failed) => "Failed",
        };
        self.tally.add("unstick_incident_writes_total", &[operation, result], 1);
    }
}

impl Verb {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Watch => "watch",
            Self::Create => "create",
            Self::Update => "update",
            Self::Patch => "patch",
            Self::Delete => "delete",
        }
    }
}
