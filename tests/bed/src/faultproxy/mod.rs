//! An HTTP proxy that does to chosen calls what networks and servers do to them: before an S3 server, or before
//! kube-apiserver with TLS ended here and begun anew.
//!
//! ```text
//!   let script = Script::new();                                          what shall happen, and what did
//!   let proxy = FaultProxy::start("s3", server.endpoint(), &script)      any number of proxies play one script
//!   script.add(Which::put("*.json.gz").nth(2), Fault::LoseReply)         -> Rule: how often it struck, remove
//!   script.hold(Which::delete("*"), Phase::Committed)                    -> Hold: reached() tells when a call stands there
//!   script.clear()                                                       the fault ends
//!   script.calls()                                                       every call in the order of its arrival
//!   plans(&calls, site)                                                  all places to kill a program at, for a fault-free run
//! ```
//!
//! The Host header goes through as it came (S3 signatures cover it). Replies stream through unless a fault needs them whole.

mod aws;
mod certificates;
mod connection;
mod door;
mod fault;
mod plan;
mod record;
mod reply;
mod script;
mod sent;
mod upstream;
mod which;

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

pub use aws::AwsError;
pub use fault::{Answer, Fault};
pub use plan::{Plan, plans};
pub use record::{Call, Phase};
pub use script::{Hold, Rule, Script, Standing};
pub use which::Which;

use crate::Bed;
use door::Door;
use upstream::Upstream;

/// A listening proxy. Dropped: nobody listens there any more, and its connections are closed.
pub struct FaultProxy {
    door: Arc<Door>,
    address: SocketAddr,
    certificate: Option<String>,
    task: JoinHandle<()>,
}

impl FaultProxy {
    /// Before a plain HTTP server, `http://127.0.0.1:PORT`. `name` is what its calls are called in the record.
    pub async fn start(name: &str, endpoint: &str, script: &Script) -> Result<Self> {
        Self::run(name, Upstream::plain(endpoint)?, None, script).await
    }

    /// Before the API server of a bed.
    pub async fn before_bed(name: &str, bed: &Bed, script: &Script) -> Result<Self> {
        let own = certificates::own()?;
        Self::run(name, Upstream::of_bed(bed)?, Some(own), script).await
    }

    async fn run(name: &str, upstream: Upstream, own: Option<certificates::Own>, script: &Script) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("no free port for a proxy")?;
        let address = listener.local_addr()?;
        let door = Arc::new(Door::at(address));
        script.knows(&door);
        let (tls, certificate) = own.map_or((None, None), |own| (Some(own.acceptor), Some(own.pem)));
        let served = connection::Served {
            name: name.to_owned(),
            upstream,
            tls,
            script: script.clone(),
            door: Arc::clone(&door),
        };
        let task = tokio::spawn(door::listen(listener, Arc::new(served)));
        Ok(Self { door, address, certificate, task })
    }

    /// `http://127.0.0.1:PORT`, or `https` before an API server.
    pub fn url(&self) -> String {
        let scheme = if self.certificate.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// What a client must trust, in PEM; none without TLS.
    pub fn certificate(&self) -> Option<&str> {
        self.certificate.as_deref()
    }

    /// Nobody listens any more and all connections are cut, until [`FaultProxy::open`] or [`Script::clear`].
    pub fn refuse(&self) {
        self.door.refuse();
    }

    /// Connections are taken and never read from; those there are cut.
    pub fn swallow(&self) {
        self.door.swallow();
    }

    /// As at the start.
    pub fn open(&self) {
        self.door.open();
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}
