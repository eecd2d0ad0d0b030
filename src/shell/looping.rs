//! The loop's state: the watchdog and what connects it with the cluster. Every method is short and none waits.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinError, JoinHandle, JoinSet};

use super::argo_deletes::Reading;
use super::client::Clients;
use super::ears::Ears;
use super::follow::{Kind, News, Which, follow};
use super::janitor::{Hands, LastLook};
use super::jobs::{Jobs, Locations};
use super::lease::LeaseHandle;
use super::named::Named;
use super::run::{Options, limits};
use super::watch::WatchConfig;
use super::writer::{self, Limit};
use crate::api::reasons::UnknownReason;
use crate::api::watchdog::Watchdog as WatchdogObject;
use crate::metrics::{self, Process};
use crate::watchdog::Watchdog;
use crate::watchdog::effect::{Effect, Op, Ticket};
use crate::watchdog::input::{Input, Wrote};
use crate::watchdog::policy::PolicyKey;

/// Writes under way at once.
const IN_FLIGHT: usize = 4;
/// Changes of policies are gathered for this long before everything is read again.
const RELIST_AFTER: Duration = Duration::from_millis(500);
/// Never sleep longer: a clock step costs at most this.
pub(super) const LONGEST_SLEEP: Duration = Duration::from_secs(30);

pub type Writes = JoinSet<(Ticket, Op, Wrote)>;

pub struct Loop {
    pub(super) watchdog: Watchdog,
    pub(super) process: Process,
    pub(super) named: Named,
    pub(super) clients: Clients,
    pub(super) ears: Ears,
    pub(super) identity: String,
    pub(super) namespace: Option<String>,
    pub(super) limit: Limit,
    pub(super) waiting_for_token: bool,
    pub(super) tell: mpsc::Sender<News>,
    pub(super) probe: mpsc::Sender<(String, bool)>,
    pub(super) watch_config: WatchConfig,
    pub(super) idle_limit: Duration,
    pub(super) relist_at: Option<Instant>,
    pub(super) listed: HashSet<Kind>,
    pub(super) failing: HashMap<Kind, String>,
    /// Why nothing is deleted, as it was last said.
    pub(super) deaf: Option<String>,
    /// Policies as the server has them, for when maxima or CRDs change.
    /// As JSON: a tree of values takes many times as much.
    pub(super) policies: HashMap<PolicyKey, Box<str>>,
    pub(super) settings: Option<WatchdogObject>,
    pub(super) missing_fields: Vec<String>,
    pub(super) argo_tasks: HashMap<(String, String), JoinHandle<()>>,
    pub(super) last_alive: Option<Instant>,
    pub(super) watch_down: Option<String>,
    pub(super) blind: Option<UnknownReason>,
    pub(super) scrapes: Vec<oneshot::Sender<Bytes>>,
    pub(super) flushed_at: Option<Instant>,
    pub(super) hands: Hands,
    pub(super) locations: Locations,
    pub(super) job_limit: Limit,
    pub(super) flush_every: Duration,
    pub(super) deletes: Reading,
    pub(super) container_root: Option<PathBuf>,
}

impl Loop {
    pub fn new(options: &Options, clients: Clients, lease: Option<LeaseHandle>) -> Self {
        let (tell, news) = mpsc::channel(256);
        let (probe, probes) = mpsc::channel(16);
        let (missing, crds) = mpsc::channel(1);
        let (try_tell, tried) = mpsc::channel(16);
        let (read_tell, deletes) = mpsc::channel(1);
        if options.namespace.is_none() {
            super::crds::compare(clients.watch.clone(), missing);
        }
        let look = LastLook::new(lease.as_ref().map(LeaseHandle::for_others));
        let mut state = Self {
            watchdog: Watchdog::new(options.config.clone(), metrics::bounds),
            process: Process::new(options.series_cap),
            named: Named::default(),
            ears: Ears { lease, flush: None, news, probes, crds, tried, deletes, feed: None },
            identity: options.identity.clone(),
            namespace: options.namespace.clone(),
            limit: limits(options),
            waiting_for_token: false,
            tell,
            probe,
            watch_config: WatchConfig::default(),
            idle_limit: options.watch_idle_limit,
            relist_at: None,
            listed: HashSet::new(),
            failing: HashMap::new(),
            deaf: None,
            policies: HashMap::new(),
            settings: None,
            missing_fields: Vec::new(),
            argo_tasks: HashMap::new(),
            last_alive: None,
            watch_down: None,
            blind: None,
            scrapes: Vec::new(),
            flushed_at: None,
            hands: Hands::new(clients.enforce.clone(), clients.clock.clone(), look),
            locations: Locations::new(try_tell),
            flush_every: options.catalogue_every,
            deletes: Reading::new(read_tell),
            container_root: options.container_root.clone(),
            job_limit: Limit::new(options.jobs_per_second, options.jobs_per_second * 2, Instant::now()),
            clients,
        };
        for kind in state.kinds() {
            state.follow(kind);
        }
        state.apply_settings();
        if state.ears.lease.is_none() {
            state.handle(Input::Leading(Some(None)));
            state.open_locations();
        }
        state
    }

    /// What is followed from the start: in single-namespace mode nothing of the cluster.
    pub(super) fn kinds(&self) -> Vec<Kind> {
        let mut kinds = vec![Kind::Policies, Kind::Incidents, Kind::Pods];
        if self.namespace.is_none() {
            kinds.extend([Kind::ClusterPolicies, Kind::Watchdog, Kind::Locations, Kind::Namespaces]);
        }
        kinds
    }

    pub(super) fn follow(&self, kind: Kind) {
        let mut which = Which { namespace: self.namespace.clone(), ..Which::default() };
        if kind == Kind::Pods {
            // Finished, and not yet acknowledged by Argo: normally none, or for a moment.
            which.labels = Some("workflows.argoproj.io/workflow,workflows.argoproj.io/completed=false");
            which.fields = Some("status.phase!=Pending,status.phase!=Running".to_owned());
        }
        follow(self.clients.watch.clone(), kind, which, self.idle_limit, self.tell.clone());
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clients.clock.now()
    }

    pub(super) fn handle(&mut self, input: Input<'_>) {
        self.handle_at(input, self.now());
    }

    /// `now`: asked for once, where many inputs come together.
    pub(super) fn handle_at(&mut self, input: Input<'_>, now: Timestamp) {
        self.hands.look.heard(&input);
        for Effect::Relist in self.watchdog.handle(input, now) {
            self.relist_at.get_or_insert_with(|| Instant::now() + RELIST_AFTER);
        }
    }

    /// When to look again by time alone. `writing`: how many writes are under way.
    pub fn wake(&mut self, now: Instant, writing: usize) -> Instant {
        let server = self.now();
        let after = |at: Timestamp| now + Duration::try_from(at.duration_since(server)).unwrap_or(Duration::ZERO);
        let due = self.watchdog.next_judged(server).map(after);
        let token = self.waiting_for_token.then(|| now + self.limit.wait(now));
        // With no token, no place or no Lease a due write has to wait for these, not for the time.
        let free = !self.waiting_for_token && writing < IN_FLIGHT && self.may_write();
        let write = self.watchdog.next_write_due().filter(|_| free).map(after);
        let job = self.next_job_at(now, server);
        let longest = now + LONGEST_SLEEP;
        [due, token, write, job, self.relist_at].into_iter().flatten().min().unwrap_or(longest).min(longest)
    }

    pub fn tick(&mut self) {
        if self.relist_at.is_some_and(|at| at <= Instant::now()) {
            self.relist_at = None;
            if self.ears.feed.is_some() {
                tracing::info!("policies have changed: reading all workflows again");
                let config = self.watch_config.clone();
                self.start_watch(config);
            }
        }
        self.look_blind();
        self.look_deaf();
        self.handle(Input::Tick);
    }

    /// Hands out writes while there are tokens.
    pub fn pump(&mut self, writes: &mut Writes) {
        self.waiting_for_token = false;
        while writes.len() < IN_FLIGHT && self.may_write() {
            let now = self.now();
            if !self.limit.take(Instant::now()) {
                let due = self.watchdog.next_write_due().is_some_and(|at| at <= now);
                self.waiting_for_token = due || self.watchdog.writes_waiting() > 0;
                return;
            }
            let Some(write) = self.watchdog.next_write(now) else {
                self.limit.give_back();
                return;
            };
            let (client, identity) = (self.clients.act.clone(), self.identity.clone());
            writes.spawn(async move {
                let result = writer::write(client, &write.op, &identity).await;
                (write.ticket, write.op, result)
            });
        }
    }

    pub(super) fn may_write(&self) -> bool {
        self.watchdog.is_leading() && self.blind.is_none() && self.ears.lease.as_ref().is_none_or(LeaseHandle::holds)
    }

    pub fn wrote(&mut self, result: Result<(Ticket, Op, Wrote), JoinError>) {
        let Ok((ticket, op, result)) = result else { return };
        self.process.wrote(&op, result);
        self.handle(Input::Wrote { ticket, result });
    }

    pub fn take_leadership(&mut self, writes: &mut Writes, jobs: &mut Jobs) {
        let Some(lease) = &self.ears.lease else { return };
        let state = lease.state();
        if state.leading == self.watchdog.is_leading() {
            return;
        }
        if state.leading {
            tracing::info!(identity = self.identity, "leading");
            self.handle(Input::Leading(Some(state.watermark)));
            self.open_locations();
            self.look_at_deletes();
        } else {
            // Nothing more under a Lease that may be another's by now (I24).
            writes.abort_all();
            jobs.abort_all();
            self.close_locations();
            tracing::warn!(holder = state.holder, "no longer leading");
            self.handle(Input::Leading(None));
            self.look_at_deletes();
        }
    }

    /// Waits for writes in flight; starts none.
    pub async fn last_writes(&mut self, mut writes: Writes) {
        let all = async {
            while let Some(result) = writes.join_next().await {
                self.wrote(result);
            }
        };
        let _ = tokio::time::timeout(Duration::from_secs(5), all).await;
    }

    /// Gives the Lease back.
    pub async fn stop(&mut self, patience: Duration) {
        if let Some(lease) = self.ears.lease.take() {
            let _ = tokio::time::timeout(patience, lease.release()).await;
        }
        tracing::info!("stopped");
    }
}
