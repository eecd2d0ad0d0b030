//! The three places where a program can be killed along a call, each told to the test in time.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use unstick_bed::FaultProxy;
use unstick_bed::faultproxy::{Fault, Phase, Which, plans};

use crate::tiny::{BODY, pair, put};

const LIMIT: Duration = Duration::from_secs(5);

/// A client that keeps its connection, as programs do.
async fn connected(proxy: &FaultProxy) -> TcpStream {
    TcpStream::connect(proxy.url().strip_prefix("http://").unwrap()).await.unwrap()
}

async fn ask(stream: &mut TcpStream, path: &str) {
    let request = format!("PUT {path} HTTP/1.1\r\nhost: h\r\ncontent-length: 1\r\n\r\nx");
    stream.write_all(request.as_bytes()).await.unwrap();
}

/// What is there to read right now; `None` when the connection is closed.
async fn read(stream: &mut TcpStream) -> Option<String> {
    let mut buffer = [0; 4096];
    match tokio::time::timeout(Duration::from_millis(200), stream.read(&mut buffer)).await {
        Err(_) => Some(String::new()),
        Ok(Ok(0) | Err(_)) => None,
        Ok(Ok(n)) => Some(String::from_utf8_lossy(&buffer[..n]).into_owned()),
    }
}

#[tokio::test]
async fn before_it_is_forwarded() {
    let (tiny, script, proxy) = pair().await;
    let mut hold = script.hold(Which::put("/b/k").nth(2), Phase::BeforeForward);
    put(&proxy, "/b/k", "x").await;
    let mut client = connected(&proxy).await;
    ask(&mut client, "/b/k").await;
    let standing = hold.reached(LIMIT).await.unwrap();
    assert_eq!((standing.call.path.as_str(), standing.call.server_status), ("/b/k", None));
    assert_eq!(read(&mut client).await.unwrap(), "");
    assert_eq!(tiny.asked().len(), 1, "it was forwarded");
    standing.abandon();
    assert_eq!(read(&mut client).await, None);
    assert_eq!(tiny.asked().len(), 1, "it was forwarded after all");
    // The next one isn't the second.
    put(&proxy, "/b/k", "x").await;
    assert_eq!(tiny.asked().len(), 2);
}

#[tokio::test]
async fn committed_with_the_reply_withheld() {
    let (tiny, script, proxy) = pair().await;
    let mut hold = script.hold(Which::put("*"), Phase::Committed);
    let mut client = connected(&proxy).await;
    ask(&mut client, "/b/k").await;
    let standing = hold.reached(LIMIT).await.unwrap();
    assert_eq!(standing.call.server_status, Some(200));
    assert_eq!(tiny.asked().len(), 1);
    assert_eq!(read(&mut client).await.unwrap(), "");
    standing.proceed().unwrap();
    assert!(read(&mut client).await.unwrap().ends_with(BODY));
}

#[tokio::test]
async fn after_the_reply_nothing_else_goes_through() {
    let (tiny, script, proxy) = pair().await;
    // A second proxy of the same script stands still, too.
    let beside = FaultProxy::start("beside", &tiny.endpoint, &script).await.unwrap();
    let mut hold = script.hold(Which::put("*").nth(1), Phase::AfterReply);
    let mut client = connected(&proxy).await;
    ask(&mut client, "/b/k").await;
    let standing = hold.reached(LIMIT).await.unwrap();
    assert_eq!(standing.call.phase, Phase::AfterReply);
    // All of it is in the client's hands the moment the test is told.
    let mut buffer = [0; 4096];
    let n = client.try_read(&mut buffer).unwrap();
    assert!(String::from_utf8_lossy(&buffer[..n]).ends_with(BODY));
    let mut other = connected(&beside).await;
    ask(&mut client, "/b/next").await;
    ask(&mut other, "/b/beside").await;
    assert_eq!((read(&mut client).await.unwrap().as_str(), read(&mut other).await.unwrap().as_str()), ("", ""));
    assert_eq!(tiny.asked().len(), 1);
    standing.proceed().unwrap();
    assert!(read(&mut client).await.unwrap().ends_with(BODY));
    assert!(read(&mut other).await.unwrap().ends_with(BODY));
    assert_eq!(tiny.asked().len(), 3);
}

#[tokio::test]
async fn what_a_killed_program_asked_last_never_arrives() {
    let (tiny, script, proxy) = pair().await;
    let mut hold = script.hold(Which::put("*").nth(1), Phase::AfterReply);
    let mut client = connected(&proxy).await;
    ask(&mut client, "/b/k").await;
    let standing = hold.reached(LIMIT).await.unwrap();
    read(&mut client).await;
    ask(&mut client, "/b/next").await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    standing.abandon();
    // Also where the program's end isn't noticed at once.
    assert_eq!(read(&mut client).await, None);
    // Whoever comes afterwards is served.
    put(&proxy, "/b/again", "x").await;
    let paths: Vec<String> = tiny.asked().into_iter().map(|(line, _)| line).collect();
    assert_eq!(paths, ["PUT /b/k h", "PUT /b/again s3.example.com"]);
}

#[tokio::test]
async fn a_hold_that_nobody_comes_to_says_who_came() {
    let (_tiny, script, proxy) = pair().await;
    let mut hold = script.hold(Which::delete("*"), Phase::Committed);
    put(&proxy, "/b/k", "x").await;
    let said = hold.reached(Duration::from_millis(50)).await.unwrap_err().to_string();
    assert!(said.contains("tiny PUT /b/k"), "{said}");
}

/// A reply without a body is one, too.
#[tokio::test]
async fn after_a_reply_without_a_body() {
    let (_tiny, script, proxy) = pair().await;
    let mut hold = script.hold(Which::head("*"), Phase::AfterReply);
    let mut client = connected(&proxy).await;
    client.write_all(b"HEAD /b/k HTTP/1.1\r\nhost: h\r\n\r\n").await.unwrap();
    let standing = hold.reached(LIMIT).await.unwrap();
    assert!(read(&mut client).await.unwrap().starts_with("HTTP/1.1 200"));
    standing.proceed().unwrap();
}

/// It counts when it has left, not when it is about to.
#[tokio::test]
async fn a_reply_that_nobody_reads_has_not_been_sent() {
    let (_tiny, script, proxy) = pair().await;
    script.add(Which::any(), Fault::OtherBody(vec![b'x'; 32 << 20].into()));
    let mut hold = script.hold(Which::any(), Phase::AfterReply);
    let mut client = connected(&proxy).await;
    ask(&mut client, "/b/k").await;
    assert!(hold.reached(Duration::from_millis(300)).await.is_err());
    let reading = async { while read(&mut client).await.is_some_and(|text| !text.is_empty()) {} };
    let (standing, ()) = tokio::join!(hold.reached(LIMIT), reading);
    standing.unwrap().proceed().unwrap();
    // Nor one that is only half out.
    script.clear();
    script.add(Which::any(), Fault::Drip { bytes_per_second: 20 });
    let mut hold = script.hold(Which::any(), Phase::AfterReply);
    ask(&mut client, "/b/k").await;
    assert!(hold.reached(Duration::from_millis(300)).await.is_err());
    hold.reached(LIMIT).await.unwrap().proceed().unwrap();
}

/// A program of three calls has nine places to be killed at, and each is reached.
#[tokio::test]
async fn a_record_makes_plans() {
    const CALLS: [&str; 3] = ["/b/run-1.gz", "/b/run-1.gz", "/b/index"];
    let (_tiny, script, proxy) = pair().await;
    for path in CALLS {
        put(&proxy, path, "x").await;
    }
    let site = |call: &unstick_bed::faultproxy::Call| {
        Some(if call.path.contains("run-") { "/b/*.gz".to_owned() } else { call.path.clone() })
    };
    let plans = plans(&script.calls(), site);
    assert_eq!(plans.len(), 9);
    assert_eq!(plans[4].name, "tiny PUT /b/*.gz #2 Committed");
    for (n, plan) in plans.iter().enumerate() {
        script.forget();
        let mut hold = plan.hold(&script);
        let mut client = connected(&proxy).await;
        let mut standing = None;
        for path in CALLS {
            // Another run of the program has other names.
            ask(&mut client, &path.replace("run-1", "run-2")).await;
            if let Ok(found) = hold.reached(Duration::from_millis(100)).await {
                standing = Some(found);
                break;
            }
            read(&mut client).await;
        }
        let standing = standing.unwrap_or_else(|| panic!("{} was not reached", plan.name));
        assert_eq!((script.calls().len(), standing.call.phase), (n / 3 + 1, plan.phase), "{}", plan.name);
        drop(client);
        standing.abandon();
    }
}

#[tokio::test]
async fn in_step_the_first_waits_for_the_second() {
    let (tiny, script, proxy) = pair().await;
    let step = script.in_step(2, LIMIT, |call| call.path.starts_with("/b/"));
    let (mut one, mut two) = (connected(&proxy).await, connected(&proxy).await);
    ask(&mut one, "/b/k").await;
    assert_eq!(read(&mut one).await.unwrap(), "");
    assert!(tiny.asked().is_empty(), "it did not wait");
    // Another call is no company, and a call elsewhere waits for nobody.
    put(&proxy, "/c", "x").await;
    ask(&mut two, "/b/l").await;
    assert_eq!(read(&mut two).await.unwrap(), "");
    let mut three = connected(&proxy).await;
    ask(&mut three, "/b/k").await;
    for client in [&mut one, &mut three] {
        assert!(read(client).await.unwrap().starts_with("HTTP/1.1 200"));
    }
    assert_eq!(tiny.asked().len(), 3);
    // A third is the first of the next two; all go on when the value is dropped.
    ask(&mut one, "/b/k").await;
    assert_eq!(read(&mut one).await.unwrap(), "");
    drop(step);
    for client in [&mut one, &mut two] {
        assert!(read(client).await.unwrap().starts_with("HTTP/1.1 200"));
    }
}

#[tokio::test]
async fn in_step_nobody_waits_for_ever() {
    let (tiny, script, proxy) = pair().await;
    let _step = script.in_step(2, Duration::from_millis(300), |_| true);
    let mut client = connected(&proxy).await;
    ask(&mut client, "/b/k").await;
    assert_eq!(read(&mut client).await.unwrap(), "");
    assert!(tiny.asked().is_empty(), "it did not wait");
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(read(&mut client).await.unwrap().starts_with("HTTP/1.1 200"));
}
