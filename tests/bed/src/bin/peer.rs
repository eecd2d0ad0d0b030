//! A kube reflector of `DynamicObject` as a process of its own (src/measure/peer.rs).

use anyhow::Result;
use clap::Parser;
use unstick_bed::measure::{pin, run_peer};

#[derive(Parser)]
struct Args {
    /// Default: the server of the current kubeconfig.
    #[arg(long)]
    server: Option<String>,
    /// Runs on this core only.
    #[arg(long)]
    core: Option<usize>,
}

fn main() -> Result<()> {
    let args = Args::parse();
    if let Some(core) = args.core {
        pin(core)?;
    }
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(run_peer(args.server))
}
