//! What is to be done: one API call each, handed out when the shell has a free place for it.

use super::policy::PolicyKey;
use crate::api::incident::{IncidentStatus, WorkflowIncident};
use crate::api::policy::PolicyStatus;
use crate::api::reasons::EventReason;
use crate::api::watchdog::WatchdogStatus;

/// Tells the outcome of a write apart from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// What the shell does at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Read all workflows again: they were read for policies that have changed since.
    Relist,
}

/// A write to the API server.
#[derive(Clone, Debug)]
pub struct Write {
    pub ticket: Ticket,
    pub op: Op,
}

#[derive(Clone, Debug)]
pub enum Op {
    OpenIncident(Box<WorkflowIncident>),
    IncidentStatus { namespace: String, name: String, status: Box<IncidentStatus>, closes: bool },
    DeleteIncident { namespace: String, name: String },
    Event(Box<Note>),
    PolicyStatus { key: PolicyKey, status: Box<PolicyStatus> },
    WatchdogStatus(Box<WatchdogStatus>),
}

/// A Kubernetes Event (events.k8s.io/v1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Where the Event is written.
    pub namespace: String,
    pub reason: EventReason,
    pub regarding: Reference,
    pub related: Reference,
    /// For people, one sentence.
    pub text: String,
    /// Type Warning rather than Normal.
    pub warning: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reference {
    pub api_version: String,
    pub kind: String,
    pub namespace: String,
    pub name: String,
    pub uid: String,
}
