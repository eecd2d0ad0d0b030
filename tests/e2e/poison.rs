//! Poisoned workflows and the real operator process: each is counted and named, never shown, and the others go on.

mod made;
pub mod unsendable;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use futures::stream::{self, StreamExt, TryStreamExt};
use kube::api::{Api, ListParams};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use unstick::api::incident::{IncidentState, WorkflowIncident};
use unstick::api::workflow::Workflow;
use unstick_bed::{Bed, Operator, Options, WorkflowRef};

use super::ground::{USER, install, start, state, sum};
use made::{Counted, Made, SECRET};

const MIB: u64 = 1 << 20;
/// What etcd takes at most is 1.5 MiB with the key and the server's own fields.
const MOST: usize = 1_571_000;
/// Half of the pod's limit in deploy/.
const MOST_RESIDENT: u64 = 96 * MIB;

/// On a server without Argo, which would touch them. Half is there before the operator starts.
pub async fn on_the_real_server() -> Result<()> {
    let bed = Bed::start(Options::default()).await?;
    bed.apply_argo_crds().await?;
    install(&bed).await?;
    let namespace = "p".repeat(63);
    bed.namespace(&namespace).await?;
    bed.apply_value(policy(), &namespace).await?;
    let mut all = made::wrong_types(&made::fixture()?);
    all.extend(made::undecodable()?);
    all.extend(made::large(MOST)?);
    all.extend(made::at_the_limits());
    let stuck = ["others-0", "others-1", "others-2"];
    all.extend(stuck.map(|name| Made { workflow: made::stuck(name), counted: Counted::Not, stuck: true }));
    all.extend((0..5).map(|n| Made {
        workflow: made::healthy(&format!("fine-{n}")),
        counted: Counted::Not,
        stuck: false,
    }));
    // A control for what "the most" is.
    let more = made::large(MOST + 4_000)?.swap_remove(0).workflow;
    ensure!(bed.submit_value(&namespace, more).await.is_err(), "the server takes more than {MOST} bytes");

    let (before, after): (Vec<_>, Vec<_>) = all.iter().enumerate().partition(|(n, _)| n % 2 == 0);
    submit(&bed, &namespace, before.into_iter().map(|(_, made)| made)).await?;
    let mut operator = start(&bed, "poisoned", &[]).await?;
    submit(&bed, &namespace, after.into_iter().map(|(_, made)| made)).await?;
    let strangers = strangers(&operator).await;

    // All that is stuck is found, and what becomes stuck or recovers later, too.
    let expected: BTreeSet<String> = all.iter().filter(|m| m.stuck).map(|m| name(&m.workflow)).collect();
    let open = |all: &[WorkflowIncident]| names(all, IncidentState::Open);
    wait(&bed, &namespace, &operator, "all are found", |all| open(all).is_superset(&expected)).await?;
    bed.submit_value(&namespace, made::stuck("others-later")).await?;
    bed.patch_workflow(&WorkflowRef::new(&namespace, "others-1"), &made::approval("others-1")).await?;
    let all_incidents = wait(&bed, &namespace, &operator, "the others go on", |all| {
        open(all).contains("others-later") && names(all, IncidentState::Recovered).contains("others-1")
    })
    .await?;
    let wrong: Vec<_> = all_incidents
        .iter()
        .map(|i| &i.spec.workflow_ref.name)
        .filter(|n| n.starts_with("fine-") || n.starts_with("packed-cut"))
        .collect();
    ensure!(wrong.is_empty(), "not stuck, or not to be known: {wrong:?}");

    let read = stored(&bed, &namespace).await?;
    counted(&operator, &all, &read).await?;
    bounded(&operator)?;
    let calls = bed.audit().by(USER)?;
    // A watch is on record when it begins and when it ends.
    let lists =
        calls.iter().filter(|e| e.resource == "workflows" && (e.verb == "list" || e.stage != "ResponseComplete"));
    let lists: Vec<_> = lists.map(unstick_bed::Entry::line).collect();
    ensure!((1..=2).contains(&lists.len()), "workflows were read again and again: {lists:#?}");
    let (status, took) = operator.terminate(Duration::from_secs(20)).await?;
    ensure!(status.success(), "ended with {status} after {took:?}");
    drop(strangers);
    Ok(())
}

fn policy() -> Value {
    json!({"apiVersion": "unstick.dev/v1alpha1", "kind": "WorkflowPolicy", "metadata": {"name": "team"},
           "spec": {"selector": {}, "detections": [{"name": "gate", "type": "Suspended", "after": "30m"}]}})
}

async fn submit(bed: &Bed, namespace: &str, made: impl Iterator<Item = &Made>) -> Result<()> {
    let each = made.map(|made| async {
        let name = name(&made.workflow);
        bed.submit_value(namespace, made.workflow.clone()).await.with_context(|| name)
    });
    stream::iter(each).buffer_unordered(8).try_for_each(|_| async { Ok(()) }).await
}

fn name(workflow: &Value) -> String {
    workflow["metadata"]["name"].as_str().unwrap_or_default().to_owned()
}

fn names(all: &[WorkflowIncident], wanted: IncidentState) -> BTreeSet<String> {
    all.iter().filter(|i| state(i) == Some(wanted)).map(|i| i.spec.workflow_ref.name.clone()).collect()
}

async fn wait(
    bed: &Bed,
    namespace: &str,
    operator: &Operator,
    what: &str,
    wanted: impl Fn(&[WorkflowIncident]) -> bool,
) -> Result<Vec<WorkflowIncident>> {
    let api: Api<WorkflowIncident> = Api::namespaced(bed.admin()?, namespace);
    let begun = Instant::now();
    loop {
        let all = api.list(&ListParams::default()).await?.items;
        if wanted(&all) {
            return Ok(all);
        }
        if begun.elapsed() > Duration::from_secs(90) {
            let shown: Vec<_> = all.iter().map(super::world::line).filter(|l| !l.starts_with("wrong-")).collect();
            bail!(
                "not true after {:?}: {what}; of {} incidents:\n{}\n{}",
                begun.elapsed(),
                all.len(),
                shown.join("\n"),
                operator.tail(20)
            );
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

/// Each as the server gives it: text and uid.
async fn stored(bed: &Bed, namespace: &str) -> Result<Vec<Value>> {
    let path = format!("/apis/argoproj.io/v1alpha1/namespaces/{namespace}/workflows");
    let list: Value = bed.admin()?.request(http::Request::get(path).body(Vec::new())?).await?;
    Ok(list["items"].as_array().cloned().unwrap_or_default())
}

/// Metrics and log say of each what is wrong with it, and the log shows none of it.
async fn counted(operator: &Operator, all: &[Made], stored: &[Value]) -> Result<()> {
    let log = std::fs::read_to_string(operator.log())?;
    ensure!(!log.contains(SECRET), "the log shows a body: {:?}", log.lines().find(|l| l.contains(SECRET)));
    ensure!(log.len() < 256 << 10, "{} bytes of log", log.len());
    let text = operator.scrape().await?;
    let (mut oddities, mut odd) = (0.0, 0);
    for made in all {
        let name = name(&made.workflow);
        let object = stored.iter().find(|o| o["metadata"]["name"] == name.as_str()).with_context(|| name.clone())?;
        let string = object.to_string();
        let found = Workflow::from_json(&string)?.oddities;
        ensure!(found == 0 || made.counted == Counted::Odd, "{name}: {found} oddities");
        oddities += f64::from(found);
        odd += usize::from(found > 0);
        let meta = &object["metadata"];
        let whose = format!(
            "{}/{name} (uid {})",
            meta["namespace"].as_str().unwrap_or_default(),
            meta["uid"].as_str().unwrap_or_default()
        );
        let named = log.lines().filter(|l| l.contains(&whose) && l.contains("WARN")).count();
        let wanted = usize::from(found > 0 || matches!(made.counted, Counted::Undecodable(_)));
        ensure!(named == wanted, "{name} is named {named} times, {wanted} expected:\n{}", operator.tail(10));
    }
    ensure!(odd >= 40, "only {odd} were read as odd: the trial proves little");
    let sums = |family: &str, part: &str| sum(&text, family, part);
    ensure!(
        (sums("unstick_workflow_oddities_total", "") - oddities).abs() < 0.5,
        "{} oddities are counted, {oddities} made",
        sums("unstick_workflow_oddities_total", "")
    );
    for cause in ["Corrupt", "TooLarge"] {
        let made = all.iter().filter(|m| m.counted == Counted::Undecodable(cause)).count();
        let counted = sums("unstick_nodes_undecodable_total", cause);
        #[allow(clippy::cast_precision_loss)]
        let right = (counted - made as f64).abs() < 0.5;
        ensure!(right, "{cause}: {counted} are counted, {made} made");
    }
    let unknown = sums("unstick_workflows_unknown", "NodesUndecodable");
    ensure!((unknown - 8.0).abs() < 0.5, "{unknown} are unknown for their nodes");
    ensure!(sums("unstick_poison_objects_total", "workflows") < 0.5, "some could not be read at all");
    Ok(())
}

fn bounded(operator: &Operator) -> Result<()> {
    let figures = operator.figures()?;
    println!(
        "resident {} KiB, at most {} KiB, CPU {:?}",
        figures.rss_bytes >> 10,
        figures.peak_rss_bytes >> 10,
        figures.cpu
    );
    ensure!(figures.peak_rss_bytes <= MOST_RESIDENT, "it took {} MiB", figures.peak_rss_bytes / MIB);
    Ok(())
}

/// Clients that begin a request and never end it.
async fn strangers(operator: &Operator) -> Vec<tokio::net::TcpStream> {
    let mut all = Vec::new();
    for _ in 0..200 {
        if let Ok(mut stream) = tokio::net::TcpStream::connect(("127.0.0.1", operator.port())).await {
            let _ = stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: ").await;
            all.push(stream);
        }
    }
    all
}
