//! The generated workflows are what they claim to be: sizes, order of keys, identities, shares and instants.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use base64::Engine as _;
use jiff::Timestamp;
use serde_json::Value;
use unstick_bed::corpus::{Corpus, Due, Look, Size, State, Trouble, namespaces, policies};

const NOW: i64 = 1_795_000_000;

fn corpus(count: u32, size: Size) -> Corpus {
    Corpus { count, size, now: NOW, ..Corpus::default() }
}

#[test]
fn sizes_are_those_of_the_api_server() {
    for (size, low, high) in [
        (Size::Tiny, 1_800, 2_400),
        (Size::Small, 5_500, 6_100),
        (Size::Medium, 6_700, 7_600),
        (Size::Large, 47_000, 53_000),
        (Size::Huge, 500_000, 560_000),
        (Size::Compressed, 310_000, 370_000),
    ] {
        let corpus = corpus(40, size);
        let some = if size == Size::Compressed { 2 } else { 40 };
        let mean =
            (0..some).map(|i| corpus.specimen(i).text(1_000_000, Look::default()).len()).sum::<usize>() / some as usize;
        println!("{size:?}: {mean}");
        assert!((low..high).contains(&mean), "{size:?}: {mean} bytes");
    }
}

#[test]
fn text_is_minimal_json_with_sorted_keys() {
    // serde_json's map sorts: what it prints from what it read is the canonical form.
    for size in [Size::Tiny, Size::Small, Size::Medium, Size::Large] {
        let corpus = Corpus { finished_per_mille: 100, stuck_per_mille: 200, ..corpus(200, size) };
        for i in 0..200 {
            for look in [Look::default(), Look { revision: 3, at: NOW, finished: true }] {
                let text = corpus.specimen(i).text(77, look);
                let value: Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"));
                let again = value.to_string();
                let same = again.bytes().zip(text.bytes()).take_while(|(a, b)| a == b).count();
                assert!(
                    again == text,
                    "differs at {same}: {}",
                    &text[same.saturating_sub(80)..(same + 40).min(text.len())]
                );
            }
        }
    }
}

#[test]
fn identities_are_unique_and_stay() {
    let corpus = corpus(50_000, Size::Small);
    let (mut names, mut uids, mut spaces, mut types) =
        (BTreeSet::new(), BTreeSet::new(), BTreeMap::new(), BTreeSet::new());
    for i in 0..50_000 {
        let s = corpus.specimen(i);
        *spaces.entry(s.namespace.clone()).or_insert(0) += 1;
        types.insert(s.template.clone());
        assert!(names.insert((s.namespace, s.name)) && uids.insert(s.uid));
    }
    assert_eq!((spaces.len(), types.len()), (20, 10));
    assert!(spaces.values().all(|n| (2_300..2_700).contains(n)), "uneven: {spaces:?}");
    assert_eq!(corpus.specimen(9).text(5, Look::default()), corpus.specimen(9).text(5, Look::default()));
}

#[test]
fn shares_and_deadlines_are_as_asked() {
    let due = Due { count: 4_000, from: NOW + 100, seconds: 60 };
    let corpus = Corpus { due: Some(due), finished_per_mille: 20, ..corpus(20_000, Size::Small) };
    let (stuck, due_count, finished) = corpus.census();
    assert_eq!((stuck, finished), (1_000, 400));
    assert!((3_600..=4_000).contains(&due_count), "{due_count}");
    let mut seen = BTreeMap::new();
    for i in 0..20_000 {
        let s = corpus.specimen(i);
        let value: Value = serde_json::from_str(&s.text(1, Look::default())).unwrap();
        let text = |path: &str| value.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
        let second = |path: &str| text(path).parse::<Timestamp>().map_or(0, Timestamp::as_second);
        match s.state {
            State::Stuck(trouble) => {
                *seen.entry(trouble.detection().0).or_insert(0) += 1;
                assert!(s.active_since + trouble.detection().1 < NOW || trouble == Trouble::OldRun);
                if trouble == Trouble::LockWait {
                    let holder = text("/status/synchronization/mutex/waiting/0/holder");
                    let (space, name) = holder.split_once('/').unwrap();
                    let healthy = (0..20_000)
                        .map(|i| corpus.specimen(i))
                        .any(|o| o.state == State::Healthy && o.namespace == space && o.name == name);
                    assert!(healthy, "{holder} of {} is not a healthy workflow", s.name);
                }
            }
            State::Due { at, trouble } => {
                assert!((NOW + 100..NOW + 160).contains(&at));
                let leaf =
                    value["status"]["nodes"].as_object().unwrap().values().find(|n| n["type"] != "Steps").unwrap();
                let started = match trouble {
                    Trouble::OldRun => second("/status/startedAt"),
                    _ => leaf["startedAt"].as_str().unwrap().parse::<Timestamp>().unwrap().as_second(),
                };
                assert_eq!(started + trouble.detection().1, at, "{trouble:?}");
            }
            State::Finished => assert_eq!(text("/status/phase"), "Succeeded"),
            State::Healthy => assert!(second("/status/startedAt") > NOW - 10 * 3600),
        }
    }
    assert_eq!(seen.len(), 10, "every detection type has its stuck ones: {seen:?}");
}

#[test]
fn compressed_nodes_decode() {
    let corpus = corpus(3, Size::Compressed);
    let value: Value = serde_json::from_str(&corpus.specimen(1).text(1, Look::default())).unwrap();
    let packed =
        base64::engine::general_purpose::STANDARD.decode(value["status"]["compressedNodes"].as_str().unwrap()).unwrap();
    let mut text = String::new();
    flate2::read::GzDecoder::new(packed.as_slice()).read_to_string(&mut text).unwrap();
    let nodes: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(nodes.as_object().unwrap().len(), 2_000);
    println!("{} bytes of nodes", text.len());
}

#[test]
fn every_namespace_has_a_policy() {
    let policies = policies();
    assert_eq!((namespaces(20).len(), policies.len()), (20, 20));
    for policy in &policies {
        assert_eq!(policy["spec"]["detections"].as_array().unwrap().len(), 10);
    }
}
