//! Clients of the API server: one that watches, one that writes. Both pass the choke point.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use http::HeaderValue;
use http::header::USER_AGENT;
use kube::client::ClientBuilder;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use super::choke::{Choke, Reach};
use super::clock::ServerClock;
use super::traffic::Traffic;

/// Where the cluster is.
#[derive(Clone, Debug, Default)]
pub struct Target {
    pub kubeconfig: Option<PathBuf>,
    pub context: Option<String>,
}

pub struct Clients {
    /// Reads without a time limit: a watch may be silent for a minute.
    pub watch: Client,
    /// Writes; no retries by itself, every request under a time limit.
    pub act: Client,
    /// The same for workflows: marks and deletes what a policy in mode Enforce asks for.
    pub enforce: Client,
    pub clock: Arc<ServerClock>,
    pub traffic: Arc<Traffic>,
    /// Namespace of the context or of the pod.
    pub namespace: String,
}

/// How long one write may take.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// Makes the clients. Must be called within a tokio runtime.
///
/// # Errors
/// No cluster is configured, or its configuration can't be read.
pub async fn connect(target: &Target) -> anyhow::Result<Clients> {
    build(config(target).await?)
}

/// Makes the clients of one configuration. Must be called within a tokio runtime.
///
/// # Errors
/// Its certificates or credentials can't be read.
pub fn build(mut config: Config) -> anyhow::Result<Clients> {
    // Fails only when a provider has been installed before: then that one stays.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let agent = HeaderValue::from_static(concat!("unstick/", env!("CARGO_PKG_VERSION")));
    config.headers.retain(|(name, _)| name != USER_AGENT);
    config.headers.push((USER_AGENT, agent));
    config.default_retry = false;
    let namespace = config.default_namespace.clone();
    let choke = Choke { clock: Arc::default(), traffic: Arc::default(), reach: Reach::Own };
    let mut acting = config.clone();
    acting.read_timeout = Some(WRITE_TIMEOUT);
    acting.reset_reader_on_write = true;
    let build = |config: Config, choke: &Choke| -> anyhow::Result<Client> {
        Ok(ClientBuilder::try_from(config).context("the client can't be made")?.with_layer(choke).build())
    };
    Ok(Clients {
        watch: build(config, &choke)?,
        enforce: build(acting.clone(), &Choke { reach: Reach::Workflows, ..choke.clone() })?,
        act: build(acting, &choke)?,
        clock: choke.clock.clone(),
        traffic: choke.traffic.clone(),
        namespace,
    })
}

async fn config(target: &Target) -> anyhow::Result<Config> {
    let options = KubeConfigOptions { context: target.context.clone(), ..KubeConfigOptions::default() };
    if let Some(path) = &target.kubeconfig {
        let read =
            Kubeconfig::read_from(path).with_context(|| format!("kubeconfig {} can't be read", path.display()))?;
        return Config::from_custom_kubeconfig(read, &options).await.context("the kubeconfig can't be used");
    }
    if target.context.is_some() {
        return Config::from_kubeconfig(&options).await.context("the kubeconfig can't be used");
    }
    Config::infer().await.context("no cluster is configured: give --kubeconfig, or run in a pod with a service account")
}
