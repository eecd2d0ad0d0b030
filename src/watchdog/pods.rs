//! Finished pods that Argo has not acknowledged: normally gone within seconds, the proof of a lost task result.
//!
//! The shell watches pods in phase Succeeded or Failed with the label `workflows.argoproj.io/completed=false`; the
//! controller sets it to true once it has taken the pod's result.

use std::collections::HashMap;

use crate::api::workflow::Secs;

/// A finished pod of a workflow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StrayPod {
    pub name: Box<str>,
    /// FNV of the node id that the pod's annotation names.
    pub node: u32,
    pub finished: Secs,
}

#[derive(Debug, Default)]
pub struct StrayPods {
    by_workflow: HashMap<(Box<str>, Box<str>), Vec<StrayPod>>,
}

/// More finished pods than this of one workflow prove nothing new.
const MAX_PODS: usize = 64;

impl StrayPods {
    pub fn of(&self, namespace: &str, workflow: &str) -> &[StrayPod] {
        if self.by_workflow.is_empty() {
            return &[];
        }
        self.by_workflow.get(&(namespace.into(), workflow.into())).map_or(&[], Vec::as_slice)
    }

    pub fn put(&mut self, namespace: &str, workflow: &str, pod: StrayPod) {
        let pods = self.by_workflow.entry((namespace.into(), workflow.into())).or_default();
        if let Some(known) = pods.iter_mut().find(|p| p.name == pod.name) {
            *known = pod;
        } else if pods.len() < MAX_PODS {
            pods.push(pod);
        }
    }

    pub fn remove(&mut self, namespace: &str, workflow: &str, pod: &str) {
        let key = (namespace.into(), workflow.into());
        if let Some(pods) = self.by_workflow.get_mut(&key) {
            pods.retain(|p| &*p.name != pod);
            if pods.is_empty() {
                self.by_workflow.remove(&key);
            }
        }
    }

    /// Forgets a pod by its name alone; the workflow it was of comes back.
    pub fn forget(&mut self, namespace: &str, pod: &str) -> Option<Box<str>> {
        let found =
            self.by_workflow.iter().find(|((ns, _), pods)| **ns == *namespace && pods.iter().any(|p| &*p.name == pod));
        let workflow = found?.0.1.clone();
        self.remove(namespace, &workflow, pod);
        Some(workflow)
    }
}
