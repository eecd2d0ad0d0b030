use serde_json::json;

use super::*;
use crate::api::workflow::{Node, Raw};

fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

#[test]
fn the_command_line_syntax_matches_as_kubectl_does() {
    let have = labels(&[("team", "data"), ("tier", "gold"), ("empty", "")]);
    for (text, expected) in [
        ("", true),
        ("team=data", true),
        ("team==data,tier=gold", true),
        ("team=data,tier=silver", false),
        ("team!=ml", true),
        ("absent!=x", true),
        ("team!=data", false),
        ("team", true),
        ("absent", false),
        ("!absent", true),
        ("!team", false),
        ("team in (ml, data)", true),
        ("team in (ml),tier", false),
        ("team notin (ml,ops)", true),
        ("absent notin (ml)", true),
        ("team notin (data)", false),
        ("empty=", true),
        ("example.com/a_b-c=1.2", false),
    ] {
        assert_eq!(Selector::parse(text).unwrap().matches_map(&have), expected, "{text}");
    }
}

#[test]
fn what_cannot_be_read_is_named() {
    for text in ["a=b,,c", "a b", "a in b", "a in (b", "in (b)", "a within (b)", "=b", "!", "a=b c", "a>1", "a in ()"] {
        let error = Selector::parse(text).unwrap_err().to_string();
        assert!(error.contains("must be key=value"), "{text}: {error}");
    }
}

#[test]
fn a_selector_of_a_spec_is_compiled() {
    let wire: LabelSelector = serde_json::from_value(json!({
        "matchLabels": {"team": "data"},
        "matchExpressions": [
            {"key": "tier", "operator": "In", "values": ["gold", "silver"]},
            {"key": "canary", "operator": "DoesNotExist"},
        ],
    }))
    .unwrap();
    let selector = Selector::compile(&wire).unwrap();
    assert!(selector.matches_map(&labels(&[("team", "data"), ("tier", "gold")])));
    assert!(!selector.matches_map(&labels(&[("team", "data"), ("tier", "gold"), ("canary", "")])));
    assert!(!selector.matches_map(&labels(&[("team", "data")])));
    assert!(Selector::compile(&LabelSelector::default()).unwrap().matches_map(&labels(&[])));

    for requirement in [
        json!({"key": "a", "operator": "In"}),
        json!({"key": "a", "operator": "NotIn", "values": []}),
        json!({"key": "a", "operator": "Exists", "values": ["x"]}),
    ] {
        let wire: LabelSelector = serde_json::from_value(json!({"matchExpressions": [requirement]})).unwrap();
        assert!(Selector::compile(&wire).is_err(), "{wire:?}");
    }
}

#[test]
fn nodes_are_picked_by_field() {
    let inputs = r#"{"parameters": [{"name": "agent", "value": "blue"}, {"name": "n", "value": 3}]}"#;
    let node = Node {
        id: "wf-1".into(),
        name: "wf.approve".into(),
        display_name: "approve".into(),
        template_name: "gate".into(),
        template_ref: Some(("shared".into(), "gate".into())),
        phase: crate::api::workflow::NodePhase::Running,
        inputs: Raw::new(inputs),
        ..Node::default()
    };
    for (text, expected) in [
        ("", true),
        ("displayName=approve", true),
        ("displayName==approve,templateName!=x", true),
        ("displayName=approve,templateName=x", false),
        ("phase=Running", true),
        ("phase=Pending", false),
        ("name=wf.approve, id=wf-1", true),
        ("templateRef.name=shared,templateRef.template=gate", true),
        ("inputs.parameters.agent.value=blue", true),
        ("inputs.parameters.n.value=3", true),
        ("inputs.parameters.absent.value!=blue", true),
        ("inputs.parameters.absent.value=blue", false),
    ] {
        assert_eq!(NodeSelector::parse(text).unwrap().matches(&node), expected, "{text}");
    }
    assert!(!NodeSelector::parse("templateRef.name=shared").unwrap().matches(&Node::default()));
}

#[test]
fn unknown_node_fields_are_refused() {
    for text in ["colour=red", "displayName", "inputs.parameters..value=x", "inputs.parameters.a=x", "a=b,", ","] {
        assert!(NodeSelector::parse(text).is_err(), "{text}");
    }
    assert!(NodeSelector::parse("colour=red").unwrap_err().to_string().contains("use displayName, templateName"));
}
