//! A new generation, made of all manifests, and of the deletions that the whole generations before it tell of: all of
//! them, since of two reindexes at a time the later doesn't know the other's, to which deletions were added meanwhile.
//!
//! Others may write meanwhile. Whoever adds lines looks afterwards whether a newer generation has become current, and
//! adds them there, too; what was archived before that is found by looking at the manifests once more when the new one
//! is current.
//!
//! What is written anew lives as long as what is stored today, by the bucket's lifecycle: longer than the archive that it
//! tells of. So whatever has expired gets no new line: archives that are gone after their time, and deletions as old as that.

use std::collections::HashSet;

use futures::StreamExt as _;
use jiff::SignedDuration;

use super::batch;
use super::generation::{all, complete, is_whole, write};
use super::row::{Record, Row};
use super::search::{self, Scope};
use crate::api::time::Time;
use crate::archive::digest::Digest;
use crate::archive::key::Layout;
use crate::archive::manifest::{self, Manifest};
use crate::archive::store::{List, Store, StoreError};

/// Lines held at a time, at about a kilobyte each.
const HELD: usize = 20_000;
/// Manifests read at a time.
const AT_ONCE: usize = 16;

/// What came out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reindexed {
    pub generation: u32,
    pub archives: usize,
    pub deletions: usize,
    /// Lines left out: the bucket's lifecycle has taken what they tell of, or would have by now.
    pub expired: usize,
    /// Manifests and batches that can't be read as such.
    pub damaged: Vec<String>,
    /// Archives that a manifest tells of and that are not there, though their time isn't over. They keep their lines.
    pub missing: Vec<String>,
}

/// How a generation is made.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    pub now: Time,
    /// How long the store keeps what is put there; `None` = for ever.
    pub expires_after: Option<SignedDuration>,
}

impl Terms {
    fn are_over(&self, at: Option<Time>) -> bool {
        let end = |at: Time| at.get().checked_add(self.expires_after?).ok();
        at.and_then(end).is_some_and(|end| end <= self.now.get())
    }
}

/// Makes a new generation; `seen` is told how many manifests were read so far.
///
/// # Errors
/// The store failed: what was begun is never taken for whole, and the next try begins anew.
pub async fn reindex(
    store: &dyn Store,
    layout: &Layout,
    terms: Terms,
    seen: &mut (dyn FnMut(usize) + Send),
) -> Result<Reindexed, StoreError> {
    let number = all(store, layout).await?.first().copied().unwrap_or(0) + 1;
    let (held, known, bodies) = (Vec::new(), HashSet::new(), HashSet::new());
    let mut work = Work { store, layout, number, terms, held, known, bodies };
    let mut out = Reindexed { generation: number, ..Reindexed::default() };
    work.bodies().await?;
    work.manifests(&mut out, seen).await?;
    work.deletions(&mut out).await?;
    work.flush().await?;
    complete(store, layout, number).await?;
    work.manifests(&mut out, seen).await?;
    work.deletions(&mut out).await?;
    work.flush().await?;
    Ok(out)
}

struct Work<'a> {
    store: &'a dyn Store,
    layout: &'a Layout,
    number: u32,
    terms: Terms,
    held: Vec<Row>,
    /// Digests of keys and of lines, which are longer themselves: a million of them in 50 MB.
    known: HashSet<Digest>,
    /// Of the keys of all archives that are there.
    bodies: HashSet<Digest>,
}

impl Work<'_> {
    fn is_new(&mut self, key: &str) -> bool {
        self.known.insert(Digest::of(key.as_bytes()))
    }

    async fn hold(&mut self, row: Row) -> Result<(), StoreError> {
        self.held.push(row);
        if self.held.len() >= HELD { self.flush().await } else { Ok(()) }
    }

    async fn flush(&mut self) -> Result<(), StoreError> {
        write(self.store, self.layout, self.number, &self.held, self.terms.now).await?;
        self.held.clear();
        Ok(())
    }

    async fn bodies(&mut self) -> Result<(), StoreError> {
        let (prefix, mut token) = (self.layout.bodies(), None);
        loop {
            let asked = List { prefix: &prefix, after: None, token: token.as_deref(), folders: false };
            let page = self.store.list(&asked).await?;
            self.bodies.extend(page.objects.iter().map(|object| Digest::of(object.key.as_bytes())));
            token = page.next;
            if token.is_none() {
                return Ok(());
            }
        }
    }

    /// Whether an archive is there: what was stored after the list was made is asked for by itself.
    async fn is_there(&self, key: &str) -> Result<bool, StoreError> {
        Ok(self.bodies.contains(&Digest::of(key.as_bytes())) || self.store.head(key).await?.is_some())
    }

    async fn manifests(&mut self, out: &mut Reindexed, seen: &mut (dyn FnMut(usize) + Send)) -> Result<(), StoreError> {
        let (prefix, mut token) = (self.layout.manifests(), None);
        loop {
            let asked = List { prefix: &prefix, after: None, token: token.as_deref(), folders: false };
            let page = self.store.list(&asked).await?;
            let keys: Vec<String> = page.objects.into_iter().map(|o| o.key).filter(|key| self.is_new(key)).collect();
            let store = self.store;
            let mut read = futures::stream::iter(keys)
                .map(|key| async move { (store.get(&key, manifest::LARGEST).await, key) })
                .buffered(AT_ONCE);
            while let Some((object, key)) = read.next().await {
                let found = object?.and_then(|object| Manifest::read(&object.bytes));
                // What a manifest says must be where it says: a copy elsewhere is none.
                let own = self.layout.read_manifest(&key).map(|stem| self.layout.body(&stem));
                match found.filter(|manifest| own.as_ref() == Some(&manifest.key)) {
                    Some(manifest) => {
                        let there = self.is_there(&manifest.key).await?;
                        if !there && self.terms.are_over(Some(manifest.archived_at)) {
                            out.expired += 1;
                        } else {
                            out.archives += 1;
                            self.hold(Row::archive(&manifest, &key)).await?;
                        }
                        if !there && !self.terms.are_over(Some(manifest.archived_at)) {
                            out.missing.push(manifest.key);
                        }
                    }
                    None => out.damaged.push(key),
                }
                seen(out.archives + out.expired + out.damaged.len());
            }
            token = page.next;
            if token.is_none() {
                return Ok(());
            }
        }
    }

    /// Deletions have no manifest: they are carried over, each of them once.
    async fn deletions(&mut self, out: &mut Reindexed) -> Result<(), StoreError> {
        for before in all(self.store, self.layout).await? {
            if before >= self.number || !is_whole(self.store, self.layout, before).await? {
                continue;
            }
            for listed in search::of_generation(self.store, self.layout, before, &Scope::default()).await? {
                if !self.is_new(&listed.key) {
                    continue;
                }
                let read = search::read(self.store, &listed.key).await?;
                for row in read.rows.into_iter().filter(|row| row.record == Record::Deletion) {
                    let line = serde_json::to_string(&row).unwrap_or_default();
                    if !self.is_new(&line) {
                        continue;
                    }
                    if self.terms.are_over(row.deleted_at) {
                        out.expired += 1;
                    } else {
                        out.deletions += 1;
                        self.hold(row).await?;
                    }
                }
                if read.damaged > 0 {
                    out.damaged.push(listed.key);
                }
            }
        }
        Ok(())
    }
}

/// The generation's own folder, for messages.
pub fn folder(layout: &Layout, number: u32) -> String {
    batch::generation(layout, number)
}
