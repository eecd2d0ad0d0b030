//! Whole jobs on one thread, before a store that answers at once.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, mpsc};
use std::thread::ThreadId;
use std::time::{Duration, Instant};

use http::{Request, Response};
use kube::Client;
use kube::client::Body;
use serde_json::json;
use tokio::runtime::Runtime;

use super::*;
use crate::api::workflow::Workflow;
use crate::archive::key::Layout;
use crate::archive::store::{Location, LocationKind};
use crate::shell::janitor::{Hands, LastLook, Open};
use crate::watchdog::janitor::job::{Job, JobTicket, Needed, Target, Task};

/// Where a call of the store holds its thread until it is told to go on.
struct Gate {
    arrived: tokio::sync::mpsc::UnboundedSender<()>,
    go_on: Mutex<mpsc::Receiver<()>>,
}

/// Answers at once; where it has ticks, a call waits, thread and all, until these have moved on: for a while.
#[derive(Default)]
struct Instantly {
    objects: Mutex<BTreeMap<String, Bytes>>,
    calls: Mutex<Vec<(String, ThreadId)>>,
    /// Moved on by a task of the runtime.
    ticks: Option<Arc<AtomicU64>>,
    /// Calls during which it moved.
    moved: AtomicUsize,
    gate: Option<Gate>,
    fingerprint: Option<Fingerprint>,
}

impl Instantly {
    fn called(&self, call: &str, key: &str) {
        self.calls.lock().unwrap().push((format!("{call} {key}"), std::thread::current().id()));
        if let Some(gate) = &self.gate {
            gate.arrived.send(()).unwrap();
            gate.go_on.lock().unwrap().recv_timeout(Duration::from_secs(20)).unwrap();
            return;
        }
        let Some(ticks) = &self.ticks else { return };
        let (before, begun) = (ticks.load(Ordering::Relaxed), Instant::now());
        while ticks.load(Ordering::Relaxed) < before + 3 {
            if begun.elapsed() > Duration::from_secs(2) {
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        self.moved.fetch_add(1, Ordering::Relaxed);
    }

    fn count(&self) -> usize {
        self.calls.lock().unwrap().len()
    }
}

#[async_trait]
impl Store for Instantly {
    fn fingerprint(&self) -> &Fingerprint {
        self.fingerprint.as_ref().unwrap()
    }

    async fn put_new(&self, key: &str, body: Bytes, _: &Meta) -> Result<Put, StoreError> {
        self.called("put", key);
        let there = self.objects.lock().unwrap().insert(key.to_owned(), body);
        Ok(if there.is_some() { Put::Exists } else { Put::Created { version_id: None } })
    }

    async fn get(&self, key: &str, _: usize) -> Result<Option<Object>, StoreError> {
        self.called("get", key);
        let found = self.objects.lock().unwrap().get(key).cloned();
        Ok(found.map(|bytes| Object { bytes, version_id: None, storage_class: None, meta: Meta::new() }))
    }

    async fn head(&self, _: &str) -> Result<Option<Head>, StoreError> {
        Ok(None)
    }

    async fn list(&self, _: &List<'_>) -> Result<Page, StoreError> {
        Ok(Page::default())
    }

    async fn settle(&self, _: &str) -> Result<(), StoreError> {
        Ok(())
    }

    fn rely_on(&self, _: &str) {}

    async fn keeps_checksum(&self, _: &str) -> Result<bool, StoreError> {
        Ok(false)
    }

    async fn identity(&self) -> Result<String, StoreError> {
        Ok(String::new())
    }
}

/// A finished run of about this many bytes.
fn run(name: &str, bytes: usize) -> String {
    json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow",
        "metadata": {"name": name, "namespace": "etl", "uid": "38055fbe-bbac-4091-964a-edee6814d007", "resourceVersion": "7"},
        "spec": {"entrypoint": "main", "arguments": {"parameters": [{"name": "text", "value": "x".repeat(bytes)}]}},
        "status": {
            "phase": "Succeeded", "startedAt": "2026-11-21T07:18:34Z", "finishedAt": "2026-11-21T07:18:44Z", "nodes": {},
        },
    })
    .to_string()
}

/// Hands whose API server has this one run, and whose location `main` is the store.
fn hands(live: &str, store: &Arc<Instantly>) -> Hands {
    let live = live.to_owned();
    let service = tower::service_fn(move |_: Request<Body>| {
        let live = live.clone();
        async move { Ok::<_, Infallible>(Response::new(Body::from(live.into_bytes()))) }
    });
    let hands = Hands::new(Client::new(service, "default"), Arc::default(), LastLook::default());
    let location = Location {
        name: "main".into(),
        kind: LocationKind::S3,
        layout: Layout::new("workflow-archives").unwrap(),
        fingerprint: store.fingerprint().clone(),
        cluster: "default".into(),
        conditional_put: true,
    };
    hands.open("main", Some(Arc::new(Open::new(Arc::clone(store) as Arc<dyn Store>, location, &hands.shelf))));
    hands
}

fn store(gate: Option<Gate>) -> Instantly {
    Instantly { gate, fingerprint: Some(Fingerprint::s3("", "bucket", "workflow-archives")), ..Instantly::default() }
}

fn job(live: &str, task: Task) -> Job {
    let read = Workflow::from_json(live).unwrap();
    let target = Target {
        namespace: "etl".into(),
        name: read.meta.name.to_string(),
        uid: read.meta.uid.to_string(),
        started: read.status.started,
        finished: read.status.finished,
    };
    Job { ticket: JobTicket(1), target, task }
}

fn archive() -> Task {
    Task::Archive {
        location: "main".into(),
        redaction: crate::api::policy::Redaction::default(),
        events: false,
        stuck_seconds: None,
    }
}

fn examine() -> Task {
    Task::Examine { needed: Needed::Proof("main".into(), crate::api::policy::Redaction::default(), None) }
}

/// As the operator has it.
fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(4).build().unwrap()
}

fn tick(ticks: Arc<AtomicU64>) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        loop {
            ticks.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
}

#[test]
fn the_thread_of_detection_goes_on_while_a_large_run_is_kept_and_proven() {
    let ticks = Arc::new(AtomicU64::new(0));
    let (live, store) = (run("large", LARGE), Arc::new(Instantly { ticks: Some(Arc::clone(&ticks)), ..store(None) }));
    runtime().block_on(async {
        let hands = hands(&live, &store);
        let ticking = tick(ticks);
        let kept = hands.perform(job(&live, archive()), hands.look.now()).await;
        assert!(matches!(&kept, Outcome::Kept(kept) if !kept.already), "{kept:?}");
        let proven = hands.perform(job(&live, examine()), hands.look.now()).await;
        assert!(matches!(&proven, Outcome::Examined(_, Some(_))), "{proven:?}");
        ticking.abort();
    });
    assert_eq!(store.count(), 4, "put, read back, manifest, and once more read: {:?}", store.calls);
    assert_eq!(store.moved.load(Ordering::Relaxed), 4, "calls during which another task of the runtime went on");
}

#[test]
fn a_small_run_changes_no_thread() {
    let (live, store) = (run("small", 50 << 10), Arc::new(store(None)));
    runtime().block_on(async {
        let hands = hands(&live, &store);
        let kept = hands.perform(job(&live, archive()), hands.look.now()).await;
        assert!(matches!(kept, Outcome::Kept(_)), "{kept:?}");
    });
    let here = std::thread::current().id();
    assert!(store.calls.lock().unwrap().iter().all(|(_, thread)| *thread == here));
}

#[test]
fn what_is_given_up_stops_before_the_next_call_and_then_frees_its_room() {
    let ((arrived, mut arrivals), (let_go, go_on)) = (tokio::sync::mpsc::unbounded_channel(), mpsc::channel());
    let (live, store) = (run("large", LARGE), Arc::new(store(Some(Gate { arrived, go_on: Mutex::new(go_on) }))));
    runtime().block_on(async {
        let hands = hands(&live, &store);
        let (own, given) = (hands.clone(), job(&live, archive()));
        let task = tokio::spawn(async move { own.perform(given, own.look.now()).await });
        arrivals.recv().await.unwrap();
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
        let desks = &hands.desks;
        assert_eq!(desks.aside.available_permits(), 0, "it is at work as long as the call lasts");
        assert!(desks.room.available_permits() < AT_WORK >> 10);
        for _ in 0..4 {
            let_go.send(()).unwrap();
        }
        tokio::time::timeout(Duration::from_secs(20), desks.aside_is_idle()).await.unwrap();
        assert_eq!(desks.room.available_permits(), AT_WORK >> 10);
    });
    assert_eq!(store.count(), 1, "{:?}", store.calls);
}

#[test]
fn one_large_run_at_a_time_and_small_ones_pass_it() {
    let ((arrived, mut arrivals), (let_go, go_on)) = (tokio::sync::mpsc::unbounded_channel(), mpsc::channel());
    let (live, held) = (run("large", LARGE), Arc::new(store(Some(Gate { arrived, go_on: Mutex::new(go_on) }))));
    runtime().block_on(async {
        let large = hands(&live, &held);
        let tasks: Vec<_> = (0..2)
            .map(|_| {
                let (own, given) = (large.clone(), job(&live, archive()));
                tokio::spawn(async move { own.perform(given, own.look.now()).await })
            })
            .collect();
        arrivals.recv().await.unwrap();
        let (small, quick) = (run("small", 50 << 10), Arc::new(store(None)));
        let passing = Hands { desks: large.desks.clone(), ..hands(&small, &quick) };
        let kept =
            tokio::time::timeout(Duration::from_secs(20), passing.perform(job(&small, archive()), passing.look.now()))
                .await;
        assert!(matches!(kept, Ok(Outcome::Kept(_))), "{kept:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(held.count(), 1, "the other waits for its turn: {:?}", held.calls);
        for _ in 0..8 {
            let_go.send(()).unwrap();
        }
        for task in tasks {
            let kept = task.await.unwrap();
            assert!(matches!(kept, Outcome::Kept(_)), "{kept:?}");
        }
    });
}

/// A run with so many bytes of nodes, packed, and so many of text.
fn packed(nodes: usize, text: usize) -> String {
    use base64::Engine as _;
    use std::io::Write as _;
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(b"{\"n\":{\"id\":\"n\",\"message\":\"").unwrap();
    packer.write_all(&vec![b'x'; nodes - 27]).unwrap();
    packer.write_all(b"\"}}").unwrap();
    let nodes = base64::engine::general_purpose::STANDARD.encode(packer.finish().unwrap());
    let run = run("packed", text).replacen("\"nodes\":{}", &format!("\"compressedNodes\":\"{nodes}\""), 1);
    assert!(run.contains("compressedNodes"));
    run
}

/// Desks at which two large runs may be at once: then only the room tells whether one waits.
fn desks() -> Desks {
    Desks { aside: Arc::new(Semaphore::new(2)), ..Desks::default() }
}

fn refusal(taken: Result<Desk, Outcome>) -> String {
    match taken {
        Err(Outcome::NotArchivable(KeepReason::NotArchivable, text)) => text,
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("it was taken"),
    }
}

#[tokio::test]
async fn a_run_counts_with_its_nodes_unpacked_and_no_more() {
    let all = AT_WORK >> 10;
    for (nodes, text) in [(20 << 20, 1 << 10), (1 << 10, 40 << 20), (100 << 10, 50 << 10)] {
        let (desks, live) = (desks(), packed(nodes, text));
        let desk = desks.take(&live, "[]").await.unwrap_or_else(|e| panic!("{e:?}"));
        assert!(desk.aside.is_some(), "nodes may unpack to a lot");
        let taken = all - desks.room.available_permits();
        assert_eq!(taken, (live.len() + 2 + nodes).div_ceil(1 << 10), "{nodes} {text}");
        drop(desk);
        assert_eq!(desks.room.available_permits(), all);
    }
    // What isn't packed is as large as it is.
    let desks = desks();
    let live = run("small", 50 << 10);
    let desk = desks.take(&live, "").await.unwrap_or_else(|e| panic!("{e:?}"));
    assert_eq!(all - desks.room.available_permits(), live.len().div_ceil(1 << 10));
    assert!(desk.aside.is_none());
    let events = desks.take("{}", &"x".repeat(LARGE)).await;
    assert!(events.is_ok_and(|desk| desk.aside.is_some()), "events are packed too");
}

#[tokio::test]
async fn what_has_no_room_now_waits_until_there_is() {
    let (desks, live) = (desks(), packed(30 << 20, 1 << 10));
    let first = desks.take(&live, "").await.unwrap_or_else(|e| panic!("{e:?}"));
    // 34 MiB are left: too few for all that the second may become, enough for what it is.
    let small = packed(3 << 20, 32 << 20);
    let mut second = Box::pin(desks.take(&small, ""));
    assert!(tokio::time::timeout(Duration::from_millis(300), &mut second).await.is_err(), "it has to wait");
    drop(first);
    let second = tokio::time::timeout(Duration::from_secs(20), second).await.expect("its turn");
    let second = second.unwrap_or_else(|e| panic!("{e:?}"));
    // It has given back what it doesn't need: another large one goes beside it, and small ones do.
    let third = run("third", 28 << 20);
    let third = tokio::time::timeout(Duration::from_secs(5), desks.take(&third, "")).await;
    assert!(matches!(third, Ok(Ok(_))), "there is room");
    drop(second);
}

#[tokio::test]
async fn what_alone_needs_more_than_all_the_room_is_refused_and_says_why() {
    let desks = desks();
    for (live, says) in [
        (run("text", AT_WORK), "it has 65 MiB with its nodes unpacked, and archiving has room for 64 MiB in all"),
        (packed(31 << 20, 34 << 20), "it has 66 MiB with its nodes unpacked, and archiving has room for 64 MiB in all"),
        (packed(33 << 20, 10), "its nodes can't be read: compressedNodes is larger than 32 MiB when decoded"),
    ] {
        assert_eq!(refusal(desks.take(&live, "").await), says);
    }
    let events = desks.take("{}", &"x".repeat(AT_WORK)).await;
    assert!(refusal(events).contains("room for 64 MiB"));
    assert_eq!(desks.room.available_permits(), AT_WORK >> 10, "nothing stays taken");
    // Of a job it is the outcome.
    let live = packed(33 << 20, 10);
    let store = Arc::new(store(None));
    let hands = hands(&live, &store);
    let refused = hands.perform(job(&live, archive()), hands.look.now()).await;
    assert!(matches!(&refused, Outcome::NotArchivable(_, text) if text.contains("larger than 32 MiB")), "{refused:?}");
    assert_eq!(store.count(), 0);
}
