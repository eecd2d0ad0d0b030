//! `stuck`, `explain`, `status` and `check` against an API server that answers from a table.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};
use unstick::api::crds;
use unstick::cli::Exit;
use unstick::cli::screen::Screen;

use crate::fake::NOW;
use crate::stage::{Ran, run, workflows};

/// Path with query (without `limit`) -> status and body.
type Table = BTreeMap<String, (u16, Value)>;

struct Server {
    table: Arc<Mutex<Table>>,
    kubeconfig: tempfile_path::Path,
    asked: Arc<Mutex<Vec<String>>>,
    _stop: tokio::sync::oneshot::Sender<()>,
}

/// A file that goes with the value.
mod tempfile_path {
    pub struct Path(pub std::path::PathBuf);
    impl Drop for Path {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.0);
        }
    }
}

#[derive(Clone)]
struct Answers {
    table: Arc<Mutex<Table>>,
    asked: Arc<Mutex<Vec<String>>>,
}

async fn answer(State(answers): State<Answers>, request: Request) -> Response {
    let uri = request.uri().to_string().replace("?limit=50&", "?").replace("?limit=50", "");
    let whom = request.headers().get("impersonate-user").and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
    let asked = format!("{} {uri}{}{whom}", request.method(), if whom.is_empty() { "" } else { " as " });
    let body = axum::body::to_bytes(request.into_body(), 1 << 20).await.unwrap();
    answers.asked.lock().unwrap().push(asked);
    let (status, body) = if uri.ends_with("selfsubjectaccessreviews") {
        let mut review: Value = serde_json::from_slice(&body).unwrap();
        let a = &review["spec"]["resourceAttributes"];
        let key = format!("may {} {}", a["verb"].as_str().unwrap(), a["resource"].as_str().unwrap());
        let allowed = answers.table.lock().unwrap().get(&key).is_none_or(|(status, _)| *status == 200);
        review["status"] = json!({"allowed": allowed});
        (201, review)
    } else {
        let none = (404, json!({"kind": "Status", "message": "the server could not find the requested resource"}));
        answers.table.lock().unwrap().get(&uri).cloned().unwrap_or(none)
    };
    let date = [(header::DATE, "Sat, 21 Nov 2026 10:00:00 GMT"), (header::CONTENT_TYPE, "application/json")];
    (StatusCode::from_u16(status).unwrap(), date, body.to_string()).into_response()
}

fn serve(table: &[(&str, u16, Value)]) -> Server {
    let table: Table = table.iter().map(|(path, status, body)| ((*path).to_owned(), (*status, body.clone()))).collect();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let table = Arc::new(Mutex::new(table));
    let answers = Answers { table: table.clone(), asked: asked.clone() };
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    std::thread::spawn(move || {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            let app = Router::new().fallback(answer).with_state(answers);
            tokio::select! {
                served = axum::serve(listener, app) => served.unwrap(),
                _ = stopped => {}
            }
        });
    });
    let path = std::env::temp_dir().join(format!("unstick-cli-{}-{port}.yaml", std::process::id()));
    let mut file = std::fs::File::create(&path).unwrap();
    let config = json!({"apiVersion": "v1", "kind": "Config", "current-context": "c", "users": [{"name": "u", "user": {}}],
        "clusters": [{"name": "k", "cluster": {"server": format!("http://127.0.0.1:{port}")}}],
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u", "namespace": "ci"}}]});
    file.write_all(config.to_string().as_bytes()).unwrap();
    Server { kubeconfig: tempfile_path::Path(path), table, asked, _stop: stop }
}

impl Server {
    fn run(&self, line: &str) -> Ran {
        run(&format!("{line} --kubeconfig {}", self.kubeconfig.0.display()), "", Screen::PLAIN)
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

const ALL: &str = "/apis/argoproj.io/v1alpha1/workflows";

/// Workflows whose namespace passes.
fn items(keep: impl Fn(&str) -> bool) -> Vec<Value> {
    let list: Value = serde_json::from_str(&workflows()).unwrap();
    list["items"].as_array().unwrap().iter().filter(|w| keep(w["metadata"]["namespace"].as_str().unwrap())).cloned().collect()
}

fn page(items: &[Value], next: &str) -> Value {
    json!({"kind": "WorkflowList", "metadata": {"continue": next}, "items": items})
}

#[test]
fn a_cluster_without_our_kinds_is_judged_by_the_built_in_policy() {
    let all = items(|_| true);
    let server = serve(&[
        (ALL, 200, page(&all[..4], "t1/+")),
        // Expired on the way: the server hands out a token to go on with.
        ("/apis/argoproj.io/v1alpha1/workflows?continue=t1%2F%2B", 410, json!({"kind": "Status", "metadata": {"continue": "t2"}})),
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
    assert_eq!((&first["name"], &first["forSeconds"], &first["policy"]), (&"build-1138".into(), &522_000.into(), &"".into()));
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
        ("/apis/argoproj.io/v1alpha1/namespaces/ml/workflows/train-q9wlm-with-a-rather-long-generated-name-x8f2c", 200, ml[0].clone()),
        ("/apis/unstick.dev/v1alpha1/clusterworkflowpolicies", 403, denied()),
        ("/apis/unstick.dev/v1alpha1/watchdogs/default", 403, denied()),
        ("/apis/unstick.dev/v1alpha1/namespaces/ci/workflowincidents", 403, denied()),
        ("/apis/unstick.dev/v1alpha1/namespaces/ci/workflowpolicies", 200, page(&[json!({"metadata": {"name": "mine"}, "spec": {"selector": {}}})], "")),
    ]);
    let ran = server.run("stuck");
    assert_eq!(ran.exit, Exit::Findings);
    assert!(ran.out.starts_with("WORKFLOW  "), "{}", ran.out);
    // The holder from ml was looked up, but is not in this list, and not counted.
    assert!(ran.out.contains("2 stuck of 5 unfinished (1 LockWedged, 1 TaskResultLost)"), "{}", ran.out);
    assert!(ran.out.contains("mine") && !ran.out.contains("train"), "{}", ran.out);
    assert!(ran.err.contains("warning: judged without any ClusterWorkflowPolicy: clusterworkflowpolicies is forbidden"), "{}", ran.err);
    let asked = server.asked();
    assert!(asked.iter().any(|r| r.ends_with("/namespaces/ci/workflows/gone")), "{asked:?}");
    assert_eq!(server.run("stuck -o name").out, "workflow.argoproj.io/build-1138\nworkflow.argoproj.io/report-p2\n");
}

#[test]
fn labels_are_left_to_the_server() {
    let server = serve(&[("/apis/argoproj.io/v1alpha1/namespaces/ci/workflows?labelSelector=team%3Dx%2C%21y", 200, page(&[], ""))]);
    let ran = server.run("stuck -l team=x,!y");
    assert_eq!((ran.exit, ran.out.as_str()), (Exit::Fine, "Nothing stuck: 0 unfinished workflows looked at.\n"), "{}", ran.err);
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
    assert_eq!((gone.exit, gone.err.lines().last().unwrap()), (Exit::Failed, "error: workflow \"nobody\" not found in namespace \"ci\""));
}

#[test]
fn faults_are_said_in_the_servers_words() {
    let server = serve(&[(ALL, 403, json!({"kind": "Status", "message": "workflows is forbidden: no"}))]);
    let ran = server.run("stuck -A");
    assert_eq!((ran.exit, ran.err.lines().last().unwrap()), (Exit::Failed, "error: workflows is forbidden: no"));
    let bare = serve(&[]);
    let ran = bare.run("stuck -A");
    assert!(ran.exit == Exit::Failed && ran.err.contains("Argo Workflows is not installed in this cluster"), "{}", ran.err);
    let ran = run("stuck -A --kubeconfig /nowhere", "", Screen::PLAIN);
    assert!(ran.exit == Exit::Failed && ran.err.starts_with("error: can't read /nowhere"), "{}", ran.err);
}

fn lease(holder: &str, renewed: &str) -> Value {
    json!({"spec": {"holderIdentity": holder, "leaseDurationSeconds": 15, "renewTime": renewed}})
}

fn healthy() -> Vec<(String, u16, Value)> {
    let mut table: Vec<(String, u16, Value)> = crds::all()
        .iter()
        .map(|crd| {
            let mut crd = crd.clone();
            crd["status"] = json!({"conditions": [{"type": "Established", "status": "True"}]});
            let name = crds::name(&crd).to_owned();
            (format!("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}"), 200, crd)
        })
        .collect();
    let lease_of = |at: &str| format!("/apis/coordination.k8s.io/v1/namespaces/{at}");
    let policy = json!({"metadata": {"name": "p"}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}});
    table.extend([
        ("/version".to_owned(), 200, json!({"major": "1", "minor": "34", "gitVersion": "v1.34.1"})),
        ("/apis/argoproj.io/v1alpha1".to_owned(), 200, json!({"resources": [{"name": "workflows"}]})),
        (lease_of("unstick/leases/unstick"), 200, lease("unstick-0", "2026-11-21T09:59:58.000000Z")),
        (lease_of("argo/leases/workflow-controller"), 200, lease("c", "2026-11-21T09:59:30.000000Z")),
        ("/apis/unstick.dev/v1alpha1/clusterworkflowpolicies".to_owned(), 200, page(&[policy], "")),
    ]);
    table
}

fn serve_owned(table: &[(String, u16, Value)]) -> Server {
    let borrowed: Vec<_> = table.iter().map(|(p, s, v)| (p.as_str(), *s, v.clone())).collect();
    serve(&borrowed)
}

fn failing(server: &Server, flags: &str) -> (Exit, Vec<String>) {
    let ran = server.run(&format!("check -o json {flags}"));
    let list: Value = serde_json::from_str(&ran.out).unwrap_or_else(|e| panic!("{e}: {}{}", ran.out, ran.err));
    let mut failed = Vec::new();
    for item in list["items"].as_array().unwrap() {
        // The clock of the machine that runs the tests is not that of the fake server.
        if item["level"] != "ok" && item["name"] != "clock" {
            assert_ne!(item["remedy"], "", "{item}");
            failed.push(format!("{} {}", item["level"].as_str().unwrap(), item["name"].as_str().unwrap()));
        }
    }
    (ran.exit, failed)
}

#[test]
fn check_of_a_healthy_installation_finds_nothing() {
    let server = serve_owned(&healthy());
    assert_eq!(failing(&server, ""), (Exit::Fine, vec![]));
    assert_eq!(failing(&server, "-n etl").0, Exit::Fine);
}

#[test]
fn check_finds_each_fault() {
    let crd = |kind: &str| format!("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{kind}.unstick.dev");
    let mut old = healthy();
    for entry in &mut old {
        if entry.0 == crd("workflowpolicies") {
            let schema = entry.2.pointer_mut("/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties").unwrap();
            schema.as_object_mut().unwrap().remove("pauses");
        }
    }
    let without = |path: &str| -> Vec<(String, u16, Value)> { healthy().into_iter().filter(|e| e.0 != path).collect() };
    let with = |path: &str, status: u16, body: Value| [without(path), vec![(path.to_owned(), status, body)]].concat();
    let argo = "/apis/coordination.k8s.io/v1/namespaces/argo/leases/workflow-controller";
    let own = "/apis/coordination.k8s.io/v1/namespaces/unstick/leases/unstick";
    let bad = json!({"metadata": {"name": "p"}, "status": {"conditions": [{"type": "Ready", "status": "False", "message": "spec.x is wrong"}]}});
    let cases = [
        (old, "fail CRDs"),
        (without(&crd("watchdogs")), "fail CRDs"),
        (without("/apis/argoproj.io/v1alpha1"), "fail Argo CRD"),
        (with("may list namespaces", 403, json!({})), "fail rights"),
        (with(own, 200, lease("unstick-0", "2026-11-21T09:59:40.000000Z")), "fail operator"),
        (with(argo, 200, lease("c", "2026-11-21T09:58:59.000000Z")), "fail Argo default"),
        (with("/apis/unstick.dev/v1alpha1/clusterworkflowpolicies", 200, page(&[bad], "")), "fail policies"),
    ];
    for (table, wanted) in cases {
        assert_eq!(failing(&serve_owned(&table), ""), (Exit::Findings, vec![wanted.to_owned()]));
    }
    for (table, wanted) in [
        (without(own), "warn operator"),
        (without(argo), "warn Argo default"),
        (without("/apis/unstick.dev/v1alpha1/clusterworkflowpolicies"), "warn policies"),
        (with("/version", 200, json!({"major": "1", "minor": "31"})), "warn Kubernetes"),
    ] {
        assert_eq!(failing(&serve_owned(&table), ""), (Exit::Fine, vec![wanted.to_owned()]));
    }
}

#[test]
fn check_asks_as_the_operator_and_names_rights_it_should_not_have() {
    let server = serve_owned(&healthy());
    assert_eq!(failing(&server, "--as-operator"), (Exit::Fine, vec!["warn rights".to_owned()]));
    let reviews: Vec<_> = server.asked().into_iter().filter(|r| r.starts_with("POST ")).collect();
    assert!(reviews.iter().all(|r| r.ends_with("selfsubjectaccessreviews as system:serviceaccount:unstick:unstick")), "{reviews:?}");
    let gets: Vec<_> = server.asked().into_iter().filter(|r| r.starts_with("GET ") && r.contains(" as ")).collect();
    assert!(gets.is_empty(), "{gets:?}");
}

#[test]
fn status_reads_what_there_is() {
    let incident = |state: &str, since: &str| {
        json!({"metadata": {"namespace": "etl", "name": format!("i-{since}")}, "spec": {"workflowRef": {"name": "load"}},
            "status": {"state": state, "stuckSince": since, "detections": [{"name": "a", "type": "Suspended", "reason": "AwaitingResume", "since": since}]}})
    };
    let server = serve(&[
        ("/apis/unstick.dev/v1alpha1", 200, json!({"resources": []})),
        ("/apis/unstick.dev/v1alpha1/watchdogs/default", 200, json!({"spec": {"clusterName": "prod"}, "status": {"leader": "unstick-0", "stuck": 2, "tracked": 9}})),
        (
            "/apis/unstick.dev/v1alpha1/workflowincidents",
            200,
            page(&[incident("Open", NOW), incident("Ended", NOW), incident("Unconfirmed", NOW), incident("Open", "2026-11-20T10:00:00Z")], ""),
        ),
    ]);
    let ran = server.run("status -o json");
    let state: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(ran.exit, Exit::Findings);
    assert_eq!((&state["kind"], &state["clusterName"], &state["openIncidents"]), (&"Status".into(), &"prod".into(), &2.into()));
    assert_eq!(state["incidents"][0]["stuckSince"], "2026-11-20T10:00:00Z");
    assert_eq!(server.run("status --exit-zero").exit, Exit::Fine);
    let bare = serve(&[]);
    let ran = bare.run("status");
    assert!(ran.exit == Exit::Fine && ran.out.contains("unstick stuck -A"), "{}", ran.out);
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
