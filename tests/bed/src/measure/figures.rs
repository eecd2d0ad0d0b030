//! Which core a process runs on, and what its threads have used.

use std::time::Duration;

use anyhow::{Context, Result};
use rustix::thread::{CpuSet, sched_setaffinity};
use rustix::time::{ClockId, clock_gettime};

/// Binds the calling thread, and all it starts from now on, to one core.
pub fn pin(core: usize) -> Result<()> {
    let mut cores = CpuSet::new();
    cores.set(core);
    sched_setaffinity(None, &cores).with_context(|| format!("cannot run on core {core}"))
}

/// Lets the calling thread run on every one of the first `count` cores.
pub fn unpin(count: usize) -> Result<()> {
    let mut cores = CpuSet::new();
    (0..count).for_each(|core| cores.set(core));
    sched_setaffinity(None, &cores).context("cannot run on all cores")
}

/// CPU time of the calling thread.
pub fn thread_cpu() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), u32::try_from(now.tv_nsec).unwrap_or(0))
}

/// What a process has used, from `/proc`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Resident memory now, bytes.
    pub resident: u64,
    /// The highest it has been.
    pub peak: u64,
    /// User and system time of all its threads, in steps of 10 ms.
    pub cpu: Duration,
}

/// From now on [`Usage::peak`] of that process is the highest since now.
pub fn forget_peak(pid: u32) -> Result<()> {
    std::fs::write(format!("/proc/{pid}/clear_refs"), "5").with_context(|| format!("process {pid} has ended"))
}

impl Usage {
    /// Reads it; an error when the process has ended.
    pub fn of(pid: u32) -> Result<Self> {
        let read = |file: &str| {
            std::fs::read_to_string(format!("/proc/{pid}/{file}")).with_context(|| format!("process {pid} has ended"))
        };
        let status = read("status")?;
        let kib = |key: &str| {
            let line = status.lines().find_map(|l| l.strip_prefix(key))?;
            line.trim().trim_end_matches(" kB").trim().parse::<u64>().ok()
        };
        let stat = read("stat")?;
        // The name in parentheses may hold spaces; the fields begin after it. utime and stime are 14 and 15 of all.
        let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect::<Vec<_>>();
        let ticks = |n: usize| fields.get(n).and_then(|f| f.parse::<u64>().ok());
        let cpu = ticks(11).zip(ticks(12)).context("no CPU times in /proc")?;
        Ok(Self {
            resident: kib("VmRSS:").context("no VmRSS in /proc")? * 1024,
            peak: kib("VmHWM:").context("no VmHWM in /proc")? * 1024,
            cpu: Duration::from_millis((cpu.0 + cpu.1) * 10),
        })
    }
}
