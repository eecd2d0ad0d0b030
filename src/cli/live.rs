//! The engine behind the program: the operator's own watchdog, fed once, never leading, so that it writes nothing.
//!
//! It covers only what it is fed: a holder of a lock counts as gone when the server said so, never because it was not
//! in the list (I12).

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use serde_json::Value;

use super::engine::{Engine, EngineOptions};
use crate::api::default_policy;
use crate::api::validate::{Context, Severity};
use crate::api::workflow::{Secs, Workflow};
use crate::metrics::catalogue::catalogue;
use crate::watchdog::admit;
use crate::watchdog::facts::Phase;
use crate::watchdog::index::Cover;
use crate::watchdog::input::{Config, Input};
use crate::watchdog::janitor::Place;
use crate::watchdog::janitor::job::ARTIFACTS_GO;
use crate::watchdog::janitor::plan::{Keeper, Planned};
use crate::watchdog::report::{Explanation, Finding, Totals};
use crate::watchdog::{Watchdog, secs};

/// Label of the built-in policy inside the watchdog; outside it has no name.
const BUILTIN: &str = "cluster/default";

/// The watchdog behind the commands.
pub struct Live {
    watchdog: Watchdog,
    floor: i64,
    builtin: bool,
    /// What can be said before [`Engine::judge`] is said as of this instant.
    fed_at: Timestamp,
    /// By uid.
    finished: HashMap<String, Finished>,
}

/// What else is noted of a finished workflow.
#[derive(Clone, Copy, Debug)]
struct Finished {
    bytes: usize,
    artifacts_go: bool,
}

/// An empty engine.
///
/// # Errors
/// Never; other engines may fail here.
pub fn engine(options: EngineOptions) -> anyhow::Result<Box<dyn Engine>> {
    Ok(Box::new(Live::new(options)))
}

impl Live {
    /// An empty one.
    pub fn new(options: EngineOptions) -> Self {
        let floor = options.no_progress_floor;
        let config = Config { no_progress_floor: Secs::try_from(floor).unwrap_or(Secs::MAX), ..Config::default() };
        let mut watchdog =
            Watchdog::new(config, |family| catalogue().family(family).map_or(&[], |f| f.buckets.as_slice()));
        watchdog.set_cover(Cover::Some);
        Self { watchdog, floor, builtin: false, fed_at: Timestamp::UNIX_EPOCH, finished: HashMap::new() }
    }

    /// The text of a namespace's `unstick.dev/hold`.
    pub fn hold(&mut self, namespace: &str, text: Option<String>) {
        self.feed(Input::NamespaceHeld { name: namespace.to_owned(), hold: text });
    }

    /// An `ArchiveLocation` as far as it is known.
    pub fn place(&mut self, name: &str, place: Place) {
        self.feed(Input::Place { name: name.to_owned(), place: Some(Box::new(place)) });
    }

    /// What cleanup would do at `now`, with the size of each object. Asked once, last of all.
    pub fn plan(&mut self, now: Timestamp) -> Vec<(Planned, usize)> {
        let noted = std::mem::take(&mut self.finished);
        let planned = self.watchdog.plan(|uid| noted.get(uid).is_some_and(|f| f.artifacts_go), secs(now));
        let bytes = |p: &Planned| noted.get(&p.uid).map_or(0, |f| f.bytes);
        planned.into_iter().map(|p| (bytes(&p), p)).map(|(bytes, p)| (p, bytes)).collect()
    }

    /// Whether a workflow that was fed has finished.
    pub fn is_finished(&self, namespace: &str, name: &str) -> bool {
        self.watchdog.is_finished(namespace, name)
    }

    /// Who governs archive and cleanup of a finished workflow that was fed.
    pub fn keeper(&self, namespace: &str, name: &str) -> Option<Keeper> {
        self.watchdog.keeper(namespace, name)
    }

    fn feed(&mut self, input: Input<'_>) {
        let at = self.fed_at;
        // Effects ask for work of a shell; there is none here.
        self.watchdog.handle(input, at);
    }

    /// Read as the operator reads it; what makes it unusable is returned.
    fn admit(&mut self, object: &Value) -> Vec<String> {
        let context = Context { no_progress_floor: self.floor, ..Context::default() };
        let Some(seen) = admit::policy(object, &context) else { return vec!["it has no name".to_owned()] };
        let errors = seen.problems.iter().filter(|p| p.severity == Severity::Error).map(ToString::to_string).collect();
        self.feed(Input::Policy(Box::new(seen)));
        errors
    }
}

impl Engine for Live {
    fn policy(&mut self, object: &Value) -> Vec<String> {
        self.admit(object)
    }

    fn builtin_policy(&mut self) {
        self.builtin = true;
        self.admit(&default_policy::object());
    }

    fn watchdog(&mut self, object: &Value) {
        // One that this version can't read leaves the defaults in force.
        if let Ok(settings) = serde_json::from_value(object.clone()) {
            self.feed(Input::Settings(Some(Box::new(settings))));
        }
    }

    fn namespace(&mut self, name: &str, labels: BTreeMap<String, String>) {
        self.feed(Input::Namespace { name: name.to_owned(), labels: Some(labels) });
    }

    fn incident(&mut self, object: &Value) {
        if let Ok(incident) = serde_json::from_value(object.clone()) {
            self.feed(Input::Incident(Box::new(incident)));
        }
    }

    fn pod(&mut self, object: &Value) {
        if let Some(pod) = admit::pod(object).filter(|_| is_unnoticed(object)) {
            self.feed(Input::Pod(pod));
        }
    }

    fn argo_lease(&mut self, namespace: &str, name: &str, renewed: Option<Timestamp>) {
        let (namespace, name, renewed) = (namespace.to_owned(), name.to_owned(), renewed.map(secs));
        self.feed(Input::ArgoLease { namespace, name, renewed });
    }

    fn workflow(&mut self, json: &str, now: Timestamp) -> Result<(), String> {
        let workflow = Workflow::from_json(json).map_err(|e| e.to_string())?;
        if workflow.meta.uid.is_empty() || workflow.meta.name.is_empty() {
            return Err("it has no name or no uid, so it never was in a cluster".to_owned());
        }
        if Phase::parse(&workflow.status.phase).is_finished() {
            // As the operator looks at the live object.
            let artifacts_go = json.contains(ARTIFACTS_GO);
            self.finished.insert(workflow.meta.uid.to_string(), Finished { bytes: json.len(), artifacts_go });
        }
        self.fed_at = now;
        self.feed(Input::Workflow(&workflow));
        Ok(())
    }

    fn wanted(&self) -> Vec<(String, String)> {
        self.watchdog.wanted()
    }

    fn absent(&mut self, namespace: &str, name: &str) {
        self.watchdog.note_absent(namespace, name);
    }

    fn judge(&mut self, now: Timestamp) {
        self.fed_at = now;
        // The list has ended: what was fed is all there is.
        self.feed(Input::ListEnd);
    }

    fn findings(&self) -> Vec<Finding> {
        let mut all = self.watchdog.findings();
        if self.builtin {
            for finding in &mut all {
                finding.policy.clear();
            }
        }
        all
    }

    fn explain(&self, namespace: &str, name: &str, now: Timestamp) -> Option<Explanation> {
        let mut found = self.watchdog.explain(namespace, name, now)?;
        if self.builtin
            && let Some(governing) = found.governing.as_mut().filter(|g| g.policy == BUILTIN)
        {
            governing.policy.clear();
            "there is no policy, so the built-in one is used (unstick policy init prints it)"
                .clone_into(&mut governing.why);
        }
        Some(found)
    }

    fn totals(&self) -> Totals {
        self.watchdog.totals()
    }
}

/// Whether a pod has finished and Argo has taken no notice of it yet. The operator asks the server for such only.
fn is_unnoticed(pod: &Value) -> bool {
    matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"))
        && pod["metadata"]["labels"]["workflows.argoproj.io/completed"] == "false"
}
