//! `unstick archive list`: what is in the catalogue.

use std::fmt::Write as _;

use clap::Args;
use futures::{StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;
use serde::Serialize;

use super::expiry::has_expired;
use super::filter::FilterArgs;
use super::find::{Hit, Look, by_keys, in_catalogue};
use super::listed;
use super::pick::named;
use super::place::{Place, PlaceArgs};
use crate::api::time::Time;
use crate::archive::catalogue::Row;
use crate::archive::catalogue::search::Entry;
use crate::archive::key::Stem;
use crate::archive::manifest::Summary;
use crate::cli::Io;
use crate::cli::args::{Global, Output};
use crate::cli::columns::{Cell, Column, table};
use crate::cli::screen::{Screen, Tone};
use crate::cli::words::{count, span};

/// Archives looked after at a time.
const AT_ONCE: usize = 8;

/// Flags of `unstick archive list`.
#[derive(Args, Clone, Debug)]
pub struct ListArgs {
    #[command(flatten)]
    pub place: PlaceArgs,
    #[command(flatten)]
    pub filter: FilterArgs,
    /// The latest so many; 0 = all
    #[arg(long, value_name = "N", default_value = "0")]
    pub limit: usize,
    /// Form of the output
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value = "table")]
    pub output: Output,
    /// No headers and no summary
    #[arg(long)]
    pub no_headers: bool,
    /// Exit with 0 also when parts of the catalogue are damaged
    #[arg(long)]
    pub exit_zero: bool,
}

/// One line of the list.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ArchiveListItem {
    #[serde(flatten)]
    run: Summary,
    key: String,
    digest: Option<String>,
    bytes: u64,
    stored_bytes: u64,
    archived_at: Option<Time>,
    /// It has gone from the bucket, as was to be: only this line is left.
    expired: bool,
    deleted_at: Option<Time>,
    policy: Option<String>,
    reason: Option<String>,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    pub items: Vec<ArchiveListItem>,
    /// Batches or lines that can't be read.
    pub damaged: usize,
    /// Archives, before the limit.
    all: usize,
}

pub(super) async fn find(args: &ListArgs, global: &Global, io: &mut Io<'_>) -> anyhow::Result<Found> {
    let query = args.filter.query(Timestamp::now())?;
    let place = args.place.open(global, io.err).await?;
    let mut found = if let Some(known) = in_catalogue(&place, &query, io).await? {
        let items = known.entries.into_iter().filter_map(item).collect();
        Found { items, damaged: known.damaged, all: 0 }
    } else {
        let how = if query.is_answered_by_keys() { "listed by keys" } else { "listed by manifests" };
        writeln!(io.err, "note: no catalogue here, {how}: unstick archive reindex makes one")?;
        let hits = by_keys(&place, &query, Look::Bodies, io).await?;
        let mut items: Vec<_> = hits.into_iter().map(|hit| by_key(&place, hit)).collect();
        items.sort_by(|a, b| b.run.finished_at.cmp(&a.run.finished_at).then_with(|| a.key.cmp(&b.key)));
        Found { items, ..Found::default() }
    };
    found.all = archives(&found.items);
    if args.limit > 0 {
        found.items.truncate(args.limit);
    }
    let asked = found.items.iter().map(|item| (item.key.clone(), item.archived_at));
    let place = &place;
    let expired: Vec<bool> = futures::stream::iter(asked)
        .map(|(key, archived_at)| async move { Ok(!key.is_empty() && has_expired(place, &key, archived_at).await?) })
        .buffered(AT_ONCE)
        .try_collect::<Vec<bool>>()
        .await
        .map_err(|e: anyhow::Error| e)?;
    found.items.iter_mut().zip(expired).for_each(|(item, expired)| item.expired = expired);
    Ok(found)
}

fn item(entry: Entry) -> Option<ArchiveListItem> {
    match entry {
        Entry { archive: Some(row), deletion } => Some(of_row(row, deletion.as_ref())),
        Entry { archive: None, deletion: Some(row) } => Some(of_row(row.clone(), Some(&row))),
        Entry { archive: None, deletion: None } => None,
    }
}

fn of_row(row: Row, deletion: Option<&Row>) -> ArchiveListItem {
    ArchiveListItem {
        run: row.summary,
        key: row.key,
        digest: row.digest.map(|digest| digest.to_string()),
        bytes: row.bytes,
        stored_bytes: row.stored_bytes,
        archived_at: row.archived_at,
        expired: false,
        deleted_at: deletion.and_then(|told| told.deleted_at),
        policy: deletion.and_then(|told| told.policy.clone()),
        reason: deletion.and_then(|told| told.reason.clone()),
    }
}

/// What its key tells, and its manifest where that was read: also of archives that other programs wrote.
fn by_key(place: &Place, hit: Hit) -> ArchiveListItem {
    let size = hit.listed.map(|listed| listed.size).unwrap_or_default();
    if let Some(row) = hit.row {
        return of_row(row, None);
    }
    ArchiveListItem {
        key: place.layout.body(&hit.stem),
        run: Summary {
            finished_at: hit.stem.parts().and_then(|parts| parts.finished).map(Time::new),
            namespace: hit.stem.namespace,
            name: hit.stem.name,
            ..Summary::default()
        },
        stored_bytes: size,
        ..ArchiveListItem::default()
    }
}

/// How many are archives: the others tell of runs that were deleted without one.
fn archives(items: &[ArchiveListItem]) -> usize {
    items.iter().filter(|item| !item.key.is_empty()).count()
}

/// The list in the form that is asked for.
pub(super) fn render(found: &Found, args: &ListArgs, screen: Screen) -> anyhow::Result<String> {
    if let Some(form) = listed(args.output) {
        return crate::cli::emit::list("ArchiveList", &found.items, form);
    }
    if args.output == Output::Name {
        let stem = |item: &ArchiveListItem| {
            let stem = item.key.rsplit('/').next()?.strip_suffix(".json.gz")?.to_owned();
            Some(Stem { namespace: item.run.namespace.clone(), name: item.run.name.clone(), stem })
        };
        let stems: Vec<Stem> = found.items.iter().filter_map(stem).collect();
        return Ok(named(&stems).into_iter().map(|line| line + "\n").collect());
    }
    let screen = if args.output == Output::Wide { screen.wide() } else { screen };
    let mut columns = vec![
        Column::name("NAMESPACE", 8),
        Column::name("NAME", 12),
        Column::fixed("PHASE"),
        Column::fixed("FINISHED"),
        Column::fixed("TOOK"),
        Column::name("TEMPLATE", 8).leave(2),
        Column::fixed("SIZE").leave(1),
        Column::fixed("DELETED").leave(3),
    ];
    if args.output == Output::Wide {
        columns.extend([Column::name("CLUSTER", 8), Column::fixed("UID"), Column::fixed("KEY")]);
    }
    let rows: Vec<Vec<Cell>> = found.items.iter().map(|item| cells(item, args.output == Output::Wide)).collect();
    let mut out = String::new();
    if !rows.is_empty() {
        out = table(&columns, &rows, !args.no_headers, screen);
    }
    if !args.no_headers {
        let stored: u64 = found.items.iter().filter(|item| !item.expired).map(|item| item.stored_bytes).sum();
        let archives = archives(&found.items);
        let of = if found.all > archives { format!(" of {}", found.all) } else { String::new() };
        let _ = write!(out, "{}{of}, {} stored", count(archives, "archive"), size(stored));
        let bare = found.items.len() - archives;
        if bare > 0 {
            let _ = write!(out, "; {} without an archive", count(bare, "deletion"));
        }
        let expired = found.items.iter().filter(|item| item.expired).count();
        if expired > 0 {
            let _ = write!(out, "; {expired} expired by the bucket's lifecycle, only the line is left");
        }
        out.push_str(".\n");
    }
    Ok(out)
}

fn cells(item: &ArchiveListItem, wide: bool) -> Vec<Cell> {
    let run = &item.run;
    let tone = match run.phase.as_str() {
        "Failed" | "Error" => Tone::Bad,
        _ => Tone::Plain,
    };
    let time = |at: Option<Time>| at.map(|at| at.get().strftime("%Y-%m-%d %H:%M").to_string()).unwrap_or_default();
    let of = run.template.as_deref().or(run.cron_workflow.as_deref()).unwrap_or_default();
    let mut cells = vec![
        Cell::new(&run.namespace),
        Cell::new(&run.name),
        Cell::toned(&run.phase, tone),
        Cell::new(&time(run.finished_at)),
        Cell::new(&run.duration_seconds.map(span).unwrap_or_default()),
        Cell::new(of),
        if item.expired { Cell::toned("expired", Tone::Waiting) } else { Cell::new(&size(item.stored_bytes)) },
        Cell::new(&time(item.deleted_at)),
    ];
    if wide {
        cells.extend([Cell::new(&run.cluster), Cell::new(&run.uid), Cell::new(&item.key)]);
    }
    cells
}

/// `12.3 KiB`.
fn size(bytes: u64) -> String {
    let (mut whole, mut tenths, mut unit) = (bytes, 0, 0);
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    while whole >= 1024 && unit + 1 < units.len() {
        tenths = whole % 1024 * 10 / 1024;
        whole /= 1024;
        unit += 1;
    }
    let name = units.get(unit).copied().unwrap_or_default();
    if unit == 0 || whole >= 100 { format!("{whole} {name}") } else { format!("{whole}.{tenths} {name}") }
}
