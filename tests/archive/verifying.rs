//! The proof for a delete: of what is live now and what is stored now, whatever anybody says.

use unstick::archive::gzip;
use unstick::archive::keep::{KeepOptions, keep};
use unstick::archive::manifest::Manifest;
use unstick::archive::redaction::{Redaction, Rules};
use unstick::archive::store::{Call, Fault, Fingerprint, Location};
use unstick::archive::verify::{Hint, VerifiedArchive, VerifyError, verify_for_delete};

use crate::keeping::{kept_in, wait};
use crate::memory::{Memory, Trick};
use crate::runs::{changed, done, form, location, now};

const BODY: &str = ".json.gz";

fn verify(store: &Memory, live: &str, hint: Option<&Hint>) -> Result<VerifiedArchive, VerifyError> {
    wait(verify_for_delete(store, &location(), live, &Redaction::default(), hint))
}

fn reason(store: &Memory, live: &str, hint: Option<&Hint>) -> &'static str {
    verify(store, live, hint).map(|_| ()).unwrap_err().reason()
}

fn hint_of(live: &str) -> Hint {
    let own = form(live);
    let stem = unstick::archive::key::Stem::of(&own.facts, &own.digest);
    let key = location().layout.body(&stem);
    Hint { fingerprint: location().fingerprint, key, digest: own.digest }
}

#[test]
fn what_is_stored_and_the_same_is_proven_with_one_get() {
    let (store, live) = (Memory::new(), done());
    kept_in(&store, &live).unwrap();
    store.asked();
    let marked = changed(&live, |wf| {
        wf["metadata"]["annotations"]["unstick.dev/archived"] = "mark".into();
        wf["metadata"]["resourceVersion"] = "4711".into();
    });
    let proof = verify(&store, &marked, None).unwrap();
    let asked = store.asked();
    assert_eq!(asked, [format!("get {}", proof.key())]);
    let own = form(&live);
    assert_eq!((proof.uid(), proof.resource_version()), (own.facts.uid.as_str(), "4711"));
    assert_eq!((proof.digest(), proof.is_cold(), proof.version_id()), (own.digest, false, Some("v1")));
    assert_eq!((proof.namespace(), proof.name()), (own.facts.namespace.as_str(), own.facts.name.as_str()));
    assert_eq!(*proof.fingerprint(), location().fingerprint);
}

#[test]
fn what_has_changed_since_is_not_archived() {
    let (store, live) = (Memory::new(), done());
    kept_in(&store, &live).unwrap();
    for (what, other) in [
        ("retried", changed(&live, |wf| wf["status"]["phase"] = "Running".into())),
        ("recreated", changed(&live, |wf| wf["metadata"]["uid"] = "another".into())),
        ("labelled", changed(&live, |wf| wf["metadata"]["labels"]["a"] = "b".into())),
        ("finished again", changed(&live, |wf| wf["status"]["finishedAt"] = "2026-11-23T00:00:00Z".into())),
    ] {
        assert_eq!(reason(&store, &other, None), "NotArchived", "{what}");
        assert_eq!(reason(&store, &other, Some(&hint_of(&live))), "NotArchived", "{what}, with a mark");
    }
    let nameless = changed(&live, |wf| {
        wf["metadata"].as_object_mut().unwrap().remove("resourceVersion");
    });
    assert_eq!(reason(&store, &nameless, None), "NoResourceVersion");
}

#[test]
fn a_copy_that_is_damaged_is_no_copy() {
    let other = gzip::pack(b"{\"kind\":\"Workflow\"}");
    for trick in [Trick::Cut, Trick::Flip, Trick::Framed, Trick::Swap(other.into()), Trick::Swap("".into())] {
        let (store, live) = (Memory::new(), done());
        kept_in(&store, &live).unwrap();
        store.trick(Call::Get, BODY, 1, trick.clone());
        assert_eq!(reason(&store, &live, Some(&hint_of(&live))), "CopyDiffers", "{trick:?}");
        let _ = verify(&store, &live, None).unwrap_or_else(|e| panic!("{trick:?}: well again: {e}"));
    }
}

#[test]
fn a_store_that_fails_proves_nothing() {
    for kind in Fault::ALL {
        let (store, live) = (Memory::new(), done());
        kept_in(&store, &live).unwrap();
        store.trick(Call::Get, BODY, 1, Trick::Refuse(*kind));
        // The manifest could speak for a copy that can't be read: see cold.rs. Here it is gone, too.
        store.trick(Call::Get, ".manifest.json", 1, Trick::Gone);
        assert_eq!(reason(&store, &live, Some(&hint_of(&live))), kind.reason());
        store.well();
        let _ = verify(&store, &live, None).unwrap_or_else(|e| panic!("{kind:?}: well again: {e}"));
    }
    let (store, live) = (Memory::new(), done());
    kept_in(&store, &live).unwrap();
    store.trick(Call::Get, BODY, 1, Trick::Gone);
    assert_eq!(reason(&store, &live, Some(&hint_of(&live))), "NotArchived");
}

#[test]
fn a_forged_mark_changes_nothing() {
    let (store, live) = (Memory::new(), done());
    assert_eq!(reason(&store, &live, Some(&hint_of(&live))), "NotArchived", "the mark is right, the copy isn't there");
    // Another run is archived; the mark of this one says that it is that.
    let other = changed(&live, |wf| wf["metadata"]["name"] = "other".into());
    let kept = kept_in(&store, &other).unwrap();
    let forged = Hint { fingerprint: location().fingerprint, key: kept.key, digest: kept.digest };
    assert_eq!(reason(&store, &live, Some(&forged)), "NotArchived");
    // The other run's copy and manifest lie where this one's would: still its content is compared.
    let own = form(&live);
    let stem = unstick::archive::key::Stem::of(&own.facts, &forged.digest);
    let objects = store.objects.lock().unwrap().clone();
    store.set(&location().layout.body(&stem), objects[&forged.key].bytes.clone());
    store.set(&location().layout.manifest(&stem), objects[&kept.row.manifest_key].bytes.clone());
    let forged = Hint { key: location().layout.body(&stem), ..forged };
    assert_eq!(reason(&store, &live, Some(&forged)), "NotArchived");
}

fn keep_with(store: &Memory, live: &str, rules: &Redaction) -> unstick::archive::keep::Kept {
    let options = KeepOptions { rules, events: None, now: now(), stuck_seconds: None };
    wait(keep(store, &location(), live, &options)).unwrap()
}

/// A run with something that the rules below redact.
fn with_month(live: &str) -> String {
    changed(live, |wf| wf["spec"]["arguments"] = serde_json::json!({"parameters": [{"name": "month", "value": "May"}]}))
}

#[test]
fn rules_that_have_changed_since_are_read_from_the_manifest() {
    let rules = Redaction::new(Rules { names: vec!["month".into()], ..Rules::default() }).unwrap();
    let (store, live) = (Memory::new(), with_month(&done()));
    let kept = keep_with(&store, &live, &rules);
    let hint = Hint { fingerprint: location().fingerprint, key: kept.key.clone(), digest: kept.digest };
    store.asked();
    let proof = verify(&store, &live, Some(&hint)).unwrap();
    assert_eq!((proof.key(), proof.digest()), (kept.key.as_str(), kept.digest));
    assert_eq!(store.asked().len(), 3, "the copy under today's rules, the manifest, the copy under its own");
    assert_eq!(reason(&store, &live, None), "NotArchived", "without the mark nobody knows of it");
    // The live run has changed since, outside of what was redacted.
    let changed = changed(&live, |wf| wf["status"]["phase"] = "Failed".into());
    assert_eq!(reason(&store, &changed, Some(&hint)), "NotArchived");
    for wrong in [
        Hint { fingerprint: Fingerprint::read("0123456789abcdef"), ..hint.clone() },
        Hint { key: "workflow-archives/x/y/20261121_101500_3f9a1c04be12.json.gz".into(), ..hint.clone() },
    ] {
        assert_eq!(reason(&store, &live, Some(&wrong)), "NotArchived", "{wrong:?}");
    }
    // Damaged under the old key, or a manifest that is none.
    store.trick(Call::Get, &kept.key, 1, Trick::Flip);
    assert_eq!(reason(&store, &live, Some(&hint)), "CopyDiffers");
    store.trick(Call::Get, ".manifest.json", 1, Trick::Cut);
    assert_eq!(reason(&store, &live, Some(&hint)), "NotArchived");
}

#[test]
fn a_manifest_with_rules_that_never_were_in_force_proves_nothing() {
    let (store, live) = (Memory::new(), with_month(&done()));
    let kept = keep_with(&store, &live, &Redaction::default());
    let mut manifest = Manifest::read(&store.objects.lock().unwrap()[&kept.row.manifest_key].bytes).unwrap();
    manifest.redaction = Rules { names: vec!["month".into()], ..Rules::default() };
    store.set(&kept.row.manifest_key, manifest.text());
    let now = Redaction::none();
    let hint = Hint { fingerprint: location().fingerprint, key: kept.key, digest: kept.digest };
    let live = changed(&live, |wf| wf["spec"]["arguments"]["parameters"][0]["value"] = "June".into());
    let judged = wait(verify_for_delete(&store, &location(), &live, &now, Some(&hint)));
    assert_eq!(judged.map(|_| ()).unwrap_err().reason(), "NotArchived");
}

#[test]
fn a_location_that_points_elsewhere_is_another_place() {
    let (store, live) = (Memory::new(), done());
    kept_in(&store, &live).unwrap();
    store.asked();
    let moved = Location { fingerprint: Fingerprint::s3("", "other", "workflow-archives"), ..location() };
    let judged = wait(verify_for_delete(&store, &moved, &live, &Redaction::default(), Some(&hint_of(&live))));
    assert_eq!(judged.map(|_| ()).unwrap_err().reason(), "LocationChanged");
    assert!(store.asked().is_empty());
}

#[test]
fn what_can_not_be_archived_can_not_be_proven() {
    let store = Memory::new();
    let offloaded = changed(&done(), |wf| {
        wf["status"].as_object_mut().unwrap().remove("nodes");
        wf["status"]["offloadNodeStatusVersion"] = "fnv:1".into();
    });
    assert_eq!(reason(&store, &offloaded, None), "NodesOffloaded");
    assert_eq!(reason(&store, "{}", None), "NoIdentity");
}
