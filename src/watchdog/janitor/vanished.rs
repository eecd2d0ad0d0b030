//! Finished runs that others have deleted: lost, unless there is an archive of them after all.
//!
//! ```text
//!   being archived just now ----- its outcome: kept ---------------------> there is one
//!                                       |  else
//!   a mark that names an archive -------+--> the store is asked ---------> there is one
//!   neither ---------------------> lost <------------- no such archive ---'
//! ```
//!
//! A mark proves nothing (I1): until the store has been asked, nothing is said. While it can't be asked, it is asked again.
//! A mark of a place that is no location any more can't be looked at: such a run counts as lost.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::Entry;
use super::job::{Job, JobTicket, Outcome, Target, Task};
use super::run::Mark;
use super::work::{backoff, target_of};
use crate::api::workflow::Secs;
use crate::watchdog::Watchdog;
use crate::watchdog::facts::{Facts, Uid};

/// More questions don't wait: a run whose question finds no place counts as lost, and somebody looks.
const MOST: usize = 10_000;

/// What is still to be found out of runs that have gone.
#[derive(Debug, Default)]
pub(super) struct Vanished {
    /// By when they are asked, and a number that no other has.
    waiting: HashMap<u64, Question>,
    agenda: BTreeSet<(Secs, u64)>,
    next: u64,
    asking: HashMap<JobTicket, Question>,
    /// Seen gone while they were being archived.
    archiving: HashMap<JobTicket, Question>,
}

#[derive(Debug)]
struct Question {
    uid: Uid,
    target: Target,
    /// Of the policy that governed it.
    label: Arc<str>,
    /// Where to look, and what for. `None`: nothing names an archive.
    named: Option<(String, Mark)>,
    failures: u32,
}

impl Vanished {
    pub fn next_due(&self) -> Option<Secs> {
        self.agenda.first().map(|(at, _)| *at)
    }

    /// Questions under way.
    pub fn asking(&self) -> usize {
        self.asking.len()
    }

    /// Back comes what has no place.
    fn ask(&mut self, question: Question, at: Secs) -> Option<Question> {
        if self.waiting.len() >= MOST {
            return Some(question);
        }
        self.next += 1;
        self.agenda.insert((at, self.next));
        self.waiting.insert(self.next, question);
        None
    }
}

impl Watchdog {
    /// A run under a policy that archives has gone, and not by us; no archive of it is known.
    pub(super) fn vanished(
        &mut self,
        entry: Option<&Entry>,
        facts: &Facts,
        (label, location): (Arc<str>, String),
        now: Secs,
    ) {
        let mark = entry.and_then(|e| e.run.mark.clone());
        // Where the mark says, if that place is open to its namespace; else where its policy keeps.
        let named = mark.map(|mark| {
            let granted = self.janitor.places.get(&mark.location).is_some_and(|place| {
                place.fingerprint == mark.fingerprint && self.policies.admits(&place.allowed, &facts.kin.namespace)
            });
            (if granted { mark.location.clone() } else { location }, mark)
        });
        let question = Question { uid: facts.uid, target: target_of(facts), label, named, failures: 0 };
        if let Some(ticket) = entry.and_then(|e| e.job) {
            self.janitor.vanished.archiving.insert(ticket, question);
        } else {
            self.wonder(question, now);
        }
    }

    /// Looks for its archive at this time, if anything names one.
    fn wonder(&mut self, question: Question, at: Secs) {
        let lost =
            if question.named.is_some() { self.janitor.vanished.ask(question, at.max(1)) } else { Some(question) };
        if let Some(question) = lost {
            self.tally.add("unstick_archive_lost_total", &[&question.label], 1);
        }
    }

    /// The next question that a store can be asked.
    pub(super) fn next_question(&mut self, now: Secs) -> Option<Job> {
        while let Some((at, number)) = self.janitor.vanished.agenda.first().copied().filter(|(at, _)| *at <= now) {
            self.janitor.vanished.agenda.remove(&(at, number));
            let Some(mut question) = self.janitor.vanished.waiting.remove(&number) else { continue };
            let Some((location, mark)) = question.named.clone() else { continue };
            if self.janitor.places.get(&location).is_none_or(|place| !place.ready) {
                question.failures += 1;
                let later = now.saturating_add(backoff(question.failures, question.uid));
                self.wonder(question, later);
                continue;
            }
            let (ticket, target) = (self.ticket(), question.target.clone());
            self.janitor.vanished.asking.insert(ticket, question);
            return Some(Job { ticket, target, task: Task::Confirm { location, mark } });
        }
        None
    }

    /// A question was answered, or the archiving of a run that has gone meanwhile has ended.
    pub(super) fn question_ended(&mut self, ticket: JobTicket, outcome: &Outcome, now: Secs) {
        if let Some(question) = self.janitor.vanished.archiving.remove(&ticket) {
            match outcome {
                Outcome::Kept(kept) if !kept.already => {
                    self.tally.add("unstick_archived_runs_total", &[&question.label], 1);
                    self.tally.add("unstick_archived_bytes_total", &[], kept.stored_bytes);
                }
                Outcome::Kept(_) => {}
                _ => self.wonder(question, now),
            }
            return;
        }
        let Some(mut question) = self.janitor.vanished.asking.remove(&ticket) else { return };
        match outcome {
            Outcome::Kept(_) => {}
            Outcome::Unconfirmed => {
                self.tally.add("unstick_archive_lost_total", &[&question.label], 1);
            }
            _ => {
                question.failures += 1;
                let later = now.saturating_add(backoff(question.failures, question.uid));
                self.wonder(question, later);
            }
        }
    }
}
