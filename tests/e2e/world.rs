//! The world of the trials: one bed, and the operator in it as its own process with its own identity and rights.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use kube::Client;
use kube::api::{Api, ListParams};
use serde_json::{Value, json};
use unstick::api::crds;
use unstick::api::incident::WorkflowIncident;
use unstick_bed::{Operator, OperatorOptions, Shared, WorkflowRef, free_port, scenario};

/// The operator's identity, as the audit log names it.
pub const USER: &str = "system:serviceaccount:unstick-system:unstick";

pub struct World {
    pub shared: Shared,
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
        Ok(Self { shared, operator, client })
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

/// `workflow: detection reason node state`.
pub fn line(i: &WorkflowIncident) -> String {
    let status = i.status.clone().unwrap_or_default();
    let first = status.detections.first();
    format!(
        "{}: {} {} {:?} {}",
        i.spec.workflow_ref.name,
        first.map_or("-", |d| d.kind.as_str()),
        first.map_or("-", |d| d.reason.as_str()),
        first.map_or("", |d| d.node.as_str()),
        status.state.map_or("-", |s| s.as_str()),
    )
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
