//! One copy of each string that many workflows share: namespaces, template and node names, label sets.

use std::collections::HashSet;
use std::sync::Arc;

/// The labels of a workflow; most workflows of one template have the same.
pub type Labels = Arc<[(Arc<str>, Arc<str>)]>;

/// Strings and label sets in use. What nobody refers to any more is dropped when the pool has doubled.
#[derive(Debug, Default)]
pub struct Interner {
    texts: HashSet<Arc<str>>,
    label_sets: HashSet<Labels>,
    lines: HashSet<Arc<[u16]>>,
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

    fn sweep_if_grown(&mut self) {
        if self.texts.len() + self.label_sets.len() < (self.swept_at * 2).max(LEAST_SWEEP) {
            return;
        }
        self.label_sets.retain(|l| Arc::strong_count(l) > 1);
        self.texts.retain(|t| Arc::strong_count(t) > 1);
        self.swept_at = self.texts.len() + self.label_sets.len();
    }
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
