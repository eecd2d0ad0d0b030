//! Runs that others delete: lost only when there is no archive of them.

use super::*;
use crate::api::reasons::LocationReason;

impl Stage {
    fn vanishes(&mut self, workflow: &Value) {
        let text = workflow.to_string();
        self.tell(Input::WorkflowGone(&Workflow::from_json(&text).unwrap()));
    }

    fn lost(&self) -> u64 {
        self.watchdog.tally.counters.get("unstick_archive_lost_total").map_or(0, |s| s.values().sum())
    }

    /// A run with our mark on it, as one finds it after a restart.
    fn marked(&self, n: u32, location: &str) -> (Value, Kept) {
        let mut one = run(n, 20);
        let kept = self.keep(&one);
        let mark = json!({"location": location, "fingerprint": kept.mark.fingerprint, "key": kept.mark.key, "digest": kept.mark.digest});
        one["metadata"]["annotations"] = json!({"unstick.dev/archived": mark.to_string()});
        (one, kept)
    }
}

fn question(job: Option<Job>) -> Job {
    let job = job.expect("a question");
    assert!(matches!(&job.task, Task::Confirm { .. }), "{job:?}");
    job
}

#[test]
fn a_marked_run_that_vanishes_before_it_is_confirmed_is_looked_for_before_it_is_lost() {
    let mut stage = Stage::enforcing();
    let (one, kept) = stage.marked(1, "main");
    stage.see(&one);
    stage.vanishes(&one);
    assert_eq!(stage.lost(), 0, "unknown so far");
    let job = question(stage.job());
    assert_eq!((job.target.uid.as_str(), job.target.finished), (uid(1).as_str(), T0 + 20));
    assert!(matches!(&job.task, Task::Confirm { location, mark } if location == "main" && mark.key == kept.mark.key));
    stage.ended(&job, Outcome::Kept(Kept { already: true, ..kept }));
    assert_eq!(stage.lost(), 0);
    assert!(stage.job().is_none() && stage.watchdog.next_job_due().is_none());
    // A mark that somebody else has written.
    let (two, _) = stage.marked(2, "main");
    stage.see(&two);
    stage.vanishes(&two);
    let job = question(stage.job());
    stage.ended(&job, Outcome::Unconfirmed);
    assert_eq!(stage.lost(), 1);
    assert!(stage.job().is_none());
}

#[test]
fn a_store_that_cannot_be_asked_is_asked_again() {
    let mut stage = Stage::enforcing();
    let (one, _) = stage.marked(0, "main");
    stage.see(&one);
    stage.vanishes(&one);
    for wait in [5, 10, 20] {
        let job = question(stage.job());
        stage.ended(&job, Outcome::Store(LocationReason::Timeout, "no answer".into()));
        assert!(stage.job().is_none());
        assert_eq!(stage.watchdog.next_job_due(), Some(T0 + stage.now + wait));
        stage.now += wait;
    }
    stage.place(false);
    assert!(stage.job().is_none(), "nobody is asked where nobody answers");
    assert_eq!(stage.lost(), 0);
    stage.place(true);
    stage.now += 600;
    let job = question(stage.job());
    stage.ended(&job, Outcome::Unconfirmed);
    assert_eq!(stage.lost(), 1);
}

#[test]
fn a_mark_leads_only_to_places_that_its_namespace_may_use() {
    for (open, wanted) in [(true, "old"), (false, "main")] {
        let mut stage = Stage::enforcing();
        let (one, kept) = stage.marked(1, "old");
        let elsewhere = json!({"matchLabels": {"team": "other"}});
        let allowed = if open { json!({}) } else { elsewhere };
        let allowed = Selector::compile(&serde_json::from_value(allowed).unwrap()).unwrap();
        let place = Place {
            ready: true,
            read_only: false,
            message: String::new(),
            fingerprint: kept.mark.fingerprint,
            allowed,
        };
        stage.tell(Input::Place { name: "old".into(), place: Some(Box::new(place)) });
        stage.see(&one);
        stage.vanishes(&one);
        let job = question(stage.job());
        assert!(matches!(&job.task, Task::Confirm { location, .. } if location == wanted), "{job:?}");
    }
}

#[test]
fn a_run_that_vanishes_while_it_is_archived_is_lost_when_that_fails() {
    for (kept, lost) in [(true, 0), (false, 1)] {
        let mut stage = Stage::enforcing();
        let one = run(1, 20);
        stage.see(&one);
        let job = stage.job().unwrap();
        stage.vanishes(&one);
        assert_eq!(stage.lost(), 0, "it may still end well");
        let outcome = if kept { Outcome::Kept(stage.keep(&one)) } else { Outcome::Gone };
        stage.ended(&job, outcome);
        assert_eq!(stage.lost(), lost);
    }
}

#[test]
fn who_takes_over_looks_at_what_the_other_has_marked() {
    let mut stage = Stage::enforcing();
    stage.tell(Input::Leading(None));
    // Seen before and after it was archived by who led.
    stage.see(&run(1, 20));
    let (one, _) = stage.marked(1, "main");
    stage.see(&one);
    stage.tell(Input::Leading(Some(None)));
    let job = question(stage.job());
    assert_eq!(job.target.name, "run-1");
    stage.vanishes(&one);
    stage.ended(&job, Outcome::Failed("no answer".into()));
    assert_eq!(stage.lost(), 0);
    question(stage.job());
}

#[test]
fn questions_about_what_has_gone_and_a_backlog_keep_each_other_from_nothing() {
    let mut stage = Stage::enforcing();
    for n in 1..=8 {
        let (one, _) = stage.marked(n, "main");
        stage.see(&one);
        stage.vanishes(&one);
    }
    for n in 11..=18 {
        stage.see(&run(n, 20 + n));
    }
    let jobs: Vec<Job> = std::iter::from_fn(|| stage.job()).collect();
    let asks: Vec<bool> = jobs.iter().map(|job| matches!(job.task, Task::Confirm { .. })).collect();
    assert_eq!(asks.len(), 16);
    assert_eq!(asks[..8].iter().filter(|ask| **ask).count(), 2, "{asks:?}");
    assert_eq!(asks.iter().filter(|ask| **ask).count(), 8, "{asks:?}");
}
