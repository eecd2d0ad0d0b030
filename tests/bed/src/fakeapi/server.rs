//! The shared state and the loop that accepts connections.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use anyhow::{Context, Result, anyhow};
use hyper::body::Bytes;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};

use super::audit::Requests;
use super::entry::{Body, Entry};
use super::kinds::{self, KINDS, WORKFLOWS};
use super::load::{self, Load, Progress};
use super::query::Target;
use super::store::Store;
use super::{Options, route};
use crate::corpus::{Corpus, Look};

/// What all connections share.
#[derive(Debug)]
pub struct Shared {
    options: Mutex<Options>,
    store: Mutex<Store>,
    audit: Mutex<Requests>,
    /// The newest resourceVersion of each kind; wakes its watches.
    changed: Vec<watch::Sender<u64>>,
    /// Counts up to close every connection.
    dropped: watch::Sender<u64>,
    corpus: Mutex<Arc<Corpus>>,
    progress: Mutex<Progress>,
    runtime: OnceLock<Handle>,
    born: Instant,
}

/// A panic elsewhere must not hide the state from the test that looks at it.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(super) fn new(options: Options) -> Self {
        Self {
            options: Mutex::new(options),
            store: Mutex::new(Store::new()),
            audit: Mutex::default(),
            changed: KINDS.iter().map(|_| watch::Sender::new(0)).collect(),
            dropped: watch::Sender::new(0),
            corpus: Mutex::new(Arc::new(Corpus { count: 0, ..Corpus::default() })),
            progress: Mutex::default(),
            runtime: OnceLock::new(),
            born: Instant::now(),
        }
    }

    pub fn options(&self) -> Options {
        locked(&self.options).clone()
    }

    pub fn set(&self, options: Options) {
        *locked(&self.options) = options;
    }

    pub(super) fn store(&self) -> MutexGuard<'_, Store> {
        locked(&self.store)
    }

    pub fn audit(&self) -> MutexGuard<'_, Requests> {
        locked(&self.audit)
    }

    pub(super) fn count(&self, verb: &str, resource: &str) {
        let millis = u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.audit().count(verb, resource, millis);
    }

    pub(super) fn subscribe(&self, kind: usize) -> watch::Receiver<u64> {
        self.changed[kind].subscribe()
    }

    pub(super) fn wake(&self, kind: usize, version: u64) {
        self.changed[kind].send_replace(version);
    }

    pub fn drop_connections(&self) {
        self.dropped.send_modify(|n| *n += 1);
    }

    pub(super) fn corpus(&self) -> Arc<Corpus> {
        Arc::clone(&locked(&self.corpus))
    }

    /// How far the load has come.
    pub fn progress(&self) -> Progress {
        locked(&self.progress).clone()
    }

    pub(super) fn update_progress(&self, change: impl FnOnce(&mut Progress)) {
        change(&mut locked(&self.progress));
    }

    /// Adds the workflows of a corpus.
    pub fn load(&self, corpus: Corpus) {
        let corpus = Arc::new(corpus);
        *locked(&self.corpus) = Arc::clone(&corpus);
        let _ = self.change(WORKFLOWS, |store, history| {
            for index in 0..corpus.count {
                let version = store.advance();
                store.put(WORKFLOWS, Entry::generated(&corpus, index, Look::default(), version), history);
            }
            Ok(())
        });
    }

    /// Stores a workflow whose text is sent as it is, JSON or not; the resourceVersion in it is the caller's.
    pub fn put_text(&self, namespace: &str, name: &str, text: impl Into<Vec<u8>>) {
        let (key, body) = ((namespace.to_owned(), name.to_owned()), Body::Text(Bytes::from(text.into())));
        let _ = self.change(WORKFLOWS, |store, history| {
            let resource_version = store.advance();
            store.put(WORKFLOWS, Arc::new(Entry { key, resource_version, body }), history);
            Ok(())
        });
    }

    /// Starts changing workflows in the background.
    pub fn start_load(self: &Arc<Self>, load: Load) {
        if let Some(runtime) = self.runtime.get() {
            runtime.spawn(load::run(Arc::clone(self), load));
        }
    }

    /// Creates or replaces one object, as if an administrator had.
    pub fn put(&self, object: &Value) -> Result<()> {
        let field = |path: &str| object.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (version, name) = (field("/apiVersion"), field("/kind"));
        let kind = kinds::of(&version, &name).ok_or_else(|| anyhow!("{version} {name} is not served"))?;
        let namespace = KINDS[kind].namespaced.then(|| field("/metadata/namespace"));
        let mut target = Target { kind, namespace, name: Some(field("/metadata/name")), sub: String::new() };
        let there = self.store().get(kind, &super::write::key(&target)).is_some();
        if !there {
            self.create(&target, object.clone()).map_err(|f| anyhow!(f.message))?;
        }
        // What the server keeps apart an administrator means to set at once.
        let status = object.get("status").is_some() && KINDS[kind].status;
        for sub in if status { &["", "status"][..] } else { &[""][..] } {
            (*sub).clone_into(&mut target.sub);
            self.update(&target, false, |_| Ok(object.clone())).map_err(|f| anyhow!(f.message))?;
        }
        Ok(())
    }
}

/// Serves until `stopped`; tells the address it got.
pub fn run(
    shared: Arc<Shared>,
    port: u16,
    bound: &std::sync::mpsc::Sender<Result<SocketAddr>>,
    stopped: oneshot::Receiver<()>,
) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let _ = shared.runtime.set(runtime.handle().clone());
    runtime.block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.context("cannot listen")?;
        let _ = bound.send(Ok(listener.local_addr()?));
        tokio::select! {
            () = accept(shared, listener) => {}
            _ = stopped => {}
        }
        Ok(())
    })
}

async fn accept(shared: Arc<Shared>, listener: TcpListener) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let _ = stream.set_nodelay(true);
                tokio::spawn(connection(Arc::clone(&shared), stream));
            }
            // Out of descriptors: let some be closed first.
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(50)).await,
        }
    }
}

async fn connection(shared: Arc<Shared>, stream: TcpStream) {
    let mut dropped = shared.dropped.subscribe();
    let service = service_fn(|request| {
        let shared = Arc::clone(&shared);
        async move { Ok::<_, Infallible>(route::answer(&shared, request).await) }
    });
    let serving = http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        _ = serving => {}
        _ = dropped.changed() => {}
    }
}
