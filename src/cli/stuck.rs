//! `unstick stuck`: the on-call list.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use serde::Serialize;

use super::args::{From, Output, Which, duration};
use super::columns::{Cell, Column, table, wrap};
use super::screen::{Screen, Tone};
use super::words::{self, seconds_since, span, waiting_for};
use crate::api::reasons::{DetectionType, Reason};
use crate::api::time::Time;
use crate::watchdog::report::{Finding, Holding, Totals};

/// Flags of `unstick stuck`.
#[allow(clippy::struct_excessive_bools)] // flags are what they are
#[derive(Args, Clone, Debug)]
pub struct StuckArgs {
    #[command(flatten)]
    pub from: From,
    #[command(flatten)]
    pub which: Which,
    /// Only what has been so for at least this long, such as 90m, 36h or 7d
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub older: Option<Duration>,
    /// Only these reasons or detection types, such as `ImagePull` or `Suspended`, also where they are not the first
    /// that holds; separated by commas
    #[arg(long, value_name = "NAME", value_delimiter = ',', value_parser = reason)]
    pub reason: Vec<Filter>,
    /// Form of the output
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value = "table")]
    pub output: Output,
    /// No headers and no summary
    #[arg(long)]
    pub no_headers: bool,
    /// Look again and again: redraws on a terminal, elsewhere appends what changed
    #[arg(short, long, conflicts_with = "files")]
    pub watch: bool,
    /// Pause between two looks of --watch
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "15s")]
    pub interval: Duration,
    /// Exit with 0 also when something is stuck
    #[arg(long)]
    pub exit_zero: bool,
}

/// One value of `--reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter {
    Type(DetectionType),
    Reason(Reason),
}

fn reason(text: &str) -> Result<Filter, String> {
    let same = |name: &str| name.eq_ignore_ascii_case(text);
    if let Some(kind) = DetectionType::ALL.iter().find(|k| same(k.as_str())) {
        return Ok(Filter::Type(*kind));
    }
    if let Some(reason) = Reason::ALL.iter().find(|r| same(r.as_str())) {
        return Ok(Filter::Reason(*reason));
    }
    let types: Vec<_> = DetectionType::ALL.iter().map(|k| k.as_str()).collect();
    let reasons: Vec<_> = Reason::ALL.iter().map(|r| r.as_str()).collect();
    Err(format!("must be a type ({}) or a reason ({})", types.join(", "), reasons.join(", ")))
}

/// Keeps what the flags ask for; the longest first.
pub fn choose(findings: Vec<Finding>, args: &StuckArgs, now: Timestamp) -> Vec<Finding> {
    let older = args.older.map_or(0, |d| i64::try_from(d.as_secs()).unwrap_or(i64::MAX));
    let asked = |h: &Holding| {
        args.reason.is_empty()
            || args.reason.iter().any(|f| match f {
                Filter::Type(kind) => h.kind == *kind,
                Filter::Reason(reason) => h.reason == *reason,
            })
    };
    let mut kept: Vec<Finding> = findings
        .into_iter()
        .filter(|f| f.detections.iter().any(asked))
        .filter(|f| f.detections.first().is_some_and(|h| seconds_since(h.since, now) >= older))
        .collect();
    kept.sort_by(|a, b| {
        let key = |f: &Finding| f.detections.first().map(|h| h.since);
        key(a).cmp(&key(b)).then_with(|| (&a.namespace, &a.name, &a.uid).cmp(&(&b.namespace, &b.name, &b.uid)))
    });
    kept
}

/// A row of `stuck -o json` (API.md section 4).
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StuckItem {
    namespace: String,
    name: String,
    uid: String,
    started_at: Option<Time>,
    detection: String,
    reason: Reason,
    since: Time,
    for_seconds: i64,
    node: String,
    message: String,
    policy: String,
    mode: String,
    next: String,
    detections: Vec<HeldItem>,
}

/// One detection that holds.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HeldItem {
    name: String,
    #[serde(rename = "type")]
    kind: DetectionType,
    reason: Reason,
    since: Time,
    for_seconds: i64,
    node: String,
    message: String,
}

impl HeldItem {
    pub fn new(holding: &Holding, now: Timestamp) -> Self {
        Self {
            name: holding.name.clone(),
            kind: holding.kind,
            reason: holding.reason,
            since: holding.since.into(),
            for_seconds: seconds_since(holding.since, now),
            node: holding.node.clone(),
            message: holding.message.clone(),
        }
    }
}

/// The rows as they are written to JSON and YAML; a finding without a detection is none.
pub fn items(findings: &[Finding], now: Timestamp) -> Vec<StuckItem> {
    let item = |f: &Finding| {
        let first = f.detections.first()?;
        Some(StuckItem {
            namespace: f.namespace.clone(),
            name: f.name.clone(),
            uid: f.uid.clone(),
            started_at: f.started_at.map(Time::new),
            detection: first.name.clone(),
            reason: first.reason,
            since: first.since.into(),
            for_seconds: seconds_since(first.since, now),
            node: first.node.clone(),
            message: first.message.clone(),
            policy: f.policy.clone(),
            mode: f.mode.clone(),
            next: f.next.clone(),
            detections: f.detections.iter().map(|h| HeldItem::new(h, now)).collect(),
        })
    };
    findings.iter().filter_map(item).collect()
}

/// How the table is drawn.
#[derive(Clone, Copy, Debug)]
pub struct Look<'a> {
    pub namespaces: bool,
    pub wide: bool,
    pub headers: bool,
    pub screen: Screen,
    /// `unstick` or `kubectl unstick`.
    pub program: &'a str,
}

/// The table with its summary.
pub fn render(findings: &[Finding], totals: &Totals, now: Timestamp, look: Look<'_>) -> String {
    let screen = if look.wide { look.screen.wide() } else { look.screen };
    let mut columns = Vec::new();
    if look.namespaces {
        columns.push(Column::name("NAMESPACE", 9).leave(1));
    }
    columns.extend([
        Column::name("WORKFLOW", 16),
        Column::fixed("STATE"),
        Column::fixed("SINCE"),
        Column::name("AT NODE", 8).leave(3),
        Column::text("WAITING FOR", 18).leave(2),
        Column::name("POLICY", 8).leave(4),
        Column::text("NEXT", 12).leave(5),
    ]);
    if look.wide {
        columns.extend(["REASON", "MODE", "ALSO", "UID", "MESSAGE"].map(Column::fixed));
    }
    let rows: Vec<Vec<Cell>> = findings.iter().filter_map(|f| row(f, now, look)).collect();
    let mut out = if rows.is_empty() { String::new() } else { table(&columns, &rows, look.headers, screen) };
    if look.headers {
        for line in summary(findings, totals, look.program) {
            out.push_str(&wrap(&line, 0, 0, screen.width));
            out.push('\n');
        }
    }
    out
}

fn row(finding: &Finding, now: Timestamp, look: Look<'_>) -> Option<Vec<Cell>> {
    let first = finding.detections.first()?;
    let mut cells = Vec::new();
    if look.namespaces {
        cells.push(Cell::new(&finding.namespace));
    }
    cells.extend([
        Cell::new(&finding.name),
        Cell::toned(first.kind.as_str(), words::tone(first.kind)),
        Cell::new(&span(seconds_since(first.since, now))),
        Cell::new(&first.node),
        Cell::new(waiting_for(first.reason)),
        Cell::new(words::policy(&finding.policy)),
        Cell::toned(&finding.next, Tone::Faint),
    ]);
    if look.wide {
        let also: Vec<_> = finding.detections.iter().skip(1).map(|h| h.kind.as_str()).collect();
        cells.extend([
            Cell::new(first.reason.as_str()),
            Cell::new(&finding.mode),
            Cell::new(&also.join(",")),
            Cell::new(&finding.uid),
            Cell::new(&first.message),
        ]);
    }
    Some(cells)
}

/// `3 stuck of 412 unfinished (1 Suspended, 2 Pending).` and how to go on.
fn summary(findings: &[Finding], totals: &Totals, program: &str) -> Vec<String> {
    let mut text = if findings.is_empty() {
        format!("Nothing stuck: {} looked at", words::count(totals.unfinished, "unfinished workflow"))
    } else {
        let kinds: Vec<String> = DetectionType::ALL
            .iter()
            .map(|kind| {
                (kind, findings.iter().filter(|f| f.detections.first().is_some_and(|h| h.kind == *kind)).count())
            })
            .filter(|(_, n)| *n > 0)
            .map(|(kind, n)| format!("{n} {kind}"))
            .collect();
        format!("{} stuck of {} unfinished ({})", findings.len(), totals.unfinished, kinds.join(", "))
    };
    for (reason, n) in totals.unknown.iter().filter(|(_, n)| *n > 0) {
        let _ = write!(text, "; of {n} nothing can be said: {}", words::unknown(*reason));
    }
    if totals.ungoverned > 0 {
        let _ = write!(text, "; {} under no policy", totals.ungoverned);
    }
    text.push('.');
    let why = findings.first().map(|f| format!("Why: {program} explain -n {} {}", f.namespace, f.name));
    std::iter::once(text).chain(why).collect()
}

/// `-o name`: one workflow a line, ready for `xargs -L1 kubectl get`.
pub fn names(findings: &[Finding], namespaces: bool) -> String {
    let line = |f: &Finding| {
        if namespaces {
            format!("-n {} workflow.argoproj.io/{}\n", f.namespace, f.name)
        } else {
            format!("workflow.argoproj.io/{}\n", f.name)
        }
    };
    findings.iter().map(line).collect()
}

/// What makes two looks differ: everything but the passing of time.
pub fn fingerprint(findings: &[Finding]) -> BTreeSet<String> {
    findings
        .iter()
        .map(|f| {
            let held: Vec<_> = f.detections.iter().map(|h| format!("{} {} {}", h.name, h.reason, h.node)).collect();
            format!("{}/{} {} {}", f.namespace, f.name, f.uid, held.join(";"))
        })
        .collect()
}
