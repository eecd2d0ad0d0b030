//! The janitor without I/O: what is handed out when, and what never is.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod chain;
mod deaf;
mod kept;
mod live;
#[cfg(feature = "mutants")]
mod mutants;
mod pace;
mod parting;
mod planned;
mod said;
mod sooner;
mod stuck;
mod vanished;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::Place;
use super::job::{Job, Kept, Live, Needed, Outcome, Permit, Target, Task};
use super::run::Mark;
use crate::api::reasons::KeepReason;
use crate::api::selector::Selector;
use crate::api::validate::Context;
use crate::api::workflow::{Secs, Workflow};
use crate::archive::facts::RunFacts;
use crate::archive::keep::{KeepOptions, keep};
use crate::archive::key::Layout;
use crate::archive::redaction::Redaction;
use crate::archive::store::filesystem::Filesystem;
use crate::archive::store::{Location, LocationKind, Store as _};
use crate::archive::verify::{VerifiedArchive, verify_for_delete};
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
        Self::with(Config::default(), archive, cleanup)
    }

    fn with(config: Config, archive: &Value, cleanup: &Value) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut stage = Self { watchdog: Watchdog::new(config, |_| &[]), now: 20, folder };
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
        self.policy_with(json!({"selector": {}, "archive": archive, "cleanup": cleanup}), generation);
    }

    fn paused(&mut self, pauses: &Value) {
        let (archive, cleanup) = (archive("Enforce"), cleanup("Enforce"));
        self.policy_with(json!({"selector": {}, "archive": archive, "cleanup": cleanup, "pauses": pauses}), 2);
    }

    #[allow(clippy::needless_pass_by_value)]
    fn policy_with(&mut self, spec: Value, generation: i64) {
        let policy = json!({
            "apiVersion": "unstick.dev/v1alpha1", "kind": "WorkflowPolicy",
            "metadata": {"name": "keep", "namespace": "etl", "uid": "p1", "generation": generation,
                "creationTimestamp": time(1)},
            "spec": spec,
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

    fn wait<T>(future: impl Future<Output = T>) -> T {
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
        let kept = Self::wait(keep(&self.store(), &self.location(), &workflow.to_string(), &options)).unwrap();
        let mark = Mark {
            location: "main".into(),
            fingerprint: kept.fingerprint.to_string(),
            key: kept.key,
            digest: kept.digest.to_string(),
        };
        Kept { mark, stored_bytes: kept.stored_bytes, already: kept.already }
    }

    fn proof(&self, workflow: &Value) -> VerifiedArchive {
        let rules = Redaction::default();
        let text = workflow.to_string();
        Self::wait(verify_for_delete(&self.store(), &self.location(), &text, &rules, None)).unwrap()
    }

    /// Answers an examination with this live object and, if it is archived, its proof.
    fn examined(&mut self, job: &Job, live: &Value, proven: bool) -> Option<Job> {
        assert!(matches!(job.task, Task::Examine { .. }), "{job:?}");
        let proof = proven.then(|| Box::new(self.proof(live)));
        self.ended(job, Outcome::Examined(Box::new(live_of(live)), proof))
    }

    fn blocked(&self) -> String {
        let entry = self.watchdog.janitor.entries().next().expect("an entry").1;
        entry.blocked.as_ref().map_or_else(String::new, |(reason, _)| reason.to_string())
    }
}

fn live_of(workflow: &Value) -> Live {
    let text = workflow.to_string();
    Live::read(&Workflow::from_json(&text).unwrap(), &text)
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
