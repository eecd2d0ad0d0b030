//! An HTTP proxy that does to chosen calls what networks and servers do to them: before an S3 server, or before
//! kube-apiserver with TLS ended here and begun anew.
//!
//! ```text
//!   let script = Script::new();                                          what shall happen, and what did
//!   let proxy = FaultProxy::start("s3", server.endpoint(), &script)      any number of proxies play one script
//!   script.add(Which::put("*.json.gz").nth(2), Fault::LoseReply)         -> Rule: how often it struck, remove
//!   script.hold(Which::delete("*"), Phase::Committed)                    -> Hold: reached() tells when a call stands there
//!   script.in_step(2, patience, is_place)                                two programs come to the same calls together
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
mod owner;
mod plan;
mod record;
mod reply;
mod script;
mod sent;
mod step;
mod upstream;
mod which;

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

pub use aws::AwsError;
pub use fault::{Answer, Fault};
pub use owner::Owner;
pub use plan::{Plan, plans};
pub use record::{Call, Phase};
pub use script::{Hold, Rule, Script, Standing};
pub use step::InStep;
pub use which::Which;

use crate::{Bed, SelfSigned};
use certificates::Shown;
use door::Door;
use upstream::Upstream;

/// A listening proxy. Dropped: nobody listens there any more, and its connections are closed.
pub struct FaultProxy {
    door: Arc<Door>,
    address: SocketAddr,
    certificate: Option<String>,
    shown: Option<Arc<Shown>>,
    task: JoinHandle<()>,
}

impl FaultProxy {
    /// Before a plain HTTP server, `http://127.0.0.1:PORT`. `name` is what its calls are called in the record.
    pub async fn start(name: &str, endpoint: &str, script: &Script) -> Result<Self> {
        Self::run(name, Upstream::plain(endpoint)?, None, script).await
    }

    /// Before a plain HTTP server, with TLS in front and a connection for each call: see [`FaultProxy::show`].
    pub async fn with_tls(name: &str, endpoint: &str, script: &Script, certificate: &SelfSigned) -> Result<Self> {
        let shown = Shown::new(certificate, true)?;
        Self::run(name, Upstream::plain(endpoint)?, Some((shown, certificate.pem())), script).await
    }

    /// Before the API server of a bed.
    pub async fn before_bed(name: &str, bed: &Bed, script: &Script) -> Result<Self> {
        let own = certificates::own()?;
        let shown = Shown::new(&own, false)?;
        Self::run(name, Upstream::of_bed(bed)?, Some((shown, own.pem())), script).await
    }

    async fn run(name: &str, upstream: Upstream, own: Option<(Shown, String)>, script: &Script) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("no free port for a proxy")?;
        let address = listener.local_addr()?;
        let door = Arc::new(Door::at(address));
        script.knows(&door);
        let (shown, certificate) = own.map(|(shown, pem)| (Arc::new(shown), pem)).unzip();
        let served = connection::Served {
            name: name.to_owned(),
            upstream,
            tls: shown.clone(),
            script: script.clone(),
            door: Arc::clone(&door),
        };
        let task = tokio::spawn(door::listen(listener, Arc::new(served)));
        Ok(Self { door, address, certificate, shown, task })
    }

    /// From the next connection on the proxy shows this certificate; of one made by [`FaultProxy::with_tls`] that is the
    /// next call.
    pub fn show(&self, certificate: &SelfSigned) -> Result<()> {
        self.shown.as_ref().ok_or_else(|| anyhow!("this proxy speaks no TLS"))?.show(certificate)
    }

    /// `http://127.0.0.1:PORT`, or `https` with TLS.
    pub fn url(&self) -> String {
        let scheme = if self.certificate.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// What a client must trust, in PEM, as it was at the start; none without TLS.
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
