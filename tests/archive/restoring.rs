//! Restored workflows: ready to be submitted, with nothing of the run that was but where it came from.

use serde_json::{Value, json};
use unstick::archive::redaction::MARKER;
use unstick::archive::restore::{NotRestorable, RestoreOptions, restore};

use crate::runs::{changed, done, form};

fn restored(live: &str, options: &RestoreOptions) -> Value {
    restore(&form(live).bytes, options).unwrap().workflow
}

#[test]
fn nothing_of_the_run_is_left_but_its_lineage() {
    let live = changed(&done(), |wf| {
        wf["metadata"]["generateName"] = "load-".into();
        wf["metadata"]["ownerReferences"] = json!([{"kind": "CronWorkflow", "name": "x", "uid": "u"}]);
        wf["metadata"]["labels"] = json!({"team": "data", "workflows.argoproj.io/completed": "true",
            "workflows.argoproj.io/phase": "Succeeded", "workflows.argoproj.io/creator": "me",
            "workflows.argoproj.io/creator-email": "me.at.example", "workflows.argoproj.io/workflow-template": "loader",
            "workflows.argoproj.io/controller-instanceid": "blue", "workflows.argoproj.io/workflow-archiving-status": "Archived",
            "unstick.dev/restored-from-uid": "older", "workflows.argoproj.io/resubmitted-from-workflow": "older"});
        wf["metadata"]["annotations"] = json!({"unstick.dev/archived": "x", "note": "mine",
            "workflows.argoproj.io/trace-id": "7"});
        wf["spec"]["shutdown"] = "Stop".into();
        wf["spec"]["suspend"] = true.into();
    });
    let own = form(&live).facts;
    let new = restored(&live, &RestoreOptions::default());
    let mut keys: Vec<_> = new.as_object().unwrap().keys().cloned().collect();
    keys.sort();
    assert_eq!(keys, ["apiVersion", "kind", "metadata", "spec"]);
    assert_eq!(
        new["metadata"],
        json!({"generateName": "load-", "namespace": own.namespace, "annotations": {"note": "mine"}, "labels": {"team": "data",
            "workflows.argoproj.io/workflow-template": "loader", "workflows.argoproj.io/controller-instanceid": "blue",
            "workflows.argoproj.io/resubmitted-from-workflow": own.name, "unstick.dev/restored-from-uid": own.uid}})
    );
    let old: Value = serde_json::from_str(&live).unwrap();
    assert_eq!(new["spec"]["templates"], old["spec"]["templates"]);
    assert!(new["spec"].get("shutdown").is_none() && new["spec"].get("suspend").is_none());
}

#[test]
fn names_are_generated_or_chosen() {
    let named = |name: &str| changed(&done(), |wf| wf["metadata"]["name"] = name.into());
    for (name, wanted) in [
        ("load-7xk2p", "load-"),
        ("load", "load-"),
        ("a-b", "a-b-"),
        (&"x".repeat(253), &format!("{}-", "x".repeat(52))),
    ] {
        let new = restored(&named(name), &RestoreOptions::default());
        assert_eq!(new["metadata"]["generateName"], *wanted, "{name}");
        let label = new["metadata"]["labels"]["workflows.argoproj.io/resubmitted-from-workflow"].as_str().unwrap();
        assert!(label.len() <= 63 && name.starts_with(label));
    }
    let options =
        RestoreOptions { name: Some("again".into()), namespace: Some("lab".into()), ..RestoreOptions::default() };
    let new = restored(&done(), &options);
    assert_eq!((&new["metadata"]["name"], &new["metadata"]["namespace"]), (&"again".into(), &"lab".into()));
    assert!(new["metadata"].get("generateName").is_none());
}

#[test]
fn redacted_values_are_told_and_can_be_given() {
    let live = changed(&done(), |wf| {
        wf["spec"]["arguments"] = json!({"parameters": [{"name": "db-password", "value": "x", "enum": ["x", "y"]}, {"name": "month", "value": "May"}]});
        wf["spec"]["templates"][0]["container"] = json!({"env": [{"name": "API_TOKEN", "value": "x"}]});
    });
    let bytes = form(&live).bytes;
    let first = restore(&bytes, &RestoreOptions::default()).unwrap();
    assert_eq!(first.redacted.len(), 3, "{:?}", first.redacted);
    assert!(first.redacted.contains(&"spec.arguments.parameters[db-password].value".to_owned()));
    assert_eq!(first.workflow["spec"]["arguments"]["parameters"][0]["value"], MARKER);
    let given = |name: &str| RestoreOptions {
        parameters: [(name.to_owned(), "new".to_owned())].into(),
        ..RestoreOptions::default()
    };
    let second = restore(&bytes, &given("db-password")).unwrap();
    assert_eq!(second.workflow["spec"]["arguments"]["parameters"][0], json!({"name": "db-password", "value": "new"}));
    assert_eq!(second.redacted.len(), 1, "{:?}", second.redacted);
    assert_eq!(restore(&bytes, &given("nobody")), Err(NotRestorable::NoParameter("nobody".into())));
}

#[test]
fn what_is_no_workflow_gives_none() {
    for odd in ["", "[]", "{}", r#"{"kind":"Workflow"}"#, r#"{"kind":"Pod","metadata":{},"spec":{}}"#] {
        assert_eq!(restore(odd.as_bytes(), &RestoreOptions::default()), Err(NotRestorable::NotAWorkflow), "{odd}");
    }
}

#[test]
fn a_text_of_kubectl_restores_too() {
    // As a plain kubectl script stored it: the whole object with status and managedFields.
    let new = restore(done().as_bytes(), &RestoreOptions::default()).unwrap().workflow;
    assert!(new.get("status").is_none() && new["metadata"].get("managedFields").is_none());
}
