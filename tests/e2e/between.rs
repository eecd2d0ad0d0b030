//! Something changes between the judgement of a run and its delete, on the real server.
//!
//! ```text
//!   live object read --> archive proven --> judged once more --> DELETE on its way --> the server
//!                               ^                                      ^
//!                    held here: policies, pauses, holds      held here: retry, recreate, hold on the run:
//!                    of namespaces: nothing is sent          409, by uid and resourceVersion
//! ```
//!
//! What is part of the object is guarded by the server up to the end. Policies, pauses and holds of namespaces are not part
//! of it: they are looked at until the call is sent, and a call that has been sent isn't taken back.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use jiff::Timestamp;
use serde_json::{Value, json};
use unstick_bed::faultproxy::{Phase, Script, Standing, Which};
use unstick_bed::{Entry, FaultProxy, Operator, S3Kind, S3Server, WorkflowRef};

use super::ground::{Ground, USER, start_as};
use super::keep;

const BUCKET: &str = "between";
pub const LIMIT: Duration = Duration::from_secs(60);
/// A run is due this long after it has finished, and is tried again 5 s after a 409: what isn't deleted for so long is kept.
const TTL: &str = "2s";
pub const KEPT: Duration = Duration::from_secs(8);
/// A watch brings a change within milliseconds.
const HEARD: Duration = Duration::from_secs(2);

pub struct Scene<'a> {
    pub ground: &'a Ground,
    server: S3Server,
    script: Script,
    elsewhere: PathBuf,
    pub operator: Operator,
    /// Before the API server, and before the store.
    pub proxies: [FaultProxy; 2],
}

impl<'a> Scene<'a> {
    pub async fn set(ground: &'a Ground, identity: &str) -> Result<Self> {
        ground.install().await?;
        keep::grant(&ground.bed).await?;
        let server = S3Server::start(S3Kind::Versitygw).await?;
        server.create_bucket(BUCKET).await?;
        let script = Script::new();
        let kube = FaultProxy::before_bed("kube", &ground.bed, &script).await?;
        let s3 = FaultProxy::start("s3", &server.endpoint, &script).await?;
        keep::place(&ground.bed, "between", BUCKET, &server, &s3.url()).await?;
        let elsewhere = keep::folder(&ground.bed, "elsewhere").await?;
        let kubeconfig = ground.bed.kubeconfig_through(&kube, "unstick-system", "unstick").await?;
        let operator = start_as(&ground.bed, kubeconfig, identity, &[]).await?;
        Ok(Self { ground, server, script, elsewhere, operator, proxies: [kube, s3] })
    }

    /// A namespace with its policy.
    pub async fn team(&self, namespace: &str) -> Result<()> {
        self.ground.bed.namespace(namespace).await?;
        keep::policy(&self.ground.bed, namespace, "between", TTL).await
    }

    /// A run that fails when it is terminated, and its delete, stopped before the server hears of it.
    async fn delete_of(&self, namespace: &str) -> Result<(WorkflowRef, Standing)> {
        let path = format!("/apis/argoproj.io/v1alpha1/namespaces/{namespace}/workflows/*");
        let mut hold = self.script.hold(Which::delete(&path).by("kube").nth(1), Phase::BeforeForward);
        let runs = self.ground.gates(namespace, "run", 1, None).await?;
        self.ground.bed.wait_for_phase(&runs[0], "Running", LIMIT).await?;
        self.ground.terminate(&runs).await?;
        let standing = hold.reached(LIMIT).await.with_context(|| self.operator.tail(20))?;
        Ok((runs[0].clone(), standing))
    }

    /// A run that has finished, and the read that proves its archive, stopped with its answer: all that follows it is the
    /// last judgement, and the delete.
    async fn proof_of(&self, namespace: &str) -> Result<(WorkflowRef, Standing)> {
        let path = format!("/{BUCKET}/workflow-archives/{namespace}/*.json.gz");
        let mut hold = self.script.hold(Which::get(&path).by("s3").nth(2), Phase::Committed);
        let runs = self.ground.gates(namespace, "run", 1, Some(1)).await?;
        let standing = hold.reached(LIMIT).await.with_context(|| self.operator.tail(20))?;
        let before = self.script.calls().into_iter().filter(|c| c.order < standing.call.order);
        let marked = before.filter(|c| c.method == "PATCH" && c.path.contains(namespace)).count();
        ensure!(marked > 0, "{} is no proof: nothing was archived before", standing.call.line());
        Ok((runs[0].clone(), standing))
    }

    /// The deletes of ours in a namespace, as the server has them on record.
    pub fn deletes(&self, namespace: &str) -> Result<Vec<Entry>> {
        let ours = self.ground.bed.audit().by(USER)?;
        Ok(ours
            .into_iter()
            .filter(|e| e.resource == "workflows" && e.verb.starts_with("delete") && e.namespace == namespace)
            .collect())
    }

    /// Waits until so many deletes of ours are on record, and returns their codes.
    pub async fn codes(&self, namespace: &str, count: usize) -> Result<Vec<u16>> {
        let what = format!("delete in {namespace}");
        let ours = |e: &Entry| e.user == USER && e.verb == "delete" && e.namespace == namespace;
        self.ground.bed.audit().wait_for(&what, LIMIT, ours).await?;
        for _ in 0..100 {
            let codes: Vec<u16> = self.deletes(namespace)?.iter().map(|e| e.code).collect();
            if codes.len() >= count {
                return Ok(codes);
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        Ok(self.deletes(namespace)?.iter().map(|e| e.code).collect())
    }

    pub async fn is_there(&self, namespace: &str) -> Result<()> {
        let there = keep::there(self.ground, namespace).await?;
        ensure!(there == ["run-0"], "{namespace} has {there:?}; the last calls:\n{}", self.script.tail(20));
        Ok(())
    }

    pub async fn gone(&self, namespace: &str) -> Result<()> {
        let gone = keep::all_gone(self.ground, namespace, &self.operator, LIMIT).await;
        gone.with_context(|| format!("the last calls:\n{}", self.script.tail(20)))
    }

    pub async fn bodies(&self, namespace: &str) -> Result<usize> {
        Ok(self.server.keys(BUCKET, &format!("workflow-archives/{namespace}/run-0/")).await?.len())
    }

    pub async fn patch(&self, path: &str, patch: &Value) -> Result<()> {
        let request = http::Request::patch(path)
            .header("content-type", "application/merge-patch+json")
            .body(serde_json::to_vec(patch)?)?;
        self.ground.client.request_text(request).await.with_context(|| path.to_owned()).map(drop)
    }

    pub async fn policy(&self, namespace: &str, spec: Value) -> Result<()> {
        let path = format!("/apis/unstick.dev/v1alpha1/namespaces/{namespace}/workflowpolicies/{namespace}");
        self.patch(&path, &json!({"spec": spec})).await
    }

    async fn hold_namespace(&self, namespace: &str, why: Value) -> Result<()> {
        let hold = json!({"metadata": {"annotations": {"unstick.dev/hold": why}}});
        self.patch(&format!("/api/v1/namespaces/{namespace}"), &hold).await
    }

    async fn pause(&self, pauses: Value) -> Result<()> {
        let watchdog = json!({
            "apiVersion": "unstick.dev/v1alpha1", "kind": "Watchdog", "metadata": {"name": "default"},
            "spec": {"clusterName": "default", "pauses": pauses},
        });
        self.ground.bed.apply_value(watchdog, "").await.map(drop)
    }

    pub async fn end(mut self) -> Result<()> {
        self.operator.terminate(Duration::from_secs(20)).await.map(drop)
    }
}

/// What `argo retry` makes of a failed run: it begins anew under the same uid.
fn retried() -> Value {
    json!({
        "metadata": {"labels": {
            "workflows.argoproj.io/completed": null, "workflows.argoproj.io/workflow-archiving-status": null,
        }},
        "spec": {"shutdown": null},
        "status": {
            "phase": "", "message": null, "nodes": null, "finishedAt": null, "startedAt": Timestamp::now().to_string(),
        },
    })
}

/// The object itself changes while its delete is on its way: the server says 409, and what is there now is judged anew.
pub async fn the_object_changes(ground: &Ground) -> Result<()> {
    let scene = Scene::set(ground, "between-objects").await?;
    retry(&scene).await.context("a retry")?;
    recreate(&scene).await.context("another of the same name")?;
    hold(&scene).await.context("a hold on the run")?;
    scene.end().await
}

async fn retry(scene: &Scene<'_>) -> Result<()> {
    const NAMESPACE: &str = "between-retry";
    scene.team(NAMESPACE).await?;
    let (run, standing) = scene.delete_of(NAMESPACE).await?;
    let before = scene.ground.bed.workflow(&run).await?;
    // Within the second in which it began, `startedAt` would be the same.
    tokio::time::sleep(Duration::from_secs(1)).await;
    scene.ground.bed.patch_workflow(&run, &retried()).await?;
    scene.ground.bed.wait_for_phase(&run, "Running", LIMIT).await?;
    standing.proceed()?;
    ensure!(scene.codes(NAMESPACE, 1).await? == [409], "the delete of a run that was retried");
    tokio::time::sleep(KEPT).await;
    scene.is_there(NAMESPACE).await?;
    ensure!(scene.deletes(NAMESPACE)?.len() == 1, "a run that goes on was asked for again");
    let now = scene.ground.bed.workflow(&run).await?;
    ensure!(now["metadata"]["uid"] == before["metadata"]["uid"] && now["status"]["phase"] == "Running", "{now}");
    // It ends a second time: both ends are kept before it goes.
    scene.ground.terminate(&[run]).await?;
    scene.gone(NAMESPACE).await?;
    let bodies = scene.bodies(NAMESPACE).await?;
    ensure!(bodies == 2, "{bodies} archives of a run that ended twice");
    Ok(())
}

async fn recreate(scene: &Scene<'_>) -> Result<()> {
    const NAMESPACE: &str = "between-recreate";
    scene.team(NAMESPACE).await?;
    let (run, standing) = scene.delete_of(NAMESPACE).await?;
    let before = scene.ground.bed.workflow(&run).await?["metadata"]["uid"].clone();
    scene.ground.bed.delete_workflow(&run).await?;
    let again = scene.ground.gates(NAMESPACE, "run", 1, None).await?;
    ensure!(again[0] == run, "{} is not {run}", again[0]);
    standing.proceed()?;
    ensure!(scene.codes(NAMESPACE, 1).await? == [409], "the delete of another object of that name");
    tokio::time::sleep(KEPT).await;
    scene.is_there(NAMESPACE).await?;
    let now = scene.ground.bed.workflow(&run).await?["metadata"]["uid"].clone();
    ensure!(now.is_string() && now != before, "the object is {now}, the one judged was {before}");
    ensure!(scene.deletes(NAMESPACE)?.len() == 1, "the new one was asked for");
    scene.ground.terminate(&again).await?;
    scene.gone(NAMESPACE).await
}

async fn hold(scene: &Scene<'_>) -> Result<()> {
    const NAMESPACE: &str = "between-hold";
    scene.team(NAMESPACE).await?;
    let (run, standing) = scene.delete_of(NAMESPACE).await?;
    let mark = |why: Value| json!({"metadata": {"annotations": {"unstick.dev/hold": why}}});
    scene.ground.bed.patch_workflow(&run, &mark("audit".into())).await?;
    standing.proceed()?;
    ensure!(scene.codes(NAMESPACE, 1).await? == [409], "the delete of a run with a hold");
    tokio::time::sleep(KEPT).await;
    scene.is_there(NAMESPACE).await?;
    ensure!(scene.deletes(NAMESPACE)?.len() == 1, "a run with a hold was asked for again");
    scene.ground.bed.patch_workflow(&run, &mark(Value::Null)).await?;
    scene.gone(NAMESPACE).await
}

/// What can change beside the object, and how it is taken back.
#[derive(Clone, Copy, Debug)]
enum Change {
    /// None: the run goes. Without it the others would prove nothing.
    Nothing,
    ModeOff,
    LongerTtl,
    OtherLocation,
    PolicyGone,
    PolicyPaused,
    NamespaceHeld,
    WatchdogPaused,
}

impl Change {
    /// Each concerns a namespace of its own.
    const OF_ONE: [Self; 7] = [
        Self::Nothing,
        Self::ModeOff,
        Self::LongerTtl,
        Self::OtherLocation,
        Self::PolicyGone,
        Self::PolicyPaused,
        Self::NamespaceHeld,
    ];

    async fn make(self, scene: &Scene<'_>, namespace: &str) -> Result<()> {
        let pause = json!([{"name": "stop", "reason": "a person says so"}]);
        match self {
            Self::Nothing => Ok(()),
            Self::ModeOff => scene.policy(namespace, json!({"cleanup": {"mode": "Observe"}})).await,
            Self::LongerTtl => scene.policy(namespace, json!({"cleanup": {"ttl": {"succeeded": "30d"}}})).await,
            // Not deleted on the strength of what lies at the old place: the new one has to have it first.
            Self::OtherLocation => scene.policy(namespace, json!({"archive": {"location": "elsewhere"}})).await,
            Self::PolicyGone => {
                let path = format!("/apis/unstick.dev/v1alpha1/namespaces/{namespace}/workflowpolicies/{namespace}");
                let request = http::Request::delete(path).body(Vec::new())?;
                scene.ground.client.request_text(request).await.map(drop).context("the policy")
            }
            Self::PolicyPaused => scene.policy(namespace, json!({"pauses": pause})).await,
            Self::NamespaceHeld => scene.hold_namespace(namespace, "audit".into()).await,
            Self::WatchdogPaused => scene.pause(pause).await,
        }
    }

    async fn unmake(self, scene: &Scene<'_>, namespace: &str) -> Result<()> {
        match self {
            Self::Nothing | Self::OtherLocation => Ok(()),
            Self::ModeOff => scene.policy(namespace, json!({"cleanup": {"mode": "Enforce"}})).await,
            Self::LongerTtl => scene.policy(namespace, json!({"cleanup": {"ttl": {"succeeded": TTL}}})).await,
            Self::PolicyGone => keep::policy(&scene.ground.bed, namespace, "between", TTL).await,
            Self::PolicyPaused => scene.policy(namespace, json!({"pauses": []})).await,
            Self::NamespaceHeld => scene.hold_namespace(namespace, Value::Null).await,
            Self::WatchdogPaused => scene.pause(json!([])).await,
        }
    }

    async fn play(self, scene: &Scene<'_>) -> Result<()> {
        let namespace = format!("between-{}", format!("{self:?}").to_lowercase());
        scene.team(&namespace).await?;
        let (_, standing) = scene.proof_of(&namespace).await?;
        self.make(scene, &namespace).await?;
        tokio::time::sleep(HEARD).await;
        scene.is_there(&namespace).await?;
        ensure!(scene.deletes(&namespace)?.is_empty(), "deleted before the proof");
        standing.proceed()?;
        match self {
            Self::Nothing => {}
            Self::OtherLocation => {
                scene.gone(&namespace).await?;
                let there = scene.elsewhere.join("workflow-archives").join(&namespace);
                let bodies = keep::files(&there, ".json.gz");
                ensure!(bodies.len() == 1, "it went without a copy at its new place: {bodies:?}");
            }
            _ => {
                tokio::time::sleep(KEPT).await;
                scene.is_there(&namespace).await?;
                let sent = scene.deletes(&namespace)?;
                ensure!(sent.is_empty(), "a delete was sent: {:?}", sent.iter().map(Entry::line).collect::<Vec<_>>());
            }
        }
        self.unmake(scene, &namespace).await?;
        scene.gone(&namespace).await?;
        ensure!(scene.codes(&namespace, 1).await? == [200], "it went by one delete");
        Ok(())
    }
}

/// What isn't part of the object: a change that is heard before the call is sent keeps the run, and nothing is sent.
pub async fn what_is_asked_for_changes(ground: &Ground) -> Result<()> {
    let owned = Scene::set(ground, "between-wishes").await?;
    let scene = &owned;
    let played =
        Change::OF_ONE.map(|change| async move { change.play(scene).await.with_context(|| format!("{change:?}")) });
    try_join_all(played).await?;
    Change::WatchdogPaused.play(scene).await.context("a pause of the Watchdog")?;
    too_late(scene).await.context("a call that has been sent")?;
    let path = "/apis/unstick.dev/v1alpha1/watchdogs/default";
    scene.ground.client.request_text(http::Request::delete(path).body(Vec::new())?).await?;
    owned.end().await
}

/// The last moment is the sending of the call: what changes later, and isn't part of the object, doesn't take it back. What
/// goes so has its copy all the same.
async fn too_late(scene: &Scene<'_>) -> Result<()> {
    const NAMESPACE: &str = "between-too-late";
    scene.team(NAMESPACE).await?;
    let (_, standing) = scene.delete_of(NAMESPACE).await?;
    Change::NamespaceHeld.make(scene, NAMESPACE).await?;
    tokio::time::sleep(HEARD).await;
    scene.is_there(NAMESPACE).await?;
    standing.proceed()?;
    ensure!(scene.codes(NAMESPACE, 1).await? == [200], "nothing in the object had changed");
    let bodies = scene.bodies(NAMESPACE).await?;
    ensure!(bodies == 1, "{bodies} archives of it");
    Ok(())
}
