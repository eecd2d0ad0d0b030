//! Facts by slot, found by uid and by name; relists sweep what they did not see (no second copy).

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hash};

use super::facts::{Facts, Uid};

/// Place of a workflow in the index; reused after the workflow has gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Slot(pub u32);

#[derive(Debug, Default)]
pub struct Index {
    facts: Vec<Option<Facts>>,
    free: Vec<Slot>,
    by_uid: HashMap<Uid, Slot>,
    /// Hash of namespace and name; the facts decide in the rare case that two share one.
    by_name: HashMap<u64, Slot>,
    hasher: BuildHasherDefault<DefaultHasher>,
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
        self.by_uid.get(&uid).copied()
    }

    pub fn find_name(&self, namespace: &str, name: &str) -> Option<Slot> {
        let slot = *self.by_name.get(&self.key(namespace, name))?;
        self.get(slot).filter(|f| &*f.namespace == namespace && &*f.name == name).map(|_| slot)
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

    pub fn get_mut(&mut self, slot: Slot) -> Option<&mut Facts> {
        self.facts.get_mut(slot.0 as usize)?.as_mut()
    }

    /// Puts facts in, replacing those of the same uid.
    pub fn put(&mut self, facts: Facts) -> Slot {
        let key = self.key(&facts.namespace, &facts.name);
        let slot = match self.by_uid.get(&facts.uid) {
            Some(slot) => *slot,
            None => self.free.pop().unwrap_or_else(|| {
                self.facts.push(None);
                Slot(u32::try_from(self.facts.len() - 1).unwrap_or(u32::MAX))
            }),
        };
        self.by_uid.insert(facts.uid, slot);
        self.by_name.insert(key, slot);
        if let Some(place) = self.facts.get_mut(slot.0 as usize) {
            *place = Some(facts);
        }
        slot
    }

    pub fn remove(&mut self, slot: Slot) -> Option<Facts> {
        let facts = self.facts.get_mut(slot.0 as usize)?.take()?;
        self.by_uid.remove(&facts.uid);
        let key = self.key(&facts.namespace, &facts.name);
        // A workflow of the same name may have taken the place already.
        if self.by_name.get(&key) == Some(&slot) {
            self.by_name.remove(&key);
        }
        self.free.push(slot);
        Some(facts)
    }

    pub fn iter(&self) -> impl Iterator<Item = (Slot, &Facts)> {
        (0..).map(Slot).zip(&self.facts).filter_map(|(slot, f)| f.as_ref().map(|f| (slot, f)))
    }

    pub fn slots(&self) -> impl Iterator<Item = Slot> + use<> {
        (0..u32::try_from(self.facts.len()).unwrap_or(u32::MAX)).map(Slot)
    }

    fn key(&self, namespace: &str, name: &str) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        namespace.hash(&mut hasher);
        name.hash(&mut hasher);
        std::hash::Hasher::finish(&hasher)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(uid: u128, name: &str) -> Facts {
        Facts { uid: Uid(uid), namespace: "ns".into(), name: name.into(), ..Facts::default() }
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
