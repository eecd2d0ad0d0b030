//! Several controllers: one that looks into one namespace only and compresses nodes there, one that dies.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tokio::sync::{Mutex, OnceCell};
use tokio::time::Instant;
use unstick_bed::workflow::node;
use unstick_bed::{Argo, ArgoOptions, WorkflowRef, scenario};

use super::detections::exactly;
use super::seen::scrape;
use super::world::{PACKED, World};

const INSTANCE: &str = "workflows.argoproj.io/controller-instanceid";
const LIMIT: Duration = Duration::from_secs(60);

/// A scenario for the controller with this instance id, under a name of its own.
fn meant_for(instance: &str, scenario: &str, name: &str) -> Result<Value> {
    let mut workflow: Value = serde_saphyr::from_str(&scenario::yaml(scenario)?)?;
    workflow["metadata"]["name"] = json!(name);
    workflow["metadata"]["labels"][INSTANCE] = json!(instance);
    Ok(workflow)
}

/// The nodes are in `status.compressedNodes`, as Argo packed them.
pub async fn compressed_nodes_are_judged_as_any_others(world: &World) -> Result<()> {
    let bed = &world.shared.bed;
    let at = |name: &str| WorkflowRef::new(PACKED, name);
    let rules = json!([
        {"name": "gate", "type": "Suspended", "after": "8s"},
        {"name": "pickup", "type": "NotPickedUp", "after": "4s"},
        {"name": "pending", "type": "Pending", "after": "4s"},
    ]);
    world.team(PACKED, rules, &[]).await?;
    bed.submit_value(PACKED, meant_for("second", "compressed", "nobody-resumes")?).await?;
    let mut passing = meant_for("second", "compressed", "resumes-in-time")?;
    passing["spec"]["templates"][2]["suspend"]["duration"] = json!("3");
    bed.submit_value(PACKED, passing).await?;
    // The same label as that of `unreconciled`, and here its controller looks.
    bed.submit_value(PACKED, meant_for("second", "succeeded", "picked-up")?).await?;
    let packed = |w: &Value| w["status"]["compressedNodes"].is_string() && w["status"]["progress"] == "20/21";
    for name in ["resumes-in-time", "nobody-resumes"] {
        let seen = bed.wait_for(&at(name), "compressed with a gate", LIMIT, packed).await?;
        ensure!(node(&seen, "approve").is_none(), "{name}: its nodes are there uncompressed as well");
    }
    for name in ["resumes-in-time", "picked-up"] {
        bed.wait_for_phase(&at(name), "Succeeded", LIMIT).await?;
    }
    exactly(world, PACKED, &[r#"nobody-resumes: Suspended AwaitingResume "approve""#.to_owned()]).await?;
    let text = scrape(&world.operator).await?;
    ensure!(text.contains(r#"unstick_argo_state{argo="second",state="Up"} 1"#), "the second is not Up:\n{text}");
    Ok(())
}

const DOWN: &str = "down";
/// Threshold of every detection: beyond the silence of 60 s after which a controller is down.
const AFTER: Duration = Duration::from_secs(80);

/// A controller that has died, and when the last of its workflows was submitted.
struct Dead {
    argo: Mutex<Argo>,
    since: Instant,
}

static DEAD: OnceCell<Dead> = OnceCell::const_new();

/// Starts a third controller, gives it workflows and kills it; done once. Its silence takes a minute to be noticed, which
/// passes while other trials run.
pub async fn begin(world: &World) -> Result<()> {
    DEAD.get_or_try_init(|| die(world)).await.map(drop)
}

fn third() -> ArgoOptions {
    ArgoOptions { instance_id: "third".to_owned(), leader_election: true, ..ArgoOptions::default() }
}

async fn die(world: &World) -> Result<Dead> {
    let bed = &world.shared.bed;
    let at = |name: &str| WorkflowRef::new(DOWN, name);
    let after = format!("{}s", AFTER.as_secs());
    let rules = ["Suspended", "Pending", "NotPickedUp", "StoppingTooLong"]
        .map(|kind| json!({"name": kind.to_lowercase(), "type": kind, "after": after}));
    world.team(DOWN, json!(rules), &[]).await?;
    let mut argo = Argo::start(bed, &third()).await?;
    for (scenario, name, there) in [("suspended-node", "suspended", "approve"), ("image-pull", "pending", "pending")] {
        bed.submit_value(DOWN, meant_for("third", scenario, name)?).await?;
        bed.wait_for(&at(name), "there", LIMIT, |w| {
            let wanted = if name == "pending" { "Pending" } else { "Running" };
            node(w, there).is_some_and(|n| n["phase"] == wanted)
        })
        .await?;
    }
    argo.stop();
    // Nobody takes this one up, nor stops that one.
    bed.submit_value(DOWN, meant_for("third", "succeeded", "not-taken-up")?).await?;
    bed.patch_workflow(&at("pending"), &json!({"spec": {"shutdown": "Stop"}})).await?;
    Ok(Dead { argo: Mutex::new(argo), since: Instant::now() })
}

/// I14: what only waits for its controller is not stuck; what waits for people is. Once the controller is back, all is.
pub async fn a_controller_that_is_down_is_not_a_crowd_of_stuck_workflows(world: &World) -> Result<()> {
    begin(world).await?;
    let dead = DEAD.get().context("no dead controller")?;
    tokio::time::sleep_until(dead.since + AFTER + Duration::from_secs(6)).await;
    let suspended = r#"suspended: Suspended AwaitingResume "approve""#.to_owned();
    exactly(world, DOWN, std::slice::from_ref(&suspended)).await?;
    let text = scrape(&world.operator).await?;
    for series in
        [r#"unstick_argo_state{argo="third",state="Down"} 1"#, r#"unstick_workflows_unknown{reason="ControllerDown"} "#]
    {
        ensure!(text.contains(series), "no {series} in\n{text}");
    }
    // The control: with its controller back, the one that was never taken up succeeds and the other is ended.
    dead.argo.lock().await.restart(&world.shared.bed, &third()).await?;
    for (name, phase) in [("not-taken-up", "Succeeded"), ("pending", "Failed")] {
        world.shared.bed.wait_for_phase(&WorkflowRef::new(DOWN, name), phase, LIMIT).await?;
    }
    exactly(world, DOWN, &[suspended]).await.map(drop)
}
