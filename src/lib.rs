//! unstick: the watchdog and janitor for Argo Workflows.
//!
//! ```text
//!   api  <-  watchdog  <-  shell  <-  main          (dependencies point left; archive stands beside watchdog)
//!
//!   API server --lines--> shell::watch --Input--> Watchdog --Effect--> shell::choke --> API server
//!                          (I/O)                   (pure)               (the only writer)
//! ```
//!
//! `api` is what is on the wire, `watchdog` decides without I/O or clock, `archive` is what is stored and how it is
//! proven, `shell` does without deciding; `cli` uses the same watchdog and the same words. There is no `kube::Controller` and no reflector `Store` for workflows: they would
//! hold whole objects, 50 to 400 times the memory (docs/performance.md).

#[deny(clippy::disallowed_methods)]
pub mod api;
#[deny(clippy::disallowed_methods)]
pub mod archive;
pub mod cli;
pub mod metrics;
pub mod mutant;
pub mod shell;
#[deny(clippy::disallowed_methods)]
pub mod watchdog;
