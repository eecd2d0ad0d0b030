//! Workflows made up for tests: one with every field that is read, and ones of any size.

use serde_json::{Value, json};

/// A workflow that has every field unstick reads, each with a value that is not its default.
pub fn full() -> Value {
    json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow",
        "metadata": {
            "name": "load-eu", "namespace": "etl", "uid": "2f9a75e9-00bd-471a-845c-64f79886297f", "resourceVersion": "419",
            "creationTimestamp": "2026-11-21T07:18:33Z", "deletionTimestamp": "2026-11-21T09:18:33Z", "generation": 4,
            "finalizers": ["workflows.argoproj.io/artifact-gc", "example.com/keep"],
            "labels": {"team": "data", "workflows.argoproj.io/phase": "Running"},
            "annotations": {"unstick.dev/hold": "legal", "quoted": "a \"b\" c"},
            "ownerReferences": [{"kind": "CronWorkflow", "name": "load", "uid": "u"}],
            "managedFields": [{"manager": "kubectl", "time": "2026-11-21T07:18:33Z", "fieldsV1": {"f:spec": {"f:suspend": {}}}}],
        },
        "spec": {
            "shutdown": "Stop", "suspend": true, "activeDeadlineSeconds": 600, "onExit": "bye", "hooks": {"exit": {"template": "bye"}},
            "entrypoint": "main", "workflowTemplateRef": {"name": "loader", "clusterScope": true},
            "arguments": {"parameters": [{"name": "task-id", "value": "17"}]},
            "templates": [{"name": "nap", "suspend": {"duration": "90s"}}, {"name": "work", "container": {"image": "busybox:1"}}],
        },
        "status": {
            "phase": "Running", "startedAt": "2026-11-21T07:18:34Z", "finishedAt": "2026-11-21T08:18:34Z",
            "message": "waiting \u{2014} \"soon\"", "progress": "1/3",
            "conditions": [{"type": "PodRunning", "status": "False"}],
            "storedTemplates": {"namespaced/loader/pause": {"name": "pause", "suspend": {"duration": 30}}},
            "storedWorkflowTemplateSpec": {"onExit": "bye", "hooks": {"a": {}}, "templates": [{"name": "rest", "suspend": {"duration": "1h"}}]},
            "taskResultsCompletionStatus": {"load-eu-1": false, "load-eu-2": true},
            "synchronization": {
                "mutex": {"waiting": [{"holder": "etl/other", "mutex": "etl/Mutex/gpu"}], "holding": [{"holder": "etl/load-eu", "mutex": "etl/Mutex/db"}]},
                "semaphore": {"waiting": [{"holders": ["etl/a", "etl/b"], "semaphore": "etl/ConfigMap/sem/slots"}]},
            },
            "nodes": {
                "load-eu": {"id": "load-eu", "name": "load-eu", "displayName": "load-eu", "type": "Steps", "phase": "Running",
                    "startedAt": "2026-11-21T07:18:34Z", "templateName": "main", "children": ["load-eu-1"]},
                "load-eu-1": {"id": "load-eu-1", "name": "load-eu[0].build", "displayName": "build", "type": "Pod", "phase": "Failed",
                    "startedAt": "2026-11-21T07:18:34Z", "finishedAt": "2026-11-21T07:19:34Z", "message": "exit code 1",
                    "templateRef": {"name": "lib", "template": "build"}, "daemoned": true, "taskResultSynced": false,
                    "synchronizationStatus": {"waiting": "etl/Mutex/gpu"}, "nodeFlag": {"hooked": true, "retried": true},
                    "inputs": {"parameters": [{"name": "agent", "value": "x"}]}, "outputs": {"exitCode": "1"}},
            },
        },
    })
}

/// The text of a running workflow with `nodes` nodes, each with a message of `padding` bytes.
pub fn workflow_of(nodes: usize, padding: usize) -> String {
    let mut all = serde_json::Map::new();
    for n in 0..nodes {
        let id = format!("load-eu-{n}");
        all.insert(
            id.clone(),
            json!({"id": id, "name": format!("load-eu[{n}].build"), "displayName": "build", "type": "Pod", "phase": "Succeeded",
                "boundaryID": "load-eu", "templateName": "work", "templateScope": "local/load-eu", "message": "m".repeat(padding),
                "startedAt": "2026-11-21T07:18:34Z", "finishedAt": "2026-11-21T07:18:36Z", "outputs": {"exitCode": "0"}}),
        );
    }
    let mut whole = full();
    whole["status"]["nodes"] = Value::Object(all);
    whole.to_string()
}
