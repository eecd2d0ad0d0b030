//! Memory must not follow the size of workflows: 5.8 KB, 50 KB, half a megabyte, compressed.

use anyhow::Result;
use unstick_bed::corpus::{Corpus, Look, Size};
use unstick_bed::measure::{Scrape, Table, Usage, mib};

use super::{Server, Setting, Watching};

const MIB: u64 = 1 << 20;

pub fn run(setting: &Setting, table: &mut Table) -> Result<()> {
    let few = watch(setting, table, 10_000, Size::Small, "10k x 5.8 KB")?;
    table.at_most("10k x 5.8 KB: resident memory", few.resident, 32 * MIB, mib);
    // The server computes what it sends: 100,000 of 50 KB are 5 GB on the wire and nothing in memory.
    let label = format!("{}k x 5.8 KB again", setting.count / 1000);
    let small = watch(setting, table, setting.count, Size::Small, &label)?;
    let large = watch(setting, table, setting.count, Size::Large, &format!("{}k x 50 KB", setting.count / 1000))?;
    let ratio = |a: u64, b: u64| {
        f64::from(u32::try_from(a / 1024).unwrap_or(u32::MAX)) / f64::from(u32::try_from(b / 1024).unwrap_or(1).max(1))
    };
    table.at_most("resident memory, 50 KB / 5.8 KB", ratio(large.resident, small.resident), 1.2, |r| format!("{r:.2}"));
    watch(setting, table, 2_000, Size::Huge, "2k x 530 KB")?;
    watch(setting, table, 300, Size::Compressed, "300 x 370 KB compressed")?;
    Ok(())
}

/// Starts, settles, looks.
fn watch(setting: &Setting, table: &mut Table, count: u32, size: Size, label: &str) -> Result<Usage> {
    let corpus = Corpus { count, size, ..Corpus::default() };
    let largest = corpus.specimen(0).text(1_000_000, Look::default()).len() as u64;
    let server = Server::start(setting)?;
    server.load(&corpus)?;
    let operator = Watching::start(setting, &server)?;
    std::thread::sleep(setting.settle());
    let tracked = Scrape::of(operator.address)?.sum("unstick_tracked_workflows", "");
    anyhow::ensure!(tracked >= f64::from(count), "{label}: only {tracked} tracked");
    let usage = operator.process.usage()?;
    table.note(
        &format!("{label}: resident memory, CPU to synced"),
        format!("{}, {:.2} s", mib(usage.resident), operator.start_cpu.as_secs_f64()),
    );
    table.at_most(&format!("{label}: peak - steady"), usage.peak - usage.resident, 16 * MIB + 4 * largest, mib);
    Ok(usage)
}
