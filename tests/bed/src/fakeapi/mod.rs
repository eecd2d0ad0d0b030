//! An API server for load: workflows by the hundred thousand without etcd, and a count of every request.
//!
//! ```text
//!   Corpus --computed when read--+
//!                                v
//!   requests --> route --> Store (objects + event log per kind) --> list pages, watch streams
//!                  |              ^
//!                counts        load: N changes a second
//! ```
//!
//! It speaks what the operator and kubectl need of kube-apiserver 1.34: paged lists over one snapshot, watches from a
//! resourceVersion, streaming lists, 410 for what is too old, resourceVersion conflicts, the status subresource, merge
//! patches. No admission, no schema checks, no identities, no TLS: what it accepts proves nothing about a policy.
//! The conformance test (`unstick_bed::conformance`) holds it to what the real server does.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::oneshot;

mod audit;
mod body;
mod control;
mod discovery;
mod entry;
mod failure;
mod kinds;
mod list;
mod load;
mod merge;
mod query;
mod route;
mod selector;
mod server;
mod store;
mod watch;
mod write;

pub use audit::Requests;
pub use load::{Load, Progress};
pub use server::Shared;

use crate::corpus::Corpus;

/// How the server behaves; can be changed while it runs.
#[derive(Clone, Debug, Serialize, Deserialize, clap::Args)]
#[serde(rename_all = "camelCase", default)]
pub struct Options {
    /// Refuses streaming lists as a server without the feature does (422).
    #[arg(long)]
    pub refuse_streaming_lists: bool,
    /// Events kept per kind; a watch from further back gets 410.
    #[arg(long, default_value_t = 20_000)]
    pub history: usize,
    /// Seconds between bookmarks on a watch that asked for them.
    #[arg(long, default_value_t = 60)]
    pub bookmark_seconds: u64,
    /// Sends nothing more on any watch, sockets stay open.
    #[arg(long)]
    pub silent: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { refuse_streaming_lists: false, history: 20_000, bookmark_seconds: 60, silent: false }
    }
}

/// A running server; ends when dropped.
#[derive(Debug)]
pub struct FakeApi {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl FakeApi {
    /// Starts on a free port of 127.0.0.1 (`port` 0) with a thread of its own.
    pub fn start(options: Options, port: u16) -> Result<Self> {
        let shared = Arc::new(Shared::new(options));
        let (stop, stopped) = oneshot::channel();
        let (bound, address) = std::sync::mpsc::channel();
        let inner = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("fakeapi".to_owned()).spawn(move || {
            if let Err(e) = server::run(inner, port, &bound, stopped) {
                let _ = bound.send(Err(e));
            }
        })?;
        let address = address.recv_timeout(Duration::from_secs(10)).map_err(|_| anyhow!("fakeapi did not start"))??;
        Ok(Self { address, shared, stop: Some(stop), thread: Some(thread) })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A kubeconfig for this server; its user has a token that nobody checks.
    pub fn kubeconfig(&self) -> String {
        kubeconfig(&self.url())
    }

    pub fn client(&self) -> Result<kube::Client> {
        let config = kube::Config::new(self.url().parse().context("own address")?);
        Ok(kube::Client::try_from(config)?)
    }

    /// Serves these workflows, computed when somebody reads them; watches see them added.
    pub fn load(&self, corpus: Corpus) {
        self.shared.load(corpus);
    }

    /// Creates or replaces one object.
    pub fn put(&self, object: &Value) -> Result<()> {
        self.shared.put(object)
    }

    /// Requests answered so far.
    pub fn requests(&self) -> Requests {
        self.shared.audit().clone()
    }

    /// Changes how the server behaves from now on.
    pub fn set(&self, options: Options) {
        self.shared.set(options);
    }

    /// Closes every connection, in the middle of whatever it was sending.
    pub fn drop_connections(&self) {
        self.shared.drop_connections();
    }

    /// Starts changing workflows; see [`Shared::progress`].
    pub fn start_load(&self, load: Load) {
        self.shared.start_load(load);
    }

    pub fn shared(&self) -> &Shared {
        &self.shared
    }
}

impl Drop for FakeApi {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A kubeconfig for a server at `url`, as JSON, which is YAML too.
pub fn kubeconfig(url: &str) -> String {
    serde_json::json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "fake",
        "clusters": [{"name": "fake", "cluster": {"server": url}}],
        "users": [{"name": "fake", "user": {"token": "fake"}}],
        "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "fake"}}],
    })
    .to_string()
}
