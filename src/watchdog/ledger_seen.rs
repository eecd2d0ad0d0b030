//! The server's incidents become ours: after a restart, and when somebody else has written.

use std::sync::Arc;

use super::facts::{Facts, Run, Uid};
use super::index::Slot;
use super::ledger::{Id, Incident, Ledger, Want};
use super::policy::PolicyKey;
use super::{Watchdog, instant, secs};
use crate::api::incident::{PolicyKind, WorkflowIncident};
use crate::api::policy::Step;
use crate::api::reasons::{CloseReason, DetectionType, Reason};
use crate::api::workflow::Secs;

impl Watchdog {
    /// The ladder of the policy that has the same, else one of its own.
    fn shared_steps(&self, steps: &[Step]) -> Arc<[Step]> {
        let shared = self.policies.iter().find(|(_, p)| *p.steps == *steps);
        shared.map_or_else(|| steps.into(), |(_, p)| Arc::clone(&p.steps))
    }

    /// An incident as the server has it.
    pub(super) fn incident_seen(&mut self, object: &WorkflowIncident, now: Secs) {
        let (Some(namespace), Some(name)) = (object.metadata.namespace.as_deref(), object.metadata.name.as_deref())
        else {
            return;
        };
        let namespace: Arc<str> = namespace.into();
        if let Some(id) = self.ledger.find(&namespace, name) {
            let Some(known) = self.ledger.all.get_mut(&id) else { return };
            known.exists = true;
            self.ledger.changes += 1;
            // A creation heard of late says nothing of a status that has been written since.
            if object.status.is_some() || known.observed.is_none() {
                known.observed.clone_from(&object.status);
            }
            if self.may_write() {
                self.settle(id);
            } else {
                self.ledger.believe(id, now);
            }
            return;
        }
        let spec = &object.spec;
        let (uid, _) = Uid::parse(&spec.workflow_ref.uid);
        let policy_namespace = (spec.policy_ref.kind == PolicyKind::WorkflowPolicy).then(|| namespace.to_string());
        let id = self.ledger.insert(Incident {
            namespace,
            name: name.to_owned(),
            workflow: spec.workflow_ref.name.as_str().into(),
            uid_text: spec.workflow_ref.uid.clone(),
            run: Run { uid, started: spec.workflow_ref.started_at.map_or(0, |t| secs(t.get())) },
            policy: PolicyKey { namespace: policy_namespace, name: spec.policy_ref.name.clone() },
            policy_uid: spec.policy_ref.uid.clone(),
            generation: spec.policy_ref.generation,
            steps: self.shared_steps(&spec.steps),
            stuck_since: 0,
            confirmed: false,
            closed: None,
            detections: Vec::new(),
            exists: true,
            flying: Want::Nothing,
            want: Want::Nothing,
            queued: None,
            retry_at: 0,
            failures: 0,
            told_open: false,
            told_close: false,
            sent: None,
            observed: object.status.clone(),
        });
        self.ledger.believe(id, now);
        self.settle(id);
        // Its run may be stuck no more, or gone: a creation that was taken for failed is heard of when nothing else comes.
        match self.index.find(uid) {
            Some(slot) if self.adopt_clocks(slot) => self.judge(slot, instant(now)),
            Some(slot) => self.decide(slot, now),
            None if self.may_write() => self.close(id, CloseReason::TargetGone, now),
            None => {}
        }
    }

    /// Clocks of ours that an open incident of this very run has kept; true when one was taken over.
    ///
    /// A closed incident, one of another run or one held by another state says nothing of when this state began: the
    /// clock may be late, never early.
    pub(super) fn adopt_clocks(&mut self, slot: Slot) -> bool {
        let ledger = &self.ledger;
        self.index.change(slot, |facts| adopt_clocks(facts, ledger)).unwrap_or(false)
    }

    pub(super) fn incident_gone(&mut self, namespace: &str, name: &str, now: Secs) {
        let Some(id) = self.ledger.find(&namespace.into(), name) else { return };
        let Some(old) = self.ledger.remove(id) else { return };
        // Deleted by hand while the run is stuck: it is opened again.
        if let Some(slot) = self.index.find(old.run.uid) {
            self.decide(slot, now);
        }
    }

    /// Puts a closed incident on the list of those that expire, and writes what is not yet said.
    pub(super) fn settle(&mut self, id: Id) {
        let ttl = self.config.incident_ttl;
        let Some(incident) = self.ledger.all.get(&id) else { return };
        if let (Some((_, at)), true) = (incident.closed, incident.exists) {
            self.ledger.later.insert((at.saturating_add(ttl), id));
        }
        let idle = incident.want == Want::Nothing && incident.flying == Want::Nothing;
        if self.may_write() && idle && incident.exists && incident.confirmed && !incident.is_stated() {
            self.ledger.mark(id, Want::Status);
        }
    }
}

/// See [`Watchdog::adopt_clocks`].
fn adopt_clocks(facts: &mut Facts, ledger: &Ledger) -> bool {
    let mut adopted = false;
    let mut adopt = |clock: &mut Secs, since: Secs| {
        if since != 0 && *clock > since {
            *clock = since;
            adopted = true;
        }
    };
    for id in ledger.of_run(facts.uid) {
        let Some(incident) = ledger.all.get(&id) else { continue };
        if incident.run != facts.run() || !incident.is_open() || incident.is_leaving() {
            continue;
        }
        if !incident.confirmed {
            adopt(&mut facts.suspended_since, incident.stuck_since);
        }
        for held in &incident.detections {
            let since = secs(held.since);
            match (held.reason, held.kind, facts.rare.as_mut()) {
                (Reason::SuspendedBySpec, ..) => adopt(&mut facts.suspended_since, since),
                (_, DetectionType::StoppingTooLong, Some(rare)) => adopt(&mut rare.shutdown_since, since),
                (_, DetectionType::LockWedged, Some(rare)) if !rare.waiting.is_empty() => {
                    if rare.wedged_since == 0 {
                        rare.wedged_since = Secs::MAX;
                    }
                    adopt(&mut rare.wedged_since, since);
                }
                _ => {}
            }
        }
    }
    adopted
}
