//! The operator killed at each of its calls on the way from a finished run to a deleted one.
//!
//! A run without faults goes by way of proxies; what they have on record are the sites: each call about the Workflow
//! itself (GET, PATCH, DELETE) and each about the body and the manifest of its archive. Left out are the probe of the
//! location and the batches of the catalogue: they belong to no single run, nothing is deleted on their strength, and
//! what is lost of the catalogue comes back with a reindex. At each site the operator is killed three times, with a fresh
//! run each: before the call is forwarded, when the server has answered and nobody has heard it, and after the reply.
//! Whoever leads next must bring the run to its end. What came of it is judged from the audit log and the bucket.

mod judge;
mod quiet;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;
use unstick_bed::faultproxy::{Call, InStep, Plan, Script, plans};
use unstick_bed::{FaultProxy, Operator, S3Kind, S3Server};

use super::failover::leads;
use super::ground::{Ground, start_as};
use super::keep;
use judge::Judge;

const BUCKET: &str = "archives";
const NAMESPACE: &str = "crash";
/// How long a run may take from its submission to any of its calls, and from a kill to its end.
const LIMIT: Duration = Duration::from_secs(60);

/// How often a plan is tried with two that compete: the second of them may once come too late to get as far.
const TRIES: usize = 5;
/// How long the first of two waits for the other. Less than what a call may take (`WRITE_TIMEOUT`).
const PATIENCE: Duration = Duration::from_secs(6);

/// Who acts, and on what.
struct Scene {
    ground: Ground,
    server: S3Server,
    script: Script,
    kubeconfig: PathBuf,
    _proxies: [FaultProxy; 2],
    operators: Vec<Operator>,
    /// So many lead at once.
    leaders: usize,
    started: usize,
    runs: usize,
}

impl Scene {
    async fn set(leaders: usize) -> Result<Self> {
        let ground = Ground::start().await?;
        ground.install().await?;
        keep::grant(&ground.bed).await?;
        ground.bed.namespace(NAMESPACE).await?;
        let server = S3Server::start(S3Kind::Versitygw).await?;
        server.create_versioned_bucket(BUCKET).await?;
        let script = Script::new();
        let kube = FaultProxy::before_bed("kube", &ground.bed, &script).await?;
        let s3 = FaultProxy::start("s3", &server.endpoint, &script).await?;
        keep::place(&ground.bed, "s3", BUCKET, &server, &s3.url()).await?;
        keep::policy(&ground.bed, NAMESPACE, "s3", "2s").await?;
        let kubeconfig = ground.bed.kubeconfig_through(&kube, "unstick-system", "unstick").await?;
        Ok(Self {
            ground,
            server,
            script,
            kubeconfig,
            _proxies: [kube, s3],
            operators: Vec::new(),
            leaders,
            started: 0,
            runs: 0,
        })
    }

    /// A fresh process. A single one has to wait for the dead one's Lease; of several each has a Lease that nobody else
    /// knows, and leads at once whoever else does.
    async fn operator(&mut self) -> Result<Operator> {
        self.started += 1;
        let identity = format!("crash-{}", self.started);
        let lease = if self.leaders == 1 { "unstick".to_owned() } else { format!("unstick-{}", self.started) };
        let flags =
            ["--lease-name", &lease, "--lease-duration", "3s", "--renew-deadline", "2s", "--retry-period", "1s"];
        start_as(&self.ground.bed, self.kubeconfig.clone(), &identity, &flags).await
    }

    /// A fresh run of several nodes, finished; the judge has seen it.
    async fn run(&mut self, judge: &mut Judge) -> Result<String> {
        let name = format!("run-{:03}", self.runs);
        self.runs += 1;
        let step = |step: &str| json!({"name": step, "template": "pause"});
        let workflow = json!({"metadata": {"name": name}, "spec": {"entrypoint": "main", "templates": [
            {"name": "main", "steps": [[step("a"), step("b")]]},
            {"name": "pause", "suspend": {"duration": "1"}},
        ]}});
        let run = self.ground.bed.submit_value(NAMESPACE, workflow).await?;
        let finished = |seen: &serde_json::Value| seen["status"]["finishedAt"].is_string();
        judge.saw(self.ground.bed.wait_for(&run, "finished", LIMIT, finished).await?)?;
        Ok(name)
    }

    async fn gone(&self, operator: &Operator) -> Result<()> {
        let gone = keep::all_gone(&self.ground, NAMESPACE, operator, LIMIT).await;
        gone.with_context(|| format!("the last calls:\n{}", self.script.tail(30)))
    }

    async fn all_lead(&self) -> Result<()> {
        for operator in &self.operators {
            leads(operator, LIMIT).await.context("all must believe that they lead")?;
        }
        Ok(())
    }

    /// Two that lead meet where both must pass: at the put of the body, the mark and the delete. Else the faster one would
    /// mostly have the run gone before the other gets as far, and there would be little to compete for.
    fn in_step(&self) -> Option<InStep> {
        let meets = |call: &Call| match call.method.as_str() {
            "PUT" => call.path.ends_with(".json.gz") && site(call).is_some(),
            "PATCH" | "DELETE" => site(call).is_some(),
            _ => false,
        };
        (self.leaders > 1).then(|| self.script.in_step(self.leaders, PATIENCE, meets))
    }

    /// The calls of a run in which nothing goes wrong and all who lead go the whole way.
    async fn record(&mut self, judge: &mut Judge) -> Result<Vec<Call>> {
        for _ in 0..TRIES {
            self.all_lead().await?;
            let _step = self.in_step();
            let before = self.script.calls().len();
            self.run(judge).await?;
            self.gone(&self.operators[0]).await?;
            tokio::time::sleep(Duration::from_secs(1)).await;
            let calls = self.script.calls().split_off(before);
            if calls.iter().filter(|c| c.method == "DELETE").count() == self.leaders {
                return Ok(calls);
            }
        }
        bail!("not all {} ever go the whole way; the last calls:\n{}", self.leaders, self.script.tail(30))
    }

    /// When all runs have gone, and nothing of them is under way any more.
    async fn over(&self) -> Result<()> {
        while !keep::there(&self.ground, NAMESPACE).await?.is_empty() {
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        Ok(())
    }

    /// Kills whoever makes that call, and has the others and a fresh one bring the run to its end. False: nobody made it.
    async fn strike(&mut self, plan: &Plan, judge: &mut Judge) -> Result<bool> {
        self.all_lead().await?;
        let step = self.in_step();
        let mut hold = plan.hold(&self.script);
        let name = self.run(judge).await?;
        let standing = tokio::select! {
            standing = hold.reached(LIMIT) => standing?,
            over = self.over() => return over.map(|()| false),
        };
        drop(step);
        ensure!(standing.call.path.contains(&name), "{} is not of {name}", standing.call.line());
        let mut its = None;
        for (number, operator) in self.operators.iter().enumerate() {
            if operator.has_port(standing.call.peer)? {
                its = Some(number);
            }
        }
        let its = its.with_context(|| format!("nobody made the call {}", standing.call.line()))?;
        if standing.call.method == "DELETE" {
            judge.copy_of(&self.server, &name).await.context("before the delete was even answered")?;
        }
        self.operators[its].kill().await?;
        drop(hold);
        standing.abandon();
        self.operators[its] = self.operator().await?;
        self.gone(&self.operators[its]).await?;
        Ok(true)
    }
}

/// Where in the program a call comes from; `None` for what no run hangs on.
fn site(call: &Call) -> Option<String> {
    let workflow = format!("/apis/argoproj.io/v1alpha1/namespaces/{NAMESPACE}/workflows/");
    let body = format!("/{BUCKET}/workflow-archives/{NAMESPACE}/");
    let manifest = format!("/{BUCKET}/workflow-archives-index/manifests/{NAMESPACE}/");
    [(workflow, ""), (body, ".json.gz"), (manifest, ".manifest.json")]
        .into_iter()
        .find(|(from, ending)| call.path.starts_with(from) && call.path.ends_with(ending))
        .map(|(from, ending)| format!("{from}*{ending}"))
}

/// One operator, killed three times at each call; the next one does the rest.
pub async fn killed_at_each_of_its_calls() -> Result<()> {
    all_plans(1).await
}

/// The same with two that both believe they lead, each by a Lease of its own: one is killed in the call, first or second to
/// come there, and the other goes on.
pub async fn one_of_two_that_both_lead() -> Result<()> {
    all_plans(2).await
}

async fn all_plans(leaders: usize) -> Result<()> {
    let mut scene = Scene::set(leaders).await?;
    let mut judge = Judge::new(scene.ground.bed.audit().mark()?);
    for _ in 0..leaders {
        let operator = scene.operator().await?;
        scene.operators.push(operator);
    }
    let calls = scene.record(&mut judge).await?;
    let sites: Vec<&Call> = calls.iter().filter(|c| site(c).is_some()).collect();
    let kinds: BTreeSet<String> = sites.iter().map(|c| format!("{} {}", c.proxy, c.method)).collect();
    let needed = ["kube DELETE", "kube GET", "kube PATCH", "s3 GET", "s3 PUT"].map(str::to_owned);
    ensure!(kinds == BTreeSet::from(needed), "the record is not of the whole way: {kinds:?}");
    let plans = plans(&calls, site);
    ensure!(plans.len() == 3 * sites.len(), "{} plans of {} sites", plans.len(), sites.len());

    // A single one has nobody who could be faster.
    let tries = if leaders == 1 { 1 } else { TRIES };
    let (mut struck, mut missed) = (0, 0);
    for plan in &plans {
        let before = missed;
        while !scene.strike(plan, &mut judge).await.with_context(|| plan.name.clone())? {
            missed += 1;
            let last = scene.script.tail(40);
            ensure!(missed - before < tries, "{}: nobody makes that call; the last were\n{last}", plan.name);
        }
        struck += 1;
    }
    ensure!(struck == plans.len(), "{struck} of {} plans were struck", plans.len());
    if leaders > 1 {
        scene.only_counts_differ(&mut judge).await?;
        scene.one_stays().await?;
    }
    scene.settles().await?;
    ensure!(keep::there(&scene.ground, NAMESPACE).await?.is_empty(), "a workflow is left");
    let deletes = judge.all(&scene.server).await?;
    ensure!(deletes > plans.len(), "{deletes} deletes");
    let tries = if missed == 0 { String::new() } else { format!(" ({missed} more tries)") };
    println!("{} sites, {} plans, all struck{tries}; {deletes} deletes judged", sites.len(), plans.len());
    judge.can_say_no(&scene.server).await
}
