//! One pass over the index: counts, and which workflows get series of their own.
//!
//! Nothing is built per workflow: kin is told apart by address and only the few chosen are looked at again.

use std::collections::{BTreeMap, BinaryHeap, HashMap};
use std::sync::Arc;

use super::counting::Counting;
use crate::api::reasons::{DetectionType, Reason};
use crate::api::workflow::Secs;
use crate::watchdog::Watchdog;
use crate::watchdog::facts::{Facts, Phase};
use crate::watchdog::index::Slot;
use crate::watchdog::stuck::Stuck;

/// Place among those that want series: stuck ones first (longest stuck first), then the oldest; slots settle ties and
/// stay the same while a workflow exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank {
    healthy: bool,
    at: Secs,
    pub slot: Slot,
}

/// The first `cap` of all that are offered.
#[derive(Debug)]
pub struct Top {
    cap: usize,
    heap: BinaryHeap<Rank>,
    /// The last of the chosen, once there are as many as may be: most of those offered come after it.
    last: Option<Rank>,
    /// Label sets of all that were offered.
    pub sets: usize,
}

impl Top {
    pub fn new(cap: usize) -> Self {
        Self { cap, heap: BinaryHeap::new(), last: None, sets: 0 }
    }

    #[inline]
    pub fn offer(&mut self, rank: Rank, sets: usize) {
        self.sets += sets;
        if self.last.is_none_or(|last| rank < last) {
            self.choose(rank);
        }
    }

    fn choose(&mut self, rank: Rank) {
        if self.heap.len() < self.cap {
            self.heap.push(rank);
        } else if let Some(mut last) = self.heap.peek_mut()
            && rank < *last
        {
            *last = rank;
        }
        if self.heap.len() >= self.cap {
            self.last = self.heap.peek().copied();
        }
    }

    /// The chosen, the first first, and the label sets of all that were offered.
    pub fn chosen(self) -> (Vec<Slot>, usize) {
        let ranks = self.heap.into_sorted_vec();
        (ranks.into_iter().map(|r| r.slot).collect(), self.sets)
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
    pub verdicts: HashMap<(&'w str, &'w str, DetectionType, Reason), usize>,
    /// By namespace of the waiting workflow and lock.
    pub locks: HashMap<(&'w str, &'w str), Waiting<'w>>,
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
            verdicts: HashMap::new(),
            locks: HashMap::new(),
            active: top(),
            started: top(),
            phased: top(),
            suspended: top(),
            progressed: top(),
            deadline: top(),
            stuck: top(),
        };
        let mut stuck: Vec<(Slot, &Stuck)> = watchdog.stuck.iter().map(|(slot, s)| (*slot, s)).collect();
        stuck.sort_unstable_by_key(|(slot, _)| *slot);
        let mut stuck = stuck.into_iter().peekable();
        let (mut counts, mut verdicts) = (Counting::new(), Counting::new());
        for (slot, facts) in watchdog.index.iter() {
            while stuck.next_if(|(s, _)| *s < slot).is_some() {}
            let verdict = stuck.next_if(|(s, _)| *s == slot).map(|(_, verdict)| verdict);
            let since = verdict.map(Stuck::since);
            let rank = Rank { healthy: since.is_none(), at: since.unwrap_or(facts.age_base()), slot };
            if let Some(verdict) = verdict {
                state.stuck.offer(rank, 1);
                if let Some(hold) = verdict.holds.first() {
                    let key = (Arc::as_ptr(&facts.kin).addr(), verdict.policy, hold.kind, hold.reason);
                    verdicts.add(key, (facts, verdict.policy, hold), |(kin, policy, kind, reason)| {
                        (kin as u64) ^ u64::from(policy) << 48 ^ (kind as u64) << 8 ^ reason as u64
                    });
                }
            }
            // Kin share namespace and type; what they are is looked at once.
            counts.add((Arc::as_ptr(&facts.kin).addr(), facts.phase), facts, |(kin, phase)| kin as u64 ^ phase as u64);
            if !facts.is_finished() {
                state.active(facts, rank);
            }
        }
        for (facts, n) in counts.into_counts() {
            let key = (&*facts.namespace, facts.workflow_type.as_deref().unwrap_or(""), phase(facts));
            *state.workflows.entry(key).or_default() += n;
        }
        for ((facts, policy, hold), n) in verdicts.into_counts() {
            if let Some(policy) = watchdog.policies.get(policy) {
                let key = (&*facts.namespace, &*policy.label, hold.kind, hold.reason);
                *state.verdicts.entry(key).or_default() += n;
            }
        }
        state
    }

    fn active(&mut self, facts: &'w Facts, rank: Rank) {
        self.active.offer(rank, 1);
        if facts.started != 0 {
            self.started.offer(rank, 1);
        }
        if phase_start(facts) != 0 {
            self.phased.offer(rank, 1);
        }
        if facts.last_change != 0 {
            self.progressed.offer(rank, 1);
        }
        if facts.deadline != 0 || !rank.healthy {
            self.deadline.offer(rank, 1);
        }
        let points = if facts.has_suspension { points(facts) } else { 0 };
        if points > 0 {
            self.suspended.offer(rank, points);
        }
        for lock in facts.waiting() {
            let waiting = self.locks.entry((&facts.namespace, &lock.name)).or_default();
            waiting.workflows += 1;
            waiting.holders.extend(lock.holders.iter().map(|(ns, name)| (&**ns, &**name)));
        }
    }
}

/// Value of the label `phase`.
pub fn phase(facts: &Facts) -> &'static str {
    match facts.phase {
        Phase::Unset => Phase::Pending.as_str(),
        phase => phase.as_str(),
    }
}

/// When an active workflow entered its phase; 0 = not known.
pub fn phase_start(facts: &Facts) -> Secs {
    if facts.phase == Phase::Running { facts.started } else { facts.created }
}

/// How many [`suspensions`] has; what one of them is called isn't looked up.
fn points(facts: &Facts) -> usize {
    let nodes = facts.nodes.iter().filter(|n| n.is_suspension() && n.started != 0).count();
    match usize::from(facts.suspended_since != 0) + nodes {
        few @ (0 | 1) => few,
        _ => suspensions(facts).len(),
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
