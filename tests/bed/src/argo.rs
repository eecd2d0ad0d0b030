//! Argo's real workflow-controller, run against the bed; one serves all namespaces.
//!
//! Its pprof port 6060 is fixed, but a controller that can't have it says so in its log and works on, so several beds run side
//! by side; readiness is read from the metrics port, which is free for the choosing.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::json;

use crate::access::Identity;
use crate::parts::{self, ArgoFiles};
use crate::process::{Figures, Part, free_port, tail};
use crate::{Bed, http1};

/// How the controller is set up.
#[derive(Clone, Debug)]
pub struct ArgoOptions {
    /// Where its `ConfigMap` and, with leader election, its Lease live; made if absent.
    pub namespace: String,
    /// Serves only workflows with this `controller-instanceid` label; empty: only those without one.
    pub instance_id: String,
    /// Looks into this namespace alone (`--namespaced --managed-namespace`); `None`: into all.
    pub managed_namespace: Option<String>,
    /// Holds the Lease `workflow-controller` (`workflow-controller-<instance id>`) as `bed`.
    pub leader_election: bool,
    /// Requests a second to the API server, and at once.
    pub qps: u32,
    pub burst: u32,
    /// Running workflows in all; `None`: no limit.
    pub parallelism: Option<u32>,
    /// Running workflows per namespace.
    pub namespace_parallelism: Option<u32>,
    /// For example `MAX_WORKFLOW_SIZE` (bytes, then nodes are compressed) or `DEFAULT_REQUEUE_TIME`
    /// (`1s` here, `10s` in Argo itself).
    pub env: BTreeMap<String, String>,
    /// Further keys of the `ConfigMap`, each value YAML text.
    pub config: BTreeMap<String, String>,
}

impl Default for ArgoOptions {
    fn default() -> Self {
        Self {
            namespace: "argo".to_owned(),
            instance_id: String::new(),
            managed_namespace: None,
            leader_election: false,
            qps: 100,
            burst: 200,
            parallelism: None,
            namespace_parallelism: None,
            // Argo's own default is 10 s: how long it lets a workflow rest whose pods have changed.
            env: BTreeMap::from([("DEFAULT_REQUEUE_TIME".to_owned(), "1s".to_owned())]),
            config: BTreeMap::new(),
        }
    }
}

impl ArgoOptions {
    /// Adds an environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.insert(name.to_owned(), value.to_string());
        self
    }
}

/// A running (or stopped) controller.
pub struct Argo {
    files: ArgoFiles,
    part: Option<Part>,
    metrics_port: u16,
    log: PathBuf,
}

impl Argo {
    /// Applies the CRDs, writes the `ConfigMap`, starts the controller and waits until it serves.
    pub async fn start(bed: &Bed, options: &ArgoOptions) -> Result<Self> {
        let files = tokio::task::spawn_blocking(parts::argo).await??;
        bed.apply_path(&files.crds, "").await?;
        let name =
            if options.instance_id.is_empty() { "argo".to_owned() } else { format!("argo-{}", options.instance_id) };
        let log = bed.folder().join(format!("{name}.log"));
        let mut argo = Self { files, part: None, metrics_port: 0, log };
        argo.launch(bed, options).await?;
        Ok(argo)
    }

    /// Kills the controller. A Lease it held stays, unrenewed, as after a crash.
    pub fn stop(&mut self) {
        self.part = None;
    }

    /// Stops it if it runs and starts it with other options.
    pub async fn restart(&mut self, bed: &Bed, options: &ArgoOptions) -> Result<()> {
        self.stop();
        self.launch(bed, options).await
    }

    /// `http://127.0.0.1:PORT/metrics` of this controller.
    pub fn metrics_port(&self) -> u16 {
        self.metrics_port
    }

    pub fn version(&self) -> &str {
        &self.files.version
    }

    /// Text of the controller's metrics.
    pub async fn scrape(&self) -> Result<String> {
        Ok(http1::get(self.metrics_port, "/metrics").await?.1)
    }

    /// Memory and CPU; an error when it is stopped.
    pub fn figures(&self) -> Result<Figures> {
        self.part.as_ref().context("Argo's controller is stopped")?.figures()
    }

    /// The last lines the controller logged.
    pub fn tail(&self, lines: usize) -> String {
        tail(&self.log, lines)
    }

    async fn launch(&mut self, bed: &Bed, options: &ArgoOptions) -> Result<()> {
        bed.namespace(&options.namespace).await?;
        self.metrics_port = free_port()?;
        // Each controller reads a ConfigMap of its own, for two may share a namespace.
        let map = if options.instance_id.is_empty() {
            "workflow-controller-configmap".to_owned()
        } else {
            format!("workflow-controller-configmap-{}", options.instance_id)
        };
        bed.apply_value(config_map(&map, options, self.metrics_port), &options.namespace).await?;

        let mut command = Command::new(&self.files.controller);
        command
            .arg("--kubeconfig")
            .arg(bed.kubeconfig_of(Identity::Argo))
            .args(["--namespace", &options.namespace, "--configmap", &map, "--executor-image", "bed/no-image"])
            .args(["--qps", &options.qps.to_string(), "--burst", &options.burst.to_string()])
            .env_remove("ARGO_NAMESPACE");
        if let Some(namespace) = &options.managed_namespace {
            command.args(["--namespaced", "--managed-namespace", namespace]);
        }
        if options.leader_election {
            command.env("LEADER_ELECTION_IDENTITY", "bed").env_remove("LEADER_ELECTION_DISABLE");
        } else {
            command.env("LEADER_ELECTION_DISABLE", "true");
        }
        command.envs(&options.env);
        self.part = Some(Part::start("Argo's workflow-controller", &mut command, &self.log, None)?);
        self.ready().await
    }

    async fn ready(&mut self) -> Result<()> {
        const LIMIT: Duration = Duration::from_secs(90);
        let until = Instant::now() + LIMIT;
        loop {
            if let Some(part) = &mut self.part {
                part.expect_alive()?;
            }
            match http1::get(self.metrics_port, "/metrics").await {
                Ok((200, _)) => return Ok(()),
                _ if Instant::now() < until => tokio::time::sleep(Duration::from_millis(100)).await,
                _ => bail!(
                    "Argo's workflow-controller does not serve its metrics on port {} after {LIMIT:?}; the end of its log:\n{}",
                    self.metrics_port,
                    self.tail(15)
                ),
            }
        }
    }
}

fn config_map(name: &str, options: &ArgoOptions, port: u16) -> serde_json::Value {
    let endpoint = format!("{{enabled: true, secure: false, port: {port}}}");
    let mut data =
        BTreeMap::from([("metricsConfig".to_owned(), endpoint.clone()), ("telemetryConfig".to_owned(), endpoint)]);
    let mut put = |key: &str, value: String| data.insert(key.to_owned(), value);
    if !options.instance_id.is_empty() {
        put("instanceID", options.instance_id.clone());
    }
    if let Some(limit) = options.parallelism {
        put("parallelism", limit.to_string());
    }
    if let Some(limit) = options.namespace_parallelism {
        put("namespaceParallelism", limit.to_string());
    }
    data.extend(options.config.clone());
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data})
}
