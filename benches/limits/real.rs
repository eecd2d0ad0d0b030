//! 30,000 running workflows of 7 KB in the real kube-apiserver, over TLS: the release operator reads them with the token
//! of its own `ServiceAccount`, under the rights of deploy/install.yaml.
//!
//! No Argo runs, so nothing changes them; its Lease is renewed all the same, for else hardly anything would be judged.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures::stream::{self, StreamExt, TryStreamExt};
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{Api, Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use unstick_bed::corpus::{self, Corpus, Look, Size};
use unstick_bed::measure::{Scrape, Table, median, mib, millis};
use unstick_bed::{Bed, Options};

use super::{Setting, Watching};

const MIB: u64 = 1 << 20;
const COUNT: u32 = 30_000;
/// With `--quick`: it is making them that takes time, some hundred a second.
const FEW: u32 = 3_000;
/// Requests of ours at the same time, each on a connection of its own.
const AT_ONCE: usize = 64;
const SYSTEM: &str = "unstick-system";

pub fn run(setting: &Setting, table: &mut Table) -> Result<()> {
    let count = if setting.quick { FEW } else { COUNT };
    let corpus = Corpus { count, size: Size::Medium, ..Corpus::default() };
    let runtime = Runtime::new()?;
    let begun = Instant::now();
    let cluster = runtime.block_on(Cluster::start(&corpus))?;
    let quick = if setting.quick { format!(" (--quick: not {}k)", COUNT / 1000) } else { String::new() };
    let label = format!("{}k x 7 KB on the real server{quick}", count / 1000);
    table.note(&format!("{label}: made in, of"), format!("{}, {} B", millis(begun.elapsed()), cluster.mean));

    let (mut cpu, mut times) = (Vec::new(), Vec::new());
    let mut last = None;
    for _ in 0..setting.repeats() {
        drop(last.take());
        let operator = Watching::start_on(setting, &cluster.kubeconfig, SYSTEM)?;
        let tracked = Scrape::of(operator.address)?.sum("unstick_tracked_workflows", "");
        ensure!(tracked >= f64::from(count), "ready with {tracked} workflows");
        cpu.push(operator.start_cpu);
        times.push(operator.start_time);
        last = Some(operator);
    }
    let operator = last.context("it was never started")?;
    let spent = median(cpu).unwrap_or(Duration::MAX);
    table.at_most(&format!("{label}: CPU to synced"), spent, Duration::from_secs(2), millis);
    table.note(&format!("{label}: time to synced"), millis(median(times).unwrap_or_default()));
    std::thread::sleep(setting.settle());
    let usage = operator.process.usage()?;
    table.at_most(&format!("{label}: resident memory"), usage.resident, 24 * MIB, mib);
    table.note(&format!("{label}: peak - steady"), mib(usage.peak - usage.resident));
    // That it is small is worth nothing unless it judges what it holds. The server gave each a creation time of its own
    // and takes no deletion time from a client: kinds whose clocks these are can't be stuck yet.
    let (made, ..) = corpus.census();
    let stuck = Scrape::of(operator.address)?.sum("unstick_workflows_stuck", "");
    table.at_least(&format!("{label}: stuck ones found, of {made}"), stuck, f64::from(made / 2), |n| format!("{n:.0}"));
    Ok(())
}

struct Cluster {
    /// Processes that end with it.
    _bed: Bed,
    kubeconfig: PathBuf,
    /// Of one workflow as the server sends it, in bytes.
    mean: u64,
}

impl Cluster {
    async fn start(corpus: &Corpus) -> Result<Self> {
        let bed = Bed::start(Options::default()).await?;
        bed.apply_argo_crds().await?;
        for namespace in ["argo", SYSTEM] {
            bed.namespace(namespace).await?;
        }
        let mut objects = unstick::api::crds::all().to_vec();
        objects.extend(corpus::namespaces(20));
        objects.extend(corpus::policies());
        objects.extend(rights()?);
        for object in objects {
            bed.apply_value(object, "default").await?;
        }
        bed.service_account(SYSTEM, "unstick").await?;
        tokio::spawn(keep_argo_up(bed.admin()?));
        // A client of its own: the bed's has what a test needs.
        let kubeconfig = Kubeconfig::read_from(bed.admin_kubeconfig())?;
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
        let client = Client::try_from(config)?;
        make(&client, corpus).await?;
        let mean = mean_size(&client, corpus.count).await?;
        ensure!(
            (6_500..8_000).contains(&mean),
            "workflows have {mean} B as the server sends them, not between 6.5 and 8 KB"
        );
        let kubeconfig = bed.kubeconfig_for(SYSTEM, "unstick").await?;
        Ok(Self { _bed: bed, kubeconfig, mean })
    }
}

/// Creates the workflows, one request each, as anybody would.
async fn make(client: &Client, corpus: &Corpus) -> Result<()> {
    let all = (0..corpus.count).map(|index| async move {
        let specimen = corpus.specimen(index);
        let mut object: Value = serde_json::from_str(&specimen.text(1, Look::default()))?;
        // The server's own.
        object["metadata"]
            .as_object_mut()
            .context("no metadata")?
            .retain(|key, _| key != "resourceVersion" && key != "uid");
        let path = format!("/apis/argoproj.io/v1alpha1/namespaces/{}/workflows", specimen.namespace);
        let request = http::Request::post(path).header("content-type", "application/json");
        client
            .request_text(request.body(serde_json::to_vec(&object)?)?)
            .await
            .with_context(|| specimen.name.clone())?;
        anyhow::Ok(())
    });
    stream::iter(all).buffer_unordered(AT_ONCE).try_collect().await
}

/// Looks at a page; an error when the server doesn't hold `count` in all.
async fn mean_size(client: &Client, count: u32) -> Result<u64> {
    const PAGE: u64 = 500;
    let path = format!("/apis/argoproj.io/v1alpha1/workflows?limit={PAGE}");
    let text = client.request_text(http::Request::get(path).body(Vec::new())?).await?;
    let page: Value = serde_json::from_str(&text)?;
    let more = page["metadata"]["remainingItemCount"].as_u64().unwrap_or(0);
    ensure!(more + PAGE == u64::from(count), "the server holds {} workflows of {count}", more + PAGE);
    Ok(text.len() as u64 / PAGE)
}

/// The roles and bindings of install.yaml.
fn rights() -> Result<Vec<Value>> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/install.yaml");
    let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    let all: Result<Vec<Value>, _> = text.split("\n---\n").map(serde_saphyr::from_str).collect();
    Ok(all?.into_iter().filter(|o: &Value| o["kind"].as_str().is_some_and(|k| k.contains("Role"))).collect())
}

/// Renews the Lease of an Argo controller until the runtime ends.
async fn keep_argo_up(client: Client) {
    let api: Api<Lease> = Api::namespaced(client, "argo");
    loop {
        let lease = json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "workflow-controller"},
            "spec": {"holderIdentity": "argo", "leaseDurationSeconds": 15, "renewTime": format!("{:.6}", Timestamp::now())},
        });
        if let Err(error) =
            api.patch("workflow-controller", &PatchParams::apply("bench").force(), &Patch::Apply(lease)).await
        {
            eprintln!("  Argo's Lease: {error}");
        }
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
}
