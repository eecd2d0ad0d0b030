//! What the commands need of the watchdog: facts go in, findings and explanations come out.
//!
//! A trait so that this layer can be tested by itself; the program puts the watchdog's survey behind it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use crate::watchdog::report::{Explanation, Finding, Totals};

/// One look at a set of workflows. Feed everything else before the workflows; order is free otherwise.
pub trait Engine {
    /// A `WorkflowPolicy` or `ClusterWorkflowPolicy` as the server or a file has it. Returns what is wrong with it, one
    /// sentence each; a policy that can't be served governs nothing.
    fn policy(&mut self, object: &Value) -> Vec<String>;

    /// Judge by the built-in policy: the cluster has none.
    fn builtin_policy(&mut self);

    /// The Watchdog object: Argo's instances, maxima.
    fn watchdog(&mut self, object: &Value);

    /// Labels of a namespace; one never told has none.
    fn namespace(&mut self, name: &str, labels: BTreeMap<String, String>);

    /// A `WorkflowIncident`: its clock for `spec.suspend`, what was done so far.
    fn incident(&mut self, object: &Value);

    /// A pod: a finished one that Argo has not noticed proves a lost task result.
    fn pod(&mut self, object: &Value);

    /// When the Lease of an Argo controller was last renewed; `None` = it is there and never was. A controller whose
    /// Lease is never told is Unknown.
    fn argo_lease(&mut self, namespace: &str, name: &str, renewed: Option<Timestamp>);

    /// One workflow as JSON text, read at `now`.
    ///
    /// # Errors
    /// When it can't be read at all; the others go on.
    fn workflow(&mut self, json: &str, now: Timestamp) -> Result<(), String>;

    /// Workflows (namespace, name) whose existence decides a diagnosis and that were not fed: holders of locks.
    /// What stays unanswered is never taken as absent.
    fn wanted(&self) -> Vec<(String, String)>;

    /// The server said that this workflow does not exist.
    fn absent(&mut self, namespace: &str, name: &str);

    /// Everything has been fed: judge as of `now`. The questions below come after it.
    fn judge(&mut self, now: Timestamp);

    /// Every stuck workflow, in no particular order.
    fn findings(&self) -> Vec<Finding>;

    /// Everything about one workflow; `None` when it was not fed.
    fn explain(&self, namespace: &str, name: &str, now: Timestamp) -> Option<Explanation>;

    fn totals(&self) -> Totals;
}

/// What an engine is made with.
#[derive(Clone, Copy, Debug)]
pub struct EngineOptions {
    /// Least `after` of `NoProgress`, in seconds.
    pub no_progress_floor: i64,
}
