//! States of workflows, brought about by the real Argo: submitted, stopped, deleted as people do, and waited for.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures::future::try_join_all;
use k8s_openapi::api::core::v1::Pod;
use kube::api::Api;
use serde_json::{Value, json};
use unstick::api::reasons::DetectionType;
use unstick_bed::workflow::node;
use unstick_bed::{Bed, WorkflowRef, scenario};

use super::world::World;

const LIMIT: Duration = Duration::from_secs(60);
/// Take their locks before others ask for them.
const HOLDERS: [&str; 2] = ["mutex-holder", "semaphore-holder"];

/// A detection of each of these types.
pub fn detections(types: &[DetectionType], after: &str) -> Value {
    types.iter().map(|t| json!({"name": t.as_str().to_lowercase(), "type": t, "after": after})).collect()
}

/// Every type but those that any old workflow has.
pub fn telling() -> Vec<DetectionType> {
    let any_has = |t: &DetectionType| matches!(t, DetectionType::RunningTooLong | DetectionType::NoProgress);
    DetectionType::ALL.iter().copied().filter(|t| !any_has(t)).collect()
}

/// Brings scenarios about in a namespace with a policy of these detections, and returns when each is in its state.
pub async fn bring_about(world: &World, namespace: &str, detections: Value, names: &[&str]) -> Result<()> {
    world.team(namespace, detections, &[]).await?;
    let bed = &world.shared.bed;
    bed.apply("{apiVersion: v1, kind: ConfigMap, metadata: {name: slots}, data: {gpu: '1'}}", namespace).await?;
    let asks =
        |lock: &str| names.iter().any(|n| n.starts_with(lock) || (lock == "mutex" && n.starts_with("stopping-lock")));
    let held: Vec<_> = HOLDERS.into_iter().filter(|h| asks(h.trim_end_matches("-holder"))).collect();
    submit(bed, namespace, &held).await?;
    try_join_all(held.iter().map(|name| arrive(bed, namespace, name))).await?;
    let rest: Vec<_> = names.iter().copied().filter(|n| !HOLDERS.contains(n)).collect();
    submit(bed, namespace, &rest).await?;
    try_join_all(rest.iter().map(|name| arrive(bed, namespace, name))).await.map(drop)
}

async fn submit(bed: &Bed, namespace: &str, names: &[&str]) -> Result<()> {
    for name in names {
        bed.submit(namespace, &scenario::yaml(name)?).await?;
    }
    Ok(())
}

/// Does what people do to get a workflow into its state, and waits until it is there.
pub async fn arrive(bed: &Bed, namespace: &str, name: &str) -> Result<()> {
    let workflow = WorkflowRef::new(namespace, name);
    let before = |w: &Value| match name {
        "finalizer" => w["status"]["phase"] == "Succeeded",
        "stopping-suspended" => w["status"]["phase"] == "Running",
        "stopping-lock" => waits(w),
        "stopping-lock-step" => node(w, "deploy").is_some_and(|n| n["synchronizationStatus"]["waiting"].is_string()),
        "stopped" | "stopped-stubborn" | "stopping-exit-handler" | "stopping-lost-result" => is(w, name, "Running"),
        _ => true,
    };
    bed.wait_for(&workflow, "ready to be dealt with", LIMIT, before).await?;
    if name.contains("lost-result") {
        ended_without_report(bed, namespace, name).await?;
    }
    match name {
        "finalizer" => bed.delete_workflow(&workflow).await?,
        "stopping-suspended" => shut_down(bed, &workflow, "Terminate").await?,
        _ if name.starts_with("stop") => shut_down(bed, &workflow, "Stop").await?,
        _ => {}
    }
    bed.wait_for(&workflow, "in its state", LIMIT, |w| there(name, w)).await.map(drop)
}

/// Waits until the pod of a workflow with one pod has succeeded; its task result is never completed.
async fn ended_without_report(bed: &Bed, namespace: &str, name: &str) -> Result<()> {
    let pods: Api<Pod> = Api::namespaced(bed.admin()?, namespace);
    for _ in 0..120 {
        let pod = pods.get_opt(name).await?;
        if pod.and_then(|p| p.status?.phase).as_deref() == Some("Succeeded") {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    bail!("the pod of {namespace}/{name} does not end")
}

/// Stops or terminates a workflow as `argo stop` and `argo terminate` do.
pub async fn shut_down(bed: &Bed, workflow: &WorkflowRef, how: &str) -> Result<()> {
    bed.patch_workflow(workflow, &json!({"spec": {"shutdown": how}})).await.map(drop)
}

/// Resumes the active Suspend nodes as `argo resume` does.
pub async fn resume(bed: &Bed, workflow: &WorkflowRef) -> Result<()> {
    let seen = bed.workflow(workflow).await?;
    let nodes = seen["status"]["nodes"].as_object().context("no nodes")?;
    let at = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    for (id, node) in nodes.iter().filter(|(_, n)| n["type"] == "Suspend" && n["phase"] == "Running") {
        let done = json!({"status": {"nodes": {id: {"phase": "Succeeded", "finishedAt": at}}}});
        bed.patch_workflow(workflow, &done).await.with_context(|| node["displayName"].to_string())?;
    }
    Ok(())
}

/// Whether a scenario is in the state it is named after.
fn there(name: &str, w: &Value) -> bool {
    let phase = |wanted: &str| w["status"]["phase"] == wanted;
    let says = |words: &str| node(w, name).and_then(|n| n["message"].as_str()).is_some_and(|m| m.contains(words));
    match name {
        "suspended-node" | "retry-daemon" => is(w, "approve", "Running"),
        "auto-resume" | "auto-resume-hour" => node(w, "pause").is_some(),
        "spec-suspend" | "stopping-suspended" => phase("Running"),
        "image-pull" => says("ImagePullBackOff"),
        "container-config" => says("CreateContainerConfigError"),
        "unschedulable" => says("Unschedulable"),
        "quota" => says("exceeded quota"),
        "pod-pending" => is(w, name, "Pending"),
        // Whether Argo saw it run is a matter of luck.
        "lost-result-quick" => node(w, name).is_some(),
        "mutex-workflow" | "semaphore-workflow" | "stopping-lock" => waits(w),
        "mutex-template" | "stopping-lock-step" => is(w, "deploy", "Pending"),
        "stopping-exit-handler" => is(w, "stopping-exit-handler.onExit", "Running"),
        "parallelism-limit" => phase("Pending"),
        "no-controller" | "unreconciled" => w["status"]["phase"].is_null(),
        "finalizer" => w["metadata"]["deletionTimestamp"].is_string(),
        "succeeded" => phase("Succeeded"),
        "stopped" | "stopped-stubborn" => phase("Failed"),
        _ => node(w, name).is_some_and(|n| n["phase"] != "Pending"),
    }
}

fn is(w: &Value, name: &str, phase: &str) -> bool {
    node(w, name).is_some_and(|n| n["phase"] == phase)
}

fn waits(w: &Value) -> bool {
    let locks = &w["status"]["synchronization"];
    ["mutex", "semaphore"].iter().any(|kind| locks[kind]["waiting"].is_array())
}
