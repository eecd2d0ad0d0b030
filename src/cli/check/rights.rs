//! The rights the operator needs, and asking the API server for each.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Account, CheckArgs, Line};
use crate::api::argo_deletes::CONFIG_MAP;
use crate::api::crds;
use crate::api::watchdog::WatchdogSpec;
use crate::cli::source::cluster::{Cluster, Fault};

/// Where a right applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Where workflows are watched: the whole cluster, or the one namespace.
    Watched,
    /// The cluster as a whole; an operator for one namespace does without.
    Cluster,
    /// The operator's own namespace.
    Own,
    /// The namespaces of the Argo controllers it is told of.
    Argo,
}

/// Verbs on one resource.
#[derive(Clone, Copy, Debug)]
pub struct Right {
    pub group: &'static str,
    /// With its subresource, such as `workflowpolicies/status`.
    pub resource: &'static str,
    pub verbs: &'static [&'static str],
    pub reach: Reach,
}

const fn right(group: &'static str, resource: &'static str, verbs: &'static [&'static str], reach: Reach) -> Right {
    Right { group, resource, verbs, reach }
}

const READ: &[&str] = &["get", "list", "watch"];
const STATUS: &[&str] = &["patch", "update"];
const OURS: &str = "unstick.dev";

/// Everything the operator needs; deploy/ grants this and nothing else, a test holds both together.
pub const NEEDED: &[Right] = &[
    right("argoproj.io", "workflows", READ, Reach::Watched),
    right("argoproj.io", "cronworkflows", &["get", "list"], Reach::Watched),
    right("", "pods", READ, Reach::Watched),
    right(OURS, "workflowpolicies", READ, Reach::Watched),
    right(OURS, "workflowpolicies/status", STATUS, Reach::Watched),
    right(OURS, "workflowincidents", &["get", "list", "watch", "create", "update", "patch", "delete"], Reach::Watched),
    right(OURS, "workflowincidents/status", STATUS, Reach::Watched),
    right("events.k8s.io", "events", &["create", "patch"], Reach::Watched),
    right(OURS, "clusterworkflowpolicies", READ, Reach::Cluster),
    right(OURS, "clusterworkflowpolicies/status", STATUS, Reach::Cluster),
    right(OURS, "watchdogs", READ, Reach::Cluster),
    right(OURS, "watchdogs/status", STATUS, Reach::Cluster),
    right(OURS, "archivelocations", READ, Reach::Cluster),
    right(OURS, "archivelocations/status", STATUS, Reach::Cluster),
    right("", "namespaces", READ, Reach::Cluster),
    // Of our own CRDs only.
    right("apiextensions.k8s.io", "customresourcedefinitions", &["get"], Reach::Cluster),
    right("coordination.k8s.io", "leases", READ, Reach::Argo),
    // Of Argo's controller only.
    right("", "configmaps", &["get"], Reach::Argo),
    right("coordination.k8s.io", "leases", &["get", "create", "update"], Reach::Own),
];

/// What this version never does: a right to it is one too many. Patching (to mark an archived run) and deleting are
/// given by components of deploy/.
pub const NEVER: &[Right] =
    &[right("argoproj.io", "workflows", &["create", "update", "deletecollection"], Reach::Watched)];

/// Asks for every right.
pub async fn check(cluster: &Cluster, args: &CheckArgs, spec: &WatchdogSpec) -> Vec<Line> {
    let account = args.account();
    let whose = account.as_ref().map_or_else(|| "you have".to_owned(), |a| format!("{}:{} has", a.namespace, a.name));
    let all = reviews(NEEDED, args, spec);
    let mut missing = Vec::new();
    for review in &all {
        match allowed(cluster, review).await {
            Ok(true) => {}
            Ok(false) => missing.push((review.resource.clone(), review.verb)),
            Err(fault) => return vec![unasked(&fault, account.as_ref())],
        }
    }
    let mut lines = Vec::new();
    if missing.is_empty() {
        lines.push(Line::ok("rights", format!("{whose} all {} rights the operator needs", all.len())));
    } else {
        let role = if args.namespace.is_some() { "deploy/overlays/namespaced" } else { "deploy/base" };
        lines.push(Line::fail(
            "rights",
            format!("{} of {} missing: {}", missing.len(), all.len(), grouped(&missing)),
            format!("apply the roles in {role} and bind them to the operator's service account"),
        ));
    }
    // Only of the operator's own account: people may well have more.
    if account.is_some() {
        let mut extra = Vec::new();
        for review in reviews(NEVER, args, spec) {
            if matches!(allowed(cluster, &review).await, Ok(true)) {
                extra.push((review.resource, review.verb));
            }
        }
        if !extra.is_empty() {
            let message = format!("more than this version uses: {}", grouped(&extra));
            lines.push(Line::warn("rights", message, "remove them: it needs none of them"));
        }
    }
    lines
}

/// One question to the API server.
struct Review {
    /// As RBAC writes it, such as `workflowpolicies.unstick.dev/status`.
    resource: String,
    verb: &'static str,
    attributes: Value,
}

/// The questions for an operator with these flags: one for each verb, place and name.
fn reviews(rights: &[Right], args: &CheckArgs, spec: &WatchdogSpec) -> Vec<Review> {
    let own = args.namespace.as_deref();
    let mut all = Vec::new();
    for right in rights {
        let places: BTreeSet<&str> = match right.reach {
            Reach::Watched => [own.unwrap_or_default()].into(),
            Reach::Cluster if own.is_some() => BTreeSet::new(),
            Reach::Cluster => [""].into(),
            Reach::Own => [args.lease_namespace.as_str()].into(),
            // With one namespace only, Argo's Lease is read where it is there.
            Reach::Argo => own.map_or_else(|| spec.argo.iter().map(|i| i.namespace.as_str()).collect(), |n| [n].into()),
        };
        let names: Vec<&str> = match right.resource {
            "customresourcedefinitions" => crds::all().iter().map(crds::name).collect(),
            "configmaps" => vec![CONFIG_MAP],
            _ => vec![""],
        };
        let (resource, sub) = right.resource.split_once('/').unwrap_or((right.resource, ""));
        for place in &places {
            for (name, verb) in names.iter().flat_map(|n| right.verbs.iter().map(move |v| (n, v))) {
                let attributes = json!({
                    "group": right.group, "resource": resource, "subresource": sub,
                    "verb": verb, "namespace": place, "name": name,
                });
                all.push(Review { resource: shown(right), verb, attributes });
            }
        }
    }
    all
}

/// `get, list workflows.argoproj.io; create events.events.k8s.io`: the verbs of a resource together.
fn grouped(rights: &[(String, &str)]) -> String {
    let mut groups: Vec<(&str, Vec<&str>)> = Vec::new();
    for (resource, verb) in rights {
        match groups.iter_mut().find(|(r, _)| r == resource) {
            Some((_, verbs)) if verbs.contains(verb) => {}
            Some((_, verbs)) => verbs.push(verb),
            None => groups.push((resource, vec![verb])),
        }
    }
    let each: Vec<_> = groups.iter().map(|(resource, verbs)| format!("{} {resource}", verbs.join(", "))).collect();
    each.join("; ")
}

fn shown(right: &Right) -> String {
    let group = if right.group.is_empty() { String::new() } else { format!(".{}", right.group) };
    match right.resource.split_once('/') {
        Some((resource, sub)) => format!("{resource}{group}/{sub}"),
        None => format!("{}{group}", right.resource),
    }
}

fn unasked(fault: &Fault, account: Option<&Account>) -> Line {
    match (fault, account) {
        (Fault::Denied(why), Some(account)) => Line::fail(
            "rights",
            format!("can't ask as {}:{}: {why}", account.namespace, account.name),
            "run it as somebody who may impersonate service accounts, or without --as-operator",
        ),
        _ => Line::fail(
            "rights",
            format!("can't be asked for: {fault}"),
            "run it again; the API server must answer access reviews",
        ),
    }
}

/// A self access review; with impersonation "self" is the service account.
async fn allowed(cluster: &Cluster, review: &Review) -> Result<bool, Fault> {
    let object = json!({
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": review.attributes},
    });
    let answer = cluster.create("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", &object).await?;
    Ok(answer.pointer("/status/allowed").and_then(Value::as_bool).unwrap_or(false))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_needed_writes_a_workflow() {
        for right in NEEDED.iter().filter(|r| r.group == "argoproj.io") {
            assert!(right.verbs.iter().all(|verb| READ.contains(verb)), "{right:?}");
        }
    }

    #[test]
    fn rights_are_shown_as_rbac_writes_them() {
        assert_eq!(shown(&NEEDED[4]), "workflowpolicies.unstick.dev/status");
        assert_eq!(shown(&right("", "namespaces", READ, Reach::Cluster)), "namespaces");
        let missing =
            [("a".to_owned(), "get"), ("b".to_owned(), "list"), ("a".to_owned(), "watch"), ("a".to_owned(), "get")];
        assert_eq!(grouped(&missing), "get, watch a; list b");
    }
}
