//! Runs that went by a delete of ours whose answer came late or never: they count as deleted by us all the same.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use super::Entry;
use super::job::{JobTicket, Outcome, Target};
use super::said::DELETED;
use super::work::target_of;
use crate::api::reasons::EventReason;
use crate::api::workflow::Secs;
use crate::watchdog::Watchdog;
use crate::watchdog::effect::{Note, Reference};
use crate::watchdog::facts::{Facts, Uid};
use crate::watchdog::policy::PolicyKey;

#[derive(Debug, Default)]
pub(super) struct Parting {
    /// A delete was sent and not answered.
    pub unanswered: HashSet<Uid>,
    /// Seen gone while a delete was on its way.
    gone: HashMap<JobTicket, Gone>,
    /// Runs that the catalogue is still to be told of.
    pub records: VecDeque<Target>,
}

/// What is to be said of a run that is not in the index any more.
#[derive(Debug)]
struct Gone {
    target: Target,
    label: Arc<str>,
    key: PolicyKey,
    workflow: Reference,
    policy: Reference,
}

impl Watchdog {
    /// A run that we have told the API server to delete was seen gone.
    pub(super) fn parted(&mut self, entry: &Entry, facts: &Facts, now: Secs) {
        let unanswered = self.janitor.parting.unanswered.remove(&facts.uid);
        let Some(named) = self.policies.get(entry.policy).map(|p| (p.label.clone(), p.key.clone())) else { return };
        let Some((workflow, policy)) = self.references_of(facts, entry) else { return };
        let (label, key) = named;
        let gone = Gone { target: target_of(facts), label, key, workflow, policy };
        if unanswered {
            self.say_gone(gone, true, now);
        } else if let Some(ticket) = entry.job {
            self.janitor.parting.gone.insert(ticket, gone);
        }
    }

    /// A delete ended after its run was seen gone.
    pub(super) fn delete_ended_late(&mut self, ticket: JobTicket, outcome: &Outcome, now: Secs) {
        let Some(gone) = self.janitor.parting.gone.remove(&ticket) else { return };
        match outcome {
            Outcome::Deleted => self.say_gone(gone, false, now),
            Outcome::Unanswered(_) => self.say_gone(gone, true, now),
            // It was somebody else's doing.
            _ => {}
        }
    }

    fn say_gone(&mut self, gone: Gone, record: bool, now: Secs) {
        self.tally.add("unstick_deleted_runs_total", &[&gone.label], 1);
        let (workflow, policy, reason) = (gone.workflow, gone.policy, EventReason::Deleted);
        self.note_of_run(Note {
            namespace: workflow.namespace.clone(),
            reason,
            regarding: workflow.clone(),
            related: policy.clone(),
            text: DELETED.to_owned(),
            warning: false,
        });
        self.say_on_policy(gone.key, (reason, None, false), (policy, workflow), DELETED, now);
        if record {
            self.janitor.parting.records.push_back(gone.target);
        }
        self.statuses.drift();
    }
}
