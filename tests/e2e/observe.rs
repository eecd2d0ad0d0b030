//! Observe at work: a crowd of workflows comes and goes, and the audit log says what the operator did about it.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kube::Client;
use serde_json::json;
use unstick::api::incident::IncidentState::{Ended, Open, Recovered, TargetGone};
use unstick_bed::Entry;

use super::ground::{Ground, USER, state};
use super::raw::send;
use super::seen::scrape;

const NAMESPACE: &str = "crowd";
/// Workflows that stay until their incident is open, and those that are gone before or soon after their threshold.
const STAYING: usize = 120;
const PASSING: usize = 1880;
/// How long only the Lease is to be renewed in the end, after statuses have settled within their interval.
const SETTLE: Duration = Duration::from_secs(25);
const QUIET: Duration = Duration::from_secs(60);

/// 2,000 workflows that only pause: some until their incident is open, most for a second.
pub async fn a_crowd_comes_and_goes(ground: &Ground) -> Result<()> {
    ground.install().await?;
    ground.team(NAMESPACE, "2s").await?;
    let audit = ground.bed.audit().mark()?;
    // A cap on series that a crowd exceeds.
    let mut operator = ground.operator_with("observer", &["--series-cap", "50"]).await?;

    let staying = ground.gates(NAMESPACE, "stays", STAYING, None).await?;
    let passing = ground.gates(NAMESPACE, "passes", PASSING, Some(1)).await?;
    let limit = Duration::from_secs(240);
    ground.wait(NAMESPACE, &[Open], 100, limit, &operator).await.context("open")?;
    let text = scrape(&operator).await?;
    ensure!(text.contains("unstick_series_dropped{"), "{STAYING} workflows, and no series was left out");
    ground.terminate(&staying).await?;
    let all = ground.wait(NAMESPACE, &[Ended, Recovered, TargetGone], 100, limit, &operator).await.context("closed")?;
    let finished = ground.all_finished(NAMESPACE).await?.len();
    ensure!(finished == staying.len() + passing.len(), "{finished} have finished");
    scrape(&operator).await?;

    // What is still open closes within the write limit; then all must be said.
    let open = || async {
        Ok::<_, anyhow::Error>(ground.incidents(NAMESPACE).await?.iter().filter(|i| state(i) == Some(Open)).count())
    };
    for _ in 0..240 {
        if open().await? == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    tokio::time::sleep(SETTLE).await;
    let late = ground.bed.audit().mark()?;
    tokio::time::sleep(QUIET).await;
    let quiet = late.by(USER)?;
    let other: Vec<_> = quiet.iter().filter(|e| e.resource != "leases" && e.verb != "watch").map(Entry::line).collect();
    ensure!(other.is_empty(), "not quiet: {other:?}");
    ensure!(quiet.iter().any(|e| e.resource == "leases"), "nothing renewed the Lease");
    let left = open().await?;
    ensure!(left == 0, "open although all has ended: {left}");

    let writes = audit.writes_by(USER)?;
    ensure!(writes.len() > all.len(), "it wrote {} times: the log proves nothing", writes.len());
    let own = ["workflowincidents", "workflowpolicies", "clusterworkflowpolicies", "watchdogs", "events", "leases"];
    let other: Vec<_> = writes.iter().filter(|e| !own.contains(&e.resource.as_str())).map(Entry::line).collect();
    ensure!(other.is_empty(), "writes beyond its own kinds: {other:?}");
    let busiest = busiest_minute(&writes);
    ensure!(busiest <= 650, "{busiest} writes in a minute; 10 a second and a burst of 50 allow 650");
    let denied: Vec<_> = audit.by(USER)?.iter().filter(|e| e.code == 403).map(Entry::line).collect();
    ensure!(denied.is_empty(), "a right is missing: {denied:?}");
    refused_by_the_server(ground, &staying[0].name).await?;
    println!("{} incidents, {} writes, {busiest} in the busiest minute", all.len(), writes.len());

    let (status, took) = operator.terminate(Duration::from_secs(20)).await?;
    ensure!(status.success(), "ended with {status} after {took:?}:\n{}", operator.tail(10));
    Ok(())
}

/// A connection that brings nothing, not even a bookmark, is taken for dead; what happens afterwards is seen all the same.
pub async fn a_silent_watch_is_opened_anew(ground: &Ground) -> Result<()> {
    const SILENT: &str = "silent";
    ground.install().await?;
    ground.team(SILENT, "2s").await?;
    // Bookmarks come about each minute.
    let mut operator = ground.operator_with("listener", &["--watch-idle-limit", "3s"]).await?;
    let restarted = r#"unstick_watch_restarts_total{cause="Timeout"}"#;
    let begun = std::time::Instant::now();
    while !scrape(&operator).await?.contains(restarted) {
        ensure!(begun.elapsed() < Duration::from_secs(30), "no restart:\n{}", operator.tail(15));
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let gates = ground.gates(SILENT, "gate", 1, None).await?;
    ground.wait(SILENT, &[Open], 1, Duration::from_secs(30), &operator).await?;
    ground.terminate(&gates).await?;
    operator.terminate(Duration::from_secs(20)).await.map(drop)
}

/// Most writes in any 60 seconds.
fn busiest_minute(writes: &[Entry]) -> usize {
    let mut times: Vec<i64> = writes.iter().map(|e| e.at.as_millisecond()).collect();
    times.sort_unstable();
    let within = |i: usize| times.iter().skip(i).take_while(|t| **t < times[i] + 60_000).count();
    (0..times.len()).map(within).max().unwrap_or(0)
}

/// The control: with our token the server refuses a patch of a workflow that exists, and admin's is taken.
async fn refused_by_the_server(ground: &Ground, workflow: &str) -> Result<()> {
    let kubeconfig = ground.bed.kubeconfig_for("unstick-system", "unstick").await?;
    let kubeconfig = kube::config::Kubeconfig::read_from(kubeconfig)?;
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &kube::config::KubeConfigOptions::default()).await?;
    let ours = Client::try_from(config)?;
    let path = format!("/apis/argoproj.io/v1alpha1/namespaces/{NAMESPACE}/workflows/{workflow}");
    let patch = json!({"metadata": {"annotations": {"example.com/control": "yes"}}});
    let refused = send(&ours, "PATCH", &path, Some(&patch), None).await?;
    ensure!(refused.as_ref().is_err_and(|r| r.code == 403), "our token was not refused: {refused:?}");
    let taken = send(&ground.client, "PATCH", &path, Some(&patch), None).await?;
    ensure!(taken.is_ok(), "the control itself is wrong: {taken:?}");
    Ok(())
}
