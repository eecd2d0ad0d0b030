//! `unstick archive list` over a catalogue of 1,000,000 lines: what it asks of the store.

use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use jiff::{SignedDuration, Timestamp};
use unstick::archive::canonical::canonical;
use unstick::archive::catalogue::Row;
use unstick::archive::catalogue::batch::{Partition, complete, pack, partition};
use unstick::archive::catalogue::row::Deletion;
use unstick::archive::key::Layout;
use unstick::archive::redaction::Redaction;
use unstick::archive::store::Fingerprint;
use unstick_bed::corpus::{Corpus, Look, Size};
use unstick_bed::fakes3::FakeS3;
use unstick_bed::measure::{Table, millis};

use super::{Remote, Setting};

const NAMESPACES: u32 = 50;
const DAYS: u32 = 40;
/// Where the operator writes a batch: every 5 minutes, as far as there is something.
const BATCHES: u32 = 4;
const FIRST_DAY: &str = "2026-10-01T06:00:00Z";
pub const BUCKET: &str = "bench";
const PREFIX: &str = "workflow-archives";

pub fn run(setting: &Setting, table: &mut Table) -> Result<()> {
    let rows = if setting.quick { 100_000 } else { 1_000_000 };
    let store = Remote::start(setting, Duration::ZERO, rows)?;
    store.asked()?;
    let begun = std::time::Instant::now();
    let listed = Command::new(&setting.operator)
        .args(["archive", "list", "-n", "team-07", "--date", "20261015", "-o", "name"])
        .args(["--location", &format!("s3://{BUCKET}/{PREFIX}"), "--endpoint", &store.endpoint()])
        .envs(store.credentials())
        .stderr(Stdio::inherit())
        .output()?;
    let took = begun.elapsed();
    ensure!(listed.status.success(), "archive list ended with {}", listed.status);
    let lines = String::from_utf8_lossy(&listed.stdout).lines().count();
    let own = Partition { cluster: "default".into(), namespace: "team-07".into(), date: "2026-10-15".into() };
    let own = format!("{BUCKET}/{}", partition(&Layout::new(PREFIX).context("a layout")?, 1, &own));
    let asked = store.asked()?;
    let read: Vec<&str> =
        asked.lines().filter_map(|line| line.strip_prefix("GET ")).filter(|p| !p.contains('?')).collect();
    let elsewhere = read.iter().filter(|path| !path.starts_with(&own) && !path.ends_with("/_complete")).count();
    let label = |what: &str| format!("list of a day and namespace among {rows} lines: {what}");
    let number = |n: usize| n.to_string();
    table.at_least(&label("runs found"), lines, (rows / NAMESPACES / DAYS / BATCHES * BATCHES) as usize, number);
    table.at_most(&label("objects read outside of its partition"), elsewhere, 0, number);
    table.at_most(&label("requests"), asked.lines().count(), BATCHES as usize + 6, number);
    table.note(&label("took"), millis(took));
    Ok(())
}

/// Fills a store with a catalogue of so many lines: as many in each namespace and on each day.
pub fn fill(store: &FakeS3, rows: u32) -> Result<()> {
    let layout = Layout::new(PREFIX).context("a layout")?;
    let corpus = Corpus { count: 1, size: Size::Small, finished_per_mille: 1000, ..Corpus::default() };
    let text = corpus.specimen(0).text(1, Look { finished: true, ..Look::default() });
    let facts = canonical(&text, &Redaction::default())?.facts;
    let fingerprint = Fingerprint::s3("", BUCKET, PREFIX);
    let first: Timestamp = FIRST_DAY.parse()?;
    let line = Row::deletion(&Deletion {
        facts: &facts,
        cluster: "default",
        fingerprint: &fingerprint,
        archive: None,
        deleted_at: first.into(),
        policy: "bench",
        reason: "TimeToLive",
    });
    let each = rows / NAMESPACES / DAYS / BATCHES;
    for nth in 0..NAMESPACES * DAYS * BATCHES {
        let (namespace, day, part) = (nth % NAMESPACES, nth / NAMESPACES % DAYS, nth / NAMESPACES / DAYS);
        let at =
            first + SignedDuration::from_hours(i64::from(day) * 24) + SignedDuration::from_mins(i64::from(part) * 5);
        let made: Vec<Row> = (0..each)
            .map(|n| {
                let mut row = line.clone();
                row.record = unstick::archive::catalogue::Record::Archive;
                row.summary.namespace = format!("team-{namespace:02}");
                row.summary.name = format!("run-{nth:05}-{n:04}");
                row.summary.uid = format!("{nth:08x}-0000-4000-8000-{n:012x}");
                row.summary.finished_at = Some(at.into());
                row.key = format!("{}{}/{}/body.json.gz", layout.bodies(), row.summary.namespace, row.summary.name);
                row.archived_at = Some(at.into());
                row.deleted_at = None;
                row
            })
            .collect();
        let of = Partition::of(made.first().context("no lines")?);
        let (key, body) = pack(&layout, 1, &of, &made.iter().collect::<Vec<_>>(), at.into());
        store.put(&format!("{BUCKET}/{key}"), body);
    }
    store.put(&format!("{BUCKET}/{}", complete(&layout, 1)), "");
    Ok(())
}
