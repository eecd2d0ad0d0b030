//! What a scrape asks of every workflow, kept beside the facts: eight bytes each, and how many there are of each kin
//! and phase. A pass over the facts themselves would fetch 16 MB from memory for 100,000 workflows, at each scrape.
//!
//! Only the index writes here, whenever facts come, change or go, and always from the whole of them: nothing can drift.

use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashTable;

use super::facts::{Facts, Kin, Phase};
use crate::api::workflow::Secs;

/// The outline of one workflow; the default is that of a slot without one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outline {
    /// Base of the run's age.
    pub age_base: Secs,
    traits: u8,
    /// Points at which it is suspended, by spec or at nodes; two nodes of one template count as two.
    pub points: u8,
}

impl Outline {
    /// It exists and has not finished.
    pub const ACTIVE: u8 = 1;
    pub const STARTED: u8 = 1 << 1;
    /// When it entered its phase is known.
    pub const PHASED: u8 = 1 << 2;
    pub const PROGRESSED: u8 = 1 << 3;
    /// A threshold is ahead of it.
    pub const DEADLINE: u8 = 1 << 4;
    /// It waits for a lock.
    pub const WAITING: u8 = 1 << 5;

    pub fn of(facts: &Facts) -> Self {
        let nodes = facts.nodes.iter().filter(|n| n.is_suspension() && n.started != 0).count();
        let points = usize::from(facts.suspended_since != 0) + nodes;
        let traits = [
            (Self::ACTIVE, !facts.is_finished()),
            (Self::STARTED, facts.started != 0),
            (Self::PHASED, facts.phase_start() != 0),
            (Self::PROGRESSED, facts.last_change != 0),
            (Self::DEADLINE, facts.deadline != 0),
            (Self::WAITING, !facts.waiting().is_empty()),
        ];
        let traits = traits.into_iter().fold(0, |all, (bit, is)| if is { all | bit } else { all });
        Self { age_base: facts.age_base(), traits, points: u8::try_from(points).unwrap_or(u8::MAX) }
    }

    #[inline]
    pub const fn has(self, traits: u8) -> bool {
        self.traits & traits != 0
    }
}

/// How many workflows there are of each kin and phase.
#[derive(Debug, Default)]
pub struct Census {
    groups: HashTable<Group>,
}

#[derive(Debug)]
struct Group {
    kin: Arc<Kin>,
    phase: Phase,
    count: usize,
}

impl Group {
    fn is(&self, kin: &Arc<Kin>, phase: Phase) -> bool {
        Arc::ptr_eq(&self.kin, kin) && self.phase == phase
    }
}

impl Census {
    pub fn come(&mut self, kin: &Arc<Kin>, phase: Phase) {
        let entry = self.groups.entry(hash(kin, phase), |g| g.is(kin, phase), |g| hash(&g.kin, g.phase));
        entry.or_insert_with(|| Group { kin: Arc::clone(kin), phase, count: 0 }).get_mut().count += 1;
    }

    pub fn go(&mut self, kin: &Arc<Kin>, phase: Phase) {
        let Ok(mut entry) = self.groups.find_entry(hash(kin, phase), |g| g.is(kin, phase)) else { return };
        entry.get_mut().count -= 1;
        if entry.get().count == 0 {
            entry.remove();
        }
    }

    /// In no order.
    pub fn iter(&self) -> impl Iterator<Item = (&Kin, Phase, usize)> {
        self.groups.iter().map(|g| (&*g.kin, g.phase, g.count))
    }
}

/// Kin is kept once: its address says which it is.
fn hash(kin: &Arc<Kin>, phase: Phase) -> u64 {
    use std::hash::BuildHasher as _;
    FixedState::with_seed(0).hash_one((Arc::as_ptr(kin).addr(), phase))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::watchdog::facts::{HeldLock, Rare, Uid};
    use crate::watchdog::index::{Index, Slot};

    #[derive(Clone, Debug)]
    enum Step {
        Put { uid: u128, name: usize, kin: usize, phase: Phase, times: [Secs; 5], waits: bool },
        Change { uid: u128, deadline: Secs, suspended: Secs },
        Remove { uid: u128 },
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let uid = || 0..6_u128;
        let phase = prop::sample::select(vec![Phase::Unset, Phase::Pending, Phase::Running, Phase::Failed]);
        let put = (uid(), 0..4_usize, 0..3_usize, phase, prop::array::uniform5(0..3_u32), any::<bool>());
        let put =
            put.prop_map(|(uid, name, kin, phase, times, waits)| Step::Put { uid, name, kin, phase, times, waits });
        let change = (uid(), 0..3_u32, 0..3_u32);
        let change = change.prop_map(|(uid, deadline, suspended)| Step::Change { uid, deadline, suspended });
        let remove = uid().prop_map(|uid| Step::Remove { uid });
        prop::collection::vec(prop_oneof![4 => put, 2 => change, 1 => remove], 0..60)
    }

    fn kin() -> Vec<Arc<Kin>> {
        ["a", "b"]
            .iter()
            .chain(["a"].iter())
            .map(|ns| Arc::new(Kin { namespace: (*ns).into(), ..Kin::default() }))
            .collect()
    }

    fn facts(step: &Step, kin: &[Arc<Kin>]) -> Facts {
        let Step::Put { uid, name, kin: which, phase, times, waits } = step else { panic!("puts only") };
        let [created, started, last_change, deadline, suspended_since] = *times;
        let lock = HeldLock { name: "l".into(), holders: Vec::new(), unnamed: 0 };
        let (names, name_end) = Facts::names(&format!("w{name}"), "");
        Facts {
            uid: Uid(*uid),
            names,
            name_end,
            kin: Arc::clone(&kin[*which]),
            phase: *phase,
            created,
            started,
            last_change,
            deadline,
            suspended_since,
            rare: waits.then(|| Box::new(Rare { waiting: vec![lock], ..Rare::default() })),
            ..Facts::default()
        }
    }

    proptest! {
        #[test]
        fn outlines_census_and_names_are_those_of_counting_anew(steps in steps()) {
            let (mut index, kin) = (Index::default(), kin());
            let mut names: BTreeMap<(String, String), Slot> = BTreeMap::new();
            for step in &steps {
                match step {
                    Step::Put { uid, .. } => {
                        let facts = facts(step, &kin);
                        let name = (facts.namespace.to_string(), facts.name().to_owned());
                        let known = index.find(Uid(*uid));
                        names.retain(|n, slot| Some(*slot) != known || *n == name);
                        names.insert(name, index.put(facts));
                    }
                    Step::Change { uid, deadline, suspended } => {
                        if let Some(slot) = index.find(Uid(*uid)) {
                            index.change(slot, |f| (f.deadline, f.suspended_since) = (*deadline, *suspended));
                        }
                    }
                    Step::Remove { uid } => {
                        if let Some(slot) = index.find(Uid(*uid)) {
                            index.remove(slot);
                            names.retain(|_, s| *s != slot);
                        }
                    }
                }
                let anew: Vec<_> = index.slots().map(|s| (s, index.get(s).map(Outline::of).unwrap_or_default())).collect();
                prop_assert_eq!(index.outlines().collect::<Vec<_>>(), anew);
                let mut counted: BTreeMap<_, usize> = BTreeMap::new();
                for (_, f) in index.iter() {
                    *counted.entry((Arc::as_ptr(&f.kin).addr(), f.phase)).or_default() += 1;
                }
                let census: BTreeMap<_, _> =
                    index.census().iter().map(|(k, phase, n)| ((std::ptr::from_ref(k).addr(), phase), n)).collect();
                prop_assert_eq!(census, counted);
                for ns in ["a", "b"] {
                    for name in (0..4).map(|n| format!("w{n}")) {
                        let expected = names.get(&(ns.to_owned(), name.clone())).copied();
                        prop_assert_eq!(index.find_name(ns, &name), expected, "{}/{}", ns, name);
                    }
                }
                for slot in index.slots() {
                    prop_assert_eq!(index.is_named(slot), names.values().any(|s| *s == slot), "{:?}", slot);
                }
            }
        }
    }
}
