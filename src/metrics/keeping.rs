//! Gauges of archives: what waits, since when, and which locations work.

use std::collections::{BTreeMap, HashMap};

use super::page::Page;
use crate::api::reasons::Mode;
use crate::api::workflow::Secs;
use crate::watchdog::Watchdog;
use crate::watchdog::janitor::Stage;

/// Locations with a series.
const LOCATIONS: usize = 10;

pub fn write(page: &mut Page, watchdog: &Watchdog) {
    // Policies of one name in several namespaces share a label: their runs are counted together.
    let mut waiting: BTreeMap<&str, (usize, Secs)> = BTreeMap::new();
    for (_, policy) in watchdog.policies.iter() {
        let archive = policy.rules.as_ref().and_then(|r| r.archive.as_ref());
        if archive.is_some_and(|a| a.mode == Mode::Enforce) {
            waiting.insert(&policy.label, (0, Secs::MAX));
        }
    }
    // By policy first: runs are many, policies few.
    let mut by_policy: HashMap<u16, (usize, Secs)> = HashMap::new();
    for (_, entry) in watchdog.janitor.entries().filter(|(_, e)| !matches!(e.stage, Stage::Kept(_))) {
        let (count, oldest) = by_policy.entry(entry.policy).or_insert((0, Secs::MAX));
        *count += 1;
        *oldest = (*oldest).min(entry.run.finished);
    }
    for (policy, (n, first)) in by_policy {
        let label = watchdog.policies.get(policy).map(|p| &*p.label);
        if let Some((count, oldest)) = label.and_then(|l| waiting.get_mut(l)) {
            *count += n;
            *oldest = (*oldest).min(first);
        }
    }
    if let Some(mut series) = page.family("unstick_archive_backlog") {
        for (policy, (count, _)) in &waiting {
            series.put(&[policy], count);
        }
    }
    if let Some(mut series) = page.family("unstick_archive_oldest_waiting_timestamp_seconds") {
        for (policy, (_, oldest)) in waiting.iter().filter(|(_, (count, _))| *count > 0) {
            series.put(&[policy], oldest);
        }
    }
    let places = &watchdog.janitor.places;
    page.dropped("unstick_archive_location_ready", places.len().saturating_sub(LOCATIONS));
    if let Some(mut series) = page.family("unstick_archive_location_ready") {
        for (name, place) in places.iter().take(LOCATIONS) {
            series.put(&[name], u8::from(place.ready));
        }
    }
}
