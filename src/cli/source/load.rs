//! Feeding an engine from a cluster or from files, with what could not be had said on standard error.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::path::PathBuf;

use anyhow::anyhow;
use jiff::Timestamp;
use serde_json::Value;

use super::cluster::{Cluster, Fault};
use super::files::{Saved, is_asked_for};
use super::{Head, Scope, Survey};
use crate::api::percent::encode;
use crate::api::reasons::ArgoState;
use crate::api::selector::Selector;
use crate::api::watchdog::WatchdogSpec;
use crate::cli::engine::Engine;
use crate::watchdog::health::SILENCE;

pub(super) const OURS: &str = "/apis/unstick.dev/v1alpha1";
const WORKFLOWS: &str = "/apis/argoproj.io/v1alpha1";

/// Most lock holders outside the scope that are looked up one by one.
const WANTED: usize = 200;

/// Feeds saved objects.
pub fn from_files(
    mut engine: Box<dyn Engine>,
    files: &[PathBuf],
    scope: &Scope,
    now: Option<Timestamp>,
    stdin: &mut dyn Read,
    err: &mut dyn Write,
) -> anyhow::Result<Survey> {
    let selector = Selector::parse(&scope.selector).map_err(|e| anyhow!("-l: {e}"))?;
    let now = now.unwrap_or_else(Timestamp::now);
    let saved = Saved::read(files, stdin)?;
    let all = saved.objects();
    let (mut policies, mut ignored) = (0_usize, BTreeMap::<&str, usize>::new());
    for (head, json) in &all {
        let value = || serde_json::from_str::<Value>(json).unwrap_or_default();
        match head.kind.as_str() {
            "Workflow" => {}
            "WorkflowPolicy" | "ClusterWorkflowPolicy" => {
                policies += 1;
                feed_policy(engine.as_mut(), &value(), err);
            }
            "Watchdog" => engine.watchdog(&value()),
            "WorkflowIncident" => engine.incident(&value()),
            "Pod" => engine.pod(&value()),
            "Namespace" => engine.namespace(&head.name, head.labels.clone()),
            kind => *ignored.entry(kind).or_default() += 1,
        }
    }
    for (kind, n) in ignored {
        let kind = if kind.is_empty() { "no kind" } else { kind };
        let _ = writeln!(err, "note: {n} object(s) of {kind} passed over");
    }
    if policies == 0 {
        engine.builtin_policy();
    }
    let (mut names, mut outside) = (Vec::new(), BTreeSet::new());
    for (head, json) in all.iter().filter(|(h, _)| h.kind == "Workflow") {
        // Holders of locks have to be seen whatever is asked for; what is shown is filtered afterwards.
        match engine.workflow(json, now) {
            Ok(()) => {
                let id = (head.namespace.clone(), head.name.clone());
                if is_asked_for(scope, &selector, head) {
                    names.push(id);
                } else {
                    outside.insert(id);
                }
            }
            Err(why) => {
                let _ = writeln!(err, "warning: {}/{} can't be read: {why}", head.namespace, head.name);
            }
        }
    }
    engine.judge(now);
    Ok(Survey { engine, now, names, outside, namespaces: true })
}

/// Feeds what a cluster has.
pub async fn from_cluster(
    mut engine: Box<dyn Engine>,
    cluster: &Cluster,
    scope: &Scope,
    now: Option<Timestamp>,
    err: &mut dyn Write,
) -> anyhow::Result<Survey> {
    let argo = watchdog(engine.as_mut(), cluster, err).await?;
    argo_health(engine.as_mut(), cluster, &argo).await;
    policies(engine.as_mut(), cluster, scope, err).await?;
    incidents(engine.as_mut(), cluster, scope).await?;
    pods(engine.as_mut(), cluster, scope, err).await?;
    // The server has answered by now, so this is its clock.
    let started = now.unwrap_or_else(|| cluster.now());
    let names = workflows(engine.as_mut(), cluster, scope, started, err).await?;
    let outside = holders(engine.as_mut(), cluster, started).await;
    let now = now.unwrap_or_else(|| cluster.now());
    engine.judge(now);
    Ok(Survey { engine, now, names, outside, namespaces: scope.namespace.is_none() })
}

pub(super) fn feed_policy(engine: &mut dyn Engine, policy: &Value, err: &mut dyn Write) {
    for problem in engine.policy(policy) {
        let name = policy["metadata"]["name"].as_str().unwrap_or_default();
        let _ = writeln!(err, "warning: {} {name}: {problem}", policy["kind"].as_str().unwrap_or_default());
    }
}

pub(super) async fn watchdog(
    engine: &mut dyn Engine,
    cluster: &Cluster,
    err: &mut dyn Write,
) -> anyhow::Result<WatchdogSpec> {
    match cluster.object(&format!("{OURS}/watchdogs/default")).await {
        Ok(object) => {
            engine.watchdog(&object);
            Ok(serde_json::from_value(object["spec"].clone()).unwrap_or_default())
        }
        Err(Fault::NotFound) => Ok(WatchdogSpec::default()),
        Err(Fault::Denied(why)) => {
            let _ = writeln!(err, "note: the Watchdog object may not be read, its defaults are used: {why}");
            Ok(WatchdogSpec::default())
        }
        Err(fault) => Err(fault.into()),
    }
}

/// An instance whose Lease can't be read stays Unknown: then everything is detected.
async fn argo_health(engine: &mut dyn Engine, cluster: &Cluster, spec: &WatchdogSpec) {
    for instance in spec.argo.iter().filter(|i| !i.lease.is_empty()) {
        let path = format!("/apis/coordination.k8s.io/v1/namespaces/{}/leases/{}", instance.namespace, instance.lease);
        if let Ok(lease) = cluster.object(&path).await {
            engine.argo_lease(&instance.namespace, &instance.lease, renewed(&lease));
        }
    }
}

/// What a Lease says of its holder.
pub fn lease_state(lease: &Value, now: Timestamp) -> ArgoState {
    match renewed(lease) {
        Some(at) if now.as_second() - at.as_second() >= i64::from(SILENCE) => ArgoState::Down,
        Some(_) => ArgoState::Up,
        None => ArgoState::Unknown,
    }
}

/// `spec.renewTime` of a Lease.
pub fn renewed(lease: &Value) -> Option<Timestamp> {
    lease.pointer("/spec/renewTime")?.as_str()?.parse().ok()
}

async fn policies(
    engine: &mut dyn Engine,
    cluster: &Cluster,
    scope: &Scope,
    err: &mut dyn Write,
) -> anyhow::Result<()> {
    let Policies { found, missing, .. } = read_policies(cluster, scope, err).await?;
    if found.is_empty() {
        let why = if missing { "unstick's CRDs are not installed" } else { "there are no policies" };
        let _ = writeln!(err, "note: {why}, the built-in policy is used (see it with: unstick policy init)");
        engine.builtin_policy();
        return Ok(());
    }
    if found.iter().any(|p| p["kind"] == "ClusterWorkflowPolicy") {
        namespaces(engine, cluster, scope, err).await;
    }
    for policy in &found {
        feed_policy(engine, policy, err);
    }
    Ok(())
}

/// Policies of both kinds.
#[derive(Default)]
pub(super) struct Policies {
    pub found: Vec<Value>,
    /// A kind isn't served.
    pub missing: bool,
    /// A kind may not be read.
    pub denied: bool,
}

pub(super) async fn read_policies(cluster: &Cluster, scope: &Scope, err: &mut dyn Write) -> anyhow::Result<Policies> {
    let of_namespaces = match &scope.namespace {
        Some(namespace) => format!("{OURS}/namespaces/{namespace}/workflowpolicies"),
        None => format!("{OURS}/workflowpolicies"),
    };
    let mut all = Policies::default();
    for (kind, path) in
        [("ClusterWorkflowPolicy", format!("{OURS}/clusterworkflowpolicies")), ("WorkflowPolicy", of_namespaces)]
    {
        let read = cluster
            .each(&path, "", &mut |json| {
                let Ok(mut policy) = serde_json::from_str::<Value>(json) else { return };
                policy["kind"] = kind.into();
                all.found.push(policy);
            })
            .await;
        match read {
            Ok(()) => {}
            Err(Fault::NotFound) => all.missing = true,
            Err(Fault::Denied(why)) => {
                all.denied = true;
                let _ = writeln!(err, "warning: judged without any {kind}: {why}");
            }
            Err(fault) => return Err(fault.into()),
        }
    }
    Ok(all)
}

async fn namespaces(engine: &mut dyn Engine, cluster: &Cluster, scope: &Scope, err: &mut dyn Write) {
    let read = if let Some(name) = &scope.namespace {
        let read = cluster.text(&format!("/api/v1/namespaces/{name}")).await;
        read.map(|json| engine.namespace(name, Head::read(&json).labels))
    } else {
        let mut feed = |json: &str| {
            let head = Head::read(json);
            engine.namespace(&head.name, head.labels);
        };
        cluster.each("/api/v1/namespaces", "", &mut feed).await
    };
    if let Err(fault) = read {
        // The one label that every namespace has.
        if let Some(name) = &scope.namespace {
            engine.namespace(name, BTreeMap::from([("kubernetes.io/metadata.name".to_owned(), name.clone())]));
        }
        let _ = writeln!(err, "warning: cluster policies that select namespaces by label may not be seen: {fault}");
    }
}

async fn incidents(engine: &mut dyn Engine, cluster: &Cluster, scope: &Scope) -> anyhow::Result<()> {
    let path = match &scope.namespace {
        Some(namespace) => format!("{OURS}/namespaces/{namespace}/workflowincidents"),
        None => format!("{OURS}/workflowincidents"),
    };
    let mut feed = |json: &str| {
        if let Ok(incident) = serde_json::from_str(json) {
            engine.incident(&incident);
        }
    };
    match cluster.each(&path, "", &mut feed).await {
        // Without them the clock of spec.suspend is the workflow's own, and nothing was done so far.
        Ok(()) | Err(Fault::NotFound | Fault::Denied(_)) => Ok(()),
        Err(fault) => Err(fault.into()),
    }
}

/// Finished pods that Argo has not noticed: normally none or few.
async fn pods(engine: &mut dyn Engine, cluster: &Cluster, scope: &Scope, err: &mut dyn Write) -> anyhow::Result<()> {
    let path = match &scope.namespace {
        Some(namespace) => format!("/api/v1/namespaces/{namespace}/pods"),
        None => "/api/v1/pods".to_owned(),
    };
    let labels = match &scope.name {
        Some(name) => format!("workflows.argoproj.io/completed=false,workflows.argoproj.io/workflow={name}"),
        None => "workflows.argoproj.io/completed=false".to_owned(),
    };
    let fields = "status.phase!=Pending,status.phase!=Running,status.phase!=Unknown";
    let query = format!("labelSelector={}&fieldSelector={}", encode(&labels), encode(fields));
    let mut feed = |json: &str| {
        if let Ok(pod) = serde_json::from_str(json) {
            engine.pod(&pod);
        }
    };
    match cluster.each(&path, &query, &mut feed).await {
        Ok(()) | Err(Fault::NotFound) => Ok(()),
        Err(Fault::Denied(why)) => {
            let _ = writeln!(err, "note: some lost task results may not be seen: {why}");
            Ok(())
        }
        Err(fault) => Err(fault.into()),
    }
}

pub(super) async fn workflows(
    engine: &mut dyn Engine,
    cluster: &Cluster,
    scope: &Scope,
    now: Timestamp,
    err: &mut dyn Write,
) -> anyhow::Result<Vec<(String, String)>> {
    let path = match &scope.namespace {
        Some(namespace) => format!("{WORKFLOWS}/namespaces/{namespace}/workflows"),
        None => format!("{WORKFLOWS}/workflows"),
    };
    let mut names = Vec::new();
    let mut feed = |json: &str| {
        let head = Head::read(json);
        match engine.workflow(json, now) {
            Ok(()) if scope.name.is_some() => names.push((head.namespace, head.name)),
            Ok(()) => {}
            Err(why) => {
                let _ = writeln!(err, "warning: {}/{} can't be read: {why}", head.namespace, head.name);
            }
        }
    };
    let read = if let Some(name) = &scope.name {
        match cluster.text(&format!("{path}/{name}")).await {
            Ok(json) => {
                feed(&json);
                Ok(())
            }
            Err(Fault::NotFound) => {
                let namespace = scope.namespace.as_deref().unwrap_or_default();
                return Err(anyhow!("workflow {name:?} not found in namespace {namespace:?}"));
            }
            Err(fault) => Err(fault),
        }
    } else {
        let labels = encode(&scope.selector);
        let query = if labels.is_empty() { labels } else { format!("labelSelector={labels}") };
        cluster.each(&path, &query, &mut feed).await
    };
    match read {
        Ok(()) => Ok(names),
        Err(Fault::NotFound) => {
            Err(anyhow!("Argo Workflows is not installed in this cluster: it has no workflows.argoproj.io"))
        }
        Err(fault) => Err(fault.into()),
    }
}

/// Looks up holders of locks that the list did not have.
async fn holders(engine: &mut dyn Engine, cluster: &Cluster, now: Timestamp) -> BTreeSet<(String, String)> {
    let mut outside = BTreeSet::new();
    for (namespace, name) in engine.wanted().into_iter().take(WANTED) {
        match cluster.text(&format!("{WORKFLOWS}/namespaces/{namespace}/workflows/{name}")).await {
            // One that can't be read stays unknown, as does one that may not be asked for.
            Ok(json) => {
                if engine.workflow(&json, now).is_ok() {
                    outside.insert((namespace, name));
                }
            }
            Err(Fault::NotFound) => engine.absent(&namespace, &name),
            Err(_) => {}
        }
    }
    outside
}
