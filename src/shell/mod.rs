//! Does without deciding: the only I/O, one file for each outside thing. The loop in [`run`] owns the watchdog.

pub mod argo;
mod asked;
pub mod choke;
pub mod client;
pub mod clock;
pub mod crds;
pub mod door;
mod ears;
mod fed;
pub mod follow;
pub mod http;
pub mod lease;
pub mod logging;
pub mod looping;
mod named;
pub mod run;
pub mod stream;
mod told;
pub mod traffic;
pub mod watch;
mod watch_backoff;
mod watch_block;
mod watch_fault;
mod watch_page;
mod watch_position;
mod watch_request;
pub mod writer;
