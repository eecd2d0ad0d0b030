//! The command line: commands, flags, exit codes.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use jiff::Timestamp;

use super::archive::ArchiveCommand;
use super::check::CheckArgs;
use super::explain::ExplainArgs;
use super::plan::PlanArgs;
use super::policy::PolicyCommand;
use super::run::RunArgs;
use super::source::Scope;
use super::source::cluster::Cluster;
use super::status::StatusArgs;
use super::stuck::StuckArgs;
use crate::api::period::Period;
use crate::api::selector::Selector;

/// Said at the end of every help text.
pub const EXIT_CODES: &str = "\
Exit codes:
  0  nothing found, or done
  1  findings: stuck workflows, failed checks, problems in a policy
  2  wrong usage
  3  the cluster, a file or a store could not be read
  --exit-zero turns 1 into 0.";

/// The watchdog for Argo Workflows: finds stuck workflows and says why.
#[derive(Debug, Parser)]
#[command(name = "unstick", version, after_help = EXIT_CODES, disable_help_subcommand = true, max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

/// Flags that every command takes.
#[derive(Args, Clone, Debug, Default)]
pub struct Global {
    /// Kubeconfig file; default: $KUBECONFIG, then ~/.kube/config, then the service account of the pod
    #[arg(long, global = true, value_name = "FILE", help_heading = "Global options")]
    pub kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig
    #[arg(long, global = true, value_name = "NAME", help_heading = "Global options")]
    pub context: Option<String>,
    /// No colour, also on a terminal; so does the environment variable `NO_COLOR`
    #[arg(long, global = true, help_heading = "Global options")]
    pub no_color: bool,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// List stuck workflows: needs no operator and no CRDs in the cluster
    #[command(after_help = EXIT_CODES)]
    Stuck(StuckArgs),
    /// Say why a workflow is or isn't stuck: every detection, its value and its threshold
    #[command(after_help = EXIT_CODES)]
    Explain(ExplainArgs),
    /// Show what cleanup would do with finished workflows now: needs no operator, writes nothing
    ///
    /// keepAtLeast and maxDeletes count all workflows, also those that -l and --policy leave out here.
    #[command(after_help = super::plan::EXIT)]
    Plan(PlanArgs),
    /// Show the state of the operator, its policies and its incidents on one screen
    #[command(after_help = EXIT_CODES)]
    Status(StatusArgs),
    /// Check that the cluster has what the operator needs; each failure comes with its remedy
    #[command(after_help = EXIT_CODES)]
    Check(CheckArgs),
    /// Work on policies as files
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Find archived workflows, get them back and check them; needs no cluster
    #[command(subcommand)]
    Archive(ArchiveCommand),
    /// Print the CRDs of this version: unstick crds | kubectl apply --server-side -f -
    Crds,
    /// Run the operator
    Run(Box<RunArgs>),
    /// Print a completion script
    Completion {
        /// Shell to complete for
        shell: clap_complete::Shell,
    },
    /// Print the version
    Version {
        /// Form of the output
        #[arg(short, long, value_name = "FORMAT", value_enum, default_value = "table")]
        output: Plain,
    },
}

/// Forms of output of lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// As wide as the terminal
    Table,
    /// Every column, nothing cut
    Wide,
    Json,
    Yaml,
    /// `workflow.argoproj.io/NAME`, with -A or -f preceded by `-n NAMESPACE`: made for xargs -L1
    Name,
}

/// Forms of output where there are no names to list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Plain {
    Table,
    Json,
    Yaml,
}

/// Where workflows and policies are read from.
#[derive(Args, Clone, Debug)]
pub struct From {
    /// Read saved YAML or JSON instead of a cluster: single objects, lists, several documents; - is stdin.
    /// Policies, namespaces and incidents found in it count too. May be given several times
    #[arg(short, long = "file", value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Judge as of this instant (RFC 3339) rather than the server's time
    #[arg(long, value_name = "TIME", value_parser = instant)]
    pub now: Option<Timestamp>,
    #[arg(long, env = "UNSTICK_NO_PROGRESS_FLOOR", value_parser = duration, default_value = "40m", hide = true)]
    pub no_progress_floor: Duration,
}

/// Which workflows.
#[derive(Args, Clone, Debug)]
pub struct Which {
    /// Namespace; default: that of the context, with -f all
    #[arg(short, long, value_name = "NS")]
    pub namespace: Option<String>,
    /// All namespaces
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    pub all_namespaces: bool,
    /// Workflows with these labels, as in kubectl
    #[arg(short = 'l', long, value_name = "LABELS")]
    pub selector: Option<String>,
}

impl Which {
    /// What is looked at in files.
    ///
    /// # Errors
    /// The labels can't be read.
    pub fn scope(&self) -> anyhow::Result<Scope> {
        let selector = self.selector.clone().unwrap_or_default();
        Selector::parse(&selector).map_err(|why| super::usage_error(format!("--selector: {why}")))?;
        Ok(Scope { namespace: self.namespace.clone(), selector, name: None })
    }

    /// The same in a cluster: the namespace of the context, unless another or all are asked for.
    pub fn scope_in(&self, cluster: &Cluster) -> anyhow::Result<Scope> {
        let mut scope = self.scope()?;
        if !self.all_namespaces {
            scope.namespace.get_or_insert_with(|| cluster.namespace.clone());
        }
        Ok(scope)
    }
}

/// Reads `90s`, `15m`, `36h` or `7d`.
pub fn duration(text: &str) -> Result<Duration, String> {
    Period::new(text)
        .seconds()
        .and_then(|s| u64::try_from(s).ok())
        .map(Duration::from_secs)
        .ok_or_else(|| "must be a number with s, m, h or d, such as 90m, 36h or 7d".to_owned())
}

fn instant(text: &str) -> Result<Timestamp, String> {
    text.parse().map_err(|_| "must be RFC 3339, such as 2026-11-21T10:00:00Z".to_owned())
}
