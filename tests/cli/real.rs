//! The program's own engine on workflows that real Argo controllers wrote.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use unstick::cli::Exit;
use unstick::cli::screen::Screen;

use crate::server::{ALL, page, serve};
use crate::stage::{LIVE, Ran, assert_fits, run_with, terminal};

fn fixture(version: &str, name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(version).join(format!("{name}.json"))
}

fn live(line: &str, stdin: &str) -> Ran {
    run_with(LIVE, "unstick", line, stdin, Screen::PLAIN)
}

/// A workflow of 4.1.2.
fn workflow(name: &str) -> Value {
    serde_json::from_str(&std::fs::read_to_string(fixture("argo-4.1.2", name)).unwrap()).unwrap()
}

/// What is stuck at `now` among `files`: file's workflow -> type, reason, node, seconds.
fn stuck(files: &[PathBuf], now: &str) -> BTreeMap<String, (String, String, String)> {
    let files: Vec<_> = files.iter().map(|f| format!("-f {}", f.display())).collect();
    let ran = live(&format!("stuck {} --now {now} -o json", files.join(" ")), "");
    let list: Value = serde_json::from_str(&ran.out).unwrap_or_else(|e| panic!("{e}: {}", ran.err));
    let text = |v: &Value, f: &str| v[f].as_str().unwrap().to_owned();
    let items = list["items"].as_array().unwrap().iter();
    items.map(|i| (text(i, "name"), (text(&i["detections"][0], "type"), text(i, "reason"), text(i, "node")))).collect()
}

#[test]
fn what_argo_4_1_wrote_is_diagnosed_as_what_it_is() {
    let names = [
        "done-failed",
        "done-ok",
        "image-typo",
        "lock-holder",
        "lock-waiter",
        "review-gate",
        "wide-fan",
        "wide-fan.brotli",
        "wide-fan.zstd",
    ];
    let files: Vec<_> = names.iter().map(|n| fixture("argo-4.1.2", n)).collect();
    let found = stuck(&files, "2026-11-25T00:00:00Z");
    let row = |a: &str, b: &str, c: &str| (a.to_owned(), b.to_owned(), c.to_owned());
    let wanted = [
        ("image-typo", row("Pending", "ImagePull", "image-typo")),
        ("lock-holder", row("Pending", "WaitingForLock", "")),
        ("lock-waiter", row("Suspended", "AwaitingResume", "lock-waiter")),
        ("review-gate", row("Suspended", "AwaitingResume", "review")),
        ("wide-fan", row("Suspended", "AwaitingResume", "approve")),
    ];
    assert_eq!(found, wanted.map(|(name, row)| (name.to_owned(), row)).into());
    // A minute after they were written nothing is.
    assert_eq!(stuck(&files, "2026-11-21T07:25:00Z"), BTreeMap::new());
}

#[test]
fn each_codec_alone_gives_the_same_row() {
    let rows: Vec<_> = ["wide-fan", "wide-fan.brotli", "wide-fan.zstd"]
        .map(|n| stuck(&[fixture("argo-4.1.2", n)], "2026-11-25T00:00:00Z"))
        .into();
    assert!(rows[0].len() == 1 && rows[0] == rows[1] && rows[1] == rows[2], "{rows:?}");
}

#[test]
fn yaml_json_and_lists_say_the_same() {
    let gate = workflow("review-gate");
    let forms = [
        gate.to_string(),
        serde_saphyr::to_string(&gate).unwrap(),
        json!({"kind": "WorkflowList", "items": [gate]}).to_string(),
    ];
    let outs: Vec<_> = forms
        .iter()
        .map(|f| live("stuck -f - --now 2026-11-25T00:00:00Z -o yaml", f))
        .map(|r| (r.exit, r.out, r.err))
        .collect();
    assert!(outs[0].0 == Exit::Findings && outs[0] == outs[1] && outs[1] == outs[2], "{outs:#?}");
}

#[test]
fn a_lost_task_result_needs_its_pod() {
    let lost = workflow("result-lost");
    let node = lost["status"]["nodes"].as_object().unwrap().keys().next().unwrap();
    let pod = json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "p", "namespace": "default",
            "labels": {"workflows.argoproj.io/workflow": "result-lost", "workflows.argoproj.io/completed": "false"},
            "annotations": {"workflows.argoproj.io/node-id": node}},
        "status": {"phase": "Succeeded", "containerStatuses": [
            {"name": "wait", "state": {"terminated": {"finishedAt": "2026-11-21T07:30:00Z", "exitCode": 0}}},
            {"name": "main", "state": {"terminated": {"finishedAt": "2026-11-21T07:29:00Z", "exitCode": 0}}}]}});
    let ask = |pod: &Value, now: &str| {
        let ran = live(&format!("stuck -f - --now {now} -o json"), &format!("{lost}\n{pod}"));
        let list: Value = serde_json::from_str(&ran.out).unwrap();
        list["items"][0]["detections"][0]["type"].as_str().unwrap_or("nothing").to_owned()
    };
    // 15 minutes after its last container has ended, to the second.
    assert_eq!(ask(&pod, "2026-11-21T07:44:59Z"), "nothing");
    assert_eq!(ask(&pod, "2026-11-21T07:45:00Z"), "TaskResultLost");
    // Argo has noticed it: then it is no proof, and an hour in Pending is what is left.
    let mut noticed = pod.clone();
    noticed["metadata"]["labels"]["workflows.argoproj.io/completed"] = "true".into();
    assert_eq!(ask(&noticed, "2026-11-21T07:45:00Z"), "nothing");
    assert_eq!(ask(&noticed, "2026-11-21T09:00:00Z"), "Pending");
}

const HOLDER: &str = "/apis/argoproj.io/v1alpha1/namespaces/default/workflows/lock-waiter";

#[test]
fn a_lock_is_wedged_only_when_the_server_says_that_its_holder_is_gone() {
    let waits = workflow("lock-holder");
    let now = "--now 2026-11-21T09:00:00Z";
    let asked = |answer: Option<(u16, Value)>| {
        let mut table = vec![(ALL, 200, page(std::slice::from_ref(&waits), ""))];
        table.extend(answer.map(|(status, body)| (HOLDER, status, body)));
        let ran = serve(&table).run_live(&format!("stuck -A -o json {now}"));
        let list: Value = serde_json::from_str(&ran.out).unwrap_or_else(|e| panic!("{e}: {}", ran.err));
        list["items"][0]["reason"].as_str().unwrap_or("nothing").to_owned()
    };
    let denied = json!({"kind": "Status", "message": "no"});
    assert_eq!(asked(Some((403, denied))), "WaitingForLock");
    assert_eq!(asked(Some((200, workflow("lock-waiter")))), "WaitingForLock");
    // Its absence is new, so it has not lasted for 15 minutes yet: Pending for more than an hour stays the finding.
    assert_eq!(asked(None), "WaitingForLock");
    let gone = serve(&[(ALL, 200, page(std::slice::from_ref(&waits), ""))]);
    let path = "/apis/argoproj.io/v1alpha1/namespaces/default/workflows/lock-holder";
    let one = serve(&[(path, 200, waits.clone())]);
    assert!(gone.run_live("explain -n default lock-holder").exit == Exit::Failed);
    let ran = one.run_live(&format!("explain -n default lock-holder {now}"));
    assert!(ran.out.contains("No live workflow holds default/Mutex/gpu"), "{}", ran.out);
}

#[test]
fn what_is_fed_beside_the_list_is_neither_shown_nor_counted() {
    let server = serve(&[
        (
            "/apis/argoproj.io/v1alpha1/namespaces/ci/workflows",
            200,
            page(
                &[{
                    let mut waits = workflow("lock-holder");
                    waits["metadata"]["namespace"] = "ci".into();
                    waits
                }],
                "",
            ),
        ),
        (HOLDER, 200, workflow("lock-waiter")),
    ]);
    let ran = server.run_live("stuck --now 2026-11-25T00:00:00Z");
    assert!(ran.out.contains("1 stuck of 1 unfinished (1 Pending)."), "{}{}", ran.out, ran.err);
}

#[test]
fn argo_down_is_one_signal() {
    let lease = |at: &str| json!({"spec": {"holderIdentity": "c", "renewTime": at}});
    let all = [workflow("image-typo"), workflow("review-gate")];
    let path = "/apis/coordination.k8s.io/v1/namespaces/argo/leases/workflow-controller";
    let ask = |at: &str| {
        let ran = serve(&[(ALL, 200, page(&all, "")), (path, 200, lease(at))])
            .run_live("stuck -A --now 2026-11-25T00:00:00Z");
        ran.out.lines().find(|l| l.contains(" stuck of ")).unwrap_or_default().to_owned()
    };
    assert_eq!(ask("2026-11-24T23:59:30.000000Z"), "2 stuck of 2 unfinished (1 Pending, 1 Suspended).");
    // Suspended and RunningTooLong need no controller; Pending proves nothing without one.
    let down = ask("2026-11-24T23:58:00.000000Z");
    assert!(down.starts_with("2 stuck of 2 unfinished (1 Suspended, 1 RunningTooLong)"), "{down}");
}

#[test]
fn explanations_fit_and_say_who_governs() {
    let file = fixture("argo-4.1.2", "review-gate");
    for width in [80, 140] {
        let line = format!("explain -f {} --now 2026-11-25T00:00:00Z review-gate", file.display());
        let ran = run_with(LIVE, "unstick", &line, "", terminal(width, false));
        assert_eq!(ran.exit, Exit::Findings);
        assert_fits(&ran.out, width);
        crate::stage::golden(&format!("explain-real-review-gate-{width}.txt"), &ran.out);
    }
    let own = json!({"apiVersion": "unstick.dev/v1alpha1", "kind": "WorkflowPolicy",
        "metadata": {"name": "gate", "namespace": "default", "creationTimestamp": "2026-11-01T00:00:00Z"},
        "spec": {"selector": {}, "detections": [{"name": "approval", "type": "Suspended", "after": "30d"}]}});
    let wide = json!({"apiVersion": "unstick.dev/v1alpha1", "kind": "ClusterWorkflowPolicy",
        "metadata": {"name": "all", "creationTimestamp": "2026-11-01T00:00:00Z"},
        "spec": {"namespaceSelector": {}, "selector": {}, "detections": [{"name": "old", "type": "RunningTooLong", "after": "1h"}]}});
    let text = format!("{own}\n{wide}\n{}", workflow("review-gate"));
    let ran = live("explain -f - --now 2026-11-25T00:00:00Z review-gate", &text);
    assert_eq!(ran.exit, Exit::Fine, "{}", ran.out);
    assert!(
        ran.out.contains("Policy      : gate: ahead of cluster/all: policies of the namespace come before"),
        "{}",
        ran.out
    );
    assert!(ran.out.contains("HEALTHY  default/review-gate") && ran.out.contains("under 30d"), "{}", ran.out);
}

#[test]
fn what_never_was_in_a_cluster_is_said() {
    let ran = live(
        "stuck -f -",
        "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nmetadata: {generateName: x-}\nspec: {}\n",
    );
    assert_eq!(
        (ran.exit, ran.err.as_str()),
        (Exit::Fine, "warning: / can't be read: it has no name or no uid, so it never was in a cluster\n")
    );
}
