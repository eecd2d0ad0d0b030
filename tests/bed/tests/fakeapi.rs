//! The fake API server behaves as the real one where the operator can tell, and misbehaves as told.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::{Duration, Instant};

use futures_util::StreamExt;
use http::Request;
use http_body_util::BodyExt;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, ListParams};
use kube::client::Body;
use kube::runtime::watcher;
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use unstick_bed::conformance::conformance;
use unstick_bed::corpus::{Corpus, Size, namespaces, policies};
use unstick_bed::fakeapi::{FakeApi, Load, Options};

fn start() -> FakeApi {
    FakeApi::start(Options::default(), 0).unwrap()
}

fn workflows(client: &Client) -> Api<DynamicObject> {
    Api::all_with(client.clone(), &ApiResource::from_gvk(&GroupVersionKind::gvk("argoproj.io", "v1alpha1", "Workflow")))
}

async fn ask(client: &Client, method: &str, path: &str, body: Value) -> (u16, Value) {
    let kind = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
    let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string().into_bytes()) };
    let request = Request::builder().method(method).uri(path).header("content-type", kind).body(body).unwrap();
    let response = client.send(request).await.unwrap();
    let status = response.status().as_u16();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&bytes).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn conforms() {
    let api = start();
    conformance(api.client().unwrap(), "conformance").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn serves_a_corpus_in_pages_and_as_a_stream() {
    let api = start();
    api.load(Corpus { count: 1_234, size: Size::Small, ..Corpus::default() });
    let client = api.client().unwrap();
    let (mut names, mut token) = (Vec::new(), None);
    loop {
        let params = ListParams { limit: Some(100), continue_token: token.take(), ..ListParams::default() };
        let page = workflows(&client).list(&params).await.unwrap();
        names.extend(page.items.iter().map(|w| (w.namespace().unwrap(), w.name_any())));
        match page.metadata.continue_.filter(|t| !t.is_empty()) {
            Some(next) => token = Some(next),
            None => break,
        }
    }
    assert_eq!(names.len(), 1_234);
    assert!(names.is_sorted(), "pages are in the order of keys");
    assert_eq!(api.requests().of("list workflows"), 13);
    let config =
        watcher::Config { initial_list_strategy: watcher::InitialListStrategy::StreamingList, ..Default::default() };
    let mut events = std::pin::pin!(watcher(workflows(&client), config));
    let mut seen = Vec::new();
    loop {
        match events.next().await.unwrap().unwrap() {
            watcher::Event::InitApply(w) => seen.push((w.namespace().unwrap(), w.name_any())),
            watcher::Event::InitDone => break,
            _ => {}
        }
    }
    assert_eq!(seen, names);
    assert_eq!(api.requests().of("watch workflows"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn load_comes_at_its_rate_and_resourceversions_grow() {
    let api = start();
    api.load(Corpus { count: 300, size: Size::Tiny, ..Corpus::default() });
    let client = api.client().unwrap();
    let mut events = std::pin::pin!(watcher(workflows(&client), watcher::Config::default()));
    while !matches!(events.next().await.unwrap().unwrap(), watcher::Event::InitDone) {}
    let begun = Instant::now();
    api.start_load(Load::Modify { rate: 500.0, count: 400 });
    let mut last = 0;
    for _ in 0..400 {
        let watcher::Event::Apply(w) = events.next().await.unwrap().unwrap() else { panic!("not a change") };
        let version: u64 = w.resource_version().unwrap().parse().unwrap();
        assert!(version > last);
        last = version;
    }
    assert!((Duration::from_millis(780)..Duration::from_secs(3)).contains(&begun.elapsed()), "{:?}", begun.elapsed());
    api.start_load(Load::Churn { rate: 2_000.0, count: 150 });
    let (mut applied, mut deleted) = (0, 0);
    while applied + deleted < 300 + 49 {
        match events.next().await.unwrap().unwrap() {
            watcher::Event::Apply(_) => applied += 1,
            watcher::Event::Delete(w) => {
                assert_eq!(w.data["status"]["phase"], "Succeeded");
                deleted += 1;
            }
            _ => panic!("a relist"),
        }
    }
    assert_eq!((applied, deleted), (300, 49));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_that_fell_behind_gets_410() {
    let api = FakeApi::start(Options { history: 50, ..Options::default() }, 0).unwrap();
    api.load(Corpus { count: 10, size: Size::Tiny, ..Corpus::default() });
    let client = api.client().unwrap();
    let from = workflows(&client).list(&ListParams::default()).await.unwrap().metadata.resource_version.unwrap();
    api.start_load(Load::Modify { rate: 1e6, count: 60 });
    while api.shared().progress().done < 60 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let path = format!("/apis/argoproj.io/v1alpha1/workflows?watch=true&resourceVersion={from}");
    let (status, event) = ask(&client, "GET", &path, Value::Null).await;
    assert_eq!((status, &event["type"], &event["object"]["code"]), (200, &json!("ERROR"), &json!(410)));
}

#[tokio::test(flavor = "multi_thread")]
async fn old_servers_dropped_and_silent_sockets() {
    let api = start();
    api.load(Corpus { count: 5, size: Size::Tiny, ..Corpus::default() });
    let client = api.client().unwrap();
    api.set(Options { refuse_streaming_lists: true, ..Options::default() });
    let streaming = "/apis/argoproj.io/v1alpha1/workflows?watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    let (status, said) = ask(&client, "GET", streaming, Value::Null).await;
    assert_eq!((status, said["reason"].as_str()), (422, Some("Invalid")));
    api.set(Options::default());
    let open = async || client.send(Request::get(streaming).body(Body::empty()).unwrap()).await.unwrap().into_body();
    let mut body = open().await;
    assert!(body.frame().await.unwrap().unwrap().into_data().unwrap().starts_with(b"{\"type\":\"ADDED\""));
    api.drop_connections();
    let closed = async { while body.frame().await.is_some_and(|f| f.is_ok()) {} };
    tokio::time::timeout(Duration::from_secs(5), closed).await.expect("the socket is closed");
    let mut body = open().await;
    let mut came = Vec::new();
    while !came.windows(12).any(|w| w == b"initial-even") {
        came.extend(body.frame().await.unwrap().unwrap().into_data().unwrap());
    }
    api.set(Options { silent: true, ..Options::default() });
    api.start_load(Load::Modify { rate: 1e6, count: 5 });
    assert!(
        tokio::time::timeout(Duration::from_millis(300), body.frame()).await.is_err(),
        "nothing comes, nothing ends"
    );
    api.set(Options::default());
    assert!(body.frame().await.unwrap().is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn small_kinds_have_a_status_of_their_own() {
    let api = start();
    for object in namespaces(20).iter().chain(&policies()) {
        api.put(object).unwrap();
    }
    let client = api.client().unwrap();
    let path = "/apis/unstick.dev/v1alpha1/namespaces/team-00/workflowpolicies/default";
    let (_, before) = ask(&client, "GET", path, Value::Null).await;
    let (status, after) =
        ask(&client, "PATCH", &format!("{path}/status"), json!({"status": {"matched": 3}, "spec": {"priority": 9}}))
            .await;
    assert_eq!((status, &after["status"]["matched"], &after["spec"]), (200, &json!(3), &before["spec"]));
    assert_eq!(after["metadata"]["generation"], 1);
    let (_, changed) = ask(&client, "PATCH", path, json!({"status": {"matched": 4}, "spec": {"priority": 9}})).await;
    assert_eq!((&changed["status"]["matched"], &changed["spec"]["priority"]), (&json!(3), &json!(9)));
    assert_eq!(changed["metadata"]["generation"], 2);
    assert_eq!(
        ask(&client, "GET", "/apis/unstick.dev/v1alpha1/clusterworkflowpolicies", Value::Null).await.1["items"]
            .as_array()
            .unwrap()
            .len(),
        10
    );
    let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": {}});
    let (status, said) = ask(&client, "POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review).await;
    assert_eq!((status, &said["status"]["allowed"]), (201, &json!(true)));
    let event = json!({"apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"generateName": "e-"}, "reason": "WorkflowStuck"});
    assert_eq!(ask(&client, "POST", "/apis/events.k8s.io/v1/namespaces/team-00/events", event).await.0, 201);
    let requests = api.requests();
    assert_eq!(
        (requests.of("patch workflowpolicies/status"), requests.of("create events"), requests.writes.len()),
        (1, 1, 3)
    );
    assert_eq!(requests.most_writes_in(60_000), 3);
}
