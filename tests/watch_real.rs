//! The watch against the real API server: no CRDs at first, then lists (streamed, and in pages where the server's gate
//! for streaming is off), events, deletions, watches that the server ends, and its clock.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeSet;
use std::time::Duration;

use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, GroupVersionKind, Patch, PatchParams, PostParams};
use serde_json::json;
use tokio::sync::mpsc::Receiver;
use unstick::api::workflow::EventKind;
use unstick::shell::client::{self, Clients};
use unstick::shell::kubeconfig::Target;
use unstick::shell::watch::{Fault, Feed, WatchConfig, watch};
use unstick_bed::{Bed, Options};

/// What a reader knows of the workflows.
#[derive(Default)]
struct Seen {
    names: BTreeSet<String>,
    fresh: BTreeSet<String>,
    epochs: u64,
    synced: u64,
    absent: u32,
    downs: Vec<String>,
    blocks: u32,
    alive: u32,
}

impl Seen {
    async fn read(&mut self, feed: &mut Receiver<Feed>, what: &str, done: impl Fn(&Self) -> bool) {
        while !done(self) {
            let next = tokio::time::timeout(Duration::from_secs(40), feed.recv()).await;
            let next = next.unwrap_or_else(|_| panic!("{what}: names {:?}, downs {:?}", self.names.len(), self.downs));
            match next.unwrap() {
                Feed::Begin { epoch } => {
                    self.epochs = epoch;
                    self.fresh.clear();
                }
                Feed::Block(block) => {
                    self.blocks += 1;
                    for event in block.events() {
                        let event = event.unwrap();
                        assert_eq!(event.workflow.oddities, 0);
                        let name = event.workflow.meta.name.into_owned();
                        if event.kind == EventKind::Deleted {
                            self.names.remove(&name);
                        } else {
                            self.fresh.insert(name.clone());
                            self.names.insert(name);
                        }
                    }
                }
                Feed::Synced { epoch } => {
                    assert_eq!(epoch, self.epochs);
                    self.synced = epoch;
                    self.names.clone_from(&self.fresh);
                }
                Feed::Alive => self.alive += 1,
                Feed::Skipped { .. } => panic!("nothing is too large here"),
                Feed::Down { fault: Fault::Absent, .. } => self.absent += 1,
                Feed::Down { fault, .. } => self.downs.push(fault.to_string()),
            }
        }
    }
}

fn workflows(client: &kube::Client) -> Api<DynamicObject> {
    let kind =
        ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("argoproj.io", "v1alpha1", "Workflow"), "workflows");
    Api::namespaced_with(client.clone(), "etl", &kind)
}

async fn create(api: &Api<DynamicObject>, range: std::ops::Range<u32>) {
    for n in range {
        let spec = json!({"entrypoint": "main", "templates": [{"name": "main", "suspend": {}}], "arguments": {"parameters": [{"name": "x", "value": "v".repeat(3_000)}]}});
        let object = json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "metadata": {"name": format!("w{n}")}, "spec": spec});
        api.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap();
    }
}

async fn conformance(flags: &[&str], streamed: bool) {
    let options = Options { apiserver_flags: flags.iter().map(ToString::to_string).collect(), ..Options::default() };
    let bed = Bed::start(options).await.unwrap();
    let target = Target { kubeconfig: Some(bed.admin_kubeconfig()), context: None };
    let Clients { watch: ours, clock, .. } = client::connect(&target).await.unwrap();
    let config = WatchConfig { timeout_seconds: 4, page: 60_000, ..WatchConfig::default() };

    let mut seen = Seen::default();
    let mut feed = watch(ours.clone(), config.clone());
    seen.read(&mut feed, "no CRDs yet", |s| s.absent > 1).await;
    bed.apply_argo_crds().await.unwrap();
    bed.namespace("etl").await.unwrap();
    seen.read(&mut feed, "the empty list", |s| s.synced > 0).await;
    assert!(seen.names.is_empty());

    let api = workflows(&bed.admin().unwrap());
    create(&api, 0..120).await;
    seen.read(&mut feed, "created ones", |s| s.names.len() == 120).await;
    let resumed = seen.alive;
    let patch = Patch::Merge(json!({"status": {"phase": "Running"}}));
    api.patch("w7", &PatchParams::default(), &patch).await.unwrap();
    api.delete("w8", &DeleteParams::default()).await.unwrap();
    seen.read(&mut feed, "the deletion", |s| s.names.len() == 119).await;
    // Two watches that the server ends by itself, and on from where they were.
    seen.read(&mut feed, "resumed watches", |s| s.alive >= resumed + 3).await;
    create(&api, 200..201).await;
    seen.read(&mut feed, "an event after resuming", |s| s.names.contains("w200")).await;
    // A server whose watch cache is still filling says so; that is waited out, not listed anew.
    let downs: Vec<_> = seen.downs.iter().filter(|d| !d.contains("storage is (re)initializing")).collect();
    assert_eq!((seen.epochs, downs), (1, Vec::new()), "one list was enough");

    // A second reader lists what is there.
    let mut second = Seen::default();
    let mut feed = watch(ours.clone(), config.clone());
    second.read(&mut feed, "the second list", |s| s.synced > 0).await;
    assert_eq!(second.names, seen.names);
    assert_eq!(second.epochs, 1);
    let mut elsewhere = Seen::default();
    let mut feed = watch(ours, WatchConfig { namespace: Some("default".into()), ..config });
    elsewhere.read(&mut feed, "another namespace", |s| s.synced > 0).await;
    assert!(elsewhere.names.is_empty());

    let audit = bed.audit().entries().unwrap();
    let asked = |part: &str| audit.iter().any(|e| e.uri.contains("/workflows?") && e.uri.contains(part));
    assert_eq!((asked("limit=10&continue="), asked("sendInitialEvents=true")), (!streamed, true));
    let off = clock.now().duration_since(jiff::Timestamp::now()).abs();
    assert!(off.as_millis() < 1_100, "the server runs on this machine, its clock is ours: {off:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn follows_the_real_server_by_streamed_lists() {
    conformance(&[], true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn follows_the_real_server_in_pages_where_streaming_is_off() {
    conformance(&["--feature-gates=WatchList=false"], false).await;
}
