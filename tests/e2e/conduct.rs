//! What the operator really did, read off the API server's audit log, its metrics and its own words.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::events::v1::Event;
use kube::Client;
use kube::api::{Api, ListParams};
use serde_json::{Value, json};

use super::raw::send;
use super::world::{USER, World};

/// Observe writes nothing but own kinds, Events and the Lease (I16), at most 10 a second beyond a burst of 50.
pub async fn it_writes_only_its_own_and_within_its_allowance(world: &World) -> Result<()> {
    let writes = world.shared.bed.audit().writes_by(USER)?;
    ensure!(!writes.is_empty(), "it wrote nothing: the log proves nothing");
    let allowed = ["workflowincidents", "workflowpolicies", "clusterworkflowpolicies", "watchdogs", "events", "leases"];
    let other: Vec<_> =
        writes.iter().filter(|e| !allowed.contains(&e.resource.as_str())).map(unstick_bed::Entry::line).collect();
    ensure!(other.is_empty(), "{other:?}");
    let times: Vec<i64> = writes.iter().map(|e| e.at.as_millisecond()).collect();
    for (i, from) in times.iter().enumerate() {
        for seconds in [1, 10, 60] {
            let within = times.iter().skip(i).take_while(|t| **t - from < seconds * 1000).count();
            let most = 50 + 10 * usize::try_from(seconds)?;
            ensure!(within <= most, "{within} writes within {seconds} s, {most} at most");
        }
    }
    let denied: Vec<_> =
        world.shared.bed.audit().by(USER)?.iter().filter(|e| e.code == 403).map(unstick_bed::Entry::line).collect();
    ensure!(denied.is_empty(), "a right is missing: {denied:?}");
    Ok(())
}

/// The server itself would refuse: a control for the trial above.
pub async fn its_token_may_not_touch_a_workflow(world: &World) -> Result<()> {
    let bed = &world.shared.bed;
    let kubeconfig = bed.kubeconfig_for("unstick-system", "unstick").await?;
    let config = kube::Config::from_custom_kubeconfig(
        kube::config::Kubeconfig::read_from(kubeconfig)?,
        &kube::config::KubeConfigOptions::default(),
    )
    .await?;
    let client = Client::try_from(config)?;
    let path = "/apis/argoproj.io/v1alpha1/namespaces/default/workflows/any";
    let patch = json!({"spec": {"shutdown": "Terminate"}});
    let code = send(&client, "PATCH", path, Some(&patch), None).await?.map_or_else(|refused| refused.code, |_| 200);
    ensure!(code == 403, "a patch of a workflow was answered with {code}");
    Ok(())
}

/// Once all is said only the Lease is renewed.
pub async fn when_all_is_quiet_only_the_lease_is_renewed(world: &World) -> Result<()> {
    // Statuses settle within their interval.
    tokio::time::sleep(Duration::from_secs(25)).await;
    let audit = world.shared.bed.audit().mark()?;
    tokio::time::sleep(Duration::from_secs(20)).await;
    let entries = audit.by(USER)?;
    let other: Vec<_> =
        entries.iter().filter(|e| e.resource != "leases" && e.verb != "watch").map(unstick_bed::Entry::line).collect();
    ensure!(other.is_empty(), "{other:?}");
    ensure!(entries.iter().any(|e| e.resource == "leases"), "nothing renewed the Lease");
    Ok(())
}

pub async fn events_and_the_command_line_use_the_same_words(world: &World) -> Result<()> {
    let events: Api<Event> = Api::namespaced(world.client.clone(), "fires");
    let all = events.list(&ListParams::default()).await?.items;
    let about = |name: &str| {
        all.iter().find(|e| {
            e.reason.as_deref() == Some("WorkflowStuck")
                && e.regarding.as_ref().is_some_and(|r| r.name.as_deref() == Some(name))
        })
    };
    let kubeconfig = world.shared.bed.admin_kubeconfig();
    let output = Command::new(env!("CARGO_BIN_EXE_unstick"))
        .args(["stuck", "-n", "fires", "-o", "json", "--exit-zero", "--kubeconfig"])
        .arg(kubeconfig)
        .output()?;
    let list: Value = serde_json::from_slice(&output.stdout).context("stuck -o json")?;
    let mut compared = 0;
    for item in list["items"].as_array().into_iter().flatten() {
        let (name, message) = (item["name"].as_str().unwrap_or_default(), item["message"].as_str().unwrap_or_default());
        let Some(event) = about(name) else { continue };
        let note = event.note.clone().unwrap_or_default();
        // A run may have come to be stuck for another reason first: the event says what held when it was opened.
        let shown = format!(
            "{} {}:",
            item["detections"][0]["type"].as_str().unwrap_or_default(),
            item["reason"].as_str().unwrap_or_default()
        );
        if !note.starts_with(&shown) {
            continue;
        }
        ensure!(note.contains(message), "{name}: the event says {note:?}, the command line {message:?}");
        compared += 1;
    }
    ensure!(compared >= 10, "only {compared} compared: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
