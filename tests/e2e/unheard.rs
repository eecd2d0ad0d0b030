//! The right to watch policies is taken away while the operator runs, on the real server and its authorizer.
//!
//! A watch that is open outlives the right to it: the server goes on telling. So it is cut, and the next one is refused.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::between::{KEPT, LIMIT, Scene};
use super::ground::{Ground, USER};
use super::seen;

const NAMESPACE: &str = "unheard";
const ROLE: &str = "/apis/rbac.authorization.k8s.io/v1/clusterroles/unstick";

async fn get(ground: &Ground, path: &str) -> Result<Value> {
    Ok(ground.client.request(http::Request::get(path).body(Vec::new())?).await?)
}

/// The rules of our role, with the right and without it.
async fn rules(ground: &Ground) -> Result<[Value; 2]> {
    let with = get(ground, ROLE).await?["rules"].clone();
    let mut without = with.clone();
    let mut taken = 0;
    for rule in without.as_array_mut().into_iter().flatten() {
        if let Some(resources) = rule["resources"].as_array_mut() {
            let before = resources.len();
            resources.retain(|resource| resource != "workflowpolicies");
            taken += before - resources.len();
        }
    }
    ensure!(taken == 1, "the role names workflowpolicies {taken} times");
    Ok([with, without])
}

/// Nothing is deleted on what was known by then, it is said where a person looks, and with the right all goes on by itself.
pub async fn without_the_right(ground: &Ground) -> Result<()> {
    let scene = Scene::set(ground, "unheard").await?;
    let [with, without] = rules(ground).await?;
    let told = tell(&scene, &without).await;
    // The trials behind this one need it.
    scene.patch(ROLE, &json!({"rules": with})).await?;
    told?;
    recover(&scene).await?;
    scene.end().await
}

async fn tell(scene: &Scene<'_>, without: &Value) -> Result<()> {
    let bed = &scene.ground.bed;
    scene.team(NAMESPACE).await?;
    // Without it the rest would prove nothing.
    scene.ground.gates(NAMESPACE, "run", 1, Some(1)).await?;
    scene.gone(NAMESPACE).await.context("with the right a run goes")?;
    ensure!(scene.codes(NAMESPACE, 1).await? == [200]);

    let since = bed.audit().mark()?;
    scene.patch(ROLE, &json!({"rules": without})).await?;
    scene.proxies[0].refuse();
    tokio::time::sleep(Duration::from_millis(300)).await;
    scene.proxies[0].open();
    let refused = |e: &unstick_bed::Entry| e.user == USER && e.resource == "workflowpolicies" && e.code == 403;
    since.wait_for("a watch of policies that is refused", LIMIT, refused).await?;

    // A person wants it kept, and can't be heard.
    scene.policy(NAMESPACE, json!({"cleanup": {"mode": "Observe"}})).await?;
    scene.ground.gates(NAMESPACE, "run", 1, Some(1)).await?;
    let begun = Instant::now();
    while scene.bodies(NAMESPACE).await? < 2 {
        ensure!(begun.elapsed() < LIMIT, "archiving loses nothing and goes on\n{}", scene.operator.tail(20));
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    tokio::time::sleep(KEPT).await;
    scene.is_there(NAMESPACE).await?;
    ensure!(scene.deletes(NAMESPACE)?.len() == 1, "a delete under rules that can't be heard");

    let page = seen::scrape(&scene.operator).await?;
    ensure!(page.contains("unstick_deletions_blocked_total{reason=\"Blind\"}"), "no word of it in the metrics");
    let policy = format!("/apis/unstick.dev/v1alpha1/namespaces/{NAMESPACE}/workflowpolicies/{NAMESPACE}");
    let begun = Instant::now();
    loop {
        let blocked = get(scene.ground, &policy).await?["status"]["retention"]["blocked"].clone();
        if blocked == json!([{"reason": "Blind", "runs": 1, "example": format!("{NAMESPACE}/run-0")}]) {
            break;
        }
        ensure!(begun.elapsed() < LIMIT, "no word of it in the policy's status: {blocked}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let log = scene.operator.tail(200);
    ensure!(log.contains("nothing is deleted now") && log.contains("forbidden"), "no word of it in the log:\n{log}");
    Ok(())
}

/// What was said meanwhile is heard first, and only then something is deleted.
async fn recover(scene: &Scene<'_>) -> Result<()> {
    let begun = Instant::now();
    while !scene.operator.tail(200).contains("all rules are heard again") {
        ensure!(begun.elapsed() < LIMIT, "it doesn't come back:\n{}", scene.operator.tail(20));
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    tokio::time::sleep(KEPT).await;
    scene.is_there(NAMESPACE).await?;
    ensure!(scene.deletes(NAMESPACE)?.len() == 1, "deleted against what was asked for meanwhile");
    scene.policy(NAMESPACE, json!({"cleanup": {"mode": "Enforce"}})).await?;
    scene.gone(NAMESPACE).await?;
    ensure!(scene.codes(NAMESPACE, 2).await? == [200, 200]);
    Ok(())
}
