//! Changes at a steady rate, made by the server itself as Argo's controller would.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::time::{Instant, sleep, sleep_until};

use super::entry::{Body, Entry};
use super::kinds::WORKFLOWS;
use super::server::Shared;
use super::store::Store;
use crate::corpus::{Corpus, Look};

/// What to do, and how fast.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub enum Load {
    /// `count` workflows, one after the other, make a step: one MODIFIED each.
    Modify { rate: f64, count: u64 },
    /// Each step finishes a running workflow, creates a new one and deletes one that finished earlier.
    Churn { rate: f64, count: u64 },
    /// Renews the Lease `name` as the leader of Argo's controllers does, until the server ends.
    RenewLease { namespace: String, name: String, every_seconds: u64 },
}

/// How far `Modify` and `Churn` have come, all together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    pub asked: u64,
    pub done: u64,
}

pub async fn run(shared: Arc<Shared>, load: Load) {
    match load {
        Load::Modify { rate, count } => {
            let mut steps = Steps::new(&shared);
            paced(&shared, rate, count, |store, history| steps.modify(store, history, false)).await;
        }
        Load::Churn { rate, count } => {
            let mut steps = Steps::new(&shared);
            paced(&shared, rate, count, |store, history| steps.churn(store, history)).await;
        }
        Load::RenewLease { namespace, name, every_seconds } => loop {
            let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string();
            let lease = json!({
                "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"namespace": namespace, "name": name},
                "spec": {"holderIdentity": "workflow-controller-0", "leaseDurationSeconds": 15, "renewTime": now},
            });
            let _ = shared.put(&lease);
            sleep(Duration::from_secs(every_seconds.max(1))).await;
        },
    }
}

/// Calls `step` so often that `rate` a second is kept even when a call was late.
async fn paced(shared: &Arc<Shared>, rate: f64, count: u64, mut step: impl FnMut(&mut Store, usize)) {
    shared.update_progress(|p| p.asked += count);
    let begun = Instant::now();
    let gap = Duration::from_secs_f64(1.0 / rate.max(0.001));
    for n in 0..count {
        sleep_until(begun + gap.saturating_mul(u32::try_from(n).unwrap_or(u32::MAX))).await;
        let _ = shared.change(WORKFLOWS, |store, history| {
            step(store, history);
            Ok(())
        });
        shared.update_progress(|p| p.done += 1);
        // Behind its time `sleep_until` returns at once: connections must get their turn all the same.
        tokio::task::yield_now().await;
    }
}

/// Walks over the corpus.
struct Steps {
    corpus: Arc<Corpus>,
    next: u32,
    /// Where new workflows begin.
    fresh: u32,
    finished: std::collections::VecDeque<u32>,
}

impl Steps {
    fn new(shared: &Shared) -> Self {
        let corpus = shared.corpus();
        Self { fresh: corpus.count, corpus, next: 0, finished: std::collections::VecDeque::new() }
    }

    fn modify(&mut self, store: &mut Store, history: usize, finish: bool) {
        for _ in 0..self.corpus.count {
            let index = self.next % self.corpus.count.max(1);
            // A stride without common divisors visits all of them in an order that isn't that of the list.
            self.next = self.next.wrapping_add(7_919) % self.corpus.count.max(1);
            let s = self.corpus.specimen(index);
            let Some(current) = store.get(WORKFLOWS, &(s.namespace, s.name)) else { continue };
            let Body::Generated { look, .. } = current.body else { continue };
            if look.finished {
                continue;
            }
            let look = Look { revision: look.revision + 1, at: Timestamp::now().as_second(), finished: finish };
            let version = store.advance();
            store.put(WORKFLOWS, Entry::generated(&self.corpus, index, look, version), history);
            if finish {
                self.finished.push_back(index);
            }
            return;
        }
    }

    fn churn(&mut self, store: &mut Store, history: usize) {
        self.modify(store, history, true);
        let look = Look { revision: 1, at: Timestamp::now().as_second(), finished: false };
        let version = store.advance();
        store.put(WORKFLOWS, Entry::generated(&self.corpus, self.fresh, look, version), history);
        self.fresh += 1;
        if self.finished.len() > 100
            && let Some(index) = self.finished.pop_front()
        {
            let look = Look { revision: 9, at: Timestamp::now().as_second(), finished: true };
            let version = store.advance();
            store.remove(WORKFLOWS, Entry::generated(&self.corpus, index, look, version), history);
        }
    }
}
