//! Task results that never arrive: the pod is done, the workflow stays Running (argo-workflows #12103).

use super::nodes;
use crate::api::reasons::Reason;
use crate::watchdog::diagnosis::Found;
use crate::watchdog::facts::{Facts, Shutdown};
use crate::watchdog::pods::StrayPods;

/// A finished pod whose node Argo still shows as active, or a finished node whose result it still waits for.
///
/// A shutdown finishes nodes whose pods still run: that is no proof, and `StoppingTooLong` watches it.
pub fn lost(facts: &Facts, pods: &StrayPods) -> Found {
    let proof = facts.rare.as_ref().filter(|_| facts.shutdown == Shutdown::None);
    let missing = proof.and_then(|r| r.results_missing.iter().map(|(_, at)| *at).filter(|at| *at != 0).min());
    let stray = pods
        .of(&facts.namespace, facts.name())
        .iter()
        .filter_map(|pod| Some((pod.finished, nodes(facts).find(|n| n.id == pod.node)?.id)))
        .min();
    match (missing, stray) {
        (None, None) => None,
        (Some(at), None) => Some((Reason::ResultIncomplete, at, None)),
        (None, Some((at, node))) => Some((Reason::ResultIncomplete, at, Some(node))),
        (Some(a), Some((b, node))) => Some((Reason::ResultIncomplete, a.min(b), (b <= a).then_some(node))),
    }
}
