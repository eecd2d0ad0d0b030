//! One pass over the outlines of the index: counts, and which workflows get series of their own.
//!
//! The facts of most workflows are not looked at: eight bytes of each say enough, and only the few chosen, those
//! that are suspended at several points and those that wait for a lock are looked at again; of a stuck one its verdict.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::counting::Counting;
use crate::api::reasons::{DetectionType, Reason};
use crate::api::workflow::Secs;
use crate::watchdog::Watchdog;
use crate::watchdog::facts::{Facts, Phase};
use crate::watchdog::index::Slot;
use crate::watchdog::outline::Outline;

/// Place among those that want series: stuck ones first (longest stuck first), then the oldest; slots settle ties and
/// stay the same while a workflow exists. One number, compared half a million times a scrape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank(u64);

impl Rank {
    const HEALTHY: u64 = 1 << 63;
    /// More slots than these bits tell apart don't fit into memory.
    const SLOT: u64 = (1 << 31) - 1;

    fn stuck(since: Secs, slot: Slot) -> Self {
        Self(u64::from(since) << 31 | u64::from(slot.0) & Self::SLOT)
    }

    fn healthy(age_base: Secs, slot: Slot) -> Self {
        Self(Self::HEALTHY | Self::stuck(age_base, slot).0)
    }

    fn slot(self) -> Slot {
        Slot(u32::try_from(self.0 & Self::SLOT).unwrap_or(u32::MAX))
    }
}

/// The first `cap` of all that are offered.
#[derive(Debug)]
pub struct Top {
    cap: usize,
    /// Up to twice as many, the first `cap` among them.
    chosen: Vec<Rank>,
    /// What doesn't come before it has no place.
    limit: Rank,
    /// Label sets of all that were offered.
    pub sets: usize,
}

impl Top {
    pub fn new(cap: usize) -> Self {
        Self { cap, chosen: Vec::new(), limit: Rank(if cap == 0 { 0 } else { u64::MAX }), sets: 0 }
    }

    #[inline]
    pub fn offer(&mut self, rank: Rank, sets: usize) {
        self.sets += sets;
        if rank < self.limit {
            self.chosen.push(rank);
            if self.chosen.len() >= self.cap * 2 {
                self.cut();
            }
        }
    }

    /// Keeps the first `cap`, in no order; there are more.
    #[cold]
    fn cut(&mut self) {
        let (_, last, _) = self.chosen.select_nth_unstable(self.cap - 1);
        self.limit = *last;
        self.chosen.truncate(self.cap);
    }

    /// The chosen, the first first, and the label sets of all that were offered.
    pub fn chosen(mut self) -> (Vec<Slot>, usize) {
        self.chosen.sort_unstable();
        (self.chosen.into_iter().take(self.cap).map(Rank::slot).collect(), self.sets)
    }
}

/// Who waits for a lock.
#[derive(Debug, Default)]
pub struct Waiting<'w> {
    pub workflows: usize,
    /// (namespace, workflow) as Argo names the holders.
    pub holders: std::collections::BTreeSet<(&'w str, &'w str)>,
}

/// What the pass finds.
#[derive(Debug)]
pub struct State<'w> {
    /// By namespace, type and phase.
    pub workflows: BTreeMap<(&'w str, &'w str, &'static str), usize>,
    /// Stuck ones by namespace, policy and what is shown first of each.
    pub verdicts: HashMap<(&'w str, &'w str, DetectionType, Reason), usize, RandomState>,
    /// By namespace of the waiting workflow and lock.
    pub locks: HashMap<(&'w str, &'w str), Waiting<'w>, RandomState>,
    pub active: Top,
    pub started: Top,
    pub phased: Top,
    pub suspended: Top,
    pub progressed: Top,
    /// One per workflow that has a threshold ahead of it or behind it.
    pub deadline: Top,
    pub stuck: Top,
}

impl<'w> State<'w> {
    /// `cap`: series of each family with a series per workflow.
    pub fn of(watchdog: &'w Watchdog, cap: usize) -> Self {
        let top = || Top::new(cap);
        let mut state = Self {
            workflows: BTreeMap::new(),
            verdicts: HashMap::default(),
            locks: HashMap::default(),
            active: top(),
            started: top(),
            phased: top(),
            suspended: top(),
            progressed: top(),
            deadline: top(),
            stuck: top(),
        };
        for (kin, phase, n) in watchdog.index.census().iter() {
            let key = (&*kin.namespace, kin.workflow_type.as_deref().unwrap_or(""), phase_name(phase));
            *state.workflows.entry(key).or_default() += n;
        }
        let seen = state.stuck(watchdog);
        for (slot, outline) in watchdog.index.outlines() {
            if outline.has(Outline::ACTIVE) && !seen.has(slot) {
                state.active(watchdog, outline, Rank::healthy(outline.age_base, slot), slot);
            }
        }
        state
    }

    /// Those that are stuck come before all others; says which they are.
    fn stuck(&mut self, watchdog: &'w Watchdog) -> Slots {
        let mut seen = Slots::default();
        let mut verdicts = Counting::new();
        for (slot, verdict) in &watchdog.stuck {
            seen.add(*slot);
            let rank = Rank::stuck(verdict.since(), *slot);
            self.stuck.offer(rank, 1);
            // The text of a namespace is kept once: what it is called is looked at once.
            let (place, (kind, reason)) = (Arc::as_ptr(&verdict.namespace).cast::<u8>().addr(), verdict.shown());
            verdicts.add((place, verdict.policy, kind, reason), verdict, |(place, policy, kind, reason)| {
                (place as u64) ^ u64::from(policy) << 48 ^ (kind as u64) << 8 ^ reason as u64
            });
            let outline = watchdog.index.outline(*slot);
            if outline.has(Outline::ACTIVE) {
                self.active(watchdog, outline, rank, *slot);
                if !outline.has(Outline::DEADLINE) {
                    self.deadline.offer(rank, 1);
                }
            }
        }
        for (verdict, n) in verdicts.into_counts() {
            if let Some(policy) = watchdog.policies.get(verdict.policy) {
                let (kind, reason) = verdict.shown();
                *self.verdicts.entry((&*verdict.namespace, &*policy.label, kind, reason)).or_default() += n;
            }
        }
        seen
    }

    #[inline]
    fn active(&mut self, watchdog: &'w Watchdog, outline: Outline, rank: Rank, slot: Slot) {
        self.active.offer(rank, 1);
        if outline.has(Outline::STARTED) {
            self.started.offer(rank, 1);
        }
        if outline.has(Outline::PHASED) {
            self.phased.offer(rank, 1);
        }
        if outline.has(Outline::PROGRESSED) {
            self.progressed.offer(rank, 1);
        }
        if outline.has(Outline::DEADLINE) {
            self.deadline.offer(rank, 1);
        }
        match outline.points {
            0 => {}
            1 => self.suspended.offer(rank, 1),
            // Of two nodes of one template the earlier is told of.
            _ => {
                let points = watchdog.index.get(slot).map_or(0, |facts| suspensions(facts).len());
                self.suspended.offer(rank, points);
            }
        }
        if outline.has(Outline::WAITING)
            && let Some(facts) = watchdog.index.get(slot)
        {
            self.waits(facts);
        }
    }

    fn waits(&mut self, facts: &'w Facts) {
        for lock in facts.waiting() {
            let waiting = self.locks.entry((&facts.namespace, &lock.name)).or_default();
            waiting.workflows += 1;
            waiting.holders.extend(lock.holders.iter().map(|(ns, name)| (&**ns, &**name)));
        }
    }
}

/// Some slots, a bit each.
#[derive(Default)]
struct Slots {
    bits: Vec<u64>,
}

impl Slots {
    fn add(&mut self, slot: Slot) {
        let at = slot.0 as usize / 64;
        if at >= self.bits.len() {
            self.bits.resize(at + 1, 0);
        }
        if let Some(bits) = self.bits.get_mut(at) {
            *bits |= 1 << (slot.0 % 64);
        }
    }

    #[inline]
    fn has(&self, slot: Slot) -> bool {
        self.bits.get(slot.0 as usize / 64).is_some_and(|bits| bits >> (slot.0 % 64) & 1 == 1)
    }
}

/// Value of the label `phase`.
pub fn phase(facts: &Facts) -> &'static str {
    phase_name(facts.phase)
}

const fn phase_name(phase: Phase) -> &'static str {
    match phase {
        Phase::Unset => Phase::Pending.as_str(),
        phase => phase.as_str(),
    }
}

/// The points at which an active workflow is suspended, and since when; the earlier of two nodes of one template.
pub fn suspensions(facts: &Facts) -> BTreeMap<&str, Secs> {
    let mut points = BTreeMap::new();
    if facts.suspended_since != 0 {
        points.insert("spec", facts.suspended_since);
    }
    for node in facts.nodes.iter().filter(|n| n.is_suspension() && n.started != 0) {
        let since = points.entry(&*node.template).or_insert(node.started);
        *since = (*since).min(node.started);
    }
    points
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// In whatever order they come: most are offered by slot, the stuck before all others.
        #[test]
        fn the_first_are_chosen(
            offered in prop::collection::vec((any::<bool>(), prop_oneof![0..9_u32, any::<u32>()]), 0..200),
            cap in 0..40_usize,
        ) {
            let mut top = Top::new(cap);
            let mut all = Vec::new();
            for (slot, (healthy, at)) in (0..).map(Slot).zip(offered) {
                let rank = if healthy { Rank::healthy(at, slot) } else { Rank::stuck(at, slot) };
                top.offer(rank, 2);
                all.push((healthy, at, slot));
            }
            all.sort_unstable();
            let first = all.iter().take(cap).map(|(_, _, slot)| *slot).collect::<Vec<_>>();
            prop_assert_eq!(top.chosen(), (first, all.len() * 2));
        }
    }
}
