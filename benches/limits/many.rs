//! 100,000 running workflows of 5.8 KB: start, memory, changes, thresholds, scrapes.

use std::time::Duration;

use anyhow::{Result, ensure};
use jiff::Timestamp;
use unstick_bed::corpus::{Corpus, Due, Size};
use unstick_bed::fakeapi::Load;
use unstick_bed::measure::{Scrape, Table, Usage, floor, median, mib, millis};

use super::{MEASURED_CORE, Server, Setting, Watching};

const MIB: u64 = 1 << 20;

pub fn run(setting: &Setting, table: &mut Table) -> Result<()> {
    starts(setting, table)?;
    steady(setting, table)
}

/// CPU until ready, next to the least that parsing these bytes costs.
fn starts(setting: &Setting, table: &mut Table) -> Result<()> {
    let corpus = Corpus { count: setting.count, size: Size::Small, ..Corpus::default() };
    let (mut cpu, mut floors, mut ratios, mut times) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut bytes = 0;
    for _ in 0..setting.repeats() {
        let server = Server::start(setting)?;
        server.load(&corpus)?;
        let operator = Watching::start(setting, &server)?;
        let tracked = Scrape::of(operator.address)?.sum("unstick_tracked_workflows", "");
        ensure!(tracked >= f64::from(setting.count), "ready with {tracked} workflows");
        cpu.push(operator.start_cpu);
        times.push(operator.start_time);
        drop(operator);
        let (spent, all) = floor(&corpus, setting.core(MEASURED_CORE))?;
        floors.push(spent);
        ratios.push(cpu.last().map_or(0.0, |c| c.as_secs_f64() / spent.as_secs_f64()));
        bytes = all;
    }
    let of = |values: Vec<Duration>| median(values).unwrap_or_default();
    let label = format!("{}k x 5.8 KB", setting.count / 1000);
    table.at_most(&format!("{label}: CPU to synced"), of(cpu), Duration::from_millis(2_500), millis);
    table.note(&format!("{label}: time to synced"), millis(of(times)));
    table.note(&format!("{label}: IgnoredAny over the same {}", mib(bytes)), millis(of(floors)));
    table.at_most(&format!("{label}: CPU to synced / IgnoredAny"), median(ratios).unwrap_or(f64::MAX), 6.0, |r| {
        format!("{r:.2}")
    });
    Ok(())
}

fn steady(setting: &Setting, table: &mut Table) -> Result<()> {
    let label = format!("{}k x 5.8 KB", setting.count / 1000);
    let server = Server::start(setting)?;
    // Thresholds pass once memory, scrapes and changes have been looked at.
    let seconds = if setting_is_short(setting) { 15 } else { 60 };
    let now = Timestamp::now().as_second();
    let due = Due {
        count: setting.count / 5,
        from: now + i64::try_from(setting.settle().as_secs())? + if setting_is_short(setting) { 35 } else { 75 },
        seconds,
    };
    let corpus = Corpus { count: setting.count, size: Size::Small, now, due: Some(due), ..Corpus::default() };
    let (stuck, due_count, _) = corpus.census();
    server.load(&corpus)?;
    let operator = Watching::start(setting, &server)?;
    std::thread::sleep(setting.settle());

    let usage = operator.process.usage()?;
    table.at_most(&format!("{label}: resident memory"), usage.resident, 64 * MIB, mib);
    table.at_most(&format!("{label}: peak - steady"), usage.peak - usage.resident, 16 * MIB + 4 * 6_000, mib);
    let page = Scrape::of(operator.address)?;
    table.at_least(&format!("{label}: stuck ones found, of {stuck}"), found(&page), f64::from(stuck), |n| {
        format!("{n:.0}")
    });
    events(setting, table, &label, &server, &operator, "5.8 KB", Duration::from_millis(25))?;
    scrapes(setting, table, &label, &server, &operator)?;
    lag(table, &label, &server, &operator, due, due_count)?;
    Ok(())
}

fn setting_is_short(setting: &Setting) -> bool {
    setting.settle() < Duration::from_secs(60)
}

fn found(page: &Scrape) -> f64 {
    page.sum("unstick_workflows_stuck", "")
}

/// CPU per 1,000 events, what the operator does anyway taken off.
pub fn events(
    setting: &Setting,
    table: &mut Table,
    label: &str,
    server: &Server,
    operator: &Watching,
    size: &str,
    limit: Duration,
) -> Result<()> {
    let cpu = || operator.process.usage().map(|u| u.cpu);
    let mut each = Vec::new();
    for _ in 0..setting.repeats() {
        let (before, begun) = (cpu()?, std::time::Instant::now());
        std::thread::sleep(Duration::from_secs(3));
        let idle = (cpu()? - before).as_secs_f64() / begun.elapsed().as_secs_f64();
        let (before, begun) = (cpu()?, std::time::Instant::now());
        server.replay(4_000.0, 10_000)?;
        std::thread::sleep(Duration::from_millis(300));
        let spent = (cpu()? - before).as_secs_f64() - idle * begun.elapsed().as_secs_f64();
        each.push(Duration::from_secs_f64(spent.max(0.0) / 10.0));
    }
    table.at_most(&format!("{label}: CPU per 1,000 events of {size}"), median(each).unwrap_or_default(), limit, millis);
    Ok(())
}

/// Scrapes at 1,000 events a second.
fn scrapes(setting: &Setting, table: &mut Table, label: &str, server: &Server, operator: &Watching) -> Result<()> {
    let seconds = if setting_is_short(setting) { 8 } else { 25 };
    let events = Load::Modify { rate: 1_000.0, count: seconds * 1_000 };
    server.tell("load", &serde_json::to_string(&events)?)?;
    let begun = std::time::Instant::now();
    let mut pages = Vec::new();
    while begun.elapsed() < Duration::from_secs(seconds) {
        pages.push(Scrape::of(operator.address)?);
        std::thread::sleep(Duration::from_millis(200));
    }
    let series = pages.iter().map(Scrape::series).max().unwrap_or(0);
    let bytes = pages.iter().map(|p| p.text.len()).max().unwrap_or(0);
    let mut times: Vec<Duration> = pages.iter().map(|p| p.took).collect();
    times.sort_unstable();
    let p99 = times.get(times.len().saturating_sub(1) * 99 / 100).copied().unwrap_or_default();
    table.at_most(&format!("{label}: scrape, series"), series, 5_000, |n| n.to_string());
    table.at_most(&format!("{label}: scrape, bytes"), bytes, 1_000_000, |n| n.to_string());
    let name = format!("{label}: scrape, p99 of {} at 1,000 events/s", times.len());
    table.at_most(&name, p99, Duration::from_millis(20), millis);
    table.note(&format!("{label}: scrape, median"), millis(median(times).unwrap_or_default()));
    Ok(())
}

/// Thresholds that pass at 1,000 events a second, and scrapes meanwhile; a quarter is stuck in the end.
fn lag(table: &mut Table, label: &str, server: &Server, operator: &Watching, due: Due, count: u32) -> Result<()> {
    let wait = due.from - 3 - Timestamp::now().as_second();
    ensure!(wait >= 0, "the first threshold has passed {} s too early; the machine is too slow", -wait);
    std::thread::sleep(Duration::from_secs(u64::try_from(wait)?));
    let before = Scrape::of(operator.address)?;
    let events = Load::Modify { rate: 1_000.0, count: u64::from(due.seconds + 5) * 1_000 };
    server.tell("load", &serde_json::to_string(&events)?)?;
    let end = due.from + i64::from(due.seconds) + 3;
    let mut times = Vec::new();
    while Timestamp::now().as_second() < end {
        times.push(Scrape::of(operator.address)?.took);
        std::thread::sleep(Duration::from_millis(if due.seconds < 60 { 200 } else { 500 }));
    }
    let after = Scrape::of(operator.address)?;
    let grown = |name: &str, label: &str| after.sum(name, label) - before.sum(name, label);
    let decided = grown("unstick_detection_lag_seconds_count", "");
    let within =
        |le: &str| grown("unstick_detection_lag_seconds_bucket", &format!("le=\"{le}\"")) / decided.max(1.0) * 100.0;
    let percent = |p: f64| format!("{p:.2} %");
    table.at_least(&format!("{label}: thresholds decided, of {count}"), decided, f64::from(count), |n| {
        format!("{n:.0}")
    });
    table.at_least(&format!("{label}: detection lag <= 50 ms (p99)"), within("0.05"), 99.0, percent);
    table.at_least(&format!("{label}: detection lag <= 1 s (worst)"), within("1"), 100.0, percent);
    table.note(
        &format!("{label}: detection lag, mean"),
        format!("{:.1} ms", grown("unstick_detection_lag_seconds_sum", "") / decided.max(1.0) * 1000.0),
    );
    table.note(&format!("{label}: scrape, median with 25 % stuck"), millis(median(times).unwrap_or_default()));
    let usage: Usage = operator.process.usage()?;
    table.note(&format!("{label}: resident memory at the end"), mib(usage.resident));
    Ok(())
}
