//! The program: puts the parts together, nothing else.

use std::process::ExitCode;

use unstick::cli::{Parts, live, operate};

fn main() -> ExitCode {
    unstick::cli::main(Parts { run: operate::run, engine: live::engine })
}
