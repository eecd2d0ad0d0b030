//! Finding the archives that filters ask for: in the catalogue, or among the keys themselves, where manifests (and the
//! catalogue) tell what keys don't.

use std::collections::{BTreeMap, HashMap};

use futures::StreamExt as _;

use super::place::{Place, told};
use super::progress::bar;
use crate::archive::catalogue::Row;
use crate::archive::catalogue::search::{Entries, Entry, batches, read};
use crate::archive::key::{Kind, Stem};
use crate::archive::manifest::{self, Manifest};
use crate::archive::query::Query;
use crate::archive::store::{List, Listed};
use crate::cli::Io;
use crate::cli::words::count;

/// Batches or manifests read at a time.
const AT_ONCE: usize = 8;
/// From so many on the catalogue is asked before the manifests: it has thousands of lines in an object.
const MANY: usize = 64;

/// What the catalogue has.
#[derive(Debug, Default)]
pub struct Catalogued {
    /// The latest first.
    pub entries: Vec<Entry>,
    /// Batches or lines that can't be read.
    pub damaged: usize,
}

/// Asks the catalogue; `None` where there is none.
pub async fn in_catalogue(place: &Place, query: &Query, io: &mut Io<'_>) -> anyhow::Result<Option<Catalogued>> {
    let mut entries = Entries::default();
    let asked = |row: Row| {
        if query.asks_for(&row) {
            entries.add(row);
        }
    };
    let Some(damaged) = rows(place, query, io, asked).await? else { return Ok(None) };
    if damaged > 0 {
        writeln!(io.err, "warning: {damaged} parts of the catalogue are damaged: unstick archive reindex")?;
    }
    Ok(Some(Catalogued { entries: entries.sorted(), damaged }))
}

/// Reads the lines that may be about a question, and counts what is damaged; `None` where there is no catalogue.
async fn rows(place: &Place, query: &Query, io: &Io<'_>, mut each: impl FnMut(Row)) -> anyhow::Result<Option<usize>> {
    let store = place.store.as_ref();
    let found = batches(store, &place.layout, &query.scope()).await.map_err(|e| told(&e))?;
    let Some(batches) = found else { return Ok(None) };
    let bar = bar("batches", Some(batches.len() as u64), io);
    let mut damaged = 0;
    let mut reads =
        futures::stream::iter(batches).map(|batch| async move { read(store, &batch.key).await }).buffered(AT_ONCE);
    while let Some(batch) = reads.next().await {
        let batch = batch.map_err(|e| told(&e))?;
        damaged += batch.damaged;
        batch.rows.into_iter().for_each(&mut each);
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(Some(damaged))
}

/// One archive that is asked for.
#[derive(Clone, Debug)]
pub struct Hit {
    pub stem: Stem,
    /// `None` = no list named its body.
    pub listed: Option<Listed>,
    /// Where its line or its manifest was read.
    pub row: Option<Row>,
}

/// What lies below keys that can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    Bodies,
    /// Of two lists one is older: what was archived in between is in the second only. So whether something is there is
    /// asked of each archive, and the lists only name them.
    BodiesAndManifests,
}

/// Looks at the keys, in their order. What they don't tell is told by the catalogue or by manifests; what has neither
/// can't be judged by such filters, is left out, and that is said.
pub async fn by_keys(place: &Place, query: &Query, look: Look, io: &mut Io<'_>) -> anyhow::Result<Vec<Hit>> {
    let below = match (&query.namespace, query.exact_name()) {
        (Some(namespace), Some(name)) => format!("{namespace}/{name}/"),
        (Some(namespace), None) => format!("{namespace}/"),
        (None, _) => String::new(),
    };
    let (mut hits, mut open): (BTreeMap<Stem, Option<Listed>>, BTreeMap<Stem, Option<Listed>>) = Default::default();
    let mut sort = |stem: Stem, listed: Option<Listed>| match query.asks_for_key(&stem) {
        Some(false) => {}
        Some(true) => *hits.entry(stem).or_default() = listed,
        None => *open.entry(stem).or_default() = listed,
    };
    let mut named = Vec::new();
    if look == Look::BodiesAndManifests {
        list(place, &format!("{}{below}", place.layout.manifests()), &mut |object| {
            named.extend(place.layout.read_manifest(&object.key));
        })
        .await?;
    }
    for stem in named {
        sort(stem, None);
    }
    list(place, &format!("{}{below}", place.layout.bodies()), &mut |object| {
        if let Some(Kind::Body(stem)) = place.layout.read(&object.key) {
            sort(stem, Some(object));
        }
    })
    .await?;
    let hit = |(stem, listed)| Hit { stem, listed, row: None };
    let mut found: Vec<Hit> = hits.into_iter().map(hit).collect();
    if open.is_empty() {
        return Ok(found);
    }
    if open.len() >= MANY {
        let mut known: HashMap<String, bool> = HashMap::new();
        rows(place, query, io, |row| {
            let asked = query.asks_for(&row);
            known.entry(row.key).or_insert(asked);
        })
        .await?;
        open.retain(|stem, listed| match known.get(&place.layout.body(stem)) {
            Some(true) => {
                found.push(hit((stem.clone(), listed.take())));
                false
            }
            Some(false) => false,
            None => true,
        });
    }
    found.extend(judged(place, query, open, io).await?);
    found.sort_by(|a, b| a.stem.cmp(&b.stem));
    Ok(found)
}

/// Those that are asked for, by their manifests.
async fn judged(
    place: &Place,
    query: &Query,
    open: BTreeMap<Stem, Option<Listed>>,
    io: &mut Io<'_>,
) -> anyhow::Result<Vec<Hit>> {
    let bar = bar("manifests", Some(open.len() as u64), io);
    let (mut found, mut bare) = (Vec::new(), 0);
    let mut reads = futures::stream::iter(open)
        .map(|(stem, listed)| async move {
            let key = place.layout.manifest(&stem);
            (place.store.get(&key, manifest::LARGEST).await, key, stem, listed)
        })
        .buffered(AT_ONCE);
    while let Some((object, key, stem, listed)) = reads.next().await {
        match object.map_err(|e| told(&e))?.and_then(|object| Manifest::read(&object.bytes)) {
            None => bare += 1,
            Some(manifest) => {
                let row = Row::archive(&manifest, &key);
                if query.asks_for(&row) {
                    found.push(Hit { stem, listed, row: Some(row) });
                }
            }
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    if bare > 0 {
        let what = count(bare, "archive");
        writeln!(io.err, "note: {what} without a manifest left out: only namespace, name and date are known of such")?;
    }
    Ok(found)
}

async fn list(place: &Place, prefix: &str, each: &mut (dyn FnMut(Listed) + Send)) -> anyhow::Result<()> {
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
