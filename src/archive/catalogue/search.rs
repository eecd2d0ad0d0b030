//! Finding batches: only the partitions that a question is about are listed and read.

use std::collections::BTreeMap;

use super::batch::{self, value};
use super::generation::{current, folders};
use super::row::{Record, Row};
use crate::archive::key::Layout;
use crate::archive::store::{List, Listed, Store, StoreError};

/// What a question is about, as far as partitions tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    pub cluster: Option<String>,
    pub namespace: Option<String>,
    /// First and last day, `2026-11-21`.
    pub from: Option<String>,
    pub to: Option<String>,
}

/// The batches of a question; `None` where there is no catalogue.
///
/// # Errors
/// The store can't be listed.
pub async fn batches(store: &dyn Store, layout: &Layout, scope: &Scope) -> Result<Option<Vec<Listed>>, StoreError> {
    let Some(number) = current(store, layout).await? else { return Ok(None) };
    of_generation(store, layout, number, scope).await.map(Some)
}

pub(super) async fn of_generation(
    store: &dyn Store,
    layout: &Layout,
    number: u32,
    scope: &Scope,
) -> Result<Vec<Listed>, StoreError> {
    let mut found = Vec::new();
    let own = format!("{}cluster=", batch::generation(layout, number));
    for cluster in named(store, &own, scope.cluster.as_deref()).await? {
        let own = format!("{own}{cluster}/namespace=");
        for namespace in named(store, &own, scope.namespace.as_deref()).await? {
            let own = format!("{own}{namespace}/date=");
            let day = scope.from.as_deref().filter(|from| scope.to.as_deref() == Some(from));
            for date in named(store, &own, day).await? {
                let early = scope.from.as_ref().is_some_and(|from| date < *from);
                let late = scope.to.as_ref().is_some_and(|to| date > *to);
                if !early && !late {
                    list(store, &format!("{own}{date}/"), &mut found).await?;
                }
            }
        }
    }
    Ok(found)
}

async fn named(store: &dyn Store, prefix: &str, one: Option<&str>) -> Result<Vec<String>, StoreError> {
    match one {
        Some(one) => Ok(vec![value(one)]),
        None => folders(store, prefix).await,
    }
}

async fn list(store: &dyn Store, prefix: &str, found: &mut Vec<Listed>) -> Result<(), StoreError> {
    let mut token = None;
    loop {
        let page = store.list(&List { prefix, after: None, token: token.as_deref(), folders: false }).await?;
        found.extend(page.objects.into_iter().filter(|object| batch::is_batch(&object.key)));
        token = page.next;
        if token.is_none() {
            return Ok(());
        }
    }
}

/// A batch, read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Read {
    pub rows: Vec<Row>,
    /// Lines that are none, or the whole batch.
    pub damaged: usize,
}

/// Reads one batch.
///
/// # Errors
/// The store can't be read; a damaged batch is told in the result.
pub async fn read(store: &dyn Store, key: &str) -> Result<Read, StoreError> {
    let Some(object) = store.get(key, batch::LARGEST).await? else { return Ok(Read { damaged: 1, ..Read::default() }) };
    Ok(match batch::unpack(&object.bytes) {
        Ok((rows, damaged)) => Read { rows, damaged },
        Err(_) => Read { rows: Vec::new(), damaged: 1 },
    })
}

/// What a catalogue tells of one archive, or of a run that was deleted without one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub archive: Option<Row>,
    pub deletion: Option<Row>,
}

impl Entry {
    /// The line that has the run.
    pub fn row(&self) -> Option<&Row> {
        self.archive.as_ref().or(self.deletion.as_ref())
    }
}

/// Lines put together: an archive with its deletion, the same twice as one.
#[derive(Debug, Default)]
pub struct Entries(BTreeMap<String, Entry>);

impl Entries {
    pub fn add(&mut self, row: Row) {
        let key = if row.key.is_empty() { format!("uid {}", row.summary.uid) } else { row.key.clone() };
        let entry = self.0.entry(key).or_insert(Entry { archive: None, deletion: None });
        let place = match row.record {
            Record::Archive => &mut entry.archive,
            Record::Deletion => &mut entry.deletion,
        };
        // Of two, one is as good as the other.
        place.get_or_insert(row);
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The latest first.
    pub fn sorted(self) -> Vec<Entry> {
        let mut all: Vec<Entry> = self.0.into_values().collect();
        let when = |entry: &Entry| entry.row().and_then(|r| r.summary.finished_at.or(r.archived_at).or(r.deleted_at));
        all.sort_by_key(|entry| std::cmp::Reverse(when(entry)));
        all
    }
}
