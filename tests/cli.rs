//! The command line: words (golden files), exit codes, both sources.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "cli/archive.rs"]
mod archive;
#[path = "cli/archive_expiry.rs"]
mod archive_expiry;
#[path = "cli/archive_filters.rs"]
mod archive_filters;
#[path = "cli/archive_told.rs"]
mod archive_told;
#[path = "cli/by_name.rs"]
mod by_name;
#[path = "cli/checks.rs"]
mod checks;
#[path = "cli/cluster.rs"]
mod cluster;
#[path = "cli/fake.rs"]
mod fake;
#[path = "cli/files.rs"]
mod files;
#[path = "cli/plan.rs"]
mod plan;
#[path = "cli/policies.rs"]
mod policies;
#[path = "cli/real.rs"]
mod real;
#[path = "cli/screens.rs"]
mod screens;
#[path = "cli/server.rs"]
mod server;
#[path = "cli/stage.rs"]
mod stage;
#[path = "cli/usage.rs"]
mod usage;
