//! Who leads, and whether Argo's controllers are up: both are read off Leases.

use jiff::Timestamp;
use serde_json::Value;

use super::{CheckArgs, Line};
use crate::api::reasons::ArgoState;
use crate::api::watchdog::WatchdogSpec;
use crate::cli::source::cluster::{Cluster, Fault};
use crate::cli::source::load::{lease_state, renewed};
use crate::cli::words::{seconds_since, span};

pub async fn operator(cluster: &Cluster, args: &CheckArgs) -> Line {
    const NAME: &str = "operator";
    let at = format!("{}/{}", args.lease_namespace, args.lease_name);
    let path = format!("/apis/coordination.k8s.io/v1/namespaces/{}/leases/{}", args.lease_namespace, args.lease_name);
    match cluster.object(&path).await {
        Ok(lease) => leader(&lease, &at, cluster.now()),
        Err(Fault::NotFound) => Line::warn(
            NAME,
            format!("not running: no lease {at}"),
            "install it (deploy/), or name its namespace with --lease-namespace; stuck and explain work without it",
        ),
        Err(fault) => {
            Line::warn(NAME, format!("lease {at} can't be read: {fault}"), "ask for the right to get that lease")
        }
    }
}

fn leader(lease: &Value, at: &str, now: Timestamp) -> Line {
    const NAME: &str = "operator";
    let holder = lease.pointer("/spec/holderIdentity").and_then(Value::as_str).unwrap_or_default();
    let lasts = lease.pointer("/spec/leaseDurationSeconds").and_then(Value::as_i64).unwrap_or(15);
    let remedy =
        format!("kubectl -n {} get pods, and read the log of unstick", at.split('/').next().unwrap_or_default());
    let Some(renewed) = renewed(lease) else {
        return Line::fail(NAME, format!("lease {at} was never renewed"), remedy);
    };
    let age = seconds_since(renewed, now);
    if holder.is_empty() {
        Line::fail(NAME, format!("nobody holds lease {at}, released {} ago", span(age)), remedy)
    } else if age > lasts {
        Line::fail(NAME, format!("{holder} last renewed lease {at} {} ago", span(age)), remedy)
    } else {
        Line::ok(NAME, format!("{holder} leads, lease {at} renewed {} ago", span(age)))
    }
}

pub async fn argo_instances(cluster: &Cluster, spec: &WatchdogSpec, watchdog: Option<&Value>) -> Vec<Line> {
    let mut lines = Vec::new();
    for instance in &spec.argo {
        let name = format!("Argo {}", instance.name);
        if instance.lease.is_empty() {
            lines.push(reported(&name, &instance.name, watchdog));
            continue;
        }
        let at = format!("{}/{}", instance.namespace, instance.lease);
        let path = format!("/apis/coordination.k8s.io/v1/namespaces/{}/leases/{}", instance.namespace, instance.lease);
        lines.push(match cluster.object(&path).await {
            Ok(lease) => controller(&name, &lease, &at, &instance.namespace, cluster.now()),
            Err(Fault::NotFound) => Line::warn(
                &name,
                format!("no lease {at}: whether its controller is up can't be known"),
                "name the controller's namespace, lease or metrics address in spec.argo of the Watchdog object",
            ),
            Err(fault) => {
                Line::warn(&name, format!("lease {at} can't be read: {fault}"), "ask for the right to get that lease")
            }
        });
    }
    lines
}

fn controller(name: &str, lease: &Value, at: &str, namespace: &str, now: Timestamp) -> Line {
    let age = renewed(lease).map_or_else(|| "never".to_owned(), |t| format!("{} ago", span(seconds_since(t, now))));
    match lease_state(lease, now) {
        ArgoState::Up => Line::ok(name, format!("controller is up, lease {at} renewed {age}")),
        ArgoState::Down => Line::fail(
            name,
            format!("controller is down, lease {at} renewed {age}: no workflow moves"),
            format!("kubectl -n {namespace} get pods, and read the log of its workflow-controller"),
        ),
        ArgoState::Unknown => Line::warn(
            name,
            format!("lease {at} was never renewed: whether the controller is up can't be known"),
            format!("kubectl -n {namespace} get pods"),
        ),
    }
}

/// An instance without a Lease: its metrics address can be reached from inside only, so the operator's word counts.
fn reported(name: &str, instance: &str, watchdog: Option<&Value>) -> Line {
    let said = watchdog
        .and_then(|w| w.pointer("/status/argo"))
        .and_then(Value::as_array)
        .and_then(|all| all.iter().find(|a| a["name"] == instance));
    let state = said.and_then(|a| a["state"].as_str()).unwrap_or("Unknown");
    let message = said.and_then(|a| a["message"].as_str()).unwrap_or_default();
    match state {
        "Up" => Line::ok(name, format!("controller is up, says the operator. {message}").trim_end()),
        "Down" => Line::fail(
            name,
            format!("controller is down, says the operator. {message}").trim_end(),
            "read the log of its workflow-controller",
        ),
        _ => Line::warn(
            name,
            "it has no lease, and the operator has not said how it is",
            "set its metricsURL or lease in the Watchdog object",
        ),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::check::Level;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_795_255_200 + seconds).unwrap()
    }

    fn lease(holder: &str, seconds: i64) -> Value {
        json!({"spec": {"holderIdentity": holder, "leaseDurationSeconds": 15, "renewTime": at(seconds).to_string()}})
    }

    #[test]
    fn a_lease_tells_who_leads() {
        assert_eq!(leader(&lease("unstick-0", 0), "u/u", at(15)).level, Level::Ok);
        assert_eq!(leader(&lease("unstick-0", 0), "u/u", at(16)).level, Level::Fail);
        assert_eq!(leader(&lease("", 0), "u/u", at(1)).level, Level::Fail);
        assert_eq!(leader(&json!({"spec": {}}), "u/u", at(1)).level, Level::Fail);
    }

    #[test]
    fn argo_is_down_after_a_minute_without_renewal() {
        let level = |now| controller("Argo default", &lease("c", 0), "argo/c", "argo", at(now)).level;
        assert_eq!([level(59), level(60)], [Level::Ok, Level::Fail]);
        assert_eq!(controller("x", &json!({}), "a/c", "a", at(0)).level, Level::Warn);
    }

    #[test]
    fn without_a_lease_the_operators_word_counts() {
        let word = |state: &str| json!({"status": {"argo": [{"name": "b", "state": state}]}});
        assert_eq!(reported("Argo b", "b", Some(&word("Up"))).level, Level::Ok);
        assert_eq!(reported("Argo b", "b", Some(&word("Down"))).level, Level::Fail);
        assert_eq!(reported("Argo b", "a", Some(&word("Up"))).level, Level::Warn);
        assert_eq!(reported("Argo b", "b", None).level, Level::Warn);
    }
}
