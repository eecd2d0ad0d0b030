//! A folder as a store: whole or not at all, nothing replaced, faults told.

use std::fs;
use std::io::{Error, ErrorKind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use unstick::archive::keep::{KeepError, KeepOptions, Kept, keep};
use unstick::archive::redaction::Redaction;
use unstick::archive::store::filesystem::{Filesystem, Step};
use unstick::archive::store::probe::probe;
use unstick::archive::store::{Bytes, Fault, Fingerprint, List, Location, LocationKind, Meta, Put, Store};
use unstick::archive::verify::verify_for_delete;

use crate::keeping::wait;
use crate::runs::{done, location, now};

const PREFIX: &str = "workflow-archives";

fn store(path: &Path) -> Filesystem {
    Filesystem::new(path, PREFIX)
}

fn at(path: &Path) -> Location {
    let fingerprint = Fingerprint::filesystem(path.to_str().unwrap(), PREFIX);
    Location { kind: LocationKind::Filesystem, fingerprint, ..location() }
}

fn kept(store: &Filesystem, path: &Path) -> Result<Kept, KeepError> {
    let rules = Redaction::default();
    let options = KeepOptions { rules: &rules, events: None, now: now(), stuck_seconds: None };
    wait(keep(store, &at(path), &done(), &options))
}

fn verified(store: &Filesystem, path: &Path) -> Result<(), &'static str> {
    let judged = wait(verify_for_delete(store, &at(path), &done(), &Redaction::default(), None));
    judged.map(|_| ()).map_err(|e| e.reason())
}

fn files(path: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![path.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap().path();
            if entry.is_dir() {
                folders.push(entry);
            } else {
                found.push(entry.strip_prefix(path).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

fn keys(store: &Filesystem) -> Vec<String> {
    let page = wait(store.list(&List::default())).unwrap();
    assert!(page.next.is_none());
    page.objects.into_iter().map(|o| o.key).collect()
}

#[test]
fn a_run_is_kept_and_proven() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let one = kept(&store, folder.path()).unwrap();
    assert_eq!(verified(&store, folder.path()), Ok(()));
    assert_eq!(keys(&store), [one.row.manifest_key.clone(), one.key.clone()]);
    assert_eq!(files(folder.path()).len(), 3, "what is said of the body lies beside it");
    let object = wait(store.get(&one.key, 1 << 20)).unwrap().unwrap();
    assert_eq!(object.meta["sha256"], one.digest.to_string());
    assert!(kept(&store, folder.path()).unwrap().already);
    assert_eq!(wait(store.head(&one.key)).unwrap().unwrap().size, object.bytes.len() as u64);
    assert!(wait(store.identity()).unwrap().starts_with("folder "));
}

/// A write that ends at any step, with any error: nothing lies under the key, and later all is well.
#[test]
fn what_fails_at_any_step_leaves_nothing_half() {
    for (kind, reason) in [
        (ErrorKind::StorageFull, "DiskFull"),
        (ErrorKind::QuotaExceeded, "DiskFull"),
        (ErrorKind::PermissionDenied, "AccessDenied"),
        (ErrorKind::ReadOnlyFilesystem, "ReadOnly"),
        (ErrorKind::StaleNetworkFileHandle, "Unreachable"),
        (ErrorKind::Unsupported, "Unsupported"),
        (ErrorKind::Other, "StoreFailed"),
    ] {
        for step in [Step::Create, Step::Write, Step::Sync, Step::Link] {
            let folder = tempfile::tempdir().unwrap();
            let failing = store(folder.path())
                .failing(Arc::new(move |now| if now == step { Err(Error::new(kind, "made up")) } else { Ok(()) }));
            let refused = kept(&failing, folder.path()).map(|_| ()).unwrap_err();
            assert_eq!(refused.reason(), reason, "{step:?} {kind:?}: {refused}");
            assert_eq!(files(folder.path()), [""; 0], "{step:?} {kind:?}");
            let well = store(folder.path());
            assert_eq!(verified(&well, folder.path()), Err("NotArchived"));
            kept(&well, folder.path()).unwrap();
            assert_eq!(verified(&well, folder.path()), Ok(()));
        }
        // Linked, but not known to be on the disk: reading it decides.
        let folder = tempfile::tempdir().unwrap();
        let failing = store(folder.path()).failing(Arc::new(move |now| {
            if now == Step::SyncFolder { Err(Error::new(kind, "made up")) } else { Ok(()) }
        }));
        assert_eq!(kept(&failing, folder.path()).map(|_| ()).unwrap_err().reason(), reason);
        kept(&store(folder.path()), folder.path()).unwrap();
    }
}

/// Linked, and the folder's sync failed or never came: the name may be gone after a crash. Whoever finds the file there
/// syncs before believing it, whatever was said to its writer.
#[test]
fn what_another_has_linked_is_synced_before_it_is_believed() {
    let folder = tempfile::tempdir().unwrap();
    let counting = |fails: bool| {
        let seen = Arc::new(AtomicUsize::new(0));
        let own = Arc::clone(&seen);
        let store = store(folder.path()).failing(Arc::new(move |step| {
            if step == Step::SyncFolder {
                own.fetch_add(1, Ordering::SeqCst);
                if fails {
                    return Err(Error::other("made up"));
                }
            }
            Ok(())
        }));
        (store, seen)
    };
    let (well, _) = counting(false);
    let (failing, _) = counting(true);
    let put = |store: &Filesystem| wait(store.put_new("a/b/c", Bytes::from_static(b"x"), &Meta::new()));
    // A sync that fails is no success, however often it is tried and whatever is there to read.
    for _ in 0..3 {
        assert!(put(&failing).is_err());
        assert_eq!(fs::read(folder.path().join("a/b/c")).unwrap(), b"x");
    }
    assert!(wait(failing.settle("a/b/c")).is_err());
    let (again, seen) = counting(false);
    assert_eq!(put(&again).unwrap(), Put::Exists);
    assert_eq!(seen.load(Ordering::SeqCst), 1, "not synced");
    // The same for a whole run: body and manifest are there, written by somebody who was killed.
    kept(&well, folder.path()).unwrap();
    assert_eq!(kept(&failing, folder.path()).map(|_| ()).unwrap_err().reason(), "StoreFailed");
    let one = kept(&well, folder.path()).unwrap();
    fs::remove_file(folder.path().join(&one.row.manifest_key)).unwrap();
    // The store failed, and what is there reads well: not enough without the sync.
    assert_eq!(kept(&failing, folder.path()).map(|_| ()).unwrap_err().reason(), "StoreFailed");
    assert!(!folder.path().join(&one.row.manifest_key).exists(), "a manifest before its body is there to stay");
}

/// A workflow may be called like what is said of an object.
#[test]
fn a_workflow_whose_name_ends_like_our_own_files_is_listed() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let key = "workflow-archives/etl/x.meta.json/20261121_101500_3f9a1c04be12.json.gz";
    let meta: Meta = [("uid".to_owned(), "u-1".to_owned())].into();
    wait(store.put_new(key, Bytes::from_static(b"x"), &meta)).unwrap();
    assert_eq!(files(folder.path()).len(), 2);
    assert_eq!(keys(&store), [key]);
    let folders = wait(store.list(&List { prefix: "workflow-archives/etl/", folders: true, ..List::default() }));
    assert_eq!(folders.unwrap().folders, ["workflow-archives/etl/x.meta.json/"]);
}

/// Killed before the link: what is left has another name.
#[test]
fn leftovers_of_a_killed_write_are_never_seen() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let one = kept(&store, folder.path()).unwrap();
    let place = folder.path().join(&one.key);
    fs::remove_file(&place).unwrap();
    fs::write(place.parent().unwrap().join(".77-0-abc.tmp"), b"half").unwrap();
    assert_eq!(keys(&store), [one.row.manifest_key.as_str()]);
    assert_eq!(verified(&store, folder.path()), Err("NotArchived"));
    kept(&store, folder.path()).unwrap();
    assert_eq!(verified(&store, folder.path()), Ok(()));
}

#[test]
fn nothing_is_ever_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let put = |body: &'static str| wait(store.put_new("a/b/c", Bytes::from_static(body.as_bytes()), &Meta::new()));
    assert_eq!(put("first").unwrap(), Put::Created { version_id: None });
    assert_eq!(put("second").unwrap(), Put::Exists);
    assert_eq!(fs::read(folder.path().join("a/b/c")).unwrap(), b"first");
    // Many at once: one of them is the first.
    let all: Vec<Put> = wait(async {
        let work = (0..16).map(|n| {
            let store = store.clone();
            async move { store.put_new("race", Bytes::from(format!("{n}")), &Meta::new()).await.unwrap() }
        });
        futures::future::join_all(work).await
    });
    assert_eq!(all.iter().filter(|p| matches!(p, Put::Created { .. })).count(), 1);
    assert!(files(folder.path()).iter().all(|f| !f.contains(".tmp")));
}

#[test]
fn damage_is_seen_and_stays() {
    for damage in [&b"half"[..], b"", b"\x1f\x8b"] {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        let one = kept(&store, folder.path()).unwrap();
        let place = folder.path().join(&one.key);
        fs::write(&place, damage).unwrap();
        assert_eq!(verified(&store, folder.path()), Err("CopyDiffers"));
        assert_eq!(kept(&store, folder.path()).map(|_| ()).unwrap_err().reason(), "Collision");
        assert_eq!(fs::read(&place).unwrap(), damage);
    }
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let one = kept(&store, folder.path()).unwrap();
    let mut bytes = fs::read(folder.path().join(&one.key)).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    fs::write(folder.path().join(&one.key), bytes).unwrap();
    assert_eq!(verified(&store, folder.path()), Err("CopyDiffers"));
}

#[test]
fn a_volume_that_is_not_there_is_told_and_never_made() {
    let folder = tempfile::tempdir().unwrap();
    let gone = folder.path().join("volume");
    let store = store(&gone);
    let refused = kept(&store, &gone).map(|_| ()).unwrap_err();
    assert_eq!(refused.reason(), "NoSuchBucket", "{refused}");
    assert_eq!(verified(&store, &gone), Err("NoSuchBucket"));
    assert_eq!(wait(store.list(&List::default())).unwrap_err().kind, Fault::NoSuchBucket);
    assert!(!gone.exists());
    // Mounted again.
    fs::create_dir(&gone).unwrap();
    kept(&store, &gone).unwrap();
    assert_eq!(verified(&store, &gone), Ok(()));
}

/// Outside of a pod nothing but what was stored shows that the volume is still there; it is looked for at each call, not
/// at the next probe only.
#[test]
fn a_volume_that_goes_away_is_noticed_by_the_next_call() {
    let disk = tempfile::tempdir().unwrap();
    let (root, away) = (disk.path().join("archive"), disk.path().join("away"));
    fs::create_dir(&root).unwrap();
    let own = store(&root);
    wait(probe(&own, &at(&root), None, now())).unwrap();
    let first = kept(&own, &root).unwrap();
    let before = files(&root);
    for empty in [true, false] {
        fs::rename(&root, &away).unwrap();
        if empty {
            fs::create_dir(&root).unwrap();
        }
        let wanted = if empty { Fault::NotMounted } else { Fault::NoSuchBucket };
        // Nothing is archived anew into the mount point, and nothing counts as missing.
        let KeepError::Store(refused) = kept(&own, &root).unwrap_err() else { panic!("no fault of the store") };
        assert_eq!(refused.kind, wanted, "{refused}");
        assert_eq!(verified(&own, &root), Err(wanted.reason()));
        assert_eq!(wait(own.get(&first.key, 9)).unwrap_err().kind, wanted);
        assert_eq!(wait(own.head(&first.key)).unwrap_err().kind, wanted);
        assert_eq!(wait(own.settle(&first.key)).unwrap_err().kind, wanted);
        assert_eq!(wait(own.list(&List::default())).unwrap_err().kind, wanted);
        if empty {
            // What a write that was under way has left there proves nothing.
            let left = root.join(&first.key);
            fs::create_dir_all(left.parent().unwrap()).unwrap();
            fs::copy(away.join(&first.key), &left).unwrap();
            assert_eq!(verified(&own, &root), Err(wanted.reason()));
            assert_eq!(wait(own.head(&first.key)).unwrap_err().kind, wanted);
            fs::remove_dir_all(&root).unwrap();
            fs::create_dir(&root).unwrap();
            assert_eq!(files(&root), [""; 0]);
            assert!(refused.message.ends_with("is the volume mounted?"), "{refused}");
            fs::remove_dir(&root).unwrap();
        }
        fs::rename(&away, &root).unwrap();
        assert_eq!(verified(&own, &root), Ok(()));
        assert!(kept(&own, &root).unwrap().already);
    }
    assert_eq!(files(&root), before);
}

/// It goes away at any step of a write: what was written into the empty folder is not called stored.
#[test]
fn a_volume_that_goes_away_while_a_file_is_written_is_noticed() {
    for step in [Step::Create, Step::Write, Step::Sync, Step::Link, Step::SyncFolder] {
        let disk = tempfile::tempdir().unwrap();
        let (root, away) = (disk.path().join("archive"), disk.path().join("away"));
        fs::create_dir(&root).unwrap();
        let own = store(&root);
        wait(probe(&own, &at(&root), None, now())).unwrap();
        let (from, to, done) = (root.clone(), away.clone(), AtomicUsize::new(0));
        let leaving = own.clone().failing(Arc::new(move |now| {
            if now == step && done.fetch_add(1, Ordering::Relaxed) == 0 {
                fs::rename(&from, &to)?;
                fs::create_dir_all(from.join("a"))?;
            }
            Ok(())
        }));
        let refused = wait(leaving.put_new("a/b", "text".into(), &Meta::new())).unwrap_err();
        assert_eq!(refused.kind, Fault::NotMounted, "{step:?}: {refused}");
    }
}

#[test]
fn keys_and_links_lead_nowhere_else() {
    let folder = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    for key in ["", "/etc/passwd", "../x", "a/../../x", "a//b", "a/./b", ".hidden", "a/\u{0}", "a\\b", "~", "a b"] {
        let refused = wait(store.put_new(key, Bytes::from_static(b"x"), &Meta::new())).unwrap_err();
        assert_eq!(refused.kind, Fault::Invalid, "{key:?}");
        assert_eq!(wait(store.get(key, 10)).unwrap_err().kind, Fault::Invalid, "{key:?}");
    }
    fs::write(outside.path().join("secret"), b"secret").unwrap();
    std::os::unix::fs::symlink(outside.path().join("secret"), folder.path().join("link")).unwrap();
    std::os::unix::fs::symlink(outside.path(), folder.path().join("folder")).unwrap();
    assert_eq!(wait(store.get("link", 100)).unwrap_err().kind, Fault::Invalid);
    assert!(wait(store.get("folder/secret", 100)).is_err(), "a link to a folder is followed");
    assert_eq!(wait(store.put_new("link", Bytes::from_static(b"x"), &Meta::new())).unwrap(), Put::Exists);
    assert!(wait(store.put_new("folder/new", Bytes::from_static(b"x"), &Meta::new())).is_err());
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
    assert_eq!(keys(&store), [""; 0]);
}

#[test]
fn lists_are_in_the_order_of_keys_and_go_on_where_they_ended() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let mut wanted: Vec<String> =
        ["a/b/c", "a/b-c", "a/b.c", "a.b", "g=1/_c", "g=1/x/y", "g=10/z", "g=2/z", "a0"].map(str::to_owned).to_vec();
    for key in &wanted {
        // A key that begins with an underscore is no name of a run, but one of the catalogue.
        wait(store.put_new(key, Bytes::from_static(b"x"), &Meta::new())).unwrap_or_else(|e| panic!("{key}: {e}"));
    }
    wanted.sort();
    assert_eq!(keys(&store), wanted);
    let list = |prefix, after, folders| {
        let page = wait(store.list(&List { prefix, after, token: None, folders })).unwrap();
        let objects = page.objects.into_iter().map(|o| o.key);
        page.folders.into_iter().chain(objects).collect::<Vec<_>>()
    };
    assert_eq!(list("a/b", None, false), ["a/b-c", "a/b.c", "a/b/c"]);
    assert_eq!(list("a/", Some("a/b.c"), false), ["a/b/c"]);
    assert_eq!(list("g=", None, true), ["g=1/", "g=10/", "g=2/"]);
    assert_eq!(list("g=", Some("g=1/"), true), ["g=10/", "g=2/"]);
    assert_eq!(list("", None, true), ["a/", "g=1/", "g=10/", "g=2/", "a.b", "a0"]);
    assert_eq!(list("a/b/c/d", None, false), [""; 0]);
    for n in 0..1_500 {
        fs::write(folder.path().join(format!("n{n:04}")), b"").unwrap();
    }
    let (mut all, mut token) = (Vec::new(), None);
    loop {
        let page = wait(store.list(&List { prefix: "n", token: token.as_deref(), ..List::default() })).unwrap();
        assert!(page.objects.len() <= 1_000);
        all.extend(page.objects.into_iter().map(|o| o.key));
        token = page.next;
        if token.is_none() {
            break;
        }
    }
    assert_eq!((all.len(), all.is_sorted()), (1_500, true));
}

#[test]
fn too_large_a_file_is_not_read() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("large"), vec![0; 1001]).unwrap();
    let store = store(folder.path());
    assert_eq!(wait(store.get("large", 1000)).unwrap_err().kind, Fault::TooLarge);
    assert_eq!(wait(store.get("large", 1001)).unwrap().unwrap().bytes.len(), 1001);
}
