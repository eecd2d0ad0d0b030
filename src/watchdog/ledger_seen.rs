//! The server's incidents become ours: after a restart, and when somebody else has written.

use std::sync::Arc;

use super::facts::{Run, Uid};
use super::ledger::{Id, Incident, Want};
use super::policy::PolicyKey;
use super::report::Holding;
use super::{Watchdog, secs};
use crate::api::condition::{self, ConditionStatus};
use crate::api::incident::{HeldDetection, PolicyKind, WorkflowIncident};
use crate::api::reasons::{CloseReason, ConditionType};
use crate::api::workflow::Secs;

impl Watchdog {
    /// An incident as the server has it.
    pub(super) fn incident_seen(&mut self, object: &WorkflowIncident, now: Secs) {
        let (Some(namespace), Some(name)) = (object.metadata.namespace.as_deref(), object.metadata.name.as_deref())
        else {
            return;
        };
        let namespace: Arc<str> = namespace.into();
        let status = object.status.clone().unwrap_or_default();
        let closed = condition::find(&status.conditions, ConditionType::Closed)
            .filter(|c| c.status == ConditionStatus::True)
            .and_then(|c| Some((CloseReason::parse(&c.reason)?, status.closed_at.map_or(now, |t| secs(t.get())))));
        let confirmed = condition::find(&status.conditions, ConditionType::Confirmed)
            .is_some_and(|c| c.status == ConditionStatus::True);
        if let Some(id) = self.ledger.find(&namespace, name) {
            let detections = status.detections.iter().map(holding).collect();
            if let Some(known) = self.ledger.all.get_mut(&id) {
                known.exists = true;
                known.observed = Some(status);
            }
            if !self.leading && confirmed {
                self.ledger.confirm(id);
                if let Some(known) = self.ledger.all.get_mut(&id) {
                    known.closed = closed;
                    known.detections = detections;
                    known.told_open = true;
                    known.told_close = closed.is_some();
                }
            }
            self.settle(id, now);
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
            steps: spec.steps.clone(),
            stuck_since: status.stuck_since.map_or(0, |t| secs(t.get())),
            confirmed,
            closed,
            detections: status.detections.iter().map(holding).collect(),
            exists: true,
            in_flight: None,
            want: Want::Nothing,
            queued: None,
            retry_at: 0,
            failures: 0,
            told_open: confirmed,
            told_close: closed.is_some(),
            observed: Some(status),
        });
        self.adopt_clock(id);
        self.settle(id, now);
    }

    /// The clock of spec.suspend that an unconfirmed incident has kept for us.
    fn adopt_clock(&mut self, id: Id) {
        let Some(incident) = self.ledger.all.get(&id) else { return };
        if incident.stuck_since == 0 {
            return;
        }
        let since = incident.stuck_since;
        if let Some(slot) = self.index.find(incident.run.uid)
            && let Some(facts) = self.index.get_mut(slot)
            && facts.suspended_since > since
        {
            facts.suspended_since = since;
        }
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
    pub(super) fn settle(&mut self, id: Id, now: Secs) {
        let ttl = self.config.incident_ttl;
        let Some(incident) = self.ledger.all.get(&id) else { return };
        if let (Some((_, at)), true) = (incident.closed, incident.exists) {
            self.ledger.later.insert((at.saturating_add(ttl), id));
        }
        if self.leading
            && incident.want == Want::Nothing
            && incident.in_flight.is_none()
            && incident.exists
            && incident.confirmed
        {
            let stated = condition::find(
                &incident.observed.as_ref().map(|o| o.conditions.clone()).unwrap_or_default(),
                ConditionType::Confirmed,
            )
            .is_some();
            if !stated {
                self.ledger.mark(id, Want::Status);
            }
        }
        let _ = now;
    }
}

/// What a leader before us has written, so that the same needs not be written again.
fn holding(held: &HeldDetection) -> Holding {
    Holding {
        name: held.name.clone(),
        kind: held.kind,
        reason: held.reason,
        since: held.since.get(),
        node: held.node.clone(),
        message: held.message.clone(),
    }
}
