//! `stuck` and `explain` against an API server.

use serde_json::{Value, json};
use unstick::cli::Exit;
use unstick::cli::screen::Screen;

use crate::server::{ALL, items, page, serve};
use crate::stage::run;

#[test]
fn a_cluster_without_our_kinds_is_judged_by_the_built_in_policy() {
    let all = items(|_| true);
    let server = serve(&[
        (ALL, 200, page(&all[..4], "t1/+")),
        // Expired on the way: the server hands out a token to go on with.
        (
            "/apis/argoproj.io/v1alpha1/workflows?continue=t1%2F%2B",
            410,
            json!({"kind": "Status", "metadata": {"continue": "t2"}}),
        ),
        ("/apis/argoproj.io/v1alpha1/workflows?continue=t2", 200, page(&all[4..], "")),
    ]);
    let ran = server.run("stuck -A -o json");
    assert_eq!(ran.exit, Exit::Findings, "{}", ran.err);
    assert_eq!(
        ran.err,
        "note: unstick's CRDs are not installed, the built-in policy is used (see it with: unstick policy init)\n"
    );
    let list: Value = serde_json::from_str(&ran.out).unwrap();
    // Ages are those of the server's clock: 145h at its Date.
    let first = &list["items"][0];
    assert_eq!(
        (&first["name"], &first["forSeconds"], &first["policy"]),
        (&"build-1138".into(), &522_000.into(), &"".into())
    );
    assert_eq!(list["items"].as_array().unwrap().len(), 4);
    assert!(server.asked().iter().all(|r| r.starts_with("GET ")), "{:?}", server.asked());
}

#[test]
fn one_namespace_needs_no_cluster_wide_right_and_sees_holders_elsewhere() {
    let ci = items(|n| n == "ci");
    let ml = items(|n| n == "ml");
    let denied = || json!({"kind": "Status", "message": "clusterworkflowpolicies is forbidden"});
    let server = serve(&[
        ("/apis/argoproj.io/v1alpha1/namespaces/ci/workflows", 200, page(&ci, "")),
        (
            "/apis/argoproj.io/v1alpha1/namespaces/ml/workflows/train-q9wlm-with-a-rather-long-generated-name-x8f2c",
            200,
            ml[0].clone(),
        ),
        ("/apis/unstick.dev/v1alpha1/clusterworkflowpolicies", 403, denied()),
        ("/apis/unstick.dev/v1alpha1/watchdogs/default", 403, denied()),
        ("/apis/unstick.dev/v1alpha1/namespaces/ci/workflowincidents", 403, denied()),
        (
            "/apis/unstick.dev/v1alpha1/namespaces/ci/workflowpolicies",
            200,
            page(&[json!({"metadata": {"name": "mine"}, "spec": {"selector": {}}})], ""),
        ),
    ]);
    let ran = server.run("stuck");
    assert_eq!(ran.exit, Exit::Findings);
    assert!(ran.out.starts_with("WORKFLOW  "), "{}", ran.out);
    // The holder from ml was looked up, but is not in this list, and not counted.
    assert!(ran.out.contains("2 stuck of 5 unfinished (1 LockWedged, 1 TaskResultLost)"), "{}", ran.out);
    assert!(ran.out.contains("mine") && !ran.out.contains("train"), "{}", ran.out);
    assert!(
        ran.err.contains("warning: judged without any ClusterWorkflowPolicy: clusterworkflowpolicies is forbidden"),
        "{}",
        ran.err
    );
    let asked = server.asked();
    assert!(asked.iter().any(|r| r.ends_with("/namespaces/ci/workflows/gone")), "{asked:?}");
    assert_eq!(server.run("stuck -o name").out, "workflow.argoproj.io/build-1138\nworkflow.argoproj.io/report-p2\n");
}

#[test]
fn labels_are_left_to_the_server() {
    let server = serve(&[(
        "/apis/argoproj.io/v1alpha1/namespaces/ci/workflows?labelSelector=team%3Dx%2C%21y",
        200,
        page(&[], ""),
    )]);
    let ran = server.run("stuck -l team=x,!y");
    assert_eq!(
        (ran.exit, ran.out.as_str()),
        (Exit::Fine, "Nothing stuck: 0 unfinished workflows looked at.\n"),
        "{}",
        ran.err
    );
}

#[test]
fn explain_reads_one_workflow() {
    let etl = items(|n| n == "etl");
    let server = serve(&[("/apis/argoproj.io/v1alpha1/namespaces/etl/workflows/load-eu-7xk2p", 200, etl[0].clone())]);
    let ran = server.run("explain -n etl load-eu-7xk2p");
    assert_eq!(ran.exit, Exit::Findings, "{}", ran.err);
    assert!(ran.out.starts_with("STUCK  etl/load-eu-7xk2p: Suspended 3d4h at node \"approve\"\n"), "{}", ran.out);
    let asked = server.asked();
    assert!(!asked.iter().any(|r| r.contains("/workflows?") || r.ends_with("/workflows")), "{asked:?}");
    let gone = server.run("explain nobody");
    assert_eq!(
        (gone.exit, gone.err.lines().last().unwrap()),
        (Exit::Failed, "error: workflow \"nobody\" not found in namespace \"ci\"")
    );
}

#[test]
fn faults_are_said_in_the_servers_words() {
    let server = serve(&[(ALL, 403, json!({"kind": "Status", "message": "workflows is forbidden: no"}))]);
    let ran = server.run("stuck -A");
    assert_eq!((ran.exit, ran.err.lines().last().unwrap()), (Exit::Failed, "error: workflows is forbidden: no"));
    let bare = serve(&[]);
    let ran = bare.run("stuck -A");
    assert!(
        ran.exit == Exit::Failed && ran.err.contains("Argo Workflows is not installed in this cluster"),
        "{}",
        ran.err
    );
    let ran = run("stuck -A --kubeconfig /nowhere", "", Screen::PLAIN);
    assert!(ran.exit == Exit::Failed && ran.err.starts_with("error: can't read /nowhere"), "{}", ran.err);
}

/// Standard output whose reader leaves after some lines.
struct Reader {
    lines: usize,
    seen: String,
}

impl std::io::Write for Reader {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.seen.lines().count() >= self.lines {
            return Err(std::io::ErrorKind::BrokenPipe.into());
        }
        self.seen.push_str(std::str::from_utf8(bytes).unwrap());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn watching_prints_again_only_what_changed_and_ends_with_its_reader() {
    let server = serve(&[(ALL, 200, page(&items(|n| n == "etl"), ""))]);
    let change = server.table.clone();
    let asked = server.asked.clone();
    let lists = move || asked.lock().unwrap().iter().filter(|r| r.ends_with(ALL)).count();
    let changer = std::thread::spawn(move || {
        // Two looks at the same, then something new.
        while lists() < 2 {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        let more = items(|n| n != "ml");
        change.lock().unwrap().insert(ALL.to_owned(), (200, page(&more, "")));
        while lists() < 4 {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        change.lock().unwrap().insert(ALL.to_owned(), (200, page(&items(|n| n == "etl"), "")));
    });
    let line = format!("unstick stuck -A -o name --watch --interval 1s --kubeconfig {}", server.kubeconfig.0.display());
    let (mut out, mut err, mut input) = (Reader { lines: 4, seen: String::new() }, Vec::new(), std::io::empty());
    let mut io = unstick::cli::Io { input: &mut input, out: &mut out, err: &mut err, screen: Some(Screen::PLAIN) };
    let exit = unstick::cli::start(line.split(' ').map(Into::into).collect(), &mut io, crate::stage::PARTS);
    changer.join().unwrap();
    assert_eq!(exit, Exit::Fine);
    let etl = "-n etl workflow.argoproj.io/load-eu-7xk2p\n";
    let all = "-n ci workflow.argoproj.io/build-1138\n-n etl workflow.argoproj.io/load-eu-7xk2p\n-n ci workflow.argoproj.io/report-p2\n";
    assert_eq!(out.seen, format!("{etl}{all}"));
    assert_eq!(String::from_utf8(err).unwrap().matches("note: ").count(), 1, "said once");
}
