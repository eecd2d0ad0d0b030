//! Everything the loop listens to, besides signals, time, HTTP and its own writes.

use tokio::sync::mpsc;

use super::follow::News;
use super::janitor::Tried;
use super::lease::{Flush, LeaseHandle};
use super::watch::Feed;
use crate::watchdog::janitor::sooner::ArgoDeletes;

/// Something was heard.
pub enum Heard {
    /// The Lease may have changed hands.
    Leader,
    /// Whether the watermark that was asked for is durable.
    Flushed(bool),
    News(News),
    /// Whether an Argo instance answers at its metrics address.
    Probe(String, bool),
    Feed(Feed),
    /// Fields that the installed CRDs lack.
    Crds(Vec<String>),
    /// A location was tried.
    Tried(Box<Tried>),
    /// What Argo deletes by itself was read.
    Deletes(ArgoDeletes),
}

pub struct Ears {
    pub lease: Option<LeaseHandle>,
    pub flush: Option<Flush>,
    pub news: mpsc::Receiver<News>,
    pub probes: mpsc::Receiver<(String, bool)>,
    pub crds: mpsc::Receiver<Vec<String>>,
    pub tried: mpsc::Receiver<Tried>,
    pub deletes: mpsc::Receiver<ArgoDeletes>,
    /// The watch of workflows, once it has been started.
    pub feed: Option<mpsc::Receiver<Feed>>,
}

impl Ears {
    /// The next thing heard. Dropping the future loses nothing.
    pub async fn hear(&mut self) -> Heard {
        let Self { lease, flush, news, probes, crds, tried, deletes, feed } = self;
        tokio::select! {
            biased;
            () = async { match lease {
                Some(lease) => lease.changed().await,
                None => std::future::pending().await,
            }} => Heard::Leader,
            durable = async { match flush {
                Some(flush) => flush.await,
                None => std::future::pending().await,
            }} => Heard::Flushed(durable),
            Some(told) = news.recv() => Heard::News(told),
            Some(missing) = crds.recv() => Heard::Crds(missing),
            Some(tried) = tried.recv() => Heard::Tried(Box::new(tried)),
            Some(read) = deletes.recv() => Heard::Deletes(read),
            Some((instance, answered)) = probes.recv() => Heard::Probe(instance, answered),
            Some(fed) = async { match feed {
                Some(feed) => feed.recv().await,
                None => std::future::pending().await,
            }} => Heard::Feed(fed),
        }
    }
}
