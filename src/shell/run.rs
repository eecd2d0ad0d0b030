//! `unstick run`: wires the tasks and turns the loop that owns the watchdog.
//!
//! Everything ends in one `select!`: what the cluster tells, what the clock says, who asks over HTTP, how writes ended.
//! One thread: a loop that hangs also stops renewing the Lease, and another replica takes over.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::pin;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::client::connect;
use super::door::{Door, Limits};
use super::ears::Heard;
use super::http::{self, Ask};
use super::kubeconfig::Target;
use super::lease::{self, LeaseOptions};
use super::looping::Loop;
use super::watch::WatchConfig;
use crate::watchdog::input::{Config, Input};

/// Everything the process can be told.
#[derive(Clone, Debug)]
pub struct Options {
    pub target: Target,
    /// Single-namespace mode.
    pub namespace: Option<String>,
    pub listen: SocketAddr,
    pub leader_elect: bool,
    /// Namespace of the Lease; `None` = that of the context or the pod.
    pub lease_namespace: Option<String>,
    pub lease_name: String,
    pub lease_duration: Duration,
    pub renew_deadline: Duration,
    pub retry_period: Duration,
    pub identity: String,
    pub writes_per_second: u32,
    pub writes_burst: u32,
    /// Jobs of the janitor that may begin in a second.
    pub jobs_per_second: u32,
    /// How often the catalogue gets its batches.
    pub catalogue_every: Duration,
    /// In a pod: `/`. What lies on the same file system ends with the container.
    pub container_root: Option<PathBuf>,
    pub series_cap: usize,
    pub watch_idle_limit: Duration,
    pub config: Config,
}

/// How long writes in flight may take to end after SIGTERM.
const LAST_WRITES: Duration = Duration::from_secs(5);
/// How long answers on their way may take to arrive after that.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// No cluster is configured, or the address can't be listened on.
pub async fn run(options: Options) -> anyhow::Result<()> {
    let clients = connect(&options.target).await?;
    let listener = http::bind(options.listen).await?;
    let (ask, asks) = mpsc::channel::<Ask>(64);
    let door = Door::open(listener, http::pages(ask), Limits::default());
    let lease_namespace = options.lease_namespace.clone().unwrap_or_else(|| clients.namespace.clone());
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        identity = options.identity,
        namespace = options.namespace.as_deref().unwrap_or("all"),
        lease = format!("{lease_namespace}/{}", options.lease_name),
        "unstick starts"
    );
    let lease = options.leader_elect.then(|| {
        lease::start(
            clients.act.clone(),
            LeaseOptions {
                namespace: lease_namespace.clone(),
                name: options.lease_name.clone(),
                identity: options.identity.clone(),
                duration: options.lease_duration,
                renew_deadline: options.renew_deadline,
                retry_period: options.retry_period,
            },
        )
    });
    let mut state = Loop::new(&options, clients, lease);
    let ended = turn(&mut state, asks, &options).await;
    tokio::join!(state.stop(LAST_WRITES), door.close(LAST_ANSWERS));
    ended
}

async fn turn(state: &mut Loop, mut asks: mpsc::Receiver<Ask>, options: &Options) -> anyhow::Result<()> {
    let mut stop = pin!(stopped(signals()?));
    let mut alarm = pin!(tokio::time::sleep(Duration::ZERO));
    let (mut writes, mut jobs) = (JoinSet::new(), JoinSet::new());
    loop {
        state.pump(&mut writes);
        state.pump_jobs(&mut jobs);
        let wake = tokio::time::Instant::from_std(state.wake(Instant::now(), writes.len()));
        // One that rings too early costs less than setting it at each event.
        if wake < alarm.deadline() || alarm.is_elapsed() {
            alarm.as_mut().reset(wake);
        }
        tokio::select! {
            biased;
            () = &mut stop => {
                tracing::info!("told to stop: no new writes");
                // Who asks now is told so at once: the loop answers no more.
                drop(asks);
                // An archive that is not whole is no archive, and what was not deleted stays: nothing is lost by leaving now.
                jobs.abort_all();
                let hands = state.hands.clone();
                let flush = tokio::time::timeout(LAST_WRITES, hands.flush());
                let _ = tokio::join!(state.last_writes(writes), flush);
                return Ok(());
            }
            () = &mut alarm => state.tick(),
            Some(result) = writes.join_next(), if !writes.is_empty() => state.wrote(result),
            Some(result) = jobs.join_next(), if !jobs.is_empty() => state.job_done(result, &mut jobs),
            Some(ask) = asks.recv() => state.asked(ask),
            heard = state.ears.hear() => match heard {
                Heard::Leader => state.take_leadership(&mut writes, &mut jobs),
                Heard::Flushed(durable) => state.answer_scrapes(durable),
                Heard::News(news) => state.told(news),
                Heard::Probe(instance, answered) => state.probed(instance, answered),
                Heard::Feed(feed) => state.fed(feed),
                Heard::Tried(tried) => state.tried(*tried),
                Heard::Crds(missing) => state.crds_read(missing),
                Heard::Deletes(read) => state.handle(Input::ArgoDeletes(Box::new(read))),
            },
        }
        if state.ready_to_watch() {
            let config = WatchConfig {
                namespace: options.namespace.clone(),
                idle: options.watch_idle_limit,
                ..WatchConfig::default()
            };
            state.start_watch(config);
        }
    }
}

struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

fn signals() -> anyhow::Result<Signals> {
    use tokio::signal::unix::{SignalKind, signal};
    Ok(Signals {
        terminate: signal(SignalKind::terminate()).context("SIGTERM can't be waited for")?,
        interrupt: signal(SignalKind::interrupt()).context("SIGINT can't be waited for")?,
    })
}

async fn stopped(mut signals: Signals) {
    tokio::select! {
        _ = signals.terminate.recv() => {}
        _ = signals.interrupt.recv() => {}
    }
}

/// What a client needs beside the options, made once.
pub(super) fn limits(options: &Options) -> super::writer::Limit {
    super::writer::Limit::new(options.writes_per_second, options.writes_burst, Instant::now())
}
