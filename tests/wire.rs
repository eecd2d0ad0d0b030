//! Watch lines and list pages: one bad object spoils nothing but itself.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use base64::Engine as _;
use proptest::prelude::*;
use unstick::api::workflow::{EventKind, ListPage, Nodes, Raw, WatchLine, Workflow, codec, identify};

fn fixture(name: &str) -> String {
    std::fs::read_to_string(format!("{}/tests/fixtures/argo-4.1.2/{name}.json", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

#[test]
fn watch_lines_of_every_type() {
    let object =
        r#"{"metadata":{"name":"a","resourceVersion":"7","annotations":{"k8s.io/initial-events-end":"true"}}}"#;
    for (kind, expected) in
        [("ADDED", EventKind::Added), ("MODIFIED", EventKind::Modified), ("DELETED", EventKind::Deleted)]
    {
        for text in
            [format!(r#"{{"type":"{kind}","object":{object}}}"#), format!(r#"{{"object":{object},"type":"{kind}"}}"#)]
        {
            let WatchLine::Object(found, workflow) = WatchLine::from_json(&text).unwrap() else { panic!("{text}") };
            assert_eq!((found, workflow.meta.name.as_ref()), (expected, "a"));
        }
    }
    let text = format!(r#"{{"type":"BOOKMARK","object":{object}}}"#);
    let line = WatchLine::from_json(&text).unwrap();
    assert!(
        matches!(&line, WatchLine::Bookmark { resource_version, initial_events_end: true } if resource_version == "7")
    );
    let text = r#"{"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired","message":"too old"}}"#;
    let WatchLine::Error(status) = WatchLine::from_json(text).unwrap() else { panic!("{text}") };
    assert_eq!((status.code, status.reason.as_ref(), status.message.as_ref()), (410, "Expired", "too old"));
    assert!(matches!(WatchLine::from_json(r#"{"type":"NEWS","object":{}}"#).unwrap(), WatchLine::Unknown(_)));
    assert!(WatchLine::from_json(r#"{"type":"ADDED","object":{"#).is_err());
}

#[test]
fn one_bad_item_spoils_nothing_but_itself() {
    let text = r#"{"kind":"WorkflowList","metadata":{"continue":"tok","resourceVersion":"9"},
        "items":[{"metadata":{"name":"a"}},17,{"metadata":1e999},{"metadata":{"name":"b"}}]}"#;
    let page = ListPage::from_json(text).unwrap();
    assert_eq!((page.next.as_ref(), page.resource_version.as_ref(), page.items.len()), ("tok", "9", 4));
    let names: Vec<_> = page.items.iter().map(|i| Workflow::from_json(i.get()).ok().map(|w| w.meta.name)).collect();
    assert_eq!(names, [Some("a".into()), None, Some("".into()), Some("b".into())]);
    assert!(ListPage::from_json(r#"{"items":null}"#).unwrap().items.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn truncations_and_flips_never_panic(cut in 0_usize..6_000, flips in prop::collection::vec((0_usize..6_000, any::<u8>()), 0..6)) {
        let mut bytes = fixture("review-gate").into_bytes();
        for (at, byte) in flips {
            if let Some(slot) = bytes.get_mut(at) { *slot = byte; }
        }
        bytes.truncate(cut.max(1));
        let text = String::from_utf8_lossy(&bytes);
        let read = Workflow::from_json(&text).is_ok();
        let json = serde_json::from_str::<&serde_json::value::RawValue>(&text).is_ok_and(|raw| raw.get().starts_with('{'));
        prop_assert_eq!(read, json, "read exactly what is a JSON object");
        let _ = identify(&text);
        let _ = WatchLine::from_json(&text);
        let _ = ListPage::from_json(&text);
        let _ = Nodes::fold_map(&text);
    }

    #[test]
    fn json_is_what_serde_json_takes_for_json(text in r#"[\[\]{}:,"\\ntrue0-9eE.+ -]{0,24}"#) {
        let theirs = serde_json::from_str::<&serde_json::value::RawValue>(&text).ok().map(serde_json::value::RawValue::get);
        prop_assert_eq!(Raw::new(&text).map(Raw::get), theirs, "{}", text);
    }

    #[test]
    fn garbage_in_codecs_never_panics(head in 0_usize..3, bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let magic: &[u8] = [&[0x28, 0xb5, 0x2f, 0xfd][..], &[0x1f, 0x8b, 8, 0], &[]][head];
        let packed = base64::engine::general_purpose::STANDARD.encode([magic, &bytes].concat());
        let _ = codec::decode(&packed);
    }

    #[test]
    fn damaged_compressed_nodes_never_panic(zstd in any::<bool>(), at in 0_usize..2_000, byte in any::<u8>()) {
        let text = fixture(if zstd { "wide-fan.zstd" } else { "wide-fan.brotli" });
        let workflow = Workflow::from_json(&text).unwrap();
        let Nodes::Compressed(packed) = &workflow.status.nodes else { panic!("compressed") };
        let mut bytes = base64::engine::general_purpose::STANDARD.decode(packed.as_bytes()).unwrap();
        let length = bytes.len();
        bytes[at % length] = byte;
        if let Ok(text) = codec::decode(&base64::engine::general_purpose::STANDARD.encode(bytes)) {
            let _ = Nodes::fold_map(&text);
        }
    }
}
