//! `/metrics`: from the watchdog and the process to text, at each scrape.

use std::collections::BTreeMap;

use super::catalogue::{Kind, catalogue};
use super::page::Page;
use super::process::Process;
use super::state::State;
use super::usage::Usage;
use super::{keeping, log_count, totals, workflows};
use crate::api::reasons::UnknownReason;
use crate::watchdog::Watchdog;
use crate::watchdog::tally::Key;

/// The text of `/metrics`, format 0.0.4, at most 5,000 series at the catalogue's limits.
///
/// Only the leader says anything of workflows, and of their state only once the first list has ended: a part of the index
/// would look like a sudden recovery.
pub fn render(watchdog: &Watchdog, process: &Process) -> String {
    let leading = watchdog.is_leading();
    let mut page = Page::new(leading);
    if leading && watchdog.is_synced() {
        let cap = process.series_cap;
        let mut state = State::of(watchdog, cap);
        workflows::write(&mut page, watchdog, &mut state, cap);
        totals::write(&mut page, watchdog, state);
        keeping::write(&mut page, watchdog);
        // With clocks apart nothing is judged, however alive the watch is: absent, which the alert takes for stale.
        let judged = watchdog.around().blind != Some(UnknownReason::ClockSkew);
        if let Some(at) = process.alive.get("workflows").filter(|_| judged) {
            page.value("unstick_last_scan_timestamp_seconds", at);
        }
    }
    counted(&mut page, watchdog, process);
    own(&mut page, watchdog, process);
    page.finish()
}

/// Counters and histograms; a family may be counted on both sides (events: dropped by the core, sent by the shell).
fn counted(page: &mut Page, watchdog: &Watchdog, process: &Process) {
    let tallies = [&watchdog.tally, &process.tally];
    for family in catalogue().families.iter().map(|f| (f.name.as_str(), f.kind)) {
        let Some(mut series) = page.family(family.0) else { continue };
        if family.1 == Kind::Histogram {
            for (key, histogram) in tallies.iter().filter_map(|t| t.histograms.get(family.0)).flatten() {
                series.histogram(key, histogram);
            }
        } else {
            let mut sums: BTreeMap<&Key, u64> = BTreeMap::new();
            for (key, n) in tallies.iter().filter_map(|t| t.counters.get(family.0)).flatten() {
                *sums.entry(key).or_default() += n;
            }
            for (key, n) in sums {
                series.put_key(key, n);
            }
        }
    }
}

/// What a process says of itself.
fn own(page: &mut Page, watchdog: &Watchdog, process: &Process) {
    if let Some(mut series) = page.family("unstick_build_info") {
        series.put(&[env!("CARGO_PKG_VERSION")], 1);
    }
    page.value("unstick_leader", u8::from(watchdog.is_leading()));
    if let Some(mut series) = page.family("unstick_watch_last_alive_timestamp_seconds") {
        for (resource, at) in &process.alive {
            series.put(&[resource], at);
        }
    }
    page.value("unstick_writes_waiting", watchdog.writes_waiting());
    if let Some(skew) = process.clock_skew {
        page.value("unstick_clock_skew_seconds", skew);
    }
    if let Some(mut series) = page.family("unstick_log_messages_total") {
        for (level, n) in log_count::counts() {
            series.put(&[level], n);
        }
    }
    if let Some(usage) = Usage::read() {
        page.value("process_cpu_seconds_total", usage.cpu);
        page.value("process_resident_memory_bytes", usage.resident_bytes);
        page.value("process_start_time_seconds", usage.started);
    }
}
