//! The limits of the product, measured: `cargo bench --bench limits`. Exits 1 when one is missed.
//!
//! The release operator and the API server it watches run as processes of their own, each on its own core where there
//! are two. What stands in the table and why: docs/performance.md.

#![allow(
    clippy::cast_precision_loss,
    clippy::unchecked_time_subtraction,
    clippy::type_complexity,
    clippy::needless_pass_by_value
)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use unstick_bed::corpus::{self, Corpus};
use unstick_bed::fakeapi::{FakeApi, Load, Options, Requests};
use unstick_bed::fakes3::FakeS3;
use unstick_bed::measure::{Child, Table, get, post, run_peer};

mod backlog;
mod idle;
mod keeping;
mod listing;
mod many;
mod order;
mod peers;
mod real;
mod sizes;

/// What runs where.
const SERVER_CORE: usize = 0;
const MEASURED_CORE: usize = 1;

#[derive(Parser, Debug)]
struct Args {
    /// Shorter waits, one start instead of three: for work on the bench, not for results.
    #[arg(long)]
    quick: bool,
    /// Only these parts: order, many, sizes, idle, peer, real, keeping, backlog, listing.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Workflows of the large parts.
    #[arg(long, default_value_t = 100_000)]
    count: u32,
    /// The operator; default: the one cargo has built for this bench.
    #[arg(long, env = "UNSTICK_BIN")]
    operator: Option<PathBuf>,
    /// Given by cargo.
    #[arg(long, hide = true)]
    bench: bool,
    /// This process is the API server or the peer of another run of this program.
    #[arg(long, hide = true)]
    role: Option<String>,
    #[arg(long, hide = true)]
    server: Option<String>,
    /// Of the store: how long each answer takes, in milliseconds, and lines of its catalogue.
    #[arg(long, hide = true, default_value_t = 0)]
    latency: u64,
    #[arg(long, hide = true, default_value_t = 0)]
    rows: u32,
}

/// What all parts share.
pub struct Setting {
    quick: bool,
    pub count: u32,
    operator: PathBuf,
    folder: tempfile::TempDir,
    cores: usize,
}

impl Setting {
    /// How long memory may settle after the start.
    pub fn settle(&self) -> Duration {
        Duration::from_secs(if self.quick { 6 } else { 60 })
    }

    pub fn repeats(&self) -> usize {
        if self.quick { 1 } else { 3 }
    }

    pub fn core(&self, core: usize) -> Option<usize> {
        (self.cores > 1).then_some(core)
    }

    fn log(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The end of the operator's log.
    pub fn tail(&self) -> String {
        let log = std::fs::read_to_string(self.log("operator.log")).unwrap_or_default();
        log.get(log.len().saturating_sub(2000)..).unwrap_or_default().to_owned()
    }
}

/// The API server as a process.
pub struct Server {
    pub address: SocketAddr,
    pub process: Child,
}

impl Server {
    /// Starts it with namespaces, CRDs, policies and an Argo controller that is up.
    pub fn start(setting: &Setting) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["--role", "server"]);
        let mut process = Child::start(&mut command, setting.core(SERVER_CORE), &setting.log("server.log"))?;
        let url = process.line(Duration::from_secs(10))?;
        let address = url.trim_start_matches("http://").parse().context("the server's address")?;
        let server = Self { address, process };
        let mut objects = unstick::api::crds::all().to_vec();
        objects.extend(corpus::namespaces(20));
        objects.extend(corpus::policies());
        server.tell("objects", &serde_json::to_string(&objects)?)?;
        let lease = Load::RenewLease { namespace: "argo".into(), name: "workflow-controller".into(), every_seconds: 5 };
        server.tell("load", &serde_json::to_string(&lease)?)?;
        Ok(server)
    }

    pub fn load(&self, corpus: &Corpus) -> Result<()> {
        self.tell("corpus", &serde_json::to_string(corpus)?)
    }

    pub fn tell(&self, command: &str, body: &str) -> Result<()> {
        let (status, said) = post(self.address, &format!("/-/{command}"), body)?;
        anyhow::ensure!(status == 200, "{command}: {said}");
        Ok(())
    }

    /// Makes changes and waits until they are done.
    pub fn replay(&self, rate: f64, count: u64) -> Result<()> {
        let before = self.done()?;
        self.tell("load", &serde_json::to_string(&Load::Modify { rate, count })?)?;
        while self.done()? < before + count {
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    fn done(&self) -> Result<u64> {
        let progress: serde_json::Value = serde_json::from_str(&get(self.address, "/-/load")?.1)?;
        progress["done"].as_u64().context("no progress")
    }

    pub fn requests(&self) -> Result<Requests> {
        Ok(serde_json::from_str(&get(self.address, "/-/requests")?.1)?)
    }

    pub fn counts(&self) -> Result<serde_json::Value> {
        Ok(serde_json::from_str(&get(self.address, "/-/counts")?.1)?)
    }
}

/// The object store as a process, on the server's core.
pub struct Remote {
    address: SocketAddr,
    _process: Child,
}

impl Remote {
    /// Starts one that takes so long for each answer, with a catalogue of so many lines.
    pub fn start(setting: &Setting, latency: Duration, rows: u32) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["--role", "store", "--latency", &latency.as_millis().to_string(), "--rows", &rows.to_string()]);
        let mut process = Child::start(&mut command, setting.core(SERVER_CORE), &setting.log("store.log"))?;
        let url = process.line(Duration::from_secs(180))?;
        let address = url.trim_start_matches("http://").parse().context("the store's address")?;
        Ok(Self { address, _process: process })
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// It believes everybody.
    pub const fn credentials(&self) -> [(&'static str, &'static str); 3] {
        [("AWS_ACCESS_KEY_ID", "bench"), ("AWS_SECRET_ACCESS_KEY", "bench"), ("AWS_REGION", "us-east-1")]
    }

    /// What it was asked since the last time.
    pub fn asked(&self) -> Result<String> {
        Ok(get(self.address, "/-/requests")?.1)
    }
}

/// The operator as a process, synced.
pub struct Watching {
    pub process: Child,
    pub address: SocketAddr,
    /// Used from the start until it was ready.
    pub start_cpu: Duration,
    pub start_time: Duration,
}

impl Watching {
    pub fn start(setting: &Setting, server: &Server) -> Result<Self> {
        let kubeconfig = setting.log("kubeconfig.json");
        std::fs::write(&kubeconfig, unstick_bed::fakeapi::kubeconfig(&format!("http://{}", server.address)))?;
        Self::start_on(setting, &kubeconfig, "team-00")
    }

    /// With more flags and environment.
    pub fn start_with(setting: &Setting, server: &Server, flags: &[&str], env: &[(&str, &str)]) -> Result<Self> {
        let kubeconfig = setting.log("kubeconfig.json");
        std::fs::write(&kubeconfig, unstick_bed::fakeapi::kubeconfig(&format!("http://{}", server.address)))?;
        Self::start_as(setting, &kubeconfig, "team-00", flags, env)
    }

    /// `lease`: the namespace where it may have one.
    pub fn start_on(setting: &Setting, kubeconfig: &std::path::Path, lease: &str) -> Result<Self> {
        Self::start_as(setting, kubeconfig, lease, &[], &[])
    }

    fn start_as(
        setting: &Setting,
        kubeconfig: &std::path::Path,
        lease: &str,
        flags: &[&str],
        env: &[(&str, &str)],
    ) -> Result<Self> {
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()?));
        let mut command = Command::new(&setting.operator);
        command.arg("run").arg("--kubeconfig").arg(kubeconfig).arg("--listen").arg(address.to_string()).args([
            "--lease-namespace",
            lease,
            "--identity",
            "bench",
            "--log-level",
            "warn",
        ]);
        command.args(flags).envs(env.iter().copied());
        let mut process = Child::start(&mut command, setting.core(MEASURED_CORE), &setting.log("operator.log"))?;
        let ready = || get(address, "/readyz").is_ok_and(|(status, _)| status == 200);
        let start_time = process.wait_until("readiness", Duration::from_secs(180), ready).with_context(|| {
            let ready = get(address, "/readyz").map_or_else(|e| e.to_string(), |(s, t)| format!("{s} {t}"));
            format!("/readyz says {ready}; the end of its log: {}", setting.tail())
        })?;
        let start_cpu = process.usage()?.cpu;
        Ok(Self { process, address, start_cpu, start_time })
    }
}

fn free_port() -> Result<u16> {
    Ok(std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

fn main() -> ExitCode {
    let args = Args::parse();
    match args.role.as_deref() {
        Some("server") => serve(),
        Some("store") => store(&args),
        Some(_) => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(run_peer(args.server)).unwrap();
            ExitCode::SUCCESS
        }
        None => match measure(&args) {
            Ok(table) => {
                println!("{table}");
                println!("{} missed", table.misses());
                ExitCode::from(u8::from(table.misses() > 0))
            }
            Err(e) => {
                eprintln!("bench: {e:#}");
                ExitCode::FAILURE
            }
        },
    }
}

/// Serves until the bench is gone.
fn serve() -> ExitCode {
    let api = FakeApi::start(Options::default(), 0).unwrap();
    println!("{}", api.url());
    let _ = std::io::Read::read_to_end(&mut std::io::stdin(), &mut Vec::new());
    ExitCode::SUCCESS
}

/// Stores until the bench is gone.
fn store(args: &Args) -> ExitCode {
    let store = FakeS3::new(Duration::from_millis(args.latency));
    if args.rows > 0 {
        listing::fill(&store, args.rows).unwrap();
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        println!("http://{}", std::sync::Arc::new(store).serve().await.unwrap());
        let wait = || std::io::Read::read_to_end(&mut std::io::stdin(), &mut Vec::new());
        let _ = tokio::task::spawn_blocking(wait).await;
    });
    ExitCode::SUCCESS
}

fn measure(args: &Args) -> Result<Table> {
    let built = || PathBuf::from(env!("CARGO_BIN_EXE_unstick"));
    let setting = Setting {
        quick: args.quick,
        count: args.count,
        operator: args.operator.clone().unwrap_or_else(built),
        folder: tempfile::tempdir()?,
        cores: std::thread::available_parallelism()?.get(),
    };
    let mut table = Table::default();
    let parts: [(&str, fn(&Setting, &mut Table) -> Result<()>); 9] = [
        ("order", order::run),
        ("many", many::run),
        ("sizes", sizes::run),
        ("idle", idle::run),
        ("peer", peers::run),
        ("keeping", keeping::run),
        ("backlog", backlog::run),
        ("listing", listing::run),
        ("real", real::run),
    ];
    for (name, run) in parts {
        if args.only.is_empty() || args.only.iter().any(|n| n == name) {
            eprintln!("{name}:");
            if let Err(e) = run(&setting, &mut table) {
                table.failed(name, &e);
            }
        }
    }
    Ok(table)
}
