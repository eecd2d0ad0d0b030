//! The catalogue: what is in the archive, as lines of JSON in batches by cluster, namespace and day.

pub mod row;

pub use row::{Record, Row};
