//! `unstick archive verify`: reads archives anew and compares.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use clap::Args;
use futures::StreamExt as _;
use jiff::Timestamp;
use serde::Serialize;

use super::place::{Place, PlaceArgs, told};
use super::progress::bar;
use crate::archive::canonical::LARGEST;
use crate::archive::gzip;
use crate::archive::key::{Kind, Stem};
use crate::archive::manifest::{self, Manifest};
use crate::archive::query::Query;
use crate::archive::store::{Fault, List, Listed, StoreError};
use crate::cli::Io;
use crate::cli::args::{Global, Plain};
use crate::cli::columns::{Cell, Column, table};
use crate::cli::screen::{Screen, Tone};
use crate::cli::words::count;

/// Read at a time.
const AT_ONCE: usize = 8;

/// Flags of `unstick archive verify`.
#[derive(Args, Clone, Debug)]
pub struct VerifyArgs {
    #[command(flatten)]
    pub place: PlaceArgs,
    /// Namespace; default: all
    #[arg(short, long, value_name = "NS")]
    pub namespace: Option<String>,
    /// Workflows of this name; * stands for any text
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Read all of them
    #[arg(long, conflicts_with = "sample")]
    pub all: bool,
    /// Read so many, spread evenly; which ones changes from day to day
    #[arg(long, value_name = "N", default_value = "100")]
    pub sample: usize,
    /// Form of the output
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value = "table")]
    pub output: Plain,
    /// Exit with 0 also when archives don't match
    #[arg(long)]
    pub exit_zero: bool,
}

/// What is the matter with one archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VerificationItem {
    namespace: String,
    name: String,
    key: String,
    state: State,
    message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
enum State {
    /// Its content is not what its manifest (or key) says.
    Differs,
    /// There is a manifest and no archive.
    Missing,
    /// It can't be read before it is restored; it is there, as its manifest says.
    Cold,
    /// Written whole, without a manifest.
    NoManifest,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Report {
    pub findings: Vec<VerificationItem>,
    read: usize,
    of: usize,
    bytes: u64,
}

impl Report {
    /// How many are not what they should be.
    pub fn mismatches(&self) -> usize {
        self.findings.iter().filter(|f| matches!(f.state, State::Differs | State::Missing)).count()
    }
}

/// An archive, its manifest or both.
#[derive(Clone, Debug, Default)]
struct Pair {
    body: Option<Listed>,
    manifest: bool,
}

pub(super) async fn run(args: &VerifyArgs, global: &Global, io: &mut Io<'_>) -> anyhow::Result<Report> {
    let place = args.place.open(global, io.err).await?;
    let query = Query { namespace: args.namespace.clone(), name: args.name.clone(), ..Query::default() };
    let mut pairs: BTreeMap<Stem, Pair> = BTreeMap::new();
    let below = args.namespace.as_ref().map(|ns| format!("{ns}/")).unwrap_or_default();
    list(&place, &format!("{}{below}", place.layout.bodies()), &mut |object| {
        if let Some(Kind::Body(stem)) = place.layout.read(&object.key) {
            pairs.entry(stem).or_default().body = Some(object);
        }
    })
    .await?;
    list(&place, &format!("{}{below}", place.layout.manifests()), &mut |object| {
        if let Some(stem) = place.layout.read_manifest(&object.key) {
            pairs.entry(stem).or_default().manifest = true;
        }
    })
    .await?;
    pairs.retain(|stem, _| query.asks_for_name(&stem.namespace, &stem.name));
    let of = pairs.len();
    let chosen = choose(pairs, if args.all { usize::MAX } else { args.sample }, Timestamp::now());
    let bar = bar("archives", Some(chosen.len() as u64), io);
    let mut report = Report { read: chosen.len(), of, ..Report::default() };
    let own = &place;
    let mut work = futures::stream::iter(chosen).map(|(stem, pair)| judge(own, stem, pair)).buffered(AT_ONCE);
    while let Some(judged) = work.next().await {
        let (finding, bytes) = judged.map_err(|e| told(&e))?;
        report.findings.extend(finding);
        report.bytes += bytes;
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(report)
}

async fn list(place: &Place, prefix: &str, each: &mut dyn FnMut(Listed)) -> anyhow::Result<()> {
    let mut token = None;
    loop {
        let asked = List { prefix, token: token.as_deref(), ..List::default() };
        let page = place.store.list(&asked).await.map_err(|e| told(&e))?;
        page.objects.into_iter().for_each(&mut *each);
        token = page.next;
        if token.is_none() {
            return Ok(());
        }
    }
}

/// Spread evenly over all, beginning at another place each day.
fn choose(pairs: BTreeMap<Stem, Pair>, most: usize, now: Timestamp) -> Vec<(Stem, Pair)> {
    let step = pairs.len().div_ceil(most.max(1)).max(1);
    let day = usize::try_from(now.as_second() / 86_400).unwrap_or(0);
    pairs.into_iter().skip(day % step).step_by(step).collect()
}

async fn judge(place: &Place, stem: Stem, pair: Pair) -> Result<(Option<VerificationItem>, u64), StoreError> {
    let key = place.layout.body(&stem);
    let finding = |state, message: String| {
        let (namespace, name) = (stem.namespace.clone(), stem.name.clone());
        Some(VerificationItem { namespace, name, key: key.clone(), state, message })
    };
    let differs = |message: String| Ok((finding(State::Differs, message), 0));
    let object =
        if pair.manifest { place.store.get(&place.layout.manifest(&stem), manifest::LARGEST).await? } else { None };
    let manifest = object.as_ref().and_then(|object| Manifest::read(&object.bytes));
    if object.is_some() && manifest.is_none() {
        return differs("its manifest can't be read".to_owned());
    }
    let Some(body) = pair.body else {
        return Ok((finding(State::Missing, "there is a manifest and no archive".to_owned()), 0));
    };
    let object = match place.store.get(&key, LARGEST).await {
        Ok(Some(object)) => object,
        Ok(None) => return Ok((finding(State::Missing, "it is not there any more".to_owned()), 0)),
        Err(error) if error.kind == Fault::Unreadable => {
            if manifest.is_some_and(|manifest| manifest.stored_bytes != body.size) {
                return differs("it has another size than its manifest says".to_owned());
            }
            let class = body.storage_class.as_deref().unwrap_or("archived");
            return Ok((finding(State::Cold, format!("{class}: restore it to read it: {}", place.thaw(&key))), 0));
        }
        Err(error) if error.kind == Fault::TooLarge => return differs(error.message),
        Err(error) => return Err(error),
    };
    let (digest, bytes) = match gzip::digest(&object.bytes, LARGEST) {
        Ok((digest, bytes)) => (digest.to_string(), bytes as u64),
        Err(error) => return differs(error.to_string()),
    };
    let parts = stem.parts();
    let wanted = manifest.as_ref().map(|m| m.digest.to_string()).or_else(|| parts.and_then(|p| p.digest));
    match wanted {
        Some(wanted) if !digest.starts_with(&wanted) => differs(format!("its digest is {digest}, not {wanted}")),
        Some(_) if manifest.is_none() => {
            Ok((finding(State::NoManifest, "whole, and without a manifest: it is archived anew".to_owned()), bytes))
        }
        _ => Ok((None, bytes)),
    }
}

/// For people.
pub(super) fn render(report: &Report, screen: Screen) -> String {
    let columns = [
        Column::fixed("STATE"),
        Column::name("NAMESPACE", 8).leave(1),
        Column::name("NAME", 12),
        Column::text("MESSAGE", 20),
        Column::name("KEY", 20).leave(2),
    ];
    let rows: Vec<Vec<Cell>> = report
        .findings
        .iter()
        .map(|f| {
            let tone = if matches!(f.state, State::Differs | State::Missing) { Tone::Bad } else { Tone::Waiting };
            let state = Cell::toned(&format!("{:?}", f.state), tone);
            vec![state, Cell::new(&f.namespace), Cell::new(&f.name), Cell::new(&f.message), Cell::new(&f.key)]
        })
        .collect();
    let mut out = if rows.is_empty() { String::new() } else { table(&columns, &rows, true, screen) };
    let count_of = |state| report.findings.iter().filter(|f| f.state == state).count();
    let (cold, bare) = (count_of(State::Cold), count_of(State::NoManifest));
    let _ = write!(out, "{} of {} read: ", report.read, count(report.of, "archive"));
    let fine = report.read - report.findings.len();
    let _ = write!(out, "{fine} fine, {} not", report.mismatches());
    for (n, what) in [(cold, "cold"), (bare, "without a manifest")] {
        if n > 0 {
            let _ = write!(out, ", {n} {what}");
        }
    }
    out.push('\n');
    out
}
