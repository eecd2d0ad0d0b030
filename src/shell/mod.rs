//! Does without deciding: the only I/O, one file for each outside thing.

pub mod client;
pub mod clock;
pub mod logging;
pub mod stream;
pub mod watch;
mod watch_backoff;
mod watch_block;
mod watch_fault;
mod watch_page;
mod watch_position;
mod watch_request;
