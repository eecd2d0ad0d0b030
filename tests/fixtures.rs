//! What real Argo controllers wrote (tests/fixtures) is diagnosed as what it is: one line a file. Each holds twice, a
//! second before the threshold of the built-in policy, when nothing of the kind may be said, and at the threshold.
//!
//! The files of a folder are one cluster: holders of locks are beside those that wait for them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use jiff::Timestamp;
use serde_json::{Value, json};
use unstick::api::default_policy;
use unstick::api::reasons::UnknownReason;
use unstick::api::validate::Context;
use unstick::api::workflow::Workflow;
use unstick::api::workflow::codec::Codec;
use unstick::watchdog::input::{Config, Input, PodSeen};
use unstick::watchdog::report::{Finding, Standing};
use unstick::watchdog::{Watchdog, admit, secs};

/// When each folder is read: after the last of its files was written, before any threshold has passed.
const READ_AT: [(&str, &str); 2] = [("argo-3.7.4", "2026-11-21T09:16:00Z"), ("argo-4.1.2", "2026-11-21T07:25:00Z")];

/// Pods that have finished unnoticed: (folder, workflow, node id, when).
const PODS: [(&str, &str, &str, &str); 3] = [
    ("argo-3.7.4", "lost-result", "lost-result", "2026-11-21T09:14:20Z"),
    ("argo-3.7.4", "lost-result-quick", "lost-result-quick", "2026-11-21T09:14:51Z"),
    ("argo-4.1.2", "result-lost", "result-lost", "2026-11-21T07:18:36Z"),
];

const FINISHED: &str = "finished";

/// File; type/reason or [`FINISHED`]; node; since when; when its threshold passes.
#[rustfmt::skip]
const WRITTEN: &[(&str, &str, &str, &str, &str)] = &[
    ("argo-3.7.4/auto-resume-hour", "Suspended/AutoResumeOverdue", "pause", "2026-11-21T10:14:18Z", "2026-11-23T09:14:18Z"),
    ("argo-3.7.4/compressed", "Suspended/AwaitingResume", "approve", "2026-11-21T09:14:50Z", "2026-11-23T09:14:50Z"),
    ("argo-3.7.4/container-config", "Pending/ContainerConfig", "container-config", "2026-11-21T09:14:18Z", "2026-11-21T10:14:18Z"),
    ("argo-3.7.4/exit-code", FINISHED, "", "", ""),
    ("argo-3.7.4/finalizer", "DeletionBlocked/Finalizer", "", "2026-11-21T09:14:46Z", "2026-11-21T10:14:46Z"),
    ("argo-3.7.4/image-pull", "Pending/ImagePull", "image-pull", "2026-11-21T09:14:18Z", "2026-11-21T10:14:18Z"),
    ("argo-3.7.4/long-running", "NodeRunningTooLong/NodeOverAge", "long-running", "2026-11-21T09:14:18Z", "2026-11-21T15:14:18Z"),
    ("argo-3.7.4/lost-result", "TaskResultLost/ResultIncomplete", "lost-result", "2026-11-21T09:14:20Z", "2026-11-21T09:29:20Z"),
    ("argo-3.7.4/lost-result-quick", "TaskResultLost/ResultIncomplete", "lost-result-quick", "2026-11-21T09:14:51Z", "2026-11-21T09:29:51Z"),
    ("argo-3.7.4/mutex-holder", "NodeRunningTooLong/NodeOverAge", "mutex-holder", "2026-11-21T09:14:16Z", "2026-11-21T15:14:16Z"),
    ("argo-3.7.4/mutex-template", "Pending/WaitingForLock", "deploy", "2026-11-21T09:14:20Z", "2026-11-21T10:14:20Z"),
    ("argo-3.7.4/mutex-workflow", "Pending/WaitingForLock", "", "2026-11-21T09:14:18Z", "2026-11-21T10:14:18Z"),
    ("argo-3.7.4/no-controller", "NotPickedUp/NoController", "", "2026-11-21T09:14:18Z", "2026-11-21T09:24:18Z"),
    ("argo-3.7.4/outputs", FINISHED, "", "", ""),
    ("argo-3.7.4/parallelism-limit", "Pending/ParallelismLimit", "", "2026-11-21T09:14:47Z", "2026-11-21T10:14:47Z"),
    ("argo-3.7.4/pod-pending", "Pending/PodPending", "pod-pending", "2026-11-21T09:14:18Z", "2026-11-21T10:14:18Z"),
    ("argo-3.7.4/quota", "Pending/QuotaExceeded", "quota", "2026-11-21T09:14:47Z", "2026-11-21T10:14:47Z"),
    ("argo-3.7.4/retry-daemon", "Suspended/AwaitingResume", "approve", "2026-11-21T09:14:23Z", "2026-11-23T09:14:23Z"),
    ("argo-3.7.4/semaphore-holder", "NodeRunningTooLong/NodeOverAge", "semaphore-holder", "2026-11-21T09:14:17Z", "2026-11-21T15:14:17Z"),
    ("argo-3.7.4/semaphore-workflow", "Pending/WaitingForLock", "", "2026-11-21T09:14:18Z", "2026-11-21T10:14:18Z"),
    ("argo-3.7.4/spec-suspend", "Suspended/SuspendedBySpec", "", "2026-11-21T09:14:18Z", "2026-11-23T09:14:18Z"),
    ("argo-3.7.4/stopped", FINISHED, "", "", ""),
    ("argo-3.7.4/stopping-exit-handler", "StoppingTooLong/ExitHandlerRunning", "", "2026-11-21T09:14:38Z", "2026-11-21T09:44:38Z"),
    ("argo-3.7.4/stopping-suspended", "StoppingTooLong/ShutdownIgnoredWhileSuspended", "", "2026-11-21T09:14:40Z", "2026-11-21T09:44:40Z"),
    ("argo-3.7.4/succeeded", FINISHED, "", "", ""),
    ("argo-3.7.4/suspended-node", "Suspended/AwaitingResume", "approve", "2026-11-21T09:14:20Z", "2026-11-23T09:14:20Z"),
    ("argo-3.7.4/unschedulable", "Pending/Unschedulable", "unschedulable", "2026-11-21T09:14:18Z", "2026-11-21T10:14:18Z"),
    ("argo-3.7.4/vanish", FINISHED, "", "", ""),
    ("argo-3.7.4/vanish-reported", "NoProgress/NoNodeChange", "", "2026-11-21T09:14:18Z", "2026-11-21T13:14:18Z"),
    ("argo-4.1.2/done-failed", FINISHED, "", "", ""),
    ("argo-4.1.2/done-ok", FINISHED, "", "", ""),
    ("argo-4.1.2/image-typo", "Pending/ImagePull", "image-typo", "2026-11-21T07:18:34Z", "2026-11-21T08:18:34Z"),
    // It waits; the one called waiter holds (see the folder's README).
    ("argo-4.1.2/lock-holder", "Pending/WaitingForLock", "", "2026-11-21T07:18:33Z", "2026-11-21T08:18:33Z"),
    ("argo-4.1.2/lock-waiter", "Suspended/AwaitingResume", "lock-waiter", "2026-11-21T07:18:34Z", "2026-11-23T07:18:34Z"),
    ("argo-4.1.2/result-lost", "TaskResultLost/ResultIncomplete", "result-lost", "2026-11-21T07:18:36Z", "2026-11-21T07:33:36Z"),
    ("argo-4.1.2/review-gate", "Suspended/AwaitingResume", "review", "2026-11-21T07:18:44Z", "2026-11-23T07:18:44Z"),
    ("argo-4.1.2/wide-fan", "Suspended/AwaitingResume", "approve", "2026-11-21T07:18:35Z", "2026-11-23T07:18:35Z"),
    ("argo-4.1.2/wide-fan.brotli", "Suspended/AwaitingResume", "approve", "2026-11-21T07:20:16Z", "2026-11-23T07:20:16Z"),
    ("argo-4.1.2/wide-fan.zstd", "Suspended/AwaitingResume", "approve", "2026-11-21T07:19:36Z", "2026-11-23T07:19:36Z"),
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

fn text(file: &str) -> String {
    std::fs::read_to_string(folder().join(format!("{file}.json"))).unwrap_or_else(|e| panic!("{file}: {e}"))
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap_or_else(|e| panic!("{text:?}: {e}"))
}

fn read_at(file: &str) -> (&'static str, Timestamp) {
    let (folder, when) = READ_AT.iter().find(|(folder, _)| file.starts_with(folder)).unwrap();
    (folder, at(when))
}

/// Whether a finding of `kind`/`reason` says what the row says.
fn says(found: &Finding, what: &str, node: &str, since: &str) -> bool {
    let first = found.detections.first().unwrap();
    format!("{}/{}", first.kind, first.reason) == what && first.node == node && first.since == at(since)
}

/// A watchdog that has read these workflows at `read`, and what time has brought until `now`.
fn read(texts: &[String], pods: &[(&str, &str, &str, &str)], read: Timestamp, now: Timestamp) -> Watchdog {
    let mut dog = Watchdog::new(Config::default(), |_| &[]);
    let policy: Value = serde_saphyr::from_str(default_policy::TEXT).unwrap();
    let seen = admit::policy(&policy, &Context::default()).unwrap();
    dog.handle(Input::Policy(Box::new(seen)), read);
    dog.handle(Input::ListBegin, read);
    for text in texts {
        dog.handle(Input::Workflow(&Workflow::from_json(text).unwrap()), read);
    }
    dog.handle(Input::ListEnd, read);
    for (folder, workflow, node, finished) in pods {
        let namespace = if *folder == "argo-4.1.2" { "default" } else { "etl" }.to_owned();
        let finished = secs(at(finished));
        let (workflow, node_id) = ((*workflow).to_owned(), (*node).to_owned());
        let pod = PodSeen { namespace, pod: format!("{workflow}-pod"), workflow, node_id, finished };
        dog.handle(Input::Pod(pod), read);
    }
    dog.handle(Input::Tick, now);
    dog
}

fn uid(text: &str) -> String {
    Workflow::from_json(text).unwrap().meta.uid.to_string()
}

#[test]
fn every_file_has_its_line() {
    let mut there = BTreeSet::new();
    for version in std::fs::read_dir(folder()).unwrap().map(|e| e.unwrap().path()) {
        for file in std::fs::read_dir(&version).unwrap().map(|e| e.unwrap().path()) {
            let name = file.strip_prefix(folder()).unwrap().to_str().unwrap();
            there.extend(name.strip_suffix(".json").map(str::to_owned));
            let known = name.strip_suffix(".json").or(name.strip_suffix("/README.md"));
            assert!(known.is_some(), "{name} is neither workflow nor README");
        }
    }
    let lines: BTreeSet<String> = WRITTEN.iter().map(|(file, ..)| (*file).to_owned()).collect();
    assert_eq!(lines.len(), WRITTEN.len(), "a file has two lines");
    assert_eq!(there, lines, "left: the files; right: the lines");
}

#[test]
fn what_argo_wrote_is_diagnosed_as_what_it_is() {
    let mut wrong = Vec::new();
    for (file, what, node, since, due) in WRITTEN {
        let (version, written) = read_at(file);
        let beside = WRITTEN.iter().filter(|(f, ..)| f.starts_with(version)).map(|(f, ..)| text(f));
        let (beside, pods): (Vec<_>, Vec<_>) =
            (beside.collect(), PODS.into_iter().filter(|p| p.0 == version).collect());
        let uid = uid(&text(file));
        let seen = |now| read(&beside, &pods, written, now).findings().into_iter().find(|f| f.uid == uid);
        if *what == FINISHED {
            wrong.extend(seen(at("2026-12-24T00:00:00Z")).map(|found| format!("{file} has finished: {found:?}")));
            continue;
        }
        let before = at(due).checked_sub(jiff::Span::new().seconds(1)).unwrap();
        if let Some(early) = seen(before).filter(|f| says(f, what, node, since)) {
            wrong.push(format!("{file}, a second too early: {early:?}"));
        }
        match seen(at(due)) {
            Some(found) if says(&found, what, node, since) => {}
            Some(found) => {
                wrong.push(format!("{file} is no {what} at {node:?} since {since}: {:?}", found.detections[0]));
            }
            None => wrong.push(format!("{file} is no {what} at {node:?} since {since}, and nothing else")),
        }
        wrong.extend(seen(written).map(|found| format!("{file} is healthy when it is read: {found:?}")));
    }
    assert!(wrong.is_empty(), "{} of {} lines:\n{}", wrong.len(), WRITTEN.len(), wrong.join("\n"));
}

/// The near miss of the lost results: without its pod a run is only what it looks like.
#[test]
fn without_its_pod_no_result_is_lost() {
    for (version, file, ..) in PODS {
        let text = text(&format!("{version}/{file}"));
        let dog = read(std::slice::from_ref(&text), &[], read_at(version).1, at("2026-11-22T00:00:00Z"));
        let found = dog.findings();
        let first = found[0].detections[0].kind.as_str();
        let looks = if file == "lost-result" { "NodeRunningTooLong" } else { "Pending" };
        assert_eq!(first, looks, "{file}");
    }
}

fn standing(dog: &Watchdog, name: &str, now: Timestamp) -> Standing {
    dog.explain("default", name, now).unwrap().standing
}

fn codec_of(workflow: &Value) -> Codec {
    let packed = workflow["status"]["compressedNodes"].as_str().unwrap();
    Codec::sniff(&base64::engine::general_purpose::STANDARD.decode(packed).unwrap())
}

fn gzip(nodes: &str) -> String {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packer.write_all(nodes.as_bytes()).unwrap();
    base64::engine::general_purpose::STANDARD.encode(packer.finish().unwrap())
}

/// The same nodes inline and in each codec give the same row.
#[test]
fn each_codec_says_what_the_nodes_say() {
    let now = at("2026-11-24T00:00:00Z");
    let plain: Value = serde_json::from_str(&text("argo-4.1.2/wide-fan")).unwrap();
    let mut packed = plain.clone();
    let nodes = packed["status"].as_object_mut().unwrap().remove("nodes").unwrap().to_string();
    packed["status"]["compressedNodes"] = gzip(&nodes).into();
    let real = |file: &str| serde_json::from_str::<Value>(&text(file)).unwrap();
    let (brotli, zstd) = (real("argo-4.1.2/wide-fan.brotli"), real("argo-4.1.2/wide-fan.zstd"));
    for (codec, workflow) in [(Codec::Gzip, &packed), (Codec::Brotli, &brotli), (Codec::Zstd, &zstd)] {
        assert_eq!(codec_of(workflow), codec);
        assert!(workflow["status"].get("nodes").is_none(), "{codec:?} has its nodes inline besides");
    }
    assert_eq!(codec_of(&real("argo-3.7.4/compressed")), Codec::Gzip);
    let rows = [&plain, &packed, &brotli, &zstd].map(|workflow| {
        let dog = read(&[workflow.to_string()], &[], read_at("argo-4.1.2").1, now);
        let found = dog.findings();
        let holds = found[0].detections.iter().map(|d| (d.kind, d.reason, d.node.clone(), d.message.clone()));
        holds.collect::<Vec<_>>()
    });
    assert_eq!(rows[0].len(), 2, "the approval and the age: {rows:?}");
    assert!(rows.iter().all(|row| *row == rows[0]), "{rows:#?}");
}

/// Nodes that can't be seen: Unknown with its reason, and never the finding that the nodes would give.
#[test]
fn nodes_out_of_sight_are_unknown_for_a_reason() {
    let now = at("2026-11-21T20:00:00Z");
    let typo: Value = serde_json::from_str(&text("argo-4.1.2/image-typo")).unwrap();
    let zstd: Value = serde_json::from_str(&text("argo-4.1.2/wide-fan.zstd")).unwrap();
    let packed = zstd["status"]["compressedNodes"].as_str().unwrap();
    let without = |put: Value| {
        let mut workflow = typo.clone();
        workflow["status"].as_object_mut().unwrap().remove("nodes");
        workflow["status"].as_object_mut().unwrap().extend(put.as_object().unwrap().clone());
        workflow.to_string()
    };
    let damaged = packed.replacen(&packed[40..48], "AAAAAAAA", 1);
    let broken = [
        ("cut short", json!({"compressedNodes": &packed[..packed.len() / 8 * 4]})),
        ("damaged", json!({"compressedNodes": damaged})),
        ("no base64", json!({"compressedNodes": "%%%"})),
        ("no nodes inside", json!({"compressedNodes": gzip("[1, 2")})),
        ("a codec nobody knows", json!({"compressedNodes": "AAECAwQFBgcICQoLDA0ODw=="})),
    ];
    for (how, put) in broken {
        let dog = read(&[without(put)], &[], read_at("argo-4.1.2").1, now);
        assert!(dog.findings().is_empty(), "{how}: {:?}", dog.findings());
        assert_eq!(standing(&dog, "image-typo", now), Standing::Unknown(UnknownReason::NodesUndecodable), "{how}");
    }
    let dog = read(&[without(json!({"offloadNodeStatusVersion": "fnv:784644532"}))], &[], read_at("argo-4.1.2").1, now);
    assert_eq!(standing(&dog, "image-typo", now), Standing::Unknown(UnknownReason::NodesOffloaded));
    assert!(dog.findings().is_empty(), "{:?}", dog.findings());
    // What needs no nodes is still said: the age of the run.
    let late = at("2026-11-22T07:18:34Z");
    let dog =
        read(&[without(json!({"offloadNodeStatusVersion": "fnv:784644532"}))], &[], read_at("argo-4.1.2").1, late);
    assert!(says(&dog.findings()[0], "RunningTooLong/OverAge", "", "2026-11-21T07:18:34Z"));
    // And with its nodes it is what it is.
    let dog = read(&[typo.to_string()], &[], read_at("argo-4.1.2").1, now);
    assert_eq!(standing(&dog, "image-typo", now), Standing::Stuck);
}
