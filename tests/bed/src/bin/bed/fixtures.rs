//! `bed fixtures`: brings every state of `tests/bed/workflows/` about on the real controller and saves what the API gives.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use unstick_bed::workflow::node;
use unstick_bed::{Argo, ArgoOptions, Bed, Kubelet, Options, WorkflowRef, scenario};

const LIMIT: Duration = Duration::from_mins(1);
const NAMESPACE: &str = "etl";

/// A workflow, what makes it complete, and how one tells.
type Shot = (&'static str, &'static str, fn(&Value) -> bool);

fn phase(workflow: &Value, wanted: &str) -> bool {
    workflow["status"]["phase"] == wanted
}

fn node_is(workflow: &Value, name: &str, wanted: &str) -> bool {
    node(workflow, name).is_some_and(|n| n["phase"] == wanted)
}

fn node_says(workflow: &Value, name: &str, wanted: &str) -> bool {
    node(workflow, name).and_then(|n| n["message"].as_str()).is_some_and(|m| m.contains(wanted))
}

/// Must have their lock before the others ask for it.
const HOLDERS: [&str; 2] = ["mutex-holder", "semaphore-holder"];

/// States a running controller reaches by itself.
const PLAIN: &[Shot] = &[
    ("suspended-node", "a Suspend node waits for somebody", |w| node_is(w, "approve", "Running")),
    ("auto-resume-hour", "a Suspend node with a duration of one hour", |w| node_is(w, "pause", "Running")),
    ("spec-suspend", "spec.suspend from the start: Running, no nodes", |w| phase(w, "Running")),
    ("long-running", "one pod that runs", |w| node_is(w, "long-running", "Running")),
    ("mutex-holder", "holds a mutex", |w| w["status"]["synchronization"]["mutex"]["holding"].is_array()),
    ("mutex-workflow", "the whole workflow waits for that mutex", |w| {
        w["status"]["synchronization"]["mutex"]["waiting"].is_array()
    }),
    ("mutex-template", "one step waits for that mutex", |w| {
        node(w, "deploy").is_some_and(|n| n["synchronizationStatus"]["waiting"].is_string())
    }),
    ("semaphore-holder", "holds the only slot of a semaphore", |w| {
        w["status"]["synchronization"]["semaphore"]["holding"].is_array()
    }),
    ("semaphore-workflow", "the whole workflow waits for a semaphore", |w| {
        w["status"]["synchronization"]["semaphore"]["waiting"].is_array()
    }),
    ("unschedulable", "no machine takes its pod", |w| node_says(w, "unschedulable", "Unschedulable")),
    ("image-pull", "its image can't be pulled", |w| node_says(w, "image-pull", "ImagePullBackOff")),
    ("container-config", "its container can't be configured", |w| {
        node_says(w, "container-config", "CreateContainerConfigError")
    }),
    ("pod-pending", "a pod nobody looks at", |w| node_is(w, "pod-pending", "Pending")),
    ("quota", "a pod that the quota forbids", |w| node_says(w, "quota", "exceeded quota")),
    ("lost-result", "its pod succeeded, its task result is incomplete", |w| {
        node(w, "lost-result").is_some_and(|n| n["taskResultSynced"] == false)
    }),
    ("vanish", "its pod was deleted while it ran", |w| phase(w, "Error")),
    ("vanish-reported", "the same after the executor began its report: Argo makes the pod again, for ever", |w| {
        node_says(w, "vanish-reported", "pod deleted")
    }),
    ("exit-code", "its pod failed with exit code 3", |w| phase(w, "Failed")),
    ("outputs", "an output parameter went from step to step", |w| phase(w, "Succeeded")),
    ("succeeded", "a DAG that succeeded", |w| phase(w, "Succeeded")),
    ("retry-daemon", "Retry, daemon, skipped and loop nodes, then an approval", |w| node_is(w, "approve", "Running")),
    ("no-controller", "meant for another instance id: no status at all", |w| w["metadata"]["uid"].is_string()),
];

const UNTOLD: &str = "
## What the workflow alone doesn't tell
- `taskResultSynced: false` on a Running Pod node is no sign of a loss: the executor begins every report with the label
  `report-outputs-completed=false`, so each healthy running pod looks so (compare mutex-holder.json with lost-result.json). Lost is
  what has a finished or missing pod besides.
- lost-result-quick.json: the pod ended before Argo looked again, so not even `taskResultSynced: false` is there.
- vanish-reported.json: the node alternates between Running and Error, and Argo makes the pod again each time.
- Waiting for a lock in one step shows as a Pending Pod node with `synchronizationStatus.waiting`; the workflow's own phase is Running.
";

/// Brings the states about and writes `<name>.json` and `README.md` into `to`.
pub async fn write(to: &Path) -> Result<()> {
    std::fs::create_dir_all(to).with_context(|| format!("cannot make {}", to.display()))?;
    let bed = Bed::start(Options::default()).await?;
    bed.namespace(NAMESPACE).await?;
    let mut argo = Argo::start(&bed, &ArgoOptions::default()).await?;
    let _kubelet = Kubelet::start(&bed).await?;
    let mut readme = format!(
        "# Workflows as Argo {} wrote them\n\nEach file is the answer of a real API server (`bed fixtures` brings the states of\n\
         tests/bed/workflows/ about and writes them again). Only pods were simulated.\n\n| file | state |\n|---|---|\n",
        argo.version()
    );
    bed.apply("{apiVersion: v1, kind: ConfigMap, metadata: {name: slots}, data: {gpu: '1'}}", NAMESPACE).await?;

    for name in HOLDERS {
        let holder = submit(&bed, name).await?;
        bed.wait_for(&holder, "holding its lock", LIMIT, |w| node_is(w, name, "Running")).await?;
    }
    for (name, _, _) in PLAIN.iter().filter(|s| s.0 != "quota" && !HOLDERS.contains(&s.0)) {
        submit(&bed, name).await?;
    }
    for (name, what, reached) in PLAIN.iter().filter(|s| s.0 != "quota") {
        save(&bed, to, &mut readme, name, what, reached).await?;
    }
    stopped(&bed, to, &mut readme).await?;
    quota(&bed).await?;
    let (name, what, reached) = PLAIN.iter().find(|s| s.0 == "quota").context("no quota")?;
    submit(&bed, name).await?;
    save(&bed, to, &mut readme, name, what, reached).await?;
    let path = format!("/api/v1/namespaces/{NAMESPACE}/resourcequotas/compute");
    bed.admin()?.request_text(http::Request::delete(path).body(Vec::new())?).await?;

    argo.restart(&bed, &ArgoOptions { parallelism: Some(1), ..ArgoOptions::default() }).await?;
    submit(&bed, "parallelism-limit").await?;
    save(&bed, to, &mut readme, "parallelism-limit", "the controller's parallelism is used up", |w| {
        phase(w, "Pending")
    })
    .await?;

    // Argo's own pace, so that a pod can end unseen.
    argo.restart(&bed, &ArgoOptions::default().env("MAX_WORKFLOW_SIZE", "8000").env("DEFAULT_REQUEUE_TIME", "10s"))
        .await?;
    submit(&bed, "lost-result-quick").await?;
    submit(&bed, "compressed").await?;
    save(&bed, to, &mut readme, "compressed", "nodes in compressedNodes (gzip), an approval among them", |w| {
        let packed = w["status"]["compressedNodes"].is_string();
        packed && w["status"]["progress"] == "20/21"
    })
    .await?;
    let what =
        "lost like lost-result, but the pod ended unseen: the node is Pending and only the WorkflowTaskResult tells";
    save(&bed, to, &mut readme, "lost-result-quick", what, |w| node_is(w, "lost-result-quick", "Pending")).await?;
    readme.push_str(UNTOLD);
    std::fs::write(to.join("README.md"), readme)?;
    Ok(())
}

/// States that a person brings about by stopping or deleting.
async fn stopped(bed: &Bed, to: &Path, readme: &mut String) -> Result<()> {
    let stop = json!({"spec": {"shutdown": "Stop"}});
    let one = submit(bed, "stopped").await?;
    let two = submit(bed, "stopping-exit-handler").await?;
    for (it, node) in [(&one, "stopped"), (&two, "stopping-exit-handler")] {
        bed.wait_for(it, "running", LIMIT, |w| node_is(w, node, "Running")).await?;
        bed.patch_workflow(it, &stop).await?;
    }
    save(bed, to, readme, "stopped", "stopped by a person while its pod ran", |w| phase(w, "Failed")).await?;
    save(bed, to, readme, "stopping-exit-handler", "stopped, its exit handler never ends", |w| {
        node_is(w, "stopping-exit-handler.onExit", "Running")
    })
    .await?;
    let three = submit(bed, "stopping-suspended").await?;
    bed.wait_for_phase(&three, "Running", LIMIT).await?;
    bed.patch_workflow(&three, &json!({"spec": {"shutdown": "Terminate"}})).await?;
    tokio::time::sleep(Duration::from_secs(3)).await;
    save(bed, to, readme, "stopping-suspended", "terminated while spec.suspend: nothing happens", |w| {
        phase(w, "Running")
    })
    .await?;
    let four = submit(bed, "finalizer").await?;
    bed.wait_for_phase(&four, "Succeeded", LIMIT).await?;
    bed.delete_workflow(&four).await?;
    save(bed, to, readme, "finalizer", "deleted, but held by a finalizer", |w| {
        w["metadata"]["deletionTimestamp"].is_string()
    })
    .await
}

/// A quota with nothing left. Who would count is the controller-manager, so the status is written by hand.
async fn quota(bed: &Bed) -> Result<()> {
    let quota = "{apiVersion: v1, kind: ResourceQuota, metadata: {name: compute}, spec: {hard: {pods: '4'}}}";
    bed.apply(quota, NAMESPACE).await?;
    let path = format!("/api/v1/namespaces/{NAMESPACE}/resourcequotas/compute/status");
    let status = json!({"status": {"hard": {"pods": "4"}, "used": {"pods": "4"}}});
    let request = http::Request::patch(path)
        .header("content-type", "application/merge-patch+json")
        .body(serde_json::to_vec(&status)?)?;
    bed.admin()?.request::<Value>(request).await.context("cannot fill the quota")?;
    Ok(())
}

async fn submit(bed: &Bed, name: &str) -> Result<WorkflowRef> {
    bed.submit(NAMESPACE, &scenario::yaml(name)?).await
}

async fn save(
    bed: &Bed,
    to: &Path,
    readme: &mut String,
    name: &str,
    what: &str,
    reached: impl Fn(&Value) -> bool,
) -> Result<()> {
    let workflow = WorkflowRef::new(NAMESPACE, name);
    bed.wait_for(&workflow, what, LIMIT, reached).await?;
    // Argo often writes once more right after; the state as it stays is what is wanted.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let text = bed.workflow_text(&workflow).await?;
    let value: Value = serde_json::from_str(&text)?;
    std::fs::write(to.join(format!("{name}.json")), format!("{}\n", serde_json::to_string_pretty(&value)?))?;
    eprintln!("bed: saved {name}");
    Ok(writeln!(readme, "| {name}.json | {what} |")?)
}
