//! The server's half of the world: it keeps what is written to it, and refuses what must never be.

use std::collections::BTreeMap;

use unstick::api::incident::IncidentState;
use unstick::watchdog::effect::Op;
use unstick::watchdog::input::Wrote;

use super::{World, incident_key, state};

impl World {
    /// The server takes a write; nobody is told of its answer.
    pub fn perform(&mut self, op: &Op) -> Wrote {
        match op {
            Op::OpenIncident(object) => {
                let name = incident_key(object);
                if self.incidents.contains_key(&name) {
                    return Wrote::Conflict;
                }
                let mut object = (**object).clone();
                object.status = None;
                self.unheard.push((name.clone(), Some(object.clone())));
                self.incidents.insert(name, object);
            }
            Op::IncidentStatus { namespace, name, status, .. } => {
                let name = (namespace.clone(), name.clone());
                let Some(object) = self.incidents.get_mut(&name) else { return Wrote::Gone };
                object.status = Some((**status).clone());
                self.unheard.push((name, Some(object.clone())));
                self.one_each();
            }
            Op::DeleteIncident { namespace, name } => {
                let name = (namespace.clone(), name.clone());
                if self.incidents.remove(&name).is_none() {
                    return Wrote::Gone;
                }
                self.unheard.push((name, None));
            }
            Op::Event(note) => self.notes.push((**note).clone()),
            Op::PolicyStatus { key, status } => {
                let Some(object) = self.policies.get_mut(key) else { return Wrote::Gone };
                object["status"] = serde_json::to_value(status).unwrap();
                self.tell_policy(key);
            }
            Op::WatchdogStatus(status) => {
                let Some(object) = &mut self.settings else { return Wrote::Gone };
                object["status"] = serde_json::to_value(status).unwrap();
                self.tell_settings();
            }
        }
        Wrote::Done
    }

    /// At most one open incident for a run under a policy.
    fn one_each(&self) {
        let mut open = BTreeMap::new();
        for (name, object) in &self.incidents {
            if state(object).is_some_and(|s| matches!(s, IncidentState::Open | IncidentState::Unconfirmed)) {
                let w = &object.spec.workflow_ref;
                let run = (w.uid.clone(), w.started_at, object.spec.policy_ref.uid.clone());
                if let Some(other) = open.insert(run, name) {
                    panic!("two open incidents of one run under one policy: {other:?} and {name:?}");
                }
            }
        }
    }

    pub(super) fn describe(&self, op: &Op) -> String {
        let workflow = |ns: &str, name: &str| {
            let object = self.incidents.get(&(ns.to_owned(), name.to_owned()));
            object.map_or_else(|| format!("? {name}"), |o| o.spec.workflow_ref.name.clone())
        };
        match op {
            Op::OpenIncident(o) => format!("open {}", o.spec.workflow_ref.name),
            Op::IncidentStatus { namespace, name, status, .. } => {
                format!("status {} {}", workflow(namespace, name), status.state.map_or("?", |s| s.as_str()))
            }
            Op::DeleteIncident { namespace, name } => format!("delete {}", workflow(namespace, name)),
            Op::Event(note) => format!("event {} {}", note.reason, note.regarding.name),
            Op::PolicyStatus { key, .. } => format!("policy {}", key.label()),
            Op::WatchdogStatus(_) => "watchdog".to_owned(),
        }
    }
}
