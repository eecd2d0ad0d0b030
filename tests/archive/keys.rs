//! Keys: made of a run, read back from a bucket that anyone may have written to.

use proptest::prelude::*;
use unstick::archive::key::{Kind, Layout, Stem, is_part, read_stamp, stamp};

use crate::runs::{changed, done, form};

#[test]
fn the_layout_is_that_of_the_contract() {
    let own = form(&done());
    let stem = Stem::of(&own.facts, &own.digest);
    let finished = own.facts.finished.unwrap();
    assert_eq!(stem.stem, format!("{}_{}", stamp(finished.get()), own.digest.short()));
    let layout = Layout::new("/workflow-archives/").unwrap();
    let (namespace, name) = (&own.facts.namespace, &own.facts.name);
    let body = layout.body(&stem);
    assert_eq!(body, format!("workflow-archives/{namespace}/{name}/{}.json.gz", stem.stem));
    assert_eq!(layout.events(&stem), body.replace(".json.gz", ".events.json.gz"));
    let manifest = layout.manifest(&stem);
    assert_eq!(manifest, format!("workflow-archives-index/manifests/{namespace}/{name}/{}.manifest.json", stem.stem));
    assert_eq!(layout.read(&body), Some(Kind::Body(stem.clone())));
    assert_eq!(layout.read(&layout.events(&stem)), Some(Kind::Events(stem.clone())));
    assert_eq!(layout.read_manifest(&manifest), Some(stem.clone()));
    assert_eq!(layout.read(&manifest), None);
    let unfinished = changed(&done(), |wf| wf["status"]["finishedAt"] = serde_json::Value::Null);
    let own = form(&unfinished);
    let stem = Stem::of(&own.facts, &own.digest);
    assert_eq!(stem.stem, format!("unfinished_{}", own.digest.short()));
    assert_eq!(layout.read(&layout.body(&stem)), Some(Kind::Body(stem)));
}

#[test]
fn archives_of_the_script_are_read() {
    let layout = Layout::new("workflow-archives").unwrap();
    let Some(Kind::Body(stem)) = layout.read("workflow-archives/etl/load/20261121_101500.json.gz") else { panic!() };
    let parts = stem.parts().unwrap();
    assert_eq!((stem.namespace.as_str(), stem.name.as_str(), parts.digest), ("etl", "load", None));
    assert_eq!(parts.finished.unwrap().to_string(), "2026-11-21T10:15:00Z");
}

#[test]
fn hostile_keys_are_nobodys() {
    let layout = Layout::new("p").unwrap();
    for key in [
        "",
        "p",
        "p/",
        "p/a/b/20261121_101500.json",
        "p/a/b/20261121_101500.json.gz.json.gz",
        "p/a/b/20261121_101500_3f9a1c04be1.json.gz",
        "p/a/b/20261121_101500_3F9A1C04BE12.json.gz",
        "p/a/b/20261121_101500_3f9a1c04be12x.json.gz",
        "p/a/b/20261321_101500.json.gz",
        "p/a/b/20261121_256100.json.gz",
        "p/a/b/2026112é_01500.json.gz",
        "p/a/b/+0261121_101500.json.gz",
        "p/a/b/unfinished.json.gz",
        "p/a/b/c/20261121_101500.json.gz",
        "p/a/20261121_101500.json.gz",
        "p//b/20261121_101500.json.gz",
        "p/../b/20261121_101500.json.gz",
        "p/a/../20261121_101500.json.gz",
        "p/.hidden/b/20261121_101500.json.gz",
        "p/a/%2e%2e/20261121_101500.json.gz",
        "p/a/b\\c/20261121_101500.json.gz",
        "p/a/b c/20261121_101500.json.gz",
        "p/a/b\u{0}/20261121_101500.json.gz",
        "p/a/ь/20261121_101500.json.gz",
        "p/a/-rf/20261121_101500.json.gz",
        "q/a/b/20261121_101500.json.gz",
        "pp/a/b/20261121_101500.json.gz",
        "/p/a/b/20261121_101500.json.gz",
    ] {
        assert_eq!(layout.read(key), None, "{key}");
        assert_eq!(
            layout.read_manifest(&key.replacen("p/", "p-index/manifests/", 1).replace(".json.gz", ".manifest.json")),
            None,
            "{key}"
        );
    }
    for prefix in ["..", "a/../b", "a//b", "a b", ".a", "ä", &"x/".repeat(300)] {
        assert_eq!(Layout::new(prefix), None, "{prefix}");
    }
    let root = Layout::new("").unwrap();
    assert!(root.read("etl/load/20261121_101500.json.gz").is_some());
    assert_eq!(root.index(), "-index/");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_read_gives_the_same_key_again(key in "(p/)?[a-z./%é-]{0,12}/[a-z.-]{0,9}/[0-9_a-f]{12,30}(\\.events)?(\\.json\\.gz)?") {
        let layout = Layout::new("p").unwrap();
        match layout.read(&key) {
            Some(Kind::Body(stem)) => prop_assert_eq!(layout.body(&stem), key),
            Some(Kind::Events(stem)) => prop_assert_eq!(layout.events(&stem), key),
            None => {}
        }
    }

    #[test]
    fn every_name_of_kubernetes_is_a_part(name in "[a-z0-9]([-a-z0-9]{0,40}[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]{0,10}[a-z0-9])?){0,3}") {
        prop_assert!(is_part(&name));
    }

    #[test]
    fn stamps_read_back(second in 0_i64..4_000_000_000) {
        let at = jiff::Timestamp::from_second(second).unwrap();
        prop_assert_eq!(read_stamp(&stamp(at)), Some(at));
    }
}
