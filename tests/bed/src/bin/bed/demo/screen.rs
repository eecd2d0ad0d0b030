//! What a user would type, and what comes of it.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

/// The two programs of a user and the cluster they speak with.
#[derive(Clone)]
pub struct Screen {
    pub unstick: PathBuf,
    pub kubectl: PathBuf,
    pub kubeconfig: PathBuf,
    /// Where archives are, as the tools of AWS take it.
    pub environment: Vec<(String, String)>,
}

/// A line above the output of a command, the command itself as typed.
pub fn header(line: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    let (bold, plain) = if out.is_terminal() { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
    writeln!(out, "\n{bold}$ {line}{plain}")?;
    Ok(out.flush()?)
}

impl Screen {
    /// Shows `line` and what it prints. `unstick` may say with 1 that something is stuck.
    pub async fn show(&self, line: &str) -> Result<()> {
        header(line)?;
        let mut command = self.command(line)?;
        let status = tokio::task::spawn_blocking(move || command.status()).await??;
        Self::expect(line, status.code())
    }

    /// What `line` prints, as JSON.
    pub async fn json(&self, line: &str) -> Result<Value> {
        let mut command = self.command(line)?;
        command.stderr(Stdio::inherit());
        let output = tokio::task::spawn_blocking(move || command.output()).await??;
        Self::expect(line, output.status.code())?;
        serde_json::from_slice(&output.stdout).with_context(|| format!("`{line}` did not print JSON"))
    }

    fn command(&self, line: &str) -> Result<Command> {
        let mut words = line.split(' ');
        let program: &Path = match words.next() {
            Some("unstick") => &self.unstick,
            Some("kubectl") => &self.kubectl,
            other => bail!("{other:?} is no program of the demo"),
        };
        let mut command = Command::new(program);
        command
            .args(words)
            .env("KUBECONFIG", &self.kubeconfig)
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::null());
        Ok(command)
    }

    fn expect(line: &str, code: Option<i32>) -> Result<()> {
        let fine = code == Some(0) || (code == Some(1) && line.starts_with("unstick "));
        ensure!(fine, "`{line}` failed with exit code {code:?}");
        Ok(())
    }
}
