//! A server that is played here: what it does to a watch is told.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::stream;
use http::{Request, Response};
use http_body_util::StreamBody;
use hyper::body::{Bytes, Frame};
use kube::client::Body;
use serde_json::{Value, json};

use super::*;

/// Lists one policy; watches answer with these lines, one after the other, and stay open; the last for all further ones.
/// A number is an answer with that status.
fn server(watches: Vec<Value>) -> (Client, Arc<AtomicUsize>) {
    let lists = Arc::new(AtomicUsize::new(0));
    let (listed, opened) = (Arc::clone(&lists), Arc::new(AtomicUsize::new(0)));
    let service = tower::service_fn(move |request: Request<Body>| {
        let watch = request.uri().query().is_some_and(|q| q.contains("watch=true"));
        let answer = if watch {
            let n = opened.fetch_add(1, Ordering::SeqCst);
            watches[n.min(watches.len() - 1)].clone()
        } else {
            let first = listed.fetch_add(1, Ordering::SeqCst) == 0;
            let all = if first { vec!["a", "b"] } else { vec!["b"] };
            let items: Vec<_> = all.iter().map(|n| json!({"metadata": {"name": n, "namespace": "etl"}})).collect();
            json!({"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": "5"}, "items": items})
        };
        async move {
            let (code, lines, open) = match answer {
                Value::Number(status) => {
                    let code = u16::try_from(status.as_u64().unwrap()).unwrap();
                    let said = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code,
                        "message": "no", "reason": "no"});
                    (code, vec![said], false)
                }
                Value::Array(lines) => (200, lines, true),
                other => (200, vec![other], false),
            };
            let frame = |line: Value| Ok::<_, std::io::Error>(Frame::data(Bytes::from(format!("{line}\n"))));
            let lines = stream::iter(lines.into_iter().map(frame).collect::<Vec<_>>());
            let body = if open { lines.chain(stream::pending()).boxed() } else { lines.boxed() };
            let response = Response::builder().status(code).body(StreamBody::new(body)).unwrap();
            Ok::<_, std::convert::Infallible>(response)
        }
    });
    (Client::new(service, "default"), lists)
}

/// What is told first, each in a word.
async fn told(watches: Vec<Value>, idle: Duration, count: usize) -> (Vec<String>, usize) {
    let (client, lists) = server(watches);
    let (tell, mut news) = mpsc::channel(100);
    let task = follow(client, Kind::Policies, Which::default(), idle, tell);
    let mut all = Vec::new();
    while all.len() < count {
        let one = tokio::time::timeout(Duration::from_secs(20), news.recv()).await;
        let Ok(Some(News { what, .. })) = one else { panic!("no more after {all:?}") };
        all.push(match what {
            What::Is(object) => format!("is {}", object.name_any()),
            What::Gone(object) => format!("gone {}", object.name_any()),
            What::Listed => "listed".to_owned(),
            What::Alive => "alive".to_owned(),
            What::Failed(_) => "failed".to_owned(),
        });
    }
    task.abort();
    (all, lists.load(Ordering::SeqCst))
}

const LONG: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn opening_bookmarks_and_events_are_signs_of_life() {
    let lines = json!([
        {"type": "BOOKMARK", "object": {"apiVersion": "v1", "kind": "P", "metadata": {"resourceVersion": "6"}}},
        {"type": "ADDED", "object": {"metadata": {"name": "c", "resourceVersion": "7"}}},
        {"type": "DELETED", "object": {"metadata": {"name": "c", "resourceVersion": "8"}}},
    ]);
    let (all, _) = told(vec![lines], LONG, 7).await;
    assert_eq!(all, ["is a", "is b", "listed", "alive", "alive", "is c", "gone c"]);
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_is_refused_says_so_each_time_and_goes_on_where_it_was() {
    let (all, lists) = told(vec![json!(403), json!(500), json!([])], LONG, 6).await;
    assert_eq!(all, ["is a", "is b", "listed", "failed", "failed", "alive"]);
    assert_eq!(lists, 1);
}

#[tokio::test(start_paused = true)]
async fn what_went_while_the_version_expired_is_told() {
    let (all, lists) = told(vec![json!(410), json!([])], LONG, 7).await;
    assert_eq!(all, ["is a", "is b", "listed", "is b", "gone a", "listed", "alive"]);
    assert_eq!(lists, 2);
}

#[tokio::test(start_paused = true)]
async fn a_silent_watch_is_opened_anew_and_only_then_alive() {
    let (all, lists) = told(vec![json!([]), json!(503), json!([])], Duration::from_secs(5), 6).await;
    assert_eq!(all, ["is a", "is b", "listed", "alive", "failed", "alive"]);
    assert_eq!(lists, 1);
}
