//! `bed demo`: everything at once, for the eyes; with `--once` compared with [`expected`].

mod compare;
mod expected;
mod keep;
mod screen;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};
use unstick_bed::s3::S3Server;
use unstick_bed::{
    Argo, ArgoOptions, Bed, Kubelet, Operator, OperatorOptions, Options, WorkflowRef, free_port, scenario,
};

use expected::{ROWS, Row};
use screen::{Screen, header};

/// How long the workflows have, from the last submission on, to be as expected.
const LIMIT: Duration = Duration::from_secs(40);
/// How long any one part may take to get ready.
const READY: Duration = Duration::from_secs(60);
const SYSTEM: &str = "unstick-system";
/// The families worth a look at the end.
const KEY_METRICS: &str = "^unstick_(workflow_stuck|workflows_stuck|workflows_completed_total|tracked_workflows|\
                           incidents|argo_state|leader|detection_lag_seconds_(sum|count))[ {]";

/// All that runs. Fields go in this order: who asks before who answers.
struct Demo {
    operator: Operator,
    _kubelet: Kubelet,
    _argo: Argo,
    screen: Screen,
    port: u16,
    s3: S3Server,
    bed: Bed,
}

/// Runs the demo; with `once` an error lists every difference from what is expected.
pub async fn run(unstick: &Path, once: bool) -> Result<()> {
    let unstick = unstick.canonicalize().with_context(|| format!("no program at {}", unstick.display()))?;
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let mut running: Option<Demo> = None;
    let shown = async {
        let demo = running.insert(start(unstick).await?);
        let mut differences = demo.play().await?;
        differences.extend(demo.keep().await?);
        if once {
            return Ok(Some(differences));
        }
        demo.stay(&differences)?;
        std::future::pending::<()>().await;
        anyhow::Ok(None)
    };
    let outcome = tokio::select! {
        outcome = shown => outcome,
        _ = interrupt.recv() => Ok(None),
        _ = terminate.recv() => Ok(None),
    };
    if let Some(mut demo) = running {
        eprintln!("\nbed: stopping");
        let (status, took) = demo.operator.terminate(Duration::from_secs(20)).await?;
        ensure!(status.success(), "unstick ended with {status} after {took:?}:\n{}", demo.operator.tail(10));
    }
    match outcome? {
        Some(differences) if !differences.is_empty() => {
            bail!("{} differences from what is expected:\n{}", differences.len(), differences.join("\n"))
        }
        Some(_) => {
            println!(
                "\nAs expected: {} workflows, {} statements compared; finished runs kept, deleted, and one restored.",
                ROWS.len(),
                compare::expected().len()
            );
            Ok(())
        }
        None => Ok(()),
    }
}

async fn start(unstick: PathBuf) -> Result<Demo> {
    let begun = Instant::now();
    let bed = Bed::start(Options::default()).await?;
    for namespace in ["argo", "etl", "ml"] {
        bed.namespace(namespace).await?;
    }
    let argo_options = ArgoOptions { leader_election: true, ..ArgoOptions::default() };
    let (argo, port) = tokio::try_join!(Argo::start(&bed, &argo_options), install(&bed, &unstick))?;
    let kubelet = Kubelet::start(&bed).await?;
    let s3 = keep::start(&bed).await?;
    let listen = format!("127.0.0.1:{port}");
    let args =
        ["run", "--listen", &listen, "--lease-namespace", SYSTEM, "--identity", "demo", "--catalogue-every", "2s"];
    let mut operator = Operator::start(&OperatorOptions {
        binary: unstick.clone(),
        args: args.map(str::to_owned).to_vec(),
        kubeconfig: bed.kubeconfig_for(SYSTEM, "unstick").await?,
        log: bed.folder().join("unstick.log"),
        port,
        ..OperatorOptions::default()
    })?;
    operator.wait_for("/readyz", READY).await?;
    eprintln!("bed: API server, Argo {} and unstick are up after {:.1?}", argo.version(), begun.elapsed());
    let kubectl = bed.kubectl().to_owned();
    let environment = [
        ("AWS_ACCESS_KEY_ID", s3.access_key.clone()),
        ("AWS_SECRET_ACCESS_KEY", s3.secret_key.clone()),
        ("AWS_ENDPOINT_URL_S3", s3.endpoint.clone()),
        ("AWS_REGION", "us-east-1".to_owned()),
    ];
    let environment = environment.map(|(name, value)| (name.to_owned(), value)).to_vec();
    let screen = Screen { unstick, kubectl, kubeconfig: bed.admin_kubeconfig(), environment };
    Ok(Demo { operator, _kubelet: kubelet, _argo: argo, screen, port, s3, bed })
}

/// The CRDs as the program prints them, the rights as deploy/ grants them, and the policies; returns a free port.
async fn install(bed: &Bed, unstick: &Path) -> Result<u16> {
    let mut crds = std::process::Command::new(unstick);
    crds.arg("crds");
    let crds = tokio::task::spawn_blocking(move || crds.output()).await??;
    ensure!(crds.status.success(), "`unstick crds`: {}", String::from_utf8_lossy(&crds.stderr));
    bed.apply(&String::from_utf8(crds.stdout)?, "").await?;

    let mut objects: Vec<Value> = Vec::new();
    for file in ["install.yaml", "components/archive/roles.yaml", "components/cleanup/role.yaml"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy").join(file);
        let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let read: Vec<Value> = serde_saphyr::from_multiple(&text).map_err(|e| anyhow!("{}: {e}", path.display()))?;
        objects.extend(read);
    }
    // The program runs as a process of its own here, with the rights and the identity it would have in its pod.
    let wanted = ["Namespace", "ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"];
    for object in objects.into_iter().filter(|o| wanted.iter().any(|kind| o["kind"] == *kind)) {
        bed.apply_value(object, SYSTEM).await?;
    }
    bed.apply(include_str!("objects.yaml"), "").await?;
    free_port()
}

impl Demo {
    /// Submits everything, waits until it is as expected or time is up, shows it; returns what differs.
    async fn play(&mut self) -> Result<Vec<String>> {
        for row in ROWS {
            self.submit(row).await?;
        }
        eprintln!("bed: {} workflows submitted; waiting for their thresholds", ROWS.len());
        let until = Instant::now() + LIMIT;
        while !self.settled().await? && Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        // Whoever is wrongly called stuck may need a moment to be.
        tokio::time::sleep(Duration::from_secs(2)).await;
        self.show().await?;
        Ok(compare::difference(&compare::expected(), &self.seen().await?))
    }

    async fn submit(&self, row: &Row) -> Result<()> {
        let mut workflow: Value = serde_saphyr::from_str(&scenario::yaml(row.scenario)?)
            .map_err(|e| anyhow!("scenario {}: {e}", row.scenario))?;
        workflow["metadata"]["name"] = json!(row.name);
        for (key, value) in row.labels {
            workflow["metadata"]["labels"][*key] = json!(value);
        }
        workflow["spec"]["arguments"] =
            json!({"parameters": [{"name": "task-id", "value": format!("T-{}", row.name)}]});
        let workflow = self.bed.submit_value(row.namespace, workflow).await?;
        match row.scenario {
            "mutex-holder" => {
                self.until(&workflow, "holding its lock", |w| w["status"]["synchronization"].is_object()).await
            }
            "finalizer" => {
                self.until(&workflow, "Succeeded", |w| w["status"]["phase"] == "Succeeded").await?;
                self.bed.delete_workflow(&workflow).await
            }
            _ => Ok(()),
        }
    }

    async fn until(&self, workflow: &WorkflowRef, what: &str, wanted: fn(&Value) -> bool) -> Result<()> {
        self.bed.wait_for(workflow, what, READY, wanted).await.map(drop)
    }

    /// Whether incidents, workflows and metrics are as expected; `stuck` is asked at the end only.
    async fn settled(&mut self) -> Result<bool> {
        ensure!(self.operator.ended().is_none(), "unstick has ended:\n{}", self.operator.tail(15));
        let mut wanted = compare::expected();
        wanted.retain(|line| !line.starts_with("stuck "));
        Ok(compare::difference(&wanted, &self.told().await?).is_empty())
    }

    async fn told(&self) -> Result<Vec<String>> {
        let mut lines = compare::of_incidents(&self.list("unstick.dev", "workflowincidents").await?);
        lines.extend(compare::of_workflows(&self.list("argoproj.io", "workflows").await?));
        lines.extend(compare::of_metrics(&self.operator.scrape().await?));
        Ok(lines)
    }

    async fn seen(&self) -> Result<Vec<String>> {
        let mut lines = self.told().await?;
        lines.extend(compare::of_stuck(&self.screen.json("unstick stuck -A -o json").await?));
        Ok(lines)
    }

    async fn list(&self, group: &str, plural: &str) -> Result<Value> {
        let request = http::Request::get(format!("/apis/{group}/v1alpha1/{plural}")).body(Vec::new())?;
        Ok(self.bed.admin()?.request(request).await?)
    }

    async fn show(&self) -> Result<()> {
        for line in [
            "unstick stuck -A",
            "unstick explain etl/deploy-web",
            "kubectl get wfi -A",
            "kubectl get wfp -A",
            "kubectl get wd",
            "kubectl get events -n etl --field-selector involvedObject.name=release-42",
        ] {
            self.screen.show(line).await?;
        }
        header(&format!("curl -s {} | grep -E '{KEY_METRICS}'", self.address()))?;
        let page = self.operator.scrape().await?;
        for line in page.lines().filter(|l| is_key(l)) {
            println!("{line}");
        }
        Ok(())
    }

    fn address(&self) -> String {
        format!("http://127.0.0.1:{}/metrics", self.port)
    }

    fn stay(&self, differences: &[String]) -> Result<()> {
        if !differences.is_empty() {
            println!("\nNot as expected (yet):\n{}", differences.join("\n"));
        }
        println!("\nEverything runs on. In another terminal:\n");
        println!("  export KUBECONFIG={}", self.screen.kubeconfig.display());
        for (name, value) in &self.screen.environment {
            println!("  export {name}={value}");
        }
        println!("  alias unstick={}", self.screen.unstick.display());
        println!("  alias kubectl={}", self.screen.kubectl.display());
        println!("\nmetrics  {}\nlogs     {}\n\nCtrl-C stops everything.", self.address(), self.bed.folder().display());
        Ok(std::io::Write::flush(&mut std::io::stdout())?)
    }
}

/// [`KEY_METRICS`], for the page we hold already.
fn is_key(line: &str) -> bool {
    let name = line.split(['{', ' ']).next().unwrap_or_default();
    let inner = KEY_METRICS.trim_start_matches("^unstick_(").trim_end_matches(")[ {]");
    let lag = name == "unstick_detection_lag_seconds_sum" || name == "unstick_detection_lag_seconds_count";
    lag || name.strip_prefix("unstick_").is_some_and(|n| inner.split('|').any(|family| family == n))
}
