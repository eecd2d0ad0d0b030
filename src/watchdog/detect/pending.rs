//! Pending: the workflow as a whole, or a node of a running one, waits for something before it can start.

use super::nodes;
use crate::api::reasons::Reason;
use crate::api::workflow::{NodeKind, NodePhase};
use crate::watchdog::diagnosis::Found;
use crate::watchdog::facts::{Facts, Phase};
use crate::watchdog::pods::StrayPods;

pub fn pending(facts: &Facts, pods: &StrayPods) -> Found {
    if facts.phase == Phase::Pending {
        let message = facts.rare.as_ref().map_or("", |r| &r.message);
        let reason = if facts.waiting().is_empty() { of_workflow(message) } else { Reason::WaitingForLock };
        return Some((reason, facts.created.max(facts.started), None));
    }
    let stray = pods.of(&facts.namespace, facts.name());
    nodes(facts)
        .filter(|n| n.phase == NodePhase::Pending && n.kind != NodeKind::Suspend)
        // Its pod has run and finished: that is a lost result, not a wait to start.
        .filter(|n| stray.iter().all(|pod| pod.node != n.id))
        .min_by_key(|n| n.started)
        .map(|n| (of_node(n.cause(), n.kind), n.started, Some(n.id)))
}

/// Messages of the controller (`workflow/controller/operator.go`, `workflow/sync`).
fn of_workflow(message: &str) -> Reason {
    if message.contains("too many workflows are already running") || message.contains("arallelism") {
        Reason::ParallelismLimit
    } else if message.contains("exceeded quota") {
        Reason::QuotaExceeded
    } else if message.contains("lock") {
        Reason::WaitingForLock
    } else {
        Reason::Unexplained
    }
}

/// Reasons of the kubelet and the scheduler, as Argo copies them into the node's message.
fn of_node(cause: &str, kind: NodeKind) -> Reason {
    const IMAGE: [&str; 6] = [
        "ImagePullBackOff",
        "ErrImagePull",
        "InvalidImageName",
        "ErrImageNeverPull",
        "ImageInspectError",
        "RegistryUnavailable",
    ];
    const CONFIG: [&str; 4] =
        ["CreateContainerConfigError", "CreateContainerError", "RunContainerError", "PreCreateHookError"];
    let starts = |all: &[&str]| all.iter().any(|p| cause.starts_with(p));
    if starts(&IMAGE) {
        Reason::ImagePull
    } else if starts(&CONFIG) {
        Reason::ContainerConfig
    } else if cause.contains("exceeded quota") {
        Reason::QuotaExceeded
    } else if cause.starts_with("Unschedulable") {
        Reason::Unschedulable
    } else if cause.contains("lock") {
        Reason::WaitingForLock
    } else if cause.contains("arallelism") {
        Reason::ParallelismLimit
    } else if matches!(kind, NodeKind::Pod | NodeKind::Container) {
        Reason::PodPending
    } else {
        Reason::Unexplained
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_cause_beats_a_vague_one() {
        for (cause, reason) in [
            ("ImagePullBackOff: Back-off pulling image \"nope:1\"", Reason::ImagePull),
            ("Unschedulable: 0/12 nodes are available", Reason::Unschedulable),
            ("CreateContainerConfigError: secret \"x\" not found", Reason::ContainerConfig),
            ("pods \"a\" is forbidden: exceeded quota: compute", Reason::QuotaExceeded),
            ("Waiting for lock ns/Mutex/gpu", Reason::WaitingForLock),
            ("", Reason::PodPending),
        ] {
            assert_eq!(of_node(cause, NodeKind::Pod), reason, "{cause}");
        }
        assert_eq!(of_node("", NodeKind::Other), Reason::Unexplained);
        let postponed = "Workflow processing has been postponed because too many workflows are already running";
        assert_eq!(of_workflow(postponed), Reason::ParallelismLimit);
        assert_eq!(of_workflow("??"), Reason::Unexplained);
    }
}
