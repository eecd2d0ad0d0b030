//! The walk of one pod from creation to its end.

use std::time::Duration;

use anyhow::{Context, Result};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};

use super::WORKFLOW_LABEL;
use super::script::{Act, Script};
use super::status::{self, Containers, Exit};

const NODE: &str = "bed-node";
const REPORTED: &str = "workflows.argoproj.io/report-outputs-completed";
/// Exit code of a process that SIGTERM ended.
const SIGTERM: i32 = 143;

/// One pod, its API and what its annotations say.
pub struct Walk {
    client: Client,
    api: Api<Pod>,
    pod: Pod,
    containers: Containers,
}

/// Why a running pod came to its end.
enum End {
    Time,
    /// Argo stopped it.
    Signal,
    /// `activeDeadlineSeconds` of the pod.
    Deadline,
}

impl Walk {
    pub fn new(client: Client, pod: Pod) -> Self {
        let names = |list: &[k8s_openapi::api::core::v1::Container]| list.iter().map(|c| c.name.clone()).collect();
        let spec = pod.spec.as_ref();
        let containers = Containers {
            init: spec.and_then(|s| s.init_containers.as_deref()).map(names).unwrap_or_default(),
            main: spec.map(|s| names(&s.containers)).unwrap_or_default(),
        };
        let api = Api::namespaced(client.clone(), &pod.namespace().unwrap_or_default());
        Self { client, api, pod, containers }
    }

    /// Walks the pod as told. A pod that is gone meanwhile is no trouble; anything else is said on stderr.
    pub async fn go(self) {
        let outcome = match Script::read(self.pod.annotations()) {
            Ok(script) => self.act(&script).await,
            // Shown by Argo as the node's message: whoever wrote the annotation sees it.
            Err(said) => {
                let now = Timestamp::now();
                self.set(status::failed(&self.containers, "BedScript", &said, now, now)).await
            }
        };
        self.report(outcome);
    }

    /// Ends a pod that has a deletion timestamp.
    pub async fn remove(self) {
        let began = Timestamp::now();
        let running = self.pod.status.as_ref().and_then(|s| s.phase.as_deref()) == Some("Running");
        if running {
            let last = status::ended(&self.containers, Exit::of(SIGTERM), began, began);
            self.report(self.set(last).await);
        }
        self.report(self.delete_now().await);
    }

    async fn act(&self, script: &Script) -> Result<()> {
        if self.held_up(script.act).await? {
            let Some(over) = script.over else { return Ok(()) };
            tokio::time::sleep(over).await;
            if matches!(script.act, Act::Pending | Act::Unschedulable) {
                self.bind().await?;
            }
        }
        let now = Timestamp::now();
        self.set(status::running(&self.containers, now)).await?;
        if script.act != Act::Vanish {
            self.begin_result().await?;
        }
        let lasts = if script.act == Act::Run { Duration::MAX } else { script.lasts };
        match self.run(lasts, script.act == Act::Stubborn).await {
            End::Signal => return self.finish(script, SIGTERM, now).await,
            End::Deadline => {
                self.complete_result(script).await?;
                let said = "Pod was active on the node longer than the specified deadline";
                return self
                    .set(status::failed(&self.containers, "DeadlineExceeded", said, now, Timestamp::now()))
                    .await;
            }
            End::Time => {}
        }
        match script.act {
            Act::Vanish | Act::VanishReported => self.delete_now().await,
            Act::Lost => self.set(status::ended(&self.containers, Exit::of(0), now, Timestamp::now())).await,
            Act::Fail(code) => self.finish(script, code, now).await,
            _ => self.finish(script, 0, now).await,
        }
    }

    /// Shows what keeps the pod from starting, if anything does.
    async fn held_up(&self, act: Act) -> Result<bool> {
        let now = Timestamp::now();
        match act {
            Act::Pending => return Ok(true),
            Act::Unschedulable => {
                self.set(status::unschedulable(now)).await?;
                return Ok(true);
            }
            _ => self.bind().await?,
        }
        let (reason, said) = match act {
            Act::Pull => {
                let image = self.image();
                ("ImagePullBackOff", format!("Back-off pulling image \"{image}\": ErrImagePull: {image}: not found"))
            }
            Act::Config => ("CreateContainerConfigError", "secret \"missing\" not found".to_owned()),
            _ => return Ok(false),
        };
        self.set(status::waiting(&self.containers, reason, &said, now)).await?;
        Ok(true)
    }

    async fn finish(&self, script: &Script, code: i32, began: Timestamp) -> Result<()> {
        self.complete_result(script).await?;
        self.set(status::ended(&self.containers, Exit::of(code), began, Timestamp::now())).await
    }

    /// Waits for the end. Argo stops a running pod by sending SIGTERM through `pods/exec`, which nobody serves here; what it
    /// does besides is to give the workflow a shutdown or the node an end, so that is looked for once a second.
    async fn run(&self, lasts: Duration, stubborn: bool) -> End {
        let deadline =
            self.pod.spec.as_ref().and_then(|s| s.active_deadline_seconds).and_then(|s| u64::try_from(s).ok());
        let deadline = deadline.map_or(Duration::MAX, Duration::from_secs);
        let mut left = lasts.min(deadline);
        loop {
            let nap = left.min(Duration::from_secs(1));
            tokio::time::sleep(nap).await;
            left = left.saturating_sub(nap);
            if left.is_zero() {
                return if deadline < lasts { End::Deadline } else { End::Time };
            }
            if !stubborn && self.stopped().await {
                return End::Signal;
            }
            if lasts == Duration::MAX && deadline == Duration::MAX {
                left = Duration::MAX;
            }
        }
    }

    /// Whether Argo wants this pod to end.
    async fn stopped(&self) -> bool {
        let path = format!("{}/workflows/{}", self.argo_path(), self.workflow());
        let Ok(request) = http::Request::get(path).body(Vec::new()) else { return false };
        let Ok(workflow) = self.client.request::<Value>(request).await else { return false };
        let on_exit = self.pod.labels().contains_key("workflows.argoproj.io/on-exit");
        let shutdown = match workflow["spec"]["shutdown"].as_str() {
            Some("Terminate") => true,
            Some("Stop") => !on_exit,
            _ => false,
        };
        let node = &workflow["status"]["nodes"][self.node_id()]["phase"];
        shutdown || matches!(node.as_str(), Some("Failed" | "Error" | "Skipped" | "Omitted"))
    }

    /// Takes the scheduler's part.
    async fn bind(&self) -> Result<()> {
        if self.pod.spec.as_ref().is_some_and(|s| s.node_name.is_some()) {
            return Ok(());
        }
        let binding = json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": self.pod.name_any()},
            "target": {"apiVersion": "v1", "kind": "Node", "name": NODE}});
        let path = format!("/api/v1/namespaces/{}/pods/{}/binding", self.namespace(), self.pod.name_any());
        let request =
            http::Request::post(path).header("content-type", "application/json").body(serde_json::to_vec(&binding)?)?;
        self.client.request::<Value>(request).await.context("binding")?;
        Ok(())
    }

    async fn set(&self, status: Value) -> Result<()> {
        let patch = Patch::Merge(json!({"status": status}));
        self.api.patch_status(&self.pod.name_any(), &PatchParams::default(), &patch).await.context("status")?;
        Ok(())
    }

    async fn delete_now(&self) -> Result<()> {
        self.api.delete(&self.pod.name_any(), &DeleteParams::default().grace_period(0)).await.context("delete")?;
        Ok(())
    }

    /// What the executor writes when `wait` starts.
    async fn begin_result(&self) -> Result<()> {
        let mut labels = json!({WORKFLOW_LABEL: self.workflow(), REPORTED: "false"});
        if let Some(instance) = self.pod.labels().get("workflows.argoproj.io/controller-instanceid") {
            labels["workflows.argoproj.io/controller-instanceid"] = json!(instance);
        }
        let owner = self.pod.owner_references().iter().find(|o| o.kind == "Workflow");
        let result = json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "WorkflowTaskResult",
            "metadata": {"name": self.node_id(), "labels": labels, "ownerReferences": owner.into_iter().collect::<Vec<_>>()},
        });
        let path = format!("{}/workflowtaskresults", self.argo_path());
        let request =
            http::Request::post(path).header("content-type", "application/json").body(serde_json::to_vec(&result)?)?;
        match self.client.request::<Value>(request).await {
            Err(kube::Error::Api(e)) if e.code == 409 => Ok(()),
            other => other.map(drop).context("task result"),
        }
    }

    /// What the executor writes before `wait` ends.
    async fn complete_result(&self, script: &Script) -> Result<()> {
        if script.act == Act::Vanish {
            return Ok(());
        }
        let mut patch = json!({"metadata": {"labels": {REPORTED: "true"}}});
        if !script.outputs.is_empty() {
            let parameters: Vec<Value> =
                script.outputs.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
            patch["outputs"] = json!({"parameters": parameters});
        }
        let path = format!("{}/workflowtaskresults/{}", self.argo_path(), self.node_id());
        let request = http::Request::patch(path)
            .header("content-type", "application/merge-patch+json")
            .body(serde_json::to_vec(&patch)?)?;
        match self.client.request::<Value>(request).await {
            // Argo removes the results of a workflow that has ended, a stopped one for instance; the pod ends all the same.
            Err(kube::Error::Api(e)) if e.code == 404 => Ok(()),
            other => other.map(drop).context("task result"),
        }
    }

    fn report(&self, outcome: Result<()>) {
        let Err(e) = outcome else { return };
        let gone = e
            .downcast_ref::<kube::Error>()
            .is_some_and(|e| matches!(e, kube::Error::Api(s) if s.code == 404 || s.code == 409));
        if !gone {
            eprintln!("bed: kubelet stand-in, pod {}/{}: {e:#}", self.namespace(), self.pod.name_any());
        }
    }

    fn argo_path(&self) -> String {
        format!("/apis/argoproj.io/v1alpha1/namespaces/{}", self.namespace())
    }

    fn namespace(&self) -> String {
        self.pod.namespace().unwrap_or_default()
    }

    fn workflow(&self) -> &str {
        self.pod.labels().get(WORKFLOW_LABEL).map_or("", String::as_str)
    }

    fn node_id(&self) -> &str {
        self.pod.annotations().get("workflows.argoproj.io/node-id").map_or("", String::as_str)
    }

    fn image(&self) -> &str {
        let main = self.pod.spec.iter().flat_map(|s| &s.containers).find(|c| c.name == "main");
        main.and_then(|c| c.image.as_deref()).unwrap_or("?")
    }
}
