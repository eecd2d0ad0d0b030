//! `unstick archive list`: what is in the catalogue.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use futures::StreamExt as _;
use jiff::Timestamp;
use serde::Serialize;

use super::listed;
use super::place::{Place, PlaceArgs, told};
use super::progress::bar;
use crate::api::selector::Selector;
use crate::api::time::Time;
use crate::archive::catalogue::search::{Entries, Entry, batches, read};
use crate::archive::key::{Kind, stamp};
use crate::archive::manifest::Summary;
use crate::archive::query::Query;
use crate::archive::store::List;
use crate::cli::Io;
use crate::cli::args::{Global, Output, duration};
use crate::cli::columns::{Cell, Column, table};
use crate::cli::screen::{Screen, Tone};
use crate::cli::words::{count, span};

/// Batches read at a time.
const AT_ONCE: usize = 8;

/// Flags of `unstick archive list`.
#[derive(Args, Clone, Debug)]
pub struct ListArgs {
    #[command(flatten)]
    pub place: PlaceArgs,
    /// Namespace; default: all
    #[arg(short, long, value_name = "NS")]
    pub namespace: Option<String>,
    /// Workflows of this name; * stands for any text
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// The workflow of this uid
    #[arg(long, value_name = "UID")]
    pub uid: Option<String>,
    /// Runs of this template or `CronWorkflow`; * stands for any text
    #[arg(long, value_name = "NAME")]
    pub template: Option<String>,
    /// Runs that ended so, such as Failed; separated by commas
    #[arg(long, value_name = "PHASE", value_delimiter = ',')]
    pub phase: Vec<String>,
    /// Workflows with these labels, as in kubectl
    #[arg(short = 'l', long, value_name = "LABELS")]
    pub selector: Option<String>,
    /// Runs with this parameter; * stands for any text; may be given several times
    #[arg(short, long = "parameter", value_name = "NAME=VALUE", value_parser = parameter)]
    pub parameters: Vec<(String, String)>,
    /// Finished at this time or later: RFC 3339, or so long ago, such as 7d
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub since: Option<Moment>,
    /// Finished before this time
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub until: Option<Moment>,
    /// When it finished, or the beginning of that: 20261121, `20261121_1015`
    #[arg(long, value_name = "DATE", value_parser = super::pick::date)]
    pub date: Option<String>,
    /// Took at least so long, such as 90m
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub longer: Option<Duration>,
    /// Took at most so long
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub shorter: Option<Duration>,
    /// Runs of this cluster
    #[arg(long, value_name = "NAME")]
    pub cluster: Option<String>,
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

/// A time that was named, or so long ago.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    At(Timestamp),
    Ago(Duration),
}

impl Moment {
    fn at(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(at) => at,
            Self::Ago(ago) => now.checked_sub(ago).unwrap_or(Timestamp::UNIX_EPOCH),
        }
    }
}

fn moment(text: &str) -> Result<Moment, String> {
    if let Ok(at) = text.parse() {
        return Ok(Moment::At(at));
    }
    let wrong = |_| "must be RFC 3339, such as 2026-11-21T10:00:00Z, or so long ago, such as 36h or 7d".to_owned();
    duration(text).map(Moment::Ago).map_err(wrong)
}

fn parameter(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or("must be NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// One line of the list.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ArchiveListItem {
    #[serde(flatten)]
    run: Summary,
    key: String,
    digest: Option<String>,
    bytes: u64,
    stored_bytes: u64,
    archived_at: Option<Time>,
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

impl ListArgs {
    fn query(&self, now: Timestamp) -> anyhow::Result<Query> {
        let labels = self.selector.as_deref().map(Selector::parse).transpose().context("--selector")?;
        let seconds = |d: Option<Duration>| d.map(|d| i64::try_from(d.as_secs()).unwrap_or(i64::MAX));
        Ok(Query {
            cluster: self.cluster.clone(),
            namespace: self.namespace.clone(),
            name: self.name.clone(),
            uid: self.uid.clone(),
            template: self.template.clone(),
            phases: self.phase.clone(),
            labels,
            parameters: self.parameters.clone(),
            since: self.since.map(|m| m.at(now)),
            until: self.until.map(|m| m.at(now)),
            shortest: seconds(self.longer),
            longest: seconds(self.shorter),
            date: self.date.clone(),
        })
    }
}

pub(super) async fn find(args: &ListArgs, global: &Global, io: &mut Io<'_>) -> anyhow::Result<Found> {
    let query = args.query(Timestamp::now())?;
    let place = args.place.open(global, io.err).await?;
    let store = place.store.as_ref();
    let mut found = match batches(store, &place.layout, &query.scope()).await.map_err(|e| told(&e))? {
        Some(batches) => {
            let bar = bar("batches", Some(batches.len() as u64), io);
            let (mut entries, mut damaged) = (Entries::default(), 0);
            let mut reads = futures::stream::iter(batches)
                .map(|batch| async move { read(store, &batch.key).await })
                .buffered(AT_ONCE);
            while let Some(batch) = reads.next().await {
                let batch = batch.map_err(|e| told(&e))?;
                damaged += batch.damaged;
                batch.rows.into_iter().filter(|row| query.asks_for(row)).for_each(|row| entries.add(row));
                bar.inc(1);
            }
            bar.finish_and_clear();
            if damaged > 0 {
                writeln!(io.err, "warning: {damaged} parts of the catalogue are damaged: unstick archive reindex")?;
            }
            Found { items: entries.sorted().into_iter().filter_map(item).collect(), damaged, all: 0 }
        }
        None if query.is_answered_by_keys() => {
            writeln!(io.err, "note: no catalogue here, listed by keys: unstick archive reindex makes one")?;
            by_keys(&place, &query).await?
        }
        None => bail!("no catalogue here, which these filters need: unstick archive reindex makes one"),
    };
    found.all = archives(&found.items);
    if args.limit > 0 {
        found.items.truncate(args.limit);
    }
    Ok(found)
}

fn item(entry: Entry) -> Option<ArchiveListItem> {
    let Entry { archive, deletion } = entry;
    let (deleted_at, policy, reason) = match &deletion {
        Some(told) => (told.deleted_at, told.policy.clone(), told.reason.clone()),
        None => (None, None, None),
    };
    let row = archive.or(deletion)?;
    Some(ArchiveListItem {
        run: row.summary,
        key: row.key,
        digest: row.digest.map(|digest| digest.to_string()),
        bytes: row.bytes,
        stored_bytes: row.stored_bytes,
        archived_at: row.archived_at,
        deleted_at,
        policy,
        reason,
    })
}

/// What keys alone tell: also of archives that other programs wrote.
async fn by_keys(place: &Place, query: &Query) -> anyhow::Result<Found> {
    let below = query.namespace.as_ref().map(|ns| format!("{ns}/")).unwrap_or_default();
    let prefix = format!("{}{below}", place.layout.bodies());
    let (mut found, mut token) = (Found::default(), None);
    loop {
        let asked = List { prefix: &prefix, token: token.as_deref(), ..List::default() };
        let page = place.store.list(&asked).await.map_err(|e| told(&e))?;
        for object in page.objects {
            let Some(Kind::Body(stem)) = place.layout.read(&object.key) else { continue };
            let finished = stem.parts().and_then(|parts| parts.finished);
            let asked = finished.is_some_and(|at| query.asks_for_time(at))
                || finished.is_none() && query.date.is_none() && query.since.is_none() && query.until.is_none();
            if asked && query.asks_for_name(&stem.namespace, &stem.name) {
                let run = Summary {
                    namespace: stem.namespace,
                    name: stem.name,
                    finished_at: finished.map(Time::new),
                    ..Summary::default()
                };
                let (digest, archived_at, deleted_at, policy, reason) = (None, None, None, None, None);
                let (key, stored_bytes) = (object.key, object.size);
                let item = ArchiveListItem {
                    run,
                    key,
                    digest,
                    bytes: 0,
                    stored_bytes,
                    archived_at,
                    deleted_at,
                    policy,
                    reason,
                };
                found.items.push(item);
            }
        }
        token = page.next;
        if token.is_none() {
            break;
        }
    }
    found.items.sort_by(|a, b| b.run.finished_at.cmp(&a.run.finished_at).then_with(|| a.key.cmp(&b.key)));
    Ok(found)
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
        let mut alike: HashMap<_, usize> = HashMap::new();
        let own = |item: &ArchiveListItem| (item.run.namespace.clone(), item.run.name.clone(), item.run.finished_at);
        for item in found.items.iter().filter(|item| !item.key.is_empty()) {
            *alike.entry(own(item)).or_default() += 1;
        }
        let line = |item: &ArchiveListItem| {
            // Two that finished at one time are told apart by the whole name only.
            let only = alike.get(&own(item)) == Some(&1);
            let stem = || item.key.rsplit('/').next().and_then(|name| name.strip_suffix(".json.gz")).map(str::to_owned);
            let date = item.run.finished_at.filter(|_| only).map(|at| stamp(at.get())).or_else(stem);
            let date = date.map(|date| format!(" --date {date}")).unwrap_or_default();
            format!("-n {} {}{date}\n", item.run.namespace, item.run.name)
        };
        return Ok(found.items.iter().filter(|item| !item.key.is_empty()).map(line).collect());
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
        let stored: u64 = found.items.iter().map(|item| item.stored_bytes).sum();
        let archives = archives(&found.items);
        let of = if found.all > archives { format!(" of {}", found.all) } else { String::new() };
        let _ = write!(out, "{}{of}, {} stored", count(archives, "archive"), size(stored));
        let bare = found.items.len() - archives;
        if bare > 0 {
            let _ = write!(out, "; {} without an archive", count(bare, "deletion"));
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
        Cell::new(&size(item.stored_bytes)),
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
