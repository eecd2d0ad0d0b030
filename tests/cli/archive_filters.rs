//! Every filter in every command that finds archives: what fits, and what misses by a little.

use std::fs;

use serde_json::Value;
use unstick::archive::catalogue::generation::append;
use unstick::archive::keep::{KeepOptions, Kept, keep};
use unstick::archive::redaction::Redaction;
use unstick::archive::store::filesystem::Filesystem;
use unstick::cli::Exit;
use unstick::cli::screen::Screen;

use crate::archive::{PREFIX, live, location_of, wait};
use crate::stage::{Ran, run};

/// Flags that choose the one run, and the same that miss it.
const FILTERS: &[(&str, &str)] = &[
    ("-n etl", "-n et"),
    ("--name load-e*", "--name load-e"),
    ("--uid uid-load-eu-7xk2p", "--uid uid-load-eu-7xk2"),
    ("--template loader-e*", "--template loader-e"),
    ("--template nightly", "--template night"),
    ("--phase error,failed", "--phase error,running"),
    ("-l team=etl,region", "-l team=etl,!region"),
    ("-p month=M*", "-p month=m*"),
    ("--since 2026-11-21T10:15:00Z", "--since 2026-11-21T10:15:01Z"),
    (
        "--since 2026-11-21T00:00:00Z --until 2026-11-21T10:15:01Z",
        "--since 2026-11-21T00:00:00Z --until 2026-11-21T10:15:00Z",
    ),
    ("--date 20261121_1015", "--date 20261121_1016"),
    ("--longer 1575m", "--longer 1576m"),
    ("--longer 26h --shorter 1575m", "--longer 26h --shorter 1574m"),
    ("--cluster prod-eu", "--cluster prod"),
];

struct Two {
    folder: tempfile::TempDir,
    kept: Vec<Kept>,
}

impl Two {
    /// One run that is asked for, and one that is like it in nothing.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut one = changed("etl", "load-eu-7xk2p", "2026-11-21T10:15:00Z", "Failed");
        one["metadata"]["labels"]["region"] = "eu".into();
        one["metadata"]["labels"]["workflows.argoproj.io/workflow-template"] = "loader-eu".into();
        one["metadata"]["labels"]["workflows.argoproj.io/cron-workflow"] = "nightly".into();
        let mut other = changed("ml", "train", "2026-11-20T23:00:00Z", "Succeeded");
        other["spec"]["arguments"]["parameters"][0]["value"] = "June".into();
        let mut own = Self { folder, kept: Vec::new() };
        own.keep(&one, "prod-eu");
        own.keep(&other, "prod-us");
        own
    }

    fn keep(&mut self, wf: &Value, cluster: &str) {
        let store = Filesystem::new(self.folder.path(), PREFIX);
        let location = location_of(&store, cluster);
        let rules = Redaction::default();
        let now = serde_json::from_value("2026-11-22T08:00:00Z".into()).unwrap();
        let options = KeepOptions { rules: &rules, events: None, now, stuck_seconds: None };
        let kept = wait(keep(&store, &location, &wf.to_string(), &options)).unwrap();
        wait(append(&store, &location.layout, std::slice::from_ref(&kept.row), now)).unwrap();
        self.kept.push(kept);
    }

    fn run(&self, line: &str) -> Ran {
        run(&format!("archive {line} --location {}", self.folder.path().display()), "", Screen::PLAIN)
    }

    fn without_catalogue(&self) {
        fs::remove_dir_all(self.folder.path().join("workflow-archives-index/catalogue")).unwrap();
    }

    /// Which runs a command has come upon, by name; the error where it found none.
    fn found(&self, command: &str, flags: &str) -> Result<String, String> {
        let more = match command {
            "list" | "get" => "-o json",
            "verify" => "--all -o json",
            _ => "",
        };
        let ran = self.run(&format!("{command} {flags} {more}"));
        if command == "verify" {
            assert_eq!(ran.exit, Exit::Fine, "{flags}: {}", ran.err);
            let read = self.run(&format!("verify --all {flags}")).out;
            return match read.as_str() {
                "1 of 1 archive read: 1 fine, 0 not\n" => Ok("load-eu-7xk2p".into()),
                "0 of 0 archives read: 0 fine, 0 not\n" => Err(ran.err),
                _ => panic!("{flags}: {read}"),
            };
        }
        if ran.exit != Exit::Fine {
            assert_eq!((ran.exit, ran.out.as_str()), (Exit::Failed, ""), "{command} {flags}: {}", ran.err);
            return Err(ran.err);
        }
        let json: Value = match command {
            "restore" => serde_saphyr::from_str(&ran.out).unwrap(),
            _ => serde_json::from_str(&ran.out).unwrap(),
        };
        let name = |v: &Value| v.as_str().map(str::to_owned).unwrap_or_default();
        match command {
            "list" => {
                let names: Vec<String> = json["items"].as_array().unwrap().iter().map(|i| name(&i["name"])).collect();
                if names.is_empty() { Err("no archive".into()) } else { Ok(names.join(" ")) }
            }
            "get" => Ok(name(&json["name"])),
            "restore" => Ok(name(&json["metadata"]["generateName"]).trim_end_matches('-').to_owned()),
            _ => Ok(name(&json["metadata"]["name"])),
        }
    }
}

fn changed(namespace: &str, name: &str, finished: &str, phase: &str) -> Value {
    serde_json::from_str(&live(namespace, name, finished, phase)).unwrap()
}

#[test]
fn every_command_has_every_filter() {
    let two = Two::new();
    for catalogue in [true, false] {
        if !catalogue {
            two.without_catalogue();
        }
        for command in ["list", "get", "download", "restore", "verify"] {
            for (hit, miss) in FILTERS {
                let found = two.found(command, hit);
                assert!(
                    found.as_ref().is_ok_and(|f| f.starts_with("load-eu")),
                    "{command} {hit} {catalogue}: {found:?}"
                );
                let missed = two.found(command, miss);
                assert!(missed.as_ref().is_err_and(|e| e.contains("no archive")), "{command} {miss}: {missed:?}");
            }
        }
    }
}

#[test]
fn of_several_none_is_guessed() {
    let two = Two::new();
    for command in ["get", "restore", "download"] {
        for flags in ["", "--longer 1h", "--since 2026-11-01T00:00:00Z"] {
            let ran = two.run(&format!("{command} {flags}"));
            assert_eq!((ran.exit, ran.out.as_str()), (Exit::Usage, ""), "{command} {flags}: {}", ran.err);
            let listed = "\n  -n etl load-eu-7xk2p --date 20261121_101500\n  -n ml train --date 20261120_230000\n";
            assert!(ran.err.starts_with("error: 2 archives fit: "), "{}", ran.err);
            assert!(ran.err.ends_with(listed) && ran.err.contains("--latest"), "{}", ran.err);
        }
    }
    let ran = two.run("get --latest --longer 1h");
    assert_eq!(ran.exit, Exit::Fine, "{}", ran.err);
    assert!(ran.out.contains("etl/load-eu-7xk2p"), "{}", ran.out);
    assert!(ran.err.contains("note: the latest of 2 archives: etl/load-eu-7xk2p/20261121_101500_"), "{}", ran.err);
    // A name alone is enough where it is the only one, and what is named twice isn't.
    assert_eq!(two.run("get train").exit, Exit::Fine);
    for (line, words) in
        [("get ml/train -n etl", "ml/train has its namespace in it"), ("get ml/train --name t*", "cannot be used with")]
    {
        let ran = two.run(line);
        assert!(ran.exit == Exit::Usage && ran.err.contains(words), "{line}: {}", ran.err);
    }
    let many: Vec<Value> =
        (10..24).map(|minute| changed("etl", "again", &format!("2026-11-21T12:{minute}:00Z"), "Succeeded")).collect();
    let mut two = two;
    for wf in &many {
        two.keep(wf, "prod-eu");
    }
    let ran = two.run("restore etl/again");
    assert!(ran.err.starts_with("error: 14 archives fit"), "{}", ran.err);
    assert!(ran.err.contains("\n  -n etl again --date 20261121_122300\n"), "the latest come first: {}", ran.err);
    assert!(ran.err.ends_with("\n  and 4 more: unstick archive list has them all\n"), "{}", ran.err);
}

#[test]
fn a_folder_takes_all_that_are_downloaded() {
    let two = Two::new();
    let to = two.folder.path().join("out");
    let ran = two.run(&format!("download --longer 1h -O {}/", to.display()));
    assert_eq!((ran.exit, ran.out.as_str()), (Exit::Fine, ""), "{}", ran.err);
    assert!(ran.err.starts_with("2 archives written to "), "{}", ran.err);
    let file = |kept: &Kept, ending: &str| {
        to.join(kept.key.strip_prefix("workflow-archives/").unwrap().replace(".json.gz", ending))
    };
    for kept in &two.kept {
        let text = fs::read(file(kept, ".json")).unwrap();
        assert_eq!(unstick::archive::digest::Digest::of(&text), kept.digest);
    }
    let ran = two.run(&format!("download -n ml --raw -O {}", to.display()));
    assert_eq!(ran.exit, Exit::Fine, "{}", ran.err);
    let stored = fs::read(two.folder.path().join(&two.kept[1].key)).unwrap();
    assert_eq!(fs::read(file(&two.kept[1], ".json.gz")).unwrap(), stored);
    assert!(!file(&two.kept[0], ".json.gz").exists(), "it wasn't asked for");
    // One that can't be had doesn't keep the others.
    fs::remove_dir_all(&to).unwrap();
    fs::write(two.folder.path().join(&two.kept[0].key), b"half").unwrap();
    let ran = two.run(&format!("download -O {}/", to.display()));
    assert_eq!(ran.exit, Exit::Failed, "{}", ran.err);
    assert!(ran.err.contains("is damaged") && ran.err.contains("1 archive written to "), "{}", ran.err);
    assert!(file(&two.kept[1], ".json").exists() && !file(&two.kept[0], ".json").exists());
}

/// A script's archive has no manifest: what keys don't tell isn't known of it, and that is said.
#[test]
fn what_cant_be_judged_is_left_out_and_told() {
    let two = Two::new();
    let folder = two.folder.path().join("workflow-archives/etl/old");
    fs::create_dir_all(&folder).unwrap();
    let text = live("etl", "old", "2026-11-01T00:00:00Z", "Failed");
    fs::write(folder.join("20261101_000000.json.gz"), unstick::archive::gzip::pack(text.as_bytes())).unwrap();
    let note = "note: 1 archive without a manifest left out: only namespace, name and date are known of such";
    let ran = two.run("verify --all --phase failed");
    assert!(ran.out.starts_with("1 of 1 archive read") && ran.err.contains(note), "{}{}", ran.out, ran.err);
    let ran = two.run("get etl/old --phase failed");
    assert!(ran.exit == Exit::Failed && ran.err.contains(note), "{}", ran.err);
    assert_eq!(two.run("get etl/old --date 20261101").exit, Exit::Fine);
}

/// Of many the catalogue tells what is asked for: nobody reads a manifest of each.
#[test]
fn of_many_the_catalogue_tells() {
    let mut two = Two::new();
    for n in 0..70 {
        let finished = format!("2026-11-19T12:00:{:02}Z", n % 60);
        two.keep(&changed("etl", &format!("small-{n}"), &finished, "Succeeded"), "prod-eu");
    }
    for kept in &two.kept {
        fs::remove_file(two.folder.path().join(&kept.row.manifest_key)).unwrap();
    }
    let ran = two.run("verify --all --uid uid-small-7");
    assert_eq!(ran.err, "");
    assert_eq!(ran.out.lines().last(), Some("1 of 1 archive read: 0 fine, 0 not, 1 without a manifest"));
    two.without_catalogue();
    let ran = two.run("verify --all --uid uid-small-7");
    assert!(ran.err.contains("72 archives without a manifest left out"), "{}", ran.err);
}
