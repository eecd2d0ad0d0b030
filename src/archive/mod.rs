//! Archives: the canonical form of a run, where it lies, its manifest, and the one proof that allows a delete.
//!
//! ```text
//!   live text --canonical--> bytes, digest --keep--> put, read back, compare, manifest
//!   live text --canonical--> digest --verify--> read the stored copy, compare --> VerifiedArchive
//! ```
//!
//! There is no client of the cluster and no clock in here; only `store/` does I/O, behind one small trait.

pub mod artifacts;
pub mod canonical;
pub mod catalogue;
pub mod digest;
pub mod facts;
pub mod gzip;
mod json;
pub mod keep;
pub mod key;
pub mod manifest;
pub mod query;
pub mod redaction;
pub mod restore;
#[allow(clippy::disallowed_methods, reason = "the stores are where the outside world is")]
pub mod store;
pub mod verify;
mod write;
