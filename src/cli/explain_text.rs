//! The text of `unstick explain`.

use jiff::Timestamp;

use super::columns::{Cell, Column, clean, table, wrap};
use super::explain::lasted;
use super::screen::{Screen, Tone};
use super::words::{self, minute, seconds_since, span, threshold};
use crate::watchdog::report::{Check, Explanation, Holding, Standing, Verdict};

/// Width of the labels below the table.
const LABEL: usize = 14;

/// Said of every workflow: this version never acts on a stuck one.
const OBSERVES: &str = "this version tells of stuck workflows and doesn't act on them";

/// The whole text.
pub fn render(e: &Explanation, now: Timestamp, screen: Screen) -> String {
    let mut out = verdict(e, now, screen);
    out.push('\n');
    if !e.checks.is_empty() {
        out.push_str(&checks(e, now, screen));
        out.push('\n');
    }
    let mut say = |label: &str, text: &str| {
        let label = if label.is_empty() { " ".repeat(LABEL) } else { format!("{label:<12}: ") };
        out.push_str(&screen.paint(Tone::Heading, &label));
        out.push_str(&wrap(text, LABEL, LABEL, screen.width));
        out.push('\n');
    };
    match &e.governing {
        Some(g) => {
            say("Policy", &format!("{}: {}", words::policy(&g.policy), g.why));
            for (name, why) in &g.others {
                say("", &format!("not {}: {why}", words::policy(name)));
            }
            say("Mode", &format!("{}; {OBSERVES}", g.mode));
        }
        None if e.standing == Standing::Finished => say("Policy", "its run has ended, nothing is looked for"),
        None => {
            say("Policy", "none selects this workflow, so nothing is looked for");
            say("Mode", OBSERVES);
        }
    }
    for (i, line) in e.done.iter().enumerate() {
        say(if i == 0 { "Done so far" } else { "" }, line);
    }
    if !e.next.is_empty() {
        say("Next", &e.next);
    }
    if !e.if_resumed.is_empty() {
        say("Resuming", &e.if_resumed);
    }
    for (i, note) in e.notes.iter().enumerate() {
        say(if i == 0 { "Note" } else { "" }, note);
    }
    for (i, (title, url)) in e.links.iter().enumerate() {
        say(if i == 0 { "Links" } else { "" }, &format!("{title} {url}"));
    }
    out
}

/// The first lines: what holds, for how long, where; then the sentence the operator's event has.
fn verdict(e: &Explanation, now: Timestamp, screen: Screen) -> String {
    let full = clean(&format!("{}/{}", e.namespace, e.name));
    let age = match e.started_at {
        Some(at) => format!("{} for {}", e.phase, span(seconds_since(at, now))),
        None => "not started".to_owned(),
    };
    let (word, tone, text) = match &e.standing {
        Standing::Stuck => {
            let Some(first) = e.detections.first() else { return format!("STUCK  {full}\n") };
            let node = if first.node.is_empty() { String::new() } else { format!(" at node \"{}\"", first.node) };
            let since = format!("{} {}{node}", first.kind, span(seconds_since(first.since, now)));
            let text = format!("{full}: {since}\n{}", first.message);
            ("STUCK", words::tone(first.kind), text)
        }
        Standing::Healthy => ("HEALTHY", Tone::Good, format!("{full}: {age}\n{}", nearest(&e.checks, now))),
        Standing::Unknown(reason) => {
            ("UNKNOWN", Tone::Waiting, format!("{full}: {age}\nNothing can be said: {}", words::unknown(*reason)))
        }
        Standing::Finished => ("FINISHED", Tone::Plain, format!("{full}: {}", e.phase)),
        Standing::SetAside(how) => ("SET ASIDE", Tone::Plain, format!("{full}: {age}\n{how}")),
    };
    let indent = word.len() + 2;
    let mut out = String::new();
    for (i, line) in text.split('\n').enumerate() {
        if i == 0 {
            out.push_str(&screen.paint(tone, word));
            out.push_str("  ");
        } else {
            out.extend(std::iter::repeat_n(' ', indent));
        }
        out.push_str(&wrap(line, indent, indent, screen.width));
        out.push('\n');
    }
    out
}

/// The threshold of a healthy workflow that passes first.
fn nearest(checks: &[Check], now: Timestamp) -> String {
    let next = checks
        .iter()
        .filter_map(|c| match &c.verdict {
            Verdict::HealthyUntil { until, .. } => Some((*until, c)),
            _ => None,
        })
        .min_by_key(|(until, _)| *until);
    match next {
        Some((until, check)) => {
            let left = span(seconds_since(now, until));
            format!("Stuck in {left} by detection {} ({}), if nothing changes", check.name, check.kind)
        }
        None => "No detection finds the state it looks for".to_owned(),
    }
}

fn held(holding: &Holding) -> String {
    if holding.node.is_empty() { holding.reason.to_string() } else { format!("{} at {}", holding.reason, holding.node) }
}

fn checks(e: &Explanation, now: Timestamp, screen: Screen) -> String {
    let columns = [
        Column::fixed(" "),
        Column::name("DETECTION", 22),
        Column::fixed("TYPE").leave(1),
        Column::fixed("FOR"),
        Column::fixed("THRESHOLD"),
        Column::text("FINDING", 26),
    ];
    let rows: Vec<Vec<Cell>> = e
        .checks
        .iter()
        .map(|check| {
            let after = threshold(check.after_seconds);
            let (mark, tone, limit, finding) = match &check.verdict {
                Verdict::Stuck(h) => ("x", words::tone(h.kind), format!("over {after}"), held(h)),
                Verdict::HealthyUntil { until, .. } => {
                    ("-", Tone::Plain, format!("under {after}"), format!("until {}", minute(*until)))
                }
                Verdict::Absent => (" ", Tone::Faint, after, "not the case".to_owned()),
                Verdict::Unknown(reason) => ("?", Tone::Waiting, after, format!("unknown ({reason})")),
            };
            let lasts = lasted(check, now).map(span).unwrap_or_default();
            vec![
                Cell::toned(mark, tone),
                Cell::toned(&check.name, tone),
                Cell::toned(check.kind.as_str(), tone),
                Cell::toned(&lasts, tone),
                Cell::toned(&limit, tone),
                Cell::toned(&finding, tone),
            ]
        })
        .collect();
    table(&columns, &rows, true, screen)
}
