//! Submits workflows and waits for what Argo makes of them.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use serde_json::{Value, json};

use crate::Bed;
use crate::apply::documents;

/// Where a workflow is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WorkflowRef {
    pub namespace: String,
    pub name: String,
}

impl WorkflowRef {
    pub fn new(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.to_owned(), name: name.to_owned() }
    }

    fn path(&self) -> String {
        format!("/apis/argoproj.io/v1alpha1/namespaces/{}/workflows/{}", self.namespace, self.name)
    }
}

impl std::fmt::Display for WorkflowRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl Bed {
    /// Creates one workflow from YAML (`apiVersion` and `kind` may be left out) in a namespace that exists.
    pub async fn submit(&self, namespace: &str, yaml: &str) -> Result<WorkflowRef> {
        let [workflow]: [Value; 1] = documents(yaml)?
            .try_into()
            .map_err(|all: Vec<Value>| anyhow!("one workflow is submitted at a time, got {}", all.len()))?;
        self.submit_value(namespace, workflow).await
    }

    /// Creates one workflow; `metadata.name` or `metadata.generateName` names it.
    pub async fn submit_value(&self, namespace: &str, mut workflow: Value) -> Result<WorkflowRef> {
        let fields = workflow.as_object_mut().context("a workflow is a YAML mapping")?;
        fields.insert("apiVersion".to_owned(), json!("argoproj.io/v1alpha1"));
        fields.insert("kind".to_owned(), json!("Workflow"));
        let path = format!("/apis/argoproj.io/v1alpha1/namespaces/{namespace}/workflows");
        let request = http::Request::post(path)
            .header("content-type", "application/json")
            .body(serde_json::to_vec(&workflow)?)?;
        let made: Value =
            self.admin()?.request(request).await.with_context(|| format!("cannot submit to {namespace}"))?;
        Ok(WorkflowRef::new(namespace, made["metadata"]["name"].as_str().unwrap_or_default()))
    }

    /// The workflow as the server holds it now.
    pub async fn workflow(&self, workflow: &WorkflowRef) -> Result<Value> {
        Ok(serde_json::from_str(&self.workflow_text(workflow).await?)?)
    }

    /// The very text the server gives.
    pub async fn workflow_text(&self, workflow: &WorkflowRef) -> Result<String> {
        let request = http::Request::get(workflow.path()).body(Vec::new())?;
        self.admin()?.request_text(request).await.with_context(|| format!("cannot read workflow {workflow}"))
    }

    /// JSON merge patch with all rights, as a person with kubectl would.
    pub async fn patch_workflow(&self, workflow: &WorkflowRef, patch: &Value) -> Result<Value> {
        let request = http::Request::patch(workflow.path())
            .header("content-type", "application/merge-patch+json")
            .body(serde_json::to_vec(patch)?)?;
        self.admin()?.request(request).await.with_context(|| format!("cannot patch workflow {workflow}"))
    }

    /// Deletes a workflow; its pods stay (there is no garbage collector).
    pub async fn delete_workflow(&self, workflow: &WorkflowRef) -> Result<()> {
        let request = http::Request::delete(workflow.path()).body(Vec::new())?;
        self.admin()?.request_text(request).await.with_context(|| format!("cannot delete workflow {workflow}"))?;
        Ok(())
    }

    /// Looks every 100 ms until `wanted` holds; the error shows the last status seen.
    pub async fn wait_for(
        &self,
        workflow: &WorkflowRef,
        what: &str,
        limit: Duration,
        wanted: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        let until = Instant::now() + limit;
        loop {
            let seen = self.workflow(workflow).await?;
            if wanted(&seen) {
                return Ok(seen);
            }
            if Instant::now() > until {
                self.check()?;
                bail!("workflow {workflow} is not {what} after {limit:?}; last seen:\n{}", brief(&seen));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Waits for `status.phase`.
    pub async fn wait_for_phase(&self, workflow: &WorkflowRef, phase: &str, limit: Duration) -> Result<Value> {
        self.wait_for(workflow, phase, limit, |w| w["status"]["phase"] == phase).await
    }
}

/// The node with this `displayName`.
pub fn node<'a>(workflow: &'a Value, display_name: &str) -> Option<&'a Value> {
    workflow["status"]["nodes"].as_object()?.values().find(|n| n["displayName"] == display_name)
}

/// Phase, message and nodes in a few lines.
pub fn brief(workflow: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let status = &workflow["status"];
    let mut lines = vec![format!(
        "  phase {:?}, message {:?}, shutdown {:?}, suspend {}",
        text(&status["phase"]),
        text(&status["message"]),
        text(&workflow["spec"]["shutdown"]),
        workflow["spec"]["suspend"]
    )];
    if let Some(packed) = status["compressedNodes"].as_str() {
        lines.push(format!("  nodes compressed, {} characters", packed.len()));
    }
    for node in status["nodes"].as_object().into_iter().flat_map(|nodes| nodes.values()).take(40) {
        let synced = &node["taskResultSynced"];
        let name = text(&node["displayName"]);
        lines.push(format!(
            "  node {name} ({}): {} synced={synced} {:?}",
            text(&node["type"]),
            text(&node["phase"]),
            text(&node["message"])
        ));
    }
    if let Some(locks) = status.get("synchronization") {
        lines.push(format!("  locks {locks}"));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_brief_names_phase_nodes_and_locks() {
        let seen = json!({"spec": {}, "status": {"phase": "Running", "message": "m", "synchronization": {"mutex": {}},
            "nodes": {"a": {"displayName": "step", "type": "Pod", "phase": "Pending", "message": "no room"}}}});
        let said = brief(&seen);
        for word in ["\"Running\"", "node step (Pod): Pending", "no room", "locks"] {
            assert!(said.contains(word), "{word} is missing in {said}");
        }
        assert_eq!(node(&seen, "step").unwrap()["phase"], "Pending");
        assert!(node(&seen, "other").is_none());
    }
}
