//! What Argo deletes before an archive can be expected is said; what it leaves long enough isn't.

use super::*;
use crate::api::argo_deletes::{CronPage, RetentionPolicy};
use crate::watchdog::effect::Op;
use crate::watchdog::janitor::sooner::{ArgoDeletes, CronLimits};
use crate::watchdog::policy::PolicyKey;

impl Stage {
    /// Reason of the condition, empty without one.
    fn too_short(&self) -> String {
        let key = PolicyKey { namespace: Some("etl".into()), name: "keep".into() };
        let said = self.watchdog.too_short(&key, T0 + self.now);
        said.map_or_else(String::new, |(reason, _)| reason.to_string())
    }

    /// Events `TtlTooShort` that wait, by the kind they are about.
    fn told(&mut self) -> Vec<String> {
        let mut told = Vec::new();
        while let Some(write) = self.watchdog.next_write(at(self.now)) {
            if let Op::Event(note) = write.op
                && note.reason.as_str() == "TtlTooShort"
            {
                assert!(note.warning && note.text.contains("etl/"), "{note:?}");
                told.push(note.regarding.kind);
            }
        }
        told.sort();
        told
    }

    fn argo(&mut self, crons: &[(&str, Value)], retention: Option<RetentionPolicy>) {
        let mut argo = ArgoDeletes::default();
        for (name, spec) in crons {
            let page = json!({"items": [{"metadata": {"name": name}, "spec": spec}]}).to_string();
            let page: CronPage<'_> = serde_json::from_str(&page).unwrap();
            argo.crons.extend(CronLimits::of(&page.items[0].spec).map(|limits| (format!("etl/{name}"), limits)));
        }
        argo.retention.extend(retention.map(|r| (String::new(), r)));
        self.tell(Input::ArgoDeletes(Box::new(argo)));
    }
}

fn with_ttl(mut run: Value, ttl: &Value) -> Value {
    run["spec"]["ttlStrategy"] = ttl.clone();
    run
}

fn of_cron(mut run: Value, cron: &str, phase: &str) -> Value {
    run["metadata"]["labels"]["workflows.argoproj.io/cron-workflow"] = json!(cron);
    run["status"]["phase"] = json!(phase);
    run
}

#[test]
fn a_ttl_of_seconds_is_said_once_and_a_longer_one_never() {
    let mut stage = Stage::enforcing();
    for (n, ttl) in
        [(1, json!({"secondsAfterCompletion": 300})), (2, json!({"secondsAfterFailure": 5})), (3, json!({}))]
    {
        stage.see(&with_ttl(run(n, 15), &ttl));
        assert_eq!(stage.too_short(), "", "{ttl}");
    }
    stage.see(&with_ttl(run(4, 15), &json!({"secondsAfterSuccess": 5})));
    assert_eq!(stage.too_short(), "WorkflowTtl");
    stage.see(&with_ttl(run(5, 15), &json!({"secondsAfterCompletion": 299})));
    assert_eq!(stage.told(), ["Workflow", "WorkflowPolicy"], "once, not for each run");
    // It is taken back by the next run of the same that shows it.
    let mut other = with_ttl(run(6, 16), &json!({}));
    other["metadata"]["generateName"] = json!("other-");
    stage.see(&other);
    assert_eq!(stage.too_short(), "WorkflowTtl", "a run of something else shows nothing");
    stage.see(&with_ttl(run(7, 16), &json!({"secondsAfterCompletion": 86_400})));
    assert_eq!(stage.too_short(), "");
}

#[test]
fn a_ttl_of_the_stored_template_counts_and_so_does_every_mode_but_no_archive_no_word() {
    for (mode, expected) in [("Observe", "WorkflowTtl"), ("DryRun", "WorkflowTtl"), ("Enforce", "WorkflowTtl")] {
        let mut stage = Stage::new(&archive(mode), &cleanup("Observe"));
        let mut one = run(1, 15);
        one["status"]["storedWorkflowTemplateSpec"] = json!({"ttlStrategy": {"secondsAfterCompletion": 0}});
        stage.see(&one);
        assert_eq!(stage.too_short(), expected, "{mode}");
    }
    let mut stage = Stage::enforcing();
    stage.policy_with(json!({"selector": {}, "cleanup": cleanup("Enforce")}), 2);
    stage.see(&with_ttl(run(1, 15), &json!({"secondsAfterCompletion": 0})));
    assert_eq!(stage.too_short(), "");
    assert!(stage.told().is_empty());
}

#[test]
fn history_limits_count_with_the_pace_of_the_schedule() {
    for (spec, phase, expected) in [
        (json!({"schedule": "* * * * *"}), "Succeeded", "HistoryLimit"), // Argo's default of 3: 180 s
        (json!({"schedule": "*/2 * * * *"}), "Succeeded", ""),
        (json!({"schedule": "*/2 * * * *"}), "Failed", "HistoryLimit"), // and of 1
        (json!({"schedule": "*/2 * * * *"}), "Error", "HistoryLimit"),
        (json!({"schedule": "*/5 * * * *"}), "Failed", ""),
        (json!({"schedule": "* * * * *", "successfulJobsHistoryLimit": 5}), "Succeeded", ""),
        (json!({"schedule": "0 1 * * *", "successfulJobsHistoryLimit": 0}), "Succeeded", "HistoryLimit"),
        (json!({"schedules": ["0 1 * * *", "1 1 * * *"], "failedJobsHistoryLimit": 1}), "Failed", "HistoryLimit"),
        (json!({"schedule": "* * * * *", "suspend": true}), "Succeeded", ""),
        (json!({"schedule": "whenever"}), "Succeeded", ""),
    ] {
        let mut stage = Stage::enforcing();
        stage.argo(&[("nightly", spec.clone())], None);
        stage.see(&run(1, 15));
        assert_eq!(stage.too_short(), "", "a run of no CronWorkflow");
        stage.see(&of_cron(run(2, 15), "hourly", phase));
        assert_eq!(stage.too_short(), "", "a run of another");
        stage.see(&of_cron(run(3, 15), "nightly", phase));
        assert_eq!(stage.too_short(), expected, "{spec} {phase}");
        // The limits may be read after the run was seen, and are taken back when they are raised.
        stage.argo(&[], None);
        assert_eq!(stage.too_short(), "", "{spec}");
        stage.argo(&[("nightly", spec.clone())], None);
        assert_eq!(stage.too_short(), expected, "{spec} {phase}, read late");
    }
}

#[test]
fn the_controllers_retention_counts_with_the_pace_at_which_runs_end() {
    let retention = RetentionPolicy { completed: 2, succeeded: 0, failed: 1, errored: 1 };
    let ended = |n: u32, created: Secs, end: Secs| {
        let mut run = run(n, end);
        run["metadata"]["creationTimestamp"] = json!(time(created));
        run
    };
    // One ends every 200 s: the third pushes the first out 400 s after its end.
    let mut slow = Stage::enforcing();
    slow.argo(&[], Some(retention));
    for n in 1..6 {
        slow.now = 200 * n + 1;
        slow.see(&ended(n, 200 * n - 50, 200 * n));
        slow.see(&ended(n, 200 * n - 50, 200 * n)); // seen again, it is still one
    }
    assert_eq!(slow.too_short(), "");
    // One that ran for long is the oldest of all: it goes as soon as it ends.
    slow.see(&ended(9, 5, 1000));
    assert_eq!(slow.too_short(), "RetentionPolicy");
    assert_eq!(slow.told(), ["Workflow", "WorkflowPolicy"]);
    // One every 100 s: 200 s.
    let mut quick = Stage::enforcing();
    quick.argo(&[], Some(retention));
    for n in 1..3 {
        quick.now = 100 * n + 1;
        quick.see(&ended(n, 100 * n - 50, 100 * n));
    }
    assert_eq!(quick.too_short(), "", "so many stay");
    quick.now = 301;
    quick.see(&ended(3, 250, 300));
    assert_eq!(quick.too_short(), "RetentionPolicy");
    quick.argo(&[], None);
    assert_eq!(quick.too_short(), "", "the controller has none any more");
    // Another controller's runs are not touched.
    let mut other = Stage::enforcing();
    other.argo(&[], Some(RetentionPolicy::default()));
    let mut marked = run(1, 15);
    marked["metadata"]["labels"]["workflows.argoproj.io/controller-instanceid"] = json!("second");
    other.see(&marked);
    assert_eq!(other.too_short(), "");
    other.see(&run(2, 15));
    assert_eq!(other.too_short(), "RetentionPolicy", "none of them stays");
}

#[test]
fn a_day_without_such_runs_and_it_is_said_no_more() {
    let mut stage = Stage::enforcing();
    stage.see(&with_ttl(run(1, 15), &json!({"secondsAfterCompletion": 5})));
    stage.now += 24 * 3600;
    assert_eq!(stage.too_short(), "WorkflowTtl");
    assert!(stage.watchdog.next_write_due().is_some());
    stage.now += 3601;
    assert_eq!(stage.too_short(), "");
}
