//! The canonical form: complete, the same for the same run, bounded.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use serde_json::{Value, json};
use unstick::api::workflow::codec::{self, Codec};
use unstick::archive::canonical::{NotArchivable, canonical};
use unstick::archive::redaction::Redaction;

use crate::runs::{all, changed, done, fixture, form, gzip_nodes, packed_nodes, text};

#[test]
fn nothing_is_lost_but_what_changes_without_the_run() {
    for (name, live) in all() {
        let own = canonical(&live, &Redaction::none()).unwrap_or_else(|e| panic!("{name}: {e}"));
        let mut wanted: Value = serde_json::from_str(&live).unwrap();
        let metadata = wanted["metadata"].as_object_mut().unwrap();
        for gone in [
            "managedFields",
            "resourceVersion",
            "generation",
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
            "finalizers",
        ] {
            metadata.remove(gone);
        }
        for (map, prefix) in
            [("annotations", "unstick.dev/"), ("labels", "workflows.argoproj.io/workflow-archiving-status")]
        {
            let Some(map) = metadata.get_mut(map).and_then(Value::as_object_mut) else { continue };
            map.retain(|key, _| !key.starts_with(prefix));
        }
        let status = wanted.get_mut("status").and_then(Value::as_object_mut);
        if let Some(packed) = status.and_then(|s| s.remove("compressedNodes")) {
            let nodes = codec::decode(packed.as_str().unwrap()).unwrap();
            wanted["status"]["nodes"] = serde_json::from_str(&nodes).unwrap();
        }
        let read: Value = serde_json::from_slice(&own.bytes).unwrap();
        assert_eq!(read, wanted, "{name}");
        // serde_json sorts keys and has no white space: for these runs its text is the canonical one.
        assert_eq!(text(&own), wanted.to_string(), "{name}");
        assert_eq!(
            own.facts.nodes as usize,
            wanted.pointer("/status/nodes").and_then(Value::as_object).map_or(0, serde_json::Map::len)
        );
    }
}

#[test]
fn the_form_of_a_form_is_itself() {
    for (name, live) in all() {
        let once = form(&live);
        let twice = form(&text(&once));
        assert_eq!((once.digest, &once.bytes), (twice.digest, &twice.bytes), "{name}");
        assert_eq!(once.digest.to_string(), unstick::archive::digest::Digest::of(&once.bytes).to_string());
    }
}

#[test]
fn how_argo_keeps_the_nodes_makes_no_difference() {
    let inline = fixture("argo-4.1.2/wide-fan.json");
    let wanted = form(&inline);
    assert_eq!((wanted.decoded, wanted.facts.nodes), (None, 64));
    let gzip = form(&gzip_nodes(&inline));
    assert_eq!((gzip.digest, gzip.decoded), (wanted.digest, Some(Codec::Gzip)));
    let zstd = form(&packed_nodes(&inline, |plain| {
        ruzstd::encoding::compress_to_vec(plain, ruzstd::encoding::CompressionLevel::Fastest)
    }));
    assert_eq!((zstd.digest, zstd.decoded), (wanted.digest, Some(Codec::Zstd)));
    // What Argo itself compressed, against the same nodes inline.
    for (name, codec) in [
        ("argo-4.1.2/wide-fan.zstd.json", Codec::Zstd),
        ("argo-4.1.2/wide-fan.brotli.json", Codec::Brotli),
        ("argo-3.7.4/compressed.json", Codec::Gzip),
    ] {
        let live = fixture(name);
        let own = form(&live);
        assert_eq!(own.decoded, Some(codec), "{name}");
        let unpacked = changed(&live, |wf| {
            let packed = wf["status"].as_object_mut().unwrap().remove("compressedNodes").unwrap();
            let nodes = codec::decode(packed.as_str().unwrap()).unwrap();
            wf["status"]["nodes"] = serde_json::from_str(&nodes).unwrap();
        });
        assert_eq!(form(&unpacked).digest, own.digest, "{name}");
        assert!(own.facts.nodes > 0 && text(&own).contains("\"nodes\":{\""), "{name}");
    }
}

#[test]
fn marks_and_versions_make_no_difference() {
    let live = changed(&done(), |wf| {
        wf["metadata"].as_object_mut().unwrap().remove("annotations");
    });
    let wanted = form(&live).digest;
    let marked = changed(&live, |wf| {
        let metadata = wf["metadata"].as_object_mut().unwrap();
        metadata.insert("annotations".into(), json!({"unstick.dev/archived": "x", "unstick.dev/hold": "y"}));
        metadata.insert("resourceVersion".into(), "99999".into());
        metadata.insert("generation".into(), 17.into());
        metadata.insert("deletionTimestamp".into(), "2026-11-21T09:18:33Z".into());
        metadata.insert("deletionGracePeriodSeconds".into(), 0.into());
        metadata.insert("finalizers".into(), json!(["workflows.argoproj.io/artifact-gc"]));
        metadata.insert("managedFields".into(), json!([{"manager": "x"}]));
        metadata["labels"]["workflows.argoproj.io/workflow-archiving-status"] = "Archived".into();
    });
    assert_eq!(form(&marked).digest, wanted, "the last of our annotations takes the map with it");
    assert_eq!(form(&marked).facts.resource_version, "99999");
    let without_kind = changed(&live, |wf| {
        wf.as_object_mut().unwrap().retain(|key, _| key != "kind" && key != "apiVersion");
    });
    assert_eq!(form(&without_kind).digest, wanted, "items of lists may have no kind");
    let empty = changed(&live, |wf| wf["metadata"]["annotations"] = json!({}));
    assert_eq!(form(&empty).digest, wanted);
    let own = changed(&live, |wf| wf["metadata"]["annotations"] = json!({"a": "b", "unstick.dev/hold": "y"}));
    assert_ne!(form(&own).digest, wanted, "an annotation of somebody else is part of the run");
    assert!(text(&form(&own)).contains(r#""annotations":{"a":"b"}"#));
}

/// Everything else makes one.
#[test]
fn every_other_value_makes_a_difference() {
    let live = done();
    let value: Value = serde_json::from_str(&live).unwrap();
    let wanted = form(&live).digest;
    let mut leaves = Vec::new();
    pointers(&value, String::new(), &mut leaves);
    assert!(leaves.len() > 100);
    let kept = |p: &String| {
        !["/managedFields", "/resourceVersion", "/generation", "last-applied", "/finalizers"]
            .iter()
            .any(|s| p.contains(s))
            && p != "/kind"
            && p != "/apiVersion"
            && !p.starts_with("/metadata/uid")
            && p != "/metadata/name"
            && p != "/metadata/namespace"
    };
    for pointer in leaves.iter().filter(|p| kept(p)) {
        let other = changed(&live, |wf| *wf.pointer_mut(pointer).unwrap() = "something else".into());
        assert_ne!(form(&other).digest, wanted, "{pointer}");
    }
}

fn pointers(value: &Value, at: String, out: &mut Vec<String>) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (key, value) in map {
                pointers(value, format!("{at}/{}", key.replace('~', "~0").replace('/', "~1")), out);
            }
        }
        Value::Array(list) if !list.is_empty() => {
            for (index, value) in list.iter().enumerate() {
                pointers(value, format!("{at}/{index}"), out);
            }
        }
        _ => out.push(at),
    }
}

#[test]
fn what_is_not_whole_is_refused() {
    let live = done();
    let refused = |live: &str| canonical(live, &Redaction::default()).map(|_| ()).unwrap_err();
    let offloaded = changed(&live, |wf| {
        wf["status"].as_object_mut().unwrap().remove("nodes");
        wf["status"]["offloadNodeStatusVersion"] = "fnv:1234".into();
    });
    assert_eq!(refused(&offloaded), NotArchivable::Offloaded);
    let not = changed(&live, |wf| wf["status"]["offloadNodeStatusVersion"] = "".into());
    assert!(canonical(&not, &Redaction::default()).is_ok());
    let damaged = changed(&live, |wf| {
        wf["status"].as_object_mut().unwrap().remove("nodes");
        wf["status"]["compressedNodes"] = "H4sIAAAAAAAA".into();
    });
    assert!(matches!(refused(&damaged), NotArchivable::Undecodable(_)));
    for odd in [json!(7), json!(["x"]), json!("%%%")] {
        let odd = changed(&live, |wf| {
            wf["status"].as_object_mut().unwrap().remove("nodes");
            wf["status"]["compressedNodes"] = odd.clone();
        });
        assert!(matches!(refused(&odd), NotArchivable::Undecodable(_)), "{odd}");
    }
    for nodes in ["[]", "null", "{\"a\":", "7"] {
        let odd = changed(&live, |wf| {
            wf["status"].as_object_mut().unwrap().remove("nodes");
            wf["status"]["compressedNodes"] = STANDARD.encode(unstick::archive::gzip::pack(nodes.as_bytes())).into();
        });
        assert_eq!(refused(&odd), NotArchivable::NoNodes, "{nodes}");
    }
    let twice = changed(&gzip_nodes(&live), |wf| wf["status"]["nodes"] = json!({"a": {"id": "a"}}));
    assert_eq!(refused(&twice), NotArchivable::NodesTwice);
    for (part, bad) in [
        ("uid", json!("")),
        ("uid", json!(null)),
        ("name", json!("../../etc/passwd")),
        ("name", json!("a/b")),
        ("namespace", json!("..")),
        ("namespace", json!({"a": 1})),
        ("name", json!("näme")),
        ("name", json!("a\nb")),
        ("name", json!("x".repeat(254))),
    ] {
        let hostile = changed(&live, |wf| wf["metadata"][part] = bad.clone());
        assert_eq!(refused(&hostile), NotArchivable::NoIdentity(part), "{bad}");
    }
    assert_eq!(refused(&changed(&live, |wf| wf["kind"] = "CronWorkflow".into())), NotArchivable::NotAWorkflow);
    for broken in
        ["", "[]", "7", "{", &live[..live.len() - 1], &format!("{live}x"), "{\"metadata\":{\"managedFields\":[}}}"]
    {
        assert_eq!(refused(broken), NotArchivable::NotJson, "{broken:.40}");
    }
    let half = live.replacen("\"Succeeded\"", "\"\\ud800\"", 1);
    assert_eq!(refused(&half), NotArchivable::NoText);
}

#[test]
fn depth_is_bounded_and_no_stack_overflows() {
    let live = |depth: usize| {
        let nested = format!("{}{}", "{\"a\":[".repeat(depth / 2), "]}".repeat(depth / 2));
        changed(&done(), |wf| wf["spec"]["templates"][0]["plugin"] = "DEEP".into()).replace("\"DEEP\"", &nested)
    };
    assert!(canonical(&live(240), &Redaction::default()).is_ok());
    for depth in [256, 2_000, 2_000_000] {
        let refused = canonical(&live(depth), &Redaction::default()).map(|_| ()).unwrap_err();
        assert_eq!(refused, NotArchivable::TooDeep, "{depth}");
    }
}

#[test]
fn objects_of_the_largest_size_pass() {
    // 1.5 MB is what etcd takes: as inline nodes, and as compressed ones that unpack to ten times that.
    let node = json!({"id": "n", "message": "m".repeat(700), "phase": "Succeeded", "type": "Pod"});
    let nodes: serde_json::Map<_, _> = (0..2_000).map(|n| (format!("node-{n:05}"), node.clone())).collect();
    let large = changed(&done(), |wf| wf["status"]["nodes"] = nodes.into());
    assert!(large.len() > 1_500_000);
    assert_eq!(form(&large).digest, form(&gzip_nodes(&large)).digest);
    let huge: serde_json::Map<_, _> = (0..30_000).map(|n| (format!("node-{n:05}"), node.clone())).collect();
    let huge = gzip_nodes(&changed(&done(), |wf| wf["status"]["nodes"] = huge.into()));
    assert!(huge.len() < 1_500_000, "{}", huge.len());
    assert_eq!(form(&huge).facts.nodes, 30_000);
    let bomb = packed_nodes(&done(), |_| unstick::archive::gzip::pack(&vec![b' '; 33 << 20]));
    assert!(matches!(canonical(&bomb, &Redaction::default()), Err(NotArchivable::Undecodable(_))));
}

fn next(seed: &mut u64) -> usize {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    usize::try_from(*seed >> 33).unwrap()
}

/// Writes a value with keys in another order, white space and escapes: another text of the same.
fn another_text(value: &Value, seed: &mut u64, out: &mut String) {
    let space = |n: usize| [" ", "", "\n\t", "", "  "][n % 5];
    out.push_str(space(next(seed)));
    match value {
        Value::Object(map) => {
            let mut all: Vec<_> = map.iter().collect();
            let turn = next(seed) % all.len().max(1);
            all.rotate_left(turn);
            out.push('{');
            for (at, (key, value)) in all.into_iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                another_string(key, next(seed), out);
                out.push_str(space(next(seed)));
                out.push(':');
                another_text(value, seed, out);
            }
            out.push('}');
        }
        Value::Array(list) => {
            out.push('[');
            for (at, value) in list.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                another_text(value, seed, out);
            }
            out.push(']');
        }
        Value::String(text) => another_string(text, next(seed), out),
        other => out.push_str(&other.to_string()),
    }
    out.push(' ');
}

fn another_string(text: &str, how: usize, out: &mut String) {
    out.push('"');
    for (at, c) in text.chars().enumerate() {
        if (at + how).is_multiple_of(3) || c.is_control() || c == '"' || c == '\\' {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                let text = format!("\\u{unit:04x}");
                let upper = format!("\\u{unit:04X}");
                out.push_str(if how.is_multiple_of(2) { &text } else { &upper });
            }
        } else if c == '/' && how.is_multiple_of(2) {
            out.push_str("\\/");
        } else {
            out.push(c);
        }
    }
    out.push('"');
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        "[a-z\"\\\\\u{1}-\u{1f}é]{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 60, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(any::<String>(), inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_form_depends_on_no_order_white_space_or_escape(spec in any_json(), nodes in any_json(), seed in any::<u64>()) {
        let wf = json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow",
            "metadata": {"name": "a", "namespace": "b", "uid": "c", "labels": {"x": "y"}},
            "spec": {"whatever": spec}, "status": {"phase": "Failed", "nodes": {"n": nodes}},
        });
        let mut other = String::new();
        another_text(&wf, &mut { seed }, &mut other);
        let (own, twin) = (form(&wf.to_string()), form(&other));
        prop_assert_eq!(text(&own), text(&twin));
        prop_assert_eq!(own.digest, twin.digest);
        prop_assert_eq!(form(&text(&own)).digest, own.digest);
        prop_assert_eq!(serde_json::from_slice::<Value>(&own.bytes).unwrap(), serde_json::from_str::<Value>(&text(&twin)).unwrap());
    }

    #[test]
    fn no_text_makes_it_panic(cut in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let live = done();
        let at = cut.index(live.len());
        let _ = canonical(live.get(..at).unwrap_or_default(), &Redaction::default());
        let mut bytes = live.into_bytes();
        bytes[at] = byte;
        if let Ok(text) = String::from_utf8(bytes) {
            let _ = canonical(&text, &Redaction::default());
        }
    }
}

#[test]
fn numbers_stay_as_they_are_written_and_the_last_of_equal_keys_counts() {
    let live = r#"{"metadata":{"name":"a","namespace":"b","uid":"c"},"spec":{"z":1.50,"a":1e400,"b":-0,"b":12345678901234567890123}}"#;
    let own = canonical(live, &Redaction::none()).unwrap();
    assert_eq!(
        text(&own),
        r#"{"apiVersion":"argoproj.io/v1alpha1","kind":"Workflow","metadata":{"name":"a","namespace":"b","uid":"c"},"spec":{"a":1e400,"b":12345678901234567890123,"z":1.50}}"#
    );
}
