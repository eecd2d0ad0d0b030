//! The usual way, over the same server in the same run: a kube reflector of `DynamicObject`.

use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use unstick_bed::corpus::{Corpus, Size};
use unstick_bed::measure::{Child, Table, mib, millis};

use super::{MEASURED_CORE, Server, Setting};

/// A workflow of 5.8 KB takes the peer this much, roughly: enough to know whether all of them fit.
const EACH: u64 = 64 << 10;

pub fn run(setting: &Setting, table: &mut Table) -> Result<()> {
    let free = available()?;
    // Half of what is free at most: the machine has other work.
    let count = if u64::from(setting.count) * EACH < free / 2 { setting.count } else { 20_000.min(setting.count) };
    let server = Server::start(setting)?;
    server.load(&Corpus { count, size: Size::Small, ..Corpus::default() })?;
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["--role", "peer", "--server", &format!("http://{}", server.address)]);
    let mut peer = Child::start(&mut command, setting.core(MEASURED_CORE), &setting.folder.path().join("peer.log"))?;
    let said = peer.line(Duration::from_secs(300))?;
    ensure!(said == format!("synced {count}"), "the peer says {said}");
    let start = peer.usage()?;
    let label = format!("peer, {}k x 5.8 KB", count / 1000);
    table.note(&format!("{label}: CPU to synced"), millis(start.cpu));
    table.note(&format!("{label}: resident memory"), mib(start.resident));
    let before = peer.usage()?.cpu;
    server.replay(1_000.0, 5_000)?;
    std::thread::sleep(Duration::from_millis(500));
    table.note(&format!("{label}: CPU per 1,000 events"), millis((peer.usage()?.cpu - before) / 5));
    Ok(())
}

/// Memory that could be had, bytes.
fn available() -> Result<u64> {
    let text = std::fs::read_to_string("/proc/meminfo")?;
    let line = text.lines().find_map(|l| l.strip_prefix("MemAvailable:")).unwrap_or("0");
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0) * 1024)
}
