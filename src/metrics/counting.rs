//! Counts of things that are told apart by small keys: 100,000 times a scrape, so without a hash that withstands
//! attacks. Keys are addresses and enums of our own.

use hashbrown::HashTable;

/// How often each key was seen, and something of it from the first time.
#[derive(Debug)]
pub struct Counting<K, T> {
    all: HashTable<(K, T, usize)>,
}

impl<K: Copy + Eq, T> Counting<K, T> {
    pub fn new() -> Self {
        Self { all: HashTable::new() }
    }

    /// `mix`: the key as a number, the same for equal keys.
    pub fn add(&mut self, key: K, of: T, mix: fn(K) -> u64) {
        let hash = |k: K| mix(k).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
        let entry = self.all.entry(hash(key), |(k, ..)| *k == key, |(k, ..)| hash(*k));
        entry.or_insert((key, of, 0)).get_mut().2 += 1;
    }

    pub fn into_counts(self) -> impl Iterator<Item = (T, usize)> {
        self.all.into_iter().map(|(_, of, n)| (of, n))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_keys_are_counted_together_however_they_are_mixed() {
        for mix in [|k: usize| k as u64, |_| 7] {
            let mut counting = Counting::new();
            for n in 0..1000_usize {
                counting.add(n % 10, n, mix);
            }
            let mut counts: Vec<_> = counting.into_counts().collect();
            counts.sort_unstable();
            assert_eq!(counts, (0..10).map(|first| (first, 100)).collect::<Vec<_>>());
        }
    }
}
