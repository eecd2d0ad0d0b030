//! Leader election by a Lease: every write names the resourceVersion it was decided on, so of two candidates one loses.
//!
//! Expiry goes by the time at which *we* saw the record change, as client-go does: no clock of another machine is
//! trusted. The Lease carries the watermark of counted completions as an annotation.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::Client;
use kube::api::{Api, ObjectMeta, PostParams};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

/// Annotation that says what has been counted.
pub const WATERMARK: &str = "unstick.dev/completions";

#[derive(Clone, Debug)]
pub struct LeaseOptions {
    pub namespace: String,
    pub name: String,
    pub identity: String,
    pub duration: Duration,
    pub renew_deadline: Duration,
    pub retry_period: Duration,
}

/// Who leads, as far as this replica knows.
#[derive(Clone, Debug, Default)]
pub struct LeaseState {
    pub leading: bool,
    pub holder: String,
    /// The annotation found when we took over.
    pub watermark: Option<String>,
    /// Until when the last renewal is good for.
    until: Option<Instant>,
}

/// Whether a watermark has become durable.
pub type Flush = Pin<Box<dyn Future<Output = bool> + Send>>;

enum Command {
    Flush(String, oneshot::Sender<bool>),
    Release(oneshot::Sender<()>),
}

pub struct LeaseHandle {
    state: watch::Receiver<LeaseState>,
    commands: mpsc::Sender<Command>,
}

impl LeaseHandle {
    pub fn state(&self) -> LeaseState {
        self.state.borrow().clone()
    }

    /// Whether the Lease is ours at this very moment: asked right before each write (I24).
    pub fn holds(&self) -> bool {
        held(&self.state)
    }

    /// The same question, for a task of its own.
    pub fn for_others(&self) -> Holds {
        Holds(self.state.clone())
    }

    pub async fn changed(&mut self) {
        if self.state.changed().await.is_err() {
            // The task has ended: nothing will renew. What was leading has been told so.
            std::future::pending::<()>().await;
        }
    }

    /// Puts a watermark on the Lease now.
    pub fn flush(&self, mark: String) -> Flush {
        let commands = self.commands.clone();
        Box::pin(async move {
            let (tell, told) = oneshot::channel();
            let write = async {
                commands.send(Command::Flush(mark, tell)).await.ok()?;
                told.await.ok()
            };
            tokio::time::timeout(Duration::from_secs(5), write).await.ok().flatten().unwrap_or(false)
        })
    }

    /// Gives the Lease back, so that another replica needs not wait for it to expire.
    pub async fn release(self) {
        let (tell, told) = oneshot::channel();
        if self.commands.send(Command::Release(tell)).await.is_ok() {
            let _ = told.await;
        }
    }
}

/// Answers whether the Lease is ours.
#[derive(Clone)]
pub struct Holds(watch::Receiver<LeaseState>);

impl Holds {
    pub fn now(&self) -> bool {
        held(&self.0)
    }
}

fn held(state: &watch::Receiver<LeaseState>) -> bool {
    let state = state.borrow();
    state.leading && state.until.is_some_and(|until| Instant::now() < until)
}

/// Starts the election. Must be called within a tokio runtime.
pub fn start(client: Client, options: LeaseOptions) -> LeaseHandle {
    let (tell, state) = watch::channel(LeaseState::default());
    let (commands, orders) = mpsc::channel(4);
    let api = Api::namespaced(client, &options.namespace);
    let task = Election { api, options, tell, known: None, seen: None, renewed: None, expires: None, failing: false };
    tokio::spawn(task.run(orders));
    LeaseHandle { state, commands }
}

/// What to do about a Lease, given what we saw of it and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Create,
    Renew,
    TakeOver,
    Wait,
}

/// The record as last seen and the instant at which it last changed.
#[derive(Clone, Debug)]
struct Seen {
    version: String,
    at: Instant,
}

fn decide(lease: Option<&Lease>, identity: &str, seen: Option<&Seen>, now: Instant) -> Step {
    let Some(spec) = lease.map(|l| l.spec.clone().unwrap_or_default()) else { return Step::Create };
    let holder = spec.holder_identity.unwrap_or_default();
    if holder == identity {
        return Step::Renew;
    }
    if holder.is_empty() {
        return Step::TakeOver;
    }
    match seen {
        Some(seen) if now > seen.at + lasts(lease) => Step::TakeOver,
        _ => Step::Wait,
    }
}

/// How long the holder may go without renewing.
fn lasts(lease: Option<&Lease>) -> Duration {
    let seconds = lease.and_then(|l| l.spec.as_ref()?.lease_duration_seconds).unwrap_or(15);
    Duration::from_secs(u64::try_from(seconds).unwrap_or(15))
}

struct Election {
    api: Api<Lease>,
    options: LeaseOptions,
    tell: watch::Sender<LeaseState>,
    /// The Lease as we wrote it last: renewing needs no GET.
    known: Option<Lease>,
    seen: Option<Seen>,
    renewed: Option<Instant>,
    /// Another's Lease may be taken over from then on, if it stands still.
    expires: Option<Instant>,
    failing: bool,
}

impl Election {
    async fn run(mut self, mut orders: mpsc::Receiver<Command>) {
        let mut next = Instant::now();
        loop {
            tokio::select! {
                () = tokio::time::sleep_until(next) => {
                    self.turn(None).await;
                    next = self.next_look(Instant::now());
                }
                order = orders.recv() => match order {
                    Some(Command::Flush(mark, tell)) => {
                        let done = self.leading() && self.turn(Some(mark)).await;
                        next = Instant::now() + self.options.retry_period;
                        let _ = tell.send(done);
                    }
                    Some(Command::Release(tell)) => {
                        self.release().await;
                        let _ = tell.send(());
                        return;
                    }
                    None => return,
                },
            }
        }
    }

    /// After the retry period; when another's Lease expires before, right then: no second is lost at a takeover.
    fn next_look(&self, now: Instant) -> Instant {
        let next = now + self.options.retry_period;
        self.expires.map(|at| at + Duration::from_millis(1)).filter(|at| now < *at && *at < next).unwrap_or(next)
    }

    fn leading(&self) -> bool {
        self.tell.borrow().leading
    }

    /// One try to get or keep the Lease; true when it was written.
    async fn turn(&mut self, mark: Option<String>) -> bool {
        let begun = Instant::now();
        // A try that outlasts the pause between tries is given up: the deadline below must be looked at in time.
        let patience = self.options.renew_deadline / 2;
        let result = tokio::time::timeout(patience, self.attempt(mark, begun)).await;
        let written = match result {
            Ok(Ok(written)) => {
                self.failing = false;
                written
            }
            Ok(Err(error)) => {
                self.known = None;
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::warn!(%error, "the Lease can't be read or written; it is tried again");
                }
                false
            }
            Err(_) => {
                self.known = None;
                false
            }
        };
        if written {
            self.renewed = Some(begun);
            let until = begun + self.options.renew_deadline;
            self.tell.send_if_modified(|s| {
                s.until = Some(until);
                false
            });
        }
        let lost = self.renewed.is_none_or(|at| at.elapsed() >= self.options.renew_deadline);
        if lost && self.leading() {
            self.step_down(String::new());
        }
        written
    }

    /// After a conflict it looks once more, from the object itself: a leader learns at once whether it was robbed, and
    /// a watermark is not lost to somebody's edit.
    async fn attempt(&mut self, mark: Option<String>, now: Instant) -> kube::Result<bool> {
        if let Some(written) = self.once(mark.clone(), now).await? {
            return Ok(written);
        }
        Ok(self.once(mark, now).await?.unwrap_or(false))
    }

    /// Whether the Lease was written; `None` = another was faster, or touched it.
    async fn once(&mut self, mark: Option<String>, now: Instant) -> kube::Result<Option<bool>> {
        let current = match self.known.take() {
            Some(known) if self.leading() => Some(known),
            _ => self.api.get_opt(&self.options.name).await?,
        };
        let version = current.as_ref().and_then(|l| l.metadata.resource_version.clone()).unwrap_or_default();
        if self.seen.as_ref().is_none_or(|s| s.version != version) {
            self.seen = Some(Seen { version, at: now });
        }
        let holder = current.as_ref().and_then(|l| l.spec.as_ref()?.holder_identity.clone()).unwrap_or_default();
        let step = decide(current.as_ref(), &self.options.identity, self.seen.as_ref(), now);
        let standing = self.seen.as_ref().filter(|_| step == Step::Wait);
        self.expires = standing.map(|seen| seen.at + lasts(current.as_ref()));
        if step == Step::Wait {
            if self.leading() || self.tell.borrow().holder != holder {
                self.step_down(holder);
            }
            return Ok(Some(false));
        }
        let wanted = self.record(current.as_ref(), step, mark);
        let post = PostParams::default();
        let written = match step {
            Step::Create => self.api.create(&post, &wanted).await,
            _ => self.api.replace(&self.options.name, &post, &wanted).await,
        };
        match written {
            Ok(lease) => {
                let watermark = lease.metadata.annotations.as_ref().and_then(|a| a.get(WATERMARK).cloned());
                self.known = Some(lease);
                if !self.leading() {
                    let until = Some(now + self.options.renew_deadline);
                    let holder = self.options.identity.clone();
                    self.tell.send_replace(LeaseState { leading: true, holder, watermark, until });
                }
                Ok(Some(true))
            }
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn record(&self, current: Option<&Lease>, step: Step, mark: Option<String>) -> Lease {
        let old = current.and_then(|l| l.spec.clone()).unwrap_or_default();
        let now = MicroTime(jiff::Timestamp::now());
        let mut metadata = current.map_or_else(
            || ObjectMeta {
                name: Some(self.options.name.clone()),
                namespace: Some(self.options.namespace.clone()),
                ..ObjectMeta::default()
            },
            |l| l.metadata.clone(),
        );
        metadata.managed_fields = None;
        if let Some(mark) = mark {
            metadata.annotations.get_or_insert_with(BTreeMap::new).insert(WATERMARK.to_owned(), mark);
        }
        let took = step != Step::Renew;
        Lease {
            metadata,
            spec: Some(LeaseSpec {
                holder_identity: Some(self.options.identity.clone()),
                lease_duration_seconds: i32::try_from(self.options.duration.as_secs()).ok(),
                acquire_time: if took { Some(now.clone()) } else { old.acquire_time },
                renew_time: Some(now),
                lease_transitions: Some(old.lease_transitions.unwrap_or(0) + i32::from(took && current.is_some())),
                ..LeaseSpec::default()
            }),
        }
    }

    fn step_down(&self, holder: String) {
        self.tell.send_replace(LeaseState { leading: false, holder, watermark: None, until: None });
    }

    async fn release(&mut self) {
        if !self.leading() {
            return;
        }
        if let Some(mut lease) = self.known.take() {
            if let Some(spec) = &mut lease.spec {
                spec.holder_identity = Some(String::new());
                spec.lease_duration_seconds = Some(1);
            }
            lease.metadata.managed_fields = None;
            if let Err(error) = self.api.replace(&self.options.name, &PostParams::default(), &lease).await {
                tracing::debug!(%error, "the Lease could not be given back; it expires");
            }
        }
        self.step_down(String::new());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(holder: &str) -> Lease {
        Lease {
            spec: Some(LeaseSpec {
                holder_identity: Some(holder.to_owned()),
                lease_duration_seconds: Some(15),
                ..LeaseSpec::default()
            }),
            ..Lease::default()
        }
    }

    #[test]
    fn another_ones_lease_is_taken_only_after_it_stood_still_for_its_duration() {
        let start = Instant::now();
        let seen = Seen { version: "1".to_owned(), at: start };
        let after = |s| decide(Some(&lease("other")), "me", Some(&seen), start + Duration::from_secs(s));
        assert_eq!(after(0), Step::Wait);
        assert_eq!(after(15), Step::Wait);
        assert_eq!(after(16), Step::TakeOver);
    }

    #[test]
    fn a_lease_given_back_or_never_seen_is_taken_at_once() {
        let now = Instant::now();
        assert_eq!(decide(None, "me", None, now), Step::Create);
        assert_eq!(decide(Some(&lease("")), "me", None, now), Step::TakeOver);
        assert_eq!(decide(Some(&lease("me")), "me", None, now), Step::Renew);
        assert_eq!(decide(Some(&lease("other")), "me", None, now), Step::Wait, "a first look proves nothing");
    }
}
