//! The CRDs on the real API server: every file in tests/policies/invalid is rejected with the message it expects,
//! every file in tests/policies/valid and unserved is taken, and every schema bound and CEL rule is tripped by some invalid file.
//!
//! A file may hold two documents: the first is created, the second, an update of it or of its status, is the case.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use kube::Client;
use serde_json::Value;
use unstick::api::crds;

mod bounds;

use super::raw::{Answer, send};
use bounds::Bounds;

/// Runs all cases; says how many were rejected. Needs rights to install CRDs.
///
/// # Errors
/// Lists every case that went another way and every bound that no case trips.
pub async fn run(client: Client) -> Result<()> {
    install(&client).await?;
    let mut bounds = Bounds::default();
    crds::all().iter().for_each(|crd| bounds.add(crd));
    let mut wrong = Vec::new();

    for file in files("valid")?.into_iter().chain(files("unserved")?) {
        for document in documents(&file)? {
            if let Err(refused) = create(&client, &document, true).await? {
                wrong.push(format!("{} must be taken, but: {}", file.display(), refused.message));
            }
        }
    }

    let mut rejected = BTreeMap::new();
    for file in files("invalid")? {
        match reject(&client, &file, &mut bounds).await {
            Ok(message) => drop(rejected.insert(file, message)),
            Err(error) => wrong.push(format!("{}: {error:#}", file.display())),
        }
    }
    wrong.extend(bounds.untripped().into_iter().map(|b| format!("no case trips {b}")));
    ensure!(wrong.is_empty(), "{} findings:\n{}", wrong.len(), wrong.join("\n"));
    let (all, rules) = bounds.count();
    ensure!(rejected.len() >= 60, "only {} invalid cases", rejected.len());
    println!("{} invalid cases rejected; they trip all {all} bounds, {rules} of them CEL rules", rejected.len());
    Ok(())
}

/// Server-side applies the CRDs and waits until they are served.
async fn install(client: &Client) -> Result<()> {
    for crd in crds::all() {
        let name = crds::name(crd);
        let at = format!("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}");
        let apply = format!("{at}?fieldManager=unstick-test&force=true");
        send(client, "PATCH", &apply, Some(crd), None).await?.map_err(|r| anyhow::anyhow!("{name}: {}", r.message))?;
        let mut tries = 0;
        loop {
            let now = send(client, "GET", &at, None, None).await?;
            let now = now.map_err(|r| anyhow::anyhow!("{name}: {}", r.message))?;
            let established = now["status"]["conditions"].as_array().into_iter().flatten();
            if established.into_iter().any(|c| c["type"] == "Established" && c["status"] == "True") {
                break;
            }
            tries += 1;
            ensure!(tries < 100, "{name} is not established after 10 s");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        // Established is said a moment before every handler serves the kind.
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Ok(())
}

/// Brings one case to the server; returns the message of the refusal.
async fn reject(client: &Client, file: &Path, bounds: &mut Bounds) -> Result<String> {
    let text = std::fs::read_to_string(file)?;
    let expect = text.lines().next().and_then(|l| l.strip_prefix("# expect: ")).context("no expect comment")?;
    let documents = documents(file)?;
    let answer = match documents.as_slice() {
        [only] => create(client, only, true).await?,
        [first, second] => {
            let made = create(client, first, false).await?;
            let made = made.map_err(|r| anyhow::anyhow!("the first document was refused: {}", r.message))?;
            let answer = update(client, &made, second).await?;
            send(client, "DELETE", &path(second, true)?, None, None).await?.ok();
            answer
        }
        _ => bail!("{} documents", documents.len()),
    };
    let Err(refused) = answer else { bail!("was taken, expected: {expect}") };
    ensure!(refused.message.contains(expect), "expected: {expect}\n  answered: {}", refused.message);
    let kind = documents[0]["kind"].as_str().context("no kind")?;
    for cause in &refused.causes {
        // Types aren't bounds; and while the schema is breached the server says that it has left the rules out.
        let other =
            ["must be of type", "some validation rules were not checked"].iter().any(|t| cause.message.contains(t));
        if !bounds.trip(kind, cause) && !other {
            bail!("no bound is known for {cause:?}");
        }
    }
    Ok(refused.message)
}

async fn create(client: &Client, object: &Value, dry: bool) -> Result<Answer> {
    let dry = if dry { "&dryRun=All" } else { "" };
    let uri = format!("{}?fieldValidation=Strict{dry}", path(object, false)?);
    send(client, "POST", &uri, Some(object), None).await
}

async fn update(client: &Client, made: &Value, next: &Value) -> Result<Answer> {
    let mut next = next.clone();
    next["metadata"]["resourceVersion"] = made["metadata"]["resourceVersion"].clone();
    let below = if next.get("status").is_some() { "/status" } else { "" };
    let uri = format!("{}{below}?fieldValidation=Strict&dryRun=All", path(&next, true)?);
    send(client, "PUT", &uri, Some(&next), None).await
}

fn path(object: &Value, named: bool) -> Result<String> {
    let kind = object["kind"].as_str().context("no kind")?;
    let crd = crds::all().iter().find(|c| c["spec"]["names"]["kind"] == kind).context("kind not ours")?;
    let plural = crd["spec"]["names"]["plural"].as_str().context("no plural")?;
    let scope = if crd["spec"]["scope"] == "Namespaced" { "namespaces/default/" } else { "" };
    let name =
        if named { format!("/{}", object["metadata"]["name"].as_str().context("no name")?) } else { String::new() };
    Ok(format!("/apis/unstick.dev/v1alpha1/{scope}{plural}{name}"))
}

fn files(directory: &str) -> Result<Vec<PathBuf>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/policies").join(directory);
    let mut files: Vec<_> = std::fs::read_dir(directory)?.map(|e| Ok(e?.path())).collect::<Result<_>>()?;
    files.sort();
    Ok(files)
}

fn documents(file: &Path) -> Result<Vec<Value>> {
    let text = std::fs::read_to_string(file)?;
    text.split("\n---\n").map(|d| serde_saphyr::from_str(d).with_context(|| file.display().to_string())).collect()
}
