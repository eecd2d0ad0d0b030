//! The janitor without I/O: what is handed out when, and what never is.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use jiff::Timestamp;
use serde_json::{Value, json};

use super::Place;
use super::job::{Job, Kept, Live, Outcome, Permit, Target, Task};
use super::run::Finished;
use crate::api::selector::Selector;
use crate::api::validate::Context;
use crate::api::workflow::{Secs, Workflow};
use crate::archive::keep::{KeepOptions, keep};
use crate::archive::key::Layout;
use crate::archive::redaction::Redaction;
use crate::archive::store::filesystem::Filesystem;
use crate::archive::store::{Location, LocationKind, Store as _};
use crate::archive::verify::{VerifiedArchive, verify_for_delete};
use crate::watchdog::facts::{Run, Uid};
use crate::watchdog::input::{Config, Input};
use crate::watchdog::{Watchdog, admit, instant};

const UID: &str = "2f9a75e9-00bd-471a-845c-64f7988629";
const T0: Secs = 1_800_000_000;

fn at(second: Secs) -> Timestamp {
    instant(T0 + second)
}

fn time(second: Secs) -> String {
    at(second).to_string()
}

fn uid(n: u32) -> String {
    format!("{UID}{n:02x}")
}

/// A run that started at 10 and finished at `end`.
fn run(n: u32, end: Secs) -> Value {
    json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow",
        "metadata": {"name": format!("run-{n}"), "generateName": "run-", "namespace": "etl", "uid": uid(n),
            "resourceVersion": format!("{}", 100 + n), "creationTimestamp": time(5),
            "labels": {"workflows.argoproj.io/completed": "true", "workflows.argoproj.io/phase": "Succeeded"}},
        "spec": {"entrypoint": "main"},
        "status": {"phase": "Succeeded", "startedAt": time(10), "finishedAt": time(end)},
    })
}

struct Stage {
    watchdog: Watchdog,
    now: Secs,
    folder: tempfile::TempDir,
}

impl Stage {
    /// A leader that has listed everything, a location that is ready, a policy with these sections.
    fn new(archive: &Value, cleanup: &Value) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut stage = Self { watchdog: Watchdog::new(Config::default(), |_| &[]), now: 20, folder };
        stage.tell(Input::Namespace { name: "etl".into(), labels: Some([].into()) });
        stage.policy(archive, cleanup, 1);
        stage.tell(Input::Leading(Some(None)));
        stage.tell(Input::ListBegin);
        stage.tell(Input::ListEnd);
        stage.tell(Input::IncidentsListed);
        stage.place(true);
        stage
    }

    fn enforcing() -> Self {
        Self::new(&archive("Enforce"), &cleanup("Enforce"))
    }

    fn tell(&mut self, input: Input<'_>) {
        for crate::watchdog::effect::Effect::Relist in self.watchdog.handle(input, at(self.now)) {
            // The relist that was asked for shows what was there before.
        }
    }

    fn policy(&mut self, archive: &Value, cleanup: &Value, generation: i64) {
        let policy = json!({
            "apiVersion": "unstick.dev/v1alpha1", "kind": "WorkflowPolicy",
            "metadata": {"name": "keep", "namespace": "etl", "uid": "p1", "generation": generation,
                "creationTimestamp": time(1)},
            "spec": {"selector": {}, "archive": archive, "cleanup": cleanup},
        });
        let seen = admit::policy(&policy, &Context::default()).unwrap();
        assert!(seen.spec.is_some(), "{:?}", seen.problems);
        self.tell(Input::Policy(Box::new(seen)));
    }

    fn place(&mut self, ready: bool) {
        let fingerprint = self.store().fingerprint().to_string();
        self.place_at(ready, fingerprint);
    }

    fn place_at(&mut self, ready: bool, fingerprint: String) {
        let (message, allowed) = ("no such bucket".to_owned(), Selector::default());
        let place = Place { ready, read_only: false, message, fingerprint, allowed };
        self.tell(Input::Place { name: "main".into(), place: Some(Box::new(place)) });
    }

    fn see(&mut self, workflow: &Value) {
        let text = workflow.to_string();
        let read = Workflow::from_json(&text).unwrap();
        self.tell(Input::Workflow(&read));
    }

    fn job(&mut self) -> Option<Job> {
        self.watchdog.next_job(T0 + self.now)
    }

    fn ended(&mut self, job: &Job, outcome: Outcome) -> Option<Job> {
        self.watchdog.job_ended(job.ticket, outcome, T0 + self.now)
    }

    fn store(&self) -> Filesystem {
        Filesystem::new(self.folder.path(), "workflow-archives")
    }

    fn location(&self) -> Location {
        Location {
            name: "main".into(),
            kind: LocationKind::Filesystem,
            layout: Layout::new("workflow-archives").unwrap(),
            fingerprint: self.store().fingerprint().clone(),
            cluster: "default".into(),
            conditional_put: true,
        }
    }

    fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
    }

    /// Takes the job to archive and does it for real.
    fn archive(&mut self, workflow: &Value) {
        let job = self.job().expect("a job");
        assert!(matches!(job.task, Task::Archive { .. }), "{job:?}");
        let kept = self.keep(workflow);
        assert!(self.ended(&job, Outcome::Kept(kept)).is_none());
    }

    fn keep(&self, workflow: &Value) -> Kept {
        let rules = Redaction::default();
        let options = KeepOptions { rules: &rules, events: None, now: at(self.now).into(), stuck_seconds: None };
        let kept = self.wait(keep(&self.store(), &self.location(), &workflow.to_string(), &options)).unwrap();
        Kept {
            location: "main".into(),
            fingerprint: kept.fingerprint.to_string(),
            key: kept.key,
            digest: kept.digest.to_string(),
            stored_bytes: kept.stored_bytes,
            already: kept.already,
        }
    }

    fn proof(&self, workflow: &Value) -> VerifiedArchive {
        let rules = Redaction::default();
        let text = workflow.to_string();
        self.wait(verify_for_delete(&self.store(), &self.location(), &text, &rules, None)).unwrap()
    }

    /// Answers an examination with this live object and, if it is archived, its proof.
    fn examined(&mut self, job: &Job, live: &Value, proven: bool) -> Option<Job> {
        assert!(matches!(job.task, Task::Examine { .. }), "{job:?}");
        let proof = proven.then(|| Box::new(self.proof(live)));
        self.ended(job, Outcome::Examined(live_of(live), proof))
    }

    fn blocked(&self) -> String {
        let entry = self.watchdog.janitor.entries().next().expect("an entry").1;
        entry.blocked.as_ref().map_or_else(String::new, |(reason, _)| reason.to_string())
    }
}

fn live_of(workflow: &Value) -> Live {
    let text = workflow.to_string();
    let read = Workflow::from_json(&text).unwrap();
    let run = Run { uid: Uid::parse(&read.meta.uid).0, started: read.status.started };
    Live {
        uid: read.meta.uid.to_string(),
        resource_version: read.meta.resource_version.to_string(),
        finished: Finished::read(&read, run),
        artifacts_go: text.contains("OnWorkflowDeletion"),
    }
}

fn archive(mode: &str) -> Value {
    json!({"mode": mode, "location": "main"})
}

fn cleanup(mode: &str) -> Value {
    json!({"mode": mode, "ttl": {"succeeded": "100s"}})
}

fn deletes(job: Option<Job>) -> (Target, String, Permit) {
    match job {
        Some(Job { target, task: Task::Delete { resource_version, permit, .. }, .. }) => {
            (target, resource_version, permit)
        }
        other => panic!("no delete: {other:?}"),
    }
}

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
        assert!(stage.ended(&job, Outcome::Examined(live_of(&live), proof)).is_none(), "{name}");
    }
    // The control.
    let mut stage = Stage::enforcing();
    let one = run(1, 20);
    stage.see(&one);
    stage.archive(&one);
    stage.now = 200;
    let job = stage.job().unwrap();
    let proof = Some(Box::new(stage.proof(&one)));
    assert!(stage.ended(&job, Outcome::Examined(live_of(&one), proof)).is_some());
}

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
    let mark = json!({"location": "main", "fingerprint": kept.fingerprint, "key": kept.key, "digest": kept.digest});
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
