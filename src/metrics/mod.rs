//! Metrics: one machine-readable catalogue, and nothing outside it.
//!
//! `catalogue.json` says name, type, labels, bound and help of every family; rendering, docs/metrics.md, alert rules,
//! dashboards and the scrape check all read it.
//!
//! ```text
//!   Watchdog (index, stuck, ledger, tally) --+
//!                                            +--> render --> page --> text of /metrics
//!   Process (what only the shell knows)   ---+
//! ```
//!
//! State gauges are computed from the index at each scrape, so they can't drift: `state` makes the one pass, `workflows`
//! writes the families with a series per workflow, `totals` the aggregated ones.

pub mod catalogue;
mod counting;
mod keeping;
mod log_count;
mod page;
mod process;
mod render;
pub mod scrape;
mod state;
#[cfg(test)]
mod tests;
mod totals;
mod usage;
mod workflows;

pub use log_count::LogCount;
pub use process::{Process, RestartCause, Verb};
pub use render::render;

/// Content type of [`render`]'s text.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Upper bounds of a histogram family, `+Inf` left out; empty for anything else.
pub fn bounds(family: &str) -> &'static [f64] {
    catalogue::catalogue().family(family).map_or(&[], |f| &f.buckets)
}
