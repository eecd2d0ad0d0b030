//! What the operator's ServiceAccounts may and may not do, asked of the server's own authorizer.

use anyhow::{Result, bail, ensure};
use kube::Client;
use serde_json::json;

use crate::raw::send;

const CLUSTER: &str = "system:serviceaccount:unstick-system:unstick";
const TEAM: &str = "system:serviceaccount:team-a:unstick";

/// user, verb, group, resource or resource/subresource, namespace ("" = everywhere), name, expected.
type Row = (&'static str, &'static str, &'static str, &'static str, &'static str, &'static str, bool);

const ROWS: &[Row] = &[
    (CLUSTER, "get", "argoproj.io", "workflows", "", "", true),
    (CLUSTER, "list", "argoproj.io", "workflows", "", "", true),
    (CLUSTER, "watch", "argoproj.io", "workflows", "", "", true),
    (CLUSTER, "patch", "argoproj.io", "workflows", "team-b", "", false),
    (CLUSTER, "update", "argoproj.io", "workflows", "team-b", "", false),
    (CLUSTER, "create", "argoproj.io", "workflows", "team-b", "", false),
    (CLUSTER, "delete", "argoproj.io", "workflows", "team-b", "", false),
    (CLUSTER, "deletecollection", "argoproj.io", "workflows", "team-b", "", false),
    (CLUSTER, "patch", "argoproj.io", "workflows/status", "team-b", "", false),
    (CLUSTER, "watch", "", "namespaces", "", "", true),
    (CLUSTER, "delete", "", "namespaces", "", "", false),
    (CLUSTER, "get", "", "secrets", "unstick-system", "", false),
    (CLUSTER, "list", "", "pods", "team-b", "", true),
    (CLUSTER, "list", "", "configmaps", "team-b", "", false),
    (CLUSTER, "get", "", "configmaps", "argo", "workflow-controller-configmap", true),
    (CLUSTER, "get", "", "configmaps", "argo", "other", false),
    (CLUSTER, "get", "", "configmaps", "unstick-system", "workflow-controller-configmap", false),
    (CLUSTER, "list", "argoproj.io", "cronworkflows", "", "", true),
    (CLUSTER, "watch", "argoproj.io", "cronworkflows", "", "", false),
    (CLUSTER, "update", "argoproj.io", "cronworkflows", "team-b", "", false),
    (CLUSTER, "delete", "", "pods", "team-b", "", false),
    (CLUSTER, "watch", "unstick.dev", "watchdogs", "", "", true),
    (CLUSTER, "watch", "unstick.dev", "workflowpolicies", "", "", true),
    (CLUSTER, "watch", "unstick.dev", "clusterworkflowpolicies", "", "", true),
    (CLUSTER, "patch", "unstick.dev", "watchdogs/status", "", "", true),
    (CLUSTER, "patch", "unstick.dev", "workflowpolicies/status", "team-b", "", true),
    (CLUSTER, "patch", "unstick.dev", "clusterworkflowpolicies/status", "", "", true),
    (CLUSTER, "patch", "unstick.dev", "workflowpolicies", "team-b", "", false),
    (CLUSTER, "delete", "unstick.dev", "clusterworkflowpolicies", "", "", false),
    (CLUSTER, "create", "unstick.dev", "workflowincidents", "team-b", "", true),
    (CLUSTER, "delete", "unstick.dev", "workflowincidents", "team-b", "", true),
    (CLUSTER, "patch", "unstick.dev", "workflowincidents/status", "team-b", "", true),
    (CLUSTER, "create", "events.k8s.io", "events", "team-b", "", true),
    (CLUSTER, "patch", "events.k8s.io", "events", "team-b", "", true),
    (CLUSTER, "delete", "events.k8s.io", "events", "team-b", "", false),
    (CLUSTER, "create", "coordination.k8s.io", "leases", "unstick-system", "", true),
    (CLUSTER, "update", "coordination.k8s.io", "leases", "unstick-system", "", true),
    (CLUSTER, "watch", "coordination.k8s.io", "leases", "argo", "", true),
    (CLUSTER, "update", "coordination.k8s.io", "leases", "argo", "", false),
    (CLUSTER, "get", "coordination.k8s.io", "leases", "kube-system", "", false),
    (CLUSTER, "get", "apiextensions.k8s.io", "customresourcedefinitions", "", "workflowpolicies.unstick.dev", true),
    (CLUSTER, "get", "apiextensions.k8s.io", "customresourcedefinitions", "", "workflows.argoproj.io", false),
    (CLUSTER, "list", "apiextensions.k8s.io", "customresourcedefinitions", "", "", false),
    (CLUSTER, "create", "authorization.k8s.io", "selfsubjectaccessreviews", "", "", true),
    (CLUSTER, "impersonate", "", "users", "", "", false),
    (TEAM, "watch", "argoproj.io", "workflows", "team-a", "", true),
    (TEAM, "watch", "argoproj.io", "workflows", "team-b", "", false),
    (TEAM, "patch", "argoproj.io", "workflows", "team-a", "", false),
    (TEAM, "delete", "argoproj.io", "workflows", "team-a", "", false),
    (TEAM, "list", "argoproj.io", "cronworkflows", "team-a", "", true),
    (TEAM, "list", "argoproj.io", "cronworkflows", "team-b", "", false),
    (TEAM, "get", "", "configmaps", "team-a", "workflow-controller-configmap", true),
    (TEAM, "get", "", "configmaps", "team-a", "other", false),
    (TEAM, "watch", "unstick.dev", "workflowpolicies", "team-a", "", true),
    (TEAM, "patch", "unstick.dev", "workflowpolicies/status", "team-a", "", true),
    (TEAM, "create", "unstick.dev", "workflowincidents", "team-a", "", true),
    (TEAM, "create", "unstick.dev", "workflowincidents", "team-b", "", false),
    (TEAM, "create", "events.k8s.io", "events", "team-a", "", true),
    (TEAM, "update", "coordination.k8s.io", "leases", "team-a", "", true),
    (TEAM, "get", "unstick.dev", "watchdogs", "", "", false),
    (TEAM, "list", "unstick.dev", "clusterworkflowpolicies", "", "", false),
    (TEAM, "list", "", "namespaces", "", "", false),
];

pub async fn check(client: &Client) -> Result<()> {
    let mut wrong = Vec::new();
    for row in ROWS {
        let (user, verb, group, resource, namespace, name, expected) = *row;
        let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
            "spec": {"user": user, "groups": ["system:authenticated"], "resourceAttributes": {
                "verb": verb, "group": group, "resource": resource, "subresource": subresource,
                "namespace": namespace, "name": name,
            }},
        });
        let uri = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
        match send(client, "POST", uri, Some(&review), None).await? {
            Ok(answer) if answer["status"]["allowed"] == expected => {}
            Ok(_) => wrong.push(format!("{row:?}")),
            Err(refused) => bail!("{}", refused.message),
        }
    }
    ensure!(wrong.is_empty(), "the authorizer says otherwise: {wrong:#?}");
    Ok(())
}
