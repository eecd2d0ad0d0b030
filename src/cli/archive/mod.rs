//! `unstick archive`: what is in the archive, and how to get it out again. Needs no cluster, unless an `ArchiveLocation`
//! is named.

use clap::{Args, Subcommand};

use super::args::{EXIT_CODES, Global, Output, Plain};
use super::{Exit, Io, Screen, form, say, wait};

pub mod download;
pub mod expiry;
pub mod filter;
pub mod find;
pub mod get;
pub mod list;
pub mod location;
pub mod now;
pub mod pick;
pub mod place;
pub mod progress;
pub mod reindex;
pub mod restore;
pub mod verify;

use pick::PickArgs;

/// Commands on archives.
#[derive(Debug, Subcommand)]
pub enum ArchiveCommand {
    /// List archived workflows
    #[command(after_help = EXIT_CODES)]
    List(Box<list::ListArgs>),
    /// Show what is known of one archive: its manifest
    #[command(after_help = EXIT_CODES)]
    Get(Box<GetArgs>),
    /// Write archived workflows out as JSON, after their digests were checked
    #[command(after_help = EXIT_CODES)]
    Download(Box<download::DownloadArgs>),
    /// Print (or submit) a workflow that can run again, made of an archived one
    #[command(after_help = EXIT_CODES)]
    Restore(Box<restore::RestoreArgs>),
    /// Read archives anew and compare their digests
    #[command(after_help = EXIT_CODES)]
    Verify(Box<verify::VerifyArgs>),
    /// Archive one finished workflow now, as the operator would; never deletes
    #[command(after_help = now::EXIT)]
    Now(Box<now::NowArgs>),
    /// Make a new generation of the catalogue from the manifests: always of all, so it takes no filters
    #[command(after_help = EXIT_CODES)]
    Reindex(reindex::ReindexArgs),
}

/// Flags of `unstick archive get`.
#[derive(Args, Clone, Debug)]
pub struct GetArgs {
    #[command(flatten)]
    pub pick: PickArgs,
    /// Form of the output
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value = "table")]
    pub output: Plain,
}

/// Runs one of them.
pub(super) fn run(command: ArchiveCommand, global: &Global, screen: Screen, io: &mut Io<'_>) -> anyhow::Result<Exit> {
    match command {
        ArchiveCommand::List(args) => {
            let found = wait(list::find(&args, global, io))?;
            say(io, &list::render(&found, &args, screen)?)?;
            Ok(Exit::findings(found.damaged > 0, args.exit_zero))
        }
        ArchiveCommand::Get(args) => {
            let found = wait(async {
                let place = args.pick.place.open(global, io.err).await?;
                get::read(&place, &args.pick, io).await
            })?;
            let text = match form(args.output) {
                None => get::render(&found, screen),
                Some(form) => super::emit::object("Archive", &found, form)?,
            };
            say(io, &text)?;
            Ok(Exit::Fine)
        }
        ArchiveCommand::Download(args) => wait(download::run(&args, global, io)),
        ArchiveCommand::Restore(args) => wait(restore::run(&args, global, io)),
        ArchiveCommand::Verify(args) => {
            let report = wait(verify::run(&args, global, io))?;
            let text = match form(args.output) {
                None => verify::render(&report, screen),
                Some(form) => super::emit::list("VerificationList", &report.findings, form)?,
            };
            say(io, &text)?;
            Ok(Exit::findings(report.mismatches() > 0, args.exit_zero))
        }
        ArchiveCommand::Now(args) => match wait(now::run(&args, global, io))? {
            Ok(done) => {
                let text = match form(args.output) {
                    None => now::render(&done, screen),
                    Some(form) => super::emit::object("ArchivedWorkflow", &done, form)?,
                };
                say(io, &text)?;
                Ok(Exit::Fine)
            }
            Err(why) => Ok(now::refused(&why, io)),
        },
        ArchiveCommand::Reindex(args) => {
            let done = wait(reindex::run(&args, global, io))?;
            say(io, &reindex::render(&done))?;
            Ok(Exit::findings(!(done.damaged.is_empty() && done.missing.is_empty()), args.exit_zero))
        }
    }
}

const fn listed(output: Output) -> Option<super::Form> {
    match output {
        Output::Json => Some(super::Form::Json),
        Output::Yaml => Some(super::Form::Yaml),
        Output::Table | Output::Wide | Output::Name => None,
    }
}
