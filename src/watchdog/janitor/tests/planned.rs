//! What is planned is what a leader then does.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::watchdog::janitor::plan::{Fate, Keep};

/// Runs of three templates, some of them held, packed away, failed or young.
fn crowd() -> Vec<Value> {
    let mut all = Vec::new();
    for n in 0..24 {
        let mut one = run(n, 20 + n);
        one["metadata"]["generateName"] = json!(format!("template-{}-", n % 3));
        match n {
            3 | 11 => one["metadata"]["annotations"] = json!({"unstick.dev/hold": "audit"}),
            5 => one["metadata"]["labels"]["workflows.argoproj.io/workflow-archiving-status"] = json!("Pending"),
            7 => one["status"]["offloadNodeStatusVersion"] = json!("fnv:123"),
            8 => one["status"]["phase"] = json!("Failed"),
            9 => one["spec"]["artifactGC"] = json!({"strategy": "OnWorkflowDeletion"}),
            13 => one["metadata"]["deletionTimestamp"] = json!(time(100)),
            20.. => one["status"]["finishedAt"] = json!(time(290)),
            _ => {}
        }
        all.push(one);
    }
    all
}

fn policy(stage: &mut Stage, more: &Value) {
    let mut cleanup = json!({"mode": "Enforce", "ttl": {"succeeded": "100s"}});
    cleanup.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    stage.policy(&archive("Enforce"), &cleanup, 2);
}

/// Does all that is handed out at this second, for real, and says who was deleted.
fn play(stage: &mut Stage, objects: &[Value]) -> BTreeSet<String> {
    let mut gone = BTreeSet::new();
    let live = |target: &Target| objects.iter().find(|w| w["metadata"]["name"] == *target.name).unwrap().clone();
    while let Some(job) = stage.job() {
        let object = live(&job.target);
        let next = match &job.task {
            Task::Archive { .. } => {
                let kept = stage.keep(&object);
                stage.ended(&job, Outcome::Kept(kept))
            }
            Task::Examine { .. } => stage.examined(&job, &object, true),
            other => panic!("{other:?}"),
        };
        if let Some(delete) = next {
            let (target, ..) =
                deletes(Some(Job { ticket: delete.ticket, target: delete.target.clone(), task: delete.task }));
            gone.insert(target.name);
            let read = object.to_string();
            stage.watchdog.job_ended(delete.ticket, Outcome::Deleted, T0 + stage.now);
            stage.tell(Input::WorkflowGone(&Workflow::from_json(&read).unwrap()));
        }
    }
    gone
}

fn planned(stage: &mut Stage) -> BTreeMap<String, Fate> {
    let go: BTreeSet<String> = [uid(9)].into();
    let all = stage.watchdog.plan(|uid| go.contains(uid), T0 + stage.now);
    all.into_iter().map(|p| (p.name, p.fate)).collect()
}

#[test]
fn what_is_planned_is_what_a_leader_then_deletes() {
    let budget = json!({"maxDeletes": {"count": 5, "per": "60s", "percent": 50}});
    for more in [json!({}), json!({"keepAtLeast": {"succeeded": 2}}), budget] {
        let objects = crowd();
        let stages = || {
            let mut stage = Stage::enforcing();
            policy(&mut stage, &more);
            for one in &objects {
                stage.see(one);
            }
            // Long after the window that is unknown at first.
            stage.now = 300;
            stage
        };
        let plan = planned(&mut stages());
        let due: BTreeSet<String> =
            plan.iter().filter(|(_, fate)| **fate == Fate::Delete).map(|(name, _)| name.clone()).collect();
        let gone = play(&mut stages(), &objects);
        assert_eq!(due, gone, "{more}");
        assert!(due.len() >= 5 && due.len() < objects.len() - 6, "{more}: {due:?}");
        assert_eq!(plan.len(), objects.len());
    }
}

#[test]
fn each_that_stays_has_its_reason() {
    let mut stage = Stage::enforcing();
    let more = json!({"keepAtLeast": {"succeeded": 1}, "maxDeletes": {"count": 7, "per": "60s"}});
    policy(&mut stage, &more);
    for one in crowd() {
        stage.see(&one);
    }
    stage.now = 300;
    let plan = planned(&mut stage);
    let why = |n: u32| match &plan[&format!("run-{n}")] {
        Fate::Delete => "Delete".to_owned(),
        Fate::Later(at) => format!("Later {}", at - T0),
        Fate::Keep(keep, text, _) => {
            assert!(!text.is_empty(), "{keep:?}");
            keep.as_str().to_owned()
        }
    };
    for (n, wanted) in [
        (0, "Delete"),
        (3, "Hold"),
        (5, "ArgoArchivePending"),
        (7, "Offloaded"),
        (8, "NoTtl"),
        (9, "ArtifactsWouldGo"),
        (13, "Leaving"),
        (14, "BudgetExceeded"),
        (20, "Later 390"),
        (23, "KeepAtLeast"),
    ] {
        assert_eq!(why(n), wanted, "run-{n}");
    }
}

#[test]
fn what_is_not_in_force_is_planned_as_if_it_were_and_says_so() {
    for mode in ["Observe", "DryRun"] {
        let mut stage = Stage::new(&archive("Observe"), &cleanup(mode));
        stage.see(&run(1, 20));
        stage.now = 300;
        let plan = stage.watchdog.plan(|_| false, T0 + 300);
        assert_eq!((plan[0].fate.clone(), plan[0].mode.as_str(), plan[0].archive), (Fate::Delete, mode, true));
    }
    // What is in force is taken as it stands: without an archive nothing goes.
    let mut stage = Stage::new(&archive("Observe"), &cleanup("Enforce"));
    stage.see(&run(1, 20));
    stage.now = 300;
    let plan = stage.watchdog.plan(|_| false, T0 + 300);
    assert!(matches!(plan[0].fate, Fate::Keep(Keep::Reason(KeepReason::NotArchived), ..)), "{plan:?}");
}

#[test]
fn a_place_that_is_not_ready_keeps_all() {
    let mut stage = Stage::enforcing();
    stage.place(false);
    stage.see(&run(1, 20));
    stage.now = 300;
    let plan = stage.watchdog.plan(|_| false, T0 + 300);
    assert!(matches!(plan[0].fate, Fate::Keep(Keep::Reason(KeepReason::LocationNotReady), ..)), "{plan:?}");
}
