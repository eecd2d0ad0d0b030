//! Writes: one API call each, under a time limit, no retries of their own; the outcome goes back to the watchdog.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::Client;
use kube::api::{Api, DeleteParams, ObjectMeta, Patch, PatchParams, PostParams};
use serde_json::json;

use super::client::WRITE_TIMEOUT;
use crate::api::incident::WorkflowIncident;
use crate::api::policy::{ClusterWorkflowPolicy, WorkflowPolicy};
use crate::api::watchdog::{self, Watchdog as WatchdogObject};
use crate::watchdog::effect::{Note, Op, Reference};
use crate::watchdog::input::Wrote;

/// A token bucket: `rate` writes a second sustained, `burst` at once after a pause.
#[derive(Debug)]
pub struct Limit {
    rate: f64,
    burst: f64,
    tokens: f64,
    filled: Instant,
}

impl Limit {
    /// Of the whole allowance a tenth, and two of the burst, stay with the Lease: all kinds together keep the limit.
    pub fn new(per_second: u32, burst: u32, now: Instant) -> Self {
        let rate = f64::from(per_second) * 0.9;
        let burst = f64::from(burst.saturating_sub(2).max(1));
        Self { rate, burst, tokens: burst, filled: now }
    }

    /// Takes a token if there is one.
    pub fn take(&mut self, now: Instant) -> bool {
        self.fill(now);
        if self.tokens < 1.0 {
            return false;
        }
        self.tokens -= 1.0;
        true
    }

    /// Gives back a token that was not needed.
    pub fn give_back(&mut self) {
        self.tokens = (self.tokens + 1.0).min(self.burst);
    }

    /// How long until the next token.
    pub fn wait(&mut self, now: Instant) -> Duration {
        self.fill(now);
        Duration::from_secs_f64(((1.0 - self.tokens) / self.rate).max(0.0))
    }

    /// The same without taking note of the time.
    pub fn soonest(&self, now: Instant) -> Duration {
        let passed = now.saturating_duration_since(self.filled).as_secs_f64();
        let tokens = (self.tokens + passed * self.rate).min(self.burst);
        Duration::from_secs_f64(((1.0 - tokens) / self.rate).max(0.0))
    }

    fn fill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.filled).as_secs_f64();
        self.tokens = (self.tokens + passed * self.rate).min(self.burst);
        self.filled = now;
    }
}

/// Carries out one write.
pub async fn write(client: Client, op: &Op, identity: &str) -> Wrote {
    let what = describe(op);
    let result = match tokio::time::timeout(WRITE_TIMEOUT, send(client, op, identity)).await {
        Ok(Ok(())) => return Wrote::Done,
        Ok(Err(error)) => error,
        Err(_) => {
            tracing::warn!(what, "a write had no answer within {} s; it is tried again", WRITE_TIMEOUT.as_secs());
            return Wrote::Failed;
        }
    };
    let outcome = match &result {
        kube::Error::Api(status) => match status.code {
            404 => Wrote::Gone,
            409 => Wrote::Conflict,
            429 => Wrote::Failed,
            400..=499 => Wrote::Refused,
            _ => Wrote::Failed,
        },
        _ => Wrote::Failed,
    };
    match outcome {
        Wrote::Refused => {
            tracing::warn!(what, error = %result, "the API server refused a write; check the rights with `unstick check`");
        }
        Wrote::Failed => tracing::warn!(what, error = %result, "a write failed; it is tried again"),
        _ => tracing::debug!(what, error = %result, "a write met a changed object"),
    }
    outcome
}

async fn send(client: Client, op: &Op, identity: &str) -> kube::Result<()> {
    let (post, merge) = (PostParams::default(), PatchParams::default());
    match op {
        Op::OpenIncident(object) => {
            let api: Api<WorkflowIncident> =
                Api::namespaced(client, object.metadata.namespace.as_deref().unwrap_or_default());
            api.create(&post, object).await.map(drop)
        }
        Op::IncidentStatus { namespace, name, status, .. } => {
            let api: Api<WorkflowIncident> = Api::namespaced(client, namespace);
            let status = whole(status, &["closedAt", "detections", "currentStep", "next"]);
            api.patch_status(name, &merge, &Patch::Merge(json!({"status": status}))).await.map(drop)
        }
        Op::DeleteIncident { namespace, name } => {
            let api: Api<WorkflowIncident> = Api::namespaced(client, namespace);
            api.delete(name, &DeleteParams::default()).await.map(drop)
        }
        Op::Event(note) => {
            let api: Api<Event> = Api::namespaced(client, &note.namespace);
            api.create(&post, &event(note, identity)).await.map(drop)
        }
        Op::PolicyStatus { key, status } => {
            let status = whole(status, &["governedElsewhere", "oldestStuck", "next", "detections"]);
            let patch = Patch::Merge(json!({"status": status}));
            if let Some(namespace) = &key.namespace {
                let api: Api<WorkflowPolicy> = Api::namespaced(client, namespace);
                api.patch_status(&key.name, &merge, &patch).await.map(drop)
            } else {
                let api: Api<ClusterWorkflowPolicy> = Api::all(client);
                api.patch_status(&key.name, &merge, &patch).await.map(drop)
            }
        }
        Op::WatchdogStatus(status) => {
            let api: Api<WatchdogObject> = Api::all(client);
            api.patch_status(watchdog::NAME, &merge, &Patch::Merge(json!({"status": status}))).await.map(drop)
        }
    }
}

/// A status for a merge patch: a field that is to be empty has to be named, what is absent there would stay.
fn whole(status: &impl serde::Serialize, fields: &[&str]) -> serde_json::Value {
    let mut status = serde_json::to_value(status).unwrap_or_default();
    if let Some(map) = status.as_object_mut() {
        for field in fields {
            map.entry(*field).or_insert(serde_json::Value::Null);
        }
    }
    status
}

fn event(note: &Note, identity: &str) -> Event {
    Event {
        metadata: ObjectMeta {
            generate_name: Some("unstick-".to_owned()),
            namespace: Some(note.namespace.clone()),
            ..ObjectMeta::default()
        },
        event_time: Some(MicroTime(jiff::Timestamp::now())),
        action: Some("Diagnose".to_owned()),
        reason: Some(note.reason.to_string()),
        note: Some(crate::api::condition::cut(&note.text, 1024).to_owned()),
        type_: Some(if note.warning { "Warning" } else { "Normal" }.to_owned()),
        regarding: Some(reference(&note.regarding)),
        related: Some(reference(&note.related)),
        reporting_controller: Some("unstick.dev/watchdog".to_owned()),
        reporting_instance: Some(identity.to_owned()),
        ..Event::default()
    }
}

fn reference(r: &Reference) -> ObjectReference {
    let some = |t: &str| (!t.is_empty()).then(|| t.to_owned());
    ObjectReference {
        api_version: some(&r.api_version),
        kind: some(&r.kind),
        namespace: some(&r.namespace),
        name: some(&r.name),
        uid: some(&r.uid),
        ..ObjectReference::default()
    }
}

fn describe(op: &Op) -> String {
    match op {
        Op::OpenIncident(o) => format!(
            "open incident {}/{}",
            o.metadata.namespace.as_deref().unwrap_or(""),
            o.metadata.name.as_deref().unwrap_or("")
        ),
        Op::IncidentStatus { namespace, name, .. } => format!("status of incident {namespace}/{name}"),
        Op::DeleteIncident { namespace, name } => format!("delete incident {namespace}/{name}"),
        Op::Event(note) => format!("event {} of {}/{}", note.reason, note.regarding.namespace, note.regarding.name),
        Op::PolicyStatus { key, .. } => format!("status of policy {}", key.label()),
        Op::WatchdogStatus(_) => "status of the Watchdog object".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_second_stays_within_the_allowance() {
        let start = Instant::now();
        let mut limit = Limit::new(10, 50, start);
        let mut taken = Vec::new();
        for ms in 0..60_000 {
            let now = start + Duration::from_millis(ms);
            if limit.take(now) {
                taken.push(ms);
            }
        }
        assert!(taken.len() <= 48 + 9 * 60, "{}", taken.len());
        assert!(taken.len() >= 9 * 59, "{}", taken.len());
        assert!(limit.wait(start + Duration::from_secs(60)) <= Duration::from_millis(112));
    }
}
