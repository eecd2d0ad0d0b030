//! 10,000 finished runs of 50 KB and a store that comes late: how fast they are archived, and what it takes.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::json;
use unstick_bed::corpus::{Corpus, Size, policies};
use unstick_bed::measure::{Scrape, Table, forget_peak, mib};

use super::{Remote, Server, Setting, Watching};

const MIB: u64 = 1 << 20;
const AT_ONCE: u32 = 32;
/// What an answer of the store takes.
pub const LATENCY: Duration = Duration::from_millis(40);

pub fn run(setting: &Setting, table: &mut Table) -> Result<()> {
    let runs: u32 = if setting.quick { 3_000 } else { 10_000 };
    let label = format!("{runs} finished runs of 50 KB");
    let store = Remote::start(setting, LATENCY, 0)?;
    let server = Server::start(setting)?;
    let mut governing = policies();
    for policy in &mut governing {
        policy["spec"]["archive"] = json!({"mode": "Enforce", "location": "bench"});
    }
    server.tell("objects", &serde_json::to_string(&governing)?)?;
    let corpus =
        Corpus { count: runs, size: Size::Large, finished_per_mille: 1000, stuck_per_mille: 0, ..Corpus::default() };
    server.load(&corpus)?;
    let at_once = AT_ONCE.to_string();
    let more = ["--jobs-at-once", at_once.as_str(), "--jobs-per-second", "1000"];
    let operator = Watching::start_with(setting, &server, &more, &store.credentials())?;
    std::thread::sleep(setting.settle());
    let steady = operator.process.usage()?;
    forget_peak(operator.process.pid())?;

    let calls = server.requests()?;
    let location = json!({
        "apiVersion": "unstick.dev/v1alpha1", "kind": "ArchiveLocation", "metadata": {"name": "bench"},
        "spec": {"type": "S3", "allowedNamespaces": {},
                 "s3": {"bucket": "bench", "endpoint": store.endpoint(), "forcePathStyle": true}},
    });
    server.tell("objects", &serde_json::to_string(&[location])?)?;
    // The first tenth is for connections to be made; the last for the tail.
    let (mut first, limit, begun) = (None, Duration::from_secs(300), Instant::now());
    let total = f64::from(runs);
    let rate = loop {
        let archived = Scrape::of(operator.address)?.sum("unstick_archived_runs_total", "");
        let now = Instant::now();
        match first {
            None if archived >= total * 0.1 => first = Some((now, archived)),
            Some((at, before)) if archived >= total * 0.9 => {
                break (archived - before) / now.duration_since(at).as_secs_f64();
            }
            _ => {}
        }
        ensure!(begun.elapsed() < limit, "{archived} of {runs} are archived after {limit:?}: {}", setting.tail());
        std::thread::sleep(Duration::from_millis(250));
    };
    while Scrape::of(operator.address)?.sum("unstick_archived_runs_total", "") < total {
        ensure!(begun.elapsed() < limit, "not all are archived after {limit:?}: {}", setting.tail());
        std::thread::sleep(Duration::from_millis(250));
    }
    let end = operator.process.usage()?;
    let label = |what: &str| format!("{label}: {what}");
    let name = format!("verified archives per second, {AT_ONCE} at once, {} ms each answer", LATENCY.as_millis());
    table.at_least(&label(&name), rate, 200.0, |r| format!("{r:.0}"));
    table.note(&label("CPU for each"), format!("{:.2} ms", (end.cpu - steady.cpu).as_secs_f64() * 1000.0 / total));
    table.at_most(&label("memory - steady"), end.peak.saturating_sub(steady.resident), 80 * MIB, mib);
    let each = end.peak.saturating_sub(steady.resident) / u64::from(AT_ONCE);
    table.at_most(&label("memory for each at work"), each, 2 * MIB, mib);
    table.note(&label("resident memory before, most and after"), {
        format!("{}, {}, {}", mib(steady.resident), mib(end.peak), mib(end.resident))
    });
    let after = server.requests()?;
    let grown = |key: &str| after.of(key).saturating_sub(calls.of(key));
    let all = grown("get workflows") + grown("patch workflows") + grown("list workflows");
    #[allow(clippy::cast_precision_loss)]
    table.at_most(&label("API calls for each"), all as f64 / total, 2.0, |n| format!("{n:.2}"));
    Ok(())
}
