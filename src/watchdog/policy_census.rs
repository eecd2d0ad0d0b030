//! One pass over the index: what the status of each policy counts.

use std::collections::HashMap;

use super::Watchdog;
use super::facts::Facts;
use super::policy::Policy;
use super::stuck::Stuck;
use crate::api::workflow::Secs;

/// The unfinished runs that a policy governs, and the next threshold among them.
#[derive(Clone, Copy, Default)]
struct Active<'w> {
    matched: i64,
    next: Option<(Secs, &'w Facts)>,
}

/// What one pass over the index finds of one policy.
#[derive(Default)]
pub(super) struct Seen {
    pub matched: i64,
    pub stuck: i64,
    pub elsewhere: i64,
    pub examples: Vec<String>,
    pub oldest: Option<(Secs, String, String)>,
    pub next: Option<(Secs, String)>,
    pub per_detection: HashMap<u16, i64>,
}

impl Watchdog {
    /// What is seen of each policy, by its index, and how many workflows are unfinished.
    pub(super) fn census(&self) -> (HashMap<u16, Seen>, i64) {
        let mut seen: HashMap<u16, Seen> = HashMap::new();
        // A finished one may be stuck too: its deletion is blocked.
        for (slot, stuck) in &self.stuck {
            if let Some((governor, facts)) = self.index.get(*slot).and_then(|f| Some((f.governor()?, f))) {
                seen.entry(governor).or_default().count(facts, stuck, self.policies.get(governor));
            }
        }
        let mut unfinished = 0;
        let mut active: Vec<Active<'_>> = Vec::new();
        for (_, facts) in self.index.iter().filter(|(_, f)| !f.is_finished()) {
            unfinished += 1;
            let Some(governor) = facts.governor() else { continue };
            for other in facts.line.iter().skip(1) {
                let s = seen.entry(*other).or_default();
                s.elsewhere += 1;
                if s.examples.len() < 10 {
                    let by = self.policies.get(governor).map_or("", |p| &p.label);
                    s.examples.push(format!("{}/{} ({by})", facts.namespace, facts.name));
                }
            }
            let place = usize::from(governor);
            if active.len() <= place {
                active.resize_with(place + 1, Active::default);
            }
            if let Some(a) = active.get_mut(place) {
                a.matched += 1;
                if facts.deadline != 0 && a.next.is_none_or(|(at, _)| facts.deadline < at) {
                    a.next = Some((facts.deadline, facts));
                }
            }
        }
        for (governor, a) in (0_u16..).zip(&active).filter(|(_, a)| a.matched > 0) {
            let s = seen.entry(governor).or_default();
            s.matched = a.matched;
            s.next = a.next.map(|(at, facts)| (at, format!("{}/{}", facts.namespace, facts.name)));
        }
        (seen, unfinished)
    }
}

impl Seen {
    fn count(&mut self, facts: &Facts, stuck: &Stuck, policy: Option<&Policy>) {
        self.stuck += 1;
        for hold in &stuck.holds {
            *self.per_detection.entry(hold.detection).or_default() += 1;
        }
        let since = stuck.since();
        if self.oldest.as_ref().is_some_and(|(oldest, ..)| *oldest < since) {
            return;
        }
        // Of two that are equally old always the same is named: a status that flips is written for nothing.
        let workflow = format!("{}/{}", facts.namespace, facts.name);
        if self.oldest.as_ref().is_none_or(|(oldest, known, _)| (since, &workflow) < (*oldest, known)) {
            let shown = stuck.holds.first().and_then(|h| policy?.detections.get(usize::from(h.detection)));
            self.oldest = Some((since, workflow, shown.map_or_else(String::new, |d| d.name.clone())));
        }
    }
}
