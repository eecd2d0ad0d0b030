//! Clients of the API server: one that watches, one that writes. Both pass the choke point.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use http::HeaderValue;
use http::header::USER_AGENT;
use http_body_util::BodyExt as _;
use hyper_timeout::TimeoutConnector;
use hyper_util::rt::TokioExecutor;
use kube::client::{Body, ClientBuilder, ConfigExt as _, DynBody};
use kube::{Client, Config};
use tower::util::BoxService;
use tower::{BoxError, ServiceBuilder, ServiceExt as _};

use super::choke::{Choke, Reach};
use super::clock::ServerClock;
use super::gathered::Gathering;
use super::kubeconfig::Target;
use super::traffic::Traffic;

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
/// What is watched and follows faster is read together; by so much may one event be late.
const GATHER: Duration = Duration::from_millis(30);

/// Makes the clients. Must be called within a tokio runtime.
///
/// # Errors
/// No cluster is configured, or its configuration can't be read.
pub async fn connect(target: &Target) -> anyhow::Result<Clients> {
    build(target.config().await?)
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
    let build = |config: &Config, gather, choke: &Choke| -> anyhow::Result<Client> {
        let stack = stack(config, gather).context("the client can't be made")?;
        Ok(ClientBuilder::new(stack, config.default_namespace.clone()).with_layer(choke).build())
    };
    Ok(Clients {
        watch: build(&config, GATHER, &choke)?,
        enforce: build(&acting, Duration::ZERO, &Choke { reach: Reach::Workflows, ..choke.clone() })?,
        act: build(&acting, Duration::ZERO, &choke)?,
        clock: choke.clock.clone(),
        traffic: choke.traffic.clone(),
        namespace,
    })
}

/// Of each connection, in bytes. Left alone, that of a busy watch grows to 400 KB, and keeps them.
const READ_BUFFER: usize = 128 << 10;

type Stack = BoxService<http::Request<Body>, http::Response<Box<DynBody>>, BoxError>;

/// What `ClientBuilder::try_from` builds, over connections that let bytes gather, and without spans.
fn stack(config: &Config, gather: Duration) -> anyhow::Result<Stack> {
    anyhow::ensure!(config.proxy_url.is_none(), "proxies are not supported");
    let mut connector = TimeoutConnector::new(config.rustls_https_connector_with_connector(Gathering::new(gather))?);
    connector.set_connect_timeout(config.connect_timeout);
    connector.set_read_timeout(config.read_timeout);
    connector.set_write_timeout(config.write_timeout);
    connector.set_reset_reader_on_write(config.reset_reader_on_write);
    let client = hyper_util::client::legacy::Client::builder(TokioExecutor::new())
        .http1_max_buf_size(READ_BUFFER)
        .build::<_, Body>(connector);
    Ok(ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(BoxError::from)
        .service(client)
        .map_response(|answer| answer.map(|body| Box::new(body.map_err(BoxError::from)) as Box<DynBody>))
        .boxed())
}
