//! Aggregated state: how many of what there are now.

use std::collections::{BTreeMap, HashMap};

use foldhash::fast::RandomState;

use super::catalogue::{OTHER, catalogue};
use super::page::Page;
use super::state::{State, Waiting};
use crate::api::reasons::{DetectionType, Reason, UnknownReason};
use crate::watchdog::Watchdog;
use crate::watchdog::detect::locks;

fn cap(family: &str) -> usize {
    catalogue().family(family).and_then(|f| f.cap).unwrap_or(usize::MAX)
}

/// Largest first; the order of the keys settles ties.
fn largest_first<K: Ord>(counts: impl IntoIterator<Item = (K, usize)>) -> Vec<(K, usize)> {
    let mut all: Vec<_> = counts.into_iter().collect();
    all.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    all
}

/// Writes what the index and the verdicts say in sum.
pub fn write(page: &mut Page, watchdog: &Watchdog, state: State<'_>) {
    workflows(page, state.workflows);
    stuck(page, state.verdicts);
    if let Some(mut series) = page.family("unstick_workflows_unknown") {
        // While Argo is down these are all there are: one pass.
        let mut counts = vec![0_usize; UnknownReason::ALL.len()];
        for reason in watchdog.unknown.values() {
            if let Some(count) = counts.get_mut(*reason as usize) {
                *count += 1;
            }
        }
        for (reason, n) in UnknownReason::ALL.iter().zip(counts).filter(|(_, n)| *n > 0) {
            series.put(&[reason.as_str()], n);
        }
    }
    locks(page, watchdog, state.locks);
    page.value("unstick_tracked_workflows", watchdog.index.len());
    incidents(page, watchdog);
    policies(page, watchdog);
    if let Some(mut series) = page.family("unstick_argo_state") {
        let states: BTreeMap<_, _> = watchdog.argo.instances().iter().map(|i| (&i.spec.name, i.state)).collect();
        for (name, state) in states {
            series.put(&[name, state.as_str()], 1);
        }
    }
}

fn workflows(page: &mut Page, counts: BTreeMap<(&str, &str, &str), usize>) {
    let name = "unstick_workflows";
    let Some(mut series) = page.family(name) else { return };
    let mut kept: BTreeMap<_, usize> = BTreeMap::new();
    for (i, ((namespace, kind, phase), n)) in largest_first(counts).into_iter().enumerate() {
        let kind = if i < cap(name) { kind } else { OTHER };
        *kept.entry((namespace, kind, phase)).or_default() += n;
    }
    for ((namespace, kind, phase), n) in kept {
        series.put(&[namespace, kind, phase], n);
    }
}

fn stuck(page: &mut Page, counts: HashMap<(&str, &str, DetectionType, Reason), usize, RandomState>) {
    let name = "unstick_workflows_stuck";
    let all = largest_first(counts);
    page.dropped(name, all.len().saturating_sub(cap(name)));
    let Some(mut series) = page.family(name) else { return };
    for ((namespace, policy, kind, reason), n) in all.into_iter().take(cap(name)) {
        series.put(&[namespace, policy, kind.as_str(), reason.as_str()], n);
    }
}

fn locks(page: &mut Page, watchdog: &Watchdog, mut waiting: HashMap<(&str, &str), Waiting<'_>, RandomState>) {
    let (waiters, holders) = ("unstick_lock_waiters", "unstick_lock_live_holders");
    let all = largest_first(waiting.iter().map(|(lock, w)| (*lock, w.workflows)));
    let beyond = all.len().saturating_sub(cap(waiters));
    page.dropped(waiters, beyond);
    page.dropped(holders, beyond);
    if let Some(mut series) = page.family(waiters) {
        for ((namespace, lock), n) in all.iter().take(cap(waiters)) {
            series.put(&[namespace, lock], n);
        }
    }
    let Some(mut series) = page.family(holders) else { return };
    for (lock, _) in all.into_iter().take(cap(waiters)) {
        let named = waiting.remove(&lock).unwrap_or_default().holders;
        if let Some(alive) = live(watchdog, &named) {
            series.put(&[lock.0, lock.1], alive);
        }
    }
}

/// Holders that exist and have not finished; `None` where nothing can be said: nobody is named, or none of those seen is
/// alive and others can't be seen from here (I12).
fn live(watchdog: &Watchdog, named: &std::collections::BTreeSet<(&str, &str)>) -> Option<usize> {
    let mut alive = std::collections::BTreeSet::new();
    let mut unseen = named.is_empty();
    for (namespace, name) in named {
        match locks::holder(&watchdog.index, namespace, name) {
            Some(slot) => {
                alive.extend(watchdog.index.get(slot).filter(|f| !f.is_finished()).map(|_| slot));
            }
            None => unseen |= !watchdog.index.knows_absent(namespace, name),
        }
    }
    (!alive.is_empty() || !unseen).then_some(alive.len())
}

fn incidents(page: &mut Page, watchdog: &Watchdog) {
    let Some(mut series) = page.family("unstick_incidents") else { return };
    let (unconfirmed, open, waiting, closed) = watchdog.ledger.counts();
    for (state, n) in [("Unconfirmed", unconfirmed), ("Open", open), ("Waiting", waiting), ("Closed", closed)] {
        if n > 0 {
            series.put(&[state], n);
        }
    }
}

fn policies(page: &mut Page, watchdog: &Watchdog) {
    if let Some(mut series) = page.family("unstick_policies") {
        let (served, refused) = watchdog.statuses.counts();
        for (state, n) in [("Ready", served), ("NotReady", refused)] {
            if n > 0 {
                series.put(&[state], n);
            }
        }
    }
    let name = "unstick_policy_ready";
    let mut all: Vec<_> = watchdog.statuses.readiness().map(|(key, ready)| (ready, key)).collect();
    all.sort();
    page.dropped(name, all.len().saturating_sub(cap(name)));
    let Some(mut series) = page.family(name) else { return };
    for (ready, key) in all.into_iter().take(cap(name)) {
        series.put(&[key.namespace.as_deref().unwrap_or(""), &key.label()], u8::from(ready));
    }
}
