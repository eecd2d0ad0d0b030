//! A pause whose end has passed by five minutes. Argo itself forgets the timer while the workflow is suspended as a whole.
//!
//! The five minutes are not to be had faster: the grace is a part of the contract. They run while other trials do: the
//! first trial that knows of [`begin`] starts the clock.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::sync::OnceCell;
use unstick_bed::workflow::node;
use unstick_bed::{WorkflowRef, scenario};

use super::detections::exactly;
use super::world::{World, line};

const NAMESPACE: &str = "overdue";
/// How long the pauses are meant to last, in seconds.
const PAUSE: i64 = 4;
/// API.md section 2: a Suspend node with a duration is healthy until its own end plus 5 minutes.
const GRACE: SignedDuration = SignedDuration::from_mins(5);
const LIMIT: Duration = Duration::from_secs(30);

/// When the end of the pause that Argo forgets was.
static END: OnceCell<Timestamp> = OnceCell::const_new();

/// Brings the pauses about; done once.
pub async fn begin(world: &World) -> Result<Timestamp> {
    END.get_or_try_init(|| bring_about(world)).await.copied()
}

async fn bring_about(world: &World) -> Result<Timestamp> {
    let bed = &world.shared.bed;
    let rules = json!([{"name": "gate", "type": "Suspended", "after": "1s", "suspended": {"scope": "Node"}}]);
    // An hour's pause is not due; a workflow without a pause, suspended as a whole, is another cause.
    world.team(NAMESPACE, rules, &["auto-resume-hour", "spec-suspend"]).await?;
    let suspend = |on: Value| json!({"spec": {"suspend": on}});
    for name in ["forgotten", "freed-in-time"] {
        let mut workflow: Value = serde_saphyr::from_str(&scenario::yaml("auto-resume")?)?;
        workflow["metadata"]["name"] = json!(name);
        workflow["spec"]["templates"][1]["suspend"]["duration"] = json!(PAUSE.to_string());
        bed.submit_value(NAMESPACE, workflow).await?;
        bed.wait_for(&at(name), "pausing", LIMIT, |w| node(w, "pause").is_some_and(|n| n["phase"] == "Running"))
            .await?;
        bed.patch_workflow(&at(name), &suspend(json!(true))).await?;
    }
    let started = |w: &Value| node(w, "pause").and_then(|n| n["startedAt"].as_str()?.parse::<Timestamp>().ok());
    let forgotten = bed.workflow(&at("forgotten")).await?;
    let end = started(&forgotten).context("no start")? + SignedDuration::from_secs(PAUSE);
    tokio::time::sleep(Duration::from_secs(u64::try_from(PAUSE)? + 3)).await;
    let still = bed.workflow(&at("forgotten")).await?;
    ensure!(node(&still, "pause").is_some_and(|n| n["phase"] == "Running"), "Argo resumed it all the same");
    bed.patch_workflow(&at("freed-in-time"), &suspend(Value::Null)).await?;
    bed.wait_for_phase(&at("freed-in-time"), "Succeeded", LIMIT).await?;
    Ok(end)
}

/// Takes five minutes when run alone.
pub async fn a_pause_that_argo_forgets_is_overdue_after_five_minutes(world: &World) -> Result<()> {
    let due = begin(world).await? + GRACE;
    while Timestamp::now() < due - SignedDuration::from_secs(1) {
        let early: Vec<_> = world.incidents(NAMESPACE).await?.iter().map(line).collect();
        ensure!(early.is_empty(), "{} before it is due: {early:?}", due.duration_since(Timestamp::now()));
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let now = exactly(world, NAMESPACE, &[r#"forgotten: Suspended AutoResumeOverdue "pause""#.to_owned()]).await?;
    ensure!(now.len() == 1, "more than the overdue one: {:?}", now.iter().map(line).collect::<Vec<_>>());
    let opened = now[0].metadata.creation_timestamp.as_ref().context("no creation")?.0;
    ensure!(opened >= due, "opened at {opened}, due at {due}");
    Ok(())
}

fn at(name: &str) -> WorkflowRef {
    WorkflowRef::new(NAMESPACE, name)
}
