//! What the loop is told of small kinds, and what it follows because of them.

use std::collections::HashMap;

use serde_json::Value;

use super::follow::{Kind, News, What, Which, follow};
use super::looping::Loop;
use crate::api::incident::WorkflowIncident;
use crate::api::validate::Context;
use crate::api::watchdog::Watchdog as WatchdogObject;
use crate::metrics::RestartCause;
use crate::watchdog::admit;
use crate::watchdog::input::Input;
use crate::watchdog::janitor::run::HOLD;
use crate::watchdog::policy::PolicyKey;
use crate::watchdog::secs;

impl Loop {
    /// News of a small kind.
    pub fn told(&mut self, news: News) {
        let News { kind, what } = news;
        if !matches!(what, What::Failed(_)) {
            self.process.alive(kind.resource(), self.now());
        }
        // Of a list after a failure only the end says that all is known again.
        let whole = matches!(what, What::Listed | What::Alive);
        if whole {
            self.failing.remove(&kind);
        }
        // Before its first list nothing is judged at all.
        let counts = whole || matches!(what, What::Failed(_)) || !self.failing.contains_key(&kind);
        if kind.keeps() && counts && (self.listed.contains(&kind) || matches!(what, What::Listed)) {
            let failing = if let What::Failed(error) = &what { Some(error.clone()) } else { None };
            self.handle(Input::Rules { source: kind.resource(), failing });
            self.look_deaf();
        }
        match what {
            What::Alive => {}
            What::Failed(error) => {
                // First it may be the connection, and then the right.
                if self.failing.insert(kind, error.clone()).as_ref() != Some(&error) {
                    tracing::warn!(kind = kind.resource(), error, "can't be watched; it is tried again");
                }
                self.process.restarted(RestartCause::Failed);
            }
            What::Listed => {
                self.process.relisted(kind.resource());
                if self.listed.insert(kind) && kind == Kind::Incidents {
                    self.handle(Input::IncidentsListed);
                }
            }
            What::Is(object) => {
                let types = object.types.clone();
                let mut value = serde_json::to_value(&object).unwrap_or_default();
                if types.is_none() {
                    name_kind(&mut value, kind);
                }
                self.is(kind, value);
            }
            What::Gone(object) => {
                let (namespace, name) =
                    (object.metadata.namespace.clone(), object.metadata.name.clone().unwrap_or_default());
                self.gone(kind, namespace, name, &serde_json::to_value(&object).unwrap_or_default());
            }
        }
    }

    /// Says when nothing is deleted any more because rules can't be heard, and when that is over.
    pub(super) fn look_deaf(&mut self) {
        let deaf = self.watchdog.deaf(secs(self.now()));
        if deaf.is_some() != self.deaf.is_some() {
            if let Some(why) = &deaf {
                tracing::error!(why, "nothing is deleted now; archiving goes on");
            } else {
                tracing::info!("all rules are heard again: what is due is deleted");
            }
        }
        self.deaf = deaf;
    }

    fn is(&mut self, kind: Kind, value: Value) {
        match kind {
            Kind::Policies | Kind::ClusterPolicies => self.policy(value),
            Kind::Namespaces => {
                let name = value["metadata"]["name"].as_str().unwrap_or_default().to_owned();
                let hold = value["metadata"]["annotations"][HOLD].as_str().map(str::to_owned);
                self.handle(Input::NamespaceHeld { name: name.clone(), hold });
                self.handle(Input::Namespace { name, labels: Some(admit::labels(&value)) });
            }
            Kind::Watchdog => match serde_json::from_value::<WatchdogObject>(value) {
                Ok(object) => {
                    self.settings = Some(object);
                    self.apply_settings();
                }
                Err(error) => {
                    tracing::warn!(%error, "the Watchdog object can't be read; the settings stay as they were");
                }
            },
            Kind::Locations => self.location(value),
            Kind::Incidents => {
                let name = format!("{}/{}", value["metadata"]["namespace"], value["metadata"]["name"]);
                match serde_json::from_value::<WorkflowIncident>(value) {
                    Ok(incident) => self.handle(Input::Incident(Box::new(incident))),
                    Err(error) => {
                        self.process.poison(kind.resource());
                        tracing::warn!(name, %error, "an incident can't be read; it is left alone");
                    }
                }
            }
            Kind::Pods => {
                if let Some(pod) = admit::pod(&value) {
                    self.handle(Input::Pod(pod));
                }
            }
            Kind::Leases => {
                let text = |key: &str| value["metadata"][key].as_str().unwrap_or_default().to_owned();
                let renewed = admit::renewed(&value);
                self.handle(Input::ArgoLease { namespace: text("namespace"), name: text("name"), renewed });
            }
        }
    }

    fn gone(&mut self, kind: Kind, namespace: Option<String>, name: String, value: &Value) {
        match kind {
            Kind::Policies | Kind::ClusterPolicies => {
                let key = PolicyKey { namespace: if kind == Kind::Policies { namespace } else { None }, name };
                self.policies.remove(&key);
                self.handle(Input::PolicyGone(key));
                self.look_at_deletes();
            }
            Kind::Namespaces => {
                self.handle(Input::NamespaceHeld { name: name.clone(), hold: None });
                self.handle(Input::Namespace { name, labels: None });
            }
            Kind::Locations => self.location_gone(&name),
            Kind::Watchdog => {
                self.settings = None;
                self.apply_settings();
            }
            Kind::Incidents => self.handle(Input::IncidentGone { namespace: namespace.unwrap_or_default(), name }),
            Kind::Pods => {
                if let Some(pod) = admit::pod(value) {
                    self.handle(Input::PodGone { namespace: pod.namespace, workflow: pod.workflow, pod: pod.pod });
                } else {
                    // A relist found it gone and says its name only: all are told anew.
                    self.handle(Input::PodVanished { namespace: namespace.unwrap_or_default(), pod: name });
                }
            }
            Kind::Leases => {
                self.handle(Input::ArgoLease { namespace: namespace.unwrap_or_default(), name, renewed: None });
            }
        }
    }

    fn policy(&mut self, mut value: Value) {
        if let Some(metadata) = value["metadata"].as_object_mut() {
            metadata.remove("managedFields");
        }
        // To read a policy costs regular expressions and a look at every run: not for each status that we write.
        if let Some(key) = admit::policy_key(&value)
            && let Some(known) = self.policies.get_mut(&key)
            && serde_json::from_str(known).is_ok_and(|known| admit::same_but_status(&known, &value))
        {
            let status = admit::policy_status(&value).map(Box::new);
            *known = value.to_string().into();
            self.handle(Input::PolicyStatus(key, status));
            return;
        }
        self.admit(&value);
    }

    fn admit(&mut self, value: &Value) {
        let floor = i64::from(self.watchdog.no_progress_floor());
        let tenant = value["kind"] == "WorkflowPolicy";
        let maxima = self.settings.as_ref().and_then(|s| s.spec.tenant_maxima.as_ref()).filter(|_| tenant);
        let context = Context { maxima, no_progress_floor: floor, missing_fields: &self.missing_fields };
        let Some(seen) = admit::policy(value, &context) else { return };
        for problem in &seen.problems {
            tracing::warn!(policy = seen.origin.key.label(), %problem, "policy");
        }
        self.policies.insert(seen.origin.key.clone(), value.to_string().into());
        self.handle(Input::Policy(Box::new(seen)));
        self.look_at_deletes();
    }

    /// Fields the installed CRDs lack: Enforce is refused while there are any.
    pub fn crds_read(&mut self, missing: Vec<String>) {
        if self.missing_fields != missing {
            self.missing_fields = missing;
            self.admit_again();
        }
    }

    fn admit_again(&mut self) {
        for text in self.policies.values().cloned().collect::<Vec<_>>() {
            if let Ok(value) = serde_json::from_str(&text) {
                self.admit(&value);
            }
        }
    }

    pub(super) fn apply_settings(&mut self) {
        let object = self.settings.clone().map(Box::new);
        self.handle(Input::Settings(object));
        self.name_cluster();
        self.admit_again();
        self.look_at_deletes();
        if self.namespace.is_some() {
            return;
        }
        let instances = self.watchdog.argo_instances();
        let wanted: HashMap<(String, String), _> = instances
            .iter()
            .filter(|i| !i.lease.is_empty() || !i.metrics_url.is_empty())
            .map(|i| ((i.namespace.clone(), format!("{} {}", i.lease, i.metrics_url)), i.clone()))
            .collect();
        self.argo_tasks.retain(|key, task| {
            let keep = wanted.contains_key(key);
            if !keep {
                task.abort();
            }
            keep
        });
        for (key, instance) in wanted {
            if self.argo_tasks.contains_key(&key) {
                continue;
            }
            let task = if instance.metrics_url.is_empty() {
                let which = Which {
                    namespace: Some(instance.namespace.clone()),
                    fields: Some(format!("metadata.name={}", instance.lease)),
                    labels: None,
                };
                follow(self.clients.watch.clone(), Kind::Leases, which, self.idle_limit, self.tell.clone())
            } else {
                super::argo::ask(instance.name.clone(), instance.metrics_url.clone(), self.probe.clone())
            };
            self.argo_tasks.insert(key, task);
        }
    }

    pub fn probed(&mut self, instance: String, answered: bool) {
        self.handle(Input::ArgoMetrics { instance, answered });
    }
}

/// Objects of a list come without their kind.
fn name_kind(value: &mut Value, kind: Kind) {
    let name = match kind {
        Kind::Policies => "WorkflowPolicy",
        Kind::ClusterPolicies => "ClusterWorkflowPolicy",
        Kind::Watchdog => "Watchdog",
        Kind::Locations => "ArchiveLocation",
        Kind::Incidents => "WorkflowIncident",
        Kind::Namespaces => "Namespace",
        Kind::Pods => "Pod",
        Kind::Leases => "Lease",
    };
    value["kind"] = name.into();
    value["apiVersion"] = if name.starts_with(['W', 'C', 'A']) { "unstick.dev/v1alpha1" } else { "v1" }.into();
}
