//! The program: puts the parts together, nothing else.

use std::process::ExitCode;

use anyhow::bail;
use unstick::cli::{Parts, live};

fn main() -> ExitCode {
    unstick::cli::main(Parts { run: |_| bail!("the operator is not part of this build"), engine: live::engine })
}
