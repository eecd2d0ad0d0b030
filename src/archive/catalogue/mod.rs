//! The catalogue: what is in the archive, as lines of JSON in immutable batches by cluster, namespace and day.
//!
//! Any reader of partitioned JSON makes a table of it. A generation is whole once its `_complete` is there; the highest
//! such is the current one. Nothing is ever deleted or replaced: to put right what is wrong, a new generation is made
//! from the manifests ([`reindex`]). The same line may be there twice; by key it is one.

pub mod batch;
pub mod generation;
pub mod reindex;
pub mod row;
pub mod search;

pub use batch::Partition;
pub use row::{Deletion, Record, Row};
