//! Every fault before a tiny server: what the client got, what the server was asked, what is on record.

use std::time::{Duration, Instant};

use unstick_bed::faultproxy::{Answer, AwsError, Fault, Phase, Which};

use crate::tiny::{BODY, call, get, pair, put};

#[tokio::test]
async fn without_faults_all_goes_through_as_it_came() {
    let (tiny, script, proxy) = pair().await;
    let got = put(&proxy, "/b/run%20one?x=1", "hello").await;
    assert_eq!((got.status(), got.body(), got.header("etag")), (200, BODY, Some("\"e\"")));
    assert_eq!(tiny.asked(), [("PUT /b/run%20one?x=1 s3.example.com".to_owned(), "hello".to_owned())]);
    let head = call(&proxy, "HEAD /b/k", "", Duration::from_secs(3)).await.unwrap();
    assert_eq!((head.status(), head.body(), head.header("content-length")), (200, "", Some("10")));
    let calls = script.calls();
    assert_eq!(
        calls.iter().map(unstick_bed::faultproxy::Call::site).collect::<Vec<_>>(),
        ["tiny PUT /b/run one", "tiny HEAD /b/k"]
    );
    let first = &calls[0];
    assert_eq!((first.order, first.request_bytes, first.query.as_str()), (0, 5, "x=1"));
    assert_eq!((first.server_status, first.status, first.phase), (Some(200), Some(200), Phase::AfterReply));
    assert!(calls[1].at >= first.at);
}

#[tokio::test]
async fn a_watch_streams() {
    let (_tiny, _, proxy) = pair().await;
    let got = call(&proxy, "GET /watch?watch=1", "", Duration::from_millis(500)).await.unwrap();
    assert!(got.text.contains("line 3") && !got.closed, "{got:?}");
    // Also when something else waits for calls like it.
    let (_tiny, script, proxy) = pair().await;
    script.add(Which::get("/watch"), Fault::Delay(Duration::from_millis(1)));
    let got = call(&proxy, "GET /watch?watch=1", "", Duration::from_millis(500)).await.unwrap();
    assert!(got.text.contains("line 3"), "{got:?}");
}

#[tokio::test]
async fn rules_choose_by_what_and_by_count() {
    let (tiny, script, proxy) = pair().await;
    let second = script.add(Which::put("/b/*.gz").nth(2), AwsError::InternalError);
    let later = script.add(Which::get("*").after(1), AwsError::AccessDenied);
    let mut seen = Vec::new();
    for path in ["/b/a.gz", "/b/a.json", "/b/b.gz", "/b/c.gz"] {
        seen.push(put(&proxy, path, "").await.status());
    }
    for _ in 0..3 {
        seen.push(get(&proxy, "/b/a").await.status());
    }
    assert_eq!(seen, [200, 200, 500, 200, 200, 403, 403]);
    assert_eq!((second.struck(), later.struck(), tiny.asked().len()), (1, 2, 4));
    assert_eq!(later.remove(), 2);
    assert_eq!(get(&proxy, "/b/a").await.status(), 200);
    // By proxy and by query.
    script.clear();
    script.add(Which::any().by("other"), AwsError::SlowDown);
    script.add(Which::get("*").with_query("list-type=2").without_query("prefix=fine"), AwsError::SlowDown);
    assert_eq!(get(&proxy, "/b").await.status(), 200);
    assert_eq!(get(&proxy, "/b?list-type=2&prefix=x").await.status(), 503);
    assert_eq!(get(&proxy, "/b?list-type=2&prefix=fine").await.status(), 200);
}

#[tokio::test]
async fn refused_until_it_ends() {
    let (tiny, script, proxy) = pair().await;
    script.add(Which::get("*"), Fault::Refuse);
    let cut = get(&proxy, "/b/k").await;
    assert!(cut.closed && cut.text.is_empty(), "{cut:?}");
    // Whatever the call: nobody listens.
    let refused = call(&proxy, "PUT /b/k", "", Duration::from_secs(1)).await.unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    script.clear();
    // From this moment on, not some time later.
    assert_eq!(get(&proxy, "/b/k").await.status(), 200);
    assert_eq!(tiny.asked().len(), 1);

    let rule = script.add(Which::put("*"), Fault::Refuse);
    assert!(put(&proxy, "/b/k", "").await.closed);
    assert_eq!(rule.remove(), 1);
    assert_eq!(put(&proxy, "/b/k", "").await.status(), 200);

    proxy.refuse();
    wait_for_closed(&proxy).await;
    proxy.open();
    wait_for_open(&proxy).await;
    proxy.swallow();
    // Until the change has reached the loop that lets connections in.
    tokio::time::sleep(Duration::from_millis(100)).await;
    let got = call(&proxy, "GET /b/k", "", Duration::from_millis(300)).await.unwrap();
    assert!(got.text.is_empty() && !got.closed, "{got:?}");
    proxy.open();
    wait_for_open(&proxy).await;
}

async fn wait_for_open(proxy: &unstick_bed::FaultProxy) {
    let until = Instant::now() + Duration::from_secs(3);
    while !call(proxy, "GET /b/k", "", Duration::from_secs(1)).await.is_ok_and(|got| got.status() == 200) {
        assert!(Instant::now() < until, "it does not open");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn wait_for_closed(proxy: &unstick_bed::FaultProxy) {
    let until = Instant::now() + Duration::from_secs(3);
    while call(proxy, "GET /b/k", "", Duration::from_secs(1)).await.is_ok() {
        assert!(Instant::now() < until, "it does not close");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_black_hole_takes_and_says_nothing() {
    let (tiny, script, proxy) = pair().await;
    script.add(Which::get("*"), Fault::BlackHole);
    let got = call(&proxy, "GET /b/k", "", Duration::from_millis(400)).await.unwrap();
    assert!(got.text.is_empty() && !got.closed, "{got:?}");
    assert!(tiny.asked().is_empty());
}

#[tokio::test]
async fn closed_before_or_after_the_server_knew() {
    let (tiny, script, proxy) = pair().await;
    let rule = script.add(Which::put("*"), Fault::CloseBeforeForward);
    let got = put(&proxy, "/b/k", "x").await;
    assert!(got.closed && got.text.is_empty() && tiny.asked().is_empty(), "{got:?}");
    assert_eq!(rule.remove(), 1);
    script.add(Which::put("*"), Fault::LoseReply);
    let got = put(&proxy, "/b/k", "x").await;
    assert!(got.closed && got.text.is_empty(), "{got:?}");
    assert_eq!(tiny.asked().len(), 1);
    let last = script.calls().pop().unwrap();
    assert_eq!((last.server_status, last.status, last.phase), (Some(200), None, Phase::Committed));
    assert_eq!(last.fault.as_deref(), Some("LoseReply"));
}

#[tokio::test]
async fn slow_ones_take_their_time() {
    let (_tiny, script, proxy) = pair().await;
    let rule = script.add(Which::any(), Fault::Drip { bytes_per_second: 20 });
    let begun = Instant::now();
    let got = get(&proxy, "/b/k").await;
    assert_eq!((got.status(), got.body()), (200, BODY));
    assert!((400..1500).contains(&begun.elapsed().as_millis()), "{:?}", begun.elapsed());
    // What is asked is slow, too.
    let begun = Instant::now();
    assert_eq!(put(&proxy, "/b/k", BODY).await.body(), BODY);
    assert!(begun.elapsed() >= Duration::from_millis(900), "{:?}", begun.elapsed());
    rule.remove();
    script.add(Which::any(), Fault::Delay(Duration::from_millis(200)));
    let begun = Instant::now();
    assert_eq!(get(&proxy, "/b/k").await.body(), BODY);
    assert!(begun.elapsed() >= Duration::from_millis(200));
}

#[tokio::test]
async fn bodies_lie() {
    let (_tiny, script, proxy) = pair().await;
    let seen = async |fault: Fault| {
        let rule = script.add(Which::any(), fault);
        let got = get(&proxy, "/b/k").await;
        assert_eq!(rule.remove(), 1);
        (got.header("content-length").unwrap().to_owned(), got.body().to_owned())
    };
    let expect = |length: &str, body: &str| (length.to_owned(), body.to_owned());
    assert_eq!(seen(Fault::Truncate { keep: 4 }).await, expect("10", "0123"));
    assert_eq!(seen(Fault::Truncate { keep: 0 }).await, expect("10", ""));
    assert_eq!(seen(Fault::Shorten { keep: 4 }).await, expect("4", "0123"));
    assert_eq!(seen(Fault::FlipByte { at: 13 }).await, expect("10", "0122456789"));
    assert_eq!(seen(Fault::OtherBody("other".into())).await, expect("5", "other"));
}

#[tokio::test]
async fn every_answer_of_aws() {
    let (tiny, script, proxy) = pair().await;
    for (error, status) in [
        (AwsError::InternalError, 500),
        (AwsError::SlowDown, 503),
        (AwsError::AccessDenied, 403),
        (AwsError::NoSuchBucket, 404),
        (AwsError::NoSuchKey, 404),
        (AwsError::PreconditionFailed, 412),
        (AwsError::ConditionalRequestConflict, 409),
        (AwsError::RequestTimeTooSkewed, 403),
        (AwsError::ExpiredToken, 400),
        (AwsError::InvalidObjectState, 403),
        (AwsError::InvalidAccessKeyId, 403),
        (AwsError::SignatureDoesNotMatch, 403),
        (AwsError::WrongRegion, 400),
        (AwsError::NotImplemented, 501),
        (AwsError::InvalidStorageClass, 400),
        (AwsError::RequestTimeout, 400),
    ] {
        let rule = script.add(Which::any(), error);
        let got = put(&proxy, "/b/a&b", "x").await;
        assert_eq!((got.status(), got.header("content-type")), (status, Some("application/xml")), "{error:?}");
        assert!(got.body().contains(&format!("<Error><Code>{}</Code><Message>", error.code())), "{got:?}");
        assert!(!got.body().contains("a&b"));
        // A HEAD has no body to say it in.
        let head = call(&proxy, "HEAD /b/k", "", Duration::from_secs(3)).await.unwrap();
        assert_eq!((head.status(), head.body()), (status, ""), "{error:?}");
        rule.remove();
    }
    assert!(tiny.asked().is_empty(), "an answer was forwarded");
    let rule = script.add(Which::any(), Fault::AnswerAfterCommit(Answer::Aws(AwsError::InternalError)));
    assert_eq!(put(&proxy, "/b/k", "x").await.status(), 500);
    assert_eq!((tiny.asked().len(), rule.remove()), (1, 1));
    script.add(Which::any(), Fault::Answer(Answer::AwsInside200(AwsError::InternalError)));
    let got = put(&proxy, "/b/k", "x").await;
    assert!(got.status() == 200 && got.body().contains("<Code>InternalError</Code>"));
    script.clear();
    script.add(Which::any(), Fault::Answer(Answer::Plain(418, "text/plain".into(), "tea".into())));
    let got = get(&proxy, "/b/k").await;
    assert_eq!((got.status(), got.body(), got.header("content-type")), (418, "tea", Some("text/plain")));
}
