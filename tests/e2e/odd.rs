//! What a person's slip or a defect leaves in the API server: unreadable objects, damaged fields. The others go on.

use std::time::Duration;

use anyhow::{Result, bail, ensure};
use serde_json::json;

use super::detections::exactly;
use super::seen::scrape;
use super::world::World;

const NAMESPACE: &str = "odd";

/// Patched in: Argo writes none of this, and has an instance id in the way of reading it.
pub async fn damaged_objects_are_counted_and_left_alone(world: &World) -> Result<()> {
    let bed = &world.shared.bed;
    let rules = json!([
        {"name": "gate", "type": "Suspended", "after": "2s"},
        {"name": "pickup", "type": "NotPickedUp", "after": "2s"},
    ]);
    let odd = world.team(NAMESPACE, rules, &["no-controller", "unreconciled", "suspended-node"]).await?;
    // A switch that is neither on nor off, and nodes that nobody can decode.
    bed.patch_workflow(&odd[0], &json!({"spec": {"suspend": "yes"}})).await?;
    let damaged = json!({"status": {"phase": "Running", "compressedNodes": "H4sIAAAA"}});
    bed.patch_workflow(&odd[1], &damaged).await?;
    // The server takes this offset for a time.
    let incident = json!({
        "apiVersion": "unstick.dev/v1alpha1", "kind": "WorkflowIncident", "metadata": {"name": "by-hand"},
        "spec": {
            "workflowRef": {"name": "w", "uid": "u", "startedAt": "2026-11-21T10:00:00+99:00"},
            "policyRef": {"kind": "WorkflowPolicy", "name": "team", "uid": "p", "generation": 1},
        },
    });
    bed.apply_value(incident, NAMESPACE).await?;
    let wanted = [
        "unstick_workflow_oddities_total ",
        r#"unstick_nodes_undecodable_total{cause="Corrupt"} "#,
        r#"unstick_workflows_unknown{reason="NodesUndecodable"} "#,
        r#"unstick_poison_objects_total{resource="workflowincidents"} "#,
    ];
    let mut text = String::new();
    for _ in 0..40 {
        text = scrape(&world.operator).await?;
        if wanted.iter().all(|w| text.contains(w)) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    let missing: Vec<_> = wanted.iter().filter(|w| !text.contains(**w)).collect();
    let path = format!("/apis/unstick.dev/v1alpha1/namespaces/{NAMESPACE}/workflowincidents/by-hand");
    bed.admin()?.request_text(http::Request::delete(path).body(Vec::new())?).await?;
    if !missing.is_empty() {
        bail!("{missing:?} are missing; log:\n{}", world.operator.tail(20));
    }
    let fine = [
        r#"no-controller: NotPickedUp NoController """#.to_owned(),
        r#"suspended-node: Suspended AwaitingResume "approve""#.to_owned(),
    ];
    let now = exactly(world, NAMESPACE, &fine).await?;
    ensure!(now.len() == fine.len(), "of what can't be read nothing is said");
    Ok(())
}

/// Stage and agent of finished nodes, as a policy says how to read them.
pub async fn stages_and_agents_are_measured(world: &World) -> Result<()> {
    let bed = &world.shared.bed;
    bed.namespace("observed").await?;
    let policy = json!({
        "apiVersion": "unstick.dev/v1alpha1", "kind": "WorkflowPolicy", "metadata": {"name": "team"},
        "spec": {
            "selector": {},
            "detections": [{"name": "long", "type": "RunningTooLong", "after": "1h"}],
            "observe": {"stage": {"from": {"type": "TemplateName"}}, "agent": {"from": {"type": "Constant", "key": "coder"}}},
        },
    });
    bed.apply_value(policy, "observed").await?;
    // Two steps that succeed, one pod that fails.
    for (name, phase) in [("outputs", "Succeeded"), ("exit-code", "Failed")] {
        let workflow = bed.submit("observed", &unstick_bed::scenario::yaml(name)?).await?;
        bed.wait_for_phase(&workflow, phase, Duration::from_secs(40)).await?;
    }
    let wanted = [
        r#"unstick_stage_duration_seconds_count{stage="measure"} 1"#,
        r#"unstick_stage_duration_seconds_count{stage="use"} 1"#,
        r#"unstick_agent_executions_total{namespace="observed",github_app="coder",stage="measure",result="Success",failure_reason=""} 1"#,
        r#"unstick_agent_executions_total{namespace="observed",github_app="coder",stage="main",result="Failure",failure_reason="ExitCode"} 1"#,
        r#"unstick_agent_execution_duration_seconds_count{github_app="coder",stage="use"} 1"#,
    ];
    let mut text = String::new();
    for _ in 0..40 {
        text = scrape(&world.operator).await?;
        if wanted.iter().all(|w| text.contains(w)) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    let missing: Vec<_> = wanted.iter().filter(|w| !text.contains(**w)).collect();
    bail!("{missing:?} are missing in\n{text}")
}
