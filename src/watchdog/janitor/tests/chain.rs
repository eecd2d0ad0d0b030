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
    // Its line in the catalogue of the location is made of what the examination brings.
    assert!(matches!(&job.task, Task::Examine { needed: Needed::Facts(_) }), "{job:?}");
    let mut live = live_of(&one);
    live.facts = Some(Box::new(RunFacts { name: "run-1".to_owned(), ..RunFacts::default() }));
    let job = stage.ended(&job, Outcome::Examined(Box::new(live), None)).expect("a delete");
    let Task::Delete { permit, told: Some((location, facts)), .. } = &job.task else { panic!("{job:?}") };
    assert_eq!(permit.ground(), "policy p1 generation 3 requires no archive");
    assert_eq!((location.as_str(), facts.name.as_str()), ("main", "run-1"));
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
        stage.said();
        assert!(stage.ended(&job, Outcome::Examined(Box::new(live_of(&live)), proof)).is_none(), "{name}");
        let said = stage.said();
        assert!(
            said.iter().all(|(reason, ..)| reason.as_str() != "DeletionScheduled"),
            "{name}: it stays, but {said:?}"
        );
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

#[test]
fn what_was_seen_stuck_is_told_with_the_archive() {
    let running = |n: u32, started: Secs| {
        let mut run = run(n, 20);
        run["status"] = json!({"phase": "Running", "startedAt": time(started)});
        run["metadata"]["labels"] = json!({"workflows.argoproj.io/phase": "Running"});
        run
    };
    let ended = |n: u32, started: Secs, end: Secs| {
        let mut run = run(n, end);
        run["status"]["startedAt"] = json!(time(started));
        run
    };
    let told = |stage: &mut Stage| match stage.job().expect("a job").task {
        Task::Archive { stuck_seconds, .. } => stuck_seconds,
        other => panic!("{other:?}"),
    };
    let detections = json!([{"name": "long", "type": "RunningTooLong", "after": "60s"}]);
    let mut stage = Stage::enforcing();
    stage.policy_with(json!({"selector": {}, "detections": detections, "archive": archive("Enforce")}), 2);
    // The policy has changed: all is read anew.
    stage.tell(Input::ListBegin);
    stage.see(&running(1, 10));
    stage.see(&running(2, 10));
    stage.tell(Input::ListEnd);
    stage.now = 60;
    stage.see(&ended(2, 10, 60));
    assert_eq!(told(&mut stage), None, "below the threshold");
    stage.now = 100;
    stage.tell(Input::Tick);
    stage.now = 130;
    stage.see(&ended(1, 10, 120));
    let since = told(&mut stage).expect("it was stuck");
    assert_eq!(since, 110, "from the state that held until its end");
    // Retried, it is another run: that one wasn't stuck.
    stage.see(&running(1, 140));
    stage.now = 160;
    stage.see(&ended(1, 140, 150));
    assert_eq!(told(&mut stage), None);
}
