//! What is written next, and what comes of it: incidents by urgency, their Events, statuses.

use super::Watchdog;
use super::effect::{Note, Op, Reference, Ticket, Write};
use super::input::Wrote;
use super::ledger::{Id, Incident, Want};
use crate::api::reasons::{CloseReason, EventReason};
use crate::api::workflow::Secs;

/// A write that failed is tried again after this, doubled up to `MAX_RETRY`.
const FIRST_RETRY: Secs = 2;
const MAX_RETRY: Secs = 300;
/// Tickets of events carry this bit, those of statuses the next one.
const EVENT: u64 = 1 << 62;
const STATUS: u64 = 1 << 61;

impl Watchdog {
    /// The most urgent write.
    pub(super) fn pull(&mut self, now: Secs) -> Option<Write> {
        self.expire(now);
        self.say_sums(now);
        // Statuses take one place of four while incidents wait: neither keeps the other from being said.
        self.pulls = self.pulls.wrapping_add(1);
        let busy = self.ledger.waiting() + self.events.len() > 0;
        if (!busy || self.pulls.is_multiple_of(4))
            && let Some(write) = self.statuses_write(now)
        {
            return Some(write);
        }
        self.incidents_write(now).or_else(|| if busy { self.statuses_write(now) } else { None })
    }

    fn incidents_write(&mut self, now: Secs) -> Option<Write> {
        // Closing first, then by age what is open and what waits to be opened.
        let oldest = self.ledger.urgent();
        if oldest.is_none_or(|(urgency, _)| urgency >= 1)
            && self.ledger.confirmed < self.config.max_incidents
            && let Some((since, slot)) = self.ledger.first_candidate()
            && oldest.is_none_or(|(urgency, s)| urgency > 1 || since < s)
        {
            self.ledger.drop_candidate(slot);
            self.open_stuck(slot, now);
        }
        // An event belongs to what has just been written: it goes before the next opening, or it would come hours late.
        let urgent = self.ledger.urgent();
        if urgent.is_some_and(|(urgency, _)| {
            urgency == 0 || (urgency < 3 && self.events.len() < 8) || self.events.is_empty()
        }) && let Some(id) = self.ledger.pop_urgent()
        {
            return self.incident_write(id, now);
        }
        let (n, note) = self.events.pop_front()?;
        Some(Write { ticket: Ticket(EVENT | n), op: Op::Event(Box::new(note)) })
    }

    fn incident_write(&mut self, id: Id, now: Secs) -> Option<Write> {
        let incident = self.ledger.all.get_mut(&id)?;
        let namespace = incident.namespace.to_string();
        let name = incident.name.clone();
        incident.flying = std::mem::replace(&mut incident.want, Want::Nothing);
        let op = match incident.flying {
            Want::Open => Op::OpenIncident(Box::new(incident.object())),
            Want::Status => {
                let status = incident.status(now);
                incident.sent = Some(status.clone());
                Op::IncidentStatus { namespace, name, closes: incident.closed.is_some(), status: Box::new(status) }
            }
            Want::Delete => Op::DeleteIncident { namespace, name },
            Want::Nothing => return None,
        };
        Some(Write { ticket: Ticket(id), op })
    }

    fn expire(&mut self, now: Secs) {
        while let Some((at, id)) = self.ledger.later.first().copied()
            && at <= now
        {
            self.ledger.later.pop_first();
            let ttl = self.config.incident_ttl;
            let Some(incident) = self.ledger.all.get_mut(&id) else { continue };
            if incident.retry_at != 0 && incident.retry_at <= now {
                incident.retry_at = 0;
                let want = incident.want;
                self.ledger.mark(id, want);
            } else if incident.closed.is_some_and(|(_, c)| c.saturating_add(ttl) <= now) && incident.exists {
                self.ledger.mark(id, Want::Delete);
            }
        }
        self.make_place();
    }

    /// Over the cap the oldest closed incidents make place for runs that are stuck now; open ones never do.
    fn make_place(&mut self) {
        let (confirmed, most) = (self.ledger.confirmed, self.config.max_incidents);
        let now = (self.ledger.changes, self.ledger.candidates_waiting());
        // Asked before each write, and with each event while runs wait for a place: it looks at all incidents.
        if confirmed < most || now.1 == 0 || self.ledger.placed == now {
            return;
        }
        let leaving = self.ledger.all.values().filter(|i| i.confirmed && i.is_leaving()).count();
        let wanted = (confirmed - most + self.ledger.candidates_waiting()).saturating_sub(leaving);
        let quiet = |i: &&Incident| i.exists && i.want == Want::Nothing && i.flying == Want::Nothing;
        let mut closed: Vec<_> = self
            .ledger
            .all
            .iter()
            .filter(|(_, i)| quiet(i))
            .filter_map(|(id, i)| i.closed.map(|(_, at)| (at, *id)))
            .collect();
        closed.sort_unstable();
        for (_, id) in closed.into_iter().take(wanted) {
            self.ledger.mark(id, Want::Delete);
        }
        self.ledger.placed = (self.ledger.changes, self.ledger.candidates_waiting());
    }

    pub(super) fn wrote(&mut self, ticket: Ticket, result: Wrote, now: Secs) {
        if ticket.0 & EVENT != 0 {
            return;
        }
        if ticket.0 & STATUS != 0 {
            self.statuses.wrote(ticket.0 & !STATUS, result, now);
            return;
        }
        let id = ticket.0;
        self.ledger.changes += 1;
        let Some(incident) = self.ledger.all.get_mut(&id) else { return };
        let sent = incident.sent.take();
        match (std::mem::replace(&mut incident.flying, Want::Nothing), result) {
            (Want::Nothing, _) => {}
            // Somebody has created it in between: it is there, that is what was wanted.
            (Want::Open, Wrote::Done | Wrote::Conflict) => {
                incident.exists = true;
                incident.failures = 0;
                let want = if incident.want == Want::Delete { Want::Delete } else { Want::Status };
                self.ledger.mark(id, want);
            }
            (Want::Status, Wrote::Done) => {
                incident.failures = 0;
                incident.observed = sent;
                let want = incident.want;
                if want == Want::Nothing {
                    self.tell(id);
                    self.settle(id);
                } else {
                    self.ledger.mark(id, want);
                }
            }
            // The object is not there any more: what is still stuck is opened anew.
            (Want::Delete, Wrote::Done) | (Want::Delete | Want::Status, Wrote::Gone) => {
                let uid = incident.run.uid;
                self.ledger.remove(id);
                if let Some(slot) = self.index.find(uid) {
                    self.decide(slot, now);
                }
            }
            (flown, _) => {
                incident.failures += 1;
                // What is refused or has no place to go will be so for a while.
                let wait = match result {
                    Wrote::Refused | Wrote::Gone => MAX_RETRY,
                    _ => FIRST_RETRY.checked_shl(incident.failures.min(8)).unwrap_or(MAX_RETRY).min(MAX_RETRY),
                };
                let at = now.saturating_add(wait);
                incident.retry_at = at;
                if incident.want == Want::Nothing {
                    incident.want = flown;
                }
                self.ledger.later.insert((at, id));
            }
        }
    }

    /// Events of an incident that has opened or closed: one on the workflow, one on the policy.
    fn tell(&mut self, id: Id) {
        let Some(incident) = self.ledger.all.get_mut(&id) else { return };
        if !incident.confirmed {
            return;
        }
        let reason = match incident.closed {
            None if !incident.told_open => {
                incident.told_open = true;
                EventReason::WorkflowStuck
            }
            Some(_) if !incident.told_close => {
                incident.told_close = true;
                EventReason::WorkflowRecovered
            }
            _ => return,
        };
        let workflow = Reference {
            api_version: "argoproj.io/v1alpha1".to_owned(),
            kind: "Workflow".to_owned(),
            namespace: incident.namespace.to_string(),
            name: incident.workflow.to_string(),
            uid: incident.uid_text.clone(),
        };
        let policy = Reference {
            api_version: "unstick.dev/v1alpha1".to_owned(),
            kind: incident.policy.kind().to_string(),
            namespace: incident.policy.namespace.clone().unwrap_or_default(),
            name: incident.policy.name.clone(),
            uid: incident.policy_uid.clone(),
        };
        let text = match (incident.closed, incident.detections.first()) {
            (Some((CloseReason::Recovered, _)), _) => "no longer stuck".to_owned(),
            (Some((CloseReason::Ended, _)), _) => "the run has ended".to_owned(),
            (Some((CloseReason::TargetGone, _)), _) => "the workflow no longer exists".to_owned(),
            (None, Some(h)) => format!("{} {}: {}", h.kind, h.reason, h.message),
            (None, None) => "stuck".to_owned(),
        };
        let about = format!("{}/{}: {text}", incident.namespace, incident.workflow);
        let place = incident.policy.namespace.clone().unwrap_or_else(|| "default".to_owned());
        let warning = reason == EventReason::WorkflowStuck;
        let own = incident.namespace.to_string();
        // A workflow that is gone can't be found by its events; the policy still can.
        let gone = matches!(incident.closed, Some((CloseReason::TargetGone, _)));
        if !gone {
            self.note(Note {
                namespace: own,
                reason,
                regarding: workflow.clone(),
                related: policy.clone(),
                text,
                warning,
            });
        }
        self.note(Note { namespace: place, reason, regarding: policy, related: workflow, text: about, warning });
    }

    pub(super) fn note(&mut self, note: Note) {
        if self.events.len() >= self.config.max_events {
            self.tally.add("unstick_events_total", &[note.reason.as_str(), "Dropped"], 1);
            return;
        }
        self.next_ticket += 1;
        self.events.push_back((self.next_ticket, note));
    }

    fn statuses_write(&mut self, now: Secs) -> Option<Write> {
        if self.statuses.stale(now) {
            self.refresh_statuses(now);
        }
        let (n, op) = self.statuses.pull(now)?;
        Some(Write { ticket: Ticket(STATUS | n), op })
    }
}
