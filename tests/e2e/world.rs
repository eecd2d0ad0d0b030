//! The world of the trials: one bed, and the operator in it as its own process with its own identity and rights.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use kube::Client;
use kube::api::{Api, ListParams};
use serde_json::{Value, json};
use unstick::api::crds;
use unstick::api::incident::WorkflowIncident;
use unstick_bed::{Argo, ArgoOptions, Operator, OperatorOptions, Shared, WorkflowRef, free_port, scenario};

/// The operator's identity, as the audit log names it.
pub const USER: &str = "system:serviceaccount:unstick-system:unstick";

/// The namespace that the controller with instance id `second` looks into, and how many bytes a workflow may have there
/// before its nodes are compressed.
pub const PACKED: &str = "packed";
const PACKED_FROM: &str = "8000";

pub struct World {
    pub shared: Shared,
    /// The controller with instance id `second`.
    _second: Argo,
    pub operator: Operator,
    pub client: Client,
}

impl World {
    pub async fn start() -> Result<Self> {
        let shared = Shared::start().await?;
        let bed = &shared.bed;
        for namespace in ["argo", "unstick-system"] {
            bed.namespace(namespace).await?;
        }
        for crd in crds::all() {
            bed.apply_value(crd.clone(), "default").await?;
        }
        rights(&shared).await?;
        bed.namespace(PACKED).await?;
        let options = ArgoOptions {
            instance_id: "second".to_owned(),
            managed_namespace: Some(PACKED.to_owned()),
            leader_election: true,
            ..ArgoOptions::default()
        };
        let second = Argo::start(bed, &options.env("MAX_WORKFLOW_SIZE", PACKED_FROM)).await?;
        bed.apply_value(settings(&shared.argo), "").await?;
        bed.service_account("unstick-system", "unstick").await?;
        let kubeconfig = bed.kubeconfig_for("unstick-system", "unstick").await?;
        let port = free_port()?;
        let mut operator = Operator::start(&OperatorOptions {
            binary: env!("CARGO_BIN_EXE_unstick").into(),
            args: [
                "run",
                "--lease-namespace",
                "unstick-system",
                "--no-progress-floor",
                "3s",
                "--identity",
                "unstick-0",
            ]
            .into_iter()
            .map(str::to_owned)
            .chain(["--listen".to_owned(), format!("127.0.0.1:{port}")])
            .collect(),
            kubeconfig,
            log: bed.folder().join("unstick.log"),
            port,
            ..OperatorOptions::default()
        })?;
        operator.wait_for("/readyz", Duration::from_secs(60)).await?;
        let client = bed.admin()?;
        Ok(Self { shared, _second: second, operator, client })
    }

    /// A namespace with a policy of these detections, and the named scenario workflows.
    pub async fn team(&self, namespace: &str, detections: Value, workflows: &[&str]) -> Result<Vec<WorkflowRef>> {
        let bed = &self.shared.bed;
        bed.namespace(namespace).await?;
        let policy = json!({
            "apiVersion": "unstick.dev/v1alpha1", "kind": "WorkflowPolicy", "metadata": {"name": "team"},
            "spec": {"selector": {}, "detections": detections},
        });
        bed.apply_value(policy, namespace).await?;
        let mut submitted = Vec::new();
        for name in workflows {
            submitted.push(bed.submit(namespace, &scenario::yaml(name)?).await?);
        }
        Ok(submitted)
    }

    pub async fn incidents(&self, namespace: &str) -> Result<Vec<WorkflowIncident>> {
        let api: Api<WorkflowIncident> = Api::namespaced(self.client.clone(), namespace);
        Ok(api.list(&ListParams::default()).await?.items)
    }

    /// Waits until the incidents of a namespace are as wanted.
    pub async fn wait(
        &self,
        namespace: &str,
        what: &str,
        limit: Duration,
        wanted: impl Fn(&[WorkflowIncident]) -> bool,
    ) -> Result<Vec<WorkflowIncident>> {
        let begun = Instant::now();
        loop {
            let now = self.incidents(namespace).await?;
            if wanted(&now) {
                return Ok(now);
            }
            if begun.elapsed() > limit {
                let shown: Vec<_> = now.iter().map(line).collect();
                bail!(
                    "{what}: not within {limit:?} in {namespace}; there are:\n{}\nlog:\n{}",
                    shown.join("\n"),
                    self.operator.tail(20)
                );
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    }
}

/// Of the first controller the address is known, of the others the Lease.
fn settings(first: &Argo) -> Value {
    let address = format!("http://127.0.0.1:{}/metrics", first.metrics_port());
    let leased = |id: &str| json!({"name": id, "namespace": "argo", "instanceId": id, "lease": format!("workflow-controller-{id}")});
    json!({
        "apiVersion": "unstick.dev/v1alpha1", "kind": "Watchdog", "metadata": {"name": "default"},
        "spec": {"argo": [
            {"name": "default", "namespace": "argo", "metricsURL": address}, leased("second"), leased("third"),
        ]},
    })
}

/// `workflow: detection reason "node" + ... state`, with every detection that holds.
pub fn line(i: &WorkflowIncident) -> String {
    let status = i.status.clone().unwrap_or_default();
    let holds: Vec<_> =
        status.detections.iter().map(|d| format!("{} {} {:?}", d.kind.as_str(), d.reason.as_str(), d.node)).collect();
    let state = status.state.map_or("-", |s| s.as_str());
    format!("{}: {} {state}", i.spec.workflow_ref.name, holds.join(" + "))
}

/// Everything of install.yaml but the workload itself.
async fn rights(shared: &Shared) -> Result<()> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/install.yaml");
    let text = std::fs::read_to_string(&file).context("deploy/install.yaml")?;
    for document in text.split("\n---\n") {
        let object: Value = serde_saphyr::from_str(document)?;
        let kind = object["kind"].as_str().unwrap_or_default();
        if matches!(kind, "ClusterRole" | "ClusterRoleBinding" | "Role" | "RoleBinding") {
            let namespace = object["metadata"]["namespace"].as_str().unwrap_or("default").to_owned();
            shared.bed.apply_value(object, &namespace).await?;
        }
    }
    Ok(())
}
