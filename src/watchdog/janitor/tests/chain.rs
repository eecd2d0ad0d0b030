//! From the finish of a run to its deletion, and what may come between.

use super::*;

#[test]
fn a_run_is_archived_at_once_and_deleted_when_its_time_is_over_and_it_is_proven() {
    let mut stage = Stage::enforcing();
    let one = run(1, 20);
    stage.see(&one);
    stage.archive(&one);
    // Announced a tenth of its time ahead; before the time nothing is examined.
    stage.now = 119;
    assert!(stage.job().is_none());
    stage.now = 120;
    let job = stage.job().expect("an examination");
    let (target, version, permit) = deletes(stage.examined(&job, &one, true));
    assert_eq!((target.uid.as_str(), version.as_str()), (uid(1).as_str(), "101"));
    assert!(permit.is_for(&target.uid, &version) && !permit.is_for(&target.uid, "102"));
    assert!(permit.ground().starts_with("verified archive workflow-archives/etl/run-1/"), "{}", permit.ground());
}

#[test]
fn without_proof_nothing_goes_and_it_is_archived_anew() {
    let mut stage = Stage::enforcing();
    let one = run(1, 20);
    stage.see(&one);
    stage.archive(&one);
    stage.now = 200;
    let job = stage.job().unwrap();
    assert!(stage.ended(&job, Outcome::NotVerified("there is no copy".into())).is_none());
    assert_eq!(stage.blocked(), "NotVerified");
    assert!(stage.job().is_none(), "not at once");
    stage.now = 220;
    assert!(matches!(stage.job().unwrap().task, Task::Archive { .. }));
}

#[test]
fn an_answer_without_proof_is_no_permit() {
    let mut stage = Stage::enforcing();
    let one = run(1, 20);
    stage.see(&one);
    stage.archive(&one);
    stage.now = 200;
    let job = stage.job().unwrap();
    assert!(stage.examined(&job, &one, false).is_none());
}

#[test]
fn only_a_policy_that_says_so_deletes_without_an_archive() {
    let spoken = json!({"mode": "Enforce", "require": "None", "ttl": {"succeeded": "100s"}});
    let mut stage = Stage::new(&archive("Observe"), &spoken);
    let one = run(1, 20);
    stage.see(&one);
    stage.now = 200;
    let job = stage.job().unwrap();
    // Between the question and the answer the policy comes to ask for an archive.
    stage.policy(&archive("Observe"), &cleanup("Enforce"), 2);
    assert!(stage.examined(&job, &one, false).is_none());
    stage.policy(&archive("Observe"), &spoken, 3);
    stage.now = 300;
    let job = stage.job().unwrap();
    let (.., permit) = deletes(stage.examined(&job, &one, false));
    assert_eq!(permit.ground(), "policy p1 generation 3 requires no archive");
}

#[test]
fn what_happens_between_the_question_and_the_answer_counts() {
    type Change = fn(&mut Value);
    let changes: [(&str, Change); 5] = [
        ("held", |w| w["metadata"]["annotations"] = json!({"unstick.dev/hold": "audit"})),
        ("retried", |w| w["status"] = json!({"phase": "Running", "startedAt": time(150)})),
        ("finished again", |w| w["status"]["finishedAt"] = json!(time(160))),
        ("argo archives it", |w| {
            w["metadata"]["labels"]["workflows.argoproj.io/workflow-archiving-status"] = json!("Pending");
        }),
        ("artifacts", |w| w["spec"]["artifactGC"] = json!({"strategy": "OnWorkflowDeletion"})),
    ];
    for (name, change) in changes {
        let mut stage = Stage::enforcing();
        let one = run(1, 20);
        stage.see(&one);
        stage.archive(&one);
        stage.now = 200;
        let job = stage.job().unwrap();
        let mut live = one.clone();
        change(&mut live);
        let proof = Some(Box::new(stage.proof(&one)));
        assert!(stage.ended(&job, Outcome::Examined(Box::new(live_of(&live)), proof)).is_none(), "{name}");
    }
    // The control.
    let mut stage = Stage::enforcing();
    let one = run(1, 20);
    stage.see(&one);
    stage.archive(&one);
    stage.now = 200;
    let job = stage.job().unwrap();
    let proof = Some(Box::new(stage.proof(&one)));
    assert!(stage.ended(&job, Outcome::Examined(Box::new(live_of(&one)), proof)).is_some());
}
