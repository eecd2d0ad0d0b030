//! The text of `unstick plan`: a table of policies, what goes first, what is kept and why, and a closing line.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::columns::{Cell, Column, table, wrap};
use super::plan::{Decision, Group, PlanItem, Seen, groups};
use super::screen::{Screen, Tone};
use super::words::{count, minute, seconds_since, size, span};
use crate::api::reasons::Mode;
use crate::api::time::Time;

/// Named of those that are due.
const FIRST: usize = 5;

/// For people, by policy and namespace.
pub fn render(items: &[PlanItem], seen: &Seen, bare: bool, screen: Screen, program: &str) -> String {
    let groups = groups(items);
    let mut out = if groups.is_empty() { String::new() } else { summary(&groups, seen, bare, screen) };
    if bare {
        return out;
    }
    out.push_str(&first(items, seen, screen));
    out.push_str(&kept(items, seen, screen));
    closing(&mut out, items, seen, screen, program);
    // Each part has an empty line before it; there may be none to stand before the first.
    out.trim_start_matches('\n').to_owned()
}

/// A line for each workflow.
pub fn wide(items: &[PlanItem], seen: &Seen, bare: bool, screen: Screen, program: &str) -> String {
    let titles =
        ["NAMESPACE", "WORKFLOW", "PHASE", "FINISHED", "SIZE", "POLICY", "MODE", "WOULD", "WHEN", "REASON", "MESSAGE"];
    let rows: Vec<Vec<Cell>> = items
        .iter()
        .map(|i| {
            let would = match i.decision {
                Decision::Delete => Cell::toned("delete", Tone::Waiting),
                Decision::ArchiveThenDelete => Cell::toned("archive, then delete", Tone::Waiting),
                Decision::Later | Decision::Keep => Cell::new("keep"),
            };
            let due = if i.is_due() { "now".to_owned() } else { when(i.at, seen) };
            vec![
                Cell::new(&i.namespace),
                Cell::new(&i.name),
                Cell::new(i.phase),
                Cell::new(&ago(i, seen)),
                Cell::new(&size(i.bytes)),
                Cell::new(&i.policy),
                Cell::new(i.mode.as_str()),
                would,
                Cell::new(&due),
                Cell::new(if i.decision == Decision::Later { "NotDueYet" } else { i.reason }),
                Cell::new(&i.message),
            ]
        })
        .collect();
    let mut out =
        if rows.is_empty() { String::new() } else { table(&titles.map(Column::fixed), &rows, !bare, screen.wide()) };
    if !bare {
        closing(&mut out, items, seen, screen, program);
    }
    out
}

fn summary(groups: &[Group<'_>], seen: &Seen, bare: bool, screen: Screen) -> String {
    let columns = [
        Column::name("NAMESPACE", 9).leave(1),
        Column::name("POLICY", 8),
        Column::fixed("MODE"),
        Column::fixed("FINISHED"),
        Column::fixed("DUE NOW"),
        Column::fixed("NEXT DUE").leave(2),
    ];
    let rows: Vec<Vec<Cell>> = groups
        .iter()
        .map(|group| {
            let sized = |items: &mut dyn Iterator<Item = &PlanItem>| {
                let (n, bytes) = items.fold((0, 0), |(n, bytes), i| (n + 1, bytes + i.bytes));
                (n, if n == 0 { "0".to_owned() } else { format!("{n} ({})", size(bytes)) })
            };
            let (_, all) = sized(&mut group.all.iter().copied());
            let (n, due) = sized(&mut group.due());
            vec![
                Cell::new(group.namespace),
                Cell::new(group.policy),
                Cell::new(group.mode.as_str()),
                Cell::new(&all),
                Cell::toned(&due, if n > 0 { Tone::Waiting } else { Tone::Plain }),
                Cell::new(&group.next().map(|at| soon(at, seen)).unwrap_or_default()),
            ]
        })
        .collect();
    table(&columns, &rows, !bare, screen)
}

/// Those that go first.
fn first(items: &[PlanItem], seen: &Seen, screen: Screen) -> String {
    let due: Vec<&PlanItem> = items.iter().filter(|i| i.is_due()).collect();
    if due.is_empty() {
        return String::new();
    }
    let columns = [
        Column::name("DUE NOW, THE OLDEST FIRST", 24),
        Column::fixed("PHASE"),
        Column::fixed("FINISHED"),
        Column::fixed("SIZE"),
        Column::fixed("ARCHIVE").leave(1),
    ];
    let rows: Vec<Vec<Cell>> = due
        .iter()
        .take(FIRST)
        .map(|i| {
            let how = match i.decision {
                Decision::ArchiveThenDelete => "made first",
                _ if i.is_bare() => "not asked for",
                _ => "there",
            };
            vec![
                Cell::new(&format!("{}/{}", i.namespace, i.name)),
                Cell::new(i.phase),
                Cell::new(&ago(i, seen)),
                Cell::new(&size(i.bytes)),
                Cell::toned(how, Tone::Faint),
            ]
        })
        .collect();
    let mut out = format!("\n{}", table(&columns, &rows, true, screen));
    if due.len() > FIRST {
        let _ = writeln!(out, "and {} more: -o wide lists all", due.len() - FIRST);
    }
    out
}

/// What isn't due, by reason.
fn kept(items: &[PlanItem], seen: &Seen, screen: Screen) -> String {
    let mut reasons: BTreeMap<&str, (usize, &PlanItem)> = BTreeMap::new();
    for item in items.iter().filter(|i| !i.is_due()) {
        let reason = if item.decision == Decision::Later { "NotDueYet" } else { item.reason };
        let entry = reasons.entry(reason).or_insert((0, item));
        entry.0 += 1;
        // Of those that wait for a time, the first.
        if item.at.is_some() && (entry.1.at.is_none() || item.at < entry.1.at) {
            entry.1 = item;
        }
    }
    if reasons.is_empty() && seen.ungoverned == 0 {
        return String::new();
    }
    let columns = [Column::fixed("KEPT"), Column::fixed("REASON"), Column::text("WHY, AND ONE OF THEM", 20)];
    let mut rows: Vec<(usize, Vec<Cell>)> = reasons
        .iter()
        .map(|(reason, (n, item))| {
            let one = format!("{}/{}", item.namespace, item.name);
            let why = match (item.decision, item.at) {
                (Decision::Later, at) => format!("{one} is due {}", when(at, seen)),
                (_, Some(_)) => format!("{}; again {}: {one}", item.message, when(item.at, seen)),
                (_, None) => format!("{}: {one}", item.message),
            };
            (*n, vec![Cell::new(&n.to_string()), Cell::new(reason), Cell::new(&why)])
        })
        .collect();
    if seen.ungoverned > 0 {
        let why = Cell::new("no policy with archive or cleanup governs it");
        rows.push((seen.ungoverned, vec![Cell::new(&seen.ungoverned.to_string()), Cell::new("NoPolicy"), why]));
    }
    rows.sort_by_key(|(n, _)| std::cmp::Reverse(*n));
    let rows: Vec<Vec<Cell>> = rows.into_iter().map(|(_, row)| row).collect();
    format!("\n{}", table(&columns, &rows, true, screen))
}

fn closing(out: &mut String, items: &[PlanItem], seen: &Seen, screen: Screen, program: &str) {
    if !out.is_empty() {
        out.push('\n');
    }
    for (line, command) in last_words(items, seen, program) {
        out.push_str(&wrap(&line, 0, 0, screen.width));
        out.push('\n');
        // As it is typed: broken between words it could not be pasted.
        command.lines().for_each(|line| {
            let _ = writeln!(out, "  {line}");
        });
    }
}

/// What would happen, and what to type: a line for what is in force, one for what isn't.
fn last_words(items: &[PlanItem], seen: &Seen, program: &str) -> Vec<(String, String)> {
    if items.is_empty() {
        let why =
            if seen.keepers == 0 { "no policy has archive or cleanup" } else { "no finished workflow is under one" };
        return vec![(
            format!("Nothing would be deleted: {why}. To begin: docs/archive.md, \"Switch it on\""),
            String::new(),
        )];
    }
    let due: Vec<&PlanItem> = items.iter().filter(|i| i.is_due()).collect();
    if due.is_empty() {
        let next = items.iter().filter(|i| i.decision == Decision::Later).min_by_key(|i| i.at);
        let next = next.map_or_else(
            || "nor will anything be by time alone".to_owned(),
            |i| format!("the first to be is {}/{} {}", i.namespace, i.name, when(i.at, seen)),
        );
        return vec![(format!("Nothing is due now; {next}. To see each workflow:"), format!("{program} plan -o wide"))];
    }
    let runs = |of: &[&PlanItem]| {
        format!("{} ({})", count(of.len(), "workflow"), size(of.iter().map(|i| i.bytes).sum::<usize>()))
    };
    let (now, not): (Vec<&PlanItem>, Vec<&PlanItem>) = due.iter().partition(|i| i.mode == Mode::Enforce);
    let mut lines = Vec::new();
    if let Some(one) = now.first() {
        let hold = format!("kubectl annotate workflow -n {} {} unstick.dev/hold=WHY", one.namespace, one.name);
        lines.push((format!("The operator would delete {} now{}. To keep one:", runs(&now), proofs(&now)), hold));
    }
    if let Some(one) = not.first() {
        let text = format!("{} would go, but nothing does in mode {}. To let them go:", runs(&not), one.mode);
        lines.push((text, enforce(one)));
    }
    lines
}

/// What has to be proven before.
fn proofs(of: &[&PlanItem]) -> String {
    let bare = of.iter().filter(|i| i.is_bare()).count();
    match of.len() - bare {
        0 => ", without an archive: the policy asks for none".to_owned(),
        _ if bare > 0 => format!(", {bare} of them without an archive, the others after theirs has been read back"),
        _ => ", each after its archive has been read back".to_owned(),
    }
}

/// The command that puts a policy's cleanup in force, and its archive where that comes first.
fn enforce(item: &PlanItem) -> String {
    let cleanup = r#""cleanup":{"mode":"Enforce"}"#;
    let patch = match item.decision {
        Decision::ArchiveThenDelete => format!(r#"'{{"spec":{{"archive":{{"mode":"Enforce"}},{cleanup}}}}}'"#),
        _ => format!(r#"'{{"spec":{{{cleanup}}}}}'"#),
    };
    match item.policy.strip_prefix("cluster/") {
        Some(name) => format!("kubectl patch cwfp {name} --type merge -p \\\n{patch}"),
        None => format!("kubectl patch wfp -n {} {} --type merge -p \\\n{patch}", item.namespace, item.policy),
    }
}

fn ago(item: &PlanItem, seen: &Seen) -> String {
    item.finished_at.map(|at| format!("{} ago", span(seconds_since(at.get(), seen.now)))).unwrap_or_default()
}

/// `in 2h (2026-11-21 12:00 UTC)`.
fn when(at: Option<Time>, seen: &Seen) -> String {
    at.map(|at| format!("{} ({})", soon(at, seen), minute(at.get()))).unwrap_or_default()
}

fn soon(at: Time, seen: &Seen) -> String {
    format!("in {}", span(seconds_since(seen.now, at.get())))
}
