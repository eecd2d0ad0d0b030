//! `unstick archive`: what is in the archive, and how to get it out again. Needs no cluster, unless an `ArchiveLocation`
//! is named.

use clap::{Args, Subcommand};

use super::args::{EXIT_CODES, Global, Output, Plain};
use super::{Exit, Io, Screen, form, say, wait};

pub mod download;
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

use place::PlaceArgs;

/// Commands on archives.
#[derive(Debug, Subcommand)]
pub enum ArchiveCommand {
    /// List archived workflows by namespace, name, template, phase, label, parameter, time or duration
    #[command(after_help = EXIT_CODES)]
    List(Box<list::ListArgs>),
    /// Show what is known of one archive: its manifest
    #[command(after_help = EXIT_CODES)]
    Get(GetArgs),
    /// Write an archived workflow out as JSON, after its digest was checked
    #[command(after_help = EXIT_CODES)]
    Download(download::DownloadArgs),
    /// Print (or submit) a workflow that can run again, made of an archived one
    #[command(after_help = EXIT_CODES)]
    Restore(restore::RestoreArgs),
    /// Read archives anew and compare their digests
    #[command(after_help = EXIT_CODES)]
    Verify(verify::VerifyArgs),
    /// Archive one finished workflow now, as the operator would; never deletes
    #[command(after_help = now::EXIT)]
    Now(Box<now::NowArgs>),
    /// Make a new generation of the catalogue from the manifests
    #[command(after_help = EXIT_CODES)]
    Reindex(reindex::ReindexArgs),
}

/// Which archive.
#[derive(Args, Clone, Debug)]
pub struct PickArgs {
    /// NAME or NAMESPACE/NAME
    #[arg(value_name = "WORKFLOW")]
    pub workflow: String,
    /// Namespace
    #[arg(short, long, value_name = "NS")]
    pub namespace: Option<String>,
    /// When it finished, or the beginning of that: 20261121, `20261121_101500`; or all of the name that its key ends
    /// with, `20261121_101500_3f9a1c04be12`. Default: the latest
    #[arg(long, value_name = "DATE", value_parser = pick::date_or_stem)]
    pub date: Option<String>,
    /// Runs of this cluster, as their manifests say
    #[arg(long, value_name = "NAME")]
    pub cluster: Option<String>,
    #[command(flatten)]
    pub place: PlaceArgs,
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
            Ok(Exit::findings(!done.damaged.is_empty(), args.exit_zero))
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
