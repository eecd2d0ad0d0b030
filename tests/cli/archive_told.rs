//! `unstick archive` where it isn't plain which archive is meant, or what is the matter with one.

use std::fs;

use serde_json::{Value, json};
use unstick::archive::catalogue::generation::append;
use unstick::archive::catalogue::row::{Deletion, Row};
use unstick::archive::digest::Digest;
use unstick::archive::gzip;
use unstick::archive::keep::{KeepOptions, Kept, keep};
use unstick::archive::key::{Layout, Stem};
use unstick::archive::redaction::Redaction;
use unstick::archive::store::Store as _;
use unstick::archive::store::filesystem::Filesystem;
use unstick::cli::Exit;

use crate::archive::{PREFIX, Shelf, live, location_of, wait};

impl Shelf {
    /// The first run as it is with a label more.
    fn labelled(label: &str) -> String {
        let text = live("etl", "load-eu-7xk2p", "2026-11-21T10:15:00Z", "Succeeded");
        let mut wf: Value = serde_json::from_str(&text).unwrap();
        wf["metadata"]["labels"]["again"] = label.into();
        wf.to_string()
    }

    fn stem_labelled(label: &str) -> String {
        let form = unstick::archive::canonical::canonical(&Self::labelled(label), &Redaction::default()).unwrap();
        Stem::of(&form.facts, &form.digest).stem
    }

    fn keep_labelled(&self, label: &str, archived_at: &str) {
        let store = Filesystem::new(self.folder.path(), PREFIX);
        let location = location_of(&store, "prod-us");
        let rules = Redaction::default();
        let now = serde_json::from_value(archived_at.into()).unwrap();
        let options = KeepOptions { rules: &rules, events: None, now, stuck_seconds: None };
        wait(keep(&store, &location, &Self::labelled(label), &options)).unwrap();
    }
}

/// Two archives of one run that finished once: it was labelled after the first, and archived again, from another cluster.
#[test]
fn of_two_with_one_time_the_later_archived_is_the_latest() {
    let shelf = Shelf::new();
    let stem = |kept: &Kept| kept.key.rsplit('/').next().unwrap().strip_suffix(".json.gz").unwrap().to_owned();
    let own = &stem(&shelf.kept[0]);
    // The order of the digests says nothing: of many one is found that is behind the next in time, by its name.
    let labelled = (b'a'..=b'z').map(|n| char::from(n).to_string()).collect::<Vec<_>>();
    let mut made: Vec<(String, &String)> = labelled.iter().map(|label| (Shelf::stem_labelled(label), label)).collect();
    made.sort();
    let (middle, latest) = (made.last().unwrap(), made.first().unwrap());
    shelf.keep_labelled(latest.1, "2026-11-23T09:00:00Z");
    shelf.keep_labelled(middle.1, "2026-11-23T08:00:00Z");
    let (latest, middle) = (&latest.0, &middle.0);
    assert!(latest < middle);
    let picked = |flags: &str| {
        let ran = shelf.run(&format!("get etl/load-eu-7xk2p {flags} -o json"));
        assert_eq!(ran.exit, Exit::Fine, "{flags}: {}", ran.err);
        let json: Value = serde_json::from_str(&ran.out).unwrap();
        let key = json["key"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
        (key.strip_suffix(".json.gz").unwrap().to_owned(), ran.err)
    };
    let (stem, err) = picked("--latest");
    assert_eq!(&stem, latest);
    assert_eq!(err, format!("note: the latest of 3 archives: etl/load-eu-7xk2p/{latest}\n"));
    let ran = shelf.run("get etl/load-eu-7xk2p");
    assert_eq!(ran.exit, Exit::Usage);
    for stem in [own, middle, latest] {
        assert!(ran.err.contains(&format!("\n  -n etl load-eu-7xk2p --date {stem}\n")), "{}", ran.err);
    }
    for stem in [own, middle, latest] {
        assert_eq!(picked(&format!("--date {stem}")), (stem.to_owned(), String::new()));
    }
    assert_eq!(picked("--cluster prod-eu"), (own.to_owned(), String::new()));
    assert_eq!(&picked("--cluster prod-us --date 20261121 --latest").0, latest);
    let ran = shelf.run("download etl/load-eu-7xk2p --cluster nowhere");
    assert!(
        ran.exit == Exit::Failed && ran.err.contains("no archive of etl/load-eu-7xk2p fits the filters"),
        "{}",
        ran.err
    );
    assert_eq!(shelf.run("restore etl/load-eu-7xk2p --cluster prod-eu").exit, Exit::Fine);
    // What the list names is one archive each.
    shelf.run("reindex");
    let names = shelf.run("list -n etl --name load-eu-* -o name").out;
    let mut named: Vec<&str> = names.lines().map(|line| line.rsplit(' ').next().unwrap()).collect();
    named.sort_unstable();
    let mut all = [own.as_str(), middle, latest];
    all.sort_unstable();
    assert_eq!(named, all);
}

#[test]
fn a_manifest_that_is_not_there_is_told_as_what_it_is() {
    let shelf = Shelf::new();
    let manifest = shelf.path(&shelf.kept[0].row.manifest_key);
    fs::write(&manifest, "{}").unwrap();
    let ran = shelf.run("get etl/load-eu-7xk2p");
    assert!(ran.out.contains(&format!("damaged: {} is no manifest", shelf.kept[0].row.manifest_key)), "{}", ran.out);
    let ran = shelf.run("download etl/load-eu-7xk2p");
    assert!(ran.exit == Exit::Fine && ran.err.contains("is no manifest"), "{}", ran.err);
    fs::remove_file(&manifest).unwrap();
    let ran = shelf.run("get etl/load-eu-7xk2p");
    assert!(ran.out.contains("none yet: it is being archived now, or that was interrupted"), "{}", ran.out);
    let json: Value = serde_json::from_str(&shelf.run("get etl/load-eu-7xk2p -o json").out).unwrap();
    assert!(json["manifest"].is_null() && json["noManifest"].as_str().unwrap().starts_with("none yet"), "{json}");
}

#[test]
fn a_deletion_without_an_archive_is_not_counted_as_one() {
    let shelf = Shelf::new();
    let live = live("ml", "short", "2026-11-21T13:00:00Z", "Succeeded");
    let facts = unstick::archive::canonical::canonical(&live, &Redaction::default()).unwrap().facts;
    let store = Filesystem::new(shelf.folder.path(), PREFIX);
    let now = serde_json::from_value("2026-11-22T09:00:00Z".into()).unwrap();
    let row = Row::deletion(&Deletion {
        facts: &facts,
        cluster: "prod-eu",
        fingerprint: store.fingerprint(),
        archive: None,
        deleted_at: now,
        policy: "WorkflowPolicy/ml/default",
        reason: "Expired",
    });
    wait(append(&store, &Layout::new(PREFIX).unwrap(), &[row], now)).unwrap();
    let last = |flags: &str| shelf.run(&format!("list {flags}")).out.lines().last().unwrap().to_owned();
    assert_eq!(last(""), "3 archives, 2.0 KiB stored; 1 deletion without an archive.");
    assert!(last("--limit 2").starts_with("1 archive of 3, "), "{}", last("--limit 2"));
}

/// The events that a manifest names are read and compared, too.
#[test]
fn verify_reads_the_events_beside() {
    let shelf = Shelf::new();
    let key = shelf.kept[0].key.replace(".json.gz", ".events.json.gz");
    let events = br#"[{"regarding":{"uid":"uid-load-eu-7xk2p"}}]"#;
    fs::write(shelf.path(&key), gzip::pack(events)).unwrap();
    let manifest = shelf.path(&shelf.kept[0].row.manifest_key);
    let mut named: Value = serde_json::from_slice(&fs::read(&manifest).unwrap()).unwrap();
    named["events"] = json!({"key": key, "digest": Digest::of(events).to_string(), "bytes": events.len()});
    fs::write(&manifest, named.to_string()).unwrap();
    let ran = shelf.run("verify --all");
    assert_eq!((ran.exit, ran.out.as_str()), (Exit::Fine, "3 of 3 archives read: 3 fine, 0 not\n"));
    let judged = || {
        let ran = shelf.run("verify --all -o json");
        assert_eq!(ran.exit, Exit::Findings, "{}", ran.out);
        let json: Value = serde_json::from_str(&ran.out).unwrap();
        assert_eq!(json["items"].as_array().unwrap().len(), 1);
        assert_eq!(json["items"][0]["name"], "load-eu-7xk2p");
        let text = |field: &str| json["items"][0][field].as_str().unwrap().to_owned();
        (text("state"), text("key"), text("message"))
    };
    fs::write(shelf.path(&key), gzip::pack(b"[]")).unwrap();
    let (state, at, message) = judged();
    assert!(state == "Differs" && at == key && message.starts_with("the digest of the events is"), "{message}");
    fs::write(shelf.path(&key), b"half").unwrap();
    assert_eq!(judged().0, "Differs");
    fs::remove_file(shelf.path(&key)).unwrap();
    assert_eq!(judged(), ("Missing".to_owned(), key.clone(), "its events are not there".to_owned()));
    named["events"]["key"] = shelf.kept[1].key.as_str().into();
    fs::write(&manifest, named.to_string()).unwrap();
    assert_eq!(judged().0, "Differs", "a manifest that names another's object");
}
