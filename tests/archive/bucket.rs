//! The client of S3 against a server that answers as told: what is sent, and what each answer is taken for.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use unstick::archive::store::s3::{Encryption, Limits, S3, S3Credentials, S3Settings};
use unstick::archive::store::{Bytes, Call, Fault, List, Meta, Put, Store, StoreError};

use crate::answers::{Answer, Server, refuse, say};
use crate::keeping::wait;

const KEY: &str = "workflow-archives/etl/load/20261121_101500_3f9a1c04be12.json.gz";

fn settings(server: &Server) -> S3Settings {
    let second = Duration::from_secs(1);
    S3Settings {
        bucket: "bucket".into(),
        prefix: "workflow-archives".into(),
        region: "eu-central-1".into(),
        endpoint: format!("http://{}", server.address),
        force_path_style: true,
        credentials: Some(S3Credentials {
            access_key_id: "AKIAEXAMPLE1234".into(),
            secret_access_key: "secret".into(),
            session_token: None,
        }),
        limits: Limits { connect: second, attempt: second, call: 2 * second, attempts: 1 },
        ..S3Settings::default()
    }
}

fn connected(server: &Server) -> S3 {
    wait(S3::connect(settings(server))).unwrap()
}

fn put(store: &S3) -> Result<Put, StoreError> {
    let meta: Meta = [("uid".to_owned(), "u-1".to_owned())].into();
    wait(store.put_new(KEY, Bytes::from_static(b"packed"), &meta))
}

#[test]
fn a_put_sends_what_the_location_says() {
    let server = Server::start(|_| say(200, ""));
    let full = S3Settings {
        encryption: Encryption::Kms("key-1".into()),
        storage_class: "STANDARD_IA".into(),
        tags: [("team".to_owned(), "a b".to_owned())].into(),
        ..settings(&server)
    };
    let store = wait(S3::connect(full)).unwrap();
    assert_eq!(put(&store).unwrap(), Put::Created { version_id: None });
    let asked = server.asked().pop().unwrap();
    assert_eq!(
        (asked.method.as_str(), asked.target.split('?').next().unwrap()),
        ("PUT", format!("/bucket/{KEY}").as_str())
    );
    for (name, value) in [
        ("if-none-match", "*"),
        ("x-amz-meta-uid", "u-1"),
        ("x-amz-storage-class", "STANDARD_IA"),
        ("x-amz-server-side-encryption", "aws:kms"),
        ("x-amz-server-side-encryption-aws-kms-key-id", "key-1"),
        ("x-amz-tagging", "team=a%20b"),
        ("content-length", "6"),
        ("content-type", "application/gzip"),
    ] {
        assert_eq!(asked.header(name), Some(value), "{name}");
    }
    // Stores that aren't AWS's would store the framing, or refuse it.
    assert_eq!((asked.body.as_slice(), asked.header("content-encoding")), (&b"packed"[..], None));
    assert!(!asked.headers.iter().any(|(n, _)| n.starts_with("x-amz-checksum") || n == "x-amz-trailer"), "{asked:?}");
    let index = "workflow-archives-index/manifests/etl/load/20261121_101500_3f9a1c04be12.manifest.json";
    wait(store.put_new(index, Bytes::from_static(b"{}"), &Meta::new())).unwrap();
    let asked = server.asked().pop().unwrap();
    assert_eq!(asked.header("x-amz-storage-class"), None, "the index has to be readable at any time");
    assert_eq!(asked.header("content-type"), Some("application/json"));
}

#[test]
fn without_the_condition_it_is_looked_first_and_what_is_there_stays() {
    for there in [false, true] {
        let server = Server::start(move |asked| say(if asked.method == "HEAD" && !there { 404 } else { 200 }, ""));
        let asking = connected(&server);
        assert!(!asking.looks_first());
        let plain = asking.without_condition().unwrap();
        assert!(plain.looks_first() && plain.fingerprint() == asking.fingerprint());
        let done = wait(plain.put_new(KEY, Bytes::from_static(b"packed"), &Meta::new())).unwrap();
        assert_eq!(done, if there { Put::Exists } else { Put::Created { version_id: None } });
        let asked = server.asked();
        let methods: Vec<&str> = asked.iter().map(|a| a.method.as_str()).collect();
        assert_eq!(methods, if there { vec!["HEAD"] } else { vec!["HEAD", "PUT"] });
        assert!(asked.iter().all(|a| a.header("if-none-match").is_none()));
    }
    // Whoever can't look doesn't put.
    let server = Server::start(|asked| if asked.method == "HEAD" { refuse(403, "", "") } else { say(200, "") });
    let plain = connected(&server).without_condition().unwrap();
    assert!(wait(plain.put_new(KEY, Bytes::from_static(b"packed"), &Meta::new())).is_err());
    assert_eq!(server.asked().len(), 1);
}

#[test]
fn what_is_there_or_raced_is_no_error_and_no_success() {
    for (answer, wanted) in [
        (refuse(412, "PreconditionFailed", "x"), Put::Exists),
        (refuse(412, "", ""), Put::Exists),
        (refuse(409, "ConditionalRequestConflict", "x"), Put::Raced),
        (refuse(409, "OperationAborted", "x"), Put::Raced),
    ] {
        let server = Server::start(move |_| answer.clone());
        assert_eq!(put(&connected(&server)).unwrap(), wanted);
    }
    let server = Server::start(|_| Answer::Say(200, vec![("x-amz-version-id", "v7".into())], Vec::new()));
    assert_eq!(put(&connected(&server)).unwrap(), Put::Created { version_id: Some("v7".into()) });
}

/// Every refusal AWS and others have, for every call: a reason, never `None` and never success.
#[test]
fn refusals_are_told_apart() {
    for (status, code, wanted) in [
        (404, "NoSuchBucket", Fault::NoSuchBucket),
        (403, "AccessDenied", Fault::AccessDenied(Call::Get)),
        (403, "RequestTimeTooSkewed", Fault::ClockSkew),
        (403, "InvalidAccessKeyId", Fault::BadCredentials),
        (403, "SignatureDoesNotMatch", Fault::BadCredentials),
        (400, "ExpiredToken", Fault::ExpiredCredentials),
        (301, "PermanentRedirect", Fault::WrongRegion),
        (400, "AuthorizationHeaderMalformed", Fault::WrongRegion),
        (503, "SlowDown", Fault::Throttled),
        (500, "InternalError", Fault::Server(500)),
        (403, "InvalidObjectState", Fault::Unreadable),
        (400, "XAmzContentSHA256Mismatch", Fault::Corrupt),
    ] {
        let server = Server::start(move |_| refuse(status, code, "made up"));
        let store = connected(&server);
        let refused = wait(store.get(KEY, 1000)).unwrap_err();
        assert_eq!(refused.kind, wanted, "{status} {code}: {refused}");
        assert!(refused.message.contains(code) && refused.message.contains("made up"), "{refused}");
        let put = put(&store).unwrap_err();
        assert_eq!(put.kind.reason(), wanted.reason(), "{status} {code}: {put}");
        let list = wait(store.list(&List { prefix: "workflow-archives/", ..List::default() })).unwrap_err();
        assert_eq!(list.kind.reason(), wanted.reason(), "{status} {code}: {list}");
    }
    for (status, wanted) in [(403, "AccessDenied"), (500, "ServerError"), (503, "ServerError"), (301, "WrongRegion")] {
        let server = Server::start(move |_| refuse(status, "", ""));
        assert_eq!(wait(connected(&server).head(KEY)).unwrap_err().kind.reason(), wanted, "HEAD {status}");
    }
}

#[test]
fn what_is_not_there_is_none() {
    let server = Server::start(|_| refuse(404, "NoSuchKey", "x"));
    let store = connected(&server);
    assert_eq!(wait(store.get(KEY, 1000)).unwrap(), None);
    assert_eq!(wait(store.head(KEY)).unwrap(), None);
}

#[test]
fn an_object_is_read_with_what_is_said_of_it() {
    let server = Server::start(|asked| {
        let headers = vec![
            ("x-amz-meta-UID", "u-1".to_owned()),
            ("x-amz-version-id", "v7".to_owned()),
            ("x-amz-storage-class", "STANDARD_IA".to_owned()),
        ];
        Answer::Say(200, headers, if asked.method == "HEAD" { Vec::new() } else { b"packed".to_vec() })
    });
    let store = connected(&server);
    let object = wait(store.get(KEY, 6)).unwrap().unwrap();
    assert_eq!((&object.bytes[..], object.version_id.as_deref()), (&b"packed"[..], Some("v7")));
    assert_eq!((object.storage_class.as_deref(), object.meta["uid"].as_str()), (Some("STANDARD_IA"), "u-1"));
    assert_eq!(wait(store.get(KEY, 5)).unwrap_err().kind, Fault::TooLarge);
    assert_eq!(wait(store.head(KEY)).unwrap().unwrap().version_id.as_deref(), Some("v7"));
}

/// Nobody answers, or only half: an error in bounded time.
#[test]
fn silence_and_halves_end_in_time() {
    let cases: [(Answer, &[&str]); 4] = [
        (Answer::HangUp, &["Unreachable"]),
        (Answer::Silence, &["Timeout"]),
        (Answer::Drip, &["Timeout"]),
        (Answer::Short(b"pack".to_vec()), &["Unreachable"]),
    ];
    for (answer, wanted) in cases {
        let server = Server::start(move |_| answer.clone());
        let store = connected(&server);
        let begun = std::time::Instant::now();
        let refused = wait(store.get(KEY, 10_000)).unwrap_err();
        assert!(wanted.contains(&refused.kind.reason()), "{wanted:?}: {refused} {:?}", refused.kind);
        assert!(refused.kind.is_transient());
        assert!(begun.elapsed() < Duration::from_secs(5), "{wanted:?}: {:?}", begun.elapsed());
    }
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let server = Server::start(|_| say(200, ""));
    let store = wait(S3::connect(S3Settings { endpoint: format!("http://{nobody}"), ..settings(&server) })).unwrap();
    assert_eq!(put(&store).unwrap_err().kind, Fault::Unreachable);
    let store = wait(S3::connect(S3Settings { endpoint: format!("https://{}", server.address), ..settings(&server) }));
    let refused = put(&store.unwrap()).unwrap_err();
    assert_eq!(refused.kind, Fault::Tls, "TLS spoken to a server that doesn't: {refused}");
}

/// The SDK tries again by itself: what then is there already may be our own.
#[test]
fn a_retry_after_a_lost_reply_ends_in_exists() {
    let count = AtomicUsize::new(0);
    let server = Server::start(move |_| match count.fetch_add(1, Ordering::SeqCst) {
        0 => Answer::HangUp,
        _ => refuse(412, "PreconditionFailed", "x"),
    });
    let limits = Limits { attempts: 2, ..settings(&server).limits };
    let store = wait(S3::connect(S3Settings { limits, ..settings(&server) })).unwrap();
    assert_eq!(put(&store).unwrap(), Put::Exists);
}

#[test]
fn lists_have_pages_and_folders() {
    let server = Server::start(|asked| {
        let more = !asked.target.contains("continuation-token=next");
        let xml = format!(
            "<ListBucketResult><IsTruncated>{more}</IsTruncated><NextContinuationToken>next</NextContinuationToken>\
             <Contents><Key>a/1</Key><Size>7</Size><StorageClass>GLACIER</StorageClass></Contents>\
             <CommonPrefixes><Prefix>a/b/</Prefix></CommonPrefixes></ListBucketResult>"
        );
        say(200, xml)
    });
    let store = connected(&server);
    let first = wait(store.list(&List { prefix: "a/", after: Some("a/0"), token: None, folders: true })).unwrap();
    assert_eq!((first.next.as_deref(), first.folders.as_slice()), (Some("next"), &["a/b/".to_owned()][..]));
    assert_eq!((first.objects[0].size, first.objects[0].storage_class.as_deref()), (7, Some("GLACIER")));
    let asked = server.asked().pop().unwrap().target;
    assert!(
        asked.contains("prefix=a%2F") && asked.contains("delimiter=%2F") && asked.contains("start-after=a%2F0"),
        "{asked}"
    );
    let last = wait(store.list(&List { prefix: "a/", token: Some("next"), ..List::default() })).unwrap();
    assert_eq!(last.next, None);
}

#[test]
fn half_a_list_is_never_taken_for_the_whole() {
    for (token, fine) in [("", false), ("<NextContinuationToken/>", false)]
        .into_iter()
        .chain([("<NextContinuationToken>t</NextContinuationToken>", true)])
    {
        let server = Server::start(move |_| {
            let xml = format!(
                "<ListBucketResult><IsTruncated>true</IsTruncated>{token}<Contents><Key>a/1</Key></Contents>\
                 </ListBucketResult>"
            );
            say(200, xml)
        });
        let found = wait(connected(&server).list(&List { prefix: "a/", ..List::default() }));
        assert_eq!(found.as_ref().map(|page| page.next.as_deref()).ok(), fine.then_some(Some("t")), "{token}");
        if let Err(error) = found {
            assert!(error.kind == Fault::Unsupported && error.message.contains("there is more"), "{error}");
        }
    }
}

#[test]
fn settings_that_can_not_be_used_are_told_before_anything_is_sent() {
    let server = Server::start(|_| say(200, ""));
    for (bad, words) in [
        (S3Settings { bucket: String::new(), ..settings(&server) }, "names no bucket"),
        (S3Settings { endpoint: "minio:9000".into(), ..settings(&server) }, "must begin with https://"),
        (S3Settings { ca_bundle: Some(b"no pem".to_vec()), ..settings(&server) }, "it has no certificate"),
        (
            S3Settings {
                ca_bundle: Some(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_vec()),
                ..settings(&server)
            },
            "CA bundle can't be used",
        ),
    ] {
        let refused = wait(S3::connect(bad)).map(|_| ()).unwrap_err();
        assert!(refused.kind == Fault::Invalid && refused.message.contains(words), "{refused}");
    }
    assert!(server.asked().is_empty());
}

#[test]
fn the_identity_is_told_without_secrets() {
    let server = Server::start(|_| say(200, ""));
    assert_eq!(wait(connected(&server).identity()).unwrap(), "access key …1234");
}

/// What the SDK resolves decides, not what stands in the environment besides: each case is a process of its own, with the
/// role that EKS names in it.
#[test]
fn the_identity_is_that_of_what_was_resolved() {
    const CHILD: &str = "UNSTICK_TEST_IDENTITY";
    const ROLE: &str = "arn:aws:iam::123456789012:role/writer";
    let server = Server::start(|asked| {
        if asked.method == "POST" {
            let keys = "<AccessKeyId>ASIAROLE7777</AccessKeyId><SecretAccessKey>s</SecretAccessKey>\
                        <SessionToken>t</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration>";
            return say(
                200,
                format!(
                    "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>{keys}\
                     </Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"
                ),
            );
        }
        say(
            200,
            r#"{"AccessKeyId":"ASIAPOD8888","SecretAccessKey":"s","Token":"t","Expiration":"2099-01-01T00:00:00Z"}"#,
        )
    });
    if std::env::var_os(CHILD).is_some() {
        let store = wait(S3::connect(S3Settings { credentials: None, ..settings(&server) })).unwrap();
        println!("identity={}", wait(store.identity()).unwrap_or_else(|e| e.to_string()));
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "token").unwrap();
    let here = format!("http://{}", server.address);
    let keys = [("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE1234"), ("AWS_SECRET_ACCESS_KEY", "hush")];
    let pod = format!("{here}/v1/credentials");
    let container = [("AWS_CONTAINER_CREDENTIALS_FULL_URI", pod.as_str())];
    let web = [("AWS_WEB_IDENTITY_TOKEN_FILE", token.to_str().unwrap()), ("AWS_ENDPOINT_URL_STS", here.as_str())];
    for (environment, wanted) in [
        (&keys[..], "access key …1234".to_owned()),
        (&container[..], "role of the container (access key …8888)".to_owned()),
        (&web[..], format!("{ROLE} (access key …7777)")),
    ] {
        let mut command = std::process::Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "bucket::the_identity_is_that_of_what_was_resolved", "--nocapture"]).env_clear();
        command.env(CHILD, "1").env("AWS_ROLE_ARN", ROLE).env("AWS_EC2_METADATA_DISABLED", "true");
        command.env("AWS_CONFIG_FILE", "/nowhere").env("AWS_SHARED_CREDENTIALS_FILE", "/nowhere");
        let done = command.envs(environment.iter().copied()).output().unwrap();
        let text = String::from_utf8(done.stdout).unwrap();
        let found = text.lines().find_map(|line| line.split_once("identity=")).map(|(_, found)| found);
        assert_eq!(found, Some(wanted.as_str()), "{text}");
    }
}
