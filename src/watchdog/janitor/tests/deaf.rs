//! Rules that can't be heard any more let nothing go.

use super::*;

fn heard(stage: &mut Stage, source: &'static str, failing: Option<&str>) {
    stage.tell(Input::Rules { source, failing: failing.map(str::to_owned) });
}

/// One run that is archived and due, at 200.
fn due() -> (Stage, Value) {
    let mut stage = Stage::enforcing();
    let one = run(1, 20);
    stage.see(&one);
    stage.archive(&one);
    stage.now = 200;
    for source in ["workflowpolicies", "namespaces"] {
        heard(&mut stage, source, None);
    }
    (stage, one)
}

#[test]
fn a_watch_of_policies_that_fails_stops_deletes_at_once_and_they_go_on_by_themselves() {
    let (mut stage, _) = due();
    heard(&mut stage, "workflowpolicies", Some("403"));
    assert!(stage.job().is_none());
    assert_eq!(stage.blocked(), "Blind");
    heard(&mut stage, "namespaces", None);
    assert!(stage.job().is_none(), "another one is heard, this isn't");
    // Archiving goes on.
    let two = run(2, 190);
    stage.see(&two);
    stage.archive(&two);
    heard(&mut stage, "workflowpolicies", None);
    assert!(stage.job().is_none(), "what it has missed may be on its way");
    stage.now += 2;
    assert!(matches!(stage.job().unwrap().task, Task::Examine { .. }));
}

#[test]
fn a_watch_that_fails_during_an_examination_lets_nothing_go() {
    let (mut stage, one) = due();
    let job = stage.job().unwrap();
    heard(&mut stage, "namespaces", Some("connection refused"));
    assert!(stage.examined(&job, &one, true).is_none());
    assert_eq!(stage.blocked(), "Blind");
}

#[test]
fn silence_beyond_the_bound_stops_deletes_until_there_is_a_sign_of_life() {
    let (mut stage, one) = due();
    stage.now = 200 + 360;
    assert!(stage.watchdog.deaf(T0 + stage.now).is_none());
    stage.now += 1;
    assert!(stage.job().is_none());
    assert_eq!(stage.blocked(), "Blind");
    heard(&mut stage, "workflowpolicies", None);
    assert!(stage.job().is_none(), "namespaces are still silent");
    heard(&mut stage, "namespaces", None);
    stage.now += 2;
    let job = stage.job().unwrap();
    deletes(stage.examined(&job, &one, true));
}
