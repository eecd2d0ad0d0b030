//! The AWS SDK by way of the proxy before versitygw and `MinIO`: all well without faults, and each fault seen as what it is.

use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use unstick_bed::faultproxy::{Answer, AwsError, Call, Fault, FaultProxy, Phase, Script, Which};
use unstick_bed::{S3Kind, S3Server};

struct Stage {
    server: S3Server,
    script: Script,
    client: Client,
    _proxy: FaultProxy,
}

impl Stage {
    async fn start(kind: S3Kind) -> Self {
        let server = S3Server::start(kind).await.unwrap();
        server.create_bucket("bucket").await.unwrap();
        let script = Script::new();
        let proxy = FaultProxy::start("s3", &server.endpoint, &script).await.unwrap();
        let client = server.client_at(&proxy.url());
        Self { server, script, client, _proxy: proxy }
    }

    /// `new`, or in short what went wrong.
    async fn put(&self, key: &str, body: &str) -> Result<(), String> {
        let put = self.client.put_object().bucket("bucket").key(key).if_none_match("*").metadata("uid", "u");
        put.body(body.as_bytes().to_vec().into()).send().await.map(drop).map_err(|e| short(&e))
    }

    async fn get(&self, key: &str) -> Result<String, String> {
        let answer = self.client.get_object().bucket("bucket").key(key).send().await.map_err(|e| short(&e))?;
        let body = answer.body.collect().await.map_err(|e| format!("body: {e}"))?;
        Ok(String::from_utf8_lossy(&body.into_bytes()).into_owned())
    }

    async fn there(&self, key: &str) -> Option<String> {
        let object = self.server.read("bucket", key).await.unwrap()?;
        Some(String::from_utf8(object.bytes).unwrap())
    }
}

fn short<E: ProvideErrorMetadata + std::error::Error + 'static>(error: &SdkError<E>) -> String {
    match error {
        SdkError::ServiceError(e) => format!("{} {}", e.raw().status(), e.err().code().unwrap_or("-")),
        SdkError::TimeoutError(_) => "timeout".to_owned(),
        SdkError::DispatchFailure(e) if e.is_timeout() => "timeout".to_owned(),
        SdkError::DispatchFailure(e) if e.is_io() || e.is_other() => "broken".to_owned(),
        other => format!("{}", DisplayErrorContext(other)),
    }
}

async fn fault_free(stage: &Stage) {
    stage.put("w/ns/run one.json.gz", "first").await.unwrap();
    assert_eq!(stage.put("w/ns/run one.json.gz", "second").await, Err("412 PreconditionFailed".to_owned()));
    assert_eq!(stage.get("w/ns/run one.json.gz").await.as_deref(), Ok("first"));
    assert_eq!(stage.get("w/ns/none").await, Err("404 NoSuchKey".to_owned()));
    let head = stage.client.head_object().bucket("bucket").key("w/ns/run one.json.gz").send().await.unwrap();
    assert_eq!((head.content_length(), head.metadata().unwrap()["uid"].as_str()), (Some(5), "u"));
    let list = stage.client.list_objects_v2().bucket("bucket").prefix("w/").send().await.unwrap();
    assert_eq!(list.contents().len(), 1);
    // A body of several megabytes, which the SDK announces before it sends it.
    let large = "x".repeat(3 << 20);
    stage.put("large", &large).await.unwrap();
    assert!(stage.get("large").await.unwrap() == large);
    let calls = stage.script.calls();
    assert_eq!(calls.len(), 8, "{}", stage.script.tail(20));
    assert_eq!(calls[0].site(), "s3 PUT /bucket/w/ns/run one.json.gz");
    let whole = |call: &Call| call.status == call.server_status && call.phase == Phase::AfterReply;
    assert!(calls.iter().all(whole), "{}", stage.script.tail(20));
}

async fn answers(stage: &Stage) {
    stage.put("there", "body").await.unwrap();
    for error in [
        AwsError::InternalError,
        AwsError::SlowDown,
        AwsError::AccessDenied,
        AwsError::NoSuchBucket,
        AwsError::NoSuchKey,
        AwsError::PreconditionFailed,
        AwsError::ConditionalRequestConflict,
        AwsError::RequestTimeTooSkewed,
        AwsError::ExpiredToken,
        AwsError::InvalidObjectState,
        AwsError::WrongRegion,
        AwsError::NotImplemented,
    ] {
        let rule = stage.script.add(Which::any(), error);
        let expected = Err(format!("{} {}", error.status(), error.code()));
        assert_eq!(stage.put("new", "x").await, expected);
        assert_eq!(stage.get("there").await.map(drop), expected);
        assert_eq!(rule.remove(), 2);
    }
    assert_eq!(stage.there("new").await, None, "an answer was forwarded");
    assert_eq!(stage.get("there").await.as_deref(), Ok("body"));
    // Error after the commit, and inside a 200.
    let rule = stage.script.add(Which::put("*"), Fault::AnswerAfterCommit(Answer::Aws(AwsError::InternalError)));
    assert_eq!(stage.put("after", "x").await, Err("500 InternalError".to_owned()));
    assert_eq!((rule.remove(), stage.there("after").await.as_deref()), (1, Some("x")));
    let rule = stage.script.add(Which::put("*"), Fault::Answer(Answer::AwsInside200(AwsError::InternalError)));
    assert_eq!(stage.put("inside", "x").await, Err("200 InternalError".to_owned()));
    assert_eq!((rule.remove(), stage.there("inside").await), (1, None));
}

async fn networks(stage: &Stage) {
    stage.put("net", "0123456789").await.unwrap();
    let during = async |fault: Fault| {
        let rule = stage.script.add(Which::any(), fault);
        let seen = tokio::time::timeout(Duration::from_millis(1500), stage.get("net")).await;
        assert_eq!(rule.remove(), 1);
        seen.unwrap_or_else(|_| Err("timeout".to_owned()))
    };
    assert_eq!(during(Fault::Refuse).await, Err("broken".to_owned()));
    assert_eq!(during(Fault::BlackHole).await, Err("timeout".to_owned()));
    assert_eq!(during(Fault::CloseBeforeForward).await, Err("broken".to_owned()));
    assert_eq!(during(Fault::LoseReply).await, Err("broken".to_owned()));
    assert_eq!(during(Fault::Drip { bytes_per_second: 2 }).await, Err("timeout".to_owned()));
    assert!(during(Fault::Truncate { keep: 4 }).await.unwrap_err().starts_with("body: "));
    // What HTTP can't tell arrives as if all were well: only a comparison finds it.
    assert_eq!(during(Fault::Shorten { keep: 4 }).await.as_deref(), Ok("0123"));
    assert_eq!(during(Fault::FlipByte { at: 0 }).await.as_deref(), Ok("1123456789"));
    assert_eq!(during(Fault::OtherBody("other".into())).await.as_deref(), Ok("other"));
    assert_eq!(stage.get("net").await.as_deref(), Ok("0123456789"), "a fault outlived its rule");
    // A put whose reply is lost is there; one that was cut off before isn't.
    let rule = stage.script.add(Which::put("*"), Fault::LoseReply);
    assert_eq!(stage.put("lost", "x").await, Err("broken".to_owned()));
    rule.remove();
    assert_eq!(stage.there("lost").await.as_deref(), Some("x"));
    assert_eq!(stage.put("lost", "x").await, Err("412 PreconditionFailed".to_owned()));
    stage.script.add(Which::put("*"), Fault::CloseBeforeForward);
    assert_eq!(stage.put("cut", "x").await, Err("broken".to_owned()));
    stage.script.clear();
    assert_eq!(stage.there("cut").await, None);
    stage.put("cut", "x").await.unwrap();
}

async fn all(kind: S3Kind) {
    let stage = Stage::start(kind).await;
    fault_free(&stage).await;
    answers(&stage).await;
    networks(&stage).await;
}

#[tokio::test]
async fn before_versitygw() {
    all(S3Kind::Versitygw).await;
}

#[tokio::test]
async fn before_minio() {
    all(S3Kind::Minio).await;
}
