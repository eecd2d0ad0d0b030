//! `bed`: the test bed by hand.

mod build;
mod demo;
mod fixtures;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use clap::{Parser, Subcommand};
use tokio::io::AsyncReadExt;
use tokio::signal::unix::{SignalKind, signal};
use unstick_bed::{Argo, ArgoOptions, Bed, Kubelet, Options, order};

/// A real Kubernetes API server with the real Argo controller, and no containers.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build the parts into the cache (once) and print where they are.
    Build {
        /// Only these; without any, all.
        #[arg(value_enum)]
        parts: Vec<build::Name>,
    },
    /// Start API server, Argo and the kubelet stand-in; print KUBECONFIG and run until Ctrl-C or until stdin closes.
    Up {
        /// Run workflows in this namespace too (may be repeated); `default` is always there.
        #[arg(long)]
        namespace: Vec<String>,
        /// Argo takes part in leader election and writes its Lease.
        #[arg(long)]
        leader_election: bool,
        /// Don't stop when stdin closes (for use in the background).
        #[arg(long)]
        ignore_stdin: bool,
    },
    /// Start everything with unstick, submit stuck and healthy workflows and show what unstick says of them.
    Demo {
        /// The program under test.
        #[arg(long, value_name = "PATH")]
        unstick: PathBuf,
        /// Compare what is said with what should be, and end; exit code 1 on any difference.
        #[arg(long)]
        once: bool,
    },
    /// Print which functions of a program ran, one a line, from profiles of callgrind (`make order`).
    Order {
        /// The file name of the program.
        #[arg(long, value_name = "NAME")]
        program: String,
        /// What callgrind wrote.
        #[arg(required = true)]
        profiles: Vec<PathBuf>,
    },
    /// Bring every state of tests/bed/workflows/ about and save the workflows as JSON.
    Fixtures {
        /// Folder to write to.
        to: PathBuf,
    },
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => {
            eprintln!("bed: cannot start: {e}");
            return ExitCode::FAILURE;
        }
    };
    let done = runtime.block_on(run(cli.command));
    // A thread may still sit in a read of stdin; it must not hold up the exit.
    runtime.shutdown_background();
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("bed: {e:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command) -> Result<()> {
    match command {
        Command::Order { program, profiles } => order(&program, &profiles),
        Command::Fixtures { to } => fixtures::write(&to).await,
        Command::Build { parts } => tokio::task::spawn_blocking(move || build::run(&parts)).await?,
        Command::Demo { unstick, once } => demo::run(&unstick, once).await,
        Command::Up { namespace, leader_election, ignore_stdin } => up(namespace, leader_election, ignore_stdin).await,
    }
}

fn order(program: &str, profiles: &[PathBuf]) -> Result<()> {
    let read = |path: &PathBuf| std::fs::read_to_string(path).with_context(|| path.display().to_string());
    let texts = profiles.iter().map(read).collect::<Result<Vec<_>>>()?;
    let ran = order::ran(program, texts.iter().map(String::as_str));
    ensure!(!ran.is_empty(), "no function of {program} in these {} profiles", profiles.len());
    for symbol in ran {
        println!("{symbol}");
    }
    Ok(())
}

async fn up(namespaces: Vec<String>, leader_election: bool, ignore_stdin: bool) -> Result<()> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let starting = async {
        let bed = Bed::start(Options::default()).await?;
        for name in namespaces.iter().map(String::as_str).chain(["default"]) {
            bed.namespace(name).await?;
        }
        let argo = Argo::start(&bed, &ArgoOptions { leader_election, ..ArgoOptions::default() }).await?;
        let kubelet = Kubelet::start(&bed).await?;
        anyhow::Ok((kubelet, argo, bed))
    };
    let parts = tokio::select! {
        parts = starting => parts?,
        _ = interrupt.recv() => return Ok(()),
        _ = terminate.recv() => return Ok(()),
    };
    let (_kubelet, argo, bed) = &parts;
    println!("export KUBECONFIG={}", bed.admin_kubeconfig().display());
    eprintln!(
        "bed: API server {} and Argo {} are up; logs in {}; Ctrl-C stops",
        bed.url(),
        argo.version(),
        bed.folder().display()
    );
    let closed = async {
        let mut buffer = [0u8; 256];
        while ignore_stdin || tokio::io::stdin().read(&mut buffer).await.is_ok_and(|n| n > 0) {
            if ignore_stdin {
                std::future::pending::<()>().await;
            }
        }
    };
    tokio::select! {
        () = closed => {}
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    eprintln!("bed: stopping");
    Ok(())
}
