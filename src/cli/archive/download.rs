//! `unstick archive download`: an archived workflow as a file.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;

use super::PickArgs;
use super::pick::{content, pick};
use crate::cli::args::Global;
use crate::cli::{Exit, Io};

/// Flags of `unstick archive download`.
#[derive(Args, Clone, Debug)]
pub struct DownloadArgs {
    #[command(flatten)]
    pub pick: PickArgs,
    /// File to write; - is standard output
    #[arg(short = 'O', long, value_name = "FILE", default_value = "-")]
    pub to: PathBuf,
    /// As it is stored: gzip
    #[arg(long)]
    pub raw: bool,
}

pub(super) async fn run(args: &DownloadArgs, global: &Global, io: &mut Io<'_>) -> anyhow::Result<Exit> {
    let place = args.pick.place.open(global, io.err).await?;
    let picked = pick(&place, &args.pick, io).await?;
    let (object, plain) = content(&place, &picked, io).await?;
    let bytes = if args.raw { &object.bytes[..] } else { &plain };
    if args.to.as_os_str() == "-" {
        io.out.write_all(bytes)?;
        if !args.raw {
            io.out.write_all(b"\n")?;
        }
        io.out.flush()?;
    } else {
        std::fs::write(&args.to, bytes).with_context(|| format!("can't write {}", args.to.display()))?;
        writeln!(io.err, "{}: {} bytes of {}", args.to.display(), bytes.len(), picked.key)?;
    }
    Ok(Exit::Fine)
}
