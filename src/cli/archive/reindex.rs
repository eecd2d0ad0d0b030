//! `unstick archive reindex`: the catalogue made anew.

use std::fmt::Write as _;

use clap::Args;
use jiff::Timestamp;

use super::place::{PlaceArgs, told};
use super::progress::bar;
use crate::api::time::Time;
use crate::archive::catalogue::reindex::{Reindexed, Terms, reindex};
use crate::cli::Io;
use crate::cli::args::Global;
use crate::cli::words::count;

/// Flags of `unstick archive reindex`.
#[derive(Args, Clone, Debug)]
pub struct ReindexArgs {
    #[command(flatten)]
    pub place: PlaceArgs,
    /// Exit with 0 also when manifests are damaged or archives missing
    #[arg(long)]
    pub exit_zero: bool,
}

pub(super) async fn run(args: &ReindexArgs, global: &Global, io: &mut Io<'_>) -> anyhow::Result<Reindexed> {
    let place = args.place.open_to_write(global, io.err).await?;
    let bar = bar("manifests", None, io);
    let expires_after = place.expires_after.and_then(|d| d.try_into().ok());
    let terms = Terms { now: Time::new(Timestamp::now()), expires_after };
    let mut seen = |count: usize| bar.set_position(count as u64);
    let done = reindex(place.store.as_ref(), &place.layout, terms, &mut seen).await;
    bar.finish_and_clear();
    done.map_err(|e| told(&e))
}

/// For people.
pub(super) fn render(done: &Reindexed) -> String {
    let (archives, deletions) = (count(done.archives, "archive"), count(done.deletions, "deletion"));
    let mut out = format!("generation {}: {archives}, {deletions}", done.generation);
    if done.expired > 0 {
        let _ = write!(out, "; {} expired and left out", count(done.expired, "line"));
    }
    out.push('\n');
    for key in &done.damaged {
        let _ = writeln!(out, "damaged: {key}");
    }
    for key in &done.missing {
        let _ = writeln!(out, "missing: {key}");
    }
    out
}
