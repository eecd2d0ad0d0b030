//! `plan`: from files and against an API server.

use serde_json::{Value, json};
use unstick::cli::Exit;
use unstick::cli::screen::Screen;

use crate::server::{page, serve};
use crate::stage::{Ran, assert_fits, golden, run, terminal};

const NOW: &str = "2026-11-21T10:00:00Z";

fn workflow(namespace: &str, name: &str, template: &str, finished: &str, phase: &str) -> Value {
    json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow",
        "metadata": {"namespace": namespace, "name": name, "uid": format!("uid-{namespace}-{name}"),
            "generateName": format!("{template}-"), "labels": {"team": namespace},
            "creationTimestamp": "2026-11-01T00:00:00Z"},
        "spec": {"entrypoint": "main"},
        "status": {"phase": phase, "startedAt": "2026-11-01T00:00:00Z", "finishedAt": finished}})
}

fn workflows() -> Vec<Value> {
    let mut all: Vec<Value> = (0..9)
        .map(|n| workflow("etl", &format!("load-eu-{n}"), "load", &format!("2026-11-1{n}T10:00:00Z"), "Succeeded"))
        .collect();
    let mut held = workflow("etl", "load-us-2mm4d", "load", "2026-11-05T10:00:00Z", "Failed");
    held["metadata"]["annotations"] = json!({"unstick.dev/hold": "audit"});
    all.push(held);
    all.push(workflow("ml", "train-a", "train", "2026-11-03T10:00:00Z", "Succeeded"));
    all.push(workflow("ml", "train-b", "train", "2026-11-20T10:00:00Z", "Succeeded"));
    all.push(workflow("lab", "nobody-asks", "x", "2026-11-03T10:00:00Z", "Succeeded"));
    let mut running = workflow("etl", "load-now", "load", "", "Running");
    running["status"].as_object_mut().unwrap().remove("finishedAt");
    all.push(running);
    all
}

fn policies() -> Vec<Value> {
    let own = json!({"apiVersion": "unstick.dev/v1alpha1", "kind": "WorkflowPolicy",
        "metadata": {"name": "keep-then-delete", "namespace": "etl"},
        "spec": {"selector": {}, "archive": {"mode": "Enforce", "location": "main"},
            "cleanup": {"mode": "Enforce", "ttl": {"succeeded": "7d", "failed": "7d"},
                "keepAtLeast": {"succeeded": 2}, "maxDeletes": {"count": 3, "per": "10m"}}}});
    let wide = json!({"apiVersion": "unstick.dev/v1alpha1", "kind": "ClusterWorkflowPolicy",
        "metadata": {"name": "default"},
        "spec": {"selector": {}, "namespaceSelector": {"matchLabels": {"team": "ml"}}, "archive": {"location": "main"},
            "cleanup": {"ttl": {"succeeded": "7d"}}}});
    vec![own, wide]
}

fn location() -> Value {
    json!({"apiVersion": "unstick.dev/v1alpha1", "kind": "ArchiveLocation",
        "metadata": {"name": "main", "generation": 1},
        "spec": {"type": "S3", "s3": {"bucket": "example-archives"}, "allowedNamespaces": {}},
        "status": {"observedGeneration": 1, "conditions": [{"type": "Ready", "status": "True", "reason": "Probed",
            "message": "", "lastTransitionTime": NOW}]}})
}

fn namespaces() -> Vec<Value> {
    ["etl", "ml", "lab"]
        .iter()
        .map(|n| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": n, "labels": {"team": n}}}))
        .collect()
}

fn saved() -> String {
    let items = [workflows(), policies(), vec![location()], namespaces()].concat();
    json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string()
}

fn plan(flags: &str, screen: Screen) -> Ran {
    run(&format!("plan -f - --now {NOW} {flags}"), &saved(), screen)
}

#[test]
fn the_plan_fits_and_says_what_goes_what_stays_and_what_to_type() {
    for width in [80, 140] {
        let ran = plan("", terminal(width, false));
        assert_eq!(ran.exit, Exit::Findings, "{}", ran.err);
        assert_fits(&ran.out, width);
        golden(&format!("plan-{width}.txt"), &ran.out);
    }
    golden("plan-80-colour.txt", &plan("", terminal(80, true)).out);
    golden("plan-wide.txt", &plan("-o wide", terminal(80, false)).out);
    golden("plan.json", &plan("-o json", Screen::PLAIN).out);
    assert_eq!(
        plan("", Screen::PLAIN).err,
        "note: what the operator has deleted lately isn't known here: maxDeletes is taken as unused\n"
    );
}

#[test]
fn json_and_yaml_say_the_same_and_names_go_in_order() {
    let json = plan("-o json", Screen::PLAIN).out;
    let yaml = plan("-o yaml", Screen::PLAIN).out;
    assert_eq!(serde_json::from_str::<Value>(&json).unwrap(), serde_saphyr::from_str::<Value>(&yaml).unwrap());
    assert_eq!(
        plan("-o name", Screen::PLAIN).out,
        "-n ml workflow.argoproj.io/train-a\n-n etl workflow.argoproj.io/load-eu-0\n\
         -n etl workflow.argoproj.io/load-eu-1\n-n etl workflow.argoproj.io/load-eu-2\n"
    );
}

#[test]
fn filters_show_less_and_judge_the_same() {
    let names = |flags: &str| plan(&format!("-o name {flags}"), Screen::PLAIN).out.replace("workflow.argoproj.io/", "");
    assert_eq!(names("-n ml"), "train-a\n");
    assert_eq!(names("-l team=ml"), "-n ml train-a\n");
    assert_eq!(names("--policy cluster/default"), "-n ml train-a\n");
    assert_eq!(names("--policy nobody"), "");
    assert_eq!(plan("--policy nobody", Screen::PLAIN).exit, Exit::Fine);
    assert_eq!(plan("--exit-zero", Screen::PLAIN).exit, Exit::Fine);
    assert!(!plan("--no-headers", Screen::PLAIN).out.contains("POLICY"));
}

#[test]
fn a_quiet_cluster_says_so() {
    for (line, words) in [
        (
            "--now 2026-11-09T10:00:00Z",
            "Nothing is due now; the first to be is ml/train-a in 24h (2026-11-10 10:00 UTC). To see",
        ),
        ("-n lab", "Nothing would be deleted: no finished workflow is under one."),
    ] {
        let ran = run(&format!("plan -f - {line}"), &saved(), Screen::PLAIN);
        assert!(ran.exit == Exit::Fine && ran.out.contains(words), "{line}: {}", ran.out);
    }
    let bare = json!({"apiVersion": "v1", "kind": "List", "items": workflows()}).to_string();
    let ran = run("plan -f -", &bare, Screen::PLAIN);
    assert!(ran.out.contains("Nothing would be deleted: no policy has archive or cleanup."), "{}", ran.out);
    assert!(ran.out.starts_with("KEPT  REASON"), "no empty line first: {}", ran.out);
}

#[test]
fn a_cluster_is_only_read() {
    let ours = "/apis/unstick.dev/v1alpha1";
    let server = serve(&[
        ("/apis/argoproj.io/v1alpha1/workflows", 200, page(&workflows(), "")),
        (&format!("{ours}/workflowpolicies"), 200, page(&policies()[..1], "")),
        (&format!("{ours}/clusterworkflowpolicies"), 200, page(&policies()[1..], "")),
        (&format!("{ours}/archivelocations"), 200, page(&[location()], "")),
        ("/api/v1/namespaces", 200, page(&namespaces(), "")),
    ]);
    let ran = server.run(&format!("plan -A --now {NOW} -o name"));
    assert_eq!((ran.exit, ran.out), (Exit::Findings, plan("-o name", Screen::PLAIN).out), "{}", ran.err);
    assert!(server.asked().iter().all(|line| line.starts_with("GET ")), "{:?}", server.asked());
    // A hold on the namespace, and a location that is not ready.
    let (mut held, mut away) = (namespaces(), location());
    held[1]["metadata"]["annotations"] = json!({"unstick.dev/hold": "migration"});
    away["status"]["conditions"][0]["status"] = "False".into();
    away["status"]["conditions"][0]["message"] = "no such bucket".into();
    server.table.lock().unwrap().insert("/api/v1/namespaces".to_owned(), (200, page(&held, "")));
    let ran = server.run(&format!("plan -A --now {NOW}"));
    assert!(ran.out.contains("its namespace is on hold: migration: ml/train-a"), "{}", ran.out);
    server.table.lock().unwrap().insert(format!("{ours}/archivelocations"), (200, page(&[away], "")));
    let ran = server.run(&format!("plan -A --now {NOW}"));
    assert_eq!(ran.exit, Exit::Fine, "{}", ran.out);
    assert!(ran.out.contains("LocationNotReady") && ran.out.contains("no such bucket"), "{}", ran.out);
}

#[test]
fn what_may_not_be_read_is_said() {
    let denied = || json!({"kind": "Status", "message": "is forbidden"});
    let ours = "/apis/unstick.dev/v1alpha1";
    let server = serve(&[
        ("/apis/argoproj.io/v1alpha1/namespaces/etl/workflows", 200, page(&workflows()[..9], "")),
        (&format!("{ours}/namespaces/etl/workflowpolicies"), 200, page(&policies()[..1], "")),
        (&format!("{ours}/clusterworkflowpolicies"), 403, denied()),
        (&format!("{ours}/archivelocations"), 403, denied()),
        ("/api/v1/namespaces/etl", 403, denied()),
    ]);
    let ran = server.run(&format!("plan -n etl --now {NOW} -o name"));
    assert_eq!((ran.exit, ran.out.lines().count()), (Exit::Findings, 3), "{}", ran.out);
    for words in [
        "warning: judged without any ClusterWorkflowPolicy: is forbidden",
        "warning: holds and labels of namespaces can't be seen: is forbidden",
        "note: ArchiveLocations may not be read, each is taken as ready: is forbidden",
    ] {
        assert!(ran.err.contains(words), "{words}\n{}", ran.err);
    }
}
