//! A process on a core of its own.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::{Usage, pin, unpin};

/// Killed when dropped.
#[derive(Debug)]
pub struct Child {
    process: std::process::Child,
    /// Held open: those that watch it end when we do.
    _input: Option<ChildStdin>,
    lines: std::sync::mpsc::Receiver<String>,
}

impl Child {
    /// Starts `command` on `core` (anywhere with `None`); its errors go to `log`.
    pub fn start(command: &mut Command, core: Option<usize>, log: &Path) -> Result<Self> {
        let log = std::fs::File::options().create(true).append(true).open(log).context("cannot write the log")?;
        if let Some(core) = core {
            pin(core)?;
        }
        let started = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log).spawn();
        if core.is_some() {
            unpin(cores())?;
        }
        let mut process = started.with_context(|| format!("cannot start {}", command.get_program().display()))?;
        let (tell, lines) = std::sync::mpsc::channel();
        if let Some(output) = process.stdout.take() {
            std::thread::spawn(move || {
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    // Nobody may be listening any more: the pipe must be emptied all the same.
                    let _ = tell.send(line);
                }
            });
        }
        Ok(Self { _input: process.stdin.take(), process, lines })
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// The next line it prints.
    pub fn line(&mut self, limit: Duration) -> Result<String> {
        self.lines.recv_timeout(limit).with_context(|| format!("process {} printed nothing", self.pid()))
    }

    pub fn usage(&self) -> Result<Usage> {
        Usage::of(self.pid())
    }

    /// Waits until `ready` says so; an error when it takes longer or the process ends.
    pub fn wait_until(&mut self, what: &str, limit: Duration, mut ready: impl FnMut() -> bool) -> Result<Duration> {
        let begun = Instant::now();
        while !ready() {
            if let Some(status) = self.process.try_wait()? {
                bail!("process ended ({status}) before {what}");
            }
            if begun.elapsed() > limit {
                bail!("no {what} within {limit:?}");
            }
            // Each look costs the process something; where it takes long, fewer will do.
            std::thread::sleep((begun.elapsed() / 50).clamp(Duration::from_millis(20), Duration::from_millis(250)));
        }
        Ok(begun.elapsed())
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// How many cores there are.
fn cores() -> usize {
    std::fs::read_to_string("/proc/cpuinfo").map_or(1, |t| t.lines().filter(|l| l.starts_with("processor")).count())
}
