//! `check` and `status` against an API server.

use serde_json::{Value, json};
use unstick::api::crds;
use unstick::cli::Exit;

use crate::fake::NOW;
use crate::server::{Server, page, serve};

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
        (lease_of("unstick-system/leases/unstick"), 200, lease("unstick-0", "2026-11-21T09:59:58.000000Z")),
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
            let schema =
                entry.2.pointer_mut("/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties").unwrap();
            schema.as_object_mut().unwrap().remove("pauses");
        }
    }
    let without = |path: &str| -> Vec<(String, u16, Value)> { healthy().into_iter().filter(|e| e.0 != path).collect() };
    let with = |path: &str, status: u16, body: Value| [without(path), vec![(path.to_owned(), status, body)]].concat();
    let argo = "/apis/coordination.k8s.io/v1/namespaces/argo/leases/workflow-controller";
    let own = "/apis/coordination.k8s.io/v1/namespaces/unstick-system/leases/unstick";
    let bad = json!({"metadata": {"name": "p"}, "status": {"conditions": [{"type": "Ready", "status": "False", "message": "spec.x is wrong"}]}});
    let cases = [
        (old, "fail CRDs"),
        (without(&crd("watchdogs")), "fail CRDs"),
        (without("/apis/argoproj.io/v1alpha1"), "fail Argo CRD"),
        (with("may list namespaces", 403, json!({})), "fail rights"),
        (with(own, 200, lease("unstick-0", "2026-11-21T09:59:40.000000Z")), "fail operator"),
        (with(argo, 200, lease("c", "2026-11-21T09:59:00.000000Z")), "fail Argo default"),
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
    assert!(
        reviews.iter().all(|r| r.ends_with("selfsubjectaccessreviews as system:serviceaccount:unstick-system:unstick")),
        "{reviews:?}"
    );
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
        (
            "/apis/unstick.dev/v1alpha1/watchdogs/default",
            200,
            json!({"spec": {"clusterName": "prod"}, "status": {"leader": "unstick-0", "stuck": 2, "tracked": 9}}),
        ),
        (
            "/apis/unstick.dev/v1alpha1/workflowincidents",
            200,
            page(
                &[
                    incident("Open", NOW),
                    incident("Ended", NOW),
                    incident("Unconfirmed", NOW),
                    incident("Open", "2026-11-20T10:00:00Z"),
                ],
                "",
            ),
        ),
    ]);
    let ran = server.run("status -o json");
    let state: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(ran.exit, Exit::Findings);
    assert_eq!(
        (&state["kind"], &state["clusterName"], &state["openIncidents"]),
        (&"Status".into(), &"prod".into(), &2.into())
    );
    assert_eq!(state["incidents"][0]["stuckSince"], "2026-11-20T10:00:00Z");
    assert_eq!(server.run("status --exit-zero").exit, Exit::Fine);
    let bare = serve(&[]);
    let ran = bare.run("status");
    assert!(ran.exit == Exit::Fine && ran.out.contains("unstick stuck -A"), "{}", ran.out);
}

/// Rules of the roles in a file: (group, resource, verb).
fn granted(file: &str) -> std::collections::BTreeSet<(String, String, String)> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(file);
    let objects: Vec<Value> = serde_saphyr::from_multiple(&std::fs::read_to_string(path).unwrap()).unwrap();
    let list = |value: &Value| -> Vec<String> {
        value.as_array().into_iter().flatten().map(|v| v.as_str().unwrap().to_owned()).collect()
    };
    let mut all = std::collections::BTreeSet::new();
    for rule in objects.iter().flat_map(|o| o["rules"].as_array().cloned().unwrap_or_default()) {
        for group in list(&rule["apiGroups"]) {
            for resource in list(&rule["resources"]) {
                all.extend(list(&rule["verbs"]).into_iter().map(|verb| (group.clone(), resource.clone(), verb)));
            }
        }
    }
    all
}

#[test]
fn check_asks_for_what_deploy_grants_and_for_nothing_else() {
    use unstick::cli::check::rights::{NEEDED, Reach};
    let asked = |reaches: &[Reach]| -> std::collections::BTreeSet<_> {
        let of = NEEDED.iter().filter(|r| reaches.contains(&r.reach));
        of.flat_map(|r| r.verbs.iter().map(|v| (r.group.to_owned(), r.resource.to_owned(), (*v).to_owned()))).collect()
    };
    assert_eq!(asked(&[Reach::Watched, Reach::Cluster]), granted("base/clusterrole.yaml"));
    assert_eq!(asked(&[Reach::Argo]), granted("base/argo-leases.yaml"));
    assert_eq!(asked(&[Reach::Own]), granted("workload/lease-role.yaml"));
    assert_eq!(asked(&[Reach::Watched, Reach::Argo]), granted("overlays/namespaced/role.yaml"));
}

#[test]
fn check_tells_which_locations_are_ready() {
    let location = |name: &str, status: &str| {
        json!({"metadata": {"name": name}, "status": {"conditions": [{"type": "Ready", "status": status,
            "reason": "NoSuchBucket", "message": "bucket b is not there; create the bucket"}]}})
    };
    let new = json!({"metadata": {"name": "new"}});
    let path = "/apis/unstick.dev/v1alpha1/archivelocations".to_owned();
    let mut table = healthy();
    table.push((path, 200, page(&[location("main", "True"), location("cold", "False"), new], "")));
    let server = serve_owned(&table);
    assert_eq!(failing(&server, ""), (Exit::Findings, vec!["fail locations".to_owned(), "warn locations".to_owned()]));
    let text = server.run("check").out;
    for words in [
        "1 ready for archives: main",
        "ArchiveLocation cold is not ready (NoSuchBucket): bucket b is not there; create the bucket",
        "ArchiveLocation new has not been tried yet",
    ] {
        assert!(text.contains(words), "{words}\n{text}");
    }
    assert_eq!(failing(&server, "-n etl").0, Exit::Fine);
}
