//! How the parts of a policy refer to each other: the CEL rules once more, and what they leave open.

use std::collections::BTreeSet;

use super::Found;
use crate::api::policy::{
    AfterEndType, Approval, Cleanup, CleanupRequire, Detection, KeepAtLeast, Observe, ObserveSource, PolicySpec,
    Remediation, SuspendedScope,
};
use crate::api::reasons::{DetectionType, Mode, StepType};

pub(super) fn check(spec: &PolicySpec, found: &mut Found) {
    if spec.detections.is_empty() && spec.archive.is_none() && spec.cleanup.is_none() {
        found.error("spec", "must have detections, archive or cleanup: add at least one of these sections");
    }
    for (index, detection) in spec.detections.iter().enumerate() {
        members(detection, &format!("spec.detections[{index}]"), found);
    }
    if let Some(remediation) = &spec.remediation {
        if spec.detections.is_empty() {
            found.error("spec.remediation", "needs detections: add spec.detections or remove spec.remediation");
        } else {
            ladder(remediation, &spec.detections, found);
        }
    }
    if let Some(cleanup) = &spec.cleanup {
        self::cleanup(cleanup, spec.archive.as_ref().map(|a| a.mode), found);
    }
    if let Some(observe) = &spec.observe {
        self::observe(observe, found);
    }
}

fn members(detection: &Detection, field: &str, found: &mut Found) {
    let set = [
        ("suspended", DetectionType::Suspended, detection.suspended.is_some()),
        ("nodeRunningTooLong", DetectionType::NodeRunningTooLong, detection.node_running_too_long.is_some()),
    ];
    for (member, kind, set) in set {
        if set && detection.kind != kind {
            found.error(&format!("{field}.{member}"), format!("is for type {kind} only: remove it or change type"));
        }
    }
    if let Some(suspended) = &detection.suspended
        && suspended.scope == SuspendedScope::Workflow
        && !suspended.node_field_selector.is_empty()
    {
        let field = format!("{field}.suspended.nodeFieldSelector");
        found.error(&field, "picks suspend steps: remove it or set scope to Node or Any");
    }
}

fn ladder(remediation: &Remediation, detections: &[Detection], found: &mut Found) {
    let known: BTreeSet<&str> = detections.iter().map(|d| d.name.as_str()).collect();
    let mut names = BTreeSet::new();
    let mut terminated = false;
    for (index, step) in remediation.steps.iter().enumerate() {
        let field = format!("spec.remediation.steps[{index}]");
        if !names.insert(step.name.as_str()) {
            found.error(&format!("{field}.name"), format!("{:?} is taken by a step before it: rename one", step.name));
        }
        for name in step.only_detections.iter().filter(|n| !known.contains(n.as_str())) {
            let message = format!("{name:?} is not a detection: correct the name or add the detection");
            found.error(&format!("{field}.onlyDetections"), message);
        }
        if step.kind == StepType::Notify && step.approval == Some(Approval::Required) {
            found.error(&format!("{field}.approval"), "is for steps that act: remove it from the Notify step");
        }
        if step.retry_after.is_some() && step.max_attempts.is_none_or(|n| n < 2) {
            let message = "needs maxAttempts of at least 2: set it or remove retryAfter";
            found.error(&format!("{field}.retryAfter"), message);
        }
        if step.kind == StepType::Stop && terminated {
            found.warn(&field, "Stop after a Terminate step has no effect: put it before");
        }
        terminated |= step.kind == StepType::Terminate && step.only_detections.is_empty();
    }
    let acts = remediation.steps.iter().any(|s| s.kind != StepType::Notify);
    if remediation.after_end.as_ref().is_some_and(|a| a.kind == AfterEndType::Resubmit) && !acts {
        found
            .error("spec.remediation.afterEnd", "Resubmit needs a step of type Stop or Terminate: add one or set None");
    }
    for (index, trigger) in remediation.alert_triggers.iter().enumerate() {
        let field = format!("spec.remediation.alertTriggers[{index}]");
        match detections.iter().find(|d| d.name == trigger.detection) {
            None => {
                let message = format!("{:?} is not a detection: correct the name or add it", trigger.detection);
                found.error(&format!("{field}.detection"), message);
            }
            Some(detection) => {
                if trigger.after.seconds() >= detection.after.seconds() {
                    let message = format!("has no effect: detection {} is as quick without the alert", detection.name);
                    found.warn(&format!("{field}.after"), message);
                }
            }
        }
        if let Some(step) = trigger.start_step.as_deref().filter(|s| !names.contains(s)) {
            found.error(&format!("{field}.startStep"), format!("{step:?} is not a step: correct the name or add it"));
        }
    }
}

fn cleanup(cleanup: &Cleanup, archive: Option<Mode>, found: &mut Found) {
    if cleanup.require == CleanupRequire::Archive {
        match archive {
            None => found.error("spec.cleanup.require", "Archive needs spec.archive: add the section or set None"),
            Some(mode) if cleanup.mode == Mode::Enforce && mode != Mode::Enforce => {
                found.warn("spec.cleanup.mode", "nothing can be deleted while spec.archive.mode is not Enforce");
            }
            Some(_) => {}
        }
    }
    let ttl = &cleanup.ttl;
    let kept = cleanup.keep_at_least.as_ref();
    let number = |pick: fn(&KeepAtLeast) -> Option<i32>| kept.and_then(pick).is_some();
    let phases = [
        ("succeeded", ttl.succeeded.is_some(), number(|k| k.succeeded)),
        ("failed", ttl.failed.is_some(), number(|k| k.failed)),
        ("error", ttl.error.is_some(), number(|k| k.error)),
    ];
    if phases.iter().all(|(_, has_ttl, _)| !has_ttl) {
        found.error("spec.cleanup.ttl", "must set succeeded, failed or error: a phase without a ttl is kept for ever");
    }
    for (phase, _, _) in phases.iter().filter(|(_, has_ttl, keeps)| *keeps && !has_ttl) {
        let message = format!("needs ttl.{phase}, without one all are kept: set it or remove the phase here");
        found.error(&format!("spec.cleanup.keepAtLeast.{phase}"), message);
    }
}

fn observe(observe: &Observe, found: &mut Found) {
    let rules = [
        ("workflowType", &observe.workflow_type, false),
        ("taskId", &observe.task_id, false),
        ("stage", &observe.stage, true),
        ("agent", &observe.agent, true),
    ];
    for (name, rule, per_node) in rules {
        let Some(from) = rule.as_ref().map(|r| &r.from) else { continue };
        let field = format!("spec.observe.{name}.from");
        let keyless = matches!(from.kind, ObserveSource::TemplateName | ObserveSource::NodeName);
        if !per_node && (keyless || from.kind == ObserveSource::InputParameter) {
            let message = "is read per workflow: use Label, Annotation, Parameter or Constant";
            found.error(&format!("{field}.type"), message);
        }
        if keyless && from.key.is_some() {
            found.error(&format!("{field}.key"), format!("has no meaning for {}: remove it", from.kind));
        }
        if !keyless && from.key.is_none() {
            found.error(&format!("{field}.key"), format!("is required for {}: set it", from.kind));
        }
    }
}
