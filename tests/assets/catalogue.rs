//! The catalogue itself: complete, bounded, in step with the code's vocabularies and with docs/metrics.md.

use std::collections::BTreeSet;

use unstick::api::reasons::{
    ArgoState, CloseReason, DetectionType, EndedBy, EventReason, Reason, SuspensionEnd, UnknownReason,
};
use unstick::metrics::catalogue::{Exported, Family, Kind, catalogue};

use crate::{assert_generated, assert_none};

#[test]
fn families_are_well_formed() {
    let c = catalogue();
    assert!(c.families.len() > 40, "the embedded catalogue does not parse");
    let mut problems = Vec::new();
    let mut names = BTreeSet::new();
    for f in &c.families {
        let mut say = |text: &str| problems.push(format!("{}: {text}", f.name));
        if !names.insert(&f.name) {
            say("twice");
        }
        if f.name.starts_with(&c.prefix) == c.unprefixed.contains(&f.name) {
            say("prefix missing, or listed as unprefixed in vain");
        }
        if (f.kind == Kind::Counter) != f.name.ends_with("_total") {
            say("_total is for counters, all of them");
        }
        if (f.kind == Kind::Histogram) == f.buckets.is_empty() || !f.buckets.is_sorted_by(|a, b| a < b) {
            say("buckets");
        }
        if f.help.is_empty() || !f.help.ends_with(['.', ')']) || f.help.contains('\n') {
            say("help is one or more full sentences in one line");
        }
        for l in &f.labels {
            if !c.labels.contains_key(l) {
                say(&format!("label {l} is not described"));
            }
            if ["cluster", "job", "instance", "pod", "le"].contains(&l.as_str()) {
                say(&format!("label {l} is not ours to give"));
            }
        }
        if f.fold.iter().chain(f.values.keys()).any(|l| !f.labels.contains(l)) {
            say("fold or values of a label it has not");
        }
        if f.labels.contains(&"workflow_name".to_owned()) && (f.kind != Kind::Gauge || f.cap.is_none()) {
            say("what names a workflow is a gauge with a cap");
        }
        if f.labels.contains(&"task_id".to_owned()) && f.name != "unstick_workflow_info" {
            say("task_id belongs to unstick_workflow_info only");
        }
    }
    let used: BTreeSet<&String> = c.families.iter().flat_map(|f| &f.labels).collect();
    problems
        .extend(c.labels.keys().filter(|l| !used.contains(l)).map(|l| format!("label {l} is described but unused")));
    assert_none(&problems);
}

#[test]
fn bounds_add_up_to_less_than_the_limit() {
    let c = catalogue();
    let mut problems = Vec::new();
    for f in &c.families {
        let mut say = |text: String| problems.push(format!("{}: {text}", f.name));
        let per_set = if f.buckets.is_empty() { 1 } else { f.buckets.len() + 3 };
        if f.bound.series != f.bound.sets * per_set {
            say(format!("{} sets x {per_set} series is not {}", f.bound.sets, f.bound.series));
        }
        let kept: Vec<&String> = f.labels.iter().filter(|l| !f.fold.contains(l)).collect();
        let product =
            |labels: &[&String]| labels.iter().map(|l| values(f, l)).try_fold(1usize, |a, b| b.map(|b| a * b));
        let all: Vec<&String> = f.labels.iter().collect();
        // An Argo controller is in one state at a time; anything else without a cap is bounded by its values alone.
        let one_at_a_time = f.name == "unstick_argo_state";
        match (f.cap, f.fold.is_empty(), product(&all)) {
            (None, _, None) => say("a label with open values, but no cap".into()),
            (None, _, Some(most)) if f.bound.sets != most && !one_at_a_time => {
                say(format!("{} sets, {most} are possible", f.bound.sets));
            }
            (Some(cap), true, most) if f.bound.sets != most.unwrap_or(cap).min(cap) => {
                say(format!("{} sets, cap {cap}, {most:?} are possible", f.bound.sets));
            }
            (Some(cap), false, _) => match product(&kept) {
                None => say("an open label is not folded".into()),
                Some(rest) if f.bound.sets > cap + rest || f.bound.sets <= cap => {
                    say(format!("{} sets, but cap {cap} + at most {rest} folded ones", f.bound.sets));
                }
                Some(_) => {}
            },
            _ => {}
        }
    }
    assert_none(&problems);
    let dropping = c.families.iter().filter(|f| f.cap.is_some() && f.fold.is_empty()).count();
    assert_eq!(c.labels["family"].domain, Some(dropping), "families that can appear in unstick_series_dropped");
    let l = &c.limits;
    assert_eq!((l.namespaces, l.workflow_types, l.policies, l.series), (20, 10, 20, 5000), "the limits of the issue");
    let total = c.series_at_limits();
    assert!(total <= l.series, "{total} series at the limits, {} allowed", l.series);
}

/// How many values a label can have in a family at the limits; `None` when open.
fn values(f: &Family, label: &str) -> Option<usize> {
    let c = catalogue();
    let closed = c.closed_values(f, label).len();
    if closed > 0 { Some(closed) } else { c.labels.get(label).and_then(|l| l.domain) }
}

#[test]
fn closed_values_are_the_enums_of_the_code() {
    let c = catalogue();
    let same = |family: &str, label: &str, names: Vec<&str>| {
        let f = c.family(family).unwrap_or_else(|| panic!("{family}"));
        let mut listed: Vec<&str> = c.closed_values(f, label).iter().map(String::as_str).collect();
        let mut names = names;
        listed.sort_unstable();
        names.sort_unstable();
        assert_eq!(listed, names, "{family}, label {label}");
    };
    macro_rules! names {
        ($e:ident) => {
            $e::ALL.iter().map(|v| v.as_str()).collect()
        };
    }
    for family in ["unstick_workflow_stuck", "unstick_workflows_stuck"] {
        same(family, "detection", names!(DetectionType));
        same(family, "reason", names!(Reason));
    }
    same("unstick_stuck_detections_total", "detection", names!(DetectionType));
    same("unstick_workflows_unknown", "reason", names!(UnknownReason));
    same("unstick_incidents_closed_total", "reason", names!(CloseReason));
    same("unstick_events_total", "reason", names!(EventReason));
    same("unstick_suspensions_ended_total", "outcome", names!(SuspensionEnd));
    same("unstick_argo_state", "state", names!(ArgoState));
    same("unstick_workflows_completed_total", "ended_by", names!(EndedBy));
    assert_eq!(c.labels["detection"].domain, None);
    let pairs: usize = DetectionType::ALL.iter().map(|d| d.reasons().len()).sum();
    assert_eq!(pairs, 25, "the bound of unstick_workflows_stuck speaks of 25 detection and reason pairs");
}

#[test]
fn samples_find_their_family() {
    let c = catalogue();
    let found = |s: &str| c.family_of_sample(s).map(|(f, suffix)| (f.name.clone(), suffix));
    assert_eq!(
        found("unstick_stage_duration_seconds_bucket"),
        Some(("unstick_stage_duration_seconds".into(), "_bucket"))
    );
    assert_eq!(found("unstick_stage_duration_seconds"), None, "a histogram has no sample of its own name");
    assert_eq!(found("unstick_leader"), Some(("unstick_leader".into(), "")));
    assert_eq!(found("unstick_leader_count"), None);
    assert_eq!(found("process_cpu_seconds_total"), Some(("process_cpu_seconds_total".into(), "")));
    assert_eq!(found("up"), None);
}

#[test]
fn docs_are_generated_from_it() {
    let text = catalogue().markdown();
    assert_generated("docs/metrics.md", &text);
    for f in &catalogue().families {
        assert!(text.contains(&format!("### {}\n", f.name)), "{}", f.name);
    }
    assert!(catalogue().families.iter().any(|f| f.exported == Exported::Always));
}

/// Every metric name written in the code is a family (or a sample of one): a typing error there would otherwise only show as a
/// family that is never seen.
#[test]
fn names_in_the_code_are_in_the_catalogue() {
    let c = catalogue();
    let mut problems = Vec::new();
    let mut folders = vec![crate::repo("src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let source = if path.extension().is_some_and(|e| e == "rs") { crate::read(&path) } else { continue };
            for literal in source.split('"').filter(|l| l.starts_with(&c.prefix)) {
                let name = literal.chars().all(|ch| ch.is_ascii_lowercase() || ch.is_ascii_digit() || ch == '_');
                if name && c.family(literal).is_none() && c.family_of_sample(literal).is_none() {
                    problems.push(format!("{}: {literal}", path.display()));
                }
            }
        }
    }
    assert_none(&problems);
}
