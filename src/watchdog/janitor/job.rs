//! What the shell does for the janitor, and what comes of it.

use super::run::{Finished, Mark};
use crate::api::policy::{Redaction, SourceKind};
use crate::api::reasons::{KeepReason, LocationReason};
use crate::api::workflow::{Secs, Workflow};
use crate::archive::facts::RunFacts;
use crate::archive::verify::VerifiedArchive;
use crate::watchdog::facts::{Run, Uid};
use crate::watchdog::project;

/// Tells the outcome of a job apart from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JobTicket(pub u64);

/// Which run a job is for. The object must still be this run when it is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub namespace: String,
    pub name: String,
    pub uid: String,
    pub started: Secs,
    pub finished: Secs,
}

#[derive(Debug)]
pub struct Job {
    pub ticket: JobTicket,
    pub target: Target,
    pub task: Task,
}

#[derive(Debug)]
pub enum Task {
    /// Read the live object, store it, read it back, mark it.
    Archive {
        location: String,
        redaction: Redaction,
        events: bool,
        /// How long it was seen stuck; `None` = never.
        stuck_seconds: Option<i64>,
    },
    /// Look up whether the archive a mark names is there and is of this run. Asks the store only.
    Confirm { location: String, mark: Mark },
    /// Read the live object and, where one is asked for, prove its archive.
    Examine { needed: Needed },
    /// Delete the very object that was examined.
    Delete {
        resource_version: String,
        permit: Permit,
        /// `kind/name` or `kind/namespace/name` of the policy, for the catalogue.
        policy: String,
        /// Without an archive: the location whose catalogue tells of it all the same, and what is known of the run.
        told: Option<(String, Box<RunFacts>)>,
    },
    /// The run has gone by a delete of ours that was not answered: the catalogue tells of it.
    Record,
}

/// What an examination is to bring.
#[derive(Debug)]
pub enum Needed {
    /// The proof of the archive in this location, under these rules; a mark says where to look first.
    Proof(String, Redaction, Option<Mark>),
    /// For the catalogue: what is known of the run, redacted so.
    Facts(Redaction),
    /// The live object alone.
    Nothing,
}

/// What allows a delete. Made in this module's parent only, by judging the policy that governs now.
#[derive(Debug)]
pub struct Permit(pub(super) Ground);

#[derive(Debug)]
pub(super) enum Ground {
    /// The stored copy was read back and is this object (I1).
    Verified(Box<VerifiedArchive>),
    /// This policy, in this generation, says `require: None`.
    NotRequired { policy: String, generation: i64 },
}

#[cfg(test)]
impl Permit {
    /// For the tests of who takes one.
    pub(crate) fn of_test() -> Self {
        Self(Ground::NotRequired { policy: "p".to_owned(), generation: 1 })
    }
}

impl Permit {
    /// For the log: on what ground something was deleted.
    pub fn ground(&self) -> String {
        match &self.0 {
            Ground::Verified(archive) => format!("verified archive {}", archive.key()),
            Ground::NotRequired { policy, generation } => {
                format!("policy {policy} generation {generation} requires no archive")
            }
        }
    }

    /// The archive that was proven, where one was asked for.
    pub fn archive(&self) -> Option<&VerifiedArchive> {
        match &self.0 {
            Ground::Verified(archive) => Some(archive),
            Ground::NotRequired { .. } => None,
        }
    }

    /// Whether it was made for this very object.
    pub fn is_for(&self, uid: &str, resource_version: &str) -> bool {
        match &self.0 {
            Ground::Verified(archive) => archive.uid() == uid && archive.resource_version() == resource_version,
            Ground::NotRequired { .. } => true,
        }
    }
}

/// An archive that was read back and compared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    pub mark: Mark,
    /// Of the body as stored.
    pub stored_bytes: u64,
    /// It was there before.
    pub already: bool,
}

/// Stands in an object whose artifacts Argo would delete together with it. Looked for in the whole text: the strategy may
/// stand at the workflow, a template or a single artifact. Saying so once too often keeps a run; once too seldom would
/// lose artifacts.
pub const ARTIFACTS_GO: &str = "OnWorkflowDeletion";

/// The live object as it was when its archive was proven.
#[derive(Debug)]
pub struct Live {
    pub uid: String,
    pub resource_version: String,
    /// `None` when it has not finished (any more).
    pub finished: Option<Finished>,
    /// What tells which policy governs it: its labels may be others than the watch has brought so far.
    pub labels: Vec<(String, String)>,
    pub template: Option<(SourceKind, String)>,
    /// Argo would delete artifacts together with it.
    pub artifacts_go: bool,
    /// Where they were asked for.
    pub facts: Option<Box<RunFacts>>,
}

impl Live {
    /// Reads what a GET has brought.
    pub fn read(workflow: &Workflow<'_>, text: &str) -> Self {
        let run = Run { uid: Uid::parse(&workflow.meta.uid).0, started: workflow.status.started };
        Self {
            uid: workflow.meta.uid.to_string(),
            resource_version: workflow.meta.resource_version.to_string(),
            finished: Finished::read(workflow, run),
            labels: project::labels(workflow).map(|(k, v)| (k.to_owned(), v.to_owned())).collect(),
            template: project::template_of(workflow).map(|(kind, name)| (kind, name.to_owned())),
            artifacts_go: text.contains(ARTIFACTS_GO),
            facts: None,
        }
    }
}

#[derive(Debug)]
pub enum Outcome {
    Kept(Kept),
    /// No archive of this run is where the mark says.
    Unconfirmed,
    Examined(Box<Live>, Option<Box<VerifiedArchive>>),
    /// The stored copy is missing or is not this object.
    NotVerified(String),
    /// It can't be archived as it is.
    NotArchivable(KeepReason, String),
    /// The store failed.
    Store(LocationReason, String),
    Deleted,
    /// A delete was sent, and whether it was done isn't known: no answer, or one that says nothing about it.
    Unanswered(String),
    /// It changed meanwhile (409), or is another run by now.
    Changed,
    /// It is not there any more.
    Gone,
    /// The API server refused it.
    Refused(String),
    /// The API server gave no answer, or an error that may pass.
    Failed(String),
}
