//! `archive ... --location NAME` and `archive now`, with an API server that has locations and policies.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use unstick::cli::Exit;

use crate::server::{Server, page, serve};
use crate::stage::{golden, run, terminal};

const OURS: &str = "/apis/unstick.dev/v1alpha1";
const RUN: &str = "/apis/argoproj.io/v1alpha1/namespaces/etl/workflows/load-eu-7xk2p";

fn location(path: &str, more: &Value) -> Value {
    let mut location = json!({"apiVersion": "unstick.dev/v1alpha1", "kind": "ArchiveLocation",
        "metadata": {"name": "main", "generation": 1},
        "spec": {"type": "Filesystem", "filesystem": {"path": path}, "allowedNamespaces": {}}});
    location["spec"].as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    location
}

fn workflow() -> Value {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/argo-4.1.2/done-ok.json");
    let mut wf: Value = serde_json::from_str(&fs::read_to_string(fixture).unwrap()).unwrap();
    wf["metadata"]["namespace"] = "etl".into();
    wf["metadata"]["name"] = "load-eu-7xk2p".into();
    wf["metadata"]["uid"] = "0d8f3b0e-7b1f-4c39-9a8e-3f2f6f1d2c11".into();
    wf["spec"]["arguments"] =
        json!({"parameters": [{"name": "month", "value": "May"}, {"name": "pin", "value": "1234"}]});
    wf["status"]["phase"] = "Succeeded".into();
    wf["status"]["startedAt"] = "2026-11-20T08:00:00Z".into();
    wf["status"]["finishedAt"] = "2026-11-20T10:15:00Z".into();
    wf
}

fn policy(archive: &str, cleanup: &str) -> Value {
    json!({"apiVersion": "unstick.dev/v1alpha1", "kind": "WorkflowPolicy",
        "metadata": {"name": "keep-then-delete", "namespace": "etl"},
        "spec": {"selector": {}, "archive": {"mode": archive, "location": "main", "redaction": {"names": ["pin"]}},
            "cleanup": {"mode": cleanup, "ttl": {"succeeded": "7d"}}}})
}

struct World {
    folder: tempfile::TempDir,
    server: Server,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let own = location(folder.path().to_str().unwrap(), &json!({}));
        let server = serve(&[
            (RUN, 200, workflow()),
            (&format!("{OURS}/namespaces/etl/workflowpolicies"), 200, page(&[policy("Enforce", "Enforce")], "")),
            (&format!("{OURS}/clusterworkflowpolicies"), 200, page(&[], "")),
            (&format!("{OURS}/archivelocations"), 200, page(std::slice::from_ref(&own), "")),
            (&format!("{OURS}/archivelocations/main"), 200, own),
            ("/api/v1/namespaces/etl", 200, json!({"metadata": {"name": "etl", "labels": {"team": "etl"}}})),
        ]);
        Self { folder, server }
    }

    fn put(&self, path: &str, value: Value) {
        self.server.table.lock().unwrap().insert(path.to_owned(), (200, value));
    }

    fn located(&self, more: &Value) {
        let own = location(self.folder.path().to_str().unwrap(), more);
        self.put(&format!("{OURS}/archivelocations/main"), own);
    }

    fn files(&self, ending: &str) -> Vec<String> {
        fn walk(at: &Path, found: &mut Vec<String>) {
            for entry in fs::read_dir(at).unwrap().flatten() {
                if entry.path().is_dir() {
                    walk(&entry.path(), found);
                } else {
                    found.push(entry.path().display().to_string());
                }
            }
        }
        let mut found = Vec::new();
        walk(self.folder.path(), &mut found);
        found.retain(|f| f.ends_with(ending));
        found
    }
}

#[test]
fn one_is_archived_by_hand_where_its_policy_keeps_and_found_by_name() {
    let world = World::new();
    let ran = world.server.run("archive now -n etl load-eu-7xk2p");
    assert_eq!(ran.exit, Exit::Fine, "{}", ran.err);
    let path = world.folder.path().display().to_string();
    golden("archive-now.txt", &ran.out.replace(&path, "/archive"));
    assert!(world.server.asked().iter().all(|line| line.starts_with("GET ")), "{:?}", world.server.asked());
    // The policy's own rules.
    let download = world.server.run("archive download etl/load-eu-7xk2p --location main");
    assert!(download.exit == Exit::Fine && !download.out.contains("1234"), "{}{}", download.out, download.err);
    assert_eq!(
        world.server.run("archive list --location main -o name").out,
        "-n etl load-eu-7xk2p --date 20261120_101500\n"
    );
    // Once more: said, and nothing new is written.
    let before = world.files("");
    let again = world.server.run("archive now etl/load-eu-7xk2p -o json");
    let said: Value = serde_json::from_str(&again.out).unwrap();
    assert_eq!((again.exit, &said["kind"], &said["already"]), (Exit::Fine, &"ArchivedWorkflow".into(), &true.into()));
    assert_eq!((&said["location"], &said["policy"]), (&"main".into(), &"keep-then-delete".into()));
    assert_eq!(world.files(""), before);
    golden(
        "archive-now-already.txt",
        &world.server.run("archive now etl/load-eu-7xk2p").out.replace(&path, "/archive"),
    );
}

#[test]
fn in_a_terminal_it_is_one_short_screen() {
    let world = World::new();
    let line = format!("archive now etl/load-eu-7xk2p --kubeconfig {}", world.server.kubeconfig.0.display());
    let ran = run(&line, "", terminal(80, false));
    let path = world.folder.path().display().to_string();
    golden("archive-now-80.txt", &ran.out.replace(&path, "/archive"));
}

#[test]
fn what_the_operator_will_do_is_said() {
    for (archive, cleanup, words) in [
        ("Enforce", "Enforce", "It deletes the workflow from 2026-11-27 10:15 UTC on at the earliest"),
        ("Enforce", "DryRun", "It deletes nothing: cleanup is in mode DryRun."),
        ("Observe", "Observe", "Policy keep-then-delete archives nothing by itself (mode Observe)."),
    ] {
        let world = World::new();
        world.put(&format!("{OURS}/namespaces/etl/workflowpolicies"), page(&[policy(archive, cleanup)], ""));
        let ran = world.server.run("archive now etl/load-eu-7xk2p");
        assert!(ran.exit == Exit::Fine && ran.out.contains(words), "{words}\n{}{}", ran.out, ran.err);
    }
}

#[test]
fn what_has_not_finished_is_refused() {
    let world = World::new();
    let mut running = workflow();
    running["status"]["phase"] = "Running".into();
    world.put(RUN, running);
    let ran = world.server.run("archive now etl/load-eu-7xk2p");
    assert_eq!((ran.exit, ran.out.as_str()), (Exit::Findings, ""));
    assert_eq!(ran.err, "refused: etl/load-eu-7xk2p is Running: only what has finished is archived\n");
    let mut hollow = workflow();
    hollow["status"]["offloadNodeStatusVersion"] = "fnv:1".into();
    world.put(RUN, hollow);
    let ran = world.server.run("archive now etl/load-eu-7xk2p");
    assert!(
        ran.exit == Exit::Findings && ran.err.starts_with("refused: etl/load-eu-7xk2p can't be archived: "),
        "{}",
        ran.err
    );
    assert!(world.files("").is_empty());
    let none = world.server.run("archive now etl/nobody");
    assert!(none.exit == Exit::Failed && none.err.contains("workflow \"nobody\" not found"), "{}", none.err);
}

#[test]
fn a_location_is_used_only_as_its_owner_allows() {
    let world = World::new();
    for (more, words) in [
        (json!({"accessMode": "ReadOnly"}), "ArchiveLocation main is read-only"),
        (json!({"allowedNamespaces": {"matchLabels": {"team": "ml"}}}), "doesn't admit namespace \"etl\""),
    ] {
        world.located(&more);
        let ran = world.server.run("archive now etl/load-eu-7xk2p");
        assert!(ran.exit == Exit::Failed && ran.err.contains(words), "{words}: {}", ran.err);
    }
    world.located(&json!({"allowedNamespaces": {"matchLabels": {"team": "etl"}}}));
    let denied = (403, json!({"kind": "Status", "message": "namespaces is forbidden"}));
    world.server.table.lock().unwrap().insert("/api/v1/namespaces/etl".to_owned(), denied);
    let ran = world.server.run("archive now etl/load-eu-7xk2p");
    assert!(
        ran.exit == Exit::Failed && ran.err.contains("can't be read: ask for the right to get namespaces"),
        "{}",
        ran.err
    );
    assert!(world.files("").is_empty());
    // The very place by another spelling would be a stranger to the operator.
    let ran = world.server.run(&format!("archive now etl/load-eu-7xk2p --location {}", world.folder.path().display()));
    assert!(ran.exit == Exit::Failed && ran.err.contains("is ArchiveLocation main: name that"), "{}", ran.err);
    let elsewhere = tempfile::tempdir().unwrap();
    let ran = world.server.run(&format!("archive now etl/load-eu-7xk2p --location {}", elsewhere.path().display()));
    assert!(ran.exit == Exit::Fine && ran.out.contains("so this copy is one more"), "{}{}", ran.out, ran.err);
}

/// A folder without the first probe of the location is an empty mount point, or another volume.
#[test]
fn a_folder_that_is_not_the_mounted_volume_is_refused_as_the_operator_does() {
    let world = World::new();
    let path = world.folder.path().to_str().unwrap();
    let fingerprint = unstick::archive::store::Fingerprint::filesystem(path, "workflow-archives").to_string();
    let tried = |fingerprint: &str| {
        let mut own = location(path, &json!({}));
        own["status"] = json!({"fingerprint": fingerprint, "firstProbe": "2026-01-02"});
        world.put(&format!("{OURS}/archivelocations/main"), own);
    };
    tried(&fingerprint);
    let ran = world.server.run("archive now etl/load-eu-7xk2p");
    assert_eq!((ran.exit, ran.out.as_str()), (Exit::Failed, ""), "{}", ran.err);
    assert!(ran.err.contains("ArchiveLocation main: ") && ran.err.contains("since 2026-01-02"), "{}", ran.err);
    assert!(ran.err.contains("NotMounted: mount the volume at the path of the location"), "{}", ran.err);
    assert!(world.files("").is_empty());
    // The probe of another place says nothing of this one.
    tried("another");
    assert_eq!(world.server.run("archive now etl/load-eu-7xk2p").exit, Exit::Fine);
    // Mounted: its first probe is there.
    tried(&fingerprint);
    let probe = world.folder.path().join("workflow-archives-index/probe");
    fs::create_dir_all(&probe).unwrap();
    fs::write(probe.join("2026-01-02"), "probed").unwrap();
    let ran = world.server.run("archive now etl/load-eu-7xk2p");
    assert!(ran.exit == Exit::Fine && ran.out.contains("ARCHIVED ALREADY"), "{}{}", ran.out, ran.err);
}

/// A copy is never replaced, so what isn't known to be harmless isn't stored.
#[test]
fn whose_rules_are_not_known_is_not_archived() {
    let denied = || (403, json!({"kind": "Status", "message": "is forbidden", "code": 403}));
    let refuse = |world: &World, path: &str| world.server.table.lock().unwrap().insert(path.to_owned(), denied());
    let wide = |selector: Value| {
        json!({"kind": "ClusterWorkflowPolicy", "metadata": {"name": "strict"}, "spec": {"precedence": "Override",
            "namespaceSelector": selector, "selector": {}, "archive": {"location": "main"}}})
    };
    let clusters = format!("{OURS}/clusterworkflowpolicies");
    let world = World::new();
    refuse(&world, &clusters);
    let ran = world.server.run("archive now etl/load-eu-7xk2p");
    assert!(
        ran.exit == Exit::Failed && ran.err.contains("error: not all policies may be read, so it isn't known"),
        "{}",
        ran.err
    );
    world.put(&clusters, page(&[wide(json!({"matchLabels": {"team": "etl"}}))], ""));
    refuse(&world, "/api/v1/namespaces/etl");
    let ran = world.server.run("archive now etl/load-eu-7xk2p");
    assert!(
        ran.err.contains("error: cluster policies select namespaces by labels, which can't be read"),
        "{}",
        ran.err
    );
    // Events that the policy keeps.
    let mut policy = policy("Enforce", "Enforce");
    policy["spec"]["archive"]["include"] = json!(["Events"]);
    world.put(&format!("{OURS}/namespaces/etl/workflowpolicies"), page(&[policy], ""));
    world.put(&clusters, page(&[], ""));
    let ran = world.server.run("archive now etl/load-eu-7xk2p");
    assert!(ran.err.contains("the policy keeps events too, and these can't be read"), "{}", ran.err);
    assert!(world.files("").is_empty());
    // One that selects every namespace is known to reach this one.
    world.put(&clusters, page(&[wide(json!({}))], ""));
    let ran = world.server.run("archive now etl/load-eu-7xk2p -o json");
    assert!(ran.exit == Exit::Fine && ran.out.contains("cluster/strict"), "{}", ran.err);
}

#[test]
fn names_that_lead_nowhere_are_told() {
    let world = World::new();
    let ran = world.server.run("archive list --location nobody");
    assert_eq!((ran.exit, ran.err.as_str()), (Exit::Failed, "error: no ArchiveLocation \"nobody\": there are: main\n"));
    world.put(&format!("{OURS}/archivelocations/main"), location("/mounted/in/pods/only", &json!({})));
    let ran = world.server.run("archive list --location main");
    assert!(ran.err.contains("is the folder /mounted/in/pods/only in the operator's pods"), "{}", ran.err);
    let denied = (403, json!({"kind": "Status", "message": "archivelocations is forbidden"}));
    world.server.table.lock().unwrap().insert(format!("{OURS}/archivelocations/main"), denied);
    let ran = world.server.run("archive list --location main");
    assert!(ran.err.contains("may not be read: archivelocations is forbidden\n  ask for the right"), "{}", ran.err);
    let bare = serve(&[]);
    let ran = bare.run("archive list --location main");
    assert!(ran.err.contains("unstick's CRDs are not installed in this cluster"), "{}", ran.err);
}

/// A store that answers nothing: what is asked before it is what counts here.
#[test]
fn a_secret_that_may_not_be_read_is_said() {
    let s3 = json!({"metadata": {"name": "main"}, "spec": {"type": "S3", "allowedNamespaces": {},
        "s3": {"bucket": "example-archives", "endpoint": "http://127.0.0.1:1", "credentialsSecretRef": {"name": "keys"}}}});
    let denied = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 403, "reason": "Forbidden",
        "message": "secrets \"keys\" is forbidden"});
    let server = serve(&[
        (&format!("{OURS}/archivelocations/main"), 200, s3),
        ("/api/v1/namespaces/unstick-system/secrets/keys", 403, denied),
        (
            "/api/v1/namespaces/ops/secrets/keys",
            200,
            json!({"kind": "Secret", "apiVersion": "v1", "metadata": {"name": "keys"},
                "data": {"AWS_ACCESS_KEY_ID": "QUtJQQ==", "AWS_SECRET_ACCESS_KEY": "c2VjcmV0"}}),
        ),
    ]);
    let (code, err) = without_credentials(&server, &[]);
    assert_eq!(code, Some(3), "{err}");
    assert!(
        err.starts_with(
            "note: your own AWS credentials are used, not those of ArchiveLocation main: Secret unstick-system/keys: \
             secrets \"keys\" is forbidden (--operator-namespace names another namespace)\n"
        ),
        "{err}"
    );
    assert!(err.contains("NoCredentials: set credentials as the AWS tools take them"), "{err}");
    let (_, err) = without_credentials(&server, &["--operator-namespace", "ops"]);
    assert!(!err.contains("note: ") && err.contains("Unreachable"), "{err}");
}

/// `archive list --location main` of somebody who has no AWS credentials at all.
fn without_credentials(server: &Server, flags: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_unstick"));
    command.args(["archive", "list", "--location", "main", "--kubeconfig"]).arg(&server.kubeconfig.0).args(flags);
    command.env("AWS_EC2_METADATA_DISABLED", "true").env("HOME", "/nowhere");
    for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "UNSTICK_LEASE_NAMESPACE"] {
        command.env_remove(name);
    }
    let done = command.output().unwrap();
    (done.status.code(), String::from_utf8(done.stderr).unwrap())
}
