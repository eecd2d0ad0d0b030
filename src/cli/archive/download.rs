//! `unstick archive download`: archived workflows as files.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;

use super::pick::{PickArgs, Picked, content, several, unclear};
use super::place::Place;
use crate::cli::args::Global;
use crate::cli::words::count;
use crate::cli::{Exit, Io};

/// Flags of `unstick archive download`.
#[derive(Args, Clone, Debug)]
pub struct DownloadArgs {
    #[command(flatten)]
    pub pick: PickArgs,
    /// File to write; - is standard output. A folder (one that is there, or with a / at its end) takes all that fit, as
    /// NAMESPACE/NAME/DATE.json
    #[arg(short = 'O', long, value_name = "FILE", default_value = "-")]
    pub to: PathBuf,
    /// As it is stored: gzip
    #[arg(long)]
    pub raw: bool,
}

pub(super) async fn run(args: &DownloadArgs, global: &Global, io: &mut Io<'_>) -> anyhow::Result<Exit> {
    let place = args.pick.place.open(global, io.err).await?;
    let found = several(&place, &args.pick, io).await?;
    if args.to.is_dir() || args.to.as_os_str().as_encoded_bytes().ends_with(b"/") {
        return into_folder(&place, args, &found, io).await;
    }
    let [picked] = found.as_slice() else {
        return Err(unclear(&found, "-O FOLDER/ takes all of them, --latest the one that finished last"));
    };
    let bytes = read(&place, args, picked, io).await?;
    if args.to.as_os_str() == "-" {
        io.out.write_all(&bytes)?;
        if !args.raw {
            io.out.write_all(b"\n")?;
        }
        io.out.flush()?;
    } else {
        write(&args.to, &bytes)?;
        writeln!(io.err, "{}: {} bytes of {}", args.to.display(), bytes.len(), picked.key)?;
    }
    Ok(Exit::Fine)
}

async fn read(place: &Place, args: &DownloadArgs, picked: &Picked, io: &mut Io<'_>) -> anyhow::Result<Vec<u8>> {
    let (object, plain) = content(place, picked, io).await?;
    Ok(if args.raw { object.bytes.to_vec() } else { plain })
}

fn write(file: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    std::fs::write(file, bytes).with_context(|| format!("can't write {}", file.display()))
}

/// Each of them, in folders as keys have them. One that can't be had doesn't keep the others.
async fn into_folder(place: &Place, args: &DownloadArgs, found: &[Picked], io: &mut Io<'_>) -> anyhow::Result<Exit> {
    let mut without = 0;
    for picked in found {
        match read(place, args, picked, io).await {
            Ok(bytes) => {
                let stem = &picked.stem;
                let folder = args.to.join(&stem.namespace).join(&stem.name);
                std::fs::create_dir_all(&folder).with_context(|| format!("can't make {}", folder.display()))?;
                write(&folder.join(format!("{}.json{}", stem.stem, if args.raw { ".gz" } else { "" })), &bytes)?;
            }
            Err(error) => {
                without += 1;
                writeln!(io.err, "error: {error:#}")?;
            }
        }
    }
    let written = count(found.len() - without, "archive");
    let not = if without > 0 { format!(", {without} not") } else { String::new() };
    writeln!(io.err, "{written} written to {}{not}", args.to.display())?;
    Ok(if without > 0 { Exit::Failed } else { Exit::Fine })
}
