//! Redaction: wherever a secret stands, it doesn't get into an archive, and its place is told.

use serde_json::{Value, json};
use unstick::archive::canonical::canonical;
use unstick::archive::redaction::{MARKER, Redaction, Rules};

use crate::runs::{changed, done, form, gzip_nodes, text};

const SECRET: &str = "hunter2-SECRET-VALUE";

fn everywhere() -> String {
    changed(&done(), |wf| {
        let env = json!([{"name": "API_TOKEN", "value": SECRET}, {"name": "REGION", "value": "eu"},
            {"name": "DB_PASSWORD", "valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}}]);
        let parameters = json!([{"name": "db-password", "value": SECRET, "default": SECRET, "enum": [SECRET, "x"]},
            {"name": "api-key", "valueFrom": {"default": SECRET, "parameter": "x"}}, {"name": "month", "value": "May"},
            {"name": "secret-empty", "value": ""}]);
        let template = json!({"name": "fetch", "container": {"image": "a", "env": env}, "inputs": {"parameters": parameters},
            "initContainers": [{"name": "i", "env": env}], "sidecars": [{"name": "s", "env": env}],
            "steps": [[{"name": "one", "arguments": {"parameters": parameters}}]]});
        wf["spec"]["templates"] = json!([template]);
        wf["spec"]["templateDefaults"] = template.clone();
        wf["spec"]["arguments"] = json!({"parameters": parameters});
        wf["spec"]["hooks"] = json!({"exit": {"arguments": {"parameters": parameters}}});
        wf["status"]["storedTemplates"] = json!({"namespaced/a/b": template});
        wf["status"]["storedWorkflowTemplateSpec"] =
            json!({"templates": [template], "arguments": {"parameters": parameters}});
        wf["status"]["nodes"] = json!({"n.1": {"id": "n.1", "type": "Pod", "inputs": {"parameters": parameters},
            "outputs": {"parameters": parameters}}});
        wf["metadata"]["annotations"] = json!({"kubectl.kubernetes.io/last-applied-configuration":
            json!({"spec": {"x": SECRET}}).to_string(), "unstick.dev/hold": "x"});
    })
}

#[test]
fn no_secret_is_left_wherever_it_stood() {
    let live = everywhere();
    assert_eq!(live.matches(SECRET).count(), 65);
    for live in [live.clone(), gzip_nodes(&live)] {
        let own = form(&live);
        let archived = text(&own);
        assert!(!archived.contains("hunter2"), "{archived}");
        assert_eq!(own.digest, form(&everywhere()).digest, "also where the nodes were compressed");
        let read: Value = serde_json::from_str(&archived).unwrap();
        let template = &read["spec"]["templates"][0];
        assert_eq!(template["container"]["env"][0]["value"], MARKER);
        assert_eq!(template["container"]["env"][1]["value"], "eu");
        assert_eq!(template["container"]["env"][2]["valueFrom"]["secretKeyRef"]["key"], "password");
        let parameters = &template["inputs"]["parameters"];
        assert_eq!((&parameters[0]["default"], &parameters[0]["enum"]), (&json!(MARKER), &json!([MARKER])));
        assert_eq!(parameters[1]["valueFrom"], json!({"default": MARKER, "parameter": "x"}));
        assert_eq!((&parameters[2]["value"], &parameters[3]["value"]), (&json!("May"), &json!("")));
        for place in [
            "metadata.annotations[kubectl.kubernetes.io/last-applied-configuration]",
            "spec.templates[fetch].container.env[API_TOKEN]",
            "spec.templates[fetch].inputs.parameters[db-password]",
            "spec.templates[fetch].steps[0][one].arguments.parameters[api-key]",
            "spec.arguments.parameters[db-password]",
            "spec.hooks.exit.arguments.parameters[api-key]",
            "status.storedTemplates.namespaced/a/b.sidecars[s].env[API_TOKEN]",
            "status.nodes[n.1].outputs.parameters[db-password]",
        ] {
            assert!(own.redacted.iter().any(|p| p == place), "{place} not in {:#?}", own.redacted);
        }
        let unique: std::collections::BTreeSet<_> = own.redacted.iter().collect();
        assert_eq!(unique.len(), own.redacted.len(), "each place once");
        assert!(!own.redacted.iter().any(|p| p.contains("REGION") || p.contains("month") || p.contains("DB_PASSWORD")));
        assert_eq!(own.facts.parameters["db-password"], MARKER);
        assert_eq!(own.facts.parameters["month"], "May");
        assert!(!format!("{:?}{:?}{:?}", own.facts, own.redacted, own.artifacts).contains("hunter2"));
    }
}

#[test]
fn the_value_of_a_secret_makes_no_difference() {
    let other = everywhere().replace(SECRET, "another one");
    assert_eq!(form(&other).digest, form(&everywhere()).digest);
}

#[test]
fn rules_make_a_difference_only_where_they_bite() {
    let none = canonical(&everywhere(), &Redaction::none()).unwrap();
    assert_eq!(text(&none).matches(SECRET).count(), 65);
    assert!(none.redacted.is_empty());
    let own = Redaction::new(Rules { names: vec!["month".into()], ..Rules::default() }).unwrap();
    assert_ne!(canonical(&everywhere(), &own).unwrap().digest, form(&everywhere()).digest);
    let elsewhere = Redaction::new(Rules { names: vec!["nowhere".into()], ..Rules::default() }).unwrap();
    assert_eq!(canonical(&everywhere(), &elsewhere).unwrap().digest, form(&everywhere()).digest);
}

#[test]
fn odd_shapes_are_left_as_they_are() {
    let odd = json!([1, null, "x", [], {}, {"name": 7, "value": 1}, {"name": "token"}, {"value": "x"},
        {"name": "token", "valueFrom": []}, {"name": "token", "value": null}]);
    let live = changed(&done(), |wf| {
        wf["spec"]["x"] = json!({"env": odd, "parameters": {"token": "a map is no list"}});
        wf["metadata"]["annotations"] = json!({});
    });
    let (own, plain) = (form(&live), canonical(&live, &Redaction::none()).unwrap());
    assert_eq!(own.digest, plain.digest);
    let live = changed(&live, |wf| wf["spec"]["x"]["env"] = json!([{"name": "token", "value": {"deep": ["x"]}}]));
    assert!(text(&form(&live)).contains(&format!(r#"{{"name":"token","value":"{MARKER}"}}"#)));
}
