//! The lean `Workflow` is total: whatever Argo, a tenant or a broken disk wrote, only text that is no JSON is refused.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::Write as _;

use base64::Engine as _;
use serde_json::{Value, json};
use unstick::api::workflow::codec::{self, CodecError};
use unstick::api::workflow::{MAX_NODES, Node, NodeKind, NodePhase, Nodes, Workflow, identify};

mod sample;
use sample::{full, workflow_of};

fn fixture(name: &str) -> String {
    std::fs::read_to_string(format!("{}/tests/fixtures/argo-4.1.2/{name}.json", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn inline<'w, 'a>(workflow: &'w Workflow<'a>) -> &'w [Node<'a>] {
    match &workflow.status.nodes {
        Nodes::Inline(nodes) => nodes,
        other => panic!("nodes should be inline: {other:?}"),
    }
}

#[test]
fn reads_what_argo_4_1_2_wrote_without_a_single_oddity() {
    let phases = [
        ("done-failed", "Failed"),
        ("done-ok", "Succeeded"),
        ("image-typo", "Running"),
        ("lock-holder", "Pending"),
        ("lock-waiter", "Running"),
        ("result-lost", "Running"),
        ("review-gate", "Running"),
        ("wide-fan", "Running"),
        ("wide-fan.brotli", "Running"),
        ("wide-fan.zstd", "Running"),
    ];
    for (name, phase) in phases {
        let text = fixture(name);
        let workflow = Workflow::from_json(&text).unwrap();
        assert_eq!(workflow.oddities, 0, "{name}");
        assert_eq!(workflow.status.phase, phase, "{name}");
        assert_eq!(workflow.meta.namespace, "default", "{name}");
        assert_eq!(workflow.meta.uid.len(), 36, "{name}");
        assert!(workflow.meta.managed_fields.is_some(), "{name}");
        assert_eq!(workflow.status.started > 0, phase != "Pending", "{name}");
        assert_eq!(identify(&text).unwrap().uid, workflow.meta.uid, "{name}");
    }
}

#[test]
fn a_suspended_workflow_shows_its_gate() {
    let text = fixture("review-gate");
    let workflow = Workflow::from_json(&text).unwrap();
    assert_eq!(workflow.label("team"), Some("data"));
    assert_eq!(workflow.annotation("workflows.argoproj.io/pod-name-format").as_deref(), Some("v2"));
    assert_eq!(workflow.spec.parameters.unwrap().get(), r#"[{"name":"task-id","value":"17"}]"#);
    let at = |text: &str| text.parse::<jiff::Timestamp>().unwrap().as_second();
    assert_eq!(i64::from(workflow.meta.created), at("2026-11-21T07:18:33Z"));
    assert_eq!(i64::from(workflow.status.started), at("2026-11-21T07:18:34Z"));
    let nodes = inline(&workflow);
    assert_eq!(nodes.len(), 5);
    let gate = nodes.iter().find(|n| n.kind == NodeKind::Suspend).unwrap();
    assert_eq!((gate.display_name.as_ref(), gate.template_name.as_ref()), ("review", "hold"));
    assert_eq!(
        (gate.phase, i64::from(gate.started), gate.finished),
        (NodePhase::Running, at("2026-11-21T07:18:44Z"), 0)
    );
    let pod = nodes.iter().find(|n| n.kind == NodeKind::Pod).unwrap();
    assert_eq!((pod.task_result_synced, pod.outputs.unwrap().get()), (Some(true), r#"{"exitCode":"0"}"#));
}

#[test]
fn locks_of_both_sorts_are_read_with_their_holders() {
    for (name, waits) in [("lock-holder", true), ("lock-waiter", false)] {
        let text = fixture(name);
        let workflow = Workflow::from_json(&text).unwrap();
        let (locks, others) = if waits {
            (&workflow.status.waiting, &workflow.status.holding)
        } else {
            (&workflow.status.holding, &workflow.status.waiting)
        };
        assert!(!locks.is_empty() && others.is_empty(), "{name}: {:?}", workflow.status);
        assert!(locks.iter().any(|l| l.name == "default/Mutex/gpu" && !l.semaphore), "{name}: {locks:?}");
        assert!(locks.iter().all(|l| l.holders.iter().any(|h| h.contains("default/lock-waiter"))), "{name}: {locks:?}");
    }
}

#[test]
fn all_codecs_give_the_nodes_the_inline_form_has() {
    let text = fixture("wide-fan");
    let workflow = Workflow::from_json(&text).unwrap();
    let plain = sketch(inline(&workflow));
    assert!(plain.len() > 60);
    assert_eq!(workflow.status.suspend_durations, [("nap".into(), "1".into())]);

    // Gzip as Argo up to 4.0 writes it, made from the inline nodes.
    let whole: Value = serde_json::from_str(&text).unwrap();
    let nodes = gzip(whole["status"]["nodes"].to_string().as_bytes());
    assert_eq!(sketch(&Nodes::fold_map(&codec::decode(&nodes).unwrap()).unwrap()), plain);

    for (name, sniffed) in [("wide-fan.zstd", codec::Codec::Zstd), ("wide-fan.brotli", codec::Codec::Brotli)] {
        let text = fixture(name);
        let workflow = Workflow::from_json(&text).unwrap();
        let Nodes::Compressed(packed) = &workflow.status.nodes else { panic!("{name} should be compressed") };
        let bytes = base64::engine::general_purpose::STANDARD.decode(packed.as_bytes()).unwrap();
        assert_eq!(codec::Codec::sniff(&bytes), sniffed);
        let decoded = codec::decode(packed).unwrap();
        assert_eq!(sketch(&Nodes::fold_map(&decoded).unwrap()), plain, "{name}");
    }
}

/// What is compared of a node, in the order of ids; times from the start of the run (each fixture is a run of its own).
fn sketch(nodes: &[Node<'_>]) -> Vec<(String, NodeKind, NodePhase, String, u32, Option<u32>)> {
    let zero = nodes.iter().map(|n| n.started).min().unwrap();
    let mut all: Vec<_> = nodes
        .iter()
        .map(|n| {
            let finished = (n.finished > 0).then(|| n.finished - zero);
            (n.id.to_string(), n.kind, n.phase, n.display_name.to_string(), n.started - zero, finished)
        })
        .collect();
    all.sort();
    all
}

fn gzip(plain: &[u8]) -> String {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packer.write_all(plain).unwrap();
    base64::engine::general_purpose::STANDARD.encode(packer.finish().unwrap())
}

/// Every path of `value`, containers included, as JSON pointers.
fn paths(value: &Value, at: &str, into: &mut Vec<String>) {
    if !at.is_empty() {
        into.push(at.to_owned());
    }
    match value {
        Value::Object(map) => {
            for (key, inner) in map {
                paths(inner, &format!("{at}/{}", key.replace('~', "~0").replace('/', "~1")), into);
            }
        }
        Value::Array(list) => {
            for (n, inner) in list.iter().enumerate() {
                paths(inner, &format!("{at}/{n}"), into);
            }
        }
        _ => {}
    }
}

/// The whole reading as text, one line for each part that must survive damage elsewhere.
fn parts(workflow: &Workflow<'_>) -> Vec<(&'static str, String)> {
    let (m, s) = (&workflow.meta, &workflow.spec);
    let t = &workflow.status;
    vec![
        ("/metadata/name", m.name.to_string()),
        ("/metadata/namespace", m.namespace.to_string()),
        ("/metadata/uid", m.uid.to_string()),
        ("/metadata/resourceVersion", m.resource_version.to_string()),
        ("/metadata/creationTimestamp", m.created.to_string()),
        ("/metadata/deletionTimestamp", m.deleted.to_string()),
        ("/metadata/finalizers", format!("{:?}", m.finalizers)),
        ("/metadata/labels", format!("{:?}", m.labels)),
        ("/metadata/annotations", format!("{:?}", m.annotations)),
        ("/metadata/managedFields", format!("{:?}", m.managed_fields)),
        ("/spec/shutdown", s.shutdown.to_string()),
        ("/spec/suspend", s.suspend.to_string()),
        ("/spec/activeDeadlineSeconds", format!("{:?}", s.active_deadline_seconds)),
        ("/spec/workflowTemplateRef", format!("{:?}", s.template_ref)),
        ("/spec/arguments/parameters", format!("{:?}", s.parameters)),
        ("/spec/onExit", s.has_exit_handler.to_string()),
        ("/status/phase", t.phase.to_string()),
        ("/status/startedAt", t.started.to_string()),
        ("/status/finishedAt", t.finished.to_string()),
        ("/status/message", t.message.to_string()),
        ("/status/progress", t.progress.to_string()),
        ("/status/nodes", format!("{:?}", t.nodes)),
        ("/status/taskResultsCompletionStatus", format!("{:?}", t.results_incomplete)),
        ("/status/synchronization/", format!("{:?}{:?}", t.waiting, t.holding)),
        ("suspend durations", format!("{:?}", t.suspend_durations)),
    ]
}

#[test]
fn any_type_anywhere_is_read_and_leaves_the_other_fields_alone() {
    let sample = full();
    let whole = Workflow::from_json_owned(&sample, parts);
    let mut all = Vec::new();
    paths(&sample, "", &mut all);
    assert!(all.len() > 120, "{}", all.len());
    for path in &all {
        for wrong in [
            "null",
            "17",
            "-1e999",
            "1e999999",
            "\"\\ud800\"",
            "\"what\"",
            "true",
            "[1,{\"a\":[]}]",
            "[1e999]",
            "{\"a\":{\"b\":[null,1e999]}}",
            "{\"\\ud800\":1}",
        ] {
            let mut damaged = sample.clone();
            *damaged.pointer_mut(path).unwrap() = json!("@@WRONG@@");
            let text = damaged.to_string().replace("\"@@WRONG@@\"", wrong);
            let workflow = Workflow::from_json(&text).unwrap_or_else(|e| panic!("{path} = {wrong}: {e}"));
            for ((part, now), (_, before)) in parts(&workflow).into_iter().zip(&whole) {
                let mine = part.starts_with(path.as_str())
                    || path.starts_with(part)
                    || (part.starts_with("suspend")
                        && (path.contains("emplate") || path == "/spec" || path == "/status"))
                    || (part == "/spec/onExit" && path.starts_with("/spec/hooks"));
                if !mine {
                    assert_eq!(&now, before, "{path} = {wrong} changed {part}");
                }
            }
        }
    }
}

/// Reads a value by way of its text.
trait Owned {
    fn from_json_owned<T>(value: &Value, look: impl FnOnce(&Workflow<'_>) -> T) -> T;
}

impl Owned for Workflow<'_> {
    fn from_json_owned<T>(value: &Value, look: impl FnOnce(&Workflow<'_>) -> T) -> T {
        look(&Workflow::from_json(&value.to_string()).unwrap())
    }
}

#[test]
fn wrong_types_are_counted_and_null_is_not() {
    let count = |text: &str| Workflow::from_json(text).unwrap().oddities;
    assert_eq!(count(r#"{"metadata":null,"spec":{"suspend":null},"status":{"startedAt":null,"nodes":null}}"#), 0);
    assert_eq!(count(r#"{"metadata":[],"spec":3,"status":"x"}"#), 3);
    assert_eq!(count(r#"{"spec":{"suspend":"yes","activeDeadlineSeconds":1.5},"status":{"startedAt":"soon"}}"#), 3);
    assert_eq!(count(r#"{"metadata":{"name":"a","name":"b"},"spec":{},"spec":{}}"#), 2);
    assert_eq!(count(r#"{"metadata":{"labels":{"a":1,"b":"x"}},"status":{"nodes":{"a":1,"b":null,"c":[]}}}"#), 3);
    // Careful reading starts its count anew.
    assert_eq!(count(r#"{"metadata":1e999,"spec":{"suspend":1}}"#), 2);
}

#[test]
fn the_last_of_two_equal_keys_wins() {
    let text = r#"{"metadata":{"name":"a","labels":{"x":"1"},"labels":{"y":"2"},"name":"b"},"status":{"phase":"Running"},"status":{"phase":"Failed"}}"#;
    let workflow = Workflow::from_json(text).unwrap();
    assert_eq!((workflow.meta.name.as_ref(), workflow.status.phase.as_ref()), ("b", "Failed"));
    assert_eq!((workflow.label("x"), workflow.label("y")), (None, Some("2")));
}

#[test]
fn only_what_is_no_object_is_refused() {
    for bad in ["", "null", "[]", "3", "\"x\"", "{", "{}{}", "{\"metadata\":}", "{\"metadata\":{\"name\":\"a}"] {
        assert!(Workflow::from_json(bad).is_err(), "{bad}");
    }
    assert!(Workflow::from_json(" {} \n").is_ok());
    let deep = format!("{{\"spec\":{}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(Workflow::from_json(&deep).unwrap().oddities, 1);
}

#[test]
fn exit_handlers_and_suspend_durations_are_found_wherever_they_are() {
    let text = json!({
        "spec": {"hooks": {}, "templates": [{"name": "a", "suspend": {"duration": 90}}, {"name": "b", "suspend": {}}]},
        "status": {
            "storedTemplates": {"namespaced/t/c": {"name": "c", "suspend": {"duration": "2h"}}},
            "storedWorkflowTemplateSpec": {"onExit": "bye", "templates": [{"name": "d", "suspend": {"duration": "1d"}}]},
        }
    })
    .to_string();
    let workflow = Workflow::from_json(&text).unwrap();
    let found: Vec<_> = workflow.status.suspend_durations.iter().map(|(n, d)| (n.as_ref(), d.as_ref())).collect();
    assert_eq!(found, [("a", "90"), ("c", "2h"), ("d", "1d")]);
    assert!(!workflow.spec.has_exit_handler && workflow.status.stored_exit_handler);
    assert!(Workflow::from_json(r#"{"spec":{"hooks":{"exit":{}}}}"#).unwrap().spec.has_exit_handler);
    assert!(!Workflow::from_json(r#"{"spec":{"onExit":""}}"#).unwrap().spec.has_exit_handler);
}

#[test]
fn where_the_nodes_are() {
    let nodes = |text: &str| format!("{:?}", Workflow::from_json(text).unwrap().status.nodes);
    assert_eq!(nodes(r#"{"status":{"nodes":{}}}"#), "None");
    assert_eq!(nodes(r#"{"status":{"compressedNodes":"eA==","nodes":{}}}"#), "Compressed(\"eA==\")");
    assert_eq!(nodes(r#"{"status":{"offloadNodeStatusVersion":"fnv:1"}}"#), "Offloaded(\"fnv:1\")");
    assert!(nodes(r#"{"status":{"compressedNodes":"eA==","nodes":{"a":{}}}}"#).starts_with("Inline"));
}

#[test]
fn big_ones_are_read_and_their_nodes_capped() {
    let text = workflow_of(5_000, 40);
    assert!(text.len() > 1_000_000);
    let workflow = Workflow::from_json(&text).unwrap();
    assert_eq!((inline(&workflow).len(), workflow.oddities), (5_000, 0));

    let text = workflow_of(25_000, 0);
    let workflow = Workflow::from_json(&text).unwrap();
    assert_eq!(inline(&workflow).len(), MAX_NODES);
    assert_eq!((workflow.status.nodes_dropped, workflow.oddities), (5_000, 5_000));

    let huge = workflow_of(200, 8_000);
    assert!(huge.len() > 1_500_000);
    assert_eq!(inline(&Workflow::from_json(&huge).unwrap()).len(), 200);
}

#[test]
fn broken_and_hostile_compressed_nodes_are_refused_by_name() {
    assert_eq!(codec::decode("not base64!"), Err(CodecError::NotBase64));
    assert_eq!(codec::decode(""), Err(CodecError::Corrupt));
    assert_eq!(codec::decode(&gzip(&vec![b' '; 40 << 20])), Err(CodecError::TooLarge), "a gzip bomb");
    let pack = |bytes: &[u8]| base64::engine::general_purpose::STANDARD.encode(bytes);
    // A zstd frame that announces a window of 1.75 TiB, one of 2^64 bytes, and a brotli large window.
    assert_eq!(codec::decode(&pack(&[0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xf8, 0, 0])), Err(CodecError::TooLarge));
    let single = [&[0x28, 0xb5, 0x2f, 0xfd, 0xe0][..], &[0xff; 8]].concat();
    assert_eq!(codec::decode(&pack(&single)), Err(CodecError::TooLarge));
    assert_eq!(codec::decode(&pack(&[0x11, 0x1e, 0, 0, 0, 0])), Err(CodecError::Corrupt));
    assert_eq!(codec::decode(&gzip(b"\xff\xfe")), Err(CodecError::Corrupt));

    for name in ["wide-fan.zstd", "wide-fan.brotli"] {
        let text = fixture(name);
        let workflow = Workflow::from_json(&text).unwrap();
        let Nodes::Compressed(packed) = &workflow.status.nodes else { panic!("compressed") };
        let cut = &packed[..packed.len() / 8 * 4];
        assert!(codec::decode(cut).is_err(), "{name} cut in half");
    }
    let fine = gzip(b"{\"a\":{\"phase\":\"Running\"}}");
    assert_eq!(codec::decode(&fine[..fine.len() / 8 * 4]), Err(CodecError::Corrupt));
    assert_eq!(Nodes::fold_map(&codec::decode(&fine).unwrap()).unwrap()[0].id, "a");
    assert_eq!(Nodes::fold_map("[1]").unwrap_err(), CodecError::Corrupt);
}
