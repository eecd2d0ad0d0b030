//! What is counted by the shell and the core together.

use std::time::Duration;

use super::super::catalogue::catalogue;
use super::super::{LogCount, Process, RestartCause, Verb};
use super::*;

#[test]
fn what_the_shell_counts_is_rendered_with_what_the_core_counts() {
    let mut w = watchdog(&[]);
    tell(&mut w, &workflow("a", 100));
    let mut done = workflow("a", 100);
    done["status"]["phase"] = json!("Failed");
    done["status"]["finishedAt"] = json!(ago(0));
    done["status"]["nodes"]["a"]["phase"] = json!("Failed");
    done["status"]["nodes"]["a"]["finishedAt"] = json!(ago(0));
    w.handle(Input::Leading(None), now());
    w.handle(Input::Leading(Some(Some(format!("v1 {} ", unix(60))))), now());
    tell(&mut w, &done);
    assert!(w.watermark().is_some());
    w.handle(Input::WatermarkDurable, now());
    let mut process = Process { clock_skew: Some(-3), ..Process::default() };
    process.requested(Verb::List, "workflows", Some(200), Duration::from_millis(30));
    process.requested(Verb::Patch, "workflowincidents", None, Duration::from_secs(90));
    process.restarted(RestartCause::Expired);
    process.relisted("workflows");
    process.poison("pods");
    process.odd(4);
    let note = Note {
        namespace: String::new(),
        reason: EventReason::WorkflowStuck,
        regarding: Reference::default(),
        related: Reference::default(),
        text: String::new(),
        warning: true,
    };
    process.wrote(&Op::Event(Box::new(note)), Wrote::Done);
    process.wrote(&Op::DeleteIncident { namespace: String::new(), name: String::new() }, Wrote::Conflict);
    w.tally.add("unstick_events_total", &["WorkflowStuck", "Sent"], 2);
    let text = scrape(&w, &process);
    has(
        &text,
        "unstick_workflows_completed_total{namespace=\"etl\",workflow_type=\"loader\",phase=\"Failed\",ended_by=\"Own\"} 1",
    );
    has(&text, "unstick_workflow_duration_seconds_bucket{workflow_type=\"loader\",le=\"60\"} 0");
    has(&text, "unstick_workflow_duration_seconds_bucket{workflow_type=\"loader\",le=\"300\"} 1");
    has(&text, "unstick_workflow_duration_seconds_sum{workflow_type=\"loader\"} 100");
    has(
        &text,
        "unstick_agent_executions_total{namespace=\"etl\",github_app=\"codex\",stage=\"build\",result=\"Failure\",failure_reason=\"Other\"} 1",
    );
    has(&text, "unstick_stage_duration_seconds_count{stage=\"build\"} 1");
    has(&text, "unstick_events_total{reason=\"WorkflowStuck\",result=\"Sent\"} 3");
    has(&text, "unstick_incident_writes_total{operation=\"Delete\",result=\"Conflict\"} 1");
    has(&text, "unstick_kube_requests_total{verb=\"list\",resource=\"workflows\",code=\"200\"} 1");
    has(&text, "unstick_kube_requests_total{verb=\"patch\",resource=\"workflowincidents\",code=\"error\"} 1");
    has(&text, "unstick_kube_request_duration_seconds_bucket{verb=\"patch\",le=\"+Inf\"} 1");
    has(&text, "unstick_kube_request_duration_seconds_bucket{verb=\"patch\",le=\"30\"} 0");
    has(&text, "unstick_watch_restarts_total{cause=\"Expired\"} 1");
    has(&text, "unstick_clock_skew_seconds -3");
    has(&text, "unstick_workflow_oddities_total 4");
    assert!(of(&text, "process_resident_memory_bytes")[0].split(' ').nth(1).unwrap().parse::<u64>().unwrap() > 1 << 20);
}

#[test]
fn folds_of_the_core_are_those_of_the_catalogue() {
    let counted = catalogue().families.iter().filter(|f| !f.fold.is_empty() && f.name != "unstick_workflows");
    let written: Vec<_> = counted
        .map(|f| {
            (
                f.name.as_str(),
                f.cap.unwrap(),
                f.fold.iter().map(|l| f.labels.iter().position(|x| x == l).unwrap()).collect::<Vec<_>>(),
            )
        })
        .collect();
    let mut folds: Vec<_> = FOLDS.iter().map(|(name, cap, places)| (*name, *cap, places.to_vec())).collect();
    folds.sort();
    let mut written = written;
    written.sort();
    assert_eq!(folds, written);
}

#[test]
fn log_lines_are_counted_by_level() {
    use tracing_subscriber::layer::SubscriberExt as _;
    let lines = |text: &str| -> u64 {
        let of_level = of(text, "unstick_log_messages_total").into_iter().find(|l| l.contains("\"warn\""));
        of_level.map_or(0, |l| l.rsplit(' ').next().unwrap().parse().unwrap())
    };
    let w = watchdog(&[]);
    let before = lines(&scrape(&w, &Process::default()));
    tracing::subscriber::with_default(tracing_subscriber::registry().with(LogCount), || {
        tracing::warn!("one");
        tracing::warn!("two");
    });
    assert!(lines(&scrape(&w, &Process::default())) >= before + 2);
}
