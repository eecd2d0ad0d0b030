//! What happens: everything the watchdog learns, it learns as one of these.

use std::collections::BTreeMap;

use super::effect::Ticket;
use super::policy::{Origin, PolicyKey};
use crate::api::incident::WorkflowIncident;
use crate::api::policy::{PolicySpec, PolicyStatus};
use crate::api::reasons::UnknownReason;
use crate::api::validate::Problem;
use crate::api::watchdog::{Watchdog as WatchdogObject, WatchdogSpec};
use crate::api::workflow::{Secs, Workflow};

/// A policy as the server has it.
#[derive(Debug)]
pub struct PolicySeen {
    pub origin: Origin,
    /// The spec, when it can be read.
    pub spec: Option<PolicySpec>,
    /// What is wrong with it; any error makes it not Ready.
    pub problems: Vec<Problem>,
    /// Its status as stored, so that nothing is written twice.
    pub status: Option<PolicyStatus>,
}

/// A finished pod that Argo has not acknowledged.
#[derive(Debug)]
pub struct PodSeen {
    pub namespace: String,
    pub workflow: String,
    pub pod: String,
    pub node_id: String,
    pub finished: Secs,
}

/// How a write ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrote {
    Done,
    /// 409: it exists already, or somebody wrote in between.
    Conflict,
    /// 404: the target, its namespace or the CRD is not there.
    Gone,
    /// The server refused what was sent; the same again would be refused again.
    Refused,
    /// No answer, a time-out, 429 or 5xx: it may be tried again.
    Failed,
}

#[derive(Debug)]
pub enum Input<'a> {
    /// A relist begins: what it doesn't show is gone when it ends.
    ListBegin,
    ListEnd,
    Workflow(&'a Workflow<'a>),
    WorkflowGone(&'a Workflow<'a>),
    /// It exists, but can't be read: what is known of it stays.
    WorkflowUnreadable {
        uid: &'a str,
    },
    Policy(Box<PolicySeen>),
    /// Nothing of a known policy has changed but what is said of it: most often our own word come back.
    PolicyStatus(PolicyKey, Option<Box<PolicyStatus>>),
    PolicyGone(PolicyKey),
    Namespace {
        name: String,
        labels: Option<BTreeMap<String, String>>,
    },
    /// The text of a namespace's `unstick.dev/hold`.
    NamespaceHeld {
        name: String,
        hold: Option<String>,
    },
    /// An `ArchiveLocation` as it was last tried; `None` = it has gone.
    Place {
        name: String,
        place: Option<Box<super::janitor::Place>>,
    },
    /// What Argo itself deletes, as far as it could be read.
    ArgoDeletes(Box<super::janitor::sooner::ArgoDeletes>),
    /// The Watchdog object; `None` = defaults.
    Settings(Option<Box<WatchdogObject>>),
    Incident(Box<WorkflowIncident>),
    IncidentGone {
        namespace: String,
        name: String,
    },
    /// Every incident that exists has been told.
    IncidentsListed,
    Pod(PodSeen),
    PodGone {
        namespace: String,
        workflow: String,
        pod: String,
    },
    /// A pod of which only the name is known has gone.
    PodVanished {
        namespace: String,
        pod: String,
    },
    ArgoLease {
        namespace: String,
        name: String,
        renewed: Option<Secs>,
    },
    ArgoMetrics {
        instance: String,
        answered: bool,
    },
    /// We lead, with the watermark found on the Lease; or we don't.
    Leading(Option<Watermark>),
    /// Nothing can be said of any run, or it can again.
    Blind(Option<UnknownReason>),
    /// A kind that decides what may be deleted is heard, or why it isn't.
    Rules {
        source: &'static str,
        failing: Option<String>,
    },
    Wrote {
        ticket: Ticket,
        result: Wrote,
    },
    /// The watermark that was asked for is on the Lease.
    WatermarkDurable,
    Tick,
}

/// The watermark found on the Lease; `None` = none was there.
pub type Watermark = Option<String>;

/// Settings for the watchdog of this process.
#[derive(Clone, Debug)]
pub struct Config {
    /// Least `after` of `NoProgress`; 40 min outside of tests.
    pub no_progress_floor: Secs,
    /// Most incidents that exist at once, closed ones included.
    pub max_incidents: usize,
    /// Most unconfirmed incidents.
    pub max_unconfirmed: usize,
    /// How long a closed incident stays.
    pub incident_ttl: Secs,
    /// Least time between two writes of one status.
    pub status_every: Secs,
    /// Name of this replica.
    pub identity: String,
    /// `Some` in single-namespace mode.
    pub namespace: Option<String>,
    /// Events that wait to be sent; more are dropped and counted.
    pub max_events: usize,
    /// Runs that are archived, examined or deleted at once.
    pub max_jobs: usize,
    /// Nothing is deleted when rules gave no sign of life for longer.
    pub deaf_after: Secs,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            no_progress_floor: 2400,
            max_incidents: 1000,
            max_unconfirmed: 2000,
            incident_ttl: 72 * 3600,
            status_every: 10,
            identity: String::new(),
            namespace: None,
            max_events: 2000,
            max_jobs: 16,
            deaf_after: 360,
        }
    }
}

/// Defaults where there is no Watchdog object.
pub fn settings(object: Option<&WatchdogObject>) -> WatchdogSpec {
    object.map_or_else(WatchdogSpec::default, |o| o.spec.clone())
}
