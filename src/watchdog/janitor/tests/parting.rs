//! Deletes whose answer is lost or late, and events of runs that stay.

use super::*;
use crate::watchdog::effect::Op;

impl Stage {
    fn gone(&mut self, workflow: &Value) {
        let text = workflow.to_string();
        let read = Workflow::from_json(&text).unwrap();
        self.tell(Input::WorkflowGone(&read));
    }

    fn deletion(&mut self) -> (Value, Job) {
        let one = run(1, 20);
        self.see(&one);
        self.archive(&one);
        self.now = 200;
        let job = self.job().unwrap();
        let delete = self.examined(&job, &one, true).unwrap();
        (one, delete)
    }

    fn deleted(&self) -> u64 {
        let series = self.watchdog.tally.counters.get("unstick_deleted_runs_total");
        series.map_or(0, |s| s.values().sum())
    }

    fn events(&mut self, reason: &str) -> usize {
        let mut count = 0;
        while let Some(write) = self.watchdog.next_write(at(self.now)) {
            count += usize::from(matches!(&write.op, Op::Event(note) if note.reason.as_str() == reason));
        }
        count
    }
}

fn lost() -> Outcome {
    Outcome::Unanswered("connection reset".to_owned())
}

#[test]
fn a_delete_whose_answer_is_lost_counts_when_the_run_is_seen_gone() {
    // Before the time-out, or after it.
    for late in [true, false] {
        let mut stage = Stage::enforcing();
        let (one, delete) = stage.deletion();
        if late {
            stage.gone(&one);
            assert_eq!(stage.deleted(), 0);
            stage.ended(&delete, lost());
        } else {
            stage.ended(&delete, lost());
            assert_eq!(stage.deleted(), 0, "nothing is known yet");
            stage.gone(&one);
        }
        assert_eq!((stage.deleted(), stage.events("Deleted")), (1, 2), "late: {late}");
        let record = stage.job().expect("the catalogue is told");
        assert!(matches!(record.task, Task::Record) && record.target.uid == uid(1), "{record:?}");
        assert!(stage.ended(&record, Outcome::Gone).is_none() && stage.job().is_none());
        assert_eq!(stage.deleted(), 1);
    }
}

#[test]
fn an_answer_after_the_watch_has_said_so_counts_once() {
    let mut stage = Stage::enforcing();
    let (one, delete) = stage.deletion();
    stage.gone(&one);
    stage.ended(&delete, Outcome::Deleted);
    assert_eq!((stage.deleted(), stage.events("Deleted")), (1, 2));
    assert!(stage.job().is_none(), "its line has been written with the answer");
}

#[test]
fn what_is_still_there_after_a_lost_answer_and_goes_by_others_is_not_ours() {
    let mut stage = Stage::enforcing();
    let (mut one, delete) = stage.deletion();
    stage.ended(&delete, lost());
    stage.now = 300;
    let job = stage.job().unwrap();
    one["metadata"]["annotations"] = json!({"unstick.dev/hold": ""});
    assert!(stage.examined(&job, &one, true).is_none());
    stage.gone(&one);
    assert_eq!((stage.deleted(), stage.events("Deleted")), (0, 0));
    assert!(stage.job().is_none());
}

#[test]
fn a_run_whose_nodes_are_offloaded_has_its_event_once() {
    let mut stage = Stage::enforcing();
    let mut one = run(1, 20);
    one["status"]["offloadNodeStatusVersion"] = json!("fnv:1");
    stage.see(&one);
    assert!(stage.job().is_none());
    assert_eq!(stage.blocked(), "Offloaded");
    let first = stage.events("ArchiveFailed");
    assert!(first > 0);
    stage.place(false);
    stage.place(true);
    assert!(stage.job().is_none());
    assert_eq!(stage.events("ArchiveFailed"), 0);
}
