//! Choosing one archive, or some: by the name of the workflow, by filters, or both.

use std::collections::HashMap;
use std::fmt::Write as _;

use anyhow::bail;
use clap::Args;
use jiff::Timestamp;

use super::expiry::gone;
use super::filter::{FILTERS, FilterArgs};
use super::find::{Hit, Look, by_keys, in_catalogue};
use super::place::{Place, PlaceArgs, told};
use crate::archive::canonical::LARGEST;
use crate::archive::catalogue::Row;
use crate::archive::digest::Digest;
use crate::archive::gzip;
use crate::archive::key::{Kind, Stem};
use crate::archive::manifest::{self, Manifest};
use crate::archive::query::Query;
use crate::archive::store::{Fault, Listed, Object};
use crate::cli::{Io, Unclear};

/// Which archive of which workflow.
#[derive(Args, Clone, Debug)]
pub struct PickArgs {
    /// NAME or NAMESPACE/NAME; filters may stand for it
    #[arg(value_name = "WORKFLOW", conflicts_with = "name")]
    pub workflow: Option<String>,
    #[command(flatten)]
    pub filter: FilterArgs,
    /// Of several that fit, take the one that finished last
    #[arg(long, help_heading = FILTERS)]
    pub latest: bool,
    #[command(flatten)]
    pub place: PlaceArgs,
}

/// Candidates that are named where several fit.
const NAMED: usize = 10;

/// One that was chosen.
#[derive(Clone, Debug)]
pub struct Picked {
    pub stem: Stem,
    pub key: String,
    /// `None` = no list named it: it may be gone.
    pub listed: Option<Listed>,
    /// What the catalogue has of it, where that was asked.
    pub row: Option<Row>,
}

impl PickArgs {
    fn query(&self) -> anyhow::Result<Query> {
        let mut query = self.filter.query(Timestamp::now())?;
        let Some(workflow) = &self.workflow else { return Ok(query) };
        let Some((namespace, name)) = workflow.split_once('/') else {
            query.name = Some(workflow.clone());
            return Ok(query);
        };
        if query.namespace.as_ref().is_some_and(|other| other != namespace) {
            bail!(Unclear(format!("{workflow} has its namespace in it: leave out --namespace")));
        }
        (query.namespace, query.name) = (Some(namespace.to_owned()), Some(name.to_owned()));
        Ok(query)
    }
}

/// Finds the one archive that is asked for. Which of several is never guessed.
pub async fn pick(place: &Place, args: &PickArgs, io: &mut Io<'_>) -> anyhow::Result<Picked> {
    let mut found = several(place, args, io).await?;
    match (found.pop(), found.is_empty()) {
        (Some(one), true) => Ok(one),
        (last, _) => {
            found.extend(last);
            Err(unclear(&found, "name one of them, or take the one that finished last with --latest"))
        }
    }
}

/// Finds all that are asked for, the latest last, or with `--latest` that alone; none is an error.
pub async fn several(place: &Place, args: &PickArgs, io: &mut Io<'_>) -> anyhow::Result<Vec<Picked>> {
    let query = args.query()?;
    let hits = candidates(place, &query, io).await?;
    let of = |hit: Hit| Picked { key: place.layout.body(&hit.stem), stem: hit.stem, listed: hit.listed, row: hit.row };
    let mut found: Vec<Picked> = hits.into_iter().map(of).collect();
    found.sort_by_key(|picked| (finished(picked), picked.stem.clone()));
    if found.is_empty() {
        bail!(none(place, &query));
    }
    if args.latest && found.len() > 1 {
        let count = found.len();
        found = in_order(place, found).await?.pop().into_iter().collect();
        if let Some(latest) = found.first() {
            writeln!(io.err, "note: the latest of {count} archives: {}", latest.stem)?;
        }
    }
    Ok(found)
}

/// What is asked for without a name is asked of the catalogue, where keys don't tell it; all else of the keys.
async fn candidates(place: &Place, query: &Query, io: &mut Io<'_>) -> anyhow::Result<Vec<Hit>> {
    let of_one = query.namespace.is_some() && query.exact_name().is_some();
    if !of_one && !query.is_answered_by_keys() {
        if let Some(hits) = catalogued(place, query, io).await? {
            return Ok(hits);
        }
        writeln!(io.err, "note: no catalogue here, each manifest is read: unstick archive reindex makes one")?;
    }
    let found = by_keys(place, query, Look::BodiesAndManifests, io).await?;
    if found.is_empty() && query.namespace.is_some() {
        // A line may outlive archive and manifest: then it can at least be said what became of them.
        return Ok(catalogued(place, query, io).await?.unwrap_or_default());
    }
    Ok(found)
}

async fn catalogued(place: &Place, query: &Query, io: &mut Io<'_>) -> anyhow::Result<Option<Vec<Hit>>> {
    let Some(found) = in_catalogue(place, query, io).await? else { return Ok(None) };
    let hit = |row: Row| match place.layout.read(&row.key) {
        Some(Kind::Body(stem)) => Some(Hit { stem, listed: None, row: Some(row) }),
        _ => None,
    };
    Ok(Some(found.entries.into_iter().filter_map(|entry| hit(entry.archive.or(entry.deletion)?)).collect()))
}

fn none(place: &Place, query: &Query) -> String {
    let of = match (&query.namespace, &query.name) {
        (Some(namespace), Some(name)) => format!(" of {namespace}/{name}"),
        (None, Some(name)) => format!(" of {name}"),
        (Some(namespace), None) => format!(" of namespace {namespace}"),
        (None, None) => String::new(),
    };
    let fits = if query.is_of_a_name_only() { "" } else { " fits the filters" };
    let mut text = format!("no archive{of}{fits} below {}", place.layout.bodies());
    if !query.is_answered_by_keys() && (query.namespace.is_none() || query.exact_name().is_none()) {
        text.push_str(
            "\n  the catalogue lags by some minutes; with NAMESPACE/NAME the archives themselves are looked at",
        );
    }
    text
}

/// Says which ones fit.
pub fn unclear(found: &[Picked], remedy: &str) -> anyhow::Error {
    let stems: Vec<Stem> = found.iter().rev().map(|picked| picked.stem.clone()).collect();
    let mut text = format!("{} archives fit: {remedy}", found.len());
    for line in named(&stems).into_iter().take(NAMED) {
        let _ = write!(text, "\n  {line}");
    }
    if found.len() > NAMED {
        let _ = write!(text, "\n  and {} more: unstick archive list has them all", found.len() - NAMED);
    }
    Unclear(text).into()
}

/// Each as flags and a name that choose it alone: those that finished at one time by all that their keys end with.
pub fn named(stems: &[Stem]) -> Vec<String> {
    let own = |stem: &Stem| {
        let time = stem.parts().is_some_and(|parts| parts.finished.is_some()).then(|| stem.stem.get(..15)).flatten();
        (stem.namespace.clone(), stem.name.clone(), time.unwrap_or(&stem.stem).to_owned())
    };
    let mut alike: HashMap<_, usize> = HashMap::new();
    for stem in stems {
        *alike.entry(own(stem)).or_default() += 1;
    }
    let line = |stem: &Stem| {
        let key = own(stem);
        let date = if alike.get(&key) == Some(&1) { &key.2 } else { &stem.stem };
        format!("-n {} {} --date {date}", stem.namespace, stem.name)
    };
    stems.iter().map(line).collect()
}

fn finished(picked: &Picked) -> Option<Timestamp> {
    picked.stem.parts().and_then(|parts| parts.finished)
}

/// The latest last. What was archived unfinished is older than what finished; of two that finished at one time (an object
/// that was changed and archived again, or two clusters) the one that was archived later, as its manifest says.
async fn in_order(place: &Place, mut found: Vec<Picked>) -> anyhow::Result<Vec<Picked>> {
    let latest = found.last().and_then(finished);
    let at = found.partition_point(|picked| finished(picked) < latest);
    let tied = found.split_off(at);
    if tied.len() < 2 {
        found.extend(tied);
        return Ok(found);
    }
    let mut dated = Vec::new();
    for picked in tied {
        let about = about(place, &picked.stem).await?;
        dated.push((about.manifest().map(|manifest| manifest.archived_at), picked));
    }
    dated.sort_by_key(|(archived_at, picked)| (*archived_at, picked.stem.stem.clone()));
    found.extend(dated.into_iter().map(|(_, picked)| picked));
    Ok(found)
}

/// What is there of a manifest.
#[derive(Clone, Debug)]
pub enum About {
    Manifest(Box<Manifest>),
    /// There is none, and unstick would have written one.
    NotYet,
    /// There is none, and there never was to be: another program wrote the archive.
    Foreign,
    /// What lies there is none.
    Damaged(String),
}

impl About {
    pub fn manifest(&self) -> Option<&Manifest> {
        match self {
            Self::Manifest(manifest) => Some(manifest),
            Self::NotYet | Self::Foreign | Self::Damaged(_) => None,
        }
    }

    /// Why there is none.
    pub fn why_none(&self) -> Option<String> {
        Some(match self {
            Self::Manifest(_) => return None,
            Self::NotYet => "none yet: it is being archived now, or that was interrupted".to_owned(),
            Self::Foreign => "none: it was written by another program".to_owned(),
            Self::Damaged(key) => format!("damaged: {key} is no manifest"),
        })
    }
}

/// The manifest of an archive, or why there is none.
pub async fn about(place: &Place, stem: &Stem) -> anyhow::Result<About> {
    let key = place.layout.manifest(stem);
    let found = place.store.get(&key, manifest::LARGEST).await.map_err(|e| told(&e))?;
    Ok(match found.map(|object| Manifest::read(&object.bytes)) {
        Some(Some(manifest)) => About::Manifest(Box::new(manifest)),
        Some(None) => About::Damaged(key),
        None if stem.parts().is_some_and(|parts| parts.digest.is_some()) => About::NotYet,
        None => About::Foreign,
    })
}

/// The content of an archive, checked against the digest in its manifest, else in its key.
pub async fn content(place: &Place, picked: &Picked, io: &mut Io<'_>) -> anyhow::Result<(Object, Vec<u8>)> {
    let object = match place.store.get(&picked.key, LARGEST).await {
        Ok(Some(object)) => object,
        Ok(None) => {
            let about = about(place, &picked.stem).await?;
            let archived_at =
                about.manifest().map(|m| m.archived_at).or(picked.row.as_ref().and_then(|r| r.archived_at));
            bail!(gone(place, archived_at).told(&picked.key))
        }
        Err(error) if error.kind == Fault::Unreadable => bail!(
            "{} is there, in a storage class that has to be restored first ({}): request that with\n  {}\nand come \
             back when it is done, after hours",
            picked.key,
            picked.listed.as_ref().and_then(|l| l.storage_class.as_deref()).unwrap_or("archived"),
            place.thaw(&picked.key)
        ),
        Err(error) => return Err(told(&error)),
    };
    let plain = match gzip::unpack(&object.bytes, LARGEST) {
        Ok(plain) => plain,
        Err(error) => bail!("{} is damaged: {error}", picked.key),
    };
    let own = Digest::of(&plain);
    let about = about(place, &picked.stem).await?;
    if let About::Damaged(key) = &about {
        writeln!(io.err, "warning: {key} is no manifest: the digest is compared with the name only")?;
    }
    let wanted = about.manifest().map(|manifest| manifest.digest.to_string());
    match wanted.or_else(|| picked.stem.parts().and_then(|parts| parts.digest)) {
        Some(wanted) if !own.to_string().starts_with(&wanted) => {
            bail!("{} is damaged: its digest is {own}, not {wanted}", picked.key)
        }
        Some(_) => {}
        None => writeln!(io.err, "note: {} was written by another program: it has no digest to check", picked.key)?,
    }
    Ok((object, plain))
}
