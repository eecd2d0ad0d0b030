//! `unstick run`: from flags to the operator.

use anyhow::{Context as _, bail};

use super::run::{LogFormat, RunArgs};
use crate::api::workflow::Secs;
use crate::shell::kubeconfig::Target;
use crate::shell::logging;
use crate::shell::run::{Options, run as operate};
use crate::watchdog::input::Config;

/// Runs the operator until it is told to stop.
///
/// # Errors
/// Flags that don't go together, no cluster, an address that can't be listened on.
#[allow(clippy::needless_pass_by_value)] // the form of `Parts::run`
pub fn run(args: RunArgs) -> anyhow::Result<()> {
    if let Err(why) = args.validate() {
        bail!(why);
    }
    logging::start(args.log_level.as_str(), args.log_format == LogFormat::Json);
    let secs = |d: std::time::Duration| Secs::try_from(d.as_secs()).unwrap_or(Secs::MAX);
    let options = Options {
        target: Target { kubeconfig: args.kubeconfig.clone(), context: args.context.clone() },
        namespace: args.namespace.clone(),
        listen: args.listen,
        leader_elect: args.leader_elect,
        lease_namespace: args.lease_namespace(),
        lease_name: args.lease_name.clone(),
        lease_duration: args.lease_duration,
        renew_deadline: args.renew_deadline,
        retry_period: args.retry_period,
        identity: args.identity(),
        writes_per_second: args.writes_per_second,
        writes_burst: args.writes_burst,
        jobs_per_second: args.jobs_per_second,
        catalogue_every: args.catalogue_every,
        // The kubelet sets it in every container, and nobody else.
        container_root: std::env::var_os("KUBERNETES_SERVICE_HOST").map(|_| "/".into()),
        series_cap: args.series_cap,
        watch_idle_limit: args.watch_idle_limit,
        config: Config {
            no_progress_floor: secs(args.no_progress_floor),
            max_incidents: args.max_incidents,
            incident_ttl: secs(args.incident_ttl),
            max_jobs: usize::from(args.jobs_at_once),
            deaf_after: secs(args.watch_idle_limit).saturating_mul(2),
            identity: args.identity(),
            namespace: args.namespace.clone(),
            ..Config::default()
        },
    };
    // One thread: the loop owns everything, and one thread's allocator arena keeps memory small.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(4)
        .build()
        .context("the runtime can't be started")?;
    // As a task: to wake what `block_on` itself waits for takes two calls to the kernel.
    runtime.block_on(async { tokio::spawn(operate(options)).await.context("the loop has broken off")? })
}
