//! Writes: conflicts, preconditions, generation, finalizers.

use ::http::{Method, StatusCode};
use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::http::{Http, refusal, version};

pub async fn created(http: &Http) -> Result<()> {
    let made = http.make(&http.namespace, "x-one", json!({})).await?;
    for field in ["uid", "creationTimestamp", "resourceVersion"] {
        ensure!(made["metadata"][field].as_str().is_some_and(|v| !v.is_empty()), "no {field}: {made}");
    }
    let read = http.read(&format!("{}/x-one", http.path())).await?;
    ensure!(read == made, "reads back as {read}, was {made}");
    let (status, again) = http.send(Method::POST, &http.path(), "application/json", &bare("x-one")).await?;
    refusal(&(status, again), 409, "AlreadyExists")?;
    let mut unnamed = bare("");
    unnamed["metadata"] = json!({"generateName": "x-gen-"});
    let (status, named) = http.send(Method::POST, &http.path(), "application/json", &unnamed).await?;
    let name = named["metadata"]["name"].as_str().unwrap_or_default();
    ensure!(status == StatusCode::CREATED && name.starts_with("x-gen-") && name.len() == 11, "{status}: {named}");
    Ok(())
}

pub async fn updated(http: &Http) -> Result<()> {
    let path = format!("{}/x-one", http.path());
    let put = async |object: &Value| http.send(Method::PUT, &path, "application/json", object).await;
    let first = http.read(&path).await?;
    let second = http.patched("x-one", json!({"metadata": {"labels": {"a": "1"}}})).await?;
    ensure!(second["metadata"]["generation"] == 1 && version(&second)? > version(&first)?, "{second}");
    // Nothing changed: no new resourceVersion, no event.
    let same = http.patched("x-one", json!({"metadata": {"labels": {"a": "1"}}})).await?;
    ensure!(version(&same)? == version(&second)?, "an empty change was written");
    let third = http.patched("x-one", json!({"spec": {"suspend": true}, "metadata": {"labels": {"a": null}}})).await?;
    ensure!(third["metadata"]["generation"] == 2 && third["metadata"]["labels"].get("a").is_none(), "{third}");
    // Workflows have no status subresource: a patch of the status is one of the object, and there is no such path.
    let fourth = http.patched("x-one", json!({"status": {"phase": "Running"}})).await?;
    ensure!(fourth["status"]["phase"] == "Running", "{fourth}");
    refusal(&http.get(&format!("{path}/status")).await?, 404, "NotFound")?;
    refusal(&put(&first).await?, 409, "Conflict")?;
    let stale =
        json!({"metadata": {"resourceVersion": first["metadata"]["resourceVersion"]}, "spec": {"suspend": false}});
    refusal(&http.patch("x-one", stale).await?, 409, "Conflict")?;
    let wrong = json!({"metadata": {"uid": "00000000-0000-4000-8000-000000000000"}, "spec": {"suspend": false}});
    // Another uid: a patch is invalid, a PUT is a conflict.
    refusal(&http.patch("x-one", wrong).await?, 422, "Invalid")?;
    let mut reborn = fourth.clone();
    reborn["metadata"]["uid"] = json!("00000000-0000-4000-8000-000000000000");
    refusal(&put(&reborn).await?, 409, "Conflict")?;
    let guarded =
        json!({"metadata": {"resourceVersion": fourth["metadata"]["resourceVersion"]}, "spec": {"suspend": null}});
    let fifth = http.patched("x-one", guarded).await?;
    ensure!(fifth["spec"].get("suspend").is_none(), "{fifth}");
    let (status, sixth) = put(&{
        let mut new = fifth.clone();
        new["spec"]["entrypoint"] = json!("other");
        new
    })
    .await?;
    ensure!(status == StatusCode::OK && sixth["spec"]["entrypoint"] == "other", "{status}: {sixth}");
    let mut unversioned = sixth.clone();
    unversioned["metadata"]["resourceVersion"] = json!("");
    unversioned["spec"]["entrypoint"] = json!("main");
    refusal(&put(&unversioned).await?, 422, "Invalid")?;
    refusal(&http.patch("nobody", json!({"spec": {}})).await?, 404, "NotFound")
}

pub async fn deleted(http: &Http) -> Result<()> {
    let now = http.read(&format!("{}/x-one", http.path())).await?;
    let precondition = |field: &str, value: &Value| {
        let mut options = json!({"apiVersion": "v1", "kind": "DeleteOptions"});
        options["preconditions"][field] = value.clone();
        options
    };
    let other = json!("00000000-0000-4000-8000-000000000000");
    refusal(&http.delete("x-one", precondition("uid", &other)).await?, 409, "Conflict")?;
    refusal(&http.delete("x-one", precondition("resourceVersion", &json!("1"))).await?, 409, "Conflict")?;
    let held = http.patched("x-one", json!({"metadata": {"finalizers": ["example.com/hold"]}})).await?;
    let mut stream = http.watch(&format!("{}?watch=true&resourceVersion={}", http.path(), version(&held)?)).await?;
    let (status, said) = http.delete("x-one", precondition("uid", &now["metadata"]["uid"])).await?;
    ensure!(status == StatusCode::OK, "{status}: {said}");
    let marked = stream.expect("MODIFIED", "x-one").await?;
    ensure!(marked["metadata"]["deletionTimestamp"].is_string(), "{marked}");
    // Once more changes nothing.
    http.delete("x-one", json!(null)).await?;
    http.patched("x-one", json!({"metadata": {"finalizers": null}})).await?;
    stream.expect("DELETED", "x-one").await?;
    refusal(&http.delete("x-one", json!(null)).await?, 404, "NotFound")
}

fn bare(name: &str) -> Value {
    json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "metadata": {"name": name},
        "spec": {"entrypoint": "main", "templates": [{"name": "main", "suspend": {}}]},
    })
}
