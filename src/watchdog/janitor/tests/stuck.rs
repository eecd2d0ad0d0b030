//! How long a run was stuck is told with its archive, also when that was before this process began.

use serde_json::json;

use super::*;
use crate::api::incident::WorkflowIncident;

/// An incident as the server has it.
fn incident(n: u32, started: Secs, since: Secs, closed: Option<Secs>, confirmed: bool) -> Input<'static> {
    let mut conditions = vec![json!({
        "type": "Confirmed", "status": if confirmed { "True" } else { "False" }, "reason": "ThresholdExceeded",
        "message": "", "lastTransitionTime": time(since),
    })];
    if let Some(at) = closed {
        let recovered = json!({
            "type": "Closed", "status": "True", "reason": "Recovered", "message": "", "lastTransitionTime": time(at),
        });
        conditions.push(recovered);
    }
    let object: WorkflowIncident = serde_json::from_value(json!({
        "apiVersion": "unstick.dev/v1alpha1", "kind": "WorkflowIncident",
        "metadata": {"name": format!("run-{n}-{since}"), "namespace": "etl"},
        "spec": {
            "workflowRef": {"name": format!("run-{n}"), "uid": uid(n), "startedAt": time(started)},
            "policyRef": {"kind": "WorkflowPolicy", "name": "p", "uid": "any", "generation": 1},
        },
        "status": {"conditions": conditions, "stuckSince": time(since), "closedAt": closed.map(time)},
    }))
    .unwrap();
    Input::Incident(Box::new(object))
}

/// What the archive of a run from 10 to 100 is told, by a process that began after its end.
fn told(incidents: Vec<Input<'static>>) -> Option<i64> {
    let mut stage = Stage::enforcing();
    for incident in incidents {
        stage.tell(incident);
    }
    stage.now = 130;
    stage.see(&run(1, 100));
    match stage.job().expect("a job").task {
        Task::Archive { stuck_seconds, .. } => stuck_seconds,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_was_stuck_before_we_began_is_known_by_its_incident() {
    assert_eq!(told(Vec::new()), None);
    assert_eq!(told(vec![incident(1, 10, 20, Some(70), true)]), Some(50), "recovered before it ended");
    assert_eq!(told(vec![incident(1, 10, 20, Some(125), true)]), Some(80), "closed after it had ended");
    let two = vec![incident(1, 10, 20, Some(50), true), incident(1, 10, 60, Some(70), true)];
    assert_eq!(told(two), Some(30), "not more than was seen");
    assert_eq!(told(vec![incident(1, 10, 20, Some(70), false)]), None, "it was never confirmed");
    assert_eq!(told(vec![incident(1, 9, 20, Some(70), true)]), None, "another run of the same workflow");
    assert_eq!(told(vec![incident(2, 10, 20, Some(70), true)]), None, "another workflow");
}
