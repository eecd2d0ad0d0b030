//! Facts by slot, found by uid and by name; relists sweep what they did not see (no second copy).

use std::collections::{HashMap, HashSet};
use std::hash::BuildHasher as _;
use std::sync::Arc;

use foldhash::fast::{FixedState, RandomState};
use hashbrown::HashTable;

use super::facts::{Facts, Uid};
use super::outline::{Census, Outline};

/// Place of a workflow in the index; reused after the workflow has gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Slot(pub u32);

/// Something of some workflows. Slots are numbers of ours: a fast hash will do.
pub type BySlot<T> = HashMap<Slot, T, RandomState>;

#[derive(Debug, Default)]
pub struct Index {
    facts: Vec<Option<Facts>>,
    /// Of each slot; with the census, what scrapes ask for.
    outlines: Vec<Outline>,
    census: Census,
    free: Vec<Slot>,
    /// Slots only, 5 bytes a workflow: what they are found by stands in the facts.
    by_uid: HashTable<Slot>,
    by_name: HashTable<Slot>,
    /// What the index doesn't cover: absence from it proves nothing there.
    cover: Cover,
    /// Workflows that were looked for and are known not to exist.
    absent: HashSet<(Box<str>, Box<str>)>,
}

/// Which workflows an index is expected to hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Cover {
    #[default]
    Cluster,
    Namespace(Box<str>),
    /// A selection: only what is noted as absent is absent.
    Some,
}

impl Index {
    pub fn len(&self) -> usize {
        self.by_uid.len()
    }

    pub fn is_empty(&self) -> bool {
        self.by_uid.is_empty()
    }

    pub fn find(&self, uid: Uid) -> Option<Slot> {
        self.by_uid.find(hash(uid), |s| self.get(*s).is_some_and(|f| f.uid == uid)).copied()
    }

    pub fn find_name(&self, namespace: &str, name: &str) -> Option<Slot> {
        let named = |s: &Slot| self.get(*s).is_some_and(|f| &*f.namespace == namespace && f.name() == name);
        self.by_name.find(hash((namespace, name)), named).copied()
    }

    /// Whether the workflow in a slot is the one that its name stands for: not where a newer one has taken the name.
    pub fn is_named(&self, slot: Slot) -> bool {
        let Some(facts) = self.get(slot) else { return false };
        self.all_are_named() || self.find_name(&facts.namespace, facts.name()) == Some(slot)
    }

    /// Every workflow has the place of its name: there are as many.
    fn all_are_named(&self) -> bool {
        self.by_name.len() == self.by_uid.len()
    }

    pub fn set_cover(&mut self, cover: Cover) {
        self.cover = cover;
    }

    pub fn note_absent(&mut self, namespace: &str, name: &str) {
        self.absent.insert((namespace.into(), name.into()));
    }

    /// Whether a workflow that is not in the index is known not to exist (I12: absence of evidence is no evidence).
    pub fn knows_absent(&self, namespace: &str, name: &str) -> bool {
        match &self.cover {
            Cover::Cluster => true,
            Cover::Namespace(own) => &**own == namespace,
            Cover::Some => self.absent.contains(&(namespace.into(), name.into())),
        }
    }

    pub fn get(&self, slot: Slot) -> Option<&Facts> {
        self.facts.get(slot.0 as usize)?.as_ref()
    }

    /// Changes facts in place, but for what they are found by; `None` when there are none.
    pub fn change<R>(&mut self, slot: Slot, change: impl FnOnce(&mut Facts) -> R) -> Option<R> {
        let facts = self.facts.get_mut(slot.0 as usize)?.as_mut()?;
        let (kin, phase) = (Arc::as_ptr(&facts.kin), facts.phase);
        let result = change(facts);
        debug_assert!(kin == Arc::as_ptr(&facts.kin) && phase == facts.phase, "these come with `put`");
        if let Some(outline) = self.outlines.get_mut(slot.0 as usize) {
            *outline = Outline::of(facts);
        }
        Some(result)
    }

    /// The outline of each slot; that of an empty one has no traits.
    pub fn outlines(&self) -> impl Iterator<Item = (Slot, Outline)> {
        (0..).map(Slot).zip(self.outlines.iter().copied())
    }

    /// Its outline, without traits when there is no such workflow.
    pub fn outline(&self, slot: Slot) -> Outline {
        self.outlines.get(slot.0 as usize).copied().unwrap_or_default()
    }

    pub const fn census(&self) -> &Census {
        &self.census
    }

    /// Puts facts in, replacing those of the same uid.
    pub fn put(&mut self, facts: Facts) -> Slot {
        let known = self.find(facts.uid);
        let old = known.and_then(|slot| self.get(slot));
        let named = old.is_some_and(|old| old.name() == facts.name() && old.namespace == facts.namespace);
        if let Some(slot) = known
            && !named
        {
            self.forget_name(slot);
        }
        let slot = known.or_else(|| self.free.pop()).unwrap_or_else(|| {
            self.facts.push(None);
            self.outlines.push(Outline::default());
            Slot(u32::try_from(self.facts.len() - 1).unwrap_or(u32::MAX))
        });
        self.count(slot, &facts);
        let (uid, name) = (hash(facts.uid), hash((&*facts.namespace, facts.name())));
        if let Some(place) = self.facts.get_mut(slot.0 as usize) {
            *place = Some(facts);
        }
        if named && self.all_are_named() {
            return slot;
        }
        let all = &self.facts;
        let of = |slot: &Slot| all.get(slot.0 as usize).and_then(Option::as_ref);
        if known.is_none() {
            self.by_uid.insert_unique(uid, slot, |s| of(s).map_or(0, |f| hash(f.uid)));
        }
        // A workflow of the same name that has not gone yet gives up its place to the newer one.
        let named = |s: &Slot| match (of(s), of(&slot)) {
            (Some(a), Some(b)) => a.namespace == b.namespace && a.name() == b.name(),
            _ => false,
        };
        let name_of = |s: &Slot| of(s).map_or(0, |f| hash((&*f.namespace, f.name())));
        *self.by_name.entry(name, named, name_of).or_insert(slot).get_mut() = slot;
        slot
    }

    pub fn remove(&mut self, slot: Slot) -> Option<Facts> {
        let uid = hash(self.get(slot)?.uid);
        self.forget_name(slot);
        if let Ok(entry) = self.by_uid.find_entry(uid, |s| *s == slot) {
            entry.remove();
        }
        self.free.push(slot);
        let facts = self.facts.get_mut(slot.0 as usize)?.take()?;
        if let Some(outline) = self.outlines.get_mut(slot.0 as usize) {
            *outline = Outline::default();
        }
        self.census.go(&facts.kin, facts.phase);
        Some(facts)
    }

    /// Facts take the place of those that are in the slot now.
    fn count(&mut self, slot: Slot, facts: &Facts) {
        if let Some(outline) = self.outlines.get_mut(slot.0 as usize) {
            *outline = Outline::of(facts);
        }
        let old = self.facts.get(slot.0 as usize).and_then(Option::as_ref);
        if old.is_some_and(|old| Arc::ptr_eq(&old.kin, &facts.kin) && old.phase == facts.phase) {
            return;
        }
        self.census.come(&facts.kin, facts.phase);
        if let Some(old) = old {
            self.census.go(&old.kin, old.phase);
        }
    }

    /// A workflow of the same name may have taken the place already: then it stays.
    fn forget_name(&mut self, slot: Slot) {
        let Some(facts) = self.get(slot) else { return };
        let name = hash((&*facts.namespace, facts.name()));
        if let Ok(entry) = self.by_name.find_entry(name, |s| *s == slot) {
            entry.remove();
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = (Slot, &Facts)> {
        (0..).map(Slot).zip(&self.facts).filter_map(|(slot, f)| f.as_ref().map(|f| (slot, f)))
    }

    pub fn slots(&self) -> impl Iterator<Item = Slot> + use<> {
        (0..u32::try_from(self.facts.len()).unwrap_or(u32::MAX)).map(Slot)
    }
}

/// Uids are random, and names can only be chosen by who may create workflows: no secret key is needed.
fn hash(value: impl std::hash::Hash) -> u64 {
    FixedState::with_seed(0).hash_one(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watchdog::facts::Kin;

    fn facts(uid: u128, name: &str) -> Facts {
        let kin = std::sync::Arc::new(Kin { namespace: "ns".into(), ..Kin::default() });
        let (names, name_end) = Facts::names(name, "");
        Facts { uid: Uid(uid), kin, names, name_end, ..Facts::default() }
    }

    #[test]
    fn a_name_that_comes_again_belongs_to_the_newest() {
        let mut index = Index::default();
        let old = index.put(facts(1, "a"));
        let new = index.put(facts(2, "a"));
        assert_eq!(index.find_name("ns", "a"), Some(new));
        index.remove(old);
        assert_eq!(index.find_name("ns", "a"), Some(new));
        assert_eq!((index.len(), index.find_name("ns", "b")), (1, None));
        assert_eq!(index.put(facts(3, "c")), old, "slots are used again");
    }
}
