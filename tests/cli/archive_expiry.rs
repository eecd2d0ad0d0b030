//! What the bucket's lifecycle has taken is told as that, wherever it is come upon; what is gone before its time isn't.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use unstick::archive::catalogue::generation::append;
use unstick::archive::catalogue::row::{Deletion, Row};
use unstick::archive::keep::{KeepOptions, Kept, keep};
use unstick::archive::redaction::Redaction;
use unstick::archive::store::filesystem::Filesystem;
use unstick::cli::Exit;
use unstick::cli::screen::Screen;

use crate::archive::{PREFIX, live, location_of, wait};
use crate::stage::{Ran, golden, run, terminal};

/// Archives of 2016, whose time is over, and one of 2026.
struct Old {
    folder: tempfile::TempDir,
    gone: Kept,
    young: Kept,
}

impl Old {
    /// Of the three old ones the body of one is gone; of the young one, too.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Filesystem::new(folder.path(), PREFIX);
        let location = location_of(&store, "prod-eu");
        let rules = Redaction::default();
        let kept = |name: &str, year: &str| {
            let now = serde_json::from_value(format!("{year}-11-22T08:00:00Z").into()).unwrap();
            let options = KeepOptions { rules: &rules, events: None, now, stuck_seconds: None };
            let text = live("etl", name, &format!("{year}-11-21T10:15:00Z"), "Succeeded")
                .replace("2026-11-20T08:00:00Z", &format!("{year}-11-21T08:00:00Z"));
            let kept = wait(keep(&store, &location, &text, &options)).unwrap();
            let facts = unstick::archive::canonical::canonical(&text, &rules).unwrap().facts;
            let deletion = Row::deletion(&Deletion {
                facts: &facts,
                cluster: "prod-eu",
                fingerprint: &location.fingerprint,
                archive: Some((&kept.key, kept.digest)),
                deleted_at: now,
                policy: "WorkflowPolicy/etl/default",
                reason: "Expired",
            });
            wait(append(&store, &location.layout, &[kept.row.clone(), deletion], now)).unwrap();
            kept
        };
        let (gone, _, young) = (kept("gone", "2016"), kept("still-there", "2016"), kept("young", "2026"));
        let own = Self { folder, gone, young };
        fs::remove_file(own.path(&own.gone.key)).unwrap();
        fs::remove_file(own.path(&own.young.key)).unwrap();
        own
    }

    fn path(&self, key: &str) -> PathBuf {
        self.folder.path().join(key)
    }

    /// As on a bucket that keeps archives for seven years.
    fn run(&self, line: &str) -> Ran {
        self.run_on(&format!("{line} --expires-after 2555d"), Screen::PLAIN)
    }

    fn run_on(&self, line: &str, screen: Screen) -> Ran {
        run(&format!("archive {line} --location {}", self.folder.path().display()), "", screen)
    }
}

#[test]
fn list_says_of_a_line_that_its_archive_has_expired() {
    let old = Old::new();
    golden("archive-list-expired-140.txt", &old.run_on("list --expires-after 2555d", terminal(140, false)).out);
    let expired = |line: &str| {
        let json: Value = serde_json::from_str(&old.run_on(line, Screen::PLAIN).out).unwrap();
        let items = json["items"].as_array().unwrap().clone();
        let name = |i: &Value| format!("{} {}", i["name"].as_str().unwrap(), i["expired"].as_bool().unwrap());
        let mut all: Vec<String> = items.iter().map(name).collect();
        all.sort();
        all.join(", ")
    };
    assert_eq!(expired("list -o json --expires-after 2555d"), "gone true, still-there false, young false");
    // A folder deletes nothing by itself; and what is kept longer hasn't expired yet.
    assert_eq!(expired("list -o json"), "gone false, still-there false, young false");
    assert_eq!(expired("list -o json --expires-after 99999d"), "gone false, still-there false, young false");
}

#[test]
fn one_that_has_expired_is_neither_lost_nor_damaged() {
    let old = Old::new();
    let words = "expired by the bucket's lifecycle: archived 2016-11-22 08:00 UTC, kept 2555d";
    let ran = old.run("get etl/gone");
    assert_eq!(ran.exit, Exit::Fine, "{}", ran.err);
    assert!(ran.out.contains(words) && ran.out.contains("Digest"), "{}", ran.out);
    for command in ["download", "restore"] {
        let ran = old.run(&format!("{command} etl/gone"));
        assert_eq!((ran.exit, ran.out.as_str()), (Exit::Failed, ""), "{command}");
        assert_eq!(ran.err, format!("error: {} has {words}\n", old.gone.key));
    }
    // Before its time it is missing, and everywhere where nothing expires.
    for (name, flags) in [("young", "--expires-after 2555d"), ("gone", ""), ("gone", "--expires-after 99999d")] {
        for command in ["get", "download", "restore"] {
            let ran = old.run_on(&format!("{command} etl/{name} {flags}"), Screen::PLAIN);
            assert_eq!((ran.exit, ran.out.as_str()), (Exit::Failed, ""), "{command} {name} {flags}");
            assert!(ran.err.contains("is not there: it was deleted, or is lost"), "{}", ran.err);
        }
    }
    // The manifest has gone with it: only the line of the catalogue is left.
    fs::remove_file(old.path(&old.gone.row.manifest_key)).unwrap();
    for line in ["get etl/gone", "get --uid uid-gone"] {
        let ran = old.run(line);
        assert_eq!(ran.exit, Exit::Fine, "{}", ran.err);
        assert!(ran.out.contains(words) && ran.out.contains("none: it has expired, too"), "{}", ran.out);
        assert!(ran.out.contains("uid-gone") && ran.out.contains("loader"), "what the line has: {}", ran.out);
    }
    let json: Value = serde_json::from_str(&old.run("get etl/gone -o json").out).unwrap();
    assert_eq!((&json["expired"], &json["row"]["uid"]), (&true.into(), &"uid-gone".into()));
    let ran = old.run("restore etl/gone");
    assert_eq!(ran.err, format!("error: {} has {words}\n", old.gone.key));
}

#[test]
fn verify_tells_expired_from_missing() {
    let old = Old::new();
    let states = |flags: &str| {
        let ran = old.run_on(&format!("verify --all -o json {flags}"), Screen::PLAIN);
        let json: Value = serde_json::from_str(&ran.out).unwrap();
        let item = |i: &Value| format!("{} {}", i["name"].as_str().unwrap(), i["state"].as_str().unwrap());
        let all: Vec<String> = json["items"].as_array().unwrap().iter().map(item).collect();
        (ran.exit, all.join(", "))
    };
    assert_eq!(states("--expires-after 2555d"), (Exit::Findings, "gone Expired, young Missing".into()));
    assert_eq!(states("--expires-after 2555d --name gone"), (Exit::Fine, "gone Expired".into()));
    assert_eq!(states("--name gone"), (Exit::Findings, "gone Missing".into()));
    let ran = old.run("verify --all");
    assert!(
        ran.out.ends_with("3 of 3 archives read: 1 fine, 1 not, 1 expired by the bucket's lifecycle\n"),
        "{}",
        ran.out
    );
}

/// A line that is written anew would outlive the archive by as long as that has lived.
#[test]
fn a_reindex_gives_no_new_line_to_what_has_expired() {
    let old = Old::new();
    let ran = old.run("reindex");
    assert_eq!(ran.exit, Exit::Findings, "{}", ran.err);
    // Left out are one archive, and two deletions of 2016; what is missing keeps its line.
    let missing = format!("missing: {}\n", old.young.key);
    assert_eq!(ran.out, format!("generation 2: 2 archives, 1 deletion; 3 lines expired and left out\n{missing}"));
    let names = old.run("list -o name").out;
    assert!(names.contains("still-there") && names.contains("young") && !names.contains("gone"), "{names}");
    // Nothing expires here: nothing is left out.
    let ran = old.run_on("reindex", Screen::PLAIN);
    assert!(ran.out.starts_with("generation 3: 3 archives, 3 deletions\nmissing: "), "{}", ran.out);
    assert_eq!(ran.out.matches("missing: ").count(), 2);
    assert_eq!(old.run("reindex --exit-zero").exit, Exit::Fine);
}
