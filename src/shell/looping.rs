//! The loop's state: the watchdog and what connects it with the cluster. Every method is short and none waits.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinError, JoinHandle, JoinSet};

use super::client::Clients;
use super::clock::MAX_SKEW;
use super::follow::{Kind, News, What, Which, follow};
use super::http::Ask;
use super::ears::Ears;
use super::lease::LeaseHandle;
use super::run::{Options, limits};
use super::watch::{Block, Fault, Feed, WatchConfig, watch};
use super::writer::{self, Limit};
use crate::api::incident::WorkflowIncident;
use crate::api::reasons::UnknownReason;
use crate::api::validate::Context;
use crate::api::watchdog::Watchdog as WatchdogObject;
use crate::api::workflow::EventKind;
use crate::metrics::{self, Process, RestartCause};
use crate::watchdog::effect::{Effect, Op, Ticket};
use crate::watchdog::input::{Input, Wrote};
use crate::watchdog::policy::PolicyKey;
use crate::watchdog::{Watchdog, admit};

/// Writes under way at once.
const IN_FLIGHT: usize = 4;
/// Least time between two watermarks for scrapes.
const FLUSH_EVERY: Duration = Duration::from_secs(1);
/// Changes of policies are gathered for this long before everything is read again.
const RELIST_AFTER: Duration = Duration::from_millis(500);
/// Never sleep longer: a clock step costs at most this.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);

pub type Writes = JoinSet<(Ticket, Op, Wrote)>;

pub struct Loop {
    watchdog: Watchdog,
    process: Process,
    clients: Clients,
    pub(super) ears: Ears,
    identity: String,
    namespace: Option<String>,
    limit: Limit,
    waiting_for_token: bool,
    tell: mpsc::Sender<News>,
    probe: mpsc::Sender<(String, bool)>,
    watch_config: WatchConfig,
    idle_limit: Duration,
    relist_at: Option<Instant>,
    listed: HashSet<Kind>,
    failing: HashMap<Kind, String>,
    /// Policies as the server has them, for when maxima or CRDs change.
    policies: HashMap<PolicyKey, Value>,
    settings: Option<WatchdogObject>,
    missing_fields: Vec<String>,
    argo_tasks: HashMap<(String, String), JoinHandle<()>>,
    last_alive: Option<Instant>,
    watch_down: Option<String>,
    blind: Option<UnknownReason>,
    scrapes: Vec<oneshot::Sender<String>>,
    flushed_at: Option<Instant>,
}

impl Loop {
    pub fn new(options: &Options, clients: Clients, lease: Option<LeaseHandle>) -> Self {
        let (tell, news) = mpsc::channel(256);
        let (probe, probes) = mpsc::channel(16);
        let mut state = Self {
            watchdog: Watchdog::new(options.config.clone(), metrics::bounds),
            process: Process::new(options.series_cap),
            ears: Ears { lease, flush: None, news, probes, feed: None },
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
            policies: HashMap::new(),
            settings: None,
            missing_fields: Vec::new(),
            argo_tasks: HashMap::new(),
            last_alive: None,
            watch_down: None,
            blind: None,
            scrapes: Vec::new(),
            flushed_at: None,
            clients,
        };
        for kind in state.kinds() {
            state.follow(kind);
        }
        state.apply_settings();
        if state.ears.lease.is_none() {
            state.handle(Input::Leading(Some(None)));
        }
        state
    }

    /// What is followed from the start: in single-namespace mode nothing of the cluster.
    fn kinds(&self) -> Vec<Kind> {
        let mut kinds = vec![Kind::Policies, Kind::Incidents, Kind::Pods];
        if self.namespace.is_none() {
            kinds.extend([Kind::ClusterPolicies, Kind::Watchdog, Kind::Namespaces]);
        }
        kinds
    }

    fn follow(&self, kind: Kind) {
        let mut which = Which { namespace: self.namespace.clone(), ..Which::default() };
        if kind == Kind::Pods {
            // Finished, and not yet acknowledged by Argo: normally none, or for a moment.
            which.labels = Some("workflows.argoproj.io/workflow,workflows.argoproj.io/completed=false");
            which.fields = Some("status.phase!=Pending,status.phase!=Running".to_owned());
        }
        follow(self.clients.watch.clone(), kind, which, self.tell.clone());
    }

    fn now(&self) -> Timestamp {
        self.clients.clock.now()
    }

    fn handle(&mut self, input: Input<'_>) {
        let now = self.now();
        for Effect::Relist in self.watchdog.handle(input, now) {
            self.relist_at.get_or_insert_with(|| Instant::now() + RELIST_AFTER);
        }
    }

    /// When to look again by time alone.
    pub fn wake(&mut self, now: Instant) -> Instant {
        let server = self.now();
        let due = self.watchdog.next_wake(server).map(|at| {
            let wait = at.duration_since(server);
            now + Duration::try_from(wait).unwrap_or(Duration::ZERO)
        });
        let token = self.waiting_for_token.then(|| now + self.limit.wait(now));
        let longest = now + LONGEST_SLEEP;
        [due, token, self.relist_at].into_iter().flatten().min().unwrap_or(longest).min(longest)
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
        self.handle(Input::Tick);
    }

    /// Hands out writes while there are tokens.
    pub fn pump(&mut self, writes: &mut Writes) {
        self.waiting_for_token = false;
        while writes.len() < IN_FLIGHT && self.may_write() {
            if !self.limit.take(Instant::now()) {
                self.waiting_for_token = self.watchdog.writes_waiting() > 0;
                return;
            }
            let now = self.now();
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

    fn may_write(&self) -> bool {
        self.watchdog.is_leading() && self.blind.is_none() && self.ears.lease.as_ref().is_none_or(LeaseHandle::holds)
    }

    pub fn wrote(&mut self, result: Result<(Ticket, Op, Wrote), JoinError>) {
        let Ok((ticket, op, result)) = result else { return };
        self.process.wrote(&op, result);
        self.handle(Input::Wrote { ticket, result });
    }

    pub fn take_leadership(&mut self, writes: &mut Writes) {
        let Some(lease) = &self.ears.lease else { return };
        let state = lease.state();
        if state.leading == self.watchdog.is_leading() {
            return;
        }
        if state.leading {
            tracing::info!(identity = self.identity, "leading");
            self.handle(Input::Leading(Some(state.watermark)));
        } else {
            // Nothing more under a Lease that may be another's by now (I24).
            writes.abort_all();
            tracing::warn!(holder = state.holder, "no longer leading");
            self.handle(Input::Leading(None));
        }
    }

    /// News of a small kind.
    pub fn told(&mut self, news: News) {
        let News { kind, what } = news;
        self.process.alive(kind.resource(), self.now());
        match what {
            What::Failed(error) => {
                if self.failing.insert(kind, error.clone()).is_none() {
                    tracing::warn!(kind = kind.resource(), error, "can't be watched; it is tried again");
                }
                self.process.restarted(RestartCause::Failed);
            }
            What::Listed => {
                self.failing.remove(&kind);
                self.process.relisted(kind.resource());
                if self.listed.insert(kind) && kind == Kind::Incidents {
                    self.handle(Input::IncidentsListed);
                }
            }
            What::Is(object) => {
                self.failing.remove(&kind);
                let types = object.types.clone();
                let mut value = serde_json::to_value(&object).unwrap_or_default();
                if types.is_none() {
                    name_kind(&mut value, kind);
                }
                self.is(kind, value);
            }
            What::Gone(object) => {
                let (namespace, name) = (object.metadata.namespace.clone(), object.metadata.name.clone().unwrap_or_default());
                self.gone(kind, namespace, name, &serde_json::to_value(&object).unwrap_or_default());
            }
        }
    }

    fn is(&mut self, kind: Kind, value: Value) {
        match kind {
            Kind::Policies | Kind::ClusterPolicies => self.policy(value),
            Kind::Namespaces => {
                let name = value["metadata"]["name"].as_str().unwrap_or_default().to_owned();
                self.handle(Input::Namespace { name, labels: Some(admit::labels(&value)) });
            }
            Kind::Watchdog => match serde_json::from_value::<WatchdogObject>(value) {
                Ok(object) => {
                    self.settings = Some(object);
                    self.apply_settings();
                }
                Err(error) => tracing::warn!(%error, "the Watchdog object can't be read; the settings stay as they were"),
            },
            Kind::Incidents => {
                let name = format!("{}/{}", value["metadata"]["namespace"], value["metadata"]["name"]);
                match serde_json::from_value::<WorkflowIncident>(value) {
                    Ok(incident) => self.handle(Input::Incident(Box::new(incident))),
                    Err(error) => {
                        self.process.poison(kind.resource());
                        tracing::warn!(name, %error, "an incident can't be read; it is left alone");
                    }
                }
            }
            Kind::Pods => {
                if let Some(pod) = admit::pod(&value) {
                    self.handle(Input::Pod(pod));
                }
            }
            Kind::Leases => {
                let text = |key: &str| value["metadata"][key].as_str().unwrap_or_default().to_owned();
                let renewed = admit::renewed(&value);
                self.handle(Input::ArgoLease { namespace: text("namespace"), name: text("name"), renewed });
            }
        }
    }

    fn gone(&mut self, kind: Kind, namespace: Option<String>, name: String, value: &Value) {
        match kind {
            Kind::Policies | Kind::ClusterPolicies => {
                let key = PolicyKey { namespace: if kind == Kind::Policies { namespace } else { None }, name };
                self.policies.remove(&key);
                self.handle(Input::PolicyGone(key));
            }
            Kind::Namespaces => self.handle(Input::Namespace { name, labels: None }),
            Kind::Watchdog => {
                self.settings = None;
                self.apply_settings();
            }
            Kind::Incidents => self.handle(Input::IncidentGone { namespace: namespace.unwrap_or_default(), name }),
            Kind::Pods => {
                if let Some(pod) = admit::pod(value) {
                    self.handle(Input::PodGone { namespace: pod.namespace, workflow: pod.workflow, pod: pod.pod });
                } else {
                    // A relist found it gone and says its name only: all are told anew.
                    self.handle(Input::PodVanished { namespace: namespace.unwrap_or_default(), pod: name });
                }
            }
            Kind::Leases => self.handle(Input::ArgoLease { namespace: namespace.unwrap_or_default(), name, renewed: None }),
        }
    }

    fn policy(&mut self, value: Value) {
        let floor = i64::from(self.watchdog.no_progress_floor());
        let tenant = value["kind"] == "WorkflowPolicy";
        let maxima = self.settings.as_ref().and_then(|s| s.spec.tenant_maxima.as_ref()).filter(|_| tenant);
        let context = Context { maxima, no_progress_floor: floor, missing_fields: &self.missing_fields };
        let Some(seen) = admit::policy(&value, &context) else { return };
        for problem in &seen.problems {
            tracing::warn!(policy = seen.origin.key.label(), %problem, "policy");
        }
        self.policies.insert(seen.origin.key.clone(), value);
        self.handle(Input::Policy(Box::new(seen)));
    }

    /// Fields the installed CRDs lack: Enforce is refused while there are any.
    pub fn crds_read(&mut self, missing: Vec<String>) {
        if self.missing_fields != missing {
            self.missing_fields = missing;
            self.admit_again();
        }
    }

    fn admit_again(&mut self) {
        for value in self.policies.values().cloned().collect::<Vec<_>>() {
            self.policy(value);
        }
    }

    fn apply_settings(&mut self) {
        let object = self.settings.clone().map(Box::new);
        self.handle(Input::Settings(object));
        self.admit_again();
        if self.namespace.is_some() {
            return;
        }
        let instances = self.watchdog.argo_instances();
        let wanted: HashMap<(String, String), _> = instances
            .iter()
            .filter(|i| !i.lease.is_empty() || !i.metrics_url.is_empty())
            .map(|i| ((i.namespace.clone(), format!("{} {}", i.lease, i.metrics_url)), i.clone()))
            .collect();
        self.argo_tasks.retain(|key, task| {
            let keep = wanted.contains_key(key);
            if !keep {
                task.abort();
            }
            keep
        });
        for (key, instance) in wanted {
            if self.argo_tasks.contains_key(&key) {
                continue;
            }
            let task = if instance.metrics_url.is_empty() {
                let which = Which {
                    namespace: Some(instance.namespace.clone()),
                    fields: Some(format!("metadata.name={}", instance.lease)),
                    labels: None,
                };
                follow(self.clients.watch.clone(), Kind::Leases, which, self.tell.clone())
            } else {
                super::argo::ask(instance.name.clone(), instance.metrics_url.clone(), self.probe.clone())
            };
            self.argo_tasks.insert(key, task);
        }
    }

    pub fn probed(&mut self, instance: String, answered: bool) {
        self.handle(Input::ArgoMetrics { instance, answered });
    }

    /// Workflows are read once everything that decides how is known.
    pub fn ready_to_watch(&self) -> bool {
        self.ears.feed.is_none() && self.kinds().into_iter().filter(|k| k.required()).all(|k| self.listed.contains(&k))
            && self.kinds().into_iter().all(|k| self.listed.contains(&k) || self.failing.contains_key(&k))
    }

    pub fn start_watch(&mut self, config: WatchConfig) {
        self.watch_config = config.clone();
        self.ears.feed = Some(watch(self.clients.watch.clone(), config));
    }

    pub fn fed(&mut self, feed: Feed) {
        match feed {
            Feed::Begin { .. } => {
                self.process.relisted("workflows");
                self.handle(Input::ListBegin);
            }
            Feed::Block(block) => {
                self.alive();
                self.block(&block);
            }
            Feed::Skipped { identity, bytes } => {
                self.process.poison("workflows");
                let whose = identity.map_or_else(|| "?".to_owned(), |i| i.to_string());
                tracing::warn!(workflow = whose, bytes, "a workflow is too large to be read; it is left out");
            }
            Feed::Synced { .. } => {
                self.alive();
                self.handle(Input::ListEnd);
                tracing::info!(workflows = self.watchdog.tracked(), "all workflows are read");
            }
            Feed::Alive => self.alive(),
            Feed::Down { fault, retry_in } => {
                self.process.restarted(cause(&fault));
                self.watch_down = Some(fault.to_string());
                tracing::warn!(%fault, retry_in_ms = u64::try_from(retry_in.as_millis()).unwrap_or(u64::MAX), "the watch of workflows broke off");
            }
        }
    }

    fn alive(&mut self) {
        self.last_alive = Some(Instant::now());
        self.watch_down = None;
        let now = self.now();
        self.process.alive("workflows", now);
        if self.blind == Some(UnknownReason::WatchStale) {
            self.look_blind();
        }
    }

    fn block(&mut self, block: &Block) {
        for event in block.events() {
            match event {
                Ok(event) => {
                    if event.workflow.oddities > 0 {
                        self.process.odd(event.workflow.oddities);
                    }
                    let input = match event.kind {
                        EventKind::Deleted => Input::WorkflowGone(&event.workflow),
                        EventKind::Added | EventKind::Modified => Input::Workflow(&event.workflow),
                    };
                    self.handle(input);
                }
                Err(poison) => {
                    self.process.poison("workflows");
                    let whose = poison.identity.map_or_else(|| "?".to_owned(), |i| i.to_string());
                    tracing::warn!(workflow = whose, bytes = poison.bytes, error = poison.error, "a workflow can't be read; the others go on");
                }
            }
        }
    }

    /// Stale or skewed: nothing is judged until that is over.
    fn look_blind(&mut self) {
        let stale = self.last_alive.is_some_and(|at| at.elapsed() > self.idle_limit + LONGEST_SLEEP);
        let skewed = self.clients.clock.skew().abs() > MAX_SKEW;
        let blind = match (stale, skewed) {
            (true, _) => Some(UnknownReason::WatchStale),
            (false, true) => Some(UnknownReason::ClockSkew),
            (false, false) => None,
        };
        if blind != self.blind {
            match blind {
                Some(reason) => tracing::error!(%reason, "nothing is judged now"),
                None => tracing::info!("judging again"),
            }
            self.blind = blind;
            self.handle(Input::Blind(blind));
        }
    }

    pub fn asked(&mut self, ask: Ask) {
        match ask {
            Ask::Alive(tell) => drop(tell.send(())),
            Ask::Ready(tell) => drop(tell.send(self.unready())),
            Ask::Metrics(tell) => {
                self.scrapes.push(tell);
                if self.ears.flush.is_some() {
                    return;
                }
                let due = self.flushed_at.is_none_or(|at| at.elapsed() >= FLUSH_EVERY);
                match (&self.ears.lease, due.then(|| self.watchdog.watermark()).flatten()) {
                    (Some(lease), Some(mark)) => {
                        self.flushed_at = Some(Instant::now());
                        self.ears.flush = Some(lease.flush(mark));
                    }
                    (None, Some(_)) => self.answer_scrapes(true),
                    _ => self.answer_scrapes(false),
                }
            }
        }
    }

    pub fn answer_scrapes(&mut self, durable: bool) {
        self.ears.flush = None;
        if durable {
            self.handle(Input::WatermarkDurable);
        }
        self.process.clock_skew = Some(self.clients.clock.skew().as_secs());
        self.clients.traffic.read(|counted| self.process.take_over(counted));
        let text = metrics::render(&self.watchdog, &self.process);
        for scrape in self.scrapes.drain(..) {
            let _ = scrape.send(text.clone());
        }
    }

    fn unready(&self) -> Vec<String> {
        let mut why = Vec::new();
        for kind in self.kinds().into_iter().filter(|k| k.required() && !self.listed.contains(k)) {
            let cause = self.failing.get(&kind).map_or(String::new(), |e| format!(": {e}"));
            why.push(format!("{} not listed yet{cause}", kind.resource()));
        }
        if !self.watchdog.is_synced() {
            let cause = self.watch_down.as_ref().map_or(String::new(), |e| format!(": {e}"));
            why.push(format!("workflows not listed yet{cause}"));
        }
        if let Some(reason) = self.blind {
            why.push(format!("nothing is judged now: {reason}"));
        }
        why
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

/// Why the watch of workflows was opened again, for the counter.
fn cause(fault: &Fault) -> RestartCause {
    match fault {
        Fault::Expired(_) => RestartCause::Expired,
        Fault::Silent(_) => RestartCause::Timeout,
        Fault::Broken(_) => RestartCause::Failed,
        Fault::Absent | Fault::Denied(_) | Fault::NoStreaming(_) | Fault::Busy { .. } | Fault::Refused { .. } => {
            RestartCause::ServerError
        }
    }
}

/// Objects of a list come without their kind.
fn name_kind(value: &mut Value, kind: Kind) {
    let name = match kind {
        Kind::Policies => "WorkflowPolicy",
        Kind::ClusterPolicies => "ClusterWorkflowPolicy",
        Kind::Watchdog => "Watchdog",
        Kind::Incidents => "WorkflowIncident",
        Kind::Namespaces => "Namespace",
        Kind::Pods => "Pod",
        Kind::Leases => "Lease",
    };
    value["kind"] = name.into();
    value["apiVersion"] = if name.starts_with('W') || name.starts_with('C') { "unstick.dev/v1alpha1" } else { "v1" }.into();
}
