//! `unstick run` begins afresh once its flags are read: the process replaces itself by the same program, which finds them
//! ready. What only the reading took, the whole command line's worth of code and heap, would otherwise count as the
//! operator's memory for as long as it runs: 3 to 4 MiB of some 20.
//!
//! Process id, arguments, environment and open files stay as they are. Where the system refuses, the first one goes on.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use serde::{Deserialize, Serialize};

use super::run::RunArgs;

/// Where the flags are found. There is nothing secret in them.
const VARIABLE: &str = "UNSTICK_FLAGS_READ";

#[derive(Debug, Deserialize, Serialize)]
struct Ready {
    /// The process this was meant for: a child that inherits the variable is another.
    pid: u32,
    args: RunArgs,
}

/// The flags, when this process has read them already.
pub fn ready() -> Option<RunArgs> {
    let text = std::env::var(VARIABLE).ok()?;
    let ready: Ready = serde_json::from_str(&text).ok()?;
    (ready.pid == std::process::id()).then_some(ready.args)
}

/// Replaces the process. Returns when that can't be done.
pub fn begin(args: &RunArgs) {
    let ready = Ready { pid: std::process::id(), args: args.clone() };
    let (Ok(text), Ok(program)) = (serde_json::to_string(&ready), std::env::current_exe()) else { return };
    let mut words = std::env::args_os();
    let mut command = Command::new(program);
    if let Some(name) = words.next() {
        command.arg0(name);
    }
    // Only its failure returns.
    let _ = command.args(words).env(VARIABLE, text).exec();
}
