//! Would the promtool tests notice a wrong rule? Each rule is changed in every way below, and at least one test must fail.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::rules::{RULES, load};
use crate::{read, repo, tools};

/// One change of one rule.
struct Mutant {
    /// Alert whose tests are run.
    alert: String,
    what: String,
    rules: String,
}

#[test]
fn every_change_of_a_rule_fails_a_test() {
    let mutants = mutants();
    let mut per_alert: BTreeMap<&str, usize> = BTreeMap::new();
    for m in &mutants {
        *per_alert.entry(&m.alert).or_default() += 1;
    }
    assert!(mutants.len() > 60, "{per_alert:?}");
    assert!(load().alerts().all(|r| per_alert.get(r.alert.as_str()).is_some_and(|n| *n >= 2)), "{per_alert:?}");

    let promtool = tools::promtool();
    let next = AtomicUsize::new(0);
    let survivors = Mutex::new(Vec::new());
    std::thread::scope(|s| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            s.spawn(|| {
                while let Some(m) = mutants.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if survives(&promtool, m) {
                        survivors.lock().unwrap().push(format!("{}: {}", m.alert, m.what));
                    }
                }
            });
        }
    });
    let mut survivors = survivors.into_inner().unwrap();
    survivors.sort();
    assert!(
        survivors.is_empty(),
        "{} of {} changes go unnoticed:\n{}",
        survivors.len(),
        mutants.len(),
        survivors.join("\n")
    );
}

fn survives(promtool: &Path, m: &Mutant) -> bool {
    let dir = folder();
    fs::create_dir_all(dir.join("tests")).unwrap();
    fs::write(dir.join("unstick.rules.yaml"), &m.rules).unwrap();
    let (loads, out) = tools::run(promtool, &dir, &["check", "rules", "unstick.rules.yaml"]);
    assert!(loads, "{}: {} is no rule any more, which proves nothing: {out}", m.alert, m.what);
    let test = format!("tests/{}.test.yaml", m.alert);
    fs::copy(repo("alerts").join(&test), dir.join(&test)).unwrap();
    let (passed, _) = tools::run(promtool, &dir, &["test", "rules", &test]);
    fs::remove_dir_all(&dir).unwrap();
    passed
}

fn folder() -> PathBuf {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("mutant-{}-{number}", std::process::id()))
}

fn mutants() -> Vec<Mutant> {
    let text = read(repo(RULES));
    let file = load();
    let mut all = Vec::new();
    for rule in file.groups.iter().flat_map(|g| &g.rules) {
        let key =
            if rule.alert.is_empty() { format!("record: {}", rule.record) } else { format!("alert: {}", rule.alert) };
        let start = text.find(&format!("- {key}\n")).unwrap();
        let end = text[start + 1..].find("\n  - ").map_or(text.len(), |i| start + 2 + i);
        let block = &text[start..end];
        let alert = if rule.alert.is_empty() {
            file.alerts()
                .find(|a| a.expr.contains(&rule.record))
                .map(|a| a.alert.clone())
                .expect("an alert that reads it")
        } else {
            rule.alert.clone()
        };
        for (what, changed) in changes(block) {
            let rules = format!("{}{changed}{}", &text[..start], &text[end..]);
            all.push(Mutant { alert: alert.clone(), what: format!("{key}: {what}"), rules });
        }
    }
    all
}

/// Every changed form of one rule's text, with what was changed.
fn changes(block: &str) -> Vec<(String, String)> {
    let mut out = Vec::new();
    let (head, rest) = block.split_once("expr: |\n").expect("expr: |");
    let expr: String = rest.split_inclusive('\n').take_while(|l| l.starts_with("      ")).collect();
    let tail = &rest[expr.len()..];
    let mut with = |what: String, new: String| out.push((what, format!("{head}expr: |\n{new}{tail}")));

    for (at, operator) in operators(&expr) {
        let after = &expr[at + operator.len() + 1..];
        let number: String = after.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
        let value: f64 = number.parse().unwrap();
        let replaced =
            |operator: &str, value: f64| format!("{}{operator} {value}{}", &expr[..at], &after[number.len()..]);
        let (lower, higher) = if value == 0.0 { (-1.0, 1.0) } else { (value * 0.75, value * 1.25) };
        with(format!("{operator} {value} becomes {lower}"), replaced(operator, lower));
        with(format!("{operator} {value} becomes {higher}"), replaced(operator, higher));
        let other = if operator == ">=" { vec!["<"] } else { vec!["<", ">="] };
        for o in other {
            with(format!("{operator} {value} becomes {o}"), replaced(o, value));
        }
    }
    for (range, half, double) in [("[5m]", "[2m]", "[10m]"), ("[1h]", "[30m]", "[2h]")] {
        for other in [half, double] {
            if expr.contains(range) {
                with(format!("{range} becomes {other}"), expr.replace(range, other));
            }
        }
    }
    for (from, to) in matchers(&expr) {
        with(format!("{from} becomes {to:?}"), expr.replace(&from, &to).replace("{,", "{").replace(",}", "}"));
    }
    for (at, labels) in groupings(&expr) {
        for label in &labels {
            let kept: Vec<&str> = labels.iter().filter(|l| *l != label).map(String::as_str).collect();
            let old = format!("by ({})", labels.join(", "));
            let new = format!("by ({})", kept.join(", "));
            let changed = format!("{}{}", &expr[..at], expr[at..].replacen(&old, &new, 1));
            with(format!("{old} at {at} becomes {new}"), changed);
        }
    }
    if expr.contains("max by") {
        with("max becomes sum".into(), expr.replacen("max by", "sum by", 1));
    }
    if let Some((first, second)) = expr.split_once("      or\n") {
        with("the first half alone".into(), first.to_owned());
        with("the second half alone".into(), second.to_owned());
    }
    if let Some((line, pending)) = tail.lines().find_map(|l| Some((l, l.strip_prefix("    for: ")?))) {
        let minutes: u32 = pending.trim_end_matches('m').parse().unwrap();
        let mut others = vec![0, minutes * 60 * 2];
        if minutes > 1 {
            others.push(minutes * 30);
        }
        for seconds in others {
            let changed = block.replacen(line, &format!("    for: {seconds}s"), 1);
            out.push((format!("for: {pending} becomes {seconds}s"), changed));
        }
    }
    out
}

/// Where a comparison with a number stands.
fn operators(expr: &str) -> Vec<(usize, &'static str)> {
    let mut found = Vec::new();
    for (at, _) in expr.match_indices('>') {
        let operator = if expr[at..].starts_with(">= ") { ">=" } else { ">" };
        if expr[at + operator.len()..].starts_with(' ') {
            found.push((at, operator));
        }
    }
    found
}

/// Each matcher removed, and each of its alternatives removed.
fn matchers(expr: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for part in expr.split(['{', '}', ',']).filter(|p| p.contains("=~\"")) {
        let (label, values) = part.split_once("=~").unwrap();
        found.push((part.to_owned(), String::new()));
        let values: Vec<&str> = values.trim_matches('"').split('|').collect();
        for v in &values {
            let kept: Vec<&str> = values.iter().filter(|o| *o != v).copied().collect();
            found.push((part.to_owned(), format!("{label}=~\"{}\"", kept.join("|"))));
        }
    }
    found
}

fn groupings(expr: &str) -> Vec<(usize, Vec<String>)> {
    expr.match_indices("by (")
        .map(|(at, open)| {
            let inside = &expr[at + open.len()..];
            let inside = &inside[..inside.find(')').unwrap()];
            (at, inside.split(", ").map(str::to_owned).collect())
        })
        .collect()
}
