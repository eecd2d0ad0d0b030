//! The bed judged on itself: the parts are the real ones, they do what scenarios need, and nothing outlives its owner.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use unstick_bed::workflow::node;
use unstick_bed::{Argo, ArgoOptions, Bed, Operator, OperatorOptions, Options, Shared, WorkflowRef, scenario};

const LIMIT: Duration = Duration::from_secs(90);

async fn shared() -> &'static Shared {
    unstick_bed::shared().await.unwrap()
}

async fn submit(bed: &Bed, namespace: &str, name: &str) -> WorkflowRef {
    bed.namespace(namespace).await.unwrap();
    bed.submit(namespace, &scenario::yaml(name).unwrap()).await.unwrap()
}

fn says(workflow: &Value, node_name: &str, text: &str) -> bool {
    node(workflow, node_name).and_then(|n| n["message"].as_str()).is_some_and(|m| m.contains(text))
}

/// Processes (not zombies) whose command line mentions `folder`, the guardians included.
fn processes_of(folder: &Path) -> Vec<String> {
    let wanted = folder.to_string_lossy().into_owned();
    let read = |entry: std::fs::DirEntry| {
        let line = std::fs::read(entry.path().join("cmdline")).ok()?;
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        line.contains(&wanted).then_some(line)
    };
    std::fs::read_dir("/proc").unwrap().filter_map(|e| read(e.ok()?)).collect()
}

fn wait_until(what: &str, limit: Duration, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + limit;
    while !holds() {
        assert!(Instant::now() < until, "{what} does not hold after {limit:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Starts `bed up` and returns it with the folder of its bed.
fn bed_up(configure: impl FnOnce(&mut Command)) -> (Child, PathBuf) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bed"));
    command.arg("up").stdin(Stdio::piped()).stdout(Stdio::piped());
    configure(&mut command);
    let mut child = command.spawn().unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stdout.take().unwrap()), &mut line).unwrap();
    let file = line.trim().strip_prefix("export KUBECONFIG=").unwrap_or_else(|| panic!("no kubeconfig in {line:?}"));
    (child, Path::new(file).parent().unwrap().to_owned())
}

fn failing(command: &mut Command) -> String {
    let done = command.output().unwrap();
    assert_eq!(done.status.code(), Some(1));
    String::from_utf8(done.stderr).unwrap()
}

#[tokio::test]
async fn a_stopped_bed_leaves_nothing() {
    let bed = Bed::start(Options::default()).await.unwrap();
    let folder = bed.folder().to_owned();
    assert!(bed.admin().unwrap().apiserver_version().await.unwrap().git_version.starts_with('v'));
    // Server, storage, and a guardian for each.
    assert_eq!(processes_of(&folder).len(), 4, "{:#?}", processes_of(&folder));
    drop(bed);
    assert!(processes_of(&folder).is_empty(), "{:#?}", processes_of(&folder));
    assert!(!folder.exists());
}

#[test]
fn a_killed_owner_leaves_nothing() {
    let (mut owner, folder) = bed_up(|_| {});
    assert!(processes_of(&folder).len() >= 5, "{:#?}", processes_of(&folder));
    owner.kill().unwrap();
    owner.wait().unwrap();
    wait_until("nothing runs", Duration::from_secs(20), || processes_of(&folder).is_empty());
    wait_until("the folder is gone", Duration::from_secs(20), || !folder.exists());
}

#[test]
fn bed_up_ends_when_stdin_closes_and_takes_programs_from_assets() {
    // The same programs, but under the names and in the place that envtest's users know.
    let built =
        String::from_utf8(Command::new(env!("CARGO_BIN_EXE_bed")).arg("build").output().unwrap().stdout).unwrap();
    let program = |name: &str| built.lines().find(|l| l.starts_with(name)).unwrap()[name.len()..].trim().to_owned();
    let assets = tempfile::tempdir().unwrap();
    for (name, line) in
        [("etcd", program("etcd")), ("kube-apiserver", program("kube-apiserver")), ("kubectl", program("kubectl"))]
    {
        use std::os::unix::fs::PermissionsExt;
        let file = assets.path().join(name);
        std::fs::write(&file, format!("#!/bin/sh\nexec {line} \"$@\"\n")).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let (mut owner, folder) = bed_up(|c| _ = c.env("KUBEBUILDER_ASSETS", assets.path()));
    assert!(processes_of(&folder).iter().any(|l| l.contains("kube-apiserver")));
    drop(owner.stdin.take());
    assert!(owner.wait().unwrap().success());
    assert!(processes_of(&folder).is_empty() && !folder.exists());
}

#[test]
fn what_is_missing_is_named_with_its_remedy() {
    let cache = tempfile::tempdir().unwrap();
    let bare = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bed"));
        command
            .arg("build")
            .env("UNSTICK_BED_CACHE", cache.path())
            .env("PATH", "/nowhere")
            .env_remove("KUBEBUILDER_ASSETS");
        command
    };
    let said = failing(&mut bare());
    assert!(
        said.contains("Go is not installed") && said.contains("install Go 1.2") && said.contains("go.dev/dl"),
        "{said}"
    );
    let said = failing(bare().env("KUBEBUILDER_ASSETS", cache.path()));
    assert!(said.contains("has no `etcd`") && said.contains("unset it"), "{said}");
    let file = cache.path().join("a-file");
    std::fs::write(&file, "").unwrap();
    let said = failing(bare().env("UNSTICK_BED_CACHE", file.join("below")));
    assert!(said.contains("a-file/below") && said.contains("UNSTICK_BED_CACHE"), "{said}");
}

#[tokio::test]
async fn a_part_that_dies_at_start_is_quoted() {
    let wrong = Options { apiserver_flags: vec!["--no-such-flag".into()], ..Options::default() };
    let said = format!("{:#}", Bed::start(wrong).await.err().expect("a server with an unknown flag"));
    assert!(
        said.contains("kube-apiserver stopped by itself") && said.contains("unknown flag: --no-such-flag"),
        "{said}"
    );
}

#[tokio::test]
async fn the_audit_log_knows_who_did_what() {
    let bed = &shared().await.bed;
    bed.namespace("audited").await.unwrap();
    bed.service_account("audited", "reader").await.unwrap();
    let audit = bed.audit().mark().unwrap();
    let kubeconfig = bed.kubeconfig_for("audited", "reader").await.unwrap();
    let kubectl =
        |args: &[&str]| Command::new(bed.kubectl()).arg("--kubeconfig").arg(&kubeconfig).args(args).output().unwrap();
    let denied = kubectl(&["create", "configmap", "mine"]);
    assert!(String::from_utf8_lossy(&denied.stderr).contains("system:serviceaccount:audited:reader"), "{denied:?}");

    let rights = "{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {name: r}, rules: [{apiGroups: [''], resources: [configmaps], verbs: [create, get]}]}\n---\n\
        {apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: r}, subjects: [{kind: ServiceAccount, name: reader, namespace: audited}], roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: r}}";
    bed.apply(rights, "audited").await.unwrap();
    let until = Instant::now() + LIMIT;
    while !kubectl(&["create", "configmap", "mine"]).status.success() {
        assert!(Instant::now() < until, "rights never came into force");
    }
    kubectl(&["get", "configmap", "mine"]);
    let user = "system:serviceaccount:audited:reader";
    audit
        .wait_for("get by the reader", LIMIT, |e| e.user == user && e.verb == "get" && e.name == "mine")
        .await
        .unwrap();
    let writes = audit.writes_by(user).unwrap();
    assert_eq!(writes.first().map(|e| e.code), Some(403));
    assert_eq!(
        writes.last().map(|e| (e.code, e.resource.as_str(), e.namespace.as_str())),
        Some((201, "configmaps", "audited"))
    );
    assert!(writes.iter().all(|e| e.verb == "create"));
    let last = writes.last().unwrap().at;
    assert!(audit.since(last).unwrap().iter().any(|e| e.user == user && e.verb == "get"));
    assert!(audit.by("admin").unwrap().iter().any(|e| e.resource == "roles" && e.writes()));
}

#[tokio::test]
async fn unknown_kinds_and_broken_yaml_are_named() {
    let bed = &shared().await.bed;
    let said = |e: anyhow::Error| format!("{e:#}");
    let unknown = bed.apply("{apiVersion: nobody.dev/v1, kind: Thing, metadata: {name: x}}", "default").await;
    assert!(said(unknown.unwrap_err()).contains("does not know nobody.dev/v1 Thing"));
    let nameless = bed.apply("{apiVersion: v1, kind: ConfigMap}", "default").await;
    assert!(said(nameless.unwrap_err()).contains("metadata.name"));
    assert!(said(bed.submit("default", "a: [").await.unwrap_err()).contains("not YAML"));
    let nowhere = bed.kubeconfig_for("default", "nobody").await;
    assert!(said(nowhere.unwrap_err()).contains("default/nobody; was it created?"));
}

#[tokio::test]
async fn argo_resumes_a_pause_by_itself_and_a_timeout_shows_the_state() {
    let Shared { bed, argo, .. } = shared().await;
    let pause = submit(bed, "pauses", "auto-resume").await;
    let early = bed.wait_for(&pause, "on the moon", Duration::from_millis(1), |_| false).await.unwrap_err().to_string();
    assert!(early.contains("pauses/auto-resume is not on the moon") && early.contains("phase"), "{early}");
    bed.wait_for_phase(&pause, "Succeeded", LIMIT).await.unwrap();
    assert!(argo.scrape().await.unwrap().contains("argo_workflows_gauge"));
    assert!(argo.figures().unwrap().rss_bytes > 10 << 20);
}

/// A scenario and how Argo shows it.
type Shown = (&'static str, fn(&Value) -> bool);

#[tokio::test]
async fn argo_shows_what_pods_are_told_to_do() {
    const SHOWN: &[Shown] = &[
        ("image-pull", |w| {
            says(w, "image-pull", "ImagePullBackOff: Back-off pulling image \"registry.example.com/team/job:typo\"")
        }),
        ("container-config", |w| {
            says(w, "container-config", "CreateContainerConfigError: secret \"missing\" not found")
        }),
        ("unschedulable", |w| says(w, "unschedulable", "Unschedulable: 0/12 nodes are available")),
        ("exit-code", |w| w["status"]["message"] == "main: Error (exit code 3)" && w["status"]["phase"] == "Failed"),
        ("vanish", |w| w["status"]["phase"] == "Error" && says(w, "vanish", "pod deleted")),
        ("vanish-reported", |w| w["status"]["phase"] == "Running" && says(w, "vanish-reported", "pod deleted")),
        ("succeeded", |w| w["status"]["phase"] == "Succeeded" && w["status"]["progress"] == "4/4"),
        ("outputs", |w| {
            w["status"]["phase"] == "Succeeded" && node(w, "use").unwrap()["inputs"]["parameters"][0]["value"] == "1234"
        }),
    ];
    let bed = &shared().await.bed;
    for (name, _) in SHOWN {
        submit(bed, "pods", name).await;
    }
    let pending = submit(bed, "pods", "pod-pending").await;
    for (name, shown) in SHOWN {
        bed.wait_for(&WorkflowRef::new("pods", name), "as told", LIMIT, shown).await.unwrap();
    }
    let still = bed.workflow(&pending).await.unwrap();
    assert_eq!(node(&still, "pod-pending").unwrap()["phase"], "Pending");
}

#[tokio::test]
async fn a_lost_result_holds_the_workflow_until_its_label_is_set() {
    let bed = &shared().await.bed;
    let lost = submit(bed, "losses", "lost-result").await;
    let pod = |phase: &'static str| {
        let path = "/api/v1/namespaces/losses/pods/lost-result";
        async move {
            let request = http::Request::get(path).body(Vec::new()).unwrap();
            bed.admin().unwrap().request::<Value>(request).await.is_ok_and(|p| p["status"]["phase"] == phase)
        }
    };
    let until = Instant::now() + LIMIT;
    while !pod("Succeeded").await {
        assert!(Instant::now() < until, "the pod never succeeded");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // Several of Argo's looks later nothing has changed.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let seen = bed.workflow(&lost).await.unwrap();
    assert_eq!(seen["status"]["phase"], "Running");
    assert_eq!(node(&seen, "lost-result").unwrap()["taskResultSynced"], false);
    let path = "/apis/argoproj.io/v1alpha1/namespaces/losses/workflowtaskresults/lost-result";
    let label = json!({"metadata": {"labels": {"workflows.argoproj.io/report-outputs-completed": "true"}}});
    let request = http::Request::patch(path)
        .header("content-type", "application/merge-patch+json")
        .body(label.to_string().into());
    bed.admin().unwrap().request::<Value>(request.unwrap()).await.unwrap();
    bed.wait_for_phase(&lost, "Succeeded", LIMIT).await.unwrap();
}

#[tokio::test]
async fn a_stopped_workflow_and_a_deleted_pod_end() {
    let bed = &shared().await.bed;
    let stopped = submit(bed, "stops", "stopped").await;
    let deleted = submit(bed, "stops", "long-running").await;
    for (it, name) in [(&stopped, "stopped"), (&deleted, "long-running")] {
        bed.wait_for(it, "running", LIMIT, |w| node(w, name).is_some_and(|n| n["phase"] == "Running")).await.unwrap();
    }
    bed.patch_workflow(&stopped, &json!({"spec": {"shutdown": "Stop"}})).await.unwrap();
    let end = bed.wait_for_phase(&stopped, "Failed", LIMIT).await.unwrap();
    assert_eq!(end["status"]["message"], "Stopped with strategy 'Stop'");
    let pod = |name: &'static str| async move {
        let request = http::Request::get(format!("/api/v1/namespaces/stops/pods/{name}")).body(Vec::new()).unwrap();
        bed.admin().unwrap().request::<Value>(request).await.ok()
    };
    let until = Instant::now() + LIMIT;
    let codes = "/status/containerStatuses/1/state/terminated/exitCode";
    while pod("stopped").await.unwrap().pointer(codes) != Some(&json!(143)) {
        assert!(
            Instant::now() < until,
            "the pod of the stopped workflow runs on: {:#}",
            pod("stopped").await.unwrap()["status"]
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let request = http::Request::delete("/api/v1/namespaces/stops/pods/long-running").body(Vec::new()).unwrap();
    bed.admin().unwrap().request_text(request).await.unwrap();
    let until = Instant::now() + LIMIT;
    while pod("long-running").await.is_some() {
        assert!(Instant::now() < until, "the deleted pod is still there");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test]
async fn a_second_controller_has_its_own_instance_lease_and_size_limit() {
    let bed = &shared().await.bed;
    let options = ArgoOptions { instance_id: "small".into(), leader_election: true, ..ArgoOptions::default() };
    let mut argo = Argo::start(bed, &options.env("MAX_WORKFLOW_SIZE", "6000")).await.unwrap();
    let mut workflow: Value = serde_saphyr::from_str(&scenario::yaml("compressed").unwrap()).unwrap();
    workflow["metadata"]["labels"] = json!({"workflows.argoproj.io/controller-instanceid": "small"});
    bed.namespace("small").await.unwrap();
    let packed = bed.submit_value("small", workflow).await.unwrap();
    let seen = bed
        .wait_for(&packed, "compressed", LIMIT, |w| w["status"]["compressedNodes"].is_string())
        .await
        .unwrap_or_else(|e| panic!("{e:#}\n{}", argo.tail(15)));
    // Base64 of gzip begins so.
    assert!(seen["status"]["compressedNodes"].as_str().unwrap().starts_with("H4sI"));
    assert!(seen["status"]["nodes"].is_null());

    let lease = || async {
        let path = "/apis/coordination.k8s.io/v1/namespaces/argo/leases/workflow-controller-small";
        let request = http::Request::get(path).body(Vec::new()).unwrap();
        bed.admin().unwrap().request::<Value>(request).await.unwrap()["spec"].clone()
    };
    let first = lease().await;
    assert_eq!(first["holderIdentity"], "bed");
    let until = Instant::now() + LIMIT;
    while lease().await["renewTime"] == first["renewTime"] {
        assert!(Instant::now() < until, "the lease is not renewed");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    // Two controllers on one machine want the same fixed port; whichever can't have it serves all the same.
    let refused = |log: &str| {
        let log = std::fs::read_to_string(bed.folder().join(log)).unwrap();
        log.contains(":6060: bind: address already in use")
    };
    assert!(["argo.log", "argo-small.log"].into_iter().any(refused), "who has port 6060?");
    argo.stop();
    let left = lease().await;
    tokio::time::sleep(Duration::from_secs(7)).await;
    assert_eq!(lease().await["renewTime"], left["renewTime"], "a stopped controller renews its lease");
}

#[tokio::test]
async fn the_program_under_test_is_started_watched_and_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let page = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = page.local_addr().unwrap().port();
    let script = "trap 'echo bye; exit 0' TERM; echo config=$KUBECONFIG extra=$EXTRA home=${CARGO_MANIFEST_DIR:-unset}; while :; do sleep 0.1; done";
    let options = |log: &str| OperatorOptions {
        binary: "/bin/sh".into(),
        args: vec!["-c".into(), script.into()],
        env: [("EXTRA".to_owned(), "yes".to_owned())].into(),
        kubeconfig: "/tmp/some.kubeconfig".into(),
        log: dir.path().join(log),
        port,
    };
    let mut one = Operator::start(&options("one.log")).unwrap();
    wait_until("it spoke", LIMIT, || one.tail(1).contains("config="));
    assert!(one.tail(1).contains("config=/tmp/some.kubeconfig extra=yes home=unset"), "{}", one.tail(1));
    assert!(one.figures().unwrap().rss_bytes > 0);
    let serve = tokio::spawn(async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        loop {
            let (mut stream, _) = page.accept().await.unwrap();
            let mut buffer = [0u8; 1024];
            let read = stream.read(&mut buffer).await.unwrap();
            let code = if buffer[..read].starts_with(b"GET /metrics ") { "200 OK" } else { "404 Not Found" };
            let answer = format!("HTTP/1.1 {code}\r\ncontent-length: 5\r\nconnection: close\r\n\r\nup 1\n");
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    assert_eq!(one.scrape().await.unwrap(), "up 1\n");
    let said = one.wait_for("/readyz", Duration::from_millis(200)).await.unwrap_err().to_string();
    assert!(said.contains("/readyz is not 200") && said.contains("404"), "{said}");
    let (status, took) = one.terminate(Duration::from_secs(5)).await.unwrap();
    assert!(status.success() && took < Duration::from_secs(5));
    assert!(one.tail(1).contains("bye"));

    let mut two = Operator::start(&options("two.log")).unwrap();
    two.kill().await.unwrap();
    assert!(!two.ended().unwrap().success());
    serve.abort();
}
