//! The fake API server as a process of its own, for measuring its clients: `fakeapi --port 8001`.
//!
//! Prints its URL once it listens and serves until its standard input closes or it is killed. `POST /-/corpus`, `/-/load`,
//! `/-/objects` and `/-/options` steer it, `GET /-/requests` tells what was asked of it (src/fakeapi/control.rs).

use std::io::Read;

use anyhow::Result;
use clap::Parser;
use unstick_bed::fakeapi::{FakeApi, Options};

#[derive(Parser)]
struct Args {
    /// 0 picks a free one.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Runs on this core only.
    #[arg(long)]
    core: Option<usize>,
    /// Goes on when standard input closes.
    #[arg(long)]
    stay: bool,
    #[command(flatten)]
    options: Options,
}

fn main() -> Result<()> {
    let args = Args::parse();
    if let Some(core) = args.core {
        unstick_bed::measure::pin(core)?;
    }
    let api = FakeApi::start(args.options, args.port)?;
    println!("{}", api.url());
    if args.stay {
        loop {
            std::thread::park();
        }
    }
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
