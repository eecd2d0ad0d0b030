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
use unstick_bed::measure::{Child, Table, get, post, run_peer};

mod idle;
mod many;
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
    /// Only these parts: many, sizes, idle, peer, real.
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

    /// `lease`: the namespace where it may have one.
    pub fn start_on(setting: &Setting, kubeconfig: &std::path::Path, lease: &str) -> Result<Self> {
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
        let mut process = Child::start(&mut command, setting.core(MEASURED_CORE), &setting.log("operator.log"))?;
        let ready = || get(address, "/readyz").is_ok_and(|(status, _)| status == 200);
        let start_time = process.wait_until("readiness", Duration::from_secs(180), ready).with_context(|| {
            let log = std::fs::read_to_string(setting.log("operator.log")).unwrap_or_default();
            let ready = get(address, "/readyz").map_or_else(|e| e.to_string(), |(s, t)| format!("{s} {t}"));
            format!("/readyz says {ready}; the end of its log: {}", &log[log.len().saturating_sub(2000)..])
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
    let parts: [(&str, fn(&Setting, &mut Table) -> Result<()>); 5] =
        [("many", many::run), ("sizes", sizes::run), ("idle", idle::run), ("peer", peers::run), ("real", real::run)];
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
