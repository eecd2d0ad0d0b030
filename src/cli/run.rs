//! Flags of `unstick run`: everything the operator process can be told.

use std::time::Duration;

use clap::{Args, ValueEnum};

use super::args::duration;

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    Text,
    Json,
}

/// Least severity that is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

impl LogLevel {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// Configuration of the operator. Each flag has an environment variable; the flag wins.
#[derive(Args, Clone, Debug)]
pub struct RunArgs {
    /// Watch this namespace only: no cluster-wide right is needed, cluster policies are not read
    #[arg(short, long, env = "UNSTICK_NAMESPACE", value_name = "NS", help_heading = "Scope")]
    pub namespace: Option<String>,

    /// Name of the cluster in what is written; default: clusterName of the Watchdog object
    #[arg(long, env = "UNSTICK_CLUSTER_NAME", value_name = "NAME", help_heading = "Scope")]
    pub cluster_name: Option<String>,

    /// Address of /metrics, /healthz and /readyz
    #[arg(long, env = "UNSTICK_LISTEN", value_name = "ADDR", default_value = "0.0.0.0:8080", help_heading = "Serving")]
    pub listen: std::net::SocketAddr,

    /// Form of log lines
    #[arg(
        long,
        env = "UNSTICK_LOG_FORMAT",
        value_name = "FORMAT",
        value_enum,
        default_value = "text",
        help_heading = "Serving"
    )]
    pub log_format: LogFormat,

    /// Least severity that is logged
    #[arg(
        long,
        env = "UNSTICK_LOG_LEVEL",
        value_name = "LEVEL",
        value_enum,
        default_value = "info",
        help_heading = "Serving"
    )]
    pub log_level: LogLevel,

    /// Write only while holding a Lease, so that several replicas can run; false = always write
    #[arg(
        long,
        env = "UNSTICK_LEADER_ELECT",
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_value_t = true,
        default_missing_value = "true",
        action = clap::ArgAction::Set,
        help_heading = "Leader election"
    )]
    pub leader_elect: bool,

    /// Namespace of the Lease; default: `POD_NAMESPACE`, then that of the kubeconfig context
    #[arg(long, env = "UNSTICK_LEASE_NAMESPACE", value_name = "NS", help_heading = "Leader election")]
    pub lease_namespace: Option<String>,

    /// Name of the Lease
    #[arg(
        long,
        env = "UNSTICK_LEASE_NAME",
        value_name = "NAME",
        default_value = "unstick",
        help_heading = "Leader election"
    )]
    pub lease_name: String,

    /// Who this replica is in the Lease; default: `POD_NAME`, then the host name
    #[arg(long, env = "UNSTICK_IDENTITY", value_name = "NAME", help_heading = "Leader election")]
    pub identity: Option<String>,

    /// A Lease not renewed for this long may be taken over
    #[arg(long, env = "UNSTICK_LEASE_DURATION", value_name = "DURATION", value_parser = duration, default_value = "15s", help_heading = "Leader election")]
    pub lease_duration: Duration,

    /// The leader stops writing when it could not renew for this long
    #[arg(long, env = "UNSTICK_RENEW_DEADLINE", value_name = "DURATION", value_parser = duration, default_value = "10s", help_heading = "Leader election")]
    pub renew_deadline: Duration,

    /// Pause between two tries to get or renew the Lease
    #[arg(long, env = "UNSTICK_RETRY_PERIOD", value_name = "DURATION", value_parser = duration, default_value = "2s", help_heading = "Leader election")]
    pub retry_period: Duration,

    /// Sustained writes a second to the API server, all kinds together
    #[arg(long, env = "UNSTICK_WRITES_PER_SECOND", value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000), default_value = "10", help_heading = "Limits")]
    pub writes_per_second: u32,

    /// Writes allowed at once after a pause
    #[arg(long, env = "UNSTICK_WRITES_BURST", value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000), default_value = "50", help_heading = "Limits")]
    pub writes_burst: u32,

    /// Archives, checks and deletions that may begin in a second
    #[arg(long, env = "UNSTICK_JOBS_PER_SECOND", value_name = "N", value_parser = clap::value_parser!(u32).range(2..=1000), default_value = "25", help_heading = "Limits")]
    pub jobs_per_second: u32,

    /// Archives, checks and deletions under way at once; each holds about four times the size of its run
    #[arg(long, env = "UNSTICK_JOBS_AT_ONCE", value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256), default_value = "16", help_heading = "Limits")]
    pub jobs_at_once: u16,

    /// How often the catalogue of archives gets what is new
    #[arg(long, env = "UNSTICK_CATALOGUE_EVERY", value_name = "DURATION", value_parser = duration, default_value = "5m", help_heading = "Limits")]
    pub catalogue_every: Duration,

    /// Most incidents kept; closed ones go first, open ones never
    #[arg(long, env = "UNSTICK_MAX_INCIDENTS", value_name = "N", default_value = "1000", help_heading = "Limits")]
    pub max_incidents: usize,

    /// How long a closed incident is kept
    #[arg(long, env = "UNSTICK_INCIDENT_TTL", value_name = "DURATION", value_parser = duration, default_value = "72h", help_heading = "Limits")]
    pub incident_ttl: Duration,

    /// Most series of each per-workflow metric family; the stuck and the oldest come first
    #[arg(long, env = "UNSTICK_SERIES_CAP", value_name = "N", default_value = "300", help_heading = "Limits")]
    pub series_cap: usize,

    /// A watch that brought nothing for this long, not even a bookmark, is opened anew
    #[arg(long, env = "UNSTICK_WATCH_IDLE_LIMIT", value_name = "DURATION", value_parser = duration, default_value = "3m", help_heading = "Limits")]
    pub watch_idle_limit: Duration,

    /// Least `after` of `NoProgress`: Argo looks at each workflow every 20 minutes only. Lower it in tests only
    #[arg(long, env = "UNSTICK_NO_PROGRESS_FLOOR", value_name = "DURATION", value_parser = duration, default_value = "40m", help_heading = "Limits")]
    pub no_progress_floor: Duration,

    /// Kubeconfig file; default: $KUBECONFIG, ~/.kube/config, then the pod's service account. Set by the global flag
    #[arg(skip)]
    pub kubeconfig: Option<std::path::PathBuf>,

    /// Context of the kubeconfig. Set by the global flag
    #[arg(skip)]
    pub context: Option<String>,
}

impl RunArgs {
    /// Who this replica is: the flag, `POD_NAME`, `HOSTNAME`, the kernel's host name, in this order.
    pub fn identity(&self) -> String {
        let kernel = || std::fs::read_to_string("/proc/sys/kernel/hostname").ok().map(|n| n.trim().to_owned());
        self.identity
            .clone()
            .or_else(|| variable("POD_NAME"))
            .or_else(|| variable("HOSTNAME"))
            .or_else(kernel)
            .filter(|name| !name.is_empty())
            .unwrap_or_else(|| "unstick".to_owned())
    }

    /// Namespace of the Lease: the flag or `POD_NAMESPACE`; `None` = that of the kubeconfig context.
    pub fn lease_namespace(&self) -> Option<String> {
        self.lease_namespace.clone().or_else(|| variable("POD_NAMESPACE"))
    }

    /// What clap can't check: how the flags go together.
    ///
    /// # Errors
    /// One sentence naming the flags at fault.
    pub fn validate(&self) -> Result<(), String> {
        if self.renew_deadline >= self.lease_duration {
            return Err(
                "--renew-deadline must be less than --lease-duration: the old leader has to stop first".to_owned()
            );
        }
        if self.retry_period >= self.renew_deadline {
            return Err("--retry-period must be less than --renew-deadline".to_owned());
        }
        Ok(())
    }
}

/// A variable that is set and not empty.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
