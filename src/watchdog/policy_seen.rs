//! What one pass over the index finds of one policy. The same workflows give the same words, in whatever order they
//! came into sight: a restart has nothing new to say.

use std::collections::HashMap;

use super::facts::Facts;
use super::policy::Policy;
use super::stuck::Stuck;
use super::{Watchdog, instant};
use crate::api::policy::{GovernedElsewhere, OldestStuck};
use crate::api::workflow::Secs;

/// Workflows named that another policy governs.
const EXAMPLES: usize = 10;

/// Workflows are told by namespace and name.
#[derive(Default)]
pub struct Seen<'f> {
    pub matched: i64,
    pub stuck: i64,
    pub per_detection: HashMap<u16, i64>,
    elsewhere: i64,
    /// The first by name, each with the policy that governs it.
    examples: Vec<(&'f str, &'f str, &'f str)>,
    /// Since when, which workflow, the detection shown.
    oldest: Option<(Secs, &'f str, &'f str, &'f str)>,
    next: Option<(Secs, &'f str, &'f str)>,
}

/// What is seen of each policy, by its index, and how many workflows are unfinished.
#[derive(Default)]
pub struct Census<'f> {
    policies: Vec<Seen<'f>>,
    pub unfinished: i64,
}

impl<'f> Census<'f> {
    fn of(&mut self, policy: u16) -> &mut Seen<'f> {
        let place = usize::from(policy);
        if self.policies.len() <= place {
            self.policies.resize_with(place + 1, Seen::default);
        }
        &mut self.policies[place]
    }

    pub fn take(&mut self, policy: u16) -> Seen<'f> {
        std::mem::take(self.of(policy))
    }
}

impl Watchdog {
    pub(super) fn census(&self) -> Census<'_> {
        let mut census = Census::default();
        // A finished one may be stuck too: its deletion is blocked.
        for (slot, stuck) in &self.stuck {
            if let Some((governor, facts)) = self.index.get(*slot).and_then(|f| Some((f.governor()?, f))) {
                census.of(governor).stuck(facts, stuck, self.policies.get(governor));
            }
        }
        for (_, facts) in self.index.iter().filter(|(_, f)| !f.is_finished()) {
            census.unfinished += 1;
            let Some(governor) = facts.governor() else { continue };
            for other in facts.line.iter().skip(1) {
                census.of(*other).elsewhere(facts, self.policies.get(governor));
            }
            census.of(governor).governed(facts);
        }
        census
    }
}

impl<'f> Seen<'f> {
    /// An unfinished workflow that another policy governs.
    pub fn elsewhere(&mut self, facts: &'f Facts, governor: Option<&'f Policy>) {
        self.elsewhere += 1;
        let one = (&*facts.namespace, facts.name(), governor.map_or("", |p| &*p.label));
        let place = self.examples.partition_point(|other| *other < one);
        if place < EXAMPLES {
            self.examples.truncate(EXAMPLES - 1);
            self.examples.insert(place, one);
        }
    }

    /// An unfinished workflow that this policy governs.
    pub fn governed(&mut self, facts: &'f Facts) {
        self.matched += 1;
        let due = (facts.deadline, &*facts.namespace, facts.name());
        if facts.deadline != 0 && self.next.is_none_or(|next| due < next) {
            self.next = Some(due);
        }
    }

    /// A run that is stuck under this policy.
    pub fn stuck(&mut self, facts: &'f Facts, stuck: &Stuck, policy: Option<&'f Policy>) {
        self.stuck += 1;
        for hold in stuck.holds() {
            *self.per_detection.entry(hold.detection).or_default() += 1;
        }
        let shown = stuck.holds().first().and_then(|h| policy?.detections.get(usize::from(h.detection)));
        let one = (stuck.since(), &*facts.namespace, facts.name(), shown.map_or("", |d| &*d.name));
        if self.oldest.is_none_or(|oldest| one < oldest) {
            self.oldest = Some(one);
        }
    }

    pub fn governs_nothing(&self) -> bool {
        self.matched == 0 && self.elsewhere == 0
    }

    pub fn governed_elsewhere(&self) -> Option<GovernedElsewhere> {
        let each = self.examples.iter().map(|(namespace, name, by)| format!("{namespace}/{name} ({by})"));
        (self.elsewhere > 0).then(|| GovernedElsewhere { count: self.elsewhere, examples: each.collect() })
    }

    pub fn oldest_stuck(&self) -> Option<OldestStuck> {
        self.oldest.map(|(since, namespace, name, detection)| OldestStuck {
            workflow: format!("{namespace}/{name}"),
            detection: detection.to_owned(),
            since: instant(since).into(),
        })
    }

    /// The next threshold, for a status column.
    pub fn next(&self) -> String {
        let words = self
            .next
            .map(|(at, namespace, name)| format!("{} {namespace}/{name}", instant(at).strftime("%Y-%m-%d %H:%M:%SZ")));
        words.unwrap_or_default()
    }
}
