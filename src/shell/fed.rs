//! What the watch of workflows brings: blocks are read here, event by event, and given to the watchdog.

use std::time::Instant;

use super::clock::MAX_SKEW;
use super::looping::{LONGEST_SLEEP, Loop};
use super::named::{Wrong, whose};
use super::watch::{Block, Fault, Feed, WatchConfig, watch};
use crate::api::reasons::UnknownReason;
use crate::api::workflow::{EventKind, Identity, Nodes, Workflow};
use crate::metrics::RestartCause;
use crate::watchdog::input::Input;

impl Loop {
    /// Workflows are read once everything that decides how is known.
    pub fn ready_to_watch(&self) -> bool {
        self.ears.feed.is_none()
            && self.kinds().into_iter().filter(|k| k.required()).all(|k| self.listed.contains(&k))
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
                self.unread(identity.as_ref(), bytes, "it is too large");
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
        let now = self.now();
        for event in block.events() {
            match event {
                Ok(event) => {
                    let workflow = &event.workflow;
                    if workflow.oddities > 0 {
                        self.odd(workflow);
                    }
                    let packed = matches!(workflow.status.nodes, Nodes::Compressed(_));
                    let before = if packed { self.watchdog.tally.undecodable_nodes() } else { 0 };
                    let input = match event.kind {
                        EventKind::Deleted => Input::WorkflowGone(workflow),
                        EventKind::Added | EventKind::Modified => Input::Workflow(workflow),
                    };
                    self.handle_at(input, now);
                    if packed && before != self.watchdog.tally.undecodable_nodes() {
                        self.undecodable(workflow);
                    }
                }
                Err(poison) => {
                    self.unread(poison.identity.as_deref(), poison.bytes as u64, &poison.error);
                }
            }
        }
    }

    /// A workflow that is there and can't be read: it is not swept away, and the others go on.
    fn unread(&mut self, identity: Option<&Identity>, bytes: u64, error: &str) {
        self.process.poison("workflows");
        if let Some(identity) = identity {
            self.handle(Input::WorkflowUnreadable { uid: &identity.uid });
        }
        let whose = identity.map_or_else(|| "?".to_owned(), ToString::to_string);
        if self.named.first(&whose, Wrong::Unread, Instant::now()) {
            tracing::warn!(workflow = whose, bytes, error, "a workflow can't be read; the others go on");
        }
    }

    fn odd(&mut self, workflow: &Workflow<'_>) {
        self.process.odd(workflow.oddities);
        let (whose, fields) = (whose(&workflow.meta), workflow.oddities);
        if self.named.first(&whose, Wrong::Odd, Instant::now()) {
            tracing::warn!(workflow = whose, fields, "fields of a type that Argo never writes are taken as absent");
        }
    }

    fn undecodable(&mut self, workflow: &Workflow<'_>) {
        let whose = whose(&workflow.meta);
        if self.named.first(&whose, Wrong::Undecodable, Instant::now()) {
            tracing::warn!(workflow = whose, "its compressed nodes can't be decoded; what needs them isn't judged");
        }
    }

    /// Stale or skewed: nothing is judged until that is over.
    pub(super) fn look_blind(&mut self) {
        let stale = self.last_alive.is_some_and(|at| at.elapsed() > self.idle_limit + LONGEST_SLEEP);
        let skewed = self.clients.clock.skew().abs() > MAX_SKEW;
        let blind = match (stale, skewed) {
            (true, _) => Some(UnknownReason::WatchStale),
            (false, true) => Some(UnknownReason::ClockSkew),
            (false, false) => None,
        };
        if blind != self.blind {
            if let Some(reason) = blind {
                tracing::error!(%reason, "nothing is judged now");
            } else {
                tracing::info!("judging again");
            }
            self.blind = blind;
            self.handle(Input::Blind(blind));
        }
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
