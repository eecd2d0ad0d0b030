//! What is said of a run on its way, and where.

use super::*;
use crate::watchdog::effect::Op;

impl Stage {
    /// Events that wait: reason, kind of what they are about, text.
    pub(super) fn said(&mut self) -> Vec<(String, String, String)> {
        let mut said = Vec::new();
        while let Some(write) = self.watchdog.next_write(instant(T0 + self.now)) {
            if let Op::Event(note) = write.op {
                said.push((note.reason.to_string(), note.regarding.kind, note.text));
            }
        }
        said
    }

    pub(super) fn reasons(&mut self) -> Vec<String> {
        self.said().into_iter().map(|(reason, kind, _)| format!("{reason} {kind}")).collect()
    }
}

#[test]
fn a_deletion_is_announced_ahead_of_time() {
    let mut stage = Stage::enforcing();
    let one = run(1, 20);
    stage.see(&one);
    stage.archive(&one);
    assert_eq!(stage.reasons(), ["Archived Workflow", "Archived WorkflowPolicy"]);
    // The TTL is 100 s: a tenth of it before.
    stage.now = 109;
    assert!(stage.job().is_none());
    assert!(stage.said().is_empty(), "not yet");
    stage.now = 110;
    assert!(stage.job().is_none());
    let said = stage.said();
    let [(reason, kind, text), (_, on_policy, about)] = said.as_slice() else { panic!("{said:?}") };
    assert_eq!((reason.as_str(), kind.as_str()), ("DeletionScheduled", "Workflow"));
    assert!(text.contains(&instant(T0 + 120).to_string()), "{text}");
    assert_eq!((on_policy.as_str(), about), ("WorkflowPolicy", &format!("etl/run-1: {text}")));
    stage.now = 115;
    assert!(stage.job().is_none());
    assert!(stage.said().is_empty(), "once");
    stage.now = 120;
    assert!(stage.job().is_some());
}

#[test]
fn what_keeps_this_one_run_is_said_of_it_once() {
    let mut stage = Stage::enforcing();
    let mut one = run(1, 20);
    one["metadata"]["annotations"] = json!({"unstick.dev/hold": "audit"});
    stage.see(&one);
    stage.archive(&one);
    stage.said();
    stage.now = 200;
    assert!(stage.job().is_none());
    assert_eq!(stage.reasons(), ["DeleteBlocked Workflow", "DeleteBlocked WorkflowPolicy"]);
    stage.now = 300;
    stage.see(&one);
    assert!(stage.job().is_none());
    assert!(stage.said().is_empty(), "once");
    // What keeps all runs of a namespace is in the status of the policy.
    let mut stage = Stage::enforcing();
    let two = run(2, 20);
    stage.see(&two);
    stage.archive(&two);
    stage.said();
    stage.tell(Input::NamespaceHeld { name: "etl".into(), hold: Some("audit".into()) });
    stage.now = 200;
    assert!(stage.job().is_none());
    assert_eq!(stage.blocked(), "Hold");
    assert!(stage.said().iter().all(|(reason, ..)| reason != "DeleteBlocked"));
}

/// Takes the jobs of a run until it is deleted.
fn delete(stage: &mut Stage, one: &Value) {
    let job = stage.job().expect("an examination");
    let delete = stage.examined(&job, one, true).expect("a delete");
    assert!(stage.ended(&delete, Outcome::Deleted).is_none());
}

const EACH: [&str; 6] = [
    "Archived Workflow",
    "Archived WorkflowPolicy",
    "DeletionScheduled Workflow",
    "DeletionScheduled WorkflowPolicy",
    "Deleted Workflow",
    "Deleted WorkflowPolicy",
];

#[test]
fn a_run_that_is_past_its_time_when_first_seen_is_said_to_go_before_it_goes() {
    let mut stage = Stage::enforcing();
    stage.now = 500;
    let one = run(1, 20);
    stage.see(&one);
    stage.archive(&one);
    let job = stage.job().expect("an examination");
    assert_eq!(stage.reasons(), EACH[..2], "whether it goes isn't known yet");
    let delete = stage.examined(&job, &one, true).expect("a delete");
    let said = stage.said();
    assert_eq!(said.iter().map(|(r, k, _)| format!("{r} {k}")).collect::<Vec<_>>(), EACH[2..4], "before the delete");
    assert_eq!(said[0].2, format!("to be deleted now: its time to live was over at {}", instant(T0 + 120)));
    stage.ended(&delete, Outcome::Deleted);
    assert_eq!(stage.reasons(), EACH[4..]);
}

#[test]
fn a_policy_that_shortens_the_time_says_so_anew() {
    let mut stage = Stage::new(&archive("Enforce"), &json!({"mode": "Enforce", "ttl": {"succeeded": "1000s"}}));
    let one = run(1, 20);
    stage.see(&one);
    stage.archive(&one);
    stage.now = 1000;
    assert!(stage.job().is_none());
    stage.said();
    stage.policy(&archive("Enforce"), &cleanup("Enforce"), 2);
    stage.tell(Input::ListBegin);
    stage.see(&one);
    stage.tell(Input::ListEnd);
    delete(&mut stage, &one);
    let texts: Vec<String> = stage.said().into_iter().map(|(_, _, text)| text).collect();
    assert!(
        texts[0].starts_with("to be deleted now") && texts[0].contains(&instant(T0 + 120).to_string()),
        "{texts:?}"
    );
}

#[test]
fn a_run_that_was_seen_gone_before_the_answer_is_said_to_be_deleted_too() {
    let mut stage = Stage::enforcing();
    stage.now = 500;
    let one = run(1, 20);
    stage.see(&one);
    stage.archive(&one);
    let job = stage.job().expect("an examination");
    let delete = stage.examined(&job, &one, true).expect("a delete");
    let text = one.to_string();
    stage.tell(Input::WorkflowGone(&Workflow::from_json(&text).unwrap()));
    stage.ended(&delete, Outcome::Deleted);
    assert_eq!(stage.reasons(), EACH);
}

#[test]
fn of_many_runs_a_policy_has_one_event_of_a_kind_at_once_and_then_one_in_a_while() {
    let mut stage = Stage::enforcing();
    stage.now = 500;
    for n in 1..=50 {
        let one = run(n, 20 + n);
        stage.see(&one);
        stage.archive(&one);
        delete(&mut stage, &one);
    }
    let said = stage.said();
    let on = |kind: &str| said.iter().filter(|(_, k, _)| k == kind).count();
    assert_eq!((on("Workflow"), on("WorkflowPolicy")), (150, 3));
    // The others wait, and nothing else is waited for.
    let due = stage.watchdog.next_write_due().expect("a sum waits");
    assert_eq!(due, instant(T0 + 500 + 600));
    stage.now = 1099;
    assert!(stage.said().is_empty(), "not yet");
    stage.now = 1100;
    let said = stage.said();
    let archived = said.iter().find(|(reason, ..)| reason == "Archived").expect("a sum");
    let begin = format!("49 more runs since {}, the last etl/run-50: archived and verified: ", instant(T0 + 500));
    assert!(archived.2.starts_with(&begin), "{archived:?}");
    assert_eq!(said.len(), 3, "{said:?}");
    // Quiet afterwards; the first after a while is said at once again.
    stage.now = 3000;
    assert!(stage.said().is_empty());
    assert_eq!(stage.watchdog.janitor.summed.next_due(), None);
    let last = run(99, 40);
    stage.see(&last);
    stage.archive(&last);
    assert_eq!(stage.reasons(), EACH[..2]);
}

#[test]
fn failures_of_many_runs_are_summed_too_and_each_reason_that_keeps_runs_is_said() {
    let mut stage = Stage::enforcing();
    stage.now = 500;
    for n in 1..=5 {
        stage.see(&run(n, 20));
        let job = stage.job().expect("a job");
        stage.ended(&job, Outcome::Store(crate::api::reasons::LocationReason::AccessDenied, "no right".into()));
    }
    let said = stage.said();
    assert_eq!(said.iter().filter(|(_, k, _)| k == "WorkflowPolicy").count(), 1, "{said:?}");
    assert_eq!(said.iter().filter(|(r, k, _)| k == "Workflow" && r == "ArchiveFailed").count(), 5, "{said:?}");
    let mut stage = Stage::enforcing();
    stage.now = 500;
    for n in 1..=3 {
        let one = run(n, 20);
        stage.see(&one);
        stage.archive(&one);
        let job = stage.job().expect("an examination");
        let outcome = if n == 3 { Outcome::Refused("no".into()) } else { Outcome::NotVerified("differs".into()) };
        stage.ended(&job, outcome);
        if n != 3 {
            // It is to be archived anew.
            assert!(stage.job().is_none());
        }
    }
    let said = stage.said();
    let blocked: Vec<&str> = said
        .iter()
        .filter(|(r, k, _)| r == "DeleteBlocked" && k == "WorkflowPolicy")
        .map(|(_, _, text)| text.as_str())
        .collect();
    assert_eq!(blocked, ["etl/run-1: NotVerified: differs", "etl/run-3: Refused: no"]);
}

#[test]
fn events_of_runs_that_are_well_leave_places_to_others() {
    let config = Config { max_events: 10, ..Config::default() };
    let mut stage = Stage::with(config, &archive("Enforce"), &cleanup("Enforce"));
    for n in 1..=20 {
        let one = run(n, 20);
        stage.see(&one);
        stage.archive(&one);
    }
    assert_eq!(stage.said().len(), 5);
    let dropped = stage.watchdog.tally.counters.get("unstick_events_total").map_or(0, |s| s.values().sum::<u64>());
    assert_eq!(dropped, 16, "what is left out is counted");
}
