//! Workflows that wait for room: a free slot of their namespace, a pod within its quota.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use unstick_bed::{Bed, WorkflowRef};

use super::detections::exactly;
use super::states::{bring_about, detections, shut_down, telling};
use super::world::{World, line};

const LIMIT: Duration = Duration::from_secs(60);

/// One workflow at a time in this namespace, and the one there is doesn't end.
async fn no_slot(world: &World, namespace: &str, after: &str) -> Result<()> {
    let bed = &world.shared.bed;
    bed.namespace(namespace).await?;
    let label = json!({"metadata": {"labels": {"workflows.argoproj.io/parallelism-limit": "1"}}});
    patch(bed, &format!("/api/v1/namespaces/{namespace}"), &label).await.context("cannot limit the namespace")?;
    // Argo hears of the label by a watch of its own.
    tokio::time::sleep(Duration::from_secs(1)).await;
    bring_about(world, namespace, detections(&telling(), after), &["long-running"]).await?;
    bring_about(world, namespace, detections(&telling(), after), &["parallelism-limit"]).await
}

/// A quota that is used up, and a workflow that comes too late.
async fn no_room(world: &World, namespace: &str, after: &str) -> Result<()> {
    let bed = &world.shared.bed;
    bed.namespace(namespace).await?;
    let quota = "{apiVersion: v1, kind: ResourceQuota, metadata: {name: compute}, spec: {hard: {pods: '4'}}}";
    bed.apply(quota, namespace).await?;
    // Who would count is the controller-manager; the admission that refuses is the server's own.
    used(bed, namespace, "4").await?;
    bring_about(world, namespace, detections(&telling(), after), &["quota"]).await
}

async fn used(bed: &Bed, namespace: &str, pods: &str) -> Result<()> {
    let path = format!("/api/v1/namespaces/{namespace}/resourcequotas/compute/status");
    let status = json!({"status": {"hard": {"pods": "4"}, "used": {"pods": pods}}});
    patch(bed, &path, &status).await.context("cannot fill the quota")
}

async fn patch(bed: &Bed, path: &str, patch: &Value) -> Result<()> {
    let request = http::Request::patch(path)
        .header("content-type", "application/merge-patch+json")
        .body(serde_json::to_vec(patch)?)?;
    bed.admin()?.request::<Value>(request).await.map(drop).map_err(Into::into)
}

pub async fn no_free_slot_and_no_room_in_the_quota(world: &World) -> Result<()> {
    no_slot(world, "slots", "4s").await?;
    no_room(world, "quota", "4s").await?;
    let slots = [
        r#"long-running: NodeRunningTooLong NodeOverAge "long-running""#.to_owned(),
        r#"parallelism-limit: Pending ParallelismLimit """#.to_owned(),
    ];
    exactly(world, "slots", &slots).await?;
    exactly(world, "quota", &[r#"quota: Pending QuotaExceeded "quota""#.to_owned()]).await?;
    Ok(())
}

/// A slot and room come before the threshold: nobody hears of it. Nor of those that have not waited that long.
pub async fn a_slot_and_room_in_time(world: &World) -> Result<()> {
    const AFTER: Duration = Duration::from_secs(20);
    let begun = tokio::time::Instant::now();
    no_slot(world, "slots-in-time", "20s").await?;
    no_room(world, "quota-in-time", "20s").await?;
    let bed = &world.shared.bed;
    shut_down(bed, &WorkflowRef::new("slots-in-time", "long-running"), "Terminate").await?;
    used(bed, "quota-in-time", "0").await?;
    for (namespace, name) in [("slots-in-time", "parallelism-limit"), ("quota-in-time", "quota")] {
        bed.wait_for_phase(&WorkflowRef::new(namespace, name), "Succeeded", LIMIT).await?;
    }
    ensure!(begun.elapsed() < AFTER, "it took {:?}: the trial proves nothing", begun.elapsed());
    tokio::time::sleep_until(begun + AFTER + Duration::from_secs(5)).await;
    for namespace in ["slots-in-time", "quota-in-time"] {
        let there: Vec<_> = world.incidents(namespace).await?.iter().map(line).collect();
        ensure!(there.is_empty(), "{namespace}: {there:?}");
    }
    Ok(())
}
