//! Archives: the canonical form, what is stored and proven under every fault of a store, and that each guard is needed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "archive/answers.rs"]
mod answers;
#[path = "archive/bucket.rs"]
mod bucket;
#[path = "archive/canonical.rs"]
mod canonical;
#[path = "archive/catalogue.rs"]
mod catalogue;
#[path = "archive/cold.rs"]
mod cold;
#[path = "archive/commands.rs"]
mod commands;
#[path = "archive/folder.rs"]
mod folder;
#[path = "archive/keeping.rs"]
mod keeping;
#[path = "archive/keys.rs"]
mod keys;
#[path = "archive/lines.rs"]
mod lines;
#[path = "archive/memory.rs"]
mod memory;
#[cfg(feature = "mutants")]
#[path = "archive/mutants.rs"]
mod mutants;
#[path = "archive/probing.rs"]
mod probing;
#[path = "archive/redacted.rs"]
mod redacted;
#[path = "archive/restoring.rs"]
mod restoring;
#[path = "archive/runs.rs"]
mod runs;
#[path = "archive/verifying.rs"]
mod verifying;
