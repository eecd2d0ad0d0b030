//! What a scrape says, over a watchdog that has been told things.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::catalogue::catalogue;
use super::scrape::{check_scrape, families_seen};
use super::{Process, bounds, render};
use crate::api::policy::{PolicySpec, Precedence};
use crate::api::reasons::{ConditionReason, DetectionType, EventReason, UnknownReason};
use crate::api::selector::Selector;
use crate::api::validate::{Problem, Severity};
use crate::api::workflow::Workflow;
use crate::watchdog::effect::{Note, Op, Reference};
use crate::watchdog::input::{Config, Input, PolicySeen, Wrote};
use crate::watchdog::policy::{Origin, PolicyKey};
use crate::watchdog::tally::FOLDS;
use crate::watchdog::{Watchdog, instant, secs};

mod counted;
mod crowd;

const NOW: &str = "2026-11-21T12:00:00Z";

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

/// `n` seconds before now, as the server writes it.
fn ago(n: u32) -> String {
    format!("{:.0}", instant(secs(now()) - n))
}

fn unix(n: u32) -> u32 {
    secs(now()) - n
}

fn policy(namespace: Option<&str>, name: &str, spec: Value, problems: Vec<Problem>) -> Input<'static> {
    let spec: PolicySpec = serde_json::from_value(spec).unwrap();
    let key = PolicyKey { namespace: namespace.map(str::to_owned), name: name.to_owned() };
    let origin = Origin {
        uid: format!("uid-{name}"),
        key,
        generation: 1,
        created: 1,
        namespaces: Selector::default(),
        precedence: Precedence::Default,
    };
    Input::Policy(Box::new(PolicySeen { origin, spec: Some(spec), problems, status: None }))
}

fn detections() -> Value {
    json!({"selector": {}, "detections": [
        {"name": "too-long", "type": "RunningTooLong", "after": "24h"},
        {"name": "far-too-long", "type": "RunningTooLong", "after": "48h"},
        {"name": "approval", "type": "Suspended", "after": "1h"},
        {"name": "wedged", "type": "LockWedged", "after": "1h"},
        {"name": "pending", "type": "Pending", "after": "1h"},
    ], "observe": {
        "stage": {"from": {"type": "TemplateName"}}, "agent": {"from": {"type": "Label", "key": "agent"}},
        "taskId": {"from": {"type": "Parameter", "key": "task-id"}},
    }})
}

/// A workflow that has been running for `age` seconds.
fn workflow(name: &str, age: u32) -> Value {
    json!({
        "metadata": {"name": name, "namespace": "etl", "uid": format!("uid-{name}"), "creationTimestamp": ago(age + 5),
            "labels": {"agent": "codex", "workflows.argoproj.io/phase": "Running"}},
        "spec": {"workflowTemplateRef": {"name": "loader"}, "arguments": {"parameters": [{"name": "task-id", "value": "17"}]}},
        "status": {"phase": "Running", "startedAt": ago(age), "nodes": {
            name: {"id": name, "name": name, "displayName": name, "type": "DAG", "phase": "Running", "templateName": "main", "startedAt": ago(age)},
            "a": {"id": "a", "name": "a", "displayName": "a", "type": "Pod", "phase": "Running", "templateName": "build", "startedAt": ago(age - 10)},
            "b": {"id": "b", "name": "b", "displayName": "b", "type": "Pod", "phase": "Running", "templateName": "te\"st", "startedAt": ago(age - 20)},
        }},
    })
}

fn suspended(name: &str, age: u32) -> Value {
    let mut w = workflow(name, age);
    w["status"]["nodes"]["s"] = json!({"id": "s", "name": "s", "displayName": "approve", "type": "Suspend", "phase": "Running",
        "templateName": "gate", "startedAt": ago(age - 30)});
    w
}

fn tell(watchdog: &mut Watchdog, workflow: &Value) {
    let text = workflow.to_string();
    watchdog.handle(Input::Workflow(&Workflow::from_json(&text).unwrap()), now());
}

fn watchdog(workflows: &[Value]) -> Watchdog {
    let mut w = Watchdog::new(Config::default(), bounds);
    w.handle(policy(Some("etl"), "default", detections(), Vec::new()), now());
    w.handle(Input::ListBegin, now());
    for workflow in workflows {
        tell(&mut w, workflow);
    }
    w.handle(Input::ListEnd, now());
    w.handle(Input::IncidentsListed, now());
    w.handle(Input::Leading(Some(None)), now());
    w
}

fn scrape(watchdog: &Watchdog, process: &Process) -> String {
    let text = render(watchdog, process);
    assert_eq!(check_scrape(&text), Vec::<String>::new(), "{text}");
    text
}

fn has(text: &str, line: &str) {
    assert!(text.lines().any(|l| l == line), "no line {line}\n{text}");
}

/// Sample lines of a family.
fn of<'t>(text: &'t str, family: &str) -> Vec<&'t str> {
    text.lines().filter(|l| l.strip_prefix(family).is_some_and(|rest| rest.starts_with(['{', ' ']))).collect()
}

#[test]
fn state_is_what_the_index_holds() {
    let mut pending = workflow("waits", 50);
    pending["status"] = json!({"phase": "Pending", "synchronization": {"mutex": {"waiting": [{"holder": "etl/gone", "mutex": "etl/Mutex/gpu"}]}}});
    let mut done = workflow("done", 900);
    done["status"]["phase"] = json!("Succeeded");
    done["status"]["finishedAt"] = json!(ago(1));
    let fresh = json!({"metadata": {"name": "fresh", "namespace": "etl", "uid": "f", "creationTimestamp": ago(3)}});
    let w = watchdog(&[suspended("old", 7200), workflow("young", 60), pending, done, fresh]);
    let text = scrape(&w, &Process::default());
    let who = "namespace=\"etl\",workflow_name=\"old\"";
    has(
        &text,
        &format!(
            "unstick_workflow_info{{{who},workflow_type=\"loader\",task_id=\"17\",current_stage=\"gate\",workflow_template=\"loader\"}} 1"
        ),
    );
    has(
        &text,
        "unstick_workflow_info{namespace=\"etl\",workflow_name=\"young\",workflow_type=\"loader\",task_id=\"17\",current_stage=\"te\\\"st\",workflow_template=\"loader\"} 1",
    );
    has(&text, &format!("unstick_workflow_start_timestamp_seconds{{{who}}} {}", unix(7200)));
    has(&text, &format!("unstick_workflow_phase_start_timestamp_seconds{{{who},phase=\"Running\"}} {}", unix(7200)));
    has(
        &text,
        &format!(
            "unstick_workflow_phase_start_timestamp_seconds{{namespace=\"etl\",workflow_name=\"waits\",phase=\"Pending\"}} {}",
            unix(55)
        ),
    );
    has(
        &text,
        &format!("unstick_suspension_start_timestamp_seconds{{{who},suspension_point=\"gate\"}} {}", unix(7170)),
    );
    has(&text, &format!("unstick_workflow_last_progress_timestamp_seconds{{{who}}} {}", unix(7170)));
    has(
        &text,
        &format!(
            "unstick_workflow_deadline_timestamp_seconds{{{who},policy=\"default\",detection=\"Suspended\"}} {}",
            unix(3570)
        ),
    );
    has(
        &text,
        &format!(
            "unstick_workflow_deadline_timestamp_seconds{{{who},policy=\"default\",detection=\"RunningTooLong\"}} {}",
            unix(7200) + 86_400
        ),
    );
    has(
        &text,
        &format!(
            "unstick_workflow_stuck{{{who},policy=\"default\",detection=\"Suspended\",reason=\"AwaitingResume\"}} 1"
        ),
    );
    has(
        &text,
        "unstick_workflows_stuck{namespace=\"etl\",policy=\"default\",detection=\"Suspended\",reason=\"AwaitingResume\"} 1",
    );
    has(&text, "unstick_workflows{namespace=\"etl\",workflow_type=\"loader\",phase=\"Running\"} 2");
    has(&text, "unstick_workflows{namespace=\"etl\",workflow_type=\"loader\",phase=\"Succeeded\"} 1");
    has(&text, "unstick_workflows{namespace=\"etl\",workflow_type=\"none\",phase=\"Pending\"} 1");
    has(&text, "unstick_tracked_workflows 5");
    has(&text, "unstick_lock_waiters{namespace=\"etl\",lock=\"etl/Mutex/gpu\"} 1");
    has(&text, "unstick_lock_live_holders{namespace=\"etl\",lock=\"etl/Mutex/gpu\"} 0");
    has(&text, "unstick_incidents{state=\"Waiting\"} 1");
    has(&text, "unstick_policies{state=\"Ready\"} 1");
    has(&text, "unstick_policy_ready{namespace=\"etl\",policy=\"default\"} 1");
    has(&text, "unstick_argo_state{argo=\"default\",state=\"Unknown\"} 1");
    has(&text, "unstick_leader 1");
    assert!(!text.contains("workflow_name=\"done\""), "a finished workflow has no series");
    assert_eq!(of(&text, "unstick_series_dropped"), Vec::<&str>::new());
}

#[test]
fn only_the_leader_speaks_of_workflows_and_only_once_it_has_seen_all() {
    let mut w = watchdog(&[suspended("old", 7200)]);
    let mut process = Process::default();
    process.alive("workflows", now());
    let leader = scrape(&w, &process);
    has(&leader, &format!("unstick_last_scan_timestamp_seconds {}", unix(0)));
    w.handle(Input::Blind(Some(UnknownReason::ClockSkew)), now());
    let skewed = scrape(&w, &process);
    assert_eq!(of(&skewed, "unstick_last_scan_timestamp_seconds"), Vec::<&str>::new());
    has(&skewed, "unstick_workflows_unknown{reason=\"ClockSkew\"} 1");
    w.handle(Input::Leading(None), now());
    let standby = scrape(&w, &process);
    let spoken: Vec<_> = families_seen(&standby)
        .into_iter()
        .filter(|f| catalogue().family(f).unwrap().exported == super::catalogue::Exported::Leader)
        .collect();
    assert_eq!(spoken, Vec::<String>::new());
    has(&standby, "unstick_leader 0");
    has(&standby, &format!("unstick_watch_last_alive_timestamp_seconds{{resource=\"workflows\"}} {}", unix(0)));

    let mut early = Watchdog::new(Config::default(), bounds);
    early.handle(Input::Leading(Some(None)), now());
    early.handle(Input::ListBegin, now());
    tell(&mut early, &workflow("first", 100));
    let text = scrape(&early, &process);
    assert_eq!(of(&text, "unstick_tracked_workflows"), Vec::<&str>::new());
    assert_eq!(of(&text, "unstick_last_scan_timestamp_seconds"), Vec::<&str>::new());
}

#[test]
fn under_the_cap_the_stuck_and_then_the_oldest_keep_their_series() {
    let mut all: Vec<_> = (0..20).map(|i| workflow(&format!("w{i:02}"), 1000 + i)).collect();
    all.push(suspended("stuck-short", 4000));
    all.push(suspended("stuck-long", 5000));
    let w = watchdog(&all);
    let process = Process { series_cap: 4, ..Process::default() };
    let text = scrape(&w, &process);
    let names = |family| -> Vec<String> {
        of(&text, family)
            .into_iter()
            .map(|l| l.split("workflow_name=\"").nth(1).unwrap().split('"').next().unwrap().to_owned())
            .collect()
    };
    for family in [
        "unstick_workflow_info",
        "unstick_workflow_start_timestamp_seconds",
        "unstick_workflow_phase_start_timestamp_seconds",
        "unstick_workflow_last_progress_timestamp_seconds",
    ] {
        assert_eq!(names(family), ["stuck-long", "stuck-short", "w19", "w18"], "{family}");
        has(&text, &format!("unstick_series_dropped{{family=\"{family}\"}} 18"));
    }
    assert_eq!(names("unstick_workflow_stuck"), ["stuck-long", "stuck-short"]);
    assert_eq!(names("unstick_suspension_start_timestamp_seconds"), ["stuck-long", "stuck-short"]);
    // Two detections hold a threshold for each of the suspended ones: the cap is of series, not of workflows.
    assert_eq!(
        names("unstick_workflow_deadline_timestamp_seconds"),
        ["stuck-long", "stuck-long", "stuck-short", "stuck-short"]
    );
    has(&text, "unstick_series_dropped{family=\"unstick_workflow_deadline_timestamp_seconds\"} 20");
    let one = scrape(&w, &Process { series_cap: 1, ..Process::default() });
    assert_eq!(of(&one, "unstick_workflow_stuck").len(), 1);
    assert!(of(&one, "unstick_workflow_stuck")[0].contains("stuck-long"));
    has(&one, "unstick_series_dropped{family=\"unstick_workflow_stuck\"} 1");
    has(
        &one,
        "unstick_workflows_stuck{namespace=\"etl\",policy=\"default\",detection=\"Suspended\",reason=\"AwaitingResume\"} 2",
    );
}

#[test]
fn a_workflow_and_its_namesake_give_one_series() {
    let (first, mut second) = (workflow("same", 100), workflow("same", 50));
    second["metadata"]["uid"] = json!("another");
    let text = scrape(&watchdog(&[first, second]), &Process::default());
    assert_eq!(of(&text, "unstick_workflow_start_timestamp_seconds").len(), 1);
    has(
        &text,
        &format!("unstick_workflow_start_timestamp_seconds{{namespace=\"etl\",workflow_name=\"same\"}} {}", unix(50)),
    );
}

#[test]
fn a_lock_says_whether_anybody_alive_holds_it() {
    let waits = |name: &str, lock: &str, holders: Value| {
        let mut w = workflow(name, 50);
        w["status"] = json!({"phase": "Pending", "synchronization": {"semaphore": {"waiting": [{"holders": holders, "semaphore": lock}]}}});
        w
    };
    let all = [
        waits("a", "l1", json!(["etl/holder", "etl/gone"])),
        waits("b", "l1", json!(["etl/holder"])),
        waits("c", "l2", json!([])),
        workflow("holder", 90),
    ];
    let w = watchdog(&all);
    let text = scrape(&w, &Process::default());
    has(&text, "unstick_lock_waiters{namespace=\"etl\",lock=\"l1\"} 2");
    has(&text, "unstick_lock_live_holders{namespace=\"etl\",lock=\"l1\"} 1");
    has(&text, "unstick_lock_waiters{namespace=\"etl\",lock=\"l2\"} 1");
    assert_eq!(of(&text, "unstick_lock_live_holders").len(), 1, "nobody is named: nothing is said");
}

#[test]
fn counters_of_policies_are_there_at_zero_and_refused_policies_say_so() {
    let mut w = watchdog(&[]);
    let problem = Problem {
        severity: Severity::Error,
        reason: ConditionReason::InvalidSpec,
        field: "spec.detections[0].after".to_owned(),
        message: "must be a duration such as 24h".to_owned(),
    };
    w.handle(policy(None, "bad", detections(), vec![problem]), now());
    let text = scrape(&w, &Process::default());
    for kind in DetectionType::ALL {
        has(&text, &format!("unstick_stuck_detections_total{{policy=\"default\",detection=\"{kind}\"}} 0"));
        has(&text, &format!("unstick_stuck_detections_total{{policy=\"cluster/bad\",detection=\"{kind}\"}} 0"));
    }
    has(&text, "unstick_policy_ready{namespace=\"\",policy=\"cluster/bad\"} 0");
    has(&text, "unstick_policies{state=\"NotReady\"} 1");
    tell(&mut w, &suspended("old", 7200));
    has(
        &scrape(&w, &Process::default()),
        "unstick_stuck_detections_total{policy=\"default\",detection=\"Suspended\"} 1",
    );
}
