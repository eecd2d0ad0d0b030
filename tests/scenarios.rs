//! The watchdog in virtual time: tests/scenarios/*.yaml are stories, each "given, at, expect". They name what they
//! prove (`fires`, `near_miss`); together they must cover every reason of every detection type, both ways.
//!
//! One story: `SCENARIO=relapse cargo test --test scenarios` plays those whose name holds the text.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::pedantic, clippy::style)] // the tellers of stories are no product code

#[path = "scenarios/play.rs"]
mod play;
#[path = "scenarios/script.rs"]
mod script;
#[path = "scenarios/world.rs"]
mod world;

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use script::Case;
use unstick::api::reasons::DetectionType;

fn cases() -> Vec<(String, Case)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/scenarios");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    let mut out = Vec::new();
    for file in files.iter().filter(|f| f.extension().is_some_and(|e| e == "yaml")) {
        let name = file.file_stem().unwrap().to_str().unwrap();
        let text = std::fs::read_to_string(file).unwrap();
        let cases: Vec<Case> = serde_saphyr::from_str(&text).unwrap_or_else(|e| panic!("{name}.yaml: {e}"));
        out.extend(cases.into_iter().map(|c| (format!("{name}: {}", c.case), c)));
    }
    out
}

#[test]
fn every_story_comes_out_as_told() {
    let only = std::env::var("SCENARIO").unwrap_or_default();
    let mut failed = Vec::new();
    let mut played = 0;
    for (name, case) in cases().iter().filter(|(name, _)| name.contains(&only)) {
        played += 1;
        match catch_unwind(AssertUnwindSafe(|| play::play(case))) {
            Ok(outcome) if outcome.differences.is_empty() => {}
            Ok(outcome) => failed.push(format!("{name}\n  {}", outcome.differences.join("\n  "))),
            Err(panic) => {
                let text = panic.downcast_ref::<String>().cloned();
                let text = text.or_else(|| panic.downcast_ref::<&str>().map(|t| (*t).to_owned()));
                failed.push(format!("{name}\n  {}", text.unwrap_or_default()));
            }
        }
    }
    assert!(played > 0, "no story is called {only:?}");
    assert!(failed.is_empty(), "{} of {played} stories differ:\n\n{}", failed.len(), failed.join("\n\n"));
}

/// A reason without a story that shows it, and one that shows it not firing though it is near, is not proven.
#[test]
fn every_reason_fires_and_has_a_near_miss() {
    let cases = cases();
    let said = |pick: fn(&Case) -> &Vec<String>| -> BTreeSet<String> {
        cases.iter().flat_map(|(_, c)| pick(c)).cloned().collect()
    };
    let all: BTreeSet<String> =
        DetectionType::ALL.iter().flat_map(|t| t.reasons().iter().map(move |r| format!("{t}/{r}"))).collect();
    let (fires, near) = (said(|c| &c.fires), said(|c| &c.near_miss));
    assert_eq!(all.difference(&fires).collect::<Vec<_>>(), Vec::<&String>::new(), "never fire in a story");
    assert_eq!(all.difference(&near).collect::<Vec<_>>(), Vec::<&String>::new(), "have no near miss");
    let strange: Vec<_> = fires.union(&near).filter(|r| !all.contains(*r)).collect();
    assert!(strange.is_empty(), "no such type and reason: {strange:?}");
}
