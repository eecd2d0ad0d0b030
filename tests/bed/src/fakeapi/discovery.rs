//! Versions, groups and resources for kube and kubectl, and access reviews that always say yes.

use serde_json::{Value, json};

use super::kinds::KINDS;

/// The document at a discovery or health path.
pub fn document(path: &str) -> Option<Value> {
    match path.trim_end_matches('/') {
        "/version" => Some(json!({
            "major": "1", "minor": "34", "gitVersion": "v1.34.4", "gitCommit": "", "gitTreeState": "clean",
            "buildDate": "1970-01-01T00:00:00Z", "goVersion": "none", "compiler": "none", "platform": "linux/amd64",
        })),
        "/healthz" | "/livez" | "/readyz" => Some(json!("ok")),
        "/api" => Some(json!({"kind": "APIVersions", "versions": ["v1"]})),
        "/apis" => Some(groups()),
        path => {
            let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
            match parts.as_slice() {
                ["api", version] => resources("", version),
                ["apis", group, version] => resources(group, version),
                ["apis", group] => {
                    let all = groups();
                    let found = all["groups"].as_array()?.iter().find(|g| g["name"] == *group)?;
                    let mut one = found.clone();
                    one["kind"] = json!("APIGroup");
                    one["apiVersion"] = json!("v1");
                    Some(one)
                }
                _ => None,
            }
        }
    }
}

fn groups() -> Value {
    let mut groups: Vec<Value> = Vec::new();
    for kind in KINDS.iter().filter(|k| !k.group.is_empty()) {
        if groups.iter().all(|g| g["name"] != kind.group) {
            let version = json!({"groupVersion": kind.api_version(), "version": kind.version});
            groups.push(json!({"name": kind.group, "versions": [version], "preferredVersion": version}));
        }
    }
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

fn resources(group: &str, version: &str) -> Option<Value> {
    let mut list = Vec::new();
    for kind in KINDS.iter().filter(|k| k.group == group && k.version == version) {
        let verbs = ["create", "delete", "get", "list", "patch", "update", "watch"];
        list.push(json!({
            "name": kind.plural, "singularName": kind.kind.to_lowercase(), "namespaced": kind.namespaced, "kind": kind.kind,
            "verbs": verbs, "shortNames": if kind.short.is_empty() { vec![] } else { vec![kind.short] },
        }));
        if kind.status {
            list.push(json!({
                "name": format!("{}/status", kind.plural), "singularName": "", "namespaced": kind.namespaced, "kind": kind.kind,
                "verbs": ["get", "patch", "update"],
            }));
        }
    }
    let name = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    (!list.is_empty())
        .then(|| json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": name, "resources": list}))
}

/// The answer to an access review.
pub fn review(path: &str, body: &[u8]) -> Option<Value> {
    let plural = path.strip_prefix("/apis/authorization.k8s.io/v1/")?;
    let mut review: Value = serde_json::from_slice(body).ok()?;
    review["status"] = match plural {
        "selfsubjectaccessreviews" | "subjectaccessreviews" => json!({"allowed": true}),
        "selfsubjectrulesreviews" => json!({
            "incomplete": false, "nonResourceRules": [],
            "resourceRules": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}],
        }),
        _ => return None,
    };
    Some(review)
}
