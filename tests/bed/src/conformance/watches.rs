//! Watches: what comes, in which order, and from where one may go on.

use std::time::{Duration, Instant};

use ::http::{Method, StatusCode};
use anyhow::{Result, anyhow, ensure};
use serde_json::{Value, json};

use super::http::{Http, MADE, name, refusal, version};

const STREAMING: &str = "watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
const QUIET: Duration = Duration::from_millis(400);

pub async fn streaming_list(http: &Http) -> Result<()> {
    let before = version(&http.read(&http.path()).await?)?;
    let mut stream = http.watch(&format!("{}?{STREAMING}&resourceVersion=", http.path())).await?;
    for n in 0..MADE {
        stream.expect("ADDED", &format!("c-{n:02}")).await?;
    }
    let end = stream.expect("BOOKMARK", "").await?;
    ensure!(
        end["metadata"]["annotations"]["k8s.io/initial-events-end"] == "true",
        "no end of the initial events: {end}"
    );
    ensure!(end["kind"] == "Workflow" && end["apiVersion"] == "argoproj.io/v1alpha1", "{end}");
    ensure!(version(&end)? >= before, "the bookmark is older than a list before it");
    // What follows is an ordinary watch, each event newer than the one before.
    let made = http.make(&http.namespace, "w-one", json!({})).await?;
    let added = stream.expect("ADDED", "w-one").await?;
    ensure!(added == made, "the event's object is not that of the answer: {added} and {made}");
    let patched = http.patched("w-one", json!({"spec": {"suspend": true}})).await?;
    let modified = stream.expect("MODIFIED", "w-one").await?;
    ensure!(modified == patched, "{modified} and {patched}");
    http.delete("w-one", json!(null)).await?;
    let deleted = stream.expect("DELETED", "w-one").await?;
    ensure!(deleted["spec"]["suspend"] == true, "not the last state: {deleted}");
    let versions = [version(&end)?, version(&added)?, version(&modified)?, version(&deleted)?];
    ensure!(versions.is_sorted_by(|a, b| a < b), "resourceVersions don't grow: {versions:?}");
    Ok(())
}

pub async fn resumed(http: &Http) -> Result<()> {
    let list = http.read(&http.path()).await?;
    let one = http.make(&http.namespace, "r-one", json!({})).await?;
    http.patched("r-one", json!({"metadata": {"annotations": {"n": "1"}}})).await?;
    http.patched("c-03", json!({"metadata": {"annotations": {"n": "1"}}})).await?;
    http.delete("r-one", json!(null)).await?;
    let mut stream = http.watch(&format!("{}?watch=true&resourceVersion={}", http.path(), version(&list)?)).await?;
    stream.expect("ADDED", "r-one").await?;
    stream.expect("MODIFIED", "r-one").await?;
    let third = stream.expect("MODIFIED", "c-03").await?;
    stream.expect("DELETED", "r-one").await?;
    // From any event on: exactly what came after it.
    for (from, next, of) in [(version(&one)?, "MODIFIED", "r-one"), (version(&third)?, "DELETED", "r-one")] {
        let mut again = http.watch(&format!("{}?watch=1&resourceVersion={from}", http.path())).await?;
        again.expect(next, of).await?;
    }
    stream.expect_silence(QUIET).await
}

/// Without a resourceVersion, or with 0: all there is as ADDED, no bookmark that says where that ends.
pub async fn from_now(http: &Http) -> Result<()> {
    for query in ["watch=true", "watch=true&resourceVersion=0"] {
        let mut stream = http.watch(&format!("{}?{query}", http.path())).await?;
        for n in 0..MADE {
            stream.expect("ADDED", &format!("c-{n:02}")).await?;
        }
        http.patched("c-05", json!({"metadata": {"annotations": {"q": query}}})).await?;
        stream.expect("MODIFIED", "c-05").await?;
    }
    Ok(())
}

/// The stream opens with 200 and says 410 in its first event, then ends.
pub async fn too_old(http: &Http) -> Result<()> {
    let mut stream = http.watch(&format!("{}?watch=true&resourceVersion=1", http.path())).await?;
    let status = stream.expect("ERROR", "").await?;
    ensure!(status["kind"] == "Status" && status["code"] == 410 && status["reason"] == "Expired", "{status}");
    ensure!(stream.next().await?.is_none(), "something follows the error");
    Ok(())
}

pub async fn timeout(http: &Http) -> Result<()> {
    let from = version(&http.read(&http.path()).await?)?;
    let begun = Instant::now();
    let mut stream = http.watch(&format!("{}?watch=true&resourceVersion={from}&timeoutSeconds=1", http.path())).await?;
    ensure!(stream.next().await?.is_none(), "something came");
    let took = begun.elapsed();
    ensure!((Duration::from_millis(900)..Duration::from_secs(5)).contains(&took), "it ended after {took:?}");
    Ok(())
}

pub async fn selected(http: &Http) -> Result<()> {
    let from = version(&http.read(&http.path()).await?)?;
    let open =
        async |path: String, more: &str| http.watch(&format!("{path}?watch=true&resourceVersion={from}{more}")).await;
    let mut label = open(http.path(), "&labelSelector=round%3D1").await?;
    let mut field = open(http.path(), "&fieldSelector=metadata.name%3Dc-01").await?;
    let mut here = open(http.path(), "").await?;
    let mut all = open("/apis/argoproj.io/v1alpha1/workflows".to_owned(), "").await?;
    // Out of the selection: DELETED with the object as it was, at the resourceVersion of the change.
    let left = http.patched("c-01", json!({"metadata": {"labels": {"round": "gone"}}})).await?;
    let deleted = label.expect("DELETED", "c-01").await?;
    ensure!(deleted["metadata"]["labels"]["round"] == "1" && version(&deleted)? == version(&left)?, "{deleted}");
    http.patched("c-00", json!({"metadata": {"labels": {"round": "1"}}})).await?;
    label.expect("ADDED", "c-00").await?;
    http.patched("c-00", json!({"metadata": {"labels": {"round": "0"}}})).await?;
    label.expect("DELETED", "c-00").await?;
    http.patched("c-01", json!({"metadata": {"labels": {"round": "1"}}})).await?;
    label.expect("ADDED", "c-01").await?;
    field.expect("MODIFIED", "c-01").await?;
    field.expect("MODIFIED", "c-01").await?;
    field.expect_silence(QUIET).await?;
    // Another namespace is heard of by those who watch all.
    http.make(&http.other, "s-other", json!({})).await?;
    for of in ["c-01", "c-00", "c-00", "c-01"] {
        here.expect("MODIFIED", of).await?;
        all.expect("MODIFIED", of).await?;
    }
    let added = all.expect("ADDED", "s-other").await?;
    ensure!(added["metadata"]["namespace"] == http.other, "{added}");
    here.expect_silence(QUIET).await?;
    let path = format!("{}/s-other", Http::path_in(&http.other));
    let (status, said) = http.send(Method::DELETE, &path, "application/json", &Value::Null).await?;
    ensure!(status == StatusCode::OK, "DELETE: {status}: {said}");
    all.expect("DELETED", "s-other").await?;
    // A selection in a streaming list ends with its bookmark, too.
    let mut stream = http.watch(&format!("{}?{STREAMING}&labelSelector=round%3D1", http.path())).await?;
    for n in 0..MADE / 2 {
        let event = stream.next().await?.ok_or_else(|| anyhow!("the stream ended"))?;
        ensure!(event["type"] == "ADDED" && name(&event["object"]) == format!("c-{:02}", 2 * n + 1), "{event}");
    }
    stream.expect("BOOKMARK", "").await?;
    Ok(())
}

pub async fn refused(http: &Http) -> Result<()> {
    let path = http.path();
    refusal(&http.get(&format!("{path}?watch=true&sendInitialEvents=true")).await?, 422, "Invalid")?;
    refusal(
        &http.get(&format!("{path}?watch=true&resourceVersionMatch=NotOlderThan&resourceVersion=0")).await?,
        422,
        "Invalid",
    )?;
    let (status, said) = http.get(&format!("{path}?watch=true&resourceVersion=abc")).await?;
    ensure!(status == StatusCode::INTERNAL_SERVER_ERROR && said["kind"] == "Status", "{status}: {said}");
    Ok(())
}
