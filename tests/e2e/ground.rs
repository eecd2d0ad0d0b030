//! Where crowds of workflows are made: a bed whose Argo is fast, and operators that trials start and end themselves.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use futures::stream::{self, StreamExt, TryStreamExt};
use jiff::Timestamp;
use kube::Client;
use kube::api::{Api, ListParams};
use serde_json::{Value, json};
use unstick::api::crds;
use unstick::api::incident::{IncidentState, WorkflowIncident};
use unstick_bed::{Argo, ArgoOptions, Bed, Kubelet, Operator, OperatorOptions, Options, WorkflowRef, free_port};

/// The operator's identity, as the audit log names it.
pub const USER: &str = "system:serviceaccount:unstick-system:unstick";

/// Requests of ours at the same time.
const AT_ONCE: usize = 16;

pub struct Ground {
    pub bed: Bed,
    pub client: Client,
    _argo: Argo,
    _kubelet: Kubelet,
}

impl Ground {
    /// Starts the parts. None of our CRDs is there: see [`Self::install`].
    pub async fn start() -> Result<Self> {
        let bed = Bed::start(Options::default()).await?;
        let argo = Argo::start(&bed, &ArgoOptions { qps: 500, burst: 1000, ..ArgoOptions::default() }).await?;
        let kubelet = Kubelet::start(&bed).await?;
        let client = bed.admin()?;
        Ok(Self { bed, client, _argo: argo, _kubelet: kubelet })
    }

    /// See [`install`].
    pub async fn install(&self) -> Result<()> {
        install(&self.bed).await
    }

    /// An operator process of this name, ready; `install` must have been done.
    pub async fn operator(&self, identity: &str) -> Result<Operator> {
        start(&self.bed, identity, &[]).await
    }

    /// The same with further flags.
    pub async fn operator_with(&self, identity: &str, flags: &[&str]) -> Result<Operator> {
        start(&self.bed, identity, flags).await
    }

    /// A namespace in which every suspension counts after `after`.
    pub async fn team(&self, namespace: &str, after: &str) -> Result<()> {
        self.bed.namespace(namespace).await?;
        let policy = json!({
            "apiVersion": "unstick.dev/v1alpha1", "kind": "WorkflowPolicy", "metadata": {"name": "team"},
            "spec": {"selector": {}, "detections": [{"name": "gate", "type": "Suspended", "after": after}]},
        });
        self.bed.apply_value(policy, namespace).await.map(drop)
    }

    /// Submits workflows `<prefix>-0` and on, which only pause: for `seconds`, or until somebody resumes them.
    pub async fn gates(&self, ns: &str, prefix: &str, count: usize, seconds: Option<u32>) -> Result<Vec<WorkflowRef>> {
        let pause = seconds.map_or_else(|| json!({}), |s| json!({"duration": s.to_string()}));
        let made = (0..count).map(|i| {
            let workflow = json!({"metadata": {"name": format!("{prefix}-{i}")}, "spec": {"entrypoint": "main",
                "templates": [{"name": "main", "suspend": pause}]}});
            self.bed.submit_value(ns, workflow)
        });
        stream::iter(made).buffered(AT_ONCE).try_collect().await
    }

    /// Ends them as a person would.
    pub async fn terminate(&self, workflows: &[WorkflowRef]) -> Result<()> {
        let end = json!({"spec": {"shutdown": "Terminate"}});
        let patches = workflows.iter().map(|w| self.bed.patch_workflow(w, &end));
        stream::iter(patches).buffered(AT_ONCE).try_for_each(|_| async { Ok(()) }).await
    }

    /// When each workflow of a namespace finished, once all have.
    pub async fn all_finished(&self, namespace: &str) -> Result<Vec<Timestamp>> {
        let path = format!("/apis/argoproj.io/v1alpha1/namespaces/{namespace}/workflows");
        for _ in 0..120 {
            let list: Value = self.client.request(http::Request::get(&path).body(Vec::new())?).await?;
            let items = list["items"].as_array().cloned().unwrap_or_default();
            let times: Vec<Timestamp> =
                items.iter().filter_map(|w| w["status"]["finishedAt"].as_str()?.parse().ok()).collect();
            if times.len() == items.len() {
                return Ok(times);
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        bail!("some workflows of {namespace} never end")
    }

    pub async fn incidents(&self, namespace: &str) -> Result<Vec<WorkflowIncident>> {
        let api: Api<WorkflowIncident> = Api::namespaced(self.client.clone(), namespace);
        Ok(api.list(&ListParams::default()).await?.items)
    }

    /// Waits until at least `count` incidents of a namespace are in one of `states`.
    pub async fn wait(
        &self,
        namespace: &str,
        states: &[IncidentState],
        count: usize,
        limit: Duration,
        operator: &Operator,
    ) -> Result<Vec<WorkflowIncident>> {
        let begun = Instant::now();
        loop {
            let all = self.incidents(namespace).await?;
            let there = all.iter().filter(|i| state(i).is_some_and(|s| states.contains(&s))).count();
            if there >= count {
                return Ok(all);
            }
            if begun.elapsed() > limit {
                bail!(
                    "{there} of {count} incidents are {states:?} after {limit:?} ({} in all)\nlog:\n{}",
                    all.len(),
                    operator.tail(20)
                );
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    }
}

/// Our CRDs, our `ServiceAccount` and everything of install.yaml but the workload itself. Done twice, it changes nothing.
pub async fn install(bed: &Bed) -> Result<()> {
    for namespace in ["argo", "unstick-system"] {
        bed.namespace(namespace).await?;
    }
    for crd in crds::all() {
        bed.apply_value(crd.clone(), "default").await?;
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/install.yaml");
    let text = std::fs::read_to_string(&file).context("deploy/install.yaml")?;
    for document in text.split("\n---\n") {
        let object: Value = serde_saphyr::from_str(document)?;
        if object["kind"].as_str().is_some_and(|k| k.contains("Role")) {
            let namespace = object["metadata"]["namespace"].as_str().unwrap_or("default").to_owned();
            bed.apply_value(object, &namespace).await?;
        }
    }
    bed.service_account("unstick-system", "unstick").await
}

/// An operator process of this name, ready; [`install`] must have been done.
pub async fn start(bed: &Bed, identity: &str, flags: &[&str]) -> Result<Operator> {
    start_as(bed, bed.kubeconfig_for("unstick-system", "unstick").await?, identity, flags).await
}

/// The same with a kubeconfig of its own, such as one by way of a proxy.
pub async fn start_as(bed: &Bed, kubeconfig: PathBuf, identity: &str, flags: &[&str]) -> Result<Operator> {
    let port = free_port()?;
    let listen = format!("127.0.0.1:{port}");
    let args = ["run", "--lease-namespace", "unstick-system", "--identity", identity, "--listen", &listen];
    let mut operator = Operator::start(&OperatorOptions {
        binary: env!("CARGO_BIN_EXE_unstick").into(),
        args: args.iter().chain(flags).map(|a| (*a).to_owned()).collect(),
        kubeconfig,
        log: bed.folder().join(format!("{identity}.log")),
        port,
        ..OperatorOptions::default()
    })?;
    operator.wait_for("/readyz", Duration::from_secs(60)).await?;
    Ok(operator)
}

pub fn state(incident: &WorkflowIncident) -> Option<IncidentState> {
    incident.status.as_ref()?.state
}

/// Sum of the samples of a family whose labels hold `part`.
pub fn sum(scrape: &str, family: &str, part: &str) -> f64 {
    let samples = scrape.lines().filter(|l| !l.starts_with('#') && l.contains(part));
    let values = samples.filter_map(|l| {
        let (series, value) = l.rsplit_once(' ')?;
        (series.split('{').next()? == family).then(|| value.parse::<f64>().ok())?
    });
    values.sum()
}
