//! Copies in a storage class that can't be read: the manifest and the presence of the very object stand for them.

use unstick::archive::keep::KeepError;
use unstick::archive::manifest::Manifest;
use unstick::archive::redaction::Redaction;
use unstick::archive::store::{Call, Fault, Fingerprint};
use unstick::archive::verify::{VerifiedArchive, VerifyError, verify_for_delete};

use crate::keeping::{kept_in, wait};
use crate::memory::{Memory, Trick};
use crate::runs::{changed, done, location};

/// A run that was archived long ago.
fn frozen() -> (Memory, String, String, String) {
    let (store, live) = (Memory::new(), done());
    let kept = kept_in(&store, &live).unwrap();
    store.change(&kept.key, |object| object.storage_class = Some("GLACIER".into()));
    store.asked();
    (store, live, kept.key, kept.row.manifest_key)
}

fn verify(store: &Memory, live: &str) -> Result<VerifiedArchive, VerifyError> {
    wait(verify_for_delete(store, &location(), live, &Redaction::default(), None))
}

fn reason(store: &Memory, live: &str) -> &'static str {
    verify(store, live).map(|_| ()).unwrap_err().reason()
}

#[test]
fn the_manifest_and_a_look_at_the_object_prove_it() {
    let (store, live, key, manifest) = frozen();
    let proof = verify(&store, &live).unwrap();
    assert!(proof.is_cold());
    assert_eq!(store.asked(), [format!("get {key}"), format!("head {key}"), format!("get {manifest}")]);
}

#[test]
fn keeping_it_again_finds_it_there() {
    let (store, live, key, _) = frozen();
    let kept = kept_in(&store, &live).unwrap();
    assert!(kept.already && kept.key == key);
    store.objects.lock().unwrap().remove(&kept.row.manifest_key);
    assert!(matches!(kept_in(&store, &live), Err(KeepError::Store(e)) if e.kind == Fault::Unreadable));
    assert_eq!(store.keys().len(), 1, "no manifest is written for what can't be read");
}

#[test]
fn without_either_there_is_no_proof() {
    let (store, live, key, manifest) = frozen();
    for (call, of, trick, wanted) in [
        (Call::Head, &key, Trick::Gone, "NotArchived"),
        (Call::Head, &key, Trick::Refuse(Fault::Timeout), "Timeout"),
        (Call::Get, &manifest, Trick::Gone, "StorageClassUnreadable"),
        (Call::Get, &manifest, Trick::Cut, "StorageClassUnreadable"),
        (Call::Get, &manifest, Trick::Refuse(Fault::AccessDenied(Call::Get)), "AccessDenied"),
    ] {
        store.trick(call, of, 1, trick.clone());
        assert_eq!(reason(&store, &live), wanted, "{call} {trick:?}");
        let _ = verify(&store, &live).unwrap();
    }
    let changed = changed(&live, |wf| wf["status"]["phase"] = "Running".into());
    assert_eq!(reason(&store, &changed), "NotArchived");
}

#[test]
fn a_manifest_of_another_place_or_archive_proves_nothing() {
    let (store, live, _, key) = frozen();
    let manifest = Manifest::read(&store.objects.lock().unwrap()[&key].bytes).unwrap();
    // The bucket was copied, or the location re-pointed: nobody has read the copy that lies here.
    let elsewhere = Manifest { fingerprint: Fingerprint::s3("", "old", "workflow-archives"), ..manifest.clone() };
    store.set(&key, elsewhere.text());
    assert_eq!(reason(&store, &live), "StorageClassUnreadable");
    assert!(matches!(kept_in(&store, &live), Err(KeepError::Store(e)) if e.kind == Fault::Unreadable));
    // Once it is restored it is read, and that proves it.
    let body = manifest.key.clone();
    store.change(&body, |object| object.storage_class = None);
    assert!(kept_in(&store, &live).unwrap().already && !verify(&store, &live).unwrap().is_cold());
    store.change(&body, |object| object.storage_class = Some("GLACIER".into()));
    // The digest is of what the rules made: other rules that made the same are fine.
    store.set(&key, Manifest { redaction: Redaction::none().rules().clone(), ..manifest.clone() }.text());
    assert!(verify(&store, &live).unwrap().is_cold());
    let mut others = vec![
        Manifest { digest: unstick::archive::digest::Digest::of(b"other"), ..manifest.clone() },
        Manifest { key: manifest.key.replace("workflow-archives", "elsewhere"), ..manifest.clone() },
        // The object is not the one that was read back then.
        Manifest { stored_bytes: manifest.stored_bytes + 1, ..manifest.clone() },
        Manifest { version_id: Some("v0".into()), ..manifest.clone() },
    ];
    others.push({
        let mut other = manifest.clone();
        other.summary.uid = "another".into();
        other
    });
    for other in others {
        store.set(&key, other.text());
        assert_eq!(reason(&store, &live), "CopyDiffers", "{other:?}");
    }
    store.set(&key, manifest.text());
    let _ = verify(&store, &live).unwrap();
}
