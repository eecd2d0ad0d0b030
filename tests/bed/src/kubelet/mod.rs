//! A stand-in for scheduler, kubelet and Argo's executor: nothing runs, but the API server sees what it would see.
//!
//! Pods of workflows are bound to the node `bed-node` and walked through their phases as annotations of the template tell
//! ([`script`]); each that runs gets the `WorkflowTaskResult` that the executor in its `wait` container would write.

mod pod;
pub mod script;
mod status;

use std::collections::HashMap;
use std::thread::JoinHandle;

use anyhow::{Context, Result};
use futures_util::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::config::{Config, KubeConfigOptions, Kubeconfig};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use tokio::sync::oneshot;
use tokio::task::JoinHandle as Task;

use crate::Bed;
use crate::access::Identity;
use pod::Walk;

/// Label that every pod of a workflow carries.
const WORKFLOW_LABEL: &str = "workflows.argoproj.io/workflow";

/// The running stand-in, on a thread of its own (so that it outlives any one test's runtime). Dropped: stopped.
pub struct Kubelet {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Kubelet {
    /// Starts it as user `bed-kubelet`, for all namespaces.
    pub async fn start(bed: &Bed) -> Result<Self> {
        let kubeconfig = Kubeconfig::read_from(bed.kubeconfig_of(Identity::Kubelet))?;
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
        let (stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::Builder::new()
            .name("bed-kubelet".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    tokio::select! {
                        () = serve(config) => {}
                        _ = stopped => {}
                    }
                });
            })
            .context("cannot start the kubelet stand-in")?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Watches pods until the thread is stopped.
async fn serve(config: Config) {
    let client = match Client::try_from(config) {
        Ok(client) => client,
        Err(e) => return eprintln!("bed: the kubelet stand-in has no client: {e}"),
    };
    let pods: Api<Pod> = Api::all(client.clone());
    let events = watcher(pods, watcher::Config::default().labels(WORKFLOW_LABEL)).default_backoff();
    let mut events = std::pin::pin!(events);
    let mut walks: HashMap<String, Task<()>> = HashMap::new();
    let mut said = String::new();
    while let Some(event) = events.next().await {
        match event {
            Ok(watcher::Event::Apply(pod) | watcher::Event::InitApply(pod)) => seen(&client, pod, &mut walks),
            Ok(watcher::Event::Delete(pod)) => {
                if let Some(walk) = walks.remove(&pod.uid().unwrap_or_default()) {
                    walk.abort();
                }
            }
            Ok(watcher::Event::Init | watcher::Event::InitDone) => said.clear(),
            // The server going away is how every bed ends; a message that repeats says nothing new.
            Err(e) if e.to_string() != said => {
                said = e.to_string();
                eprintln!("bed: the kubelet stand-in lost its watch: {said}");
            }
            Err(_) => {}
        }
    }
}

/// Starts the walk of a new pod; ends that of a pod that is to be deleted.
fn seen(client: &Client, pod: Pod, walks: &mut HashMap<String, Task<()>>) {
    let uid = pod.uid().unwrap_or_default();
    if pod.metadata.deletion_timestamp.is_some() {
        // The walk that held the pod ends here; the one that removes it takes its place and is kept until the pod is gone.
        let key = format!("{uid}/removal");
        if !walks.contains_key(&key) {
            if let Some(walk) = walks.remove(&uid) {
                walk.abort();
            }
            walks.insert(key, tokio::spawn(Walk::new(client.clone(), pod).remove()));
        }
        walks.retain(|_, task| !task.is_finished());
        return;
    }
    let over = pod.status.as_ref().and_then(|s| s.phase.as_deref()).is_some_and(|p| p == "Succeeded" || p == "Failed");
    if !over && !walks.contains_key(&uid) {
        walks.insert(uid, tokio::spawn(Walk::new(client.clone(), pod).go()));
    }
}
