//! Pod statuses as a real kubelet or scheduler writes them. Pure.

use jiff::Timestamp;
use serde_json::{Value, json};

/// How a container ended.
#[derive(Clone, Copy, Debug)]
pub struct Exit<'a> {
    pub code: i32,
    /// `Completed`, `Error`, ...
    pub reason: &'a str,
}

impl Exit<'static> {
    pub fn of(code: i32) -> Self {
        Self { code, reason: if code == 0 { "Completed" } else { "Error" } }
    }
}

/// The containers of a pod, by name.
#[derive(Clone, Debug, Default)]
pub struct Containers {
    pub init: Vec<String>,
    pub main: Vec<String>,
}

/// What scheduler says when no machine fits.
pub fn unschedulable(now: Timestamp) -> Value {
    let message = "0/12 nodes are available: 4 Insufficient cpu, 8 node(s) didn't match Pod's node affinity/selector.";
    json!({"phase": "Pending", "conditions": [
        {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message, "lastTransitionTime": seconds(now)}
    ]})
}

/// `main` waits for `reason`; the executor's containers have images of their own and run already.
pub fn waiting(containers: &Containers, reason: &str, message: &str, now: Timestamp) -> Value {
    let state = |name: &String| {
        if name == "main" {
            json!({"waiting": {"reason": reason, "message": message}})
        } else {
            json!({"running": {"startedAt": seconds(now)}})
        }
    };
    status("Pending", containers, now, now, state)
}

/// Every container runs.
pub fn running(containers: &Containers, began: Timestamp) -> Value {
    status("Running", containers, began, began, |_| json!({"running": {"startedAt": seconds(began)}}))
}

/// `main` ended with `exit`, everything else with 0.
pub fn ended(containers: &Containers, exit: Exit<'_>, began: Timestamp, now: Timestamp) -> Value {
    let phase = if exit.code == 0 { "Succeeded" } else { "Failed" };
    status(phase, containers, began, now, |name| {
        let own = if name == "main" { exit } else { Exit::of(0) };
        terminated(own, began, now)
    })
}

/// The pod failed as a whole, with a reason and a message of its own.
pub fn failed(containers: &Containers, reason: &str, message: &str, began: Timestamp, now: Timestamp) -> Value {
    let mut whole = ended(containers, Exit { code: 137, reason: "Error" }, began, now);
    whole["reason"] = json!(reason);
    whole["message"] = json!(message);
    whole
}

fn terminated(exit: Exit<'_>, began: Timestamp, now: Timestamp) -> Value {
    json!({"terminated": {"exitCode": exit.code, "reason": exit.reason, "startedAt": seconds(began), "finishedAt": seconds(now)}})
}

fn status(
    phase: &str,
    containers: &Containers,
    began: Timestamp,
    now: Timestamp,
    state: impl Fn(&String) -> Value,
) -> Value {
    let image = |name: &String, state: Value| {
        let ready = state.get("running").is_some();
        json!({"name": name, "image": "bed/no-image", "imageID": "", "ready": ready, "started": ready, "restartCount": 0, "state": state})
    };
    let ready = if phase == "Running" { "True" } else { "False" };
    let condition =
        |kind: &str, value: &str| json!({"type": kind, "status": value, "lastTransitionTime": seconds(now)});
    let init: Vec<Value> = containers.init.iter().map(|n| image(n, terminated(Exit::of(0), began, began))).collect();
    let main: Vec<Value> = containers.main.iter().map(|n| image(n, state(n))).collect();
    json!({
        "phase": phase, "startTime": seconds(began), "hostIP": "127.0.0.1", "podIP": "127.0.0.1",
        "conditions": [
            condition("PodScheduled", "True"), condition("Initialized", "True"),
            condition("Ready", ready), condition("ContainersReady", ready),
        ],
        "initContainerStatuses": init, "containerStatuses": main,
    })
}

/// Kubernetes times are whole seconds.
fn seconds(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_pod_has_its_code_on_main_alone() {
        let containers = Containers { init: vec!["init".into()], main: vec!["wait".into(), "main".into()] };
        let (began, now) = (Timestamp::UNIX_EPOCH, Timestamp::from_second(3).unwrap());
        let seen = ended(&containers, Exit::of(7), began, now);
        assert_eq!(seen["phase"], "Failed");
        assert_eq!(seen.pointer("/containerStatuses/0/state/terminated/exitCode").unwrap(), 0);
        assert_eq!(seen.pointer("/containerStatuses/1/state/terminated/exitCode").unwrap(), 7);
        assert_eq!(seen.pointer("/containerStatuses/1/state/terminated/finishedAt").unwrap(), "1970-01-01T00:00:03Z");
        assert_eq!(seen.pointer("/initContainerStatuses/0/state/terminated/reason").unwrap(), "Completed");
        let waits = waiting(&containers, "ImagePullBackOff", "no", now);
        assert_eq!(waits.pointer("/containerStatuses/1/state/waiting/reason").unwrap(), "ImagePullBackOff");
        assert_eq!(waits["phase"], "Pending");
    }
}
