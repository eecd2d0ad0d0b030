//! Every detection on states that the real Argo brought about: it fires, and its near misses don't.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::json;
use unstick::api::incident::{IncidentState, WorkflowIncident};
use unstick::api::reasons::DetectionType::{self, DeletionBlocked, LockWedged, NoProgress, NodeRunningTooLong};
use unstick::api::reasons::DetectionType::{NotPickedUp, Pending, StoppingTooLong, Suspended, TaskResultLost};

use super::states::{bring_about, detections, resume, telling};
use super::world::{World, line};

/// Scenario, and all that holds for it: type, reason and node of each detection.
const FIRES: &[(&str, &str)] = &[
    ("suspended-node", r#"Suspended AwaitingResume "approve""#),
    // The daemon beside it is meant to stay.
    ("retry-daemon", r#"Suspended AwaitingResume "approve""#),
    ("spec-suspend", r#"Suspended SuspendedBySpec """#),
    ("stopping-suspended", r#"StoppingTooLong ShutdownIgnoredWhileSuspended "" + Suspended SuspendedBySpec """#),
    (
        "stopping-exit-handler",
        r#"StoppingTooLong ExitHandlerRunning "" + NodeRunningTooLong NodeOverAge "stopping-exit-handler.onExit""#,
    ),
    (
        "stopping-lost-result",
        r#"StoppingTooLong PodsRemain "" + TaskResultLost ResultIncomplete "stopping-lost-result" + NodeRunningTooLong NodeOverAge "stopping-lost-result""#,
    ),
    ("stopping-lock", r#"StoppingTooLong LockWait "" + Pending WaitingForLock """#),
    ("stopping-lock-step", r#"StoppingTooLong LockWait "" + Pending WaitingForLock "deploy""#),
    ("image-pull", r#"Pending ImagePull "image-pull""#),
    ("container-config", r#"Pending ContainerConfig "container-config""#),
    ("unschedulable", r#"Pending Unschedulable "unschedulable""#),
    ("pod-pending", r#"Pending PodPending "pod-pending""#),
    ("mutex-workflow", r#"Pending WaitingForLock """#),
    ("mutex-template", r#"Pending WaitingForLock "deploy""#),
    ("semaphore-workflow", r#"Pending WaitingForLock """#),
    ("lost-result", r#"TaskResultLost ResultIncomplete "lost-result" + NodeRunningTooLong NodeOverAge "lost-result""#),
    ("lost-result-quick", r#"TaskResultLost ResultIncomplete "lost-result-quick""#),
    ("no-controller", r#"NotPickedUp NoController """#),
    ("unreconciled", r#"NotPickedUp Unreconciled """#),
    ("finalizer", r#"DeletionBlocked Finalizer """#),
    ("mutex-holder", r#"NodeRunningTooLong NodeOverAge "mutex-holder""#),
    ("semaphore-holder", r#"NodeRunningTooLong NodeOverAge "semaphore-holder""#),
];
const HEALTHY: &[&str] = &["succeeded", "auto-resume", "auto-resume-hour", "stopped", "stopped-stubborn"];

/// A policy of these types alone: what fires under it, and what is stuck for another cause and must not.
const OTHERS: &[(&str, &[DetectionType], &str, &str)] = &[
    (
        "only-suspended",
        &[Suspended],
        r#"suspended-node: Suspended AwaitingResume "approve""#,
        "image-pull unschedulable mutex-workflow mutex-template lost-result no-controller finalizer \
         stopping-exit-handler auto-resume-hour",
    ),
    (
        "only-pending",
        &[Pending],
        r#"image-pull: Pending ImagePull "image-pull""#,
        "suspended-node spec-suspend lost-result lost-result-quick stopping-exit-handler stopping-lost-result \
         long-running no-controller finalizer",
    ),
    (
        "only-stopping",
        &[StoppingTooLong],
        r#"stopping-suspended: StoppingTooLong ShutdownIgnoredWhileSuspended """#,
        "suspended-node spec-suspend image-pull mutex-workflow lost-result no-controller finalizer stopped \
         stopped-stubborn",
    ),
    (
        "only-absent",
        &[DeletionBlocked, NotPickedUp, LockWedged, TaskResultLost],
        r#"no-controller: NotPickedUp NoController """#,
        "suspended-node spec-suspend image-pull mutex-workflow mutex-template semaphore-workflow \
         stopping-exit-handler stopping-suspended long-running",
    ),
    (
        "only-nodes",
        &[NodeRunningTooLong],
        r#"long-running: NodeRunningTooLong NodeOverAge "long-running""#,
        "suspended-node spec-suspend image-pull retry-daemon no-controller finalizer",
    ),
    (
        "only-progress",
        &[NoProgress],
        r#"unschedulable: NoProgress NoNodeChange """#,
        "suspended-node spec-suspend long-running auto-resume-hour mutex-workflow stopping-exit-handler \
         no-controller finalizer",
    ),
];

pub async fn each_fires_with_its_own_reason_and_no_other(world: &World) -> Result<()> {
    let names: Vec<&str> = FIRES.iter().map(|(name, _)| *name).chain(HEALTHY.iter().copied()).collect();
    bring_about(world, "fires", detections(&telling(), "4s"), &names).await?;
    let expected: Vec<String> = FIRES.iter().map(|(name, holds)| format!("{name}: {holds}")).collect();
    let now = exactly(world, "fires", &expected).await?;
    for (waits, holder) in [("mutex-workflow", "fires/mutex-holder"), ("semaphore-workflow", "fires/semaphore-holder")]
    {
        let of = |i: &&WorkflowIncident| i.spec.workflow_ref.name == waits;
        let said = now.iter().find(of).and_then(|i| Some(i.status.as_ref()?.detections.first()?.message.clone()));
        ensure!(said.as_ref().is_some_and(|m| m.contains(&format!("held by {holder}"))), "{waits}: {said:?}");
    }
    Ok(())
}

pub async fn below_the_threshold_nothing_fires(world: &World) -> Result<()> {
    let names: Vec<&str> = FIRES.iter().map(|(name, _)| *name).collect();
    bring_about(world, "calm", detections(DetectionType::ALL, "1h"), &names).await?;
    tokio::time::sleep(Duration::from_secs(8)).await;
    let there = world.incidents("calm").await?;
    let open: Vec<_> = there.iter().map(line).filter(|l| !l.ends_with("Unconfirmed")).collect();
    ensure!(open.is_empty(), "{open:?}");
    // The clock of spec.suspend is kept all the same.
    ensure!(there.iter().any(|i| i.spec.workflow_ref.name == "spec-suspend"), "no clock is kept: {there:?}");
    Ok(())
}

/// What is stuck for another cause is none of a policy's business; one workflow beside it shows that the policy judges.
pub async fn another_cause_is_left_alone(world: &World) -> Result<()> {
    for (namespace, types, fires, others) in OTHERS {
        let control = fires.split(':').next().unwrap_or_default();
        let names: Vec<&str> = others.split_whitespace().chain([control]).collect();
        bring_about(world, namespace, detections(types, "4s"), &names).await?;
    }
    // The last one's threshold, and time for a word too many.
    tokio::time::sleep(Duration::from_secs(8)).await;
    let mut wrong = Vec::new();
    for (namespace, _, fires, _) in OTHERS {
        if let Err(error) = exactly(world, namespace, &[(*fires).to_owned()]).await {
            wrong.push(format!("{namespace}: {error:#}"));
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// Waits until the open incidents of a namespace are these and nothing else.
pub async fn exactly(world: &World, namespace: &str, expected: &[String]) -> Result<Vec<WorkflowIncident>> {
    let mut expected: Vec<String> = expected.iter().map(|e| format!("{e} Open")).collect();
    expected.sort();
    let as_expected = |now: &[WorkflowIncident]| {
        let open = now.iter().map(line).filter(|l| !l.ends_with("Unconfirmed"));
        // A pod that was gone before Argo looked again may have been seen running, or not.
        let mut lines: Vec<_> =
            open.map(|l| l.replace(r#" + NodeRunningTooLong NodeOverAge "lost-result-quick""#, "")).collect();
        lines.sort();
        lines == expected
    };
    world.wait(namespace, &format!("expected\n{}\n", expected.join("\n")), Duration::from_secs(60), as_expected).await
}

pub async fn a_run_too_long_and_one_without_progress(world: &World) -> Result<()> {
    let rules = json!([
        {"name": "too-long", "type": "RunningTooLong", "after": "6s"},
        {"name": "no-progress", "type": "NoProgress", "after": "3s"},
    ]);
    // A pod at work is long, not without progress; one that can't be scheduled is both.
    world.team("ages", rules, &["long-running", "unschedulable", "succeeded"]).await?;
    let wanted = [
        r#"long-running: RunningTooLong OverAge """#.to_owned(),
        r#"unschedulable: NoProgress NoNodeChange "" + RunningTooLong OverAge """#.to_owned(),
    ];
    exactly(world, "ages", &wanted).await.map(drop)
}

pub async fn what_is_resumed_in_time_or_later_recovers(world: &World) -> Result<()> {
    let rules = json!([{"name": "gate", "type": "Suspended", "after": "3s"}]);
    let gates = world.team("gates", rules, &["suspended-node", "auto-resume"]).await?;
    world
        .wait("gates", "the gate's incident", Duration::from_secs(30), |now| {
            now.len() == 1 && line(&now[0]).ends_with(" Open")
        })
        .await?;
    resume(&world.shared.bed, &gates[0]).await?;
    world
        .wait("gates", "closed", Duration::from_secs(30), |now| {
            let state = now.first().and_then(|i| i.status.as_ref()?.state);
            now.len() == 1 && matches!(state, Some(IncidentState::Recovered | IncidentState::Ended))
        })
        .await?;
    Ok(())
}

/// LockWedged is patched in: Argo itself frees a lock whose holder ends, but for its defects (argo-workflows #8684).
pub async fn a_lock_whose_holder_is_gone_or_finished_by_a_patched_status(world: &World) -> Result<()> {
    let rules = json!([{"name": "wedged", "type": "LockWedged", "after": "3s"}]);
    let waiting = world.team("wedged", rules, &["no-controller", "succeeded"]).await?;
    // Its instance id keeps the real controller away from it.
    let status = |holder: &str| {
        json!({"status": {"phase": "Pending", "synchronization": {"mutex": {"waiting": [
            {"mutex": "wedged/Mutex/gpu", "holder": format!("wedged/{holder}")}
        ]}}}})
    };
    let bed = &world.shared.bed;
    bed.wait_for_phase(&waiting[1], "Succeeded", Duration::from_secs(30)).await?;
    bed.patch_workflow(&waiting[0], &status("no-controller")).await?;
    tokio::time::sleep(Duration::from_secs(6)).await;
    ensure!(world.incidents("wedged").await?.is_empty(), "a holder that lives wedges nothing");
    for (holder, reason) in [("long-gone", "HolderGone"), ("succeeded", "HolderFinished")] {
        bed.patch_workflow(&waiting[0], &status(holder)).await?;
        exactly(world, "wedged", &[format!(r#"no-controller: LockWedged {reason} """#)]).await?;
    }
    Ok(())
}
