//! What `make bench` is made of: processes bound to cores, their figures, a table of limits kept and missed.
//!
//! ```text
//!   core 0: fake API server, the bench itself          core 1: what is measured, alone
//! ```

mod child;
mod figures;
mod floor;
mod peer;
mod plain;
mod scrape;
mod table;

pub use child::Child;
pub use figures::{Usage, forget_peak, pin, thread_cpu, unpin};
pub use floor::floor;
pub use peer::run_peer;
pub use plain::{get, post};
pub use scrape::Scrape;
pub use table::{Table, mib, millis};

/// The middle one of an odd number of values.
pub fn median<T: PartialOrd + Copy>(mut values: Vec<T>) -> Option<T> {
    values.sort_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
    values.get(values.len() / 2).copied()
}
