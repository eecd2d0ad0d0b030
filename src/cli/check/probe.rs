//! The checks themselves, in the order in which one would repair.

use serde::Deserialize as _;
use serde_json::Value;

use super::{CheckArgs, Line, leases, locations, rights};
use crate::api::crds;
use crate::api::schema::installed::Installed;
use crate::api::watchdog::WatchdogSpec;
use crate::cli::source::cluster::{Cluster, Fault};
use crate::cli::words::{count, span};

/// Streaming lists are on by default from here on.
const IDEAL: (u32, u32) = (1, 33);
/// The CRDs' CEL rules and admission policies are stable from here on.
const LEAST: (u32, u32) = (1, 30);
/// Clocks further apart than this make every age wrong.
const SKEW: i64 = 30;

/// Runs every check. `as_whom` is the connection that rights are asked over.
///
/// # Errors
/// When the API server can't be reached at all.
pub async fn run(cluster: &Cluster, as_whom: &Cluster, args: &CheckArgs) -> anyhow::Result<Vec<Line>> {
    let version = cluster.object("/version").await?;
    let mut lines = vec![kubernetes(&version)];
    if let Some(skew) = cluster.skew_seconds() {
        lines.push(clock(skew));
    }
    lines.push(argo_crd(cluster).await);
    lines.extend(our_crds(cluster).await);
    let watchdog = cluster.object("/apis/unstick.dev/v1alpha1/watchdogs/default").await.ok();
    let spec: WatchdogSpec =
        watchdog.as_ref().and_then(|w| serde_json::from_value(w["spec"].clone()).ok()).unwrap_or_default();
    lines.extend(rights::check(as_whom, args, &spec).await);
    lines.push(leases::operator(cluster, args).await);
    lines.extend(leases::argo_instances(cluster, &spec, watchdog.as_ref()).await);
    lines.push(policies(cluster, args).await);
    // With one namespace only, none is read.
    if args.namespace.is_none() {
        lines.extend(locations::check(cluster).await);
    }
    Ok(lines)
}

fn kubernetes(version: &Value) -> Line {
    const NAME: &str = "Kubernetes";
    let shown = version["gitVersion"].as_str().unwrap_or("unknown version");
    let number = |field: &str| {
        let digits: String =
            version[field].as_str().unwrap_or_default().chars().take_while(char::is_ascii_digit).collect();
        digits.parse::<u32>().unwrap_or(0)
    };
    let found = (number("major"), number("minor"));
    if found >= IDEAL {
        Line::ok(NAME, shown)
    } else if found >= LEAST {
        Line::warn(
            NAME,
            format!("{shown}: lists are read in pages, which costs more memory at start"),
            "upgrade to 1.33 or later when you can",
        )
    } else {
        Line::fail(
            NAME,
            format!("{shown} is too old for the CRDs and admission policies"),
            "upgrade to 1.30 or later, best 1.33",
        )
    }
}

fn clock(skew: i64) -> Line {
    let off = skew.abs();
    if off <= SKEW {
        Line::ok("clock", format!("within {}s of the API server's", off.max(1)))
    } else {
        let side = if skew > 0 { "ahead of" } else { "behind" };
        Line::warn(
            "clock",
            format!("this machine is {} {side} the API server", span(off)),
            "set its clock; ages are taken from the API server",
        )
    }
}

async fn argo_crd(cluster: &Cluster) -> Line {
    const NAME: &str = "Argo CRD";
    match cluster.object("/apis/argoproj.io/v1alpha1").await {
        Ok(found) => {
            let workflows = found["resources"].as_array().is_some_and(|r| r.iter().any(|x| x["name"] == "workflows"));
            if workflows {
                Line::ok(NAME, "workflows.argoproj.io v1alpha1 is served")
            } else {
                Line::fail(
                    NAME,
                    "argoproj.io/v1alpha1 is served, but without workflows",
                    "install the CRDs of Argo Workflows",
                )
            }
        }
        Err(Fault::NotFound) => Line::fail(
            NAME,
            "workflows.argoproj.io is not installed",
            "install Argo Workflows, or use another --context",
        ),
        Err(fault) => {
            Line::fail(NAME, format!("can't be looked up: {fault}"), "ask for the right to read API discovery")
        }
    }
}

async fn our_crds(cluster: &Cluster) -> Vec<Line> {
    const APPLY: &str = "unstick crds | kubectl apply --server-side -f -";
    let (mut current, mut absent, mut lines) = (0, Vec::new(), Vec::new());
    for crd in crds::all() {
        let name = crds::name(crd);
        let kind = crd.pointer("/spec/names/kind").and_then(Value::as_str).unwrap_or_default();
        match cluster.object(&format!("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}")).await {
            Ok(installed) => {
                let missing = Installed::deserialize(&installed).unwrap_or_default().missing_fields(kind);
                if !missing.is_empty() {
                    let message = format!("{name} is older than this version: it lacks {}", some(&missing));
                    lines.push(Line::fail("CRDs", message, APPLY));
                } else if !established(&installed) {
                    let remedy = format!("kubectl describe crd {name}");
                    lines.push(Line::fail("CRDs", format!("{name} is not established"), remedy));
                } else {
                    current += 1;
                }
            }
            Err(Fault::NotFound) => absent.push(name),
            Err(fault) => {
                let remedy = "ask for the right to get customresourcedefinitions";
                lines.push(Line::warn("CRDs", format!("{name} can't be read: {fault}"), remedy));
            }
        }
    }
    if !absent.is_empty() {
        lines.insert(0, Line::fail("CRDs", format!("not installed: {}", absent.join(", ")), APPLY));
    }
    if current > 0 {
        lines.insert(0, Line::ok("CRDs", format!("{current} of {} installed and current", crds::all().len())));
    }
    lines
}

fn established(crd: &Value) -> bool {
    let conditions = crd.pointer("/status/conditions").and_then(Value::as_array);
    conditions.is_some_and(|all| all.iter().any(|c| c["type"] == "Established" && c["status"] == "True"))
}

/// The first few of a list.
fn some(all: &[String]) -> String {
    const SHOWN: usize = 3;
    let first: Vec<_> = all.iter().take(SHOWN).map(String::as_str).collect();
    let rest = all.len().saturating_sub(SHOWN);
    if rest == 0 { first.join(", ") } else { format!("{} and {}", first.join(", "), count(rest, "more field")) }
}

async fn policies(cluster: &Cluster, args: &CheckArgs) -> Line {
    const NAME: &str = "policies";
    const OURS: &str = "/apis/unstick.dev/v1alpha1";
    let own = args
        .namespace
        .as_ref()
        .map_or_else(|| format!("{OURS}/workflowpolicies"), |n| format!("{OURS}/namespaces/{n}/workflowpolicies"));
    let mut paths = vec![own];
    if args.namespace.is_none() {
        paths.push(format!("{OURS}/clusterworkflowpolicies"));
    }
    let (mut all, mut bad) = (0, Vec::new());
    for path in paths {
        let mut look = |json: &str| {
            let Ok(policy) = serde_json::from_str::<Value>(json) else { return };
            all += 1;
            if let Some(message) = not_ready(&policy) {
                bad.push(message);
            }
        };
        match cluster.each(&path, "", &mut look).await {
            Ok(()) | Err(Fault::NotFound) => {}
            Err(fault) => {
                return Line::warn(NAME, format!("can't be listed: {fault}"), "ask for the right to list policies");
            }
        }
    }
    if all == 0 {
        Line::warn(NAME, "there are none, so the operator finds nothing", "unstick policy init | kubectl apply -f -")
    } else if bad.is_empty() {
        Line::ok(NAME, format!("{all} in force or waiting to be read"))
    } else {
        Line::fail(
            NAME,
            format!("{} of {all} not ready: {}", bad.len(), bad.join("; ")),
            "correct the field it names; unstick policy lint finds more",
        )
    }
}

/// `kind/name: message` of a policy whose Ready condition is False.
pub fn not_ready(policy: &Value) -> Option<String> {
    let conditions = policy.pointer("/status/conditions")?.as_array()?;
    let ready = conditions.iter().find(|c| c["type"] == "Ready" && c["status"] == "False")?;
    let meta = &policy["metadata"];
    let name = meta["name"].as_str().unwrap_or_default();
    let full = meta["namespace"].as_str().map_or_else(|| format!("cluster/{name}"), |n| format!("{n}/{name}"));
    Some(format!("{full}: {}", ready["message"].as_str().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::check::Level;

    #[test]
    fn versions_of_kubernetes() {
        let level = |minor: &str| kubernetes(&json!({"major": "1", "minor": minor, "gitVersion": "v1"})).level;
        assert_eq!(
            [level("34+"), level("33"), level("32"), level("29")],
            [Level::Ok, Level::Ok, Level::Warn, Level::Fail]
        );
        assert_eq!(kubernetes(&json!({})).level, Level::Fail);
    }

    #[test]
    fn policies_that_are_not_ready_are_named() {
        let policy = |status: &str| {
            json!({"metadata": {"name": "p", "namespace": "etl"},
                "status": {"conditions": [{"type": "Ready", "status": status, "message": "spec.x is wrong"}]}})
        };
        assert_eq!(not_ready(&policy("False")).as_deref(), Some("etl/p: spec.x is wrong"));
        assert_eq!(not_ready(&policy("True")), None);
        assert_eq!(not_ready(&json!({})), None);
    }
}
