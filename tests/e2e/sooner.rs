//! The real Argo deletes runs before they can be archived, each way it can; the policy says so beforehand.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use unstick_bed::{Bed, Operator, WorkflowRef};

use super::ground::Ground;
use super::keep;

const LIMIT: Duration = Duration::from_secs(60);

async fn get(ground: &Ground, path: &str) -> Result<Value> {
    let request = http::Request::get(path).body(Vec::new())?;
    Ok(ground.client.request(request).await?)
}

/// A namespace whose runs are to be archived, were there a place.
async fn team(bed: &Bed, namespace: &str) -> Result<()> {
    bed.namespace(namespace).await?;
    let policy = json!({
        "apiVersion": "unstick.dev/v1alpha1", "kind": "WorkflowPolicy", "metadata": {"name": namespace},
        "spec": {"selector": {}, "archive": {"mode": "Enforce", "location": "nowhere"}},
    });
    bed.apply_value(policy, namespace).await.map(drop)
}

/// A run that pauses for a second and is gone `ttl` seconds after its end.
async fn run(bed: &Bed, namespace: &str, name: &str, ttl: Option<u32>, labels: Value) -> Result<WorkflowRef> {
    let ttl = ttl.map_or_else(|| json!({}), |secs| json!({"secondsAfterCompletion": secs}));
    let workflow = json!({"metadata": {"name": name, "labels": labels}, "spec": {
        "entrypoint": "main", "ttlStrategy": ttl, "templates": [{"name": "main", "suspend": {"duration": "1"}}],
    }});
    bed.submit_value(namespace, workflow).await
}

/// The condition of a policy, with its message; `null` without.
async fn said(ground: &Ground, namespace: &str) -> Result<(Value, Value)> {
    let path = format!("/apis/unstick.dev/v1alpha1/namespaces/{namespace}/workflowpolicies/{namespace}");
    let status = get(ground, &path).await?["status"].clone();
    let all = status["conditions"].as_array().cloned().unwrap_or_default();
    let condition = all.into_iter().find(|c| c["type"] == "TtlTooShort").unwrap_or_default();
    Ok((condition, status["retention"]["finished"].clone()))
}

/// Waits until a policy gives this reason, and for both of its events.
async fn warned(ground: &Ground, namespace: &str, reason: &str, operator: &Operator) -> Result<()> {
    let begun = Instant::now();
    loop {
        let (condition, _) = said(ground, namespace).await?;
        let path = format!("/apis/events.k8s.io/v1/namespaces/{namespace}/events");
        let events = get(ground, &path).await?["items"].as_array().cloned().unwrap_or_default();
        let of = |kind: &str| events.iter().any(|e| e["reason"] == "TtlTooShort" && e["regarding"]["kind"] == kind);
        if condition["reason"] == reason && condition["status"] == "True" && of("Workflow") && of("WorkflowPolicy") {
            let message = condition["message"].as_str().unwrap_or_default();
            ensure!(message.contains(namespace), "{message} names no run");
            return Ok(());
        }
        ensure!(begun.elapsed() < LIMIT, "{namespace}: {condition}, not {reason}:\n{}", operator.tail(20));
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// Until so many finished runs are counted; of these nothing is said.
async fn silent(ground: &Ground, namespace: &str, finished: u32, operator: &Operator) -> Result<()> {
    let begun = Instant::now();
    loop {
        let (condition, count) = said(ground, namespace).await?;
        ensure!(condition.is_null(), "{namespace}: {condition}");
        if count == finished {
            return Ok(());
        }
        ensure!(begun.elapsed() < LIMIT, "{namespace} counts {count} runs:\n{}", operator.tail(20));
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

pub async fn what_argo_deletes_too_soon_is_told(ground: &Ground) -> Result<()> {
    let bed = &ground.bed;
    ground.install().await?;
    keep::grant(bed).await?;
    for namespace in ["sooner", "later", "cronned"] {
        team(bed, namespace).await?;
    }
    let cron = json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "CronWorkflow", "metadata": {"name": "nightly"},
        "spec": {"schedule": "0 0 1 1 *", "successfulJobsHistoryLimit": 0, "workflowSpec": {
            "entrypoint": "main", "templates": [{"name": "main", "suspend": {"duration": "1"}}]}},
    });
    bed.apply_value(cron, "cronned").await?;
    let mut operator = ground.operator("sooner").await?;

    let long = run(bed, "later", "long", Some(3600), json!({})).await?;
    bed.wait_for_phase(&long, "Succeeded", LIMIT).await?;
    run(bed, "sooner", "short", Some(3), json!({})).await?;
    warned(ground, "sooner", "WorkflowTtl", &operator).await.context("a ttlStrategy of seconds")?;
    keep::all_gone(ground, "sooner", &operator, LIMIT).await.context("Argo leaves it")?;
    let labels = json!({"workflows.argoproj.io/cron-workflow": "nightly"});
    run(bed, "cronned", "nightly-1", None, labels).await?;
    warned(ground, "cronned", "HistoryLimit", &operator).await.context("no history")?;
    // A count alone is told every half a minute.
    silent(ground, "later", 1, &operator).await.context("an hour is enough")?;

    // Another controller's settings: they are read as soon as the Watchdog lists it.
    bed.namespace("retained").await?;
    let settings = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "workflow-controller-configmap"},
        "data": {"config": "retentionPolicy:\n  completed: 0\n  failed: 3\n  errored: 3\n"},
    });
    bed.apply_value(settings, "retained").await?;
    let subject = json!([{"kind": "ServiceAccount", "name": "unstick", "namespace": "unstick-system"}]);
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "unstick-argo"},
        "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"],
            "resourceNames": ["workflow-controller-configmap"]}],
    });
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "unstick-argo"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "unstick-argo"},
        "subjects": subject,
    });
    for object in [role, binding] {
        bed.apply_value(object, "retained").await?;
    }
    let watchdog = json!({
        "apiVersion": "unstick.dev/v1alpha1", "kind": "Watchdog", "metadata": {"name": "default"},
        "spec": {"argo": [{"name": "default", "namespace": "retained"}]},
    });
    bed.apply_value(watchdog, "").await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    run(bed, "later", "unlucky", None, json!({})).await?;
    warned(ground, "later", "RetentionPolicy", &operator).await.context("a retentionPolicy of none")?;
    let path = "/apis/unstick.dev/v1alpha1/watchdogs/default";
    ground.client.request_text(http::Request::delete(path).body(Vec::new())?).await?;
    operator.terminate(Duration::from_secs(20)).await.map(drop)
}
