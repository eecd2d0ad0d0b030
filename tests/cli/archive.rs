//! `unstick archive` on a folder: what is listed, got back and checked.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use unstick::archive::catalogue::generation::append;
use unstick::archive::catalogue::row::{Deletion, Row};
use unstick::archive::gzip;
use unstick::archive::keep::{KeepOptions, Kept, keep};
use unstick::archive::key::Layout;
use unstick::archive::redaction::Redaction;
use unstick::archive::store::filesystem::Filesystem;
use unstick::archive::store::{Location, LocationKind, Store as _};
use unstick::cli::Exit;
use unstick::cli::screen::Screen;

use crate::server::serve;
use crate::stage::{Ran, assert_fits, golden, run, terminal};

pub const PREFIX: &str = "workflow-archives";

pub struct Shelf {
    pub folder: tempfile::TempDir,
    pub kept: Vec<Kept>,
}

pub fn live(namespace: &str, name: &str, finished: &str, phase: &str) -> String {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/argo-4.1.2/done-ok.json");
    let mut wf: Value = serde_json::from_str(&fs::read_to_string(fixture).unwrap()).unwrap();
    wf["metadata"]["namespace"] = namespace.into();
    wf["metadata"]["name"] = name.into();
    wf["metadata"]["uid"] = format!("uid-{name}").into();
    wf["metadata"]["labels"]["team"] = namespace.into();
    wf["metadata"]["labels"]["workflows.argoproj.io/workflow-template"] = "loader".into();
    wf["spec"]["arguments"] =
        json!({"parameters": [{"name": "month", "value": "May"}, {"name": "api-token", "value": "s3cret"}]});
    wf["status"]["phase"] = phase.into();
    wf["status"]["startedAt"] = "2026-11-20T08:00:00Z".into();
    wf["status"]["finishedAt"] = finished.into();
    wf.to_string()
}

pub fn wait<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

/// The place of `store`, as that of runs of this cluster.
pub fn location_of(store: &Filesystem, cluster: &str) -> Location {
    Location {
        name: "main".into(),
        kind: LocationKind::Filesystem,
        layout: Layout::new(PREFIX).unwrap(),
        fingerprint: store.fingerprint().clone(),
        cluster: cluster.into(),
        conditional_put: true,
    }
}

impl Shelf {
    /// Three runs of two namespaces; the catalogue knows of them, and that one was deleted.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Filesystem::new(folder.path(), PREFIX);
        let location = location_of(&store, "prod-eu");
        let rules = Redaction::default();
        let now = serde_json::from_value("2026-11-22T08:00:00Z".into()).unwrap();
        let options = KeepOptions { rules: &rules, events: None, now, stuck_seconds: None };
        let kept: Vec<Kept> = [
            ("etl", "load-eu-7xk2p", "2026-11-21T10:15:00Z", "Succeeded"),
            ("etl", "load-us-2mm4d", "2026-11-20T23:00:00Z", "Failed"),
            ("ml", "train", "2026-11-21T12:00:00Z", "Succeeded"),
        ]
        .into_iter()
        .map(|(ns, name, at, phase)| wait(keep(&store, &location, &live(ns, name, at, phase), &options)).unwrap())
        .collect();
        let facts =
            unstick::archive::canonical::canonical(&live("ml", "train", "2026-11-21T12:00:00Z", "Succeeded"), &rules);
        let deletion = Row::deletion(&Deletion {
            facts: &facts.unwrap().facts,
            cluster: "prod-eu",
            fingerprint: &location.fingerprint,
            archive: Some((&kept[2].key, kept[2].digest)),
            deleted_at: now,
            policy: "WorkflowPolicy/ml/default",
            reason: "Expired",
        });
        let rows: Vec<Row> = kept.iter().map(|k| k.row.clone()).chain([deletion]).collect();
        wait(append(&store, &location.layout, &rows, now)).unwrap();
        Self { folder, kept }
    }

    pub fn run(&self, line: &str) -> Ran {
        self.run_on(line, Screen::PLAIN)
    }

    fn run_on(&self, line: &str, screen: Screen) -> Ran {
        run(&format!("archive {line} --location {}", self.folder.path().display()), "", screen)
    }

    pub fn path(&self, key: &str) -> PathBuf {
        self.folder.path().join(key)
    }

    /// As a plain kubectl script leaves it.
    fn script(&self) -> Value {
        let mut wf: Value = serde_json::from_str(&live("etl", "old", "2026-11-01T00:00:00Z", "Succeeded")).unwrap();
        wf["status"]["phase"] = "Succeeded".into();
        let text = serde_json::to_string_pretty(&wf).unwrap();
        fs::create_dir_all(self.path("workflow-archives/etl/old")).unwrap();
        fs::write(self.path("workflow-archives/etl/old/20261101_000500.json.gz"), gzip::pack(text.as_bytes())).unwrap();
        wf
    }
}

#[test]
fn lists_fit_and_say_what_is_there() {
    let shelf = Shelf::new();
    for width in [80, 140] {
        let ran = shelf.run_on("list", terminal(width, false));
        assert_eq!((ran.exit, ran.err.as_str()), (Exit::Fine, ""));
        assert_fits(&ran.out, width);
        golden(&format!("archive-list-{width}.txt"), &ran.out);
    }
    golden("archive-list-80-colour.txt", &shelf.run_on("list", terminal(80, true)).out);
    golden("archive-list-wide.txt", &shelf.run_on("list -o wide", terminal(80, false)).out);
    let json = shelf.run("list -o json").out;
    let yaml = shelf.run("list -o yaml").out;
    // Where the folder is makes the fingerprint, which isn't shown.
    golden("archive-list.json", &json);
    assert_eq!(serde_json::from_str::<Value>(&json).unwrap(), serde_saphyr::from_str::<Value>(&yaml).unwrap());
    assert_eq!(
        shelf.run("list -o name").out,
        "-n ml train --date 20261121_120000\n-n etl load-eu-7xk2p --date 20261121_101500\n\
         -n etl load-us-2mm4d --date 20261120_230000\n"
    );
}

#[test]
fn filters_choose() {
    let shelf = Shelf::new();
    let names = |flags: &str| {
        let ran = shelf.run(&format!("list -o name {flags}"));
        assert_eq!(ran.exit, Exit::Fine, "{flags}: {}", ran.err);
        let names: Vec<String> =
            ran.out.lines().map(|l| l.split(' ').nth(2).unwrap().chars().take(7).collect()).collect();
        names.join(" ")
    };
    for (flags, wanted) in [
        ("", "train load-eu load-us"),
        ("-n etl", "load-eu load-us"),
        ("-n etl --date 20261121", "load-eu"),
        ("--date 20261121_12", "train"),
        ("--name load-*", "load-eu load-us"),
        ("--phase failed", "load-us"),
        ("-l team=ml", "train"),
        ("-p month=M*", "train load-eu load-us"),
        ("-p month=June", ""),
        ("--template loader --uid uid-train", "train"),
        ("--since 2026-11-21T10:15:00Z --until 2026-11-21T12:00:00Z", "load-eu"),
        ("--longer 26h --shorter 27h", "load-eu"),
        ("--cluster nowhere", ""),
        ("--limit 1", "train"),
    ] {
        assert_eq!(names(flags), wanted, "{flags}");
    }
}

#[test]
fn one_archive_is_shown_downloaded_and_checked() {
    let shelf = Shelf::new();
    golden("archive-get.txt", &shelf.run("get etl/load-eu-7xk2p").out);
    let json: Value = serde_json::from_str(&shelf.run("get etl/load-eu-7xk2p -o json").out).unwrap();
    assert_eq!(
        (&json["kind"], &json["manifest"]["digest"]),
        (&"Archive".into(), &shelf.kept[0].digest.to_string().into())
    );
    let ran = shelf.run("download -n etl load-eu-7xk2p");
    let plain = gzip::unpack(&fs::read(shelf.path(&shelf.kept[0].key)).unwrap(), 1 << 20).unwrap();
    assert_eq!((ran.exit, ran.out.trim_end().as_bytes()), (Exit::Fine, plain.as_slice()));
    assert!(!ran.out.contains("s3cret"));
    let to = shelf.path("out.gz");
    let ran = shelf.run(&format!("download etl/load-eu-7xk2p --raw -O {}", to.display()));
    assert_eq!(ran.exit, Exit::Fine, "{}", ran.err);
    assert_eq!(gzip::unpack(&fs::read(to).unwrap(), 1 << 20).unwrap(), plain);
    // Damaged: nothing is written.
    fs::write(shelf.path(&shelf.kept[0].key), gzip::pack(b"{\"kind\":\"Workflow\"}")).unwrap();
    for command in ["download", "restore"] {
        let ran = shelf.run(&format!("{command} etl/load-eu-7xk2p"));
        assert_eq!((ran.exit, ran.out.as_str()), (Exit::Failed, ""), "{command}");
        assert!(ran.err.contains("is damaged: its digest is "), "{}", ran.err);
    }
    let none = shelf.run("get etl/nobody");
    assert_eq!(none.exit, Exit::Failed);
    assert!(none.err.starts_with("error: no archive of etl/nobody below workflow-archives/\n"), "{}", none.err);
    assert!(shelf.run("get load").err.contains("no archive of load below"));
}

#[test]
fn restore_prints_what_can_be_submitted() {
    let shelf = Shelf::new();
    let ran = shelf.run("restore etl/load-eu-7xk2p --set api-token=new");
    assert_eq!((ran.exit, ran.err.as_str()), (Exit::Fine, ""));
    golden("archive-restore.yaml", &ran.out);
    let ran = shelf.run("restore etl/load-eu-7xk2p --as again --into lab -o json");
    assert_eq!(ran.err, "warning: 1 value redacted: spec.arguments.parameters[api-token].value\n");
    let wf: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((&wf["metadata"]["name"], &wf["metadata"]["namespace"]), (&"again".into(), &"lab".into()));
    let ran = shelf.run("restore etl/load-eu-7xk2p --submit --kubeconfig /nowhere/config");
    assert!(ran.exit == Exit::Failed && ran.err.contains("values are missing"), "{}", ran.err);
    let ran = shelf.run("restore etl/load-eu-7xk2p --set nobody=1");
    assert!(ran.err.contains("it has no parameter nobody"), "{}", ran.err);
}

#[test]
fn restore_submits_or_lets_the_server_check() {
    let shelf = Shelf::new();
    let path = "/apis/argoproj.io/v1alpha1/namespaces/lab/workflows";
    let dry = format!("{path}?dryRun=All");
    let made = json!({"metadata": {"name": "load-eu-9zz9z"}});
    let denied = json!({"kind": "Status", "message": "workflows.argoproj.io is forbidden"});
    let server = serve(&[(dry.as_str(), 201, made.clone()), (path, 201, made)]);
    let line = |flags: &str| {
        let folder = shelf.folder.path().display();
        format!("archive restore etl/load-eu-7xk2p --into lab --location {folder} {flags}")
    };
    let ran = server.run(&line("--dry-run=server"));
    assert_eq!(ran.out, "workflow.argoproj.io/load-eu-9zz9z would be created (server dry run) in lab\n", "{}", ran.err);
    let ran = server.run(&line("--submit --set api-token=new"));
    assert_eq!((ran.exit, ran.err.as_str()), (Exit::Fine, ""));
    assert_eq!(ran.out, "workflow.argoproj.io/load-eu-9zz9z created in lab\n");
    assert_eq!(server.asked(), [format!("POST {dry}"), format!("POST {path}")]);
    let server = serve(&[(path, 403, denied)]);
    let ran = server.run(&line("--submit --keep-redacted"));
    assert_eq!((ran.exit, ran.out.as_str()), (Exit::Failed, ""));
    assert!(ran.err.contains("can't submit it: workflows.argoproj.io is forbidden"), "{}", ran.err);
}

#[test]
fn archives_of_the_script_are_found_and_got_back() {
    let shelf = Shelf::new();
    let wf = shelf.script();
    let ran = shelf.run("download etl/old --date 20261101");
    assert_eq!(ran.exit, Exit::Fine, "{}", ran.err);
    assert_eq!(serde_json::from_str::<Value>(&ran.out).unwrap(), wf);
    assert!(ran.err.contains("was written by another program"), "{}", ran.err);
    assert!(shelf.run("get etl/old").out.contains("written by another program"));
    assert_eq!(shelf.run("restore etl/old").exit, Exit::Fine);
    let ran = shelf.run_on("verify --all", terminal(140, false));
    assert_eq!(ran.exit, Exit::Fine);
    assert!(
        ran.out.ends_with("4 archives read: 3 fine, 0 not, 1 readable, without a digest to compare\n"),
        "{}",
        ran.out
    );
    assert!(ran.out.contains("NoDigest"), "{}", ran.out);
    // Without a catalogue they are listed by their keys.
    fs::remove_dir_all(shelf.path("workflow-archives-index/catalogue")).unwrap();
    let ran = shelf.run("list -n etl --date 202611010 -o name");
    assert_eq!(ran.exit, Exit::Usage);
    let ran = shelf.run("list -n etl --date 20261101 -o name");
    assert_eq!(ran.out, "-n etl old --date 20261101_000500\n");
    assert!(ran.err.contains("no catalogue here, listed by keys"), "{}", ran.err);
    let ran = shelf.run("list --phase Failed -o name");
    assert_eq!(ran.out, "-n etl load-us-2mm4d --date 20261120_230000\n");
    assert!(ran.err.contains("no catalogue here, listed by manifests"), "{}", ran.err);
}

#[test]
fn verify_tells_what_differs() {
    let shelf = Shelf::new();
    let ran = shelf.run("verify");
    assert_eq!((ran.exit, ran.out.as_str()), (Exit::Fine, "3 of 3 archives read: 3 fine, 0 not\n"));
    assert!(shelf.run("verify --sample 1").out.starts_with("1 of 3 archives read: 1 fine"));
    let mut bytes = fs::read(shelf.path(&shelf.kept[0].key)).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 8;
    fs::write(shelf.path(&shelf.kept[0].key), bytes).unwrap();
    fs::remove_file(shelf.path(&shelf.kept[1].key)).unwrap();
    fs::remove_file(shelf.path(&shelf.kept[2].row.manifest_key)).unwrap();
    let ran = shelf.run_on("verify --all", terminal(140, false));
    assert_eq!(ran.exit, Exit::Findings);
    golden("archive-verify-140.txt", &ran.out);
    assert_eq!(shelf.run("verify --all -n ml").exit, Exit::Fine, "whole, though without a manifest");
    assert_eq!(shelf.run("verify --all --exit-zero").exit, Exit::Fine);
    let json: Value = serde_json::from_str(&shelf.run("verify --all -o json").out).unwrap();
    let states: Vec<_> = json["items"].as_array().unwrap().iter().map(|i| i["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["Differs", "Missing", "NoManifest"]);
}

#[test]
fn reindex_makes_the_catalogue_again() {
    let shelf = Shelf::new();
    let before = shelf.run("list -o json").out;
    assert_eq!(shelf.run("reindex").out, "generation 2: 3 archives, 1 deletion\n");
    assert_eq!(shelf.run("list -o json").out, before);
    fs::remove_dir_all(shelf.path("workflow-archives-index/catalogue")).unwrap();
    assert_eq!(shelf.run("reindex").out, "generation 1: 3 archives, 0 deletions\n");
    fs::write(shelf.path(&shelf.kept[0].row.manifest_key), "{}").unwrap();
    let ran = shelf.run("reindex");
    assert_eq!(ran.exit, Exit::Findings);
    assert!(ran.out.contains("damaged: workflow-archives-index/manifests/etl/load-eu-7xk2p/"), "{}", ran.out);
}

#[test]
fn places_that_are_none_are_told() {
    for (line, exit, words) in [
        ("archive list --location /nowhere/at/all", Exit::Failed, "is no folder: --location takes s3://BUCKET/PREFIX"),
        ("archive list --location s3://b/../x", Exit::Failed, "can't be a prefix of archives"),
        ("archive list", Exit::Usage, "--location"),
        ("archive list --location . --since yesterday", Exit::Usage, "must be RFC 3339"),
        ("archive get a/b --location . --date 2026-11-21", Exit::Usage, "must be such as 20261121"),
        ("archive verify --location . --phase Faild", Exit::Usage, "must be one of Succeeded, Failed, Error"),
        ("archive restore a/b --location . --set x", Exit::Usage, "must be NAME=VALUE"),
    ] {
        let ran = run(line, "", Screen::PLAIN);
        assert_eq!((ran.exit, ran.out.as_str()), (exit, ""), "{line}: {}", ran.err);
        assert!(ran.err.contains(words), "{line}: {}", ran.err);
    }
}
