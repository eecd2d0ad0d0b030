//! Keeping a run: whatever the store does, what is said to be kept is there and the same.

use serde_json::value::RawValue;
use unstick::archive::catalogue::Record;
use unstick::archive::gzip;
use unstick::archive::keep::{KeepError, KeepOptions, Kept, keep};
use unstick::archive::manifest::Manifest;
use unstick::archive::redaction::{Redaction, Rules};
use unstick::archive::store::{Bytes, Call, Fault, Fingerprint, Location};
use unstick::archive::verify::{Hint, verify_for_delete};

use crate::memory::{Memory, Trick};
use crate::runs::{changed, done, form, location, now};

const BODY: &str = ".json.gz";
const MANIFEST: &str = ".manifest.json";

pub fn kept_in(store: &Memory, live: &str) -> Result<Kept, KeepError> {
    kept_at(store, &location(), live, None)
}

fn kept_at(store: &Memory, location: &Location, live: &str, events: Option<&RawValue>) -> Result<Kept, KeepError> {
    let rules = Redaction::default();
    let options = KeepOptions { rules: &rules, events, now: now(), stuck_seconds: Some(7) };
    wait(keep(store, location, live, &options))
}

pub fn wait<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

/// The judge: what is said to be kept is stored whole under its key, with a manifest that says the same.
fn is_there(store: &Memory, live: &str, kept: &Kept) {
    let own = form(live);
    let objects = store.objects.lock().unwrap();
    assert_eq!(gzip::unpack(&objects[&kept.key].bytes, 64 << 20).unwrap(), own.bytes);
    let manifest = Manifest::read(&objects[&kept.row.manifest_key].bytes).unwrap();
    assert_eq!((manifest.digest, &manifest.key), (own.digest, &kept.key));
    assert_eq!(kept.digest, own.digest);
}

#[test]
fn a_run_is_kept_with_three_calls() {
    let (store, live) = (Memory::new(), done());
    let kept = kept_in(&store, &live).unwrap();
    is_there(&store, &live, &kept);
    let body = kept.key.clone();
    assert_eq!(store.asked(), [format!("put {body}"), format!("get {body}"), format!("put {}", kept.row.manifest_key)]);
    assert_eq!((kept.already, kept.version_id.as_deref()), (false, Some("v1")));
    let own = form(&live);
    let objects = store.objects.lock().unwrap();
    let meta: Vec<_> = objects[&body].meta.iter().map(|(k, v)| format!("{k}={v}")).collect();
    let facts = &own.facts;
    assert_eq!(
        meta,
        [
            "archive-date=20261122_080000".to_owned(),
            format!("namespace={}", facts.namespace),
            format!("sha256={}", own.digest),
            format!("uid={}", facts.uid),
            format!("workflow-name={}", facts.name),
        ]
    );
    let manifest = Manifest::read(&objects[&kept.row.manifest_key].bytes).unwrap();
    assert_eq!((manifest.bytes, kept.bytes), (own.bytes.len() as u64, own.bytes.len() as u64));
    assert_eq!(manifest.stored_bytes, objects[&body].bytes.len() as u64);
    assert_eq!((manifest.summary.cluster.as_str(), manifest.summary.stuck_seconds), ("prod-eu", Some(7)));
    assert_eq!(manifest.completeness.nodes, "Inline");
    assert_eq!((kept.row.record, &kept.row.summary.uid), (Record::Archive, &facts.uid));
    assert_eq!(kept.row.date(), facts.finished.unwrap().to_string()[..10]);
}

#[test]
fn the_second_time_changes_nothing() {
    let (store, live) = (Memory::new(), done());
    let first = kept_in(&store, &live).unwrap();
    let before = store.objects.lock().unwrap().clone();
    let later = changed(&live, |wf| wf["metadata"]["resourceVersion"] = "99".into());
    let again = kept_in(&store, &later).unwrap();
    assert!(again.already && again.key == first.key && again.row == first.row);
    assert_eq!(*store.objects.lock().unwrap(), before);
}

#[test]
fn a_run_that_finishes_twice_has_two_archives() {
    let store = Memory::new();
    kept_in(&store, &done()).unwrap();
    let retried = changed(&done(), |wf| wf["status"]["finishedAt"] = "2026-11-21T23:00:00Z".into());
    kept_in(&store, &retried).unwrap();
    assert_eq!(store.keys().iter().filter(|k| k.ends_with(BODY)).count(), 2);
}

/// Every fault of a put and of the read-back: not kept, a reason, nothing false stored as whole; well again, kept.
#[test]
fn whatever_the_store_does_nothing_is_called_kept_that_is_not() {
    let body = gzip::pack(b"{\"kind\":\"Workflow\"}");
    let faults = [Fault::Timeout, Fault::Unreachable, Fault::Throttled, Fault::Server(500), Fault::Server(503)];
    let hard = [
        Fault::AccessDenied(Call::Put),
        Fault::NoSuchBucket,
        Fault::ClockSkew,
        Fault::Tls,
        Fault::ExpiredCredentials,
        Fault::DiskFull,
        Fault::ReadOnly,
    ];
    let mut cases: Vec<(Call, &str, Trick, &str)> = vec![
        (Call::Put, BODY, Trick::Exists, "NotReadableYet"),
        (Call::Put, BODY, Trick::Raced, "NotReadableYet"),
        (Call::Get, BODY, Trick::Cut, "ReadBackDiffers"),
        (Call::Get, BODY, Trick::Flip, "ReadBackDiffers"),
        (Call::Get, BODY, Trick::Framed, "ReadBackDiffers"),
        (Call::Get, BODY, Trick::Swap(body.clone().into()), "ReadBackDiffers"),
        (Call::Get, BODY, Trick::Swap("".into()), "ReadBackDiffers"),
        (Call::Get, BODY, Trick::Gone, "NotReadableYet"),
        (Call::Get, BODY, Trick::Refuse(Fault::Timeout), "Timeout"),
        (Call::Get, BODY, Trick::Refuse(Fault::AccessDenied(Call::Get)), "AccessDenied"),
        (Call::Get, BODY, Trick::Refuse(Fault::Unreadable), "StorageClassUnreadable"),
        (Call::Put, MANIFEST, Trick::Refuse(Fault::Timeout), "Timeout"),
        (Call::Put, MANIFEST, Trick::LoseReply(Fault::Timeout), "Timeout"),
        (Call::Put, MANIFEST, Trick::Exists, "NotReadableYet"),
    ];
    for kind in faults.into_iter().chain(hard) {
        cases.push((Call::Put, BODY, Trick::Refuse(kind), kind.reason()));
        cases.push((Call::Put, MANIFEST, Trick::Refuse(kind), kind.reason()));
    }
    for (call, ending, trick, wanted) in cases {
        let (store, live) = (Memory::new(), done());
        store.trick(call, ending, 1, trick.clone());
        let refused = kept_in(&store, &live).map(|_| ()).expect_err(&format!("{call} {ending} {trick:?}"));
        assert_eq!(refused.reason(), wanted, "{call} {ending} {trick:?}: {refused}");
        assert!(!refused.to_string().is_empty());
        if ending == BODY {
            assert!(!store.keys().iter().any(|k| k.ends_with(MANIFEST)), "{trick:?}: a manifest before the proof");
        }
        // The fault ends: by itself all is well.
        store.well();
        let kept = kept_in(&store, &live).unwrap_or_else(|e| panic!("{call} {ending} {trick:?}: {e}"));
        is_there(&store, &live, &kept);
    }
}

#[test]
fn a_lost_reply_and_a_race_are_settled_by_reading() {
    for trick in [
        Trick::LoseReply(Fault::Timeout),
        Trick::LoseReply(Fault::Server(500)),
        Trick::LoseReply(Fault::Unreachable),
        Trick::RacedWritten,
    ] {
        let (store, live) = (Memory::new(), done());
        store.trick(Call::Put, BODY, 1, trick.clone());
        let kept = kept_in(&store, &live).unwrap_or_else(|e| panic!("{trick:?}: {e}"));
        is_there(&store, &live, &kept);
    }
}

/// Stored damaged, by the store itself or by somebody: it is never replaced and never taken for an archive.
#[test]
fn what_is_stored_wrong_stays_and_is_told() {
    let other = gzip::pack(b"{\"kind\":\"Workflow\"}");
    for trick in [Trick::Cut, Trick::Flip, Trick::Framed, Trick::Swap(other.into()), Trick::Swap("".into())] {
        for lost in [false, true] {
            let (store, live) = (Memory::new(), done());
            store.trick(Call::Put, BODY, 1, trick.clone());
            assert!(matches!(kept_in(&store, &live), Err(KeepError::ReadBack { .. })), "{trick:?}");
            let before = store.objects.lock().unwrap().clone();
            store.well();
            if lost {
                store.trick(Call::Put, BODY, 1, Trick::Refuse(Fault::Timeout));
            }
            let again = kept_in(&store, &live).map(|_| ()).unwrap_err();
            assert_eq!(again.reason(), "Collision", "{trick:?}");
            assert!(!again.is_transient() && again.to_string().contains(".json.gz"), "{again}");
            assert_eq!(*store.objects.lock().unwrap(), before, "{trick:?}: replaced");
        }
    }
}

#[test]
fn the_race_of_another_with_other_content_is_a_collision() {
    for (already, trick) in [(true, None), (true, Some(Trick::Raced)), (true, Some(Trick::Exists))] {
        let (store, live) = (Memory::new(), done());
        let own = form(&live);
        let stem = unstick::archive::key::Stem::of(&own.facts, &own.digest);
        if already {
            store.set(&location().layout.body(&stem), gzip::pack(b"{}"));
        }
        if let Some(trick) = trick {
            store.trick(Call::Put, BODY, 1, trick);
        }
        assert_eq!(kept_in(&store, &live).map(|_| ()).unwrap_err().reason(), "Collision");
        assert_eq!(store.keys().len(), 1, "no manifest");
    }
}

#[test]
fn a_manifest_of_something_else_is_a_collision() {
    let (store, live) = (Memory::new(), done());
    let kept = kept_in(&store, &live).unwrap();
    let key = kept.row.manifest_key;
    let manifest = Manifest::read(&store.objects.lock().unwrap()[&key].bytes).unwrap();
    let later =
        Manifest { written_by: "unstick 99".into(), archived_at: kept.row.archived_at.unwrap(), ..manifest.clone() };
    let other_place = Manifest { fingerprint: Fingerprint::read("0123456789abcdef"), ..manifest.clone() };
    let other_key = Manifest { key: manifest.key.replace("workflow-archives", "elsewhere"), ..manifest.clone() };
    let other_uid = {
        let mut m = manifest.clone();
        m.summary.uid = "other".into();
        m
    };
    for (bytes, fine) in [
        (later.text(), true),
        // The body was just read here and is the same: the bucket was copied, or the endpoint is spelt otherwise.
        (other_place.text(), true),
        (other_key.text(), false),
        (other_uid.text(), false),
        (b"{}".to_vec(), false),
        (b"".to_vec(), false),
        (manifest.text()[..200].to_vec(), false),
    ] {
        store.set(&key, bytes);
        assert_eq!(kept_in(&store, &live).is_ok(), fine);
    }
}

/// The mark is lost and the rules have changed, in words that this run doesn't have: it is the same archive.
#[test]
fn rules_that_change_nothing_of_a_run_are_no_collision() {
    let (store, live) = (Memory::new(), done());
    let first = kept_in(&store, &live).unwrap();
    let before = store.objects.lock().unwrap().clone();
    let rules = Redaction::new(Rules { names: vec!["no-such-name".into()], ..Rules::default() }).unwrap();
    let options = KeepOptions { rules: &rules, events: None, now: now(), stuck_seconds: None };
    let again = wait(keep(&store, &location(), &live, &options)).unwrap();
    assert!(again.already && again.key == first.key && again.row == first.row);
    assert_eq!(*store.objects.lock().unwrap(), before);
}

/// The bucket was copied to another and the location pointed there, or its endpoint is spelt otherwise.
#[test]
fn what_was_copied_counts_once_it_is_read_here() {
    let (old, live) = (Memory::new(), done());
    let kept = kept_in(&old, &live).unwrap();
    let fingerprint = Fingerprint::s3("https://minio.store:9000", "new", "workflow-archives");
    let moved = Location { fingerprint: fingerprint.clone(), ..location() };
    let verify = |store: &Memory| {
        let hint = Hint { fingerprint: kept.fingerprint.clone(), key: kept.key.clone(), digest: kept.digest };
        let judged = wait(verify_for_delete(store, &moved, &live, &Redaction::default(), Some(&hint)));
        judged.map(|proof| proof.fingerprint().clone()).map_err(|e| e.reason())
    };
    let copy = Memory::at(fingerprint.clone());
    *copy.objects.lock().unwrap() = old.objects.lock().unwrap().clone();
    assert_eq!(verify(&copy), Ok(fingerprint.clone()), "the copy was read here and is the same");
    let again = kept_at(&copy, &moved, &live, None).unwrap();
    assert!(again.already && again.fingerprint == fingerprint);
    assert_eq!(*copy.objects.lock().unwrap(), *old.objects.lock().unwrap(), "nothing was replaced");
    // The manifest came along, the body didn't: it proves nothing, and the body is stored here.
    copy.objects.lock().unwrap().remove(&kept.key);
    assert_eq!(verify(&copy), Err("NotArchived"));
    copy.set(&kept.key, "half");
    assert_eq!(verify(&copy), Err("CopyDiffers"));
    assert_eq!(kept_at(&copy, &moved, &live, None).map(|_| ()).unwrap_err().reason(), "Collision");
    copy.objects.lock().unwrap().remove(&kept.key);
    assert!(!kept_at(&copy, &moved, &live, None).unwrap().already);
    assert_eq!(verify(&copy), Ok(fingerprint));
}

#[test]
fn a_location_that_was_changed_is_noticed_before_anything_is_written() {
    let store = Memory::new();
    let moved = Location { fingerprint: Fingerprint::s3("", "other", "workflow-archives"), ..location() };
    let refused = kept_at(&store, &moved, &done(), None).map(|_| ()).unwrap_err();
    assert_eq!((refused.reason(), store.asked().len()), ("LocationChanged", 0));
}

#[test]
fn where_the_store_would_replace_we_look_first() {
    let (store, live) = (Memory::new(), done());
    let old = Location { conditional_put: false, ..location() };
    kept_at(&store, &old, &live, None).unwrap();
    assert!(store.asked()[0].starts_with("head "));
    kept_at(&store, &old, &live, None).unwrap();
    assert!(!store.asked().iter().any(|a| a.starts_with("put ")), "both are there already");
}

fn event_of(uid: &str) -> Box<RawValue> {
    let event = serde_json::json!([{"reason": "WorkflowSucceeded", "regarding": {"kind": "Workflow", "uid": uid}}]);
    serde_json::value::to_raw_value(&event).unwrap()
}

/// What lies under the key of the events is believed only if it is what was put, or events of this very run.
#[test]
fn events_that_are_not_of_this_run_are_never_taken_for_its_own() {
    const EVENTS: &str = ".events.json.gz";
    let live = done();
    let uid = form(&live).facts.uid;
    let own = event_of(&uid);
    let core = format!(r#"[{{"involvedObject":{{"uid":"{uid}"}},"reason":"Other"}}]"#);
    let other = event_of("another");
    for (what, there, fine) in [
        ("none were left", "[]", true),
        ("earlier ones", core.as_str(), true),
        ("those of another run", other.get(), false),
        ("the workflow itself", r#"{"kind":"Workflow"}"#, false),
        ("a list of something else", r#"[{"reason":"x"}]"#, false),
        ("no JSON", "events", false),
    ] {
        let packed = Bytes::from(gzip::pack(there.as_bytes()));
        // Another was there first.
        let store = Memory::new();
        let key = kept_in(&Memory::new(), &live).unwrap().key.replace(".json.gz", EVENTS);
        store.set(&key, packed.clone());
        let kept = kept_at(&store, &location(), &live, Some(&own)).map(|kept| kept.row.manifest_key);
        assert_eq!(kept.as_ref().map_err(|e| (e.reason(), e.is_transient())).is_ok(), fine, "{what}");
        if let Err(refused) = kept {
            assert_eq!(refused.reason(), "Collision", "{what}: {refused}");
            assert!(!store.keys().iter().any(|k| k.ends_with(MANIFEST)), "{what}");
        }
        // It was said to be created, and reads as this: that it is events of the run is not enough then.
        let store = Memory::new();
        store.trick(Call::Get, EVENTS, 1, Trick::Swap(packed));
        let refused = kept_at(&store, &location(), &live, Some(&own)).map(|_| ()).unwrap_err();
        assert_eq!(refused.reason(), "ReadBackDiffers", "{what}");
        store.well();
        kept_at(&store, &location(), &live, Some(&own)).unwrap();
    }
}

#[test]
fn events_are_stored_beside_and_those_of_the_first_time_stay() {
    let (store, live) = (Memory::new(), done());
    let first = event_of(&form(&live).facts.uid);
    let kept = kept_at(&store, &location(), &live, Some(&first)).unwrap();
    let key = kept.key.replace(".json.gz", ".events.json.gz");
    let stored = gzip::unpack(&store.objects.lock().unwrap()[&key].bytes, 1 << 20).unwrap();
    assert_eq!(stored, first.get().as_bytes());
    let manifest = Manifest::read(&store.objects.lock().unwrap()[&kept.row.manifest_key].bytes).unwrap();
    assert_eq!(manifest.events.as_ref().map(|e| &e.key), Some(&key));
    assert!(manifest.completeness.events);
    // Most events are gone an hour later: what was stored isn't replaced by less.
    let later: Box<RawValue> = serde_json::from_str("[]").unwrap();
    kept_at(&store, &location(), &live, Some(&later)).unwrap();
    assert_eq!(gzip::unpack(&store.objects.lock().unwrap()[&key].bytes, 1 << 20).unwrap(), stored);
    // Without its events the archive isn't whole.
    let fresh = Memory::new();
    fresh.trick(Call::Put, ".events.json.gz", 1, Trick::Refuse(Fault::Timeout));
    assert!(kept_at(&fresh, &location(), &live, Some(&first)).is_err());
    assert!(!fresh.keys().iter().any(|k| k.ends_with(MANIFEST)));
}

#[test]
fn offloaded_and_compressed_runs() {
    let store = Memory::new();
    let offloaded = changed(&done(), |wf| {
        wf["status"].as_object_mut().unwrap().remove("nodes");
        wf["status"]["offloadNodeStatusVersion"] = "fnv:1".into();
    });
    assert_eq!(kept_in(&store, &offloaded).map(|_| ()).unwrap_err().reason(), "NodesOffloaded");
    assert!(store.asked().is_empty(), "nothing is asked for what can't be archived");
    let kept = kept_in(&store, &crate::runs::gzip_nodes(&done())).unwrap();
    let read = gzip::unpack(&store.objects.lock().unwrap()[&kept.key].bytes, 64 << 20).unwrap();
    let read: serde_json::Value = serde_json::from_slice(&read).unwrap();
    assert!(read["status"]["nodes"].as_object().is_some_and(|nodes| !nodes.is_empty()), "decoded nodes are stored");
    assert!(read["status"].get("compressedNodes").is_none());
}

/// Kubernetes lets no such name in. Should one come all the same, nothing is stored under a key that leads elsewhere.
#[test]
fn a_name_that_is_no_part_of_a_key_is_refused() {
    let names = ["..", "../../etc", "a/b", "a/../../b", ".hidden", "%2e%2e", "a\\b", "a b", "a\u{0}b", "-rf", "", "ä"];
    for place in ["name", "namespace"] {
        for hostile in names.iter().map(|n| (*n).to_owned()).chain(["n".repeat(300)]) {
            let (store, live) = (Memory::new(), changed(&done(), |wf| wf["metadata"][place] = hostile.as_str().into()));
            let refused = kept_in(&store, &live);
            assert!(refused.is_err() && store.keys().is_empty(), "{place} {hostile:?}: {refused:?}");
            let verified = wait(verify_for_delete(&store, &location(), &live, &Redaction::default(), None));
            assert!(verified.is_err(), "{place} {hostile:?}");
        }
    }
    // What it lets in is stored and found, up to every limit.
    let live = changed(&done(), |wf| {
        wf["metadata"]["name"] = format!("{0}.{0}.{0}.{1}", "n".repeat(63), "n".repeat(61)).into();
        wf["metadata"]["namespace"] = "s".repeat(63).into();
    });
    let store = Memory::new();
    let kept = kept_in(&store, &live).unwrap();
    assert!(kept.row.manifest_key.len() < 1024 && kept.key.len() < 1024, "{}", kept.key);
    is_there(&store, &live, &kept);
    drop(wait(verify_for_delete(&store, &location(), &live, &Redaction::default(), None)).unwrap());
}
