//! Several programs that go the same way, kept in step: who comes to a call waits there for the others.

use std::collections::HashMap;
use std::time::Duration;

use tokio::sync::oneshot;

use super::record::Call;
use super::script::Script;

/// The places where they wait, and who stands there.
pub(super) struct Step {
    programs: usize,
    patience: Duration,
    is_place: Box<dyn Fn(&Call) -> bool + Send>,
    waiting: HashMap<String, Vec<oneshot::Sender<()>>>,
}

impl Step {
    pub fn new(programs: usize, patience: Duration, is_place: impl Fn(&Call) -> bool + Send + 'static) -> Self {
        Self { programs, patience, is_place: Box::new(is_place), waiting: HashMap::new() }
    }

    /// Whether this call has to wait, and how long at most. The last one to come sends all on their way.
    pub fn comes(&mut self, call: &Call) -> Option<(Duration, oneshot::Receiver<()>)> {
        if !(self.is_place)(call) {
            return None;
        }
        let here = self.waiting.entry(call.site()).or_default();
        here.retain(|one| !one.is_closed());
        if here.len() + 1 >= self.programs {
            // Dropped: they hear it just so.
            here.clear();
            return None;
        }
        let (teller, told) = oneshot::channel();
        here.push(teller);
        Some((self.patience, told))
    }
}

/// They go in step while this value lives. Dropped: all who wait go on.
pub struct InStep(pub(super) Script);

impl Drop for InStep {
    fn drop(&mut self) {
        self.0.end_step();
    }
}
