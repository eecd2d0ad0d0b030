//! Lists: order, pages of one snapshot, selectors.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use serde_json::json;

use super::http::{Http, MADE, items, name, refusal, version};

pub async fn whole(http: &Http) -> Result<()> {
    let list = http.read(&http.path()).await?;
    ensure!(
        list["kind"] == "WorkflowList" && list["apiVersion"] == "argoproj.io/v1alpha1",
        "not a WorkflowList: {list}"
    );
    let names: Vec<&str> = items(&list)?.iter().map(name).collect();
    let made: Vec<String> = (0..MADE).map(|n| format!("c-{n:02}")).collect();
    ensure!(names == made, "not all, or not in the order of names: {names:?}");
    let mut last = 0;
    for item in items(&list)? {
        // They were made in the order of their names, one after the other.
        ensure!(version(item)? > last, "resourceVersions don't grow: {item}");
        last = version(item)?;
        ensure!(item["kind"] == "Workflow" && item["metadata"]["generation"] == 1, "{item}");
    }
    ensure!(version(&list)? >= last, "the list is older than what is in it");
    Ok(())
}

pub async fn pages(http: &Http) -> Result<()> {
    let first = http.read(&format!("{}?limit=10", http.path())).await?;
    ensure!(first["metadata"]["remainingItemCount"] == json!(MADE - 10), "remainingItemCount: {}", first["metadata"]);
    let late = http.make(&http.namespace, "c-99-late", json!({})).await?;
    let (mut seen, mut page, mut count) = (BTreeSet::new(), first.clone(), 1);
    loop {
        ensure!(
            items(&page)?.len() == 10 || count == 3 && items(&page)?.len() == MADE - 20,
            "page {count} has {}",
            items(&page)?.len()
        );
        for item in items(&page)? {
            ensure!(seen.insert(name(item).to_owned()), "{} came twice", name(item));
        }
        ensure!(version(&page)? == version(&first)?, "page {count} is of another resourceVersion");
        let Some(token) = page["metadata"]["continue"].as_str().filter(|t| !t.is_empty()) else { break };
        page = http.read(&format!("{}?limit=10&continue={token}", http.path())).await?;
        count += 1;
    }
    ensure!(count == 3 && seen.len() == MADE && !seen.contains("c-99-late"), "{count} pages with {seen:?}");
    ensure!(version(&late)? > version(&first)?, "a later object has an earlier resourceVersion");
    http.delete("c-99-late", json!(null)).await?;
    Ok(())
}

pub async fn selected(http: &Http) -> Result<()> {
    let count = async |query: &str| anyhow::Ok(items(&http.read(&format!("{}?{query}", http.path())).await?)?.len());
    ensure!(count("labelSelector=round%3D1").await? == MADE / 2, "labelSelector =");
    ensure!(count("labelSelector=round+notin+%281%2C2%29").await? == MADE - MADE / 2, "labelSelector notin");
    ensure!(count("labelSelector=%21round").await? == 0, "labelSelector !");
    ensure!(count("fieldSelector=metadata.name%3Dc-07").await? == 1, "fieldSelector");
    let all = http.read("/apis/argoproj.io/v1alpha1/workflows").await?;
    let elsewhere = items(&all)?.iter().filter(|i| i["metadata"]["namespace"] == http.other).count();
    ensure!(elsewhere == 1 && items(&all)?.len() > MADE, "over all namespaces: {elsewhere} elsewhere");
    // Narrow lists in pages say nothing about how many remain.
    let page = http.read(&format!("{}?limit=3&labelSelector=round%3D1", http.path())).await?;
    ensure!(items(&page)?.len() == 3 && page["metadata"].get("remainingItemCount").is_none(), "{}", page["metadata"]);
    Ok(())
}

pub async fn refused(http: &Http) -> Result<()> {
    let path = http.path();
    refusal(&http.get(&format!("{path}?continue=nonsense&limit=2")).await?, 400, "BadRequest")?;
    refusal(&http.get(&format!("{path}?resourceVersion=abc")).await?, 400, "BadRequest")?;
    refusal(&http.get(&format!("{path}?fieldSelector=spec.suspend%3Dtrue")).await?, 400, "BadRequest")?;
    refusal(&http.get(&format!("{path}/nobody")).await?, 404, "NotFound")
}
