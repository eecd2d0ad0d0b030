//! The gate on what reading a watch line and unpacking nodes costs: allocations counted, not time, so that it holds anywhere.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::{Read as _, Write as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::{Compression, write::GzEncoder};
use unstick::api::workflow::codec::{self, MAX_DECODED};
use unstick::api::workflow::{WatchLine, Workflow};

mod sample;
use sample::workflow_of;

fn allocations(text: &str) -> u64 {
    let info = allocation_counter::measure(|| {
        let workflow = Workflow::from_json(text).unwrap();
        assert!(workflow.meta.uid.len() == 36);
    });
    assert_eq!(info.count_current, 0, "reading keeps nothing");
    info.count_total
}

fn fixture(name: &str) -> String {
    std::fs::read_to_string(format!("{}/tests/fixtures/argo-4.1.2/{name}.json", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

#[test]
fn a_workflow_of_six_kilobytes_costs_a_handful_of_allocations() {
    let text = fixture("review-gate");
    assert!((5_500..6_500).contains(&text.len()));
    // Labels, annotations, serde_json's own scratch, nodes (grown once from four to eight).
    assert!(allocations(&text) <= 5, "{}", allocations(&text));
    let line = format!("{{\"type\":\"ADDED\",\"object\":{text}}}");
    let info = allocation_counter::measure(|| assert!(WatchLine::from_json(&line).is_ok()));
    assert!(info.count_total <= 5, "{}", info.count_total);
}

#[test]
fn allocations_grow_with_the_logarithm_of_the_nodes() {
    let (few, many) = (allocations(&workflow_of(8, 10)), allocations(&workflow_of(4_096, 10)));
    assert!(many <= few + 9, "{few} for 8 nodes, {many} for 4,096");
}

#[test]
fn memory_for_a_big_object_stays_below_four_times_its_size() {
    let text = workflow_of(4_000, 100);
    let info = allocation_counter::measure(|| assert!(Workflow::from_json(&text).is_ok()));
    assert!(info.bytes_max <= 4 * text.len() as u64, "{} for {}", info.bytes_max, text.len());
}

/// `length` blanks as `compressedNodes`.
fn packed(length: usize) -> String {
    let mut into = GzEncoder::new(Vec::new(), Compression::fast());
    std::io::copy(&mut std::io::repeat(b' ').take(length as u64), &mut into).unwrap();
    into.flush().unwrap();
    STANDARD.encode(into.finish().unwrap())
}

#[test]
fn what_is_decoded_moves_at_most_once() {
    let decoded = |length: usize| {
        let text = packed(length);
        allocation_counter::measure(|| assert_eq!(codec::decode(&text).is_ok(), length <= MAX_DECODED))
    };
    let few = decoded(10);
    for length in [MAX_DECODED / 2 + 1, MAX_DECODED, MAX_DECODED + 1, 2 * MAX_DECODED] {
        let many = decoded(length);
        assert!(many.count_total <= few.count_total + 1, "{} allocations for {length} bytes", many.count_total);
        // The text, and while it moves what it outgrew.
        let most = MAX_DECODED + 33 * packed(length).len();
        assert!(many.bytes_max <= most as u64, "{} for {length} bytes, at most {most}", many.bytes_max);
    }
}
