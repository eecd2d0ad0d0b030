//! What is on the wire: our kinds, the closed vocabularies, the lean Argo `Workflow`. Types only, no client.

#![allow(clippy::doc_markdown, reason = "docs of fields are what kubectl explain shows; kinds are plain words there")]

pub mod archive_location;
pub mod argo_deletes;
pub mod condition;
pub mod crds;
pub mod default_policy;
pub mod incident;
pub mod percent;
pub mod period;
pub mod policy;
pub mod reasons;
pub mod schema;
pub mod selector;
pub mod time;
pub mod validate;
pub mod watchdog;
pub mod workflow;

/// API group of all our kinds.
pub const GROUP: &str = "unstick.dev";
/// Version of all our kinds.
pub const VERSION: &str = "v1alpha1";
