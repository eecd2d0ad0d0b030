//! `unstick archive verify`: reads archives anew and compares.

use std::fmt::Write as _;

use clap::Args;
use futures::StreamExt as _;
use jiff::Timestamp;
use serde::Serialize;

use super::expiry::{Gone, gone};
use super::filter::FilterArgs;
use super::find::{Hit, Look, by_keys};
use super::place::{Place, PlaceArgs, told};
use super::progress::bar;
use crate::archive::canonical::LARGEST;
use crate::archive::digest::Digest;
use crate::archive::gzip;
use crate::archive::key::Stem;
use crate::archive::manifest::{self, Beside, Manifest};
use crate::archive::store::{Fault, Listed, StoreError};
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
    #[command(flatten)]
    pub filter: FilterArgs,
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
    /// The same, and the bucket's lifecycle was to take it by now.
    Expired,
    /// It can't be read before it is restored; it is there, as its manifest says.
    Cold,
    /// Written whole, without a manifest.
    NoManifest,
    /// It can be read and unpacked; neither key nor manifest has a digest to compare.
    NoDigest,
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

pub(super) async fn run(args: &VerifyArgs, global: &Global, io: &mut Io<'_>) -> anyhow::Result<Report> {
    let place = args.place.open(global, io.err).await?;
    let query = args.filter.query(Timestamp::now())?;
    let hits = by_keys(&place, &query, Look::BodiesAndManifests, io).await?;
    let of = hits.len();
    if of == 0 {
        writeln!(io.err, "note: no archive fits below {}", place.layout.bodies())?;
    }
    let chosen: Vec<Hit> = choose(hits, if args.all { usize::MAX } else { args.sample }, Timestamp::now()).collect();
    let bar = bar("archives", Some(chosen.len() as u64), io);
    let mut report = Report { read: chosen.len(), of, ..Report::default() };
    let own = &place;
    let mut work = futures::stream::iter(chosen).map(|hit| judge(own, hit.stem, hit.listed)).buffered(AT_ONCE);
    while let Some(judged) = work.next().await {
        let (finding, bytes) = judged.map_err(|e| told(&e))?;
        report.findings.extend(finding);
        report.bytes += bytes;
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(report)
}

/// Spread evenly over all, beginning at another place each day.
fn choose<T>(all: Vec<T>, most: usize, now: Timestamp) -> impl Iterator<Item = T> {
    let step = all.len().div_ceil(most.max(1)).max(1);
    let day = usize::try_from(now.as_second() / 86_400).unwrap_or(0);
    all.into_iter().skip(day % step).step_by(step)
}

/// What an object was found to be: its state and why, if that isn't fine, and how many bytes it has unpacked.
type Judged = (Option<(State, String)>, u64);

async fn judge(
    place: &Place,
    stem: Stem,
    listed: Option<Listed>,
) -> Result<(Option<VerificationItem>, u64), StoreError> {
    let object = place.store.get(&place.layout.manifest(&stem), manifest::LARGEST).await?;
    let manifest = object.as_ref().and_then(|object| Manifest::read(&object.bytes));
    let mut key = place.layout.body(&stem);
    let (mut found, mut bytes) = if object.is_some() && manifest.is_none() {
        (Some((State::Differs, "its manifest can't be read".to_owned())), 0)
    } else {
        body(place, &stem, listed, manifest.as_ref()).await?
    };
    // What is the matter with the body is told first; that it is cold says nothing of the events.
    if let Some(manifest) = &manifest
        && let Some(beside) = &manifest.events
        && found.as_ref().is_none_or(|(state, _)| *state == State::Cold)
    {
        let (other, more) = events(place, &stem, manifest, beside).await?;
        bytes += more;
        if found.is_none() || other.as_ref().is_some_and(|(state, _)| *state != State::Cold) {
            key = if other.is_some() { beside.key.clone() } else { key };
            found = other;
        }
    }
    let finding = found.map(|(state, message)| {
        let Stem { namespace, name, .. } = stem;
        VerificationItem { namespace, name, key, state, message }
    });
    Ok((finding, bytes))
}

/// The body, by what its manifest (else its key) says.
async fn body(
    place: &Place,
    stem: &Stem,
    listed: Option<Listed>,
    manifest: Option<&Manifest>,
) -> Result<Judged, StoreError> {
    let key = place.layout.body(stem);
    let (digest, bytes) = match content(place, &key).await? {
        Content::Is(digest, bytes) => (digest.to_string(), bytes),
        Content::None => {
            let what = if listed.is_some() { GONE } else { "there is a manifest and no archive" };
            return Ok((Some(missing(place, manifest, what)), 0));
        }
        Content::Damaged(what) => return Ok((Some((State::Differs, what)), 0)),
        Content::Cold => {
            let found = match listed {
                Some(listed) => Some((listed.size, listed.storage_class)),
                None => place.store.head(&key).await?.map(|head| (head.size, head.storage_class)),
            };
            let Some((size, class)) = found else { return Ok((Some(missing(place, manifest, GONE)), 0)) };
            if manifest.is_some_and(|manifest| manifest.stored_bytes != size) {
                return Ok((Some((State::Differs, "it has another size than its manifest says".to_owned())), 0));
            }
            return Ok((Some(cold(place, &key, class.as_deref())), 0));
        }
    };
    let of_key = || stem.parts().and_then(|parts| parts.digest);
    let found = match manifest.map(|manifest| manifest.digest.to_string()).or_else(of_key) {
        Some(wanted) if !digest.starts_with(&wanted) => {
            return Ok((Some((State::Differs, format!("its digest is {digest}, not {wanted}"))), 0));
        }
        Some(_) if manifest.is_none() => {
            Some((State::NoManifest, "whole, and without a manifest: it is archived anew".to_owned()))
        }
        Some(_) => None,
        None => Some((State::NoDigest, "readable, without a digest to compare".to_owned())),
    };
    Ok((found, bytes))
}

/// The events, by what the manifest says of them.
async fn events(place: &Place, stem: &Stem, manifest: &Manifest, beside: &Beside) -> Result<Judged, StoreError> {
    if beside.key != place.layout.events(stem) {
        return Ok((Some((State::Differs, "its manifest names it, and it isn't its own".to_owned())), 0));
    }
    Ok(match content(place, &beside.key).await? {
        Content::Is(digest, bytes) if digest == beside.digest => (None, bytes),
        Content::Is(digest, _) => {
            let what = format!("the digest of the events is {digest}, not {}", beside.digest);
            (Some((State::Differs, what)), 0)
        }
        Content::None => (Some(missing(place, Some(manifest), "its events are not there")), 0),
        Content::Damaged(what) => (Some((State::Differs, format!("its events: {what}"))), 0),
        Content::Cold => (Some(cold(place, &beside.key, None)), 0),
    })
}

const GONE: &str = "it is not there any more";

/// Not there: because its time was over, or before that.
fn missing(place: &Place, manifest: Option<&Manifest>, what: &str) -> (State, String) {
    match gone(place, manifest.map(|manifest| manifest.archived_at)) {
        Gone::Missing => (State::Missing, what.to_owned()),
        expired @ Gone::Expired { .. } => (State::Expired, expired.why()),
    }
}

fn cold(place: &Place, key: &str, class: Option<&str>) -> (State, String) {
    let class = class.unwrap_or("archived");
    (State::Cold, format!("{class}: restore it to read it: {}", place.thaw(key)))
}

/// What an object is, read and unpacked.
enum Content {
    Is(Digest, u64),
    None,
    Damaged(String),
    Cold,
}

async fn content(place: &Place, key: &str) -> Result<Content, StoreError> {
    let object = match place.store.get(key, LARGEST).await {
        Ok(Some(object)) => object,
        Ok(None) => return Ok(Content::None),
        Err(error) if error.kind == Fault::Unreadable => return Ok(Content::Cold),
        Err(error) if error.kind == Fault::TooLarge => return Ok(Content::Damaged(error.message)),
        Err(error) => return Err(error),
    };
    Ok(match gzip::digest(&object.bytes, LARGEST) {
        Ok((digest, bytes)) => Content::Is(digest, bytes as u64),
        Err(error) => Content::Damaged(error.to_string()),
    })
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
    let (unknown, expired) = (count_of(State::NoDigest), count_of(State::Expired));
    let _ = write!(out, "{} of {} read: ", report.read, count(report.of, "archive"));
    let fine = report.read - report.findings.len();
    let _ = write!(out, "{fine} fine, {} not", report.mismatches());
    for (n, what) in [
        (cold, "cold"),
        (expired, "expired by the bucket's lifecycle"),
        (bare, "without a manifest"),
        (unknown, "readable, without a digest to compare"),
    ] {
        if n > 0 {
            let _ = write!(out, ", {n} {what}");
        }
    }
    out.push('\n');
    out
}
