//! Where policies keep, as far as files tell: whether the location is there, admits their namespaces and takes archives.

use std::collections::{BTreeMap, BTreeSet};

use super::lint::{Policy, Problem};
use crate::api::archive_location::{AccessMode, ArchiveLocationSpec};
use crate::api::reasons::Mode;
use crate::api::selector::{LabelSelector, Selector};

/// The label that every namespace has.
const NAME: &str = "kubernetes.io/metadata.name";
const FIELD: &str = "spec.archive.location";

/// Labels of the namespaces that the files have.
pub type Namespaces = BTreeMap<String, BTreeMap<String, String>>;

/// Looks at every policy that archives.
pub fn find(
    policies: &[Policy],
    locations: &BTreeMap<String, Option<ArchiveLocationSpec>>,
    namespaces: &Namespaces,
) -> Vec<Problem> {
    let mut problems = Vec::new();
    for policy in policies {
        let Some(archive) = &policy.spec.archive else { continue };
        let mut say = |severity, message: String| {
            let (file, object, field) = (policy.file.clone(), policy.shown(), FIELD.to_owned());
            problems.push(Problem { file, object, severity, field, message });
        };
        let name = &archive.location;
        let Some(location) = locations.get(name) else {
            say("note", format!("names ArchiveLocation {name:?}, which is in none of these files: it isn't judged"));
            continue;
        };
        // One that is wrong itself has been told.
        let Some(location) = location else { continue };
        if location.access_mode == AccessMode::ReadOnly && archive.mode == Mode::Enforce {
            say("warning", format!("names ArchiveLocation {name:?}, which is ReadOnly: nothing is archived there"));
        }
        let Ok(allowed) = Selector::compile(&location.allowed_namespaces) else { continue };
        let shut: Vec<String> = reached(policy, namespaces)
            .into_iter()
            .filter(|ns| admits(&allowed, &location.allowed_namespaces, ns, namespaces) == Some(false))
            .collect();
        if let Some(first) = shut.first() {
            let more = if shut.len() > 1 { format!(" and {} more", shut.len() - 1) } else { String::new() };
            let message = format!(
                "names ArchiveLocation {name:?}, which doesn't admit namespace {first:?}{more}: label it as \
                 spec.allowedNamespaces asks, or name another"
            );
            say("warning", message);
        }
    }
    problems
}

/// Namespaces that a policy surely reaches.
fn reached(policy: &Policy, namespaces: &Namespaces) -> BTreeSet<String> {
    let Some(cluster) = &policy.cluster else { return [policy.namespace.clone()].into() };
    let Ok(selector) = Selector::compile(&cluster.namespace_selector) else { return BTreeSet::new() };
    let known = namespaces.iter().filter(|(name, labels)| selector.matches_map(&with_name(name, labels)));
    known.map(|(name, _)| name.clone()).collect()
}

/// `None` = its labels aren't known, and the selector asks for more than its name.
fn admits(allowed: &Selector, wire: &LabelSelector, namespace: &str, namespaces: &Namespaces) -> Option<bool> {
    let own = |labels: &BTreeMap<String, String>| allowed.matches_map(&with_name(namespace, labels));
    if let Some(labels) = namespaces.get(namespace) {
        return Some(own(labels));
    }
    let by_name = wire.match_labels.keys().all(|k| k == NAME) && wire.match_expressions.iter().all(|e| e.key == NAME);
    by_name.then(|| own(&BTreeMap::new()))
}

fn with_name(name: &str, labels: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut all = labels.clone();
    all.insert(NAME.to_owned(), name.to_owned());
    all
}
