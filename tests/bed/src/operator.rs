//! The program under test as a process of its own, with the identity it has in a cluster.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use rustix::process::Signal;

use crate::http1;
use crate::process::{Figures, Part, tail};

/// What to start.
#[derive(Clone, Debug, Default)]
pub struct OperatorOptions {
    pub binary: PathBuf,
    /// All arguments, the subcommand included.
    pub args: Vec<String>,
    /// Replaces our environment, but for PATH and HOME.
    pub env: BTreeMap<String, String>,
    /// Goes into `KUBECONFIG`; see [`crate::Bed::kubeconfig_for`].
    pub kubeconfig: PathBuf,
    /// Both outputs are appended here.
    pub log: PathBuf,
    /// The port its pages are on (an argument says the same), for [`Operator::scrape`].
    pub port: u16,
}

/// The running program. Dropped: killed.
pub struct Operator {
    part: Part,
    port: u16,
}

impl Operator {
    /// Starts it; doesn't wait.
    pub fn start(options: &OperatorOptions) -> Result<Self> {
        let mut command = Command::new(&options.binary);
        command.args(&options.args).env_clear();
        for kept in ["PATH", "HOME"] {
            if let Some(value) = std::env::var_os(kept) {
                command.env(kept, value);
            }
        }
        command.env("KUBECONFIG", &options.kubeconfig).envs(&options.env);
        let name = options.binary.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Self { part: Part::start(&name, &mut command, &options.log, None)?, port: options.port })
    }

    pub fn pid(&self) -> u32 {
        self.part.pid()
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn log(&self) -> &Path {
        self.part.log()
    }

    /// The last lines of its log.
    pub fn tail(&self, lines: usize) -> String {
        tail(self.part.log(), lines)
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.part.ended()
    }

    /// SIGKILL, and waits until it is gone.
    pub async fn kill(&mut self) -> Result<()> {
        self.part.signal(Signal::KILL)?;
        self.part.wait(Duration::from_secs(10)).await.map(drop)
    }

    /// SIGTERM; returns how it ended and how long that took.
    pub async fn terminate(&mut self, limit: Duration) -> Result<(ExitStatus, Duration)> {
        let begun = Instant::now();
        self.part.signal(Signal::TERM)?;
        Ok((self.part.wait(limit).await?, begun.elapsed()))
    }

    /// Memory and CPU so far.
    pub fn figures(&self) -> Result<Figures> {
        self.part.figures()
    }

    /// Whether this local port (of a connection to 127.0.0.1) is this process's own.
    pub fn has_port(&self, port: u16) -> Result<bool> {
        let table = std::fs::read_to_string("/proc/net/tcp")?;
        let ours = format!("0100007F:{port:04X}");
        // Fields: number, local address, remote address, ..., the tenth is the inode.
        let lines = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let inodes: Vec<String> = lines
            .filter(|fields| fields.get(1) == Some(&ours.as_str()))
            .filter_map(|fields| fields.get(9).map(|inode| format!("socket:[{inode}]")))
            .collect();
        let open = std::fs::read_dir(format!("/proc/{}/fd", self.pid()))?.flatten();
        let mut open = open.filter_map(|entry| std::fs::read_link(entry.path()).ok());
        Ok(open.any(|link| inodes.iter().any(|inode| link.as_os_str() == inode.as_str())))
    }

    /// Status and body of one of its pages.
    pub async fn get(&self, path: &str) -> Result<(u16, String)> {
        http1::get(self.port, path).await
    }

    /// Text of `/metrics`.
    pub async fn scrape(&self) -> Result<String> {
        let (status, body) = self.get("/metrics").await?;
        if status != 200 {
            bail!("/metrics answered {status}: {body}");
        }
        Ok(body)
    }

    /// Waits until `path` answers 200; the error holds the last answer and the end of the log.
    pub async fn wait_for(&mut self, path: &str, limit: Duration) -> Result<()> {
        let until = Instant::now() + limit;
        loop {
            self.part.expect_alive()?;
            let seen = match self.get(path).await {
                Ok((200, _)) => return Ok(()),
                Ok((status, body)) => format!("{status} {body}"),
                Err(e) => format!("{e:#}"),
            };
            if Instant::now() > until {
                bail!("{path} is not 200 after {limit:?} ({seen}); the end of the log:\n{}", self.tail(15));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}
