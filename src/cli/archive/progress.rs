//! Progress of long work, on standard error and only where people look at it.

use std::io::IsTerminal as _;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::cli::Io;

/// A bar of `length` steps; `None` = nobody knows how many.
pub fn bar(what: &'static str, length: Option<u64>, io: &Io<'_>) -> ProgressBar {
    let seen = io.screen.is_none() && std::io::stderr().is_terminal();
    let target = if seen { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(length, target);
    let style = match length {
        Some(_) => ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} {eta}"),
        None => ProgressStyle::with_template("{spinner} {msg} {pos} {elapsed}"),
    };
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.set_message(what);
    bar
}
