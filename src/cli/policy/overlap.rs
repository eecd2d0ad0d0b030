//! Policies that hide each other: one that can never govern, and pairs between which only their age decides.
//!
//! Compares what is written, not what exists in a cluster: silent where it would have to guess.

use std::cmp::Ordering;

use super::lint::{Policy, Problem};
use crate::api::policy::{Precedence, WorkflowsFrom};
use crate::api::selector::LabelSelector;

/// Standing in the line of who governs (DESIGN.md section 2): less comes first.
fn standing(policy: &Policy) -> u8 {
    match policy.cluster.as_ref().map(|c| c.precedence) {
        Some(Precedence::Override) => 0,
        None => 1,
        Some(Precedence::Default) => 2,
    }
}

/// Less = earlier in the line; `Equal` = only age decides, and neither file says which is older.
fn line(a: &Policy, b: &Policy) -> Ordering {
    let rank = standing(a).cmp(&standing(b)).then(b.spec.priority.cmp(&a.spec.priority));
    match (a.created, b.created) {
        (Some(x), Some(y)) => rank.then(x.cmp(&y)),
        _ => rank,
    }
}

/// Concerns that both have: detections with remediation, archive with cleanup.
fn shared_concerns(a: &Policy, b: &Policy) -> Vec<&'static str> {
    let detects = |p: &Policy| !p.spec.detections.is_empty();
    let keeps = |p: &Policy| p.spec.archive.is_some() || p.spec.cleanup.is_some();
    let mut both = Vec::new();
    if detects(a) && detects(b) {
        both.push("detections");
    }
    if keeps(a) && keeps(b) {
        both.push("archive and cleanup");
    }
    both
}

/// Every workflow that `b` selects is surely selected by `a` as well.
fn covers(a: &Policy, b: &Policy) -> bool {
    labels(&a.spec.selector, &b.spec.selector)
        && sources(&a.spec.workflows_from, &b.spec.workflows_from)
        && places(a, b)
}

/// Each requirement of `a` stands in `b` too, so what meets `b` meets `a`.
fn labels(a: &LabelSelector, b: &LabelSelector) -> bool {
    a.match_labels.iter().all(|(k, v)| b.match_labels.get(k) == Some(v))
        && a.match_expressions.iter().all(|e| b.match_expressions.contains(e))
}

fn sources(a: &[WorkflowsFrom], b: &[WorkflowsFrom]) -> bool {
    a.is_empty() || (!b.is_empty() && b.iter().all(|s| a.contains(s)))
}

fn places(a: &Policy, b: &Policy) -> bool {
    match (&a.cluster, &b.cluster) {
        (None, None) => a.namespace == b.namespace,
        (None, Some(_)) => false,
        (Some(a), Some(b)) => labels(&a.namespace_selector, &b.namespace_selector),
        (Some(a), None) => {
            let all = &a.namespace_selector;
            // The one label whose value is known without a cluster.
            all.match_expressions.is_empty()
                && all.match_labels.iter().all(|(k, v)| k == "kubernetes.io/metadata.name" && *v == b.namespace)
        }
    }
}

/// Compares every pair.
pub fn find(policies: &[Policy]) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut say = |at: &Policy, severity, message: String| {
        problems.push(Problem { file: at.file.clone(), object: at.shown(), severity, field: String::new(), message });
    };
    for (i, b) in policies.iter().enumerate() {
        for (j, a) in policies.iter().enumerate() {
            if i == j {
                continue;
            }
            if (&a.kind, &a.namespace, &a.name) == (&b.kind, &b.namespace, &b.name) {
                if j < i {
                    say(b, "error", format!("is in {} too: the one applied last wins, remove one", a.file));
                }
                continue;
            }
            let both = shared_concerns(a, b);
            if both.is_empty() || !covers(a, b) {
                continue;
            }
            let both = both.join(", ");
            match line(a, b) {
                Ordering::Less => {
                    say(
                        b,
                        "warning",
                        format!("never governs {both}: {} stands before it and selects all that it selects", a.shown()),
                    );
                }
                Ordering::Equal if j < i && covers(b, a) => {
                    say(
                        b,
                        "warning",
                        format!(
                            "selects the same as {}: which governs {both} depends on their age only; set spec.priority",
                            a.shown()
                        ),
                    );
                }
                Ordering::Equal if !covers(b, a) => {
                    say(
                        b,
                        "warning",
                        format!(
                            "may never govern {both}: {} selects all that it selects, with the same priority; set spec.priority",
                            a.shown()
                        ),
                    );
                }
                _ => {}
            }
        }
    }
    problems
}
