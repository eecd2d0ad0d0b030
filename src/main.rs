//! The program: puts the parts together, nothing else.

use std::process::ExitCode;

use anyhow::bail;
use unstick::cli::Parts;

fn main() -> ExitCode {
    unstick::cli::main(Parts {
        run: |_| bail!("the operator is not part of this build"),
        engine: |_| bail!("the diagnosis is not part of this build"),
    })
}
