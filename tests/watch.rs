//! The watch against an API server that misbehaves by script: what it asks, what it passes on, how it recovers.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::time::Duration;

use tokio::sync::mpsc::Receiver;
use unstick::api::workflow::EventKind;
use unstick::shell::client;
use unstick::shell::watch::{Fault, Feed, WatchConfig, watch};

mod scripted;
use scripted::{End, Server, Step};

fn object(name: &str, version: u64) -> String {
    format!(r#"{{"metadata":{{"name":"{name}","namespace":"n","resourceVersion":"{version}","uid":"uid-{name}"}}}}"#)
}

fn event(kind: &str, name: &str, version: u64) -> String {
    format!("{{\"type\":\"{kind}\",\"object\":{}}}\n", object(name, version))
}

fn bookmark(version: u64, end: bool) -> String {
    let annotations = if end { r#""annotations":{"k8s.io/initial-events-end":"true"},"# } else { "" };
    format!(
        "{{\"type\":\"BOOKMARK\",\"object\":{{\"metadata\":{{{annotations}\"resourceVersion\":\"{version}\"}}}}}}\n"
    )
}

fn status(code: u16, message: &str) -> String {
    format!(r#"{{"kind":"Status","status":"Failure","code":{code},"message":"{message}","reason":"R"}}"#)
}

fn page(next: &str, version: u64, items: &[String]) -> Step {
    let meta = format!(r#"{{"continue":"{next}","resourceVersion":"{version}"}}"#);
    Step::Answer(200, "", format!(r#"{{"items":[{}],"metadata":{meta}}}"#, items.join(",")))
}

fn config() -> WatchConfig {
    WatchConfig {
        idle: Duration::from_millis(400),
        backoff: (Duration::from_millis(5), Duration::from_millis(40)),
        ..WatchConfig::default()
    }
}

async fn start(config: WatchConfig, steps: Vec<Step>) -> (Server, Receiver<Feed>) {
    let server = Server::start(steps).await;
    let clients = client::build(kube::Config::new(server.url().parse().unwrap())).unwrap();
    (server, watch(clients.watch, config))
}

/// The feed in short words, up to and with `last`; blocks as their events.
async fn until(feed: &mut Receiver<Feed>, last: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    while words.last().is_none_or(|word| word != last) {
        let next = tokio::time::timeout(Duration::from_secs(20), feed.recv()).await;
        let next = next.unwrap_or_else(|_| panic!("waiting for {last} after {words:?}")).unwrap();
        match next {
            Feed::Begin { epoch } => words.push(format!("begin {epoch}")),
            Feed::Synced { epoch } => words.push(format!("synced {epoch}")),
            Feed::Alive => words.push("alive".into()),
            Feed::Skipped { identity, bytes } => {
                words.push(format!("skipped {} over {}", identity.unwrap(), bytes / 1_000_000 * 1_000_000));
            }
            Feed::Down { fault, .. } => words.push(format!("down {}", short(&fault))),
            Feed::Block(block) => words.extend(block.events().map(|event| match event {
                Ok(event) => {
                    let sign = match event.kind {
                        EventKind::Added => '+',
                        EventKind::Modified => '~',
                        EventKind::Deleted => '-',
                    };
                    format!("{sign}{}", event.workflow.meta.name)
                }
                Err(poison) => format!("poison {}", poison.identity.map_or("nobody's".into(), |i| i.to_string())),
            })),
        }
    }
    words
}

fn short(fault: &Fault) -> &'static str {
    match fault {
        Fault::Absent => "absent",
        Fault::Denied(_) => "denied",
        Fault::Expired(_) => "expired",
        Fault::NoStreaming(_) => "no streaming",
        Fault::Busy { .. } => "busy",
        Fault::Refused { .. } => "refused",
        Fault::Silent(_) => "silent",
        Fault::Broken(_) => "broken",
    }
}

const STREAM: &str = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";

/// A streamed list of `names` at version 10, then `more`, then `end`.
fn list(names: &[&str], more: Vec<String>, end: End) -> Step {
    let mut pieces: Vec<String> = names.iter().map(|name| event("ADDED", name, 3)).collect();
    pieces.push(bookmark(10, true));
    pieces.extend(more);
    Step::Stream(pieces, end)
}

#[tokio::test]
async fn streams_the_list_then_events_and_resumes_where_the_server_ended() {
    let steps = vec![
        list(&["a", "b"], vec![event("MODIFIED", "a", 11), event("DELETED", "b", 12)], End::Proper),
        Step::Stream(vec![event("ADDED", "c", 13), bookmark(20, false)], End::Proper),
        Step::Stream(vec![event("ADDED", "d", 21)], End::Silent),
    ];
    let (server, mut feed) = start(config(), steps).await;
    let words = until(&mut feed, "+d").await;
    assert_eq!(words, ["begin 1", "+a", "+b", "synced 1", "~a", "-b", "alive", "+c", "alive", "alive", "+d"]);
    let requests = server.requests();
    let seconds = requests[0].strip_prefix(&format!("/apis/argoproj.io/v1alpha1/workflows?{STREAM}&timeoutSeconds="));
    assert!((2_970..=3_300).contains(&seconds.unwrap().parse::<u32>().unwrap()), "{requests:?}");
    assert!(
        requests[1].contains("?watch=1&allowWatchBookmarks=true&resourceVersion=12&timeoutSeconds="),
        "{requests:?}"
    );
    assert!(requests[2].contains("resourceVersion=20&"), "{requests:?}");
}

#[tokio::test]
async fn one_namespace_is_watched_alone() {
    let config = WatchConfig { namespace: Some("etl".into()), ..config() };
    let (server, mut feed) = start(config, vec![list(&["a"], vec![], End::Silent)]).await;
    until(&mut feed, "synced 1").await;
    assert!(server.requests()[0].starts_with("/apis/argoproj.io/v1alpha1/namespaces/etl/workflows?"));
}

#[tokio::test]
async fn lists_in_pages_where_streaming_is_refused() {
    for refusal in [
        Step::Answer(422, "", status(422, "sendInitialEvents: Forbidden: sendInitialEvents is forbidden for watch")),
        Step::Answer(400, "", status(400, "unknown parameter")),
        Step::Answer(403, "", status(403, "sendInitialEvents is forbidden")),
        // An old server ignores what it doesn't know: a bookmark before the end of the list gives it away.
        Step::Stream(vec![event("ADDED", "a", 1), bookmark(4, false)], End::Silent),
    ] {
        let steps = vec![
            refusal,
            page("to+ken/=", 7, &[object("a", 1), "17".into(), object("b", 2), object("c", 3), object("d", 4)]),
            page("", 9, &[r#"{"metadata":{"name":"e","namespace":"n","uid":""}}"#.into(), object("f", 5)]),
            Step::Stream(vec![event("ADDED", "g", 8)], End::Silent),
        ];
        let (server, mut feed) = start(config(), steps).await;
        let words = until(&mut feed, "+g").await.join(" ");
        let epoch = if words.starts_with("begin 1 +a begin 2") { 2 } else { 1 };
        let list = "+a poison nobody's +b +c +d poison n/e (uid ?) +f";
        assert!(words.ends_with(&format!("begin {epoch} {list} synced {epoch} alive +g")), "{words}");
        let requests = server.requests();
        assert!(requests[1].ends_with("/workflows?limit=5"), "{requests:?}");
        assert!(requests[2].ends_with("?limit=10&continue=to%2Bken%2F%3D"), "{requests:?}");
        assert!(requests[3].contains("&resourceVersion=7&"), "the version of the first page: {requests:?}");
    }
}

#[tokio::test]
async fn pages_adapt_to_their_bytes() {
    let big = |name: &str| {
        format!(r#"{{"metadata":{{"name":"{name}","namespace":"n","uid":"u"}},"x":"{}"}}"#, "x".repeat(30_000))
    };
    let all = |n: usize| (0..n).map(|_| big("a")).collect::<Vec<_>>();
    let steps = vec![
        Step::Answer(422, "", String::new()),
        page("t1", 7, &all(5)),  // 150 KB of 100 KB wanted: fewer
        page("t2", 7, &all(20)), // over four times the limit: given up and asked again for half
        page("t2", 7, &all(1)),
        page("", 7, &all(1)),
    ];
    let (server, mut feed) = start(WatchConfig { page: 100_000, ..config() }, steps).await;
    let words = until(&mut feed, "synced 1").await;
    assert_eq!(words.iter().filter(|w| *w == "+a").count(), 7);
    let limits: Vec<_> = server.requests()[1..].iter().map(|r| r.split_once('?').unwrap().1.to_owned()).collect();
    assert_eq!(limits[..4], ["limit=5", "limit=2&continue=t1", "limit=1&continue=t1", "limit=2&continue=t2"]);
}

#[tokio::test]
async fn an_expired_version_means_a_new_list() {
    let gone = "{\"type\":\"ERROR\",\"object\":{\"code\":410,\"reason\":\"Expired\",\"message\":\"too old\"}}\n";
    let steps = vec![
        list(&["a"], vec![gone.into()], End::Silent),
        list(&["b"], vec![], End::Proper),
        Step::Answer(410, "", status(410, "too old resource version")),
        list(&["c"], vec![], End::Silent),
    ];
    let (server, mut feed) = start(config(), steps).await;
    let words = until(&mut feed, "synced 3").await;
    let expected = "begin 1|+a|synced 1|down expired|begin 2|+b|synced 2|down expired|begin 3|+c|synced 3";
    assert_eq!(words.join("|"), expected);
    assert!(server.requests()[3].contains(STREAM));
}

#[tokio::test]
async fn an_expired_page_token_starts_the_list_again() {
    let steps = vec![
        Step::Answer(422, "", String::new()),
        page("t", 7, &[object("a", 1)]),
        Step::Answer(410, "", status(410, "the provided continue parameter is too old")),
        page("", 8, &[object("a", 1)]),
    ];
    let (server, mut feed) = start(config(), steps).await;
    assert_eq!(until(&mut feed, "synced 2").await, ["begin 1", "+a", "down expired", "begin 2", "+a", "synced 2"]);
    assert!(server.requests()[3].ends_with("?limit=5"), "without the token");
}

#[tokio::test]
async fn a_cut_line_is_not_passed_on_and_comes_again() {
    let torn = event("MODIFIED", "a", 12);
    let steps = vec![
        list(&["a"], vec![event("MODIFIED", "a", 11), torn[..torn.len() / 2].into()], End::Cut),
        Step::Stream(vec![torn], End::Silent),
    ];
    let (server, mut feed) = start(config(), steps).await;
    until(&mut feed, "synced 1").await;
    assert_eq!(until(&mut feed, "alive").await, ["~a", "down broken", "alive"]);
    assert_eq!(until(&mut feed, "~a").await, ["~a"]);
    assert!(server.requests()[1].contains("&resourceVersion=11&"));
}

#[tokio::test]
async fn a_list_that_breaks_off_begins_again_and_then_in_pages() {
    let half = || Step::Stream(vec![event("ADDED", "a", 5)], End::Cut);
    let steps = vec![half(), half(), half(), page("", 9, &[object("a", 5)])];
    let (server, mut feed) = start(config(), steps).await;
    let words = until(&mut feed, "synced 4").await;
    assert_eq!(words.iter().filter(|w| w.starts_with("begin")).count(), 4);
    assert!(!words[..words.len() - 1].iter().any(|w| w.starts_with("synced")), "half a list must not sweep");
    assert!(server.requests()[3].contains("limit="));
}

#[tokio::test]
async fn a_silent_socket_is_left_for_a_new_one() {
    let steps = vec![list(&["a"], vec![], End::Silent), Step::Stream(vec![event("ADDED", "b", 11)], End::Silent)];
    let (server, mut feed) = start(config(), steps).await;
    assert_eq!(until(&mut feed, "+b").await, ["begin 1", "+a", "synced 1", "down silent", "alive", "+b"]);
    assert!(server.requests()[1].contains("&resourceVersion=10&"));
    // The script is over: a server that accepts and never answers.
    assert_eq!(until(&mut feed, "down silent").await.last().unwrap(), "down silent");
}

#[tokio::test]
async fn a_line_over_the_limit_is_skipped_by_name_and_the_stream_goes_on() {
    let long = format!(
        "{{\"type\":\"MODIFIED\",\"object\":{{\"metadata\":{{\"annotations\":{{\"x\":\"{}\"}},\"name\":\"big\",\"namespace\":\"n\",\"resourceVersion\":\"12\",\"uid\":\"ub\"}}}}}}\n",
        "x".repeat(6 << 20)
    );
    let steps = vec![
        list(&["a"], vec![event("ADDED", "b", 11), long.clone(), event("ADDED", "c", 13), long], End::Proper),
        Step::Stream(vec![], End::Silent),
    ];
    let (server, mut feed) = start(config(), steps).await;
    until(&mut feed, "synced 1").await;
    let words = until(&mut feed, "alive").await;
    assert_eq!(
        words,
        ["+b", "skipped n/big (uid ub) over 6000000", "+c", "skipped n/big (uid ub) over 6000000", "alive"]
    );
    assert!(server.requests()[1].contains("&resourceVersion=12&"), "the version of the one skipped");
}

#[tokio::test]
async fn poison_objects_are_named_and_the_others_go_on() {
    let broken = event("MODIFIED", "bad", 12).replace("\"uid\"", "\"x\":,\"uid\"");
    let binary = "{\"type\":\"MODIFIED\",\"object\":{\"metadata\":{\"name\":\"odd\",\"namespace\":7}}}\n".to_owned();
    let news = "{\"type\":\"NEWS\",\"object\":{}}\n".to_owned();
    let more = vec![
        broken,
        binary,
        news,
        "not json at all\n".replace("not", "{\"metadata\":{\"name\":\"x\"}} not"),
        event("ADDED", "c", 14),
    ];
    let (_server, mut feed) = start(config(), vec![list(&["a"], more, End::Silent)]).await;
    until(&mut feed, "synced 1").await;
    let words = until(&mut feed, "+c").await;
    assert_eq!(words, ["poison n/bad (uid uid-bad)", "poison ?/odd (uid ?)", "poison ?/x (uid ?)", "+c"]);
}

#[tokio::test]
async fn never_gives_up() {
    let steps = vec![
        Step::Answer(404, "", "404 page not found".into()),
        Step::Answer(404, "", status(404, "the server could not find the requested resource")),
        Step::Answer(403, "", status(403, "workflows.argoproj.io is forbidden: User cannot watch")),
        Step::Answer(401, "", status(401, "Unauthorized")),
        Step::Answer(500, "", "x".repeat(200_000)),
        Step::Answer(503, "", String::new()),
        Step::Slam,
        Step::Answer(200, "", "{}".into()),
        Step::Answer(200, "", "garbage\n".into()),
        list(&["a"], vec![], End::Silent),
    ];
    let (server, mut feed) = start(config(), steps).await;
    let words = until(&mut feed, "synced 3").await;
    let downs: Vec<_> = words.iter().filter_map(|w| w.strip_prefix("down ")).collect();
    assert_eq!(downs, ["absent", "absent", "denied", "denied", "refused", "refused", "broken", "broken", "broken"]);
    assert_eq!(server.requests().len(), 10);
}

#[tokio::test]
async fn a_busy_server_is_left_alone_as_long_as_it_asks() {
    let mut config = config();
    config.backoff.1 = Duration::from_secs(1);
    let steps = vec![
        Step::Answer(429, "Retry-After: 1\r\n", status(429, "too many requests")),
        list(&["a"], vec![], End::Silent),
    ];
    let begun = std::time::Instant::now();
    let (_server, mut feed) = start(config, steps).await;
    assert_eq!(until(&mut feed, "synced 1").await[..2], ["down busy", "begin 1"]);
    assert!(begun.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn servers_that_end_at_once_are_not_asked_in_a_tight_loop() {
    let mut steps = vec![list(&["a"], vec![], End::Proper)];
    steps.extend((0..200).map(|_| Step::Stream(vec![], End::Proper)));
    let (server, mut feed) = start(config(), steps).await;
    until(&mut feed, "synced 1").await;
    tokio::time::sleep(Duration::from_millis(600)).await;
    let asked = server.requests().len();
    assert!((5..60).contains(&asked), "{asked} requests in 0.6 s, 20 to 40 ms apart at last");
}

#[tokio::test]
async fn bytes_in_flight_are_bounded_while_the_reader_is_slow() {
    let padding = "x".repeat(6_000);
    let line =
        |n: usize| event("ADDED", &format!("w{n}"), 1).replace("\"uid\"", &format!("\"p\":\"{padding}\",\"uid\""));
    let pieces: Vec<String> =
        (0..400).map(|b| (b * 20..b * 20 + 20).map(line).collect()).chain([bookmark(9, true)]).collect();
    let total: usize = pieces.iter().map(String::len).sum();
    assert!(total > 48_000_000);
    let config = WatchConfig { idle: Duration::from_secs(20), ..config() };
    let (server, mut feed) = start(config, vec![Step::Stream(pieces, End::Silent)]).await;
    assert!(matches!(feed.recv().await, Some(Feed::Begin { .. })));
    tokio::time::sleep(Duration::from_millis(800)).await;
    let stalled = server.written();
    // A MiB in blocks, and what the two sockets and the client's reader buffer.
    assert!(stalled < 16_000_000, "{stalled} of {total} left the server though nobody read");
    let words = until(&mut feed, "synced 1").await;
    assert_eq!(words.len(), 8_001);
}

#[tokio::test]
async fn the_watch_ends_with_its_reader() {
    let (server, mut feed) = start(config(), vec![list(&["a"], vec![], End::Silent)]).await;
    until(&mut feed, "synced 1").await;
    drop(feed);
    tokio::time::sleep(Duration::from_millis(900)).await;
    assert_eq!(server.requests().len(), 1, "no reconnect after the idle limit");
}
