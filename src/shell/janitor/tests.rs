//! The janitor's hands on an API server that is played here, and a folder.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request, Response};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::{Hands, LastLook, Open, Opening, Shelf, Tried, follow_place};
use crate::api::archive_location::ArchiveLocation;
use crate::api::policy::Redaction;
use crate::api::reasons::KeepReason;
use crate::archive::catalogue::Row;
use crate::archive::catalogue::row::Record;
use crate::archive::key::Layout;
use crate::archive::store::filesystem::Filesystem;
use crate::archive::store::{List, Location, LocationKind, Store as _};
use crate::shell::clock::ServerClock;
use crate::watchdog::janitor::job::{Job, JobTicket, Kept, Needed, Outcome, Permit, Target, Task};
use crate::watchdog::janitor::run::Mark;

/// A server that has this one object, takes every delete and gives every patch back.
fn client(object: Value) -> Client {
    let service = tower::service_fn(move |request: Request<Body>| {
        let answer = match *request.method() {
            Method::GET => object.clone(),
            Method::DELETE => json!({"kind": "Status", "apiVersion": "v1", "status": "Success", "code": 200}),
            _ => json!({"metadata": {"name": "main"}, "spec": {"type": "Filesystem", "allowedNamespaces": {}}}),
        };
        async move { Ok::<_, std::convert::Infallible>(Response::new(Body::from(answer.to_string().into_bytes()))) }
    });
    Client::new(service, "default")
}

fn open(folder: &Path) -> Arc<Open> {
    let store = Filesystem::new(folder, "workflow-archives");
    let location = Location {
        name: "main".into(),
        kind: LocationKind::Filesystem,
        layout: Layout::new("workflow-archives").unwrap(),
        fingerprint: store.fingerprint().clone(),
        cluster: "prod".into(),
        conditional_put: true,
    };
    Arc::new(Open::new(Arc::new(store), location, &Shelf::default()))
}

fn run() -> Value {
    json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow",
        "metadata": {"name": "run-1", "namespace": "etl", "uid": "2f9a75e9-00bd-471a-845c-64f798862901",
            "resourceVersion": "7", "creationTimestamp": "2026-11-21T08:00:00Z"},
        "spec": {"arguments": {"parameters": [{"name": "token", "value": "hush"}, {"name": "day", "value": "1"}]}},
        "status": {"phase": "Succeeded", "startedAt": "2026-11-21T08:00:00Z", "finishedAt": "2026-11-21T08:01:00Z"},
    })
}

fn target() -> Target {
    let seconds = |text: &str| text.parse::<jiff::Timestamp>().unwrap().as_second().try_into().unwrap();
    Target {
        namespace: "etl".into(),
        name: "run-1".into(),
        uid: "2f9a75e9-00bd-471a-845c-64f798862901".into(),
        started: seconds("2026-11-21T08:00:00Z"),
        finished: seconds("2026-11-21T08:01:00Z"),
    }
}

/// Examines and deletes under `require: None`; the lines that wait for the catalogue then.
async fn deleted(object: Value, needed: Needed) -> Vec<Row> {
    let folder = tempfile::tempdir().unwrap();
    let hands = Hands::new(client(object), Arc::default(), LastLook::default());
    let place = open(folder.path());
    hands.open("main", Some(Arc::clone(&place)));
    let job = |task| Job { ticket: JobTicket(1), target: target(), task };
    let examined = hands.perform(job(Task::Examine { needed }), hands.look.now()).await;
    let Outcome::Examined(live, None) = examined else { panic!("{examined:?}") };
    let told = live.facts.map(|facts| ("main".to_owned(), facts));
    let (resource_version, permit) = (live.resource_version.clone(), Permit::of_test());
    let task = Task::Delete { resource_version, permit, policy: "WorkflowPolicy/etl/p".to_owned(), told };
    let outcome = hands.perform(job(task), hands.look.now()).await;
    assert!(matches!(outcome, Outcome::Deleted), "{outcome:?}");
    place.rows.take()
}

/// A line of a catalogue.
pub(super) async fn row() -> Row {
    deleted(run(), Needed::Facts(Redaction::default())).await.remove(0)
}

#[tokio::test]
async fn a_deletion_that_asks_for_no_archive_has_its_line_where_a_location_is_named() {
    let rows = deleted(run(), Needed::Facts(Redaction::default())).await;
    let [row] = rows.as_slice() else { panic!("{rows:?}") };
    assert_eq!((row.record, row.key.as_str(), row.digest), (Record::Deletion, "", None));
    assert_eq!((row.summary.name.as_str(), row.summary.cluster.as_str()), ("run-1", "prod"));
    assert_eq!((row.date().as_str(), row.policy.as_deref()), ("2026-11-21", Some("WorkflowPolicy/etl/p")));
    let parameters = &row.summary.parameters;
    assert!(parameters["day"] == "1" && parameters["token"] != "hush", "{parameters:?}");
    // One that no archive could be made of has what is known of any.
    let mut offloaded = run();
    offloaded["status"]["offloadNodeStatusVersion"] = json!("fnv:1");
    let rows = deleted(offloaded, Needed::Facts(Redaction::default())).await;
    let [row] = rows.as_slice() else { panic!("{rows:?}") };
    assert_eq!((row.summary.name.as_str(), row.summary.phase.as_str()), ("run-1", "Succeeded"));
    assert_eq!(row.date(), "2026-11-21");
    assert!(deleted(run(), Needed::Nothing).await.is_empty(), "no location, no line");
}

fn location(folder: &Path) -> ArchiveLocation {
    serde_json::from_value(json!({
        "apiVersion": "unstick.dev/v1alpha1", "kind": "ArchiveLocation", "metadata": {"name": "main", "generation": 1},
        "spec": {"type": "Filesystem", "filesystem": {"path": folder}, "allowedNamespaces": {}, "probeEvery": "1s"},
    }))
    .unwrap()
}

async fn next(tried: &mut mpsc::Receiver<Tried>, ready: bool) -> Tried {
    for _ in 0..20 {
        let one = tokio::time::timeout(Duration::from_secs(10), tried.recv()).await.unwrap().unwrap();
        if one.place.ready == ready {
            return one;
        }
    }
    panic!("never ready: {ready}")
}

/// Nothing is written by the time.
fn opening() -> Opening {
    let api = client(json!({}));
    Opening {
        container_root: None,
        read: api.clone(),
        act: api,
        clock: Arc::new(ServerClock::default()),
        namespace: "unstick-system".into(),
        cluster: "prod".into(),
        flush_every: Duration::from_secs(3600),
        shelf: Shelf::default(),
    }
}

#[tokio::test]
async fn many_lines_are_written_before_their_time_and_what_fails_waits_for_it() {
    let root = tempfile::tempdir().unwrap();
    let (tell, mut tried) = mpsc::channel(1);
    let task = follow_place(location(root.path()), opening(), tell);
    let open = next(&mut tried, true).await.open.unwrap();
    let row = deleted(run(), Needed::Facts(Redaction::default())).await.remove(0);
    for _ in 0..999 {
        open.rows.add(row.clone());
    }
    open.rows.give_back(vec![row.clone()]);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(open.rows.len(), 1000, "what could not be written is not tried again at once");
    assert_eq!(open.rows.take().len(), 1000);
    // What finds no place is counted, once.
    open.rows.give_back(vec![row.clone(); 10_001]);
    open.rows.add(row.clone());
    assert_eq!((open.rows.take().len(), open.rows.lost(), open.rows.lost()), (10_000, 2, 0));
    for _ in 0..1000 {
        open.rows.add(row.clone());
    }
    let written = async {
        while open.rows.len() > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), written).await.unwrap();
    task.abort();
}

#[tokio::test]
async fn what_waits_for_the_catalogue_outlives_a_probe_that_fails() {
    let root = tempfile::tempdir().unwrap();
    let (folder, away) = (root.path().join("archive"), root.path().join("away"));
    std::fs::create_dir(&folder).unwrap();
    let (tell, mut tried) = mpsc::channel(1);
    let task = follow_place(location(&folder), opening(), tell);
    let first = next(&mut tried, true).await.open.unwrap();
    let mut rows = deleted(run(), Needed::Facts(Redaction::default())).await;
    first.rows.add(rows.remove(0));
    std::fs::rename(&folder, &away).unwrap();
    assert!(next(&mut tried, false).await.open.is_none());
    std::fs::rename(&away, &folder).unwrap();
    let second = next(&mut tried, true).await.open.unwrap();
    task.abort();
    assert!(!Arc::ptr_eq(&first, &second), "it was opened anew, or this shows nothing");
    assert_eq!(second.rows.len(), 1, "the line is lost");
    assert!(second.flush(jiff::Timestamp::now().into()).await.is_none());
    assert_eq!(second.rows.len(), 0);
    let all = List { prefix: "workflow-archives-index/catalogue/", ..List::default() };
    let written = second.store.list(&all).await.unwrap().objects;
    assert_eq!(written.iter().filter(|o| o.key.ends_with(".jsonl.gz")).count(), 1);
}

#[tokio::test]
async fn what_waits_for_the_catalogue_is_written_when_its_location_is_shut_or_waits_for_the_next_at_that_place() {
    let root = tempfile::tempdir().unwrap();
    let (folder, away) = (root.path().join("archive"), root.path().join("away"));
    std::fs::create_dir(&folder).unwrap();
    let hands = Hands::new(client(json!({})), Arc::default(), LastLook::default());
    let opening = Opening { shelf: hands.shelf.clone(), ..opening() };
    let row = deleted(run(), Needed::Facts(Redaction::default())).await.remove(0);
    let reopened = async || {
        let (tell, mut tried) = mpsc::channel(1);
        let task = follow_place(location(&folder), opening.clone(), tell);
        let open = next(&mut tried, true).await.open.unwrap();
        task.abort();
        hands.open("main", Some(Arc::clone(&open)));
        open
    };
    let written = async |open: &Open| {
        let all = List { prefix: "workflow-archives-index/catalogue/", ..List::default() };
        let found = open.store.list(&all).await.unwrap().objects;
        found.iter().filter(|o| o.key.ends_with(".jsonl.gz")).count()
    };
    let open = reopened().await;
    open.rows.add(row.clone());
    hands.shut("main");
    for _ in 0..500 {
        if (written(&open).await, open.rows.len()) == (1, 0) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!((written(&open).await, open.rows.len()), (1, 0));
    // The store fails just then; and a job ends later still.
    let open = reopened().await;
    open.rows.add(row.clone());
    std::fs::rename(&folder, &away).unwrap();
    hands.shut("main");
    tokio::time::sleep(Duration::from_millis(200)).await;
    open.rows.add(row);
    drop(open);
    std::fs::rename(&away, &folder).unwrap();
    assert_eq!(reopened().await.rows.len(), 2, "lines are lost");
}

#[tokio::test]
async fn lines_whose_writing_is_broken_off_wait_again() {
    let folder = tempfile::tempdir().unwrap();
    let open = open(folder.path());
    open.rows.add(deleted(run(), Needed::Facts(Redaction::default())).await.remove(0));
    let mut writing = Box::pin(open.flush(jiff::Timestamp::now().into()));
    assert!(futures::poll!(&mut writing).is_pending());
    assert_eq!(open.rows.len(), 0);
    drop(writing);
    assert_eq!(open.rows.len(), 1, "the line is lost");
}

#[tokio::test]
async fn the_line_of_a_delete_without_an_answer_is_written_when_its_run_is_seen_gone() {
    let object = run();
    let service = tower::service_fn(move |request: Request<Body>| {
        let answer = if *request.method() == Method::GET { Ok(object.clone()) } else { Err("connection reset") };
        async move { answer.map(|object| Response::new(Body::from(object.to_string().into_bytes()))) }
    });
    let folder = tempfile::tempdir().unwrap();
    let hands = Hands::new(Client::new(service, "default"), Arc::default(), LastLook::default());
    let place = open(folder.path());
    hands.open("main", Some(Arc::clone(&place)));
    let job = |task| Job { ticket: JobTicket(1), target: target(), task };
    let needed = Needed::Facts(Redaction::default());
    let Outcome::Examined(live, _) = hands.perform(job(Task::Examine { needed }), hands.look.now()).await else {
        panic!("not examined")
    };
    let task = Task::Delete {
        resource_version: live.resource_version.clone(),
        permit: Permit::of_test(),
        policy: "WorkflowPolicy/etl/p".to_owned(),
        told: live.facts.map(|facts| ("main".to_owned(), facts)),
    };
    let outcome = hands.perform(job(task), hands.look.now()).await;
    assert!(matches!(outcome, Outcome::Unanswered(_)), "{outcome:?}");
    assert_eq!(place.rows.len(), 0);
    for _ in 0..2 {
        hands.perform(job(Task::Record), hands.look.now()).await;
        assert_eq!(place.rows.len(), 1, "once");
    }
}

#[tokio::test]
async fn an_offloaded_run_is_called_so() {
    let folder = tempfile::tempdir().unwrap();
    let mut object = run();
    object["status"]["offloadNodeStatusVersion"] = json!("fnv:1");
    let hands = Hands::new(client(object), Arc::default(), LastLook::default());
    hands.open("main", Some(open(folder.path())));
    let (location, redaction) = ("main".to_owned(), Redaction::default());
    let task = Task::Archive { location, redaction, events: false, stuck_seconds: None };
    let outcome = hands.perform(Job { ticket: JobTicket(1), target: target(), task }, hands.look.now()).await;
    assert!(matches!(outcome, Outcome::NotArchivable(KeepReason::Offloaded, _)), "{outcome:?}");
}

/// Asks the store about a run that the API server has no more: nobody answers there.
#[tokio::test]
async fn of_a_run_that_has_gone_the_store_says_whether_its_mark_told_the_truth() {
    let folder = tempfile::tempdir().unwrap();
    let hands = Hands::new(client(run()), Arc::default(), LastLook::default());
    let place = open(folder.path());
    hands.open("main", Some(Arc::clone(&place)));
    let job = |target: Target, task| Job { ticket: JobTicket(1), target, task };
    let archive =
        Task::Archive { location: "main".into(), redaction: Redaction::default(), events: false, stuck_seconds: None };
    let kept = hands.perform(job(target(), archive), hands.look.now()).await;
    let Outcome::Kept(Kept { mark, .. }) = kept else { panic!("{kept:?}") };

    let service = tower::service_fn(|_: Request<Body>| async { Err::<Response<Body>, _>("asked about what has gone") });
    let hands = Hands::new(Client::new(service, "default"), Arc::default(), LastLook::default());
    let ask = async |target: Target, mark: &Mark| {
        let task = Task::Confirm { location: "main".into(), mark: mark.clone() };
        hands.perform(job(target, task), hands.look.now()).await
    };
    let early = ask(target(), &mark).await;
    assert!(matches!(early, Outcome::Store(..)), "not known while its location isn't open: {early:?}");
    hands.open("main", Some(place));
    let told = ask(target(), &mark).await;
    assert!(matches!(&told, Outcome::Kept(kept) if kept.already && kept.mark == mark), "{told:?}");
    let copied = Target { uid: "2f9a75e9-00bd-471a-845c-64f798862902".into(), ..target() };
    let again = Target { finished: target().finished + 1, ..target() };
    for other in [copied, again] {
        let told = ask(other, &mark).await;
        assert!(matches!(told, Outcome::Unconfirmed), "a mark that was copied to another run: {told:?}");
    }
    for forged in [
        Mark { key: mark.key.replace("run-1", "run-2"), ..mark.clone() },
        Mark { digest: "0".repeat(64), ..mark.clone() },
        Mark { fingerprint: "elsewhere".into(), ..mark.clone() },
        Mark { key: "../run-1".into(), ..mark.clone() },
    ] {
        let told = ask(target(), &forged).await;
        assert!(matches!(told, Outcome::Unconfirmed), "{forged:?}: {told:?}");
    }
    // Somebody has emptied the folder: the mark alone is no archive.
    std::fs::remove_dir_all(folder.path().join("workflow-archives-index")).unwrap();
    let told = ask(target(), &mark).await;
    assert!(matches!(told, Outcome::Unconfirmed), "{told:?}");
}
