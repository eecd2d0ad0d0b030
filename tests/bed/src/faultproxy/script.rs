//! What shall happen to which call, and the record of what did; shared by the proxies that play it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use tokio::sync::{mpsc, oneshot, watch};

use super::door::Door;
use super::fault::Fault;
use super::record::{Call, Phase};
use super::step::{InStep, Step};
use super::which::Which;

/// Rules, holds and the record. A clone is the same script. A program under test has one of its own, however many proxies
/// stand around it.
#[derive(Clone, Default)]
pub struct Script(Arc<Mutex<Inside>>);

#[derive(Default)]
struct Inside {
    calls: Vec<Call>,
    next_order: usize,
    rules: Vec<Entry>,
    next_rule: u64,
    doors: Vec<Arc<Door>>,
    /// While a call stands after its reply, all that arrive wait for the word on it.
    frozen: Option<watch::Receiver<Option<Go>>>,
    step: Option<Step>,
}

struct Entry {
    id: u64,
    which: Which,
    deed: Deed,
    seen: usize,
    struck: usize,
}

enum Deed {
    Fault(Fault),
    Hold(Phase, mpsc::UnboundedSender<Standing>),
}

/// What becomes of a call that was held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Go {
    Proceed,
    Abandon,
}

/// What one call has before it.
#[derive(Default)]
pub(super) struct Fate {
    pub fault: Option<Fault>,
    pub holds: Vec<(Phase, mpsc::UnboundedSender<Standing>)>,
}

impl Fate {
    pub fn hold_at(&self, phase: Phase) -> Option<&mpsc::UnboundedSender<Standing>> {
        self.holds.iter().find(|(at, _)| *at == phase).map(|(_, teller)| teller)
    }
}

impl Script {
    pub fn new() -> Self {
        Self::default()
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on `fault` strikes the calls that `which` names. Of several rules for one call the oldest strikes.
    pub fn add(&self, which: Which, fault: impl Into<Fault>) -> Rule {
        Rule { id: self.enter(which, Deed::Fault(fault.into())), script: self.clone() }
    }

    /// Calls that `which` names stop at `phase` until the test lets them go. Ends with the value.
    pub fn hold(&self, which: Which, phase: Phase) -> Hold {
        let (teller, told) = mpsc::unbounded_channel();
        let id = self.enter(which, Deed::Hold(phase, teller));
        Hold { rule: Rule { id, script: self.clone() }, told }
    }

    fn enter(&self, which: Which, deed: Deed) -> u64 {
        let mut inside = self.inside();
        inside.next_rule += 1;
        let id = inside.next_rule;
        inside.rules.push(Entry { id, which, deed, seen: 0, struck: 0 });
        id
    }

    /// All faults and holds end, refused connections are taken again. What stands in a hold stands there still.
    pub fn clear(&self) {
        let mut inside = self.inside();
        inside.rules.clear();
        for door in &inside.doors {
            door.open();
        }
    }

    /// So many programs come to the same calls (method and path), where `is_place` says so, together: the first waits for
    /// the others, as long as `patience` lasts. Ends with the value.
    pub fn in_step(
        &self,
        programs: usize,
        patience: Duration,
        is_place: impl Fn(&Call) -> bool + Send + 'static,
    ) -> InStep {
        self.inside().step = Some(Step::new(programs, patience, is_place));
        InStep(self.clone())
    }

    pub(super) fn end_step(&self) {
        self.inside().step = None;
    }

    /// Returns when the others are here too, at once for a call where nobody waits.
    pub(super) async fn together(&self, call: &Call) {
        let wait = self.inside().step.as_mut().and_then(|step| step.comes(call));
        if let Some((patience, told)) = wait {
            let _ = tokio::time::timeout(patience, told).await;
        }
    }

    /// Every call since the start or the last [`Script::forget`].
    pub fn calls(&self) -> Vec<Call> {
        self.inside().calls.clone()
    }

    /// The record begins anew; calls under way are lost to it.
    pub fn forget(&self) {
        self.inside().calls.clear();
    }

    /// For messages: the last calls, oldest first.
    pub fn tail(&self, calls: usize) -> String {
        let inside = self.inside();
        let from = inside.calls.len().saturating_sub(calls);
        let lines: Vec<String> = inside.calls[from..].iter().map(|call| format!("  {}", call.line())).collect();
        lines.join("\n")
    }

    pub(super) fn knows(&self, door: &Arc<Door>) {
        self.inside().doors.push(Arc::clone(door));
    }

    /// A call has arrived: it is on record, and this is what it has before it.
    pub(super) fn arrived(&self, make: impl FnOnce(usize) -> Call) -> (Call, Fate) {
        let mut inside = self.inside();
        let mut call = make(inside.next_order);
        inside.next_order += 1;
        let mut fate = Fate::default();
        for entry in &mut inside.rules {
            if !entry.which.matches(&call) {
                continue;
            }
            entry.seen += 1;
            if !entry.which.is_turn(entry.seen - 1) {
                continue;
            }
            match &entry.deed {
                Deed::Fault(fault) if fate.fault.is_none() => {
                    entry.struck += 1;
                    call.fault = Some(format!("{fault:?}").chars().take(60).collect());
                    fate.fault = Some(fault.clone());
                }
                Deed::Fault(_) => {}
                Deed::Hold(phase, teller) => {
                    entry.struck += 1;
                    fate.holds.push((*phase, teller.clone()));
                }
            }
        }
        inside.calls.push(call.clone());
        (call, fate)
    }

    /// Writes what is now known of a call.
    pub(super) fn note(&self, order: usize, change: impl FnOnce(&mut Call)) {
        let mut inside = self.inside();
        if let Ok(at) = inside.calls.binary_search_by_key(&order, |call| call.order) {
            change(&mut inside.calls[at]);
        }
    }

    pub(super) fn call(&self, order: usize) -> Option<Call> {
        let inside = self.inside();
        inside.calls.binary_search_by_key(&order, |call| call.order).ok().map(|at| inside.calls[at].clone())
    }

    /// Everything that arrives waits for the word that the sender gives.
    pub(super) fn freeze(&self) -> watch::Sender<Option<Go>> {
        let (word, waiting) = watch::channel(None);
        self.inside().frozen = Some(waiting);
        word
    }

    pub(super) fn thaw(&self) {
        self.inside().frozen = None;
    }

    /// Returns at once unless a call stands after its reply.
    pub(super) async fn unfrozen(&self) -> Go {
        let Some(mut waiting) = self.inside().frozen.clone() else { return Go::Proceed };
        match waiting.wait_for(Option::is_some).await {
            Ok(word) => word.unwrap_or(Go::Abandon),
            Err(_) => Go::Abandon,
        }
    }
}

/// A fault that was added. It stays when this value is dropped.
pub struct Rule {
    id: u64,
    script: Script,
}

impl Rule {
    /// How many calls it has struck.
    pub fn struck(&self) -> usize {
        self.script.inside().rules.iter().find(|entry| entry.id == self.id).map_or(0, |entry| entry.struck)
    }

    /// The fault ends; refused connections are taken again. Returns how many calls it has struck.
    pub fn remove(self) -> usize {
        let mut inside = self.script.inside();
        let Some(at) = inside.rules.iter().position(|entry| entry.id == self.id) else { return 0 };
        let entry = inside.rules.remove(at);
        if matches!(entry.deed, Deed::Fault(Fault::Refuse)) {
            for door in &inside.doors {
                door.open();
            }
        }
        entry.struck
    }
}

/// A place where calls stop. Dropped: no further call stops there.
pub struct Hold {
    rule: Rule,
    told: mpsc::UnboundedReceiver<Standing>,
}

impl Hold {
    /// Waits until a call stands there.
    pub async fn reached(&mut self, limit: Duration) -> Result<Standing> {
        match tokio::time::timeout(limit, self.told.recv()).await {
            Ok(Some(standing)) => Ok(standing),
            Ok(None) => bail!("the script was cleared"),
            Err(_) => bail!("no call came there in {limit:?}; the last calls:\n{}", self.rule.script.tail(20)),
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.rule.script.inside().rules.retain(|entry| entry.id != self.rule.id);
    }
}

/// A call that is held. Dropped: abandoned.
#[derive(Debug)]
pub struct Standing {
    pub call: Call,
    word: Option<oneshot::Sender<Go>>,
}

impl Standing {
    pub(super) fn new(call: Call) -> (Self, oneshot::Receiver<Go>) {
        let (word, heard) = oneshot::channel();
        (Self { call, word: Some(word) }, heard)
    }

    /// It goes on as if nothing had been.
    pub fn proceed(mut self) -> Result<()> {
        let word = self.word.take().ok_or_else(|| anyhow!("it was let go already"))?;
        word.send(Go::Proceed).map_err(|_| anyhow!("the client is gone: {}", self.call.line()))
    }

    /// Its connection is closed, it goes nowhere; so do the calls that waited behind it.
    pub fn abandon(mut self) {
        if let Some(word) = self.word.take() {
            let _ = word.send(Go::Abandon);
        }
    }
}
