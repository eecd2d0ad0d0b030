//! deploy/ without a cluster: the generated files hold what their sources say, and the operator's rights are as small
//! as promised. tests/e2e/deploy brings the same files to a real API server and asks its authorizer.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;
use unstick::api::crds;

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy")
}

/// Every object in a file, by kind and name; kustomizations are left out.
fn objects(path: &Path) -> BTreeMap<(String, String), Value> {
    let text = std::fs::read_to_string(path).unwrap();
    let text = format!("\n{text}");
    text.split("\n---\n")
        .map(|d| serde_saphyr::from_str::<Value>(d).unwrap_or_else(|e| panic!("{}: {e}", path.display())))
        .filter(|o| !matches!(o["kind"].as_str(), Some("Kustomization" | "Component")))
        .map(|o| {
            let text = |at: &Value| at.as_str().unwrap_or_default().to_owned();
            ((text(&o["kind"]), text(&o["metadata"]["name"])), o)
        })
        .collect()
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut out = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            out.extend(files(&path));
        } else {
            out.push(path);
        }
    }
    out
}

/// Without namespaces: kustomize sets them.
fn anywhere(mut value: Value) -> Value {
    fn strip(value: &mut Value) {
        match value {
            Value::Object(map) => {
                map.remove("namespace");
                map.values_mut().for_each(strip);
            }
            Value::Array(list) => list.iter_mut().for_each(strip),
            _ => {}
        }
    }
    strip(&mut value);
    value
}

/// `generated` must hold exactly the objects of the YAML files in `sources`.
fn assert_current(generated: &str, sources: &[&str], mut extra: BTreeMap<(String, String), Value>) {
    for source in sources {
        for file in files(&deploy().join(source)) {
            extra.extend(objects(&file));
        }
    }
    let there = objects(&deploy().join(generated));
    let stale = format!("deploy/{generated} is stale: run make deploy (kubectl kustomize)");
    assert_eq!(there.keys().collect::<Vec<_>>(), extra.keys().collect::<Vec<_>>(), "{stale}");
    for (id, object) in extra {
        assert_eq!(anywhere(there[&id].clone()), anywhere(object), "{id:?}: {stale}");
    }
}

#[test]
fn the_cluster_install_is_current() {
    let crds = crds::all()
        .iter()
        .map(|c| (("CustomResourceDefinition".to_owned(), crds::name(c).to_owned()), c.clone()))
        .collect();
    assert_current("install.yaml", &["base", "workload"], crds);
}

#[test]
fn the_namespaced_install_is_current() {
    let mut sources: BTreeMap<_, _> = BTreeMap::new();
    for file in files(&deploy().join("workload")) {
        sources.extend(objects(&file));
    }
    let mut deployment = sources[&("Deployment".to_owned(), "unstick".to_owned())].clone();
    *deployment.pointer_mut("/spec/template/spec/containers/0/args").unwrap() =
        serde_json::json!(["run", "--namespace=$(POD_NAMESPACE)"]);
    sources.insert(("Deployment".to_owned(), "unstick".to_owned()), deployment);
    assert_current("namespace-install.yaml", &["overlays/namespaced"], sources);
}

#[test]
fn every_file_reads_and_every_object_is_named() {
    let mut count = 0;
    let is_yaml = |path: &PathBuf| path.extension().is_some_and(|e| e == "yaml");
    for file in files(&deploy()).into_iter().filter(is_yaml) {
        for (kind, name) in objects(&file).into_keys() {
            assert!(!kind.is_empty() && !name.is_empty(), "{}", file.display());
            count += 1;
        }
    }
    assert!(count > 40, "{count}");
}

fn aws(file: &str) -> Value {
    let text = std::fs::read_to_string(deploy().join("aws").join(file)).unwrap();
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{file}: {e}"))
}

/// What the program calls is allowed, and nothing else: above all no delete.
#[test]
fn the_rights_on_a_bucket_are_those_that_are_used() {
    for (file, wanted) in [
        ("iam-writer.json", &["s3:GetObject", "s3:ListBucket", "s3:PutObject"][..]),
        ("iam-reader.json", &["s3:GetObject", "s3:ListBucket"][..]),
    ] {
        let policy = aws(file);
        let mut actions = Vec::new();
        for statement in policy["Statement"].as_array().unwrap() {
            assert_eq!(statement["Effect"], "Allow", "{file}");
            match &statement["Action"] {
                Value::Array(list) => actions.extend(list.iter().map(|a| a.as_str().unwrap().to_owned())),
                one => actions.push(one.as_str().unwrap().to_owned()),
            }
        }
        actions.sort();
        assert_eq!(actions, wanted, "{file}");
    }
}

#[test]
fn the_lifecycle_moves_bodies_only_and_expires_all() {
    let lifecycle = aws("lifecycle.json");
    let rules = lifecycle["Rules"].as_array().unwrap();
    let prefix = |rule: &Value| {
        let filter = &rule["Filter"];
        filter["Prefix"].as_str().or_else(|| filter["And"]["Prefix"].as_str()).unwrap().to_owned()
    };
    let moves: Vec<&Value> = rules.iter().filter(|r| !r["Transitions"].is_null()).collect();
    assert_eq!(moves.len(), 1);
    assert_eq!(prefix(moves[0]), "workflow-archives/");
    assert!(moves[0]["Filter"]["And"]["ObjectSizeGreaterThan"].is_u64(), "else nothing under 128 KB is moved");
    let classes = serde_json::json!([
        {"Days": 30, "StorageClass": "STANDARD_IA"},
        {"Days": 90, "StorageClass": "GLACIER"},
        {"Days": 365, "StorageClass": "DEEP_ARCHIVE"},
    ]);
    assert_eq!(moves[0]["Transitions"], classes);
    let expires = |at: &str| rules.iter().any(|r| prefix(r) == at && r["Expiration"]["Days"] == 2555);
    assert!(expires("workflow-archives/") && expires("workflow-archives-index/"));
    assert!(rules.iter().all(|r| r["Status"] == "Enabled"));
    assert!(rules.iter().any(|r| r["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"].is_u64()));
}

/// The samples are what the operator takes.
#[test]
fn the_samples_fit_the_types() {
    use unstick::api::archive_location::ArchiveLocation;
    use unstick::api::validate::{self, Context};
    let (mut locations, mut policies) = (0, 0);
    for file in files(&deploy().join("samples")) {
        for ((kind, name), object) in objects(&file) {
            match kind.as_str() {
                "ArchiveLocation" => {
                    let read = serde_json::from_value::<ArchiveLocation>(object);
                    let location = read.unwrap_or_else(|e| panic!("{name}: {e}"));
                    assert!(!location.spec.bucket().is_empty(), "{name}");
                    locations += 1;
                }
                "ClusterWorkflowPolicy" => {
                    assert_eq!(validate::lint(&object, &Context::default()), Vec::new(), "{name}");
                    policies += 1;
                }
                _ => {}
            }
        }
    }
    assert_eq!((locations, policies), (3, 1));
}

/// Rules of every role that is bound to the operator's service account.
fn rules(generated: &str) -> Vec<Value> {
    let all = objects(&deploy().join(generated));
    let bindings = all.values().filter(|o| o["kind"].as_str().unwrap().ends_with("Binding"));
    let bound = bindings.filter(|b| b["subjects"][0]["name"] == "unstick");
    let mut out = Vec::new();
    for binding in bound {
        let text = |field: &str| binding["roleRef"][field].as_str().unwrap().to_owned();
        out.extend(all[&(text("kind"), text("name"))]["rules"].as_array().unwrap().clone());
    }
    out
}

#[test]
fn the_operator_only_reads_workflows_and_writes_only_its_own() {
    for generated in ["install.yaml", "namespace-install.yaml"] {
        let rules = rules(generated);
        assert!(rules.len() >= 7, "{generated}: {}", rules.len());
        for rule in rules {
            let list = |field: &str| -> Vec<String> { serde_json::from_value(rule[field].clone()).unwrap() };
            let (groups, resources, verbs) = (list("apiGroups"), list("resources"), list("verbs"));
            let all = [groups.as_slice(), resources.as_slice(), verbs.as_slice()].concat();
            assert!(all.iter().all(|text| !text.contains('*')), "{generated}: wildcard in {rule}");
            let reads = verbs.iter().all(|v| matches!(v.as_str(), "get" | "list" | "watch"));
            let own = ["unstick.dev", "events.k8s.io", "coordination.k8s.io"];
            assert!(reads || groups.iter().all(|g| own.contains(&g.as_str())), "{generated}: writes elsewhere: {rule}");
            assert!(!resources.iter().any(|r| r.starts_with("secrets")), "{generated}: {rule}");
            // The settings of Argo's controller, and of no other.
            let settings = serde_json::json!(["workflow-controller-configmap"]);
            let one = rule["resourceNames"] == settings && verbs == ["get"];
            assert!(one || !resources.iter().any(|r| r.starts_with("configmaps")), "{generated}: {rule}");
        }
    }
}

/// In one namespace the right to delete is that of this namespace, and the archive's doors are narrow.
#[test]
fn the_rights_of_one_namespace_and_the_doors_for_archives() {
    let cleanup = objects(&deploy().join("overlays/namespaced-cleanup/role.yaml"));
    let role = &cleanup[&("Role".to_owned(), "unstick-cleanup".to_owned())];
    let only = serde_json::json!([{"apiGroups": ["argoproj.io"], "resources": ["workflows"], "verbs": ["delete"]}]);
    assert_eq!(role["rules"], only);
    let binding = &cleanup[&("RoleBinding".to_owned(), "unstick-cleanup".to_owned())];
    assert_eq!((&binding["roleRef"]["kind"], &binding["roleRef"]["name"]), (&"Role".into(), &"unstick-cleanup".into()));
    assert!(cleanup.values().all(|object| object["metadata"]["namespace"].is_null()), "it goes where it is applied");

    let doors = objects(&deploy().join("components/network-policy-archive/networkpolicy.yaml"));
    let policy = &doors[&("NetworkPolicy".to_owned(), "unstick-archive".to_owned())];
    let base = objects(&deploy().join("components/network-policy/networkpolicy.yaml"));
    let base = &base[&("NetworkPolicy".to_owned(), "unstick".to_owned())];
    assert_eq!(policy["spec"]["podSelector"], base["spec"]["podSelector"], "the same pods");
    assert_eq!(policy["spec"]["policyTypes"], serde_json::json!(["Egress"]));
    let egress = policy["spec"]["egress"].as_array().unwrap();
    let ports: Vec<&Value> = egress.iter().map(|rule| &rule["ports"][0]["port"]).collect();
    assert_eq!(ports, [9000, 80]);
    assert_eq!(egress[1]["to"][0]["ipBlock"]["cidr"], "169.254.170.23/32");
}

/// What is held while a backlog is archived fits beside what the watchdog holds.
#[test]
fn the_memory_limit_holds_detection_and_a_backlog() {
    let all = objects(&deploy().join("workload/deployment.yaml"));
    let container = &all[&("Deployment".to_owned(), "unstick".to_owned())]["spec"]["template"]["spec"]["containers"][0];
    let limit = container["resources"]["limits"]["memory"].as_str().unwrap();
    let limit: u32 = limit.strip_suffix("Mi").unwrap().parse().unwrap();
    // docs/performance.md: 100,000 workflows after an hour of changes; the bound for archiving is theirs too.
    let (watching, archiving) = (60, 80);
    assert!(limit >= (watching + archiving) * 5 / 4, "{limit}");
}

#[test]
fn scrapes_keep_the_label_namespace() {
    for (file, kind) in [
        ("components/monitoring/servicemonitor.yaml", "ServiceMonitor"),
        ("components/monitoring-victoriametrics/vmservicescrape.yaml", "VMServiceScrape"),
    ] {
        let all = objects(&deploy().join(file));
        let endpoint = &all[&(kind.to_owned(), "unstick".to_owned())]["spec"]["endpoints"][0];
        assert_eq!((&endpoint["honorLabels"], &endpoint["port"]), (&Value::Bool(true), &Value::from("http")));
    }
}
