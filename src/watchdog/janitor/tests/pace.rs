//! What is done first, and when what failed is tried again.

use super::*;
use crate::api::reasons::LocationReason;

fn names(stage: &mut Stage) -> Vec<String> {
    std::iter::from_fn(|| stage.job()).map(|job| job.target.name).collect()
}

#[test]
fn of_a_backlog_the_run_that_ended_first_is_archived_first() {
    // One was seen after the other, as a long list brings them.
    let mut stage = Stage::enforcing();
    for (n, end) in [(1, 90), (2, 70), (3, 99), (4, 60), (5, 80)] {
        stage.see(&run(n, end));
        stage.now += 1;
    }
    assert_eq!(names(&mut stage), ["run-4", "run-2", "run-5", "run-1", "run-3"]);
    // While there are places for two only, and more come.
    let config = Config { max_jobs: 2, ..Config::default() };
    let mut stage = Stage::with(config, &archive("Enforce"), &cleanup("Enforce"));
    for (n, end) in [(1, 90), (2, 70), (3, 99)] {
        stage.see(&run(n, end));
        stage.now += 1;
    }
    let first = stage.job().unwrap();
    assert_eq!((first.target.name.as_str(), names(&mut stage)), ("run-2", vec!["run-1".to_owned()]));
    stage.now = 50;
    stage.see(&run(4, 95));
    stage.ended(&first, Outcome::Gone);
    assert_eq!(names(&mut stage), ["run-4"], "seen last, ended before the one that waits");
}

#[test]
fn a_backlog_that_waited_for_its_location_goes_oldest_first_too() {
    let mut stage = Stage::enforcing();
    stage.place(false);
    for (n, end) in [(1, 90), (2, 70), (3, 80)] {
        stage.see(&run(n, end));
        assert!(stage.job().is_none());
        stage.now += 7;
    }
    stage.place(true);
    assert_eq!(names(&mut stage), ["run-2", "run-3", "run-1"]);
}

/// Fails what a run is to be done, again and again; how long it waited each time.
fn waits(stage: &mut Stage, times: usize, outcome: &dyn Fn() -> Outcome) -> Vec<Secs> {
    let mut waits = Vec::new();
    for _ in 0..times {
        let job = stage.job().expect("a job");
        assert!(stage.ended(&job, outcome()).is_none());
        let failed = stage.now;
        assert!(stage.job().is_none(), "not at once");
        stage.now = stage.watchdog.next_job_due().expect("a time") - T0;
        waits.push(stage.now - failed);
    }
    waits
}

fn store_failed() -> Outcome {
    Outcome::Store(LocationReason::Timeout, "no answer".into())
}

#[test]
fn what_fails_is_tried_again_later_and_later_up_to_a_bound() {
    let outcomes: [&dyn Fn() -> Outcome; 3] = [&store_failed, &|| Outcome::Failed("500".into()), &|| Outcome::Changed];
    for outcome in outcomes {
        // The run's own number ends in 0: nothing is added.
        let mut stage = Stage::enforcing();
        stage.see(&run(0, 20));
        assert_eq!(waits(&mut stage, 10, outcome), [5, 10, 20, 40, 80, 160, 320, 600, 600, 600]);
        // In 63: all of the spread.
        let mut stage = Stage::enforcing();
        stage.see(&run(63, 20));
        assert_eq!(waits(&mut stage, 10, outcome), [6, 12, 24, 49, 99, 199, 398, 747, 747, 747]);
    }
}

#[test]
fn an_examination_that_fails_waits_as_long() {
    let mut stage = Stage::enforcing();
    let one = run(0, 20);
    stage.see(&one);
    stage.archive(&one);
    stage.now = 200;
    let job = stage.job().expect("an examination");
    assert!(matches!(job.task, Task::Examine { .. }));
    stage.ended(&job, Outcome::Failed("500".into()));
    assert_eq!(stage.watchdog.next_job_due(), Some(T0 + 205));
    stage.now = 205;
    assert_eq!(waits(&mut stage, 3, &|| Outcome::Failed("500".into())), [10, 20, 40]);
    // What works begins at the first wait again.
    let job = stage.job().expect("an examination");
    stage.ended(&job, Outcome::NotVerified("gone".into()));
    stage.now = stage.watchdog.next_job_due().unwrap() - T0;
    stage.archive(&one);
    assert_eq!(waits(&mut stage, 1, &|| Outcome::Failed("500".into())), [5]);
}

#[test]
fn what_failed_together_does_not_come_back_together() {
    let config = Config { max_jobs: 64, ..Config::default() };
    let mut stage = Stage::with(config, &archive("Enforce"), &cleanup("Enforce"));
    for n in 0..64 {
        stage.see(&run(n, 20));
    }
    let mut back = Vec::new();
    for _ in 0..5 {
        let jobs: Vec<Job> = std::iter::from_fn(|| stage.job()).collect();
        assert_eq!(jobs.len(), 64);
        for job in jobs {
            stage.ended(&job, store_failed());
        }
        let mut times: Vec<Secs> = stage.watchdog.janitor.entries().map(|(_, e)| e.look_at - T0 - stage.now).collect();
        times.sort_unstable();
        back.push((times[0], times[63]));
        times.dedup();
        stage.now += 100;
        if back.len() == 5 {
            assert!(times.len() > 15, "spread over many seconds: {times:?}");
        }
    }
    assert_eq!(back, [(5, 6), (10, 12), (20, 24), (40, 49), (80, 99)]);
}

#[test]
fn a_location_that_is_well_again_is_used_at_once() {
    let mut stage = Stage::enforcing();
    stage.see(&run(1, 20));
    waits(&mut stage, 7, &store_failed);
    let job = stage.job().unwrap();
    stage.ended(&job, store_failed());
    stage.place(false);
    stage.now += 3;
    assert!(stage.job().is_none());
    stage.place(true);
    assert!(matches!(stage.job().expect("at once").task, Task::Archive { .. }));
}
