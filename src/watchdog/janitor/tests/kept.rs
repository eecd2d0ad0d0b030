//! What keeps a run, and for how long.

use super::*;
use crate::watchdog::effect::Op;

#[test]
fn holds_pauses_and_argos_own_archive_keep_a_run() {
    let held = |w: &mut Value| w["metadata"]["annotations"] = json!({"unstick.dev/hold": ""});
    let pending = |w: &mut Value| {
        w["metadata"]["labels"]["workflows.argoproj.io/workflow-archiving-status"] = json!("Pending");
    };
    let mut stage = Stage::enforcing();
    let mut one = run(1, 20);
    held(&mut one);
    stage.see(&one);
    // A hold keeps from deleting, not from archiving.
    stage.archive(&one);
    stage.now = 200;
    assert!(stage.job().is_none());
    assert_eq!(stage.blocked(), "Hold");

    let mut stage = Stage::enforcing();
    let mut one = run(1, 20);
    pending(&mut one);
    stage.see(&one);
    stage.now = 200;
    assert!(stage.job().is_none());
    assert_eq!(stage.blocked(), "ArgoArchivePending");

    let mut stage = Stage::enforcing();
    let one = run(1, 20);
    stage.see(&one);
    stage.archive(&one);
    stage.tell(Input::NamespaceHeld { name: "etl".into(), hold: Some("audit".into()) });
    stage.now = 200;
    assert!(stage.job().is_none());
    assert_eq!(stage.blocked(), "Hold");
    stage.tell(Input::NamespaceHeld { name: "etl".into(), hold: None });
    assert!(stage.job().is_some());
}

#[test]
fn a_location_that_fails_stops_archiving_and_deleting_and_both_go_on_when_it_is_back() {
    let mut stage = Stage::enforcing();
    stage.place(false);
    let (one, two) = (run(1, 20), run(2, 30));
    stage.see(&one);
    assert!(stage.job().is_none());
    assert_eq!(stage.blocked(), "LocationNotReady");
    stage.place(true);
    stage.archive(&one);
    stage.place(false);
    stage.see(&two);
    stage.now = 200;
    assert!(stage.job().is_none());
    stage.place(true);
    assert!(stage.job().is_some() && stage.job().is_some());
}

#[test]
fn a_location_that_points_elsewhere_has_no_archive_of_anything() {
    let mut stage = Stage::enforcing();
    let one = run(1, 20);
    stage.see(&one);
    stage.archive(&one);
    stage.place_at(true, "another".into());
    stage.now = 200;
    assert!(matches!(stage.job().unwrap().task, Task::Archive { .. }));
}

#[test]
fn the_newest_of_each_outcome_stay() {
    let keep = json!({"mode": "Enforce", "ttl": {"succeeded": "100s"}, "keepAtLeast": {"succeeded": 2}});
    let mut stage = Stage::new(&archive("Enforce"), &keep);
    let runs: Vec<Value> = (1..=3).map(|n| run(n, 20 + n)).collect();
    for one in &runs {
        stage.see(one);
    }
    for one in &runs {
        stage.archive(one);
    }
    stage.now = 500;
    let job = stage.job().unwrap();
    assert_eq!(job.target.name, "run-1");
    assert!(stage.job().is_none(), "two stay");
    // A newer one comes: the next oldest may go.
    let four = run(4, 400);
    stage.see(&four);
    assert_eq!(stage.job().unwrap().target.name, "run-2");
    stage.archive(&four);
    assert!(stage.job().is_none());
}

#[test]
fn the_budget_begins_spent_and_holds() {
    let budget = json!({"mode": "Enforce", "ttl": {"succeeded": "100s"}, "maxDeletes": {"count": 1, "per": "1000s"}});
    let mut stage = Stage::new(&archive("Enforce"), &budget);
    let runs: Vec<Value> = (1..=2).map(|n| run(n, 20 + n)).collect();
    for one in &runs {
        stage.see(one);
    }
    for one in &runs {
        stage.archive(one);
    }
    stage.now = 900;
    assert!(stage.job().is_none(), "what the last leader deleted isn't known");
    assert_eq!(stage.blocked(), "BudgetExceeded");
    stage.now = 1020;
    let (first, second) = (stage.job().unwrap(), stage.job().unwrap());
    assert!(stage.examined(&first, &runs[0], true).is_some());
    assert!(stage.examined(&second, &runs[1], true).is_none(), "one in this window");
}

#[test]
fn who_only_observes_or_tries_dry_gets_nothing_to_do() {
    for mode in ["Observe", "DryRun"] {
        let mut stage = Stage::new(&archive(mode), &cleanup(mode));
        stage.see(&run(1, 20));
        for now in [20, 110, 200, 5000] {
            stage.now = now;
            assert!(stage.job().is_none(), "{mode} at {now}");
        }
    }
}

#[test]
fn a_mark_is_looked_up_and_a_forged_one_changes_nothing() {
    let mut stage = Stage::enforcing();
    let mut one = run(1, 20);
    let mark = json!({"location": "main", "fingerprint": "f", "key": "k", "digest": "d"}).to_string();
    one["metadata"]["annotations"] = json!({"unstick.dev/archived": mark});
    stage.see(&one);
    let job = stage.job().unwrap();
    assert!(matches!(job.task, Task::Confirm { .. }), "{job:?}");
    assert!(stage.ended(&job, Outcome::Unconfirmed).is_none());
    stage.archive(&one);
}

#[test]
fn our_own_mark_starts_nothing_anew() {
    let mut stage = Stage::enforcing();
    let mut one = run(1, 20);
    stage.see(&one);
    let job = stage.job().unwrap();
    let kept = stage.keep(&one);
    let mark = serde_json::to_value(&kept.mark).unwrap();
    one["metadata"]["annotations"] = json!({"unstick.dev/archived": mark.to_string()});
    // The watch is faster than the job's end.
    stage.see(&one);
    assert!(stage.job().is_none());
    assert!(stage.ended(&job, Outcome::Kept(kept)).is_none());
    assert!(stage.job().is_none());
    stage.now = 200;
    assert!(matches!(stage.job().unwrap().task, Task::Examine { .. }));
}

#[test]
fn what_somebody_else_deleted_is_not_called_ours() {
    let mut stage = Stage::enforcing();
    stage.see(&run(1, 20));
    let job = stage.job().unwrap();
    assert!(stage.ended(&job, Outcome::Gone).is_none());
    let deleted = stage.watchdog.tally.counters.get("unstick_deleted_runs_total");
    assert_eq!(deleted.map_or(0, |s| s.values().sum::<u64>()), 0);
}

#[test]
fn an_offloaded_run_stays() {
    let mut stage = Stage::enforcing();
    let mut one = run(1, 20);
    one["status"]["offloadNodeStatusVersion"] = json!("fnv:1");
    stage.see(&one);
    stage.now = 5000;
    assert!(stage.job().is_none());
    assert_eq!(stage.blocked(), "Offloaded");
}

#[test]
fn a_standby_and_one_that_has_lost_the_lease_do_nothing() {
    let mut stage = Stage::enforcing();
    let one = run(1, 20);
    stage.see(&one);
    let job = stage.job().unwrap();
    stage.tell(Input::Leading(None));
    let kept = stage.keep(&one);
    assert!(stage.ended(&job, Outcome::Kept(kept)).is_none());
    stage.now = 5000;
    assert!(stage.job().is_none());
}

#[test]
fn while_policies_are_being_read_anew_nothing_is_deleted() {
    let mut stage = Stage::enforcing();
    let one = run(1, 20);
    stage.see(&one);
    stage.archive(&one);
    let other = json!({
        "apiVersion": "unstick.dev/v1alpha1", "kind": "WorkflowPolicy",
        "metadata": {"name": "stricter", "namespace": "etl", "uid": "p2", "generation": 1, "creationTimestamp": time(1)},
        "spec": {"selector": {}, "priority": 5, "archive": archive("Enforce")},
    });
    let seen = admit::policy(&other, &Context::default()).unwrap();
    stage.tell(Input::Policy(Box::new(seen)));
    stage.now = 200;
    assert!(stage.job().is_none());
    stage.tell(Input::ListBegin);
    stage.see(&one);
    stage.tell(Input::ListEnd);
    stage.now = 300;
    assert!(stage.job().is_none(), "the stricter one governs, it deletes nothing");
}

#[test]
fn a_run_that_vanishes_unarchived_is_counted_and_one_of_ours_is_not() {
    let mut stage = Stage::enforcing();
    let one = run(1, 20);
    stage.see(&one);
    let text = one.to_string();
    stage.tell(Input::WorkflowGone(&Workflow::from_json(&text).unwrap()));
    let lost = |stage: &Stage| -> u64 {
        stage.watchdog.tally.counters.get("unstick_archive_lost_total").map_or(0, |s| s.values().sum())
    };
    assert_eq!(lost(&stage), 1);
    let two = run(2, 20);
    stage.see(&two);
    stage.archive(&two);
    let text = two.to_string();
    stage.tell(Input::WorkflowGone(&Workflow::from_json(&text).unwrap()));
    assert_eq!(lost(&stage), 1);
}

#[test]
fn a_pause_holds_everything_until_it_ends() {
    let mut stage = Stage::enforcing();
    let one = run(1, 20);
    let pauses = json!([{"name": "audit", "reason": "the auditors are here", "until": time(300)}]);
    stage.paused(&pauses);
    stage.see(&one);
    stage.now = 200;
    assert!(stage.job().is_none());
    assert_eq!(stage.blocked(), "Paused");
    stage.now = 301;
    stage.archive(&one);
}

#[test]
fn while_the_clocks_differ_nothing_is_done() {
    let mut stage = Stage::enforcing();
    let one = run(1, 20);
    stage.see(&one);
    stage.archive(&one);
    stage.tell(Input::Blind(Some(crate::api::reasons::UnknownReason::ClockSkew)));
    stage.now = 200;
    assert!(stage.job().is_none());
    assert_eq!(stage.blocked(), "Blind");
}

#[test]
fn dry_run_examines_nothing_even_where_no_archive_is_asked_for() {
    let dry = json!({"mode": "DryRun", "require": "None", "ttl": {"succeeded": "100s"}});
    let mut stage = Stage::new(&archive("Observe"), &dry);
    stage.see(&run(1, 20));
    for now in [20, 119, 120, 5000] {
        stage.now = now;
        assert!(stage.job().is_none(), "at {now}");
    }
}

#[test]
fn an_operator_for_one_namespace_says_that_it_archives_nothing() {
    for (namespace, archives, expected) in [(Some("etl"), true, true), (Some("etl"), false, false), (None, true, false)]
    {
        let config = Config { namespace: namespace.map(str::to_owned), ..Config::default() };
        let mut stage = Stage::with(config, &archive("Enforce"), &cleanup("Enforce"));
        if !archives {
            stage.policy_with(json!({"selector": {}, "cleanup": cleanup("Enforce")}), 2);
        }
        let mut said = None;
        while let Some(write) = stage.watchdog.next_write(at(stage.now)) {
            if let Op::PolicyStatus { status, .. } = write.op {
                said = Some(status);
            }
        }
        let conditions = said.expect("a status").conditions;
        let message = conditions.into_iter().find(|c| c.kind == "NotInForce").map(|c| c.message);
        let names = message.as_ref().is_some_and(|m| m.contains("--namespace") && m.contains("deploy/install.yaml"));
        assert_eq!(names, expected, "{namespace:?} {archives}: {message:?}");
    }
}
