//! The rights the operator needs, and asking the API server for each.

use serde_json::{Value, json};

use super::{Account, CheckArgs, Line};
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
const OURS: &str = "unstick.dev";

/// Everything the operator needs; deploy/ grants this and nothing else.
pub const NEEDED: &[Right] = &[
    right("argoproj.io", "workflows", READ, Reach::Watched),
    right(OURS, "workflowpolicies", READ, Reach::Watched),
    right(OURS, "workflowpolicies/status", &["patch"], Reach::Watched),
    right(OURS, "workflowincidents", &["get", "list", "watch", "create", "delete"], Reach::Watched),
    right(OURS, "workflowincidents/status", &["patch"], Reach::Watched),
    right("events.k8s.io", "events", &["create", "patch"], Reach::Watched),
    right(OURS, "clusterworkflowpolicies", READ, Reach::Cluster),
    right(OURS, "clusterworkflowpolicies/status", &["patch"], Reach::Cluster),
    right(OURS, "watchdogs", READ, Reach::Cluster),
    right(OURS, "watchdogs/status", &["patch"], Reach::Cluster),
    right("", "namespaces", READ, Reach::Cluster),
    right("apiextensions.k8s.io", "customresourcedefinitions", &["get"], Reach::Cluster),
    // Its own, and those of the Argo controllers it is told of.
    right("coordination.k8s.io", "leases", &["get"], Reach::Cluster),
    right("coordination.k8s.io", "leases", &["create", "update"], Reach::Own),
];

/// What this version never does: a right to it is one too many.
pub const NEVER: &[Right] = &[right("argoproj.io", "workflows", &["create", "update", "patch", "delete"], Reach::Watched)];

/// Asks for every right.
pub async fn check(cluster: &Cluster, args: &CheckArgs) -> Vec<Line> {
    let account = args.account();
    let whose = account.as_ref().map_or_else(|| "you have".to_owned(), |a| format!("{}:{} has", a.namespace, a.name));
    let mut missing = Vec::new();
    let mut asked = 0;
    for right in wanted(NEEDED, args) {
        for verb in right.verbs {
            asked += 1;
            match allowed(cluster, right, verb, args).await {
                Ok(true) => {}
                Ok(false) => missing.push(shown(right, verb)),
                Err(fault) => return vec![unasked(&fault, account.as_ref())],
            }
        }
    }
    let mut lines = Vec::new();
    if missing.is_empty() {
        lines.push(Line::ok("rights", format!("{whose} all {asked} rights the operator needs")));
    } else {
        let overlay = if args.namespace.is_some() { "the Role" } else { "the ClusterRole" };
        lines.push(Line::fail(
            "rights",
            format!("{} of {asked} missing: {}", missing.len(), missing.join("; ")),
            format!("apply {overlay} in deploy/ and bind it to the operator's ServiceAccount"),
        ));
    }
    // Only of the operator's own account: people may well have more.
    if account.is_some() {
        let mut extra = Vec::new();
        for right in wanted(NEVER, args) {
            for verb in right.verbs {
                if matches!(allowed(cluster, right, verb, args).await, Ok(true)) {
                    extra.push(shown(right, verb));
                }
            }
        }
        if !extra.is_empty() {
            lines.push(Line::warn(
                "rights",
                format!("more than this version uses: {}", extra.join("; ")),
                "remove them: it only observes",
            ));
        }
    }
    lines
}

/// Those that apply to an operator with these flags.
fn wanted<'a>(rights: &'a [Right], args: &CheckArgs) -> impl Iterator<Item = &'a Right> {
    let whole = args.namespace.is_none();
    rights.iter().filter(move |r| whole || r.reach != Reach::Cluster)
}

fn shown(right: &Right, verb: &str) -> String {
    let group = if right.group.is_empty() { String::new() } else { format!(".{}", right.group) };
    match right.resource.split_once('/') {
        Some((resource, sub)) => format!("{verb} {resource}{group}/{sub}"),
        None => format!("{verb} {}{group}", right.resource),
    }
}

fn unasked(fault: &Fault, account: Option<&Account>) -> Line {
    match (fault, account) {
        (Fault::Denied(why), Some(account)) => Line::fail(
            "rights",
            format!("can't ask as {}:{}: {why}", account.namespace, account.name),
            "run it as somebody who may impersonate ServiceAccounts, or without --as-operator",
        ),
        _ => Line::fail("rights", format!("can't be asked for: {fault}"), "run it again; the API server must answer access reviews"),
    }
}

/// A SelfSubjectAccessReview; with impersonation "self" is the ServiceAccount.
async fn allowed(cluster: &Cluster, right: &Right, verb: &str, args: &CheckArgs) -> Result<bool, Fault> {
    let review = review(right, verb, args);
    let answer = cluster.create("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", &review).await?;
    Ok(answer.pointer("/status/allowed").and_then(Value::as_bool).unwrap_or(false))
}

fn review(right: &Right, verb: &str, args: &CheckArgs) -> Value {
    let namespace = match right.reach {
        Reach::Watched => args.namespace.as_deref().unwrap_or_default(),
        Reach::Cluster => "",
        Reach::Own => &args.lease_namespace,
    };
    let (resource, sub) = right.resource.split_once('/').unwrap_or((right.resource, ""));
    json!({
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": {
            "group": right.group, "resource": resource, "subresource": sub, "verb": verb, "namespace": namespace,
        }},
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_needed_writes_a_workflow() {
        for right in NEEDED.iter().filter(|r| r.group == "argoproj.io") {
            assert_eq!((right.resource, right.verbs), ("workflows", READ));
        }
    }

    #[test]
    fn rights_are_shown_as_rbac_writes_them() {
        assert_eq!(shown(&NEEDED[2], "patch"), "patch workflowpolicies.unstick.dev/status");
        assert_eq!(shown(&right("", "namespaces", READ, Reach::Cluster), "list"), "list namespaces");
    }
}
