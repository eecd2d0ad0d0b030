//! A child process that cannot outlive us, and whose last words are kept for the error message.
//!
//! Beside each child sits a shell that reads a pipe we hold. While we live nothing comes; when we stop the child we say so
//! and the shell goes; when we die in any way, SIGKILL included, the pipe closes and the shell kills exactly that child
//! (pid and start time must match).

use std::fs::File;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use rustix::process::{Pid, Signal, kill_process};

/// $1 is the child's pid, $2 a folder to remove with it (may be empty).
const GUARDIAN: &str = r#"
born() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20; }
was=$(born "$1")
read -r released && exit 0
[ "$(born "$1")" = "$was" ] && kill -9 "$1" 2>/dev/null
[ -n "$2" ] && sleep 1 && rm -rf -- "$2"
"#;

/// A running program of the bed.
#[derive(Debug)]
pub struct Part {
    name: String,
    child: Child,
    guardian: Child,
    log: PathBuf,
}

/// What a process has used so far, from `/proc`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Figures {
    pub rss_bytes: u64,
    /// The highest `rss_bytes` so far.
    pub peak_rss_bytes: u64,
    /// User and system time of all threads.
    pub cpu: Duration,
}

impl Part {
    /// Starts `command` with both outputs appended to `log`. Should we die, `remove` goes too.
    pub fn start(name: &str, command: &mut Command, log: &Path, remove: Option<&Path>) -> Result<Self> {
        let out = File::options()
            .create(true)
            .append(true)
            .open(log)
            .with_context(|| format!("cannot write {}", log.display()))?;
        // A process group of its own: Ctrl-C in a terminal reaches us alone, and we stop the parts in order.
        let mut child = command
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {name} ({})", command.get_program().display()))?;
        let guardian = Command::new("sh")
            .args(["-c", GUARDIAN, "bed-guardian", &child.id().to_string()])
            .arg(remove.unwrap_or(Path::new("")))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn();
        match guardian {
            Ok(guardian) => Ok(Self { name: name.to_owned(), child, guardian, log: log.to_owned() }),
            Err(e) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(e).context("cannot start `sh`, which watches over the parts of the bed")
            }
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn log(&self) -> &Path {
        &self.log
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// An error with the part's last words if it has ended; call it while waiting for the part to be ready.
    pub fn expect_alive(&mut self) -> Result<()> {
        match self.ended() {
            None => Ok(()),
            Some(status) => {
                bail!("{} stopped by itself ({status}); the end of its log:\n{}", self.name, tail(&self.log, 15))
            }
        }
    }

    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).ok_or_else(|| anyhow!("no pid"))?;
        kill_process(pid, signal).with_context(|| format!("cannot signal {}", self.name))
    }

    /// Waits for the process to end by itself.
    pub async fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        let until = Instant::now() + limit;
        loop {
            if let Some(status) = self.ended() {
                return Ok(status);
            }
            if Instant::now() >= until {
                bail!("{} still runs after {limit:?}; the end of its log:\n{}", self.name, tail(&self.log, 15));
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// What the process has used; an error once it has ended.
    pub fn figures(&self) -> Result<Figures> {
        let read = |what: &str| {
            std::fs::read_to_string(format!("/proc/{}/{what}", self.pid()))
                .with_context(|| format!("{} has ended", self.name))
        };
        let (status, stat) = (read("status")?, read("stat")?);
        figures(&status, &stat).ok_or_else(|| anyhow!("cannot make sense of /proc/{}", self.pid()))
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if self.ended().is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        if let Some(pipe) = self.guardian.stdin.as_mut() {
            let _ = pipe.write_all(b"released\n");
        }
        let _ = self.guardian.wait();
    }
}

fn figures(status: &str, stat: &str) -> Option<Figures> {
    let kib = |key: &str| -> Option<u64> {
        let line = status.lines().find_map(|l| l.strip_prefix(key))?;
        line.trim().strip_suffix("kB")?.trim().parse().ok()
    };
    // The second field is the program's name in brackets and may hold anything; utime and stime are fields 14 and 15.
    let mut fields = stat.rsplit_once(") ")?.1.split(' ').skip(11);
    let ticks: u64 = fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?;
    let hertz = rustix::param::clock_ticks_per_second();
    Some(Figures {
        rss_bytes: kib("VmRSS:")? * 1024,
        peak_rss_bytes: kib("VmHWM:")? * 1024,
        cpu: Duration::from_millis(ticks * 1000 / hertz),
    })
}

/// The last lines of a log, indented.
pub fn tail(log: &Path, lines: usize) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text[text.len().saturating_sub(16 * 1024)..]).into_owned();
    let all: Vec<&str> = text.lines().filter(|l| !l.trim().is_empty()).collect();
    if all.is_empty() {
        return "  (it wrote nothing)".to_owned();
    }
    all[all.len().saturating_sub(lines)..]
        .iter()
        .map(|l| format!("  {}", l.chars().take(400).collect::<String>()))
        .collect::<Vec<_>>()
        .join("\n")
}

/// A TCP port of 127.0.0.1 that nobody listens on right now.
pub fn free_port() -> Result<u16> {
    let socket = std::net::TcpListener::bind(("127.0.0.1", 0)).context("no free port on 127.0.0.1")?;
    Ok(socket.local_addr()?.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alive(pid: u32) -> bool {
        std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|s| !s.contains(") Z "))
    }

    #[test]
    fn dropped_means_gone_with_its_guardian() {
        let dir = tempfile::tempdir().unwrap();
        let part = Part::start("sleeper", Command::new("sleep").arg("600"), &dir.path().join("log"), None).unwrap();
        let (child, guardian) = (part.pid(), part.guardian.id());
        assert!(alive(child) && alive(guardian));
        drop(part);
        assert!(!alive(child) && !alive(guardian));
    }

    #[test]
    fn a_closed_pipe_kills_the_child_and_removes_the_folder() {
        let dir = tempfile::tempdir().unwrap().keep();
        let log = dir.join("log");
        let mut part = Part::start("sleeper", Command::new("sleep").arg("600"), &log, Some(&dir)).unwrap();
        // The guardian must have read the start time before we "die".
        std::thread::sleep(Duration::from_millis(300));
        drop(part.guardian.stdin.take());
        let status = part.child.wait().unwrap();
        assert!(!status.success());
        part.guardian.wait().unwrap();
        assert!(!dir.exists());
    }

    #[tokio::test]
    async fn last_words_are_in_the_error() {
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "echo no disk left; exit 3"]);
        let mut part = Part::start("talker", &mut command, &dir.path().join("log"), None).unwrap();
        part.wait(Duration::from_secs(10)).await.unwrap();
        let said = part.expect_alive().unwrap_err().to_string();
        assert!(
            said.contains("talker stopped") && said.contains("exit status: 3") && said.contains("no disk left"),
            "{said}"
        );
    }

    #[test]
    fn figures_survive_a_strange_program_name() {
        let status = "Name:\tx\nVmHWM:\t    200 kB\nVmRSS:\t    100 kB\n";
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 100 0 0 0 150 50 0 0 20 0 1 0 5 0 0";
        let seen = figures(status, stat).unwrap();
        assert_eq!((seen.rss_bytes, seen.peak_rss_bytes, seen.cpu), (102_400, 204_800, Duration::from_secs(2)));
    }
}
