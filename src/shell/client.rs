//! Clients of the API server: one that watches, one that acts; both teach the clock.

use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use http::{HeaderValue, Request, Response, header};
use kube::client::{Body, ClientBuilder};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use tower::{BoxError, Layer, Service};

use super::clock::Clock;

/// How long connecting, and each call of the acting client, may take.
const LIMIT: Duration = Duration::from_secs(10);

/// Where the cluster is.
#[derive(Clone, Debug, Default)]
pub struct Target {
    /// A kubeconfig file; else `KUBECONFIG`, `~/.kube/config`, and last the pod's own service account.
    pub kubeconfig: Option<PathBuf>,
    /// A context of the kubeconfig; else its current one.
    pub context: Option<String>,
}

/// The clients of one process.
#[derive(Clone)]
pub struct Clients {
    /// For watches: no limit on reading, since a watch is silent at times (it has a limit of its own).
    pub watch: Client,
    /// For everything else: 10 s a call, no automatic retries: who acts must know what was sent.
    pub act: Client,
    /// The API server's time, from every answer either client gets.
    pub clock: Arc<Clock>,
    /// The namespace of the context or service account.
    pub default_namespace: String,
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("kubeconfig: {0}")]
    Kubeconfig(#[from] kube::config::KubeconfigError),
    #[error("no cluster to talk to: {0}; name one with --kubeconfig or KUBECONFIG, or run in a pod")]
    Infer(#[from] kube::config::InferConfigError),
    #[error("{0}")]
    Build(#[from] kube::Error),
}

/// Reads the configuration of `target`.
///
/// # Errors
/// When there is none, or it is incomplete.
pub async fn config(target: &Target) -> Result<Config, ClientError> {
    let options = KubeConfigOptions { context: target.context.clone(), ..KubeConfigOptions::default() };
    Ok(match &target.kubeconfig {
        Some(path) => Config::from_custom_kubeconfig(Kubeconfig::read_from(path)?, &options).await?,
        None if target.context.is_some() => Config::from_kubeconfig(&options).await?,
        None => Config::infer().await?,
    })
}

/// Builds both clients. Must be called within a tokio runtime.
///
/// # Errors
/// When there is no configuration, or its certificates or credentials can't be read.
pub async fn connect(target: &Target) -> Result<Clients, ClientError> {
    Ok(build(config(target).await?)?)
}

/// Builds both clients from a configuration.
///
/// # Errors
/// When its certificates or credentials can't be read.
pub fn build(mut config: Config) -> Result<Clients, kube::Error> {
    // Another part of the process may have installed it already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let agent = concat!("unstick/", env!("CARGO_PKG_VERSION"));
    config.headers.retain(|(name, _)| name != header::USER_AGENT);
    config.headers.push((header::USER_AGENT, HeaderValue::from_static(agent)));
    config.connect_timeout = Some(LIMIT);
    config.write_timeout = Some(LIMIT);
    config.read_timeout = None;
    config.default_retry = false;
    let clock = Arc::new(Clock::default());
    let default_namespace = config.default_namespace.clone();
    let watch = ClientBuilder::try_from(config.clone())?.with_layer(&Observe { clock: clock.clone(), limit: None });
    config.read_timeout = Some(LIMIT);
    config.reset_reader_on_write = true;
    let act = ClientBuilder::try_from(config)?.with_layer(&Observe { clock: clock.clone(), limit: Some(LIMIT) });
    Ok(Clients { watch: watch.build(), act: act.build(), clock, default_namespace })
}

/// Teaches the clock from every answer, and gives up calls that take too long to be answered.
#[derive(Clone, Debug)]
pub struct Observe {
    pub clock: Arc<Clock>,
    pub limit: Option<Duration>,
}

impl<S> Layer<S> for Observe {
    type Service = Observed<S>;

    fn layer(&self, inner: S) -> Observed<S> {
        Observed { inner, observe: self.clone() }
    }
}

/// See [`Observe`].
#[derive(Clone, Debug)]
pub struct Observed<S> {
    inner: S,
    observe: Observe,
}

impl<S, B> Service<Request<Body>> for Observed<S>
where
    S: Service<Request<Body>, Response = Response<B>, Error = BoxError>,
    S::Future: Send + 'static,
{
    type Response = Response<B>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<B>, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let Observe { clock, limit } = self.observe.clone();
        let sent = Instant::now();
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = match limit {
                Some(limit) => tokio::time::timeout(limit, answer)
                    .await
                    .map_err(|_| format!("no answer from the API server within {} s", limit.as_secs()))??,
                None => answer.await?,
            };
            if let Some(date) = answer.headers().get(header::DATE).and_then(|v| v.to_str().ok()) {
                clock.learn(date, sent, Instant::now());
            }
            Ok(answer)
        })
    }
}
