//! The program itself against a bucket: what a person is told.

use std::process::Command;

use crate::answers::{Answer, Asked, Server, refuse, say};
use crate::keeping::kept_in;
use crate::memory::Memory;
use crate::runs::done;

const KEY: &str = "workflow-archives/etl/load/20261121_101500_3f9a1c04be12.json.gz";

/// Exit code, standard output and standard error.
fn unstick(server: &Server, line: &str, with_credentials: bool) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_unstick"));
    command
        .arg("archive")
        .args(line.split(' '))
        .args(["--location", "s3://bucket/workflow-archives", "--endpoint", &format!("http://{}", server.address)])
        .env_clear()
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("AWS_CONFIG_FILE", "/nowhere")
        .env("AWS_SHARED_CREDENTIALS_FILE", "/nowhere");
    if with_credentials {
        command.env("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE1234").env("AWS_SECRET_ACCESS_KEY", "hush");
    }
    let done = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (done.status.code().unwrap(), text(done.stdout), text(done.stderr))
}

/// A bucket with one archive, in a class that can't be read.
fn frozen(asked: &Asked) -> Answer {
    if asked.target.contains("list-type=2") {
        let inside = if asked.target.contains("index") {
            String::new()
        } else {
            format!("<Contents><Key>{KEY}</Key><Size>700</Size><StorageClass>GLACIER</StorageClass></Contents>")
        };
        return say(200, format!("<ListBucketResult><IsTruncated>false</IsTruncated>{inside}</ListBucketResult>"));
    }
    if asked.target.contains(KEY) {
        refuse(403, "InvalidObjectState", "The operation is not valid for the object's storage class")
    } else {
        refuse(404, "NoSuchKey", "none")
    }
}

#[test]
fn what_is_cold_is_named_as_such_with_the_request_to_make() {
    let server = Server::start(frozen);
    for command in ["download etl/load", "restore etl/load"] {
        let (code, out, err) = unstick(&server, command, true);
        assert_eq!((code, out.as_str()), (3, ""), "{command}: {err}");
        assert!(err.contains("is there, in a storage class that has to be restored first (GLACIER)"), "{err}");
        assert!(
            err.contains(&format!("aws s3api restore-object --bucket bucket --key {KEY} --restore-request")),
            "{err}"
        );
    }
    let (code, out, err) = unstick(&server, "verify --all", true);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("Cold") && out.contains("1 of 1 archive read: 0 fine, 0 not, 1 cold"), "{out}");
    let (code, out, _) = unstick(&server, "get etl/load", true);
    assert!(code == 0 && out.contains("GLACIER"), "{out}");
    let (code, out, err) = unstick(&server, "list -n etl -o name", true);
    assert_eq!((code, out.as_str()), (0, "-n etl load --date 20261121_101500\n"), "{err}");
}

#[test]
fn a_bucket_that_refuses_is_told_with_what_can_be_done() {
    for (status, code, words) in [
        (404, "NoSuchBucket", "create the bucket"),
        (403, "AccessDenied", "allow s3:ListBucket on the bucket"),
        (403, "RequestTimeTooSkewed", "set the clock of this machine"),
        (301, "PermanentRedirect", "set the region of the location"),
        (400, "ExpiredToken", "the session token has expired"),
    ] {
        let server = Server::start(move |_| refuse(status, code, "made up"));
        for command in ["list", "get etl/load", "verify", "reindex"] {
            let (exit, out, err) = unstick(&server, command, true);
            assert_eq!((exit, out.as_str()), (3, ""), "{command}: {err}");
            assert!(err.contains(code) && err.contains(words) && !err.contains("hush"), "{command}: {err}");
        }
    }
}

#[test]
fn without_credentials_it_says_so_and_sends_nothing() {
    let server = Server::start(|_| say(200, ""));
    let (code, _, err) = unstick(&server, "list", false);
    assert_eq!(code, 3, "{err}");
    assert!(err.contains("NoCredentials: set credentials as the AWS tools take them"), "{err}");
    assert!(server.asked().is_empty());
}

/// A run is archived between the two lists that `verify` makes: it is in one only, and whole.
#[test]
fn what_is_archived_while_verify_lists_is_not_missing() {
    let memory = Memory::new();
    let kept = kept_in(&memory, &done()).unwrap();
    for listed in [kept.key.clone(), kept.row.manifest_key.clone()] {
        for there in [true, false] {
            let (objects, listed_there) = (memory.objects.lock().unwrap().clone(), listed.clone());
            let server = Server::start(move |asked| {
                let target = asked.target.replace("%2F", "/");
                if target.contains("list-type=2") {
                    let prefix = target.split("prefix=").nth(1).unwrap().split('&').next().unwrap();
                    let inside = if listed_there.starts_with(prefix) {
                        format!("<Contents><Key>{listed_there}</Key><Size>700</Size></Contents>")
                    } else {
                        String::new()
                    };
                    let list = format!("<ListBucketResult><IsTruncated>false</IsTruncated>{inside}</ListBucketResult>");
                    return say(200, list);
                }
                let key = target.trim_start_matches("/bucket/").split('?').next().unwrap();
                match objects.get(key).filter(|_| there || key == listed_there) {
                    Some(object) => Answer::Say(200, Vec::new(), object.bytes.to_vec()),
                    None => refuse(404, "NoSuchKey", "none"),
                }
            });
            let (code, out, err) = unstick(&server, "verify --all", true);
            let wanted = match (there, listed == kept.key) {
                (true, _) => (0, "1 fine, 0 not\n"),
                (false, true) => (0, "0 fine, 0 not, 1 without a manifest\n"),
                (false, false) => (1, "0 fine, 1 not\n"),
            };
            assert_eq!(code, wanted.0, "{listed} {there}: {out}{err}");
            assert!(out.ends_with(wanted.1), "{listed} {there}: {out}{err}");
        }
    }
}

/// A bucket keeps archives for seven years unless it is said: what is gone after that isn't told as lost.
#[test]
fn what_a_bucket_has_let_go_after_its_time_is_expired() {
    let memory = Memory::new();
    let kept = kept_in(&memory, &done()).unwrap();
    let mut objects = memory.objects.lock().unwrap().clone();
    objects.remove(&kept.key);
    let manifest = String::from_utf8(objects[&kept.row.manifest_key].bytes.to_vec()).unwrap();
    for (archived_at, code, words) in [
        ("2016-11-22T08:00:00Z", 0, "0 fine, 0 not, 1 expired by the bucket's lifecycle\n"),
        ("2099-11-22T08:00:00Z", 1, "0 fine, 1 not\n"),
    ] {
        let manifest = manifest.replace("2026-11-22T08:00:00Z", archived_at);
        assert!(manifest.contains(archived_at));
        let key = kept.row.manifest_key.clone();
        let server = Server::start(move |asked| {
            let target = asked.target.replace("%2F", "/");
            if target.contains("list-type=2") {
                let inside = if target.contains("-index/manifests") {
                    format!("<Contents><Key>{key}</Key><Size>700</Size></Contents>")
                } else {
                    String::new()
                };
                return say(
                    200,
                    format!("<ListBucketResult><IsTruncated>false</IsTruncated>{inside}</ListBucketResult>"),
                );
            }
            if target.contains(&key) { say(200, manifest.clone()) } else { refuse(404, "NoSuchKey", "none") }
        });
        let (exit, out, err) = unstick(&server, "verify --all", true);
        assert_eq!(exit, code, "{archived_at}: {out}{err}");
        assert!(out.ends_with(words), "{archived_at}: {out}{err}");
        let name = kept.key.split('/').skip(1).take(2).collect::<Vec<_>>().join("/");
        let (exit, out, err) = unstick(&server, &format!("get {name}"), true);
        let (wanted, said) = if code == 0 { (0, &out) } else { (3, &err) };
        let words = if code == 0 { "expired by the bucket's lifecycle" } else { "was deleted, or is lost" };
        assert!(exit == wanted && said.contains(words), "{archived_at}: {out}{err}");
    }
}
