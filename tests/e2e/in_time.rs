//! Near misses: every state is really there and is over before its threshold, as Argo and people end it. Nothing is said.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use unstick::api::reasons::DetectionType;
use unstick_bed::{Bed, WorkflowRef, scenario};

use super::states::{arrive, detections, resume, shut_down};
use super::world::{World, line};

const NAMESPACE: &str = "in-time";
/// Threshold of every detection: twice what Argo takes for all of this.
const AFTER: Duration = Duration::from_secs(30);
const LIMIT: Duration = Duration::from_secs(40);

/// Scenarios, and what their pods are told so that the trouble passes by itself: key and value of an annotation.
const PASSING: &[(&str, &[(&str, &str)])] = &[
    ("image-pull", &[("over", "6")]),
    ("container-config", &[("over", "6")]),
    ("unschedulable", &[("over", "6")]),
    ("pod-pending", &[("over", "6")]),
    ("stopping-lost-result", &[]),
    ("long-running", &[("do", "ok"), ("seconds", "4")]),
    ("suspended-node", &[]),
    ("spec-suspend", &[]),
    ("stopping-suspended", &[]),
    ("lost-result", &[("seconds", "2")]),
    ("no-controller", &[]),
    ("unreconciled", &[]),
    ("finalizer", &[]),
    ("auto-resume", &[]),
    ("mutex-workflow", &[]),
    ("mutex-template", &[]),
    ("stopping-lock", &[]),
    ("stopping-lock-step", &[]),
    ("stopping-exit-handler", &[]),
];

pub async fn what_is_over_in_time_is_never_mentioned(world: &World) -> Result<()> {
    let bed = &world.shared.bed;
    let begun = tokio::time::Instant::now();
    world.team(NAMESPACE, detections(DetectionType::ALL, &format!("{}s", AFTER.as_secs())), &[]).await?;
    bed.submit(NAMESPACE, &scenario::yaml("mutex-holder")?).await?;
    arrive(bed, NAMESPACE, "mutex-holder").await?;
    for (name, told) in PASSING {
        bed.submit_value(NAMESPACE, tell(name, told)?).await?;
    }
    futures::future::try_join_all(PASSING.iter().map(|(name, _)| arrive(bed, NAMESPACE, name))).await?;
    relieve(bed).await?;

    for (name, _) in PASSING.iter().filter(|(name, _)| *name != "finalizer") {
        let ended = |w: &Value| matches!(w["status"]["phase"].as_str(), Some("Succeeded" | "Failed" | "Error"));
        bed.wait_for(&at(name), "over", LIMIT, ended).await?;
    }
    ensure!(bed.workflow(&at("finalizer")).await.is_err(), "the finalizer still holds its workflow");
    ensure!(begun.elapsed() < AFTER, "it took {:?}: the trial proves nothing", begun.elapsed());
    println!("all over after {:?}", begun.elapsed());
    tokio::time::sleep_until(begun + AFTER + Duration::from_secs(6)).await;
    let there: Vec<_> = world.incidents(NAMESPACE).await?.iter().map(line).collect();
    ensure!(there.is_empty(), "{there:?}");
    Ok(())
}

/// Ends what doesn't pass by itself, each as its owner would.
async fn relieve(bed: &Bed) -> Result<()> {
    shut_down(bed, &at("mutex-holder"), "Terminate").await?;
    resume(bed, &at("suspended-node")).await?;
    for name in ["spec-suspend", "stopping-suspended"] {
        bed.patch_workflow(&at(name), &json!({"spec": {"suspend": null}})).await?;
    }
    for name in ["no-controller", "unreconciled"] {
        let label = json!({"metadata": {"labels": {"workflows.argoproj.io/controller-instanceid": null}}});
        bed.patch_workflow(&at(name), &label).await?;
    }
    bed.patch_workflow(&at("finalizer"), &json!({"metadata": {"finalizers": null}})).await?;
    shut_down(bed, &at("stopping-exit-handler"), "Terminate").await?;
    // The executor's report, late.
    for name in ["lost-result", "stopping-lost-result"] {
        let path = format!("/apis/argoproj.io/v1alpha1/namespaces/{NAMESPACE}/workflowtaskresults/{name}");
        let label = json!({"metadata": {"labels": {"workflows.argoproj.io/report-outputs-completed": "true"}}});
        let request = http::Request::patch(path)
            .header("content-type", "application/merge-patch+json")
            .body(serde_json::to_vec(&label)?)?;
        bed.admin()?.request::<Value>(request).await.with_context(|| format!("the late report of {name}"))?;
    }
    Ok(())
}

fn at(name: &str) -> WorkflowRef {
    WorkflowRef::new(NAMESPACE, name)
}

/// The scenario with further annotations on its first template.
fn tell(name: &str, told: &[(&str, &str)]) -> Result<Value> {
    let mut workflow: Value = serde_saphyr::from_str(&scenario::yaml(name)?)?;
    for (key, value) in told {
        workflow["spec"]["templates"][0]["metadata"]["annotations"][format!("bed.unstick.dev/{key}")] = json!(value);
    }
    Ok(workflow)
}
