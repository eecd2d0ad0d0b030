//! The runbooks: complete in form, true to their rule, with queries that fit the catalogue and links that lead somewhere.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use unstick::api::reasons::{DetectionType, Reason, UnknownReason};
use unstick::metrics::catalogue::catalogue;

use crate::rules::load;
use crate::{assert_none, files, promql, read, repo};

const SECTIONS: [&str; 10] = [
    "Meaning",
    "Impact",
    "First five minutes",
    "Diagnosis",
    "Causes",
    "Mitigation",
    "Verify",
    "False positives",
    "Prevention",
    "Related",
];

/// Subcommands a runbook may use.
const COMMANDS: [&str; 6] = ["check", "explain", "policy", "status", "stuck", "crds"];

fn alert_runbooks() -> Vec<(String, String)> {
    files("runbooks", ".md")
        .into_iter()
        .map(|p| (p.file_stem().unwrap().to_string_lossy().into_owned(), read(&p)))
        .filter(|(name, _)| name != "reasons" && name != "README")
        .collect()
}

#[test]
fn each_alert_has_one_with_every_section() {
    let rules = load();
    let mut problems = Vec::new();
    let names: BTreeSet<String> = alert_runbooks().into_iter().map(|(n, _)| n).collect();
    let alerts: BTreeSet<String> = rules.alerts().map(|r| r.alert.clone()).collect();
    assert_eq!(names, alerts, "one runbook per alert");
    for (name, text) in alert_runbooks() {
        let headings: Vec<&str> = outside_code(&text).into_iter().filter_map(|l| l.strip_prefix("## ")).collect();
        if text.lines().next() != Some(&format!("# {name}")) {
            problems.push(format!("{name}: the title is not the name of the alert"));
        }
        if headings != SECTIONS {
            problems.push(format!("{name}: sections {headings:?}"));
        }
        for part in ["### Safe", "### State-changing", "### Destructive"] {
            if !text.contains(part) {
                problems.push(format!("{name}: {part} is missing"));
            }
        }
        if !text.contains("Undo") {
            problems.push(format!("{name}: no word on how to undo"));
        }
        // Of stuck workflows it only tells; finished ones it may delete, never without an archive.
        if !text.contains("only observes") && !text.contains("deletes nothing without a verified archive") {
            problems.push(format!("{name}: doesn't say what this version does by itself"));
        }
        for marker in ["TODO", "FIXME", "TBD"] {
            if text.contains(marker) {
                problems.push(format!("{name}: {marker}"));
            }
        }
        let rule = rules.alerts().find(|r| r.alert == name).unwrap();
        let facts = text.lines().nth(2).unwrap_or_default();
        let severity = &rule.labels["severity"];
        if !facts.starts_with(&format!("Severity: {severity}. Fires: "))
            || !facts.contains(&format!("for {}.", rule.pending))
        {
            problems
                .push(format!("{name}: {facts:?} is not its rule's severity {severity} and `for` {}", rule.pending));
        }
        for (threshold, said) in
            [("> 86400", "24 hours"), ("> 0.15", "15%"), (">= 5)", "at least 5"), ("> 300", "300 seconds")]
        {
            if rule.expr.contains(threshold) && !facts.contains(said) {
                problems.push(format!("{name}: the first lines don't say {said}"));
            }
        }
        if !read(repo("runbooks/README.md")).contains(&format!("| [{name}]({name}.md) | {severity} |")) {
            problems.push(format!("{name}: missing in README.md, or with another severity"));
        }
    }
    assert_none(&problems);
}

#[test]
fn queries_fit_the_catalogue_and_name_what_the_alert_reads() {
    let (recorded, _) = load().recorded();
    let mut problems = Vec::new();
    for path in files("runbooks", ".md") {
        let text = read(&path);
        for query in code(&text, "promql") {
            problems.extend(promql::check(&query, &recorded).1.into_iter().map(|p| format!("{}: {p}", path.display())));
        }
        // Names in running text and tables too.
        for name in words(&text).filter(|w| w.starts_with("unstick_")) {
            if catalogue().family(name).is_none() && catalogue().family_of_sample(name).is_none() {
                problems.push(format!("{}: {name} is not in the catalogue", path.display()));
            }
        }
    }
    for rule in load().alerts() {
        let text = read(repo(&format!("runbooks/{}.md", rule.alert)));
        for name in words(&rule.expr).filter(|w| w.starts_with("unstick")) {
            if !text.contains(name) {
                problems.push(format!("{}: its runbook doesn't mention {name}", rule.alert));
            }
        }
    }
    assert_none(&problems);
}

#[test]
fn commands_are_known() {
    let mut problems = Vec::new();
    for path in files("runbooks", ".md") {
        for line in code(&read(&path), "sh").iter().flat_map(|b| b.lines()) {
            let words: Vec<&str> = line.split_whitespace().collect();
            let known = match words.as_slice() {
                ["kubectl", verb, ..] => [
                    "annotate",
                    "auth",
                    "delete",
                    "describe",
                    "get",
                    "label",
                    "logs",
                    "patch",
                    "port-forward",
                    "rollout",
                    "top",
                ]
                .contains(verb),
                ["argo", verb, ..] => ["get", "logs", "resume", "retry", "stop", "cron"].contains(verb),
                ["unstick", verb, ..] => COMMANDS.contains(verb),
                ["curl", ..] => true,
                _ => false,
            };
            if !known {
                problems.push(format!("{}: {line}", path.display()));
            }
            // Opens every gate.
            if words.starts_with(&["argo", "resume"]) && !line.contains("--node-field-selector") {
                problems.push(format!("{}: resumes without a selector: {line}", path.display()));
            }
            // A silent no-op on a suspended workflow (argo-workflows #17041).
            if line.contains("\"shutdown\"") && !line.contains("\"suspend\":null") {
                problems.push(format!("{}: shutdown without lifting suspend: {line}", path.display()));
            }
        }
    }
    assert_none(&problems);
}

#[test]
fn every_reason_has_a_section() {
    let text = read(repo("runbooks/reasons.md"));
    let found: Vec<&str> = outside_code(&text).into_iter().filter_map(|l| l.strip_prefix("## ")).collect();
    let expected: Vec<&str> =
        Reason::ALL.iter().map(|r| r.as_str()).chain(UnknownReason::ALL.iter().map(|r| r.as_str())).collect();
    assert_eq!(found, expected);
    let mut problems = Vec::new();
    for section in text.split("\n## ").skip(1) {
        let (title, body) = section.split_once('\n').unwrap();
        let body = body.replace('\n', " ");
        let types: Vec<&str> = DetectionType::ALL
            .iter()
            .filter(|d| d.reasons().iter().any(|r| r.as_str() == title))
            .map(|d| d.as_str())
            .collect();
        let says = body.trim().split('.').next().unwrap_or_default();
        if types.is_empty() && !says.starts_with("Unknown") || types.iter().any(|t| !says.contains(t)) {
            problems.push(format!("{title}: belongs to {types:?}, the section says {says:?}"));
        }
    }
    assert_none(&problems);
}

#[test]
fn links_lead_somewhere() {
    let mut problems = Vec::new();
    for path in files("runbooks", ".md").into_iter().chain(files("alerts", ".md")) {
        for target in links(&read(&path)) {
            let (file, anchor) = target.split_once('#').unwrap_or((&target, ""));
            let to: PathBuf =
                if file.is_empty() { path.clone() } else { path.parent().unwrap_or(Path::new("")).join(file) };
            let anchors: Vec<String> = if to.exists() {
                read(&to)
                    .lines()
                    .filter_map(|l| l.strip_prefix("## "))
                    .map(|h| h.to_lowercase().replace(' ', "-"))
                    .collect()
            } else {
                Vec::new()
            };
            if !to.exists() || !anchor.is_empty() && !anchors.iter().any(|a| a == anchor) {
                problems.push(format!("{}: {target}", path.display()));
            }
        }
    }
    assert_none(&problems);
}

/// Targets of `[text](target)` that are no addresses.
fn links(text: &str) -> Vec<String> {
    text.split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next())
        .filter(|t| !t.starts_with("http"))
        .map(str::to_owned)
        .collect()
}

/// Fenced blocks of one language, indentation removed.
fn code(text: &str, language: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut open: Option<String> = None;
    for line in text.lines().map(str::trim) {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(l)) if l == language => open = Some(String::new()),
            (Some(block), None) => {
                block.push_str(line);
                block.push('\n');
            }
            (Some(_), Some(_)) => found.extend(open.take()),
            _ => {}
        }
    }
    found
}

fn outside_code(text: &str) -> Vec<&str> {
    let mut inside = false;
    text.lines()
        .filter(|l| {
            let fence = l.trim_start().starts_with("```");
            inside ^= fence;
            !inside && !fence
        })
        .collect()
}

/// Everything that could be a metric name.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':')).filter(|w| !w.is_empty())
}
