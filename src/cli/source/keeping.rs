//! What decides about finished workflows, from a cluster or from files: policies, locations, holds, and the workflows.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io::{Read, Write};
use std::path::PathBuf;

use anyhow::anyhow;
use jiff::Timestamp;
use serde_json::Value;

use super::cluster::{Cluster, Fault};
use super::files::{Saved, is_asked_for};
use super::load::{OURS, Policies, feed_policy, read_policies, watchdog};
use super::{Head, Scope};
use crate::api::archive_location::{AccessMode, ArchiveLocation};
use crate::api::condition::ConditionStatus;
use crate::api::reasons::ConditionType;
use crate::api::selector::Selector;
use crate::api::watchdog::WatchdogSpec;
use crate::cli::engine::{Engine as _, EngineOptions};
use crate::cli::live::Live;
use crate::shell::janitor::connect::fingerprint;
use crate::watchdog::janitor::Place;
use crate::watchdog::janitor::run::HOLD;

/// A watchdog that has been told all that decides about finished workflows.
pub struct Keeping {
    pub live: Live,
    pub now: Timestamp,
    /// Of the Watchdog object.
    pub settings: WatchdogSpec,
    /// Labels of the namespaces that could be read.
    pub namespaces: BTreeMap<String, BTreeMap<String, String>>,
    /// Finished workflows that were asked for.
    pub asked_for: HashSet<(String, String)>,
    /// Policies that archive or clean up.
    pub keepers: usize,
    /// Locations that no operator has tried: they are taken as ready.
    pub untried: Vec<String>,
    /// Why it may be another policy that governs than it seems from here.
    pub uncertain: Option<&'static str>,
    /// A policy has `maxDeletes`.
    pub budgets: bool,
}

impl Keeping {
    fn new(options: EngineOptions) -> Self {
        Self {
            live: Live::new(options),
            now: Timestamp::UNIX_EPOCH,
            settings: WatchdogSpec::default(),
            namespaces: BTreeMap::new(),
            asked_for: HashSet::new(),
            keepers: 0,
            untried: Vec::new(),
            uncertain: None,
            budgets: false,
        }
    }

    fn policy(&mut self, policy: &Value, err: &mut dyn Write) {
        let spec = &policy["spec"];
        self.keepers += usize::from(spec["archive"].is_object() || spec["cleanup"].is_object());
        self.budgets |= spec["cleanup"]["maxDeletes"].is_object();
        feed_policy(&mut self.live, policy, err);
    }

    fn namespace(&mut self, json: &str) {
        let head = Head::read(json);
        let value: Value = serde_json::from_str(json).unwrap_or_default();
        self.live.hold(&head.name, value["metadata"]["annotations"][HOLD].as_str().map(str::to_owned));
        self.live.namespace(&head.name, head.labels.clone());
        self.namespaces.insert(head.name, head.labels);
    }

    fn location(&mut self, object: &ArchiveLocation) {
        let name = object.metadata.name.clone().unwrap_or_default();
        let (place, tried) = place(object);
        self.live.place(&name, place);
        if !tried {
            self.untried.push(name);
        }
    }

    fn workflow(&mut self, json: &str, scope: &Scope, selector: &Selector, now: Timestamp, err: &mut dyn Write) {
        let head = Head::read(json);
        match self.live.workflow(json, now) {
            Ok(()) => {
                if is_asked_for(scope, selector, &head) && self.live.is_finished(&head.namespace, &head.name) {
                    self.asked_for.insert((head.namespace, head.name));
                }
            }
            Err(why) => {
                let _ = writeln!(err, "warning: {}/{} can't be read: {why}", head.namespace, head.name);
            }
        }
    }

    fn judged(mut self, now: Timestamp) -> Self {
        self.live.judge(now);
        self.now = now;
        self
    }
}

/// A location as the operator would know it, and whether one has tried it.
fn place(object: &ArchiveLocation) -> (Place, bool) {
    let status = object.status.as_ref().filter(|s| s.observed_generation == object.metadata.generation);
    let ready = status.and_then(|s| s.conditions.iter().find(|c| c.kind == ConditionType::Ready.as_str()));
    let (allowed, refused) = match Selector::compile(&object.spec.allowed_namespaces) {
        Ok(selector) => (selector, None),
        Err(error) => (Selector::default(), Some(format!("spec.allowedNamespaces can't be read: {error}"))),
    };
    let place = Place {
        ready: refused.is_none() && ready.is_none_or(|c| c.status == ConditionStatus::True),
        read_only: object.spec.access_mode == AccessMode::ReadOnly,
        message: refused.or_else(|| ready.map(|c| c.message.clone())).unwrap_or_default(),
        fingerprint: fingerprint(object).to_string(),
        allowed,
    };
    (place, ready.is_some())
}

/// Names of the locations that policies keep at.
fn wanted(policies: &[Value]) -> BTreeSet<&str> {
    policies.iter().filter_map(|p| p["spec"]["archive"]["location"].as_str()).collect()
}

/// All but the workflows, from a cluster.
pub async fn around(
    options: EngineOptions,
    cluster: &Cluster,
    scope: &Scope,
    err: &mut dyn Write,
) -> anyhow::Result<Keeping> {
    let mut keeping = Keeping::new(options);
    keeping.settings = watchdog(&mut keeping.live, cluster, err).await?;
    let Policies { found: policies, denied, .. } = read_policies(cluster, scope, err).await?;
    let namespaces = match &scope.namespace {
        Some(name) => cluster.text(&format!("/api/v1/namespaces/{name}")).await.map(|json| keeping.namespace(&json)),
        None => cluster.each("/api/v1/namespaces", "", &mut |json| keeping.namespace(json)).await,
    };
    if let Err(fault) = namespaces {
        let _ = writeln!(err, "warning: holds and labels of namespaces can't be seen: {fault}");
        if let Some(name) = &scope.namespace {
            // The one label that every namespace has.
            let own = BTreeMap::from([("kubernetes.io/metadata.name".to_owned(), name.clone())]);
            keeping.live.namespace(name, own);
        }
    }
    for policy in &policies {
        keeping.policy(policy, err);
    }
    let by_label = policies.iter().any(|p| {
        let selector = p["spec"]["namespaceSelector"].as_object();
        selector
            .is_some_and(|s| s.values().any(|v| !v.as_object().is_none_or(serde_json::Map::is_empty) || v.is_array()))
    });
    keeping.uncertain = match (denied, by_label && keeping.namespaces.is_empty()) {
        (true, _) => Some("not all policies may be read"),
        (_, true) => Some("cluster policies select namespaces by labels, which can't be read"),
        _ => None,
    };
    let wanted = wanted(&policies);
    if wanted.is_empty() {
        return Ok(keeping);
    }
    let mut locations = Vec::new();
    match cluster
        .each(&format!("{OURS}/archivelocations"), "", &mut |json| {
            locations.extend(serde_json::from_str::<ArchiveLocation>(json).ok());
        })
        .await
    {
        Ok(()) | Err(Fault::NotFound) => {
            let wanted = |l: &&ArchiveLocation| l.metadata.name.as_deref().is_some_and(|n| wanted.contains(n));
            locations.iter().filter(wanted).for_each(|location| keeping.location(location));
        }
        Err(Fault::Denied(why)) => {
            let _ = writeln!(err, "note: ArchiveLocations may not be read, each is taken as ready: {why}");
            for name in wanted {
                keeping.live.place(name, Place::unknown());
            }
        }
        Err(fault) => return Err(fault.into()),
    }
    Ok(keeping)
}

/// All of it, from a cluster.
pub async fn from_cluster(
    options: EngineOptions,
    cluster: &Cluster,
    scope: &Scope,
    now: Option<Timestamp>,
    err: &mut dyn Write,
) -> anyhow::Result<Keeping> {
    let selector = Selector::parse(&scope.selector).map_err(|e| anyhow!("-l: {e}"))?;
    let mut keeping = around(options, cluster, scope, err).await?;
    for name in &keeping.untried {
        writeln!(err, "note: no operator has tried ArchiveLocation {name} yet: it is taken as ready")?;
    }
    let path = match &scope.namespace {
        Some(namespace) => format!("/apis/argoproj.io/v1alpha1/namespaces/{namespace}/workflows"),
        None => "/apis/argoproj.io/v1alpha1/workflows".to_owned(),
    };
    let at = now.unwrap_or_else(|| cluster.now());
    // Labels are compared here: whom `keepAtLeast` and `maxDeletes` count isn't for the one who asks to choose.
    match cluster.each(&path, "", &mut |json| keeping.workflow(json, scope, &selector, at, err)).await {
        Ok(()) => Ok(keeping.judged(now.unwrap_or_else(|| cluster.now()))),
        Err(Fault::NotFound) => {
            Err(anyhow!("Argo Workflows is not installed in this cluster: it has no workflows.argoproj.io"))
        }
        Err(fault) => Err(fault.into()),
    }
}

/// All of it, from saved objects.
pub fn from_files(
    options: EngineOptions,
    files: &[PathBuf],
    scope: &Scope,
    now: Option<Timestamp>,
    stdin: &mut dyn Read,
    err: &mut dyn Write,
) -> anyhow::Result<Keeping> {
    let selector = Selector::parse(&scope.selector).map_err(|e| anyhow!("-l: {e}"))?;
    let now = now.unwrap_or_else(Timestamp::now);
    let saved = Saved::read(files, stdin)?;
    let all = saved.objects();
    let mut keeping = Keeping::new(options);
    let (mut policies, mut located) = (Vec::new(), BTreeSet::new());
    for (head, json) in &all {
        let value = || serde_json::from_str::<Value>(json).unwrap_or_default();
        match head.kind.as_str() {
            "WorkflowPolicy" | "ClusterWorkflowPolicy" => policies.push(value()),
            "Watchdog" => keeping.live.watchdog(&value()),
            "Namespace" => keeping.namespace(json),
            "ArchiveLocation" => match serde_json::from_str::<ArchiveLocation>(json) {
                Ok(object) => {
                    located.insert(head.name.clone());
                    keeping.live.place(&head.name, place(&object).0);
                }
                Err(why) => writeln!(err, "warning: ArchiveLocation {} can't be read: {why}", head.name)?,
            },
            _ => {}
        }
    }
    for policy in &policies {
        keeping.policy(policy, err);
    }
    for name in wanted(&policies).into_iter().filter(|name| !located.contains(*name)) {
        writeln!(err, "note: ArchiveLocation {name} is not in these files: it is taken as ready")?;
        keeping.live.place(name, Place::unknown());
    }
    for (_, json) in all.iter().filter(|(h, _)| h.kind == "Workflow") {
        keeping.workflow(json, scope, &selector, now, err);
    }
    Ok(keeping.judged(now))
}
