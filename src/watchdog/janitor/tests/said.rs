//! What is said of a run on its way, and where.

use super::*;
use crate::watchdog::effect::Op;

impl Stage {
    /// Events that wait: reason, kind of what they are about, text.
    fn said(&mut self) -> Vec<(String, String, String)> {
        let mut said = Vec::new();
        while let Some(write) = self.watchdog.next_write(instant(T0 + self.now)) {
            if let Op::Event(note) = write.op {
                said.push((note.reason.to_string(), note.regarding.kind, note.text));
            }
        }
        said
    }

    fn reasons(&mut self) -> Vec<String> {
        self.said().into_iter().map(|(reason, kind, _)| format!("{reason} {kind}")).collect()
    }
}

#[test]
fn a_deletion_is_announced_ahead_of_time() {
    let mut stage = Stage::enforcing();
    let one = run(1, 20);
    stage.see(&one);
    stage.archive(&one);
    assert_eq!(stage.reasons(), ["Archived Workflow"]);
    // The TTL is 100 s: a tenth of it before.
    stage.now = 109;
    assert!(stage.job().is_none());
    assert!(stage.said().is_empty(), "not yet");
    stage.now = 110;
    assert!(stage.job().is_none());
    let said = stage.said();
    let [(reason, kind, text)] = said.as_slice() else { panic!("{said:?}") };
    assert_eq!((reason.as_str(), kind.as_str()), ("DeletionScheduled", "Workflow"));
    assert!(text.contains(&instant(T0 + 120).to_string()), "{text}");
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
