use serde_json::{Value, json};

use super::*;
use crate::api::default_policy::default_policy;

fn policy(patch: &Value) -> PolicySpec {
    let mut spec = json!({"selector": {}, "detections": [
        {"name": "too-long", "type": "RunningTooLong", "after": "24h"},
        {"name": "approval", "type": "Suspended", "after": "48h"}]});
    for (key, value) in patch.as_object().unwrap() {
        spec[key] = value.clone();
    }
    PolicySpec::from_value(&spec).unwrap()
}

fn found(patch: &Value, context: &Context<'_>) -> Vec<(Severity, String)> {
    check(&policy(patch), context).into_iter().map(|p| (p.severity, p.to_string())).collect()
}

fn only(patch: &Value, severity: Severity, part: &str) {
    let all = found(patch, &Context::default());
    assert!(all.iter().any(|(s, text)| *s == severity && text.contains(part)), "{part} not in {all:#?}");
    assert_eq!(all.iter().filter(|(s, _)| *s == severity).count(), 1, "{all:#?}");
}

fn with_window(window: &Value) -> Value {
    json!({"remediation": {"steps": [{"name": "stop", "type": "Stop"}], "windows": [window]}})
}

#[test]
fn the_built_in_policy_has_no_problem() {
    assert_eq!(check(&default_policy().unwrap().policy, &Context::default()), []);
}

#[test]
fn lint_lists_everything_that_is_wrong_and_refuses_other_kinds() {
    let object = json!({"kind": "ClusterWorkflowPolicy", "spec": {"selector": {}, "priority": 2000}});
    let fields: Vec<_> = lint(&object, &Context::default()).into_iter().map(|p| p.field).collect();
    assert_eq!(fields, ["spec.namespaceSelector", "spec.priority"]);
    let selector = json!({"matchExpressions": [{"key": "a", "operator": "In"}]});
    let object = json!({"kind": "ClusterWorkflowPolicy", "spec": {"selector": selector, "namespaceSelector": selector,
        "detections": [{"name": "d", "type": "Pending", "after": "1h"}]}});
    let fields: Vec<_> = lint(&object, &Context::default()).into_iter().map(|p| p.field).collect();
    assert_eq!(fields, ["spec.namespaceSelector", "spec.selector"]);
    assert_eq!(lint(&json!({"kind": "Pod"}), &Context::default())[0].field, "kind");
}

#[test]
fn time_zones_must_exist() {
    let window = |zone: &str| {
        with_window(&json!({"type": "Deny", "schedule": "0 8 * * 1-5", "duration": "10h", "timeZone": zone}))
    };
    only(&window("Europe/Atlantis"), Severity::Error, "windows[0].timeZone \"Europe/Atlantis\" doesn't exist");
    assert_eq!(found(&window("Europe/Berlin"), &Context::default()), []);
}

#[test]
fn schedules_must_be_cron() {
    for schedule in ["61 8 * * *", "0 25 * * *", "0 8 * * FOO", "@daily a b c d"] {
        let window = with_window(&json!({"type": "Deny", "schedule": schedule, "duration": "1h"}));
        only(&window, Severity::Error, "windows[0].schedule must");
    }
    for schedule in ["*/15 0-6 1,15 * *", "0 8 * * MON-FRI"] {
        let window = with_window(&json!({"type": "Deny", "schedule": schedule, "duration": "7d"}));
        assert_eq!(found(&window, &Context::default()), [], "{schedule}");
    }
    let long = with_window(&json!({"type": "Allow", "schedule": "0 8 * * *", "duration": "8d"}));
    only(&long, Severity::Error, "windows[0].duration must be at most 7d");
}

#[test]
fn regular_expressions_must_compile_and_stay_small() {
    let rule = |pattern: &str| json!({"observe": {"stage": {"from": {"type": "TemplateName"}, "map": [{"match": pattern, "value": "x"}]}}});
    only(
        &rule("impl("),
        Severity::Error,
        "spec.observe.stage.map[0].match must be a regular expression: unclosed group",
    );
    only(&rule("(a{1000}){1000}"), Severity::Error, "map[0].match must be a regular expression");
    assert_eq!(found(&rule("impl.*"), &Context::default()), []);
}

#[test]
fn no_progress_below_the_floor_is_raised() {
    let patch = json!({"detections": [{"name": "n", "type": "NoProgress", "after": "39m"}]});
    only(&patch, Severity::Warning, "spec.detections[0].after 39m is raised to 2400s");
    let lower = Context { no_progress_floor: 1, ..Context::default() };
    assert_eq!(found(&patch, &lower), []);
}

#[test]
fn enforce_is_refused_under_an_outdated_crd_and_not_in_force_otherwise() {
    let patch = json!({"remediation": {"mode": "Enforce", "steps": [{"name": "stop", "type": "Stop"}]}});
    only(&patch, Severity::Warning, "spec.remediation.mode Enforce is not in force in this version");
    let missing = ["spec.remediation.steps[].approval".to_owned()];
    let outdated = Context { missing_fields: &missing, ..Context::default() };
    let all = check(&policy(&patch), &outdated);
    assert_eq!((all[0].severity, all[0].reason), (Severity::Error, ConditionReason::OutdatedCrd));
    assert!(all[0].message.contains("spec.remediation.steps[].approval"));
    let observing = json!({"remediation": {"steps": [{"name": "stop", "type": "Stop"}]}});
    assert_eq!(found(&observing, &outdated), []);
    assert_eq!(not_in_force(&policy(&patch)), [("remediation", Mode::Enforce)]);
}

#[test]
fn what_has_no_effect_is_a_warning() {
    only(
        &json!({"remediation": {"steps": [{"name": "t", "type": "Terminate"}, {"name": "s", "type": "Stop"}]}}),
        Severity::Warning,
        "steps[1] Stop after a Terminate step has no effect",
    );
    only(
        &json!({"remediation": {"steps": [{"name": "s", "type": "Stop", "verifyFor": "5s"}]}}),
        Severity::Warning,
        "steps[0].verifyFor is shorter than the 20s",
    );
    let trigger = json!({"name": "a", "matchLabels": {"alertname": "X"}, "detection": "too-long", "after": "2d"});
    only(
        &json!({"remediation": {"steps": [{"name": "s", "type": "Stop"}], "alertTriggers": [trigger]}}),
        Severity::Warning,
        "alertTriggers[0].after has no effect",
    );
}

#[test]
fn what_is_beyond_the_maxima_is_capped() {
    let maxima: TenantMaxima = serde_json::from_value(json!({
        "budgets": [{"action": "All", "maxActions": 10, "per": "1h"}, {"action": "Terminate", "maxActions": 1, "per": "1h"}],
        "cleanup": {"require": "Archive", "maxDeletes": {"count": 20, "per": "10m", "percent": 10}},
    }))
    .unwrap();
    let mut spec = policy(&json!({
        "remediation": {"steps": [{"name": "s", "type": "Stop"}],
            "limits": {"budgets": [{"action": "All", "maxActions": 20, "per": "1h"}]}},
        "archive": {"location": "main"},
        "cleanup": {"require": "None", "ttl": {"succeeded": "1d"}, "maxDeletes": {"count": 50, "per": "10m", "percent": 20}},
    }));
    let context = Context { maxima: Some(&maxima), ..Context::default() };
    let fields: Vec<_> = check(&spec, &context).into_iter().map(|p| p.field).collect();
    assert_eq!(
        fields,
        [
            "spec.remediation.limits.budgets[0]",
            "spec.cleanup.require",
            "spec.cleanup.maxDeletes",
            "spec.cleanup.maxDeletes.percent"
        ]
    );
    assert_eq!(cap(&mut spec, &maxima).len(), 4);
    let limits = spec.remediation.as_ref().unwrap().limits.as_ref().unwrap();
    assert_eq!(limits.budgets, maxima.budgets);
    let cleanup = spec.cleanup.as_ref().unwrap();
    assert_eq!(cleanup.max_deletes, maxima.cleanup.as_ref().unwrap().max_deletes);
    assert_eq!(cap(&mut spec, &maxima), [], "capping twice changes nothing");
}
