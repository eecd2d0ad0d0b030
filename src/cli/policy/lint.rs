//! What is wrong with policy files: schema, then values, then how the policies stand to each other.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::overlap;
use super::places::{self, Namespaces};
use crate::api::archive_location::ArchiveLocationSpec;
use crate::api::policy::{ClusterPolicySpec, PolicySpec, breaches};
use crate::api::validate::{self, Context, Severity};
use crate::api::{GROUP, VERSION};
use crate::cli::columns::wrap;
use crate::cli::screen::{Screen, Tone};
use crate::cli::words::count;
use crate::watchdog::admit;

/// One problem of one policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    pub file: String,
    /// `WorkflowPolicy etl/default`; empty when the whole file is at fault.
    pub object: String,
    /// error, warning or note; a note is no problem.
    pub severity: &'static str,
    /// Path of the field; empty when it is about the whole.
    pub field: String,
    pub message: String,
}

/// A policy that could be read.
#[derive(Clone, Debug)]
pub struct Policy {
    pub file: String,
    pub kind: String,
    pub namespace: String,
    pub name: String,
    pub created: Option<Timestamp>,
    /// `None` for a `WorkflowPolicy`.
    pub cluster: Option<ClusterPolicySpec>,
    pub spec: PolicySpec,
}

impl Policy {
    pub fn shown(&self) -> String {
        shown(&self.kind, &self.namespace, &self.name)
    }
}

fn shown(kind: &str, namespace: &str, name: &str) -> String {
    if namespace.is_empty() { format!("{kind} {name}") } else { format!("{kind} {namespace}/{name}") }
}

/// What `lint` found.
#[derive(Debug, Default)]
pub struct Report {
    pub problems: Vec<Problem>,
    pub policies: Vec<Policy>,
    /// By name; `None` for one that is wrong.
    pub locations: BTreeMap<String, Option<ArchiveLocationSpec>>,
    pub namespaces: Namespaces,
    /// Objects of other kinds.
    pub passed_over: usize,
}

impl Report {
    pub fn errors(&self) -> usize {
        self.count("error")
    }

    pub fn warnings(&self) -> usize {
        self.count("warning")
    }

    fn count(&self, severity: &str) -> usize {
        self.problems.iter().filter(|p| p.severity == severity).count()
    }

    /// Looks at one object of a file.
    pub fn object(&mut self, file: &str, kind: &str, object: &Value) {
        if kind == "Namespace" {
            let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            self.namespaces.insert(name, admit::labels(object));
            return;
        }
        if !matches!(kind, "WorkflowPolicy" | "ClusterWorkflowPolicy" | "Watchdog" | "ArchiveLocation") {
            self.passed_over += 1;
            return;
        }
        let meta = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
        let (namespace, name) = (meta("namespace"), meta("name"));
        let of = shown(kind, &namespace, if name.is_empty() { "(no name)" } else { &name });
        let before = self.problems.len();
        let mut say = |severity: &'static str, field: &str, message: String| {
            self.problems.push(Problem {
                file: file.to_owned(),
                object: of.clone(),
                severity,
                field: field.to_owned(),
                message,
            });
        };
        let version = format!("{GROUP}/{VERSION}");
        if object["apiVersion"].as_str() != Some(&version) {
            say("error", "apiVersion", format!("must be {version}"));
        }
        if name.is_empty() {
            say("error", "metadata.name", "is missing".to_owned());
        }
        if kind != "WorkflowPolicy" && !namespace.is_empty() {
            say("error", "metadata.namespace", format!("a {kind} has no namespace: remove it"));
        }
        if kind == "Watchdog" {
            for breach in breaches(&object["spec"], kind) {
                say("error", &breach.field, breach.message);
            }
            return;
        }
        if kind == "ArchiveLocation" {
            let (problems, spec) = validate::lint_location(object);
            for problem in &problems {
                say("error", &problem.field, problem.message.clone());
            }
            self.locations.insert(name, spec.filter(|_| problems.is_empty()));
            return;
        }
        for breach in breaches(&object["spec"], kind) {
            say("error", &breach.field, breach.message);
        }
        if self.problems.len() > before {
            return;
        }
        let cluster = kind == "ClusterWorkflowPolicy";
        let read = if cluster {
            ClusterPolicySpec::from_value(&object["spec"]).map(|c| (c.policy.clone(), Some(c)))
        } else {
            PolicySpec::from_value(&object["spec"]).map(|s| (s, None))
        };
        let of = shown(kind, &namespace, &name);
        let mut say = |severity: &'static str, field: String, message: String| {
            self.problems.push(Problem { file: file.to_owned(), object: of.clone(), severity, field, message });
        };
        match read {
            Err(error) => say("error", error.field, error.message),
            Ok((spec, cluster)) => {
                for problem in validate::check(&spec, &Context::default()) {
                    let severity = if problem.severity == Severity::Error { "error" } else { "warning" };
                    say(severity, problem.field, problem.message);
                }
                let created = object["metadata"]["creationTimestamp"].as_str().and_then(|t| t.parse().ok());
                let file = file.to_owned();
                self.policies.push(Policy { file, kind: kind.to_owned(), namespace, name, created, cluster, spec });
            }
        }
    }

    /// A file that could not be taken apart.
    pub fn unreadable(&mut self, file: &str, message: String) {
        let (object, field) = (String::new(), String::new());
        self.problems.push(Problem { file: file.to_owned(), object, severity: "error", field, message });
    }

    /// Compares the policies with each other, once all are there.
    pub fn compare(&mut self) {
        let found = overlap::find(&self.policies);
        self.problems.extend(found);
        self.problems.extend(places::find(&self.policies, &self.locations, &self.namespaces));
    }
}

/// The problems as text, with a summary.
pub fn render(report: &Report, screen: Screen) -> String {
    let mut out = String::new();
    let mut last = String::new();
    for p in &report.problems {
        let head = if p.object.is_empty() { p.file.clone() } else { format!("{}: {}", p.file, p.object) };
        if head != last {
            out.push_str(&screen.paint(Tone::Heading, &wrap(&head, 0, 2, screen.width)));
            out.push('\n');
            last = head;
        }
        let tone = match p.severity {
            "error" => Tone::Bad,
            "warning" => Tone::Waiting,
            _ => Tone::Faint,
        };
        let text = if p.field.is_empty() { p.message.clone() } else { format!("{} {}", p.field, p.message) };
        let mark = format!("{:<7}", p.severity);
        let _ = writeln!(out, "  {}  {}", screen.paint(tone, &mark), wrap(&text, 11, 11, screen.width));
    }
    let policies = words_of(report.policies.len());
    let (errors, warnings) = (count(report.errors(), "error"), count(report.warnings(), "warning"));
    let notes = match report.count("note") {
        0 => String::new(),
        n => format!(", {}", count(n, "note")),
    };
    let _ = writeln!(out, "{policies} readable; {errors}, {warnings}{notes}");
    out
}

fn words_of(n: usize) -> String {
    if n == 1 { "1 policy".to_owned() } else { format!("{n} policies") }
}
