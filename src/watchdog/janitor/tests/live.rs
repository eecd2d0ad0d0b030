//! A delete is judged by the live object, not by what the watch has brought of it so far.

use super::*;

fn policy(stage: &mut Stage, name: &str, spec: &Value) {
    let policy = json!({
        "apiVersion": "unstick.dev/v1alpha1", "kind": "WorkflowPolicy",
        "metadata": {"name": name, "namespace": "etl", "uid": name, "generation": 1, "creationTimestamp": time(1)},
        "spec": spec,
    });
    let seen = admit::policy(&policy, &Context::default()).unwrap();
    assert!(seen.spec.is_some(), "{:?}", seen.problems);
    stage.tell(Input::Policy(Box::new(seen)));
}

/// Runs labelled `scratch` may go without an archive, all others may not.
fn two_policies() -> Stage {
    let mut stage = Stage::enforcing();
    let cleanup = json!({"mode": "Enforce", "require": "None", "ttl": {"succeeded": "100s"},
        "keepAtLeast": {"succeeded": 1}});
    let spec = json!({"selector": {"matchLabels": {"scratch": "true"}}, "priority": 10, "cleanup": cleanup});
    policy(&mut stage, "scratch", &spec);
    stage.tell(Input::ListBegin);
    stage.tell(Input::ListEnd);
    stage
}

fn scratch(n: u32, end: Secs) -> Value {
    let mut run = run(n, end);
    run["metadata"]["labels"]["scratch"] = json!("true");
    run
}

fn examination(stage: &mut Stage) -> (Value, Job) {
    let old = scratch(1, 20);
    stage.see(&old);
    stage.see(&scratch(2, 30));
    stage.now = 200;
    let job = stage.job().unwrap();
    assert_eq!(job.target.name, "run-1");
    (old, job)
}

#[test]
fn a_label_taken_off_puts_the_live_object_under_the_policy_that_asks_for_an_archive() {
    let mut stage = two_policies();
    let (mut live, job) = examination(&mut stage);
    live["metadata"]["labels"] = json!({"workflows.argoproj.io/phase": "Succeeded"});
    live["metadata"]["resourceVersion"] = json!("900");
    assert!(stage.examined(&job, &live, false).is_none(), "judged by a label that it has no more");
    assert!(stage.blocked_one("run-1").starts_with("Changed"));
    // The watch catches up: now it is archived first.
    stage.see(&live);
    assert!(matches!(stage.job().unwrap().task, Task::Archive { .. }));
}

#[test]
fn another_group_is_counted_anew() {
    let mut stage = two_policies();
    let (mut live, job) = examination(&mut stage);
    live["metadata"]["labels"]["workflows.argoproj.io/cron-workflow"] = json!("nightly");
    assert!(stage.examined(&job, &live, false).is_none(), "it is the newest of its group");
    stage.see(&live);
    stage.now = 300;
    assert!(stage.job().is_none(), "keepAtLeast keeps it");
}

#[test]
fn what_changes_neither_policy_nor_group_keeps_nothing() {
    let mut stage = two_policies();
    let (mut live, job) = examination(&mut stage);
    live["metadata"]["labels"]["team"] = json!("data");
    live["metadata"]["resourceVersion"] = json!("900");
    let (target, version, _) = deletes(stage.examined(&job, &live, false));
    assert_eq!((target.name.as_str(), version.as_str()), ("run-1", "900"));
}

impl Stage {
    fn blocked_one(&self, name: &str) -> String {
        let (_, entry) = self
            .watchdog
            .janitor
            .entries()
            .find(|(slot, _)| self.watchdog.index.get(*slot).is_some_and(|f| f.name() == name))
            .unwrap();
        entry.blocked.as_ref().map_or_else(String::new, |(reason, text)| format!("{reason}: {text}"))
    }
}
