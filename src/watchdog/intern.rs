//! One copy of what many workflows share: strings, label sets, and what those of one template have in common.

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::facts::{Kin, Role};

/// The labels of a workflow; most workflows of one template have the same.
pub type Labels = Arc<[(Arc<str>, Arc<str>)]>;

/// Looked into several times an event: a fast hash, keyed at random.
type Pool<T> = HashSet<Arc<T>, RandomState>;

/// Strings and label sets in use. What nobody refers to any more is dropped when the pool has doubled.
#[derive(Debug, Default)]
pub struct Interner {
    texts: Pool<str>,
    label_sets: HashSet<Labels, RandomState>,
    lines: Pool<[u16]>,
    kin: Pool<Kin>,
    roles: Pool<Role>,
    swept_at: usize,
}

/// Below this a sweep isn't worth its time.
const LEAST_SWEEP: usize = 4096;

impl Interner {
    pub fn text(&mut self, text: &str) -> Arc<str> {
        if let Some(found) = self.texts.get(text) {
            return Arc::clone(found);
        }
        let new: Arc<str> = Arc::from(text);
        self.texts.insert(Arc::clone(&new));
        new
    }

    pub fn labels<'t>(&mut self, pairs: impl Iterator<Item = (&'t str, &'t str)>) -> Labels {
        let set: Vec<_> = pairs.map(|(k, v)| (self.text(k), self.text(v))).collect();
        if let Some(found) = self.label_sets.get(set.as_slice()) {
            return Arc::clone(found);
        }
        let new: Labels = Arc::from(set);
        self.label_sets.insert(Arc::clone(&new));
        self.sweep_if_grown();
        new
    }

    /// A line of policies; there are few different ones.
    pub fn line(&mut self, line: &[u16]) -> Arc<[u16]> {
        if let Some(found) = self.lines.get(line) {
            return Arc::clone(found);
        }
        let new: Arc<[u16]> = Arc::from(line);
        self.lines.insert(Arc::clone(&new));
        new
    }

    pub fn kin(&mut self, kin: Kin) -> Arc<Kin> {
        self.sweep_if_grown();
        shared(&mut self.kin, kin)
    }

    pub fn role(&mut self, role: Role) -> Arc<Role> {
        self.sweep_if_grown();
        shared(&mut self.roles, role)
    }

    fn sweep_if_grown(&mut self) {
        let kept = |s: &Self| s.texts.len() + s.label_sets.len() + s.kin.len() + s.roles.len();
        if kept(self) < (self.swept_at * 2).max(LEAST_SWEEP) {
            return;
        }
        // What holds others goes first.
        self.kin.retain(|k| Arc::strong_count(k) > 1);
        self.roles.retain(|r| Arc::strong_count(r) > 1);
        self.label_sets.retain(|l| Arc::strong_count(l) > 1);
        self.texts.retain(|t| Arc::strong_count(t) > 1);
        self.swept_at = kept(self);
    }
}

fn shared<T: Eq + Hash>(all: &mut Pool<T>, new: T) -> Arc<T> {
    if let Some(found) = all.get(&new) {
        return Arc::clone(found);
    }
    let new = Arc::new(new);
    all.insert(Arc::clone(&new));
    new
}

/// The value of a label.
pub fn label<'l>(labels: &'l Labels, key: &str) -> Option<&'l str> {
    labels.iter().find(|(k, _)| &**k == key).map(|(_, v)| &**v)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_uses_is_dropped() {
        let mut pool = Interner::default();
        let kept = pool.labels([("team", "data")].into_iter());
        for i in 0..20_000 {
            pool.labels([("task", format!("t{i}").as_str())].into_iter());
        }
        assert!(pool.texts.len() < LEAST_SWEEP * 2, "{}", pool.texts.len());
        assert!(Arc::ptr_eq(&kept, &pool.labels([("team", "data")].into_iter())));
    }
}
