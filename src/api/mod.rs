//! What is on the wire: our kinds, the closed vocabularies, the lean Argo `Workflow`. Types only, no client.

pub mod reasons;
pub mod workflow;
