//! Every detection on states that the real Argo brought about: it fires, and its near miss doesn't.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use unstick::api::incident::IncidentState;
use unstick::api::reasons::DetectionType;
use unstick_bed::WorkflowRef;

use super::world::{World, line};

/// (scenario, detection, reason, node)
const FIRES: &[(&str, &str, &str, &str)] = &[
    ("suspended-node", "Suspended", "AwaitingResume", "approve"),
    ("spec-suspend", "Suspended", "SuspendedBySpec", ""),
    ("stopping-suspended", "StoppingTooLong", "ShutdownIgnoredWhileSuspended", ""),
    ("stopping-exit-handler", "StoppingTooLong", "ExitHandlerRunning", ""),
    ("image-pull", "Pending", "ImagePull", "image-pull"),
    ("container-config", "Pending", "ContainerConfig", "container-config"),
    ("unschedulable", "Pending", "Unschedulable", "unschedulable"),
    ("pod-pending", "Pending", "PodPending", "pod-pending"),
    ("mutex-workflow", "Pending", "WaitingForLock", ""),
    ("lost-result", "TaskResultLost", "ResultIncomplete", "lost-result"),
    ("lost-result-quick", "TaskResultLost", "ResultIncomplete", "lost-result-quick"),
    ("no-controller", "NotPickedUp", "NoController", ""),
    ("finalizer", "DeletionBlocked", "Finalizer", ""),
    ("mutex-holder", "NodeRunningTooLong", "NodeOverAge", "mutex-holder"),
];

/// Every type but those that any old workflow has.
fn detections(after: &str) -> Value {
    DetectionType::ALL
        .iter()
        .filter(|t| !matches!(t, DetectionType::RunningTooLong | DetectionType::NoProgress))
        .map(|t| json!({"name": t.as_str().to_lowercase(), "type": t, "after": after}))
        .collect()
}

async fn bring_about(world: &World, namespace: &str, after: &str) -> Result<()> {
    let names: Vec<&str> = FIRES.iter().map(|(name, ..)| *name).chain(["succeeded", "auto-resume"]).collect();
    // The holder takes the lock before the other asks for it.
    let (holder, rest): (Vec<&str>, Vec<&str>) = names.into_iter().partition(|n| *n == "mutex-holder");
    let bed = &world.shared.bed;
    let held = world.team(namespace, detections(after), &holder).await?;
    for workflow in &held {
        bed.wait_for_phase(workflow, "Running", Duration::from_secs(20)).await?;
    }
    world.team(namespace, detections(after), &rest).await?;
    let at = |name: &str| WorkflowRef::new(namespace, name);
    bed.wait_for_phase(&at("finalizer"), "Succeeded", Duration::from_secs(30)).await?;
    bed.delete_workflow(&at("finalizer")).await?;
    bed.wait_for_phase(&at("stopping-exit-handler"), "Running", Duration::from_secs(20)).await?;
    bed.patch_workflow(&at("stopping-exit-handler"), &json!({"spec": {"shutdown": "Stop"}})).await?;
    bed.patch_workflow(&at("stopping-suspended"), &json!({"spec": {"shutdown": "Terminate"}})).await?;
    Ok(())
}

pub async fn each_fires_with_its_own_reason(world: &World) -> Result<()> {
    bring_about(world, "fires", "4s").await?;
    let mut expected: Vec<String> =
        FIRES.iter().map(|(name, kind, reason, node)| format!("{name}: {kind} {reason} {node:?} Open")).collect();
    expected.sort();
    let as_expected = |now: &[unstick::api::incident::WorkflowIncident]| {
        let mut lines: Vec<_> = now.iter().map(line).filter(|l| l.ends_with(" Open")).collect();
        lines.sort();
        lines == expected
    };
    world.wait("fires", &format!("expected\n{}\n", expected.join("\n")), Duration::from_secs(90), as_expected).await?;
    Ok(())
}

pub async fn below_the_threshold_nothing_fires(world: &World) -> Result<()> {
    bring_about(world, "calm", "1h").await?;
    tokio::time::sleep(Duration::from_secs(12)).await;
    let there = world.incidents("calm").await?;
    let open: Vec<_> = there.iter().map(line).filter(|l| !l.ends_with("Unconfirmed")).collect();
    ensure!(open.is_empty(), "{open:?}");
    // The clock of spec.suspend is kept all the same.
    ensure!(there.iter().any(|i| i.spec.workflow_ref.name == "spec-suspend"), "no clock is kept: {there:?}");
    Ok(())
}

pub async fn a_run_too_long_and_one_without_progress(world: &World) -> Result<()> {
    let rules = json!([
        {"name": "too-long", "type": "RunningTooLong", "after": "6s"},
        {"name": "no-progress", "type": "NoProgress", "after": "3s"},
    ]);
    // A pod at work is long, not without progress; one that can't be scheduled is both.
    world.team("ages", rules, &["long-running", "unschedulable", "succeeded"]).await?;
    let wanted = ["long-running: RunningTooLong OverAge \"\" Open", "unschedulable: NoProgress NoNodeChange \"\" Open"];
    world
        .wait("ages", &format!("{wanted:?}"), Duration::from_secs(40), |now| {
            let lines: Vec<_> = now.iter().map(line).collect();
            wanted.iter().all(|w| lines.iter().any(|l| l == w)) && lines.len() == 2
        })
        .await?;
    Ok(())
}

pub async fn what_is_resumed_in_time_or_later_recovers(world: &World) -> Result<()> {
    let rules = json!([{"name": "gate", "type": "Suspended", "after": "3s"}]);
    let gates = world.team("gates", rules, &["suspended-node", "auto-resume"]).await?;
    world
        .wait("gates", "the gate's incident", Duration::from_secs(30), |now| {
            now.len() == 1 && line(&now[0]).ends_with(" Open")
        })
        .await?;
    let bed = &world.shared.bed;
    let gate = bed.workflow(&gates[0]).await?;
    let nodes = gate["status"]["nodes"].as_object().cloned().unwrap_or_default();
    for (id, node) in nodes {
        if node["type"] == "Suspend" && node["phase"] == "Running" {
            let at = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
            let done = json!({"status": {"nodes": {id: {"phase": "Succeeded", "finishedAt": at}}}});
            bed.patch_workflow(&gates[0], &done).await?;
        }
    }
    world
        .wait("gates", "closed", Duration::from_secs(30), |now| {
            let state = now.first().and_then(|i| i.status.as_ref()?.state);
            now.len() == 1 && matches!(state, Some(IncidentState::Recovered | IncidentState::Ended))
        })
        .await?;
    Ok(())
}

/// LockWedged is patched in: Argo itself frees a lock whose holder ends, but for its defects (argo-workflows #8684).
pub async fn a_lock_whose_holder_is_gone_by_a_patched_status(world: &World) -> Result<()> {
    let rules = json!([{"name": "wedged", "type": "LockWedged", "after": "3s"}]);
    let waiting = world.team("wedged", rules, &["no-controller"]).await?;
    // Its instance id keeps the real controller away from it.
    let status = |holder: &str| {
        json!({"status": {"phase": "Pending", "synchronization": {"mutex": {"waiting": [
            {"mutex": "wedged/Mutex/gpu", "holder": format!("wedged/{holder}")}
        ]}}}})
    };
    let bed = &world.shared.bed;
    bed.patch_workflow(&waiting[0], &status("no-controller")).await?;
    tokio::time::sleep(Duration::from_secs(6)).await;
    ensure!(world.incidents("wedged").await?.is_empty(), "a holder that lives wedges nothing");
    bed.patch_workflow(&waiting[0], &status("long-gone")).await?;
    let wanted = "no-controller: LockWedged HolderGone \"\" Open";
    world.wait("wedged", wanted, Duration::from_secs(30), |now| now.iter().map(line).any(|l| l == wanted)).await?;
    Ok(())
}
