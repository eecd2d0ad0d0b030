//! Health of Argo's controllers, one per instance that the Watchdog object lists (API.md section 2).
//!
//! Down: the Lease is there but has not been renewed for 60 s, or the metrics address has failed for 60 s. Neither
//! Lease nor address: Unknown, everything is detected and nothing acted upon. A controller that is down is one loud
//! signal, not a thousand stuck workflows (I14). Nor are those it finds when it is back: it is given time to catch up.

use super::facts::Facts;
use super::intern::label;
use crate::api::reasons::ArgoState;
use crate::api::watchdog::ArgoInstance;
use crate::api::workflow::Secs;

/// Without a sign of life for this long an instance is down.
pub const SILENCE: Secs = 60;
/// A controller that is back takes up what has waited for it. At Argo's own 20 requests a second that is thousands of
/// workflows; until then nothing that only waited is called stuck.
pub const CATCH_UP: Secs = 300;
const INSTANCE_LABEL: &str = "workflows.argoproj.io/controller-instanceid";

#[derive(Clone, Debug)]
pub struct Instance {
    pub spec: ArgoInstance,
    /// Last renewal of the Lease; `None` = there is no Lease.
    lease: Option<Secs>,
    /// Last good answer of the metrics address; `None` = not asked.
    metrics: Option<Secs>,
    pub state: ArgoState,
    pub since: Secs,
    /// Until when it takes up what waited while it was down; 0 = it has.
    catching_up: Secs,
}

#[derive(Clone, Debug, Default)]
pub struct ArgoHealth {
    instances: Vec<Instance>,
}

impl ArgoHealth {
    /// Takes the list of the Watchdog object; what is known of unchanged instances stays.
    pub fn set(&mut self, specs: &[ArgoInstance], now: Secs) {
        let old = std::mem::take(&mut self.instances);
        self.instances = specs
            .iter()
            .map(|spec| match old.iter().find(|o| o.spec == *spec) {
                Some(known) => known.clone(),
                None => Instance {
                    spec: spec.clone(),
                    lease: None,
                    metrics: None,
                    state: ArgoState::Unknown,
                    since: now,
                    catching_up: 0,
                },
            })
            .collect();
    }

    pub fn instances(&self) -> &[Instance] {
        &self.instances
    }

    /// The Lease as last seen; `renewed` is its own time, `None` when it is not there.
    pub fn lease(&mut self, namespace: &str, name: &str, renewed: Option<Secs>) {
        for i in self.instances.iter_mut().filter(|i| i.spec.namespace == namespace && i.spec.lease == name) {
            i.lease = renewed;
        }
    }

    /// The metrics address has answered (or was asked for the first time).
    pub fn metrics(&mut self, instance: &str, answered: bool, now: Secs) {
        for i in self.instances.iter_mut().filter(|i| i.spec.name == instance) {
            if answered || i.metrics.is_none() {
                i.metrics = Some(now);
            }
        }
    }

    /// Judges every instance; true when workflows are to be judged anew.
    pub fn judge(&mut self, now: Secs) -> bool {
        let mut changed = false;
        for i in &mut self.instances {
            if i.since == 0 {
                i.since = now;
            }
            let alive = |sign: Option<Secs>| sign.map(|at| at.saturating_add(SILENCE) > now);
            let state = match (alive(i.lease), alive(i.metrics)) {
                (Some(false), _) | (_, Some(false)) => ArgoState::Down,
                (Some(true), _) | (_, Some(true)) => ArgoState::Up,
                (None, None) => ArgoState::Unknown,
            };
            if i.catching_up != 0 && i.catching_up <= now {
                i.catching_up = 0;
                changed = true;
            }
            if state != i.state {
                i.catching_up = if i.state == ArgoState::Down { now.saturating_add(CATCH_UP) } else { 0 };
                i.state = state;
                i.since = now;
                changed = true;
            }
        }
        changed
    }

    /// When a silence turns into Down, or a controller has caught up.
    pub fn next(&self, now: Secs) -> Option<Secs> {
        let signs = self.instances.iter().flat_map(|i| [i.lease, i.metrics]).flatten();
        let caught_up = self.instances.iter().map(|i| i.catching_up);
        signs.map(|at| at.saturating_add(SILENCE)).chain(caught_up).filter(|at| *at > now).min()
    }

    /// Whether any instance serves this workflow.
    pub fn lists(&self, facts: &Facts) -> bool {
        self.serving_instance(facts).is_some()
    }

    /// State of the controller that serves this workflow; `None` when none is listed for it.
    pub fn serving(&self, facts: &Facts) -> Option<ArgoState> {
        self.serving_instance(facts).map(|i| i.state)
    }

    /// Whether the controller that serves this workflow is down or only just back, so that standing still proves nothing.
    pub fn excuses(&self, facts: &Facts) -> bool {
        self.serving_instance(facts).is_some_and(|i| i.state == ArgoState::Down || i.catching_up != 0)
    }

    fn serving_instance(&self, facts: &Facts) -> Option<&Instance> {
        let id = instance_of(facts);
        self.instances.iter().find(|i| i.spec.instance_id == id)
    }

    /// All instances in one word: `Up`, or those that are not, by name.
    pub fn in_words(&self) -> String {
        let not_up: Vec<_> = self.instances.iter().filter(|i| i.state != ArgoState::Up).collect();
        if not_up.is_empty() {
            return "Up".to_owned();
        }
        let each: Vec<_> = not_up.iter().take(3).map(|i| format!("{} {}", i.spec.name, i.state)).collect();
        if self.instances.len() == 1 {
            not_up.first().map_or_else(String::new, |i| i.state.to_string())
        } else {
            each.join(", ")
        }
    }
}

/// The instance id that a workflow is marked with; empty = none.
pub fn instance_of(facts: &Facts) -> &str {
    label(&facts.labels, INSTANCE_LABEL).unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::watchdog::WatchdogSpec;

    fn health() -> ArgoHealth {
        let mut health = ArgoHealth::default();
        health.set(&WatchdogSpec::default().argo, 1000);
        health
    }

    #[test]
    fn down_needs_a_lease_that_was_there() {
        let mut h = health();
        assert!(!h.judge(5000));
        assert_eq!(h.instances()[0].state, ArgoState::Unknown, "no lease, no address: nothing is known");
        h.lease("argo", "workflow-controller", Some(5000));
        h.judge(5059);
        assert_eq!((h.in_words().as_str(), h.next(5059)), ("Up", Some(5060)));
        h.judge(5060);
        assert_eq!(h.in_words(), "Down");
        h.lease("argo", "workflow-controller", None);
        h.judge(5061);
        assert_eq!(h.in_words(), "Unknown");
    }

    #[test]
    fn a_controller_that_is_back_catches_up() {
        let mut h = health();
        let facts = Facts::default();
        let renewed = |h: &mut ArgoHealth, at: Secs| {
            h.lease("argo", "workflow-controller", Some(at));
            h.judge(at)
        };
        renewed(&mut h, 5000);
        assert!(!h.excuses(&facts), "met alive, it owes nothing");
        h.judge(5060);
        assert!(h.excuses(&facts), "down");
        assert!(renewed(&mut h, 6000) && h.excuses(&facts));
        assert_eq!(h.in_words(), "Up");
        for at in (6010..6300).step_by(10) {
            assert!(!renewed(&mut h, at) && h.excuses(&facts), "{at}");
        }
        assert_eq!(h.next(6290), Some(6300));
        assert!(renewed(&mut h, 6300) && !h.excuses(&facts));
    }

    #[test]
    fn a_failing_address_is_down_though_the_lease_is_fresh() {
        let mut h = health();
        h.lease("argo", "workflow-controller", Some(9000));
        h.metrics("default", false, 1000);
        h.judge(1061);
        assert_eq!(h.in_words(), "Down");
        h.metrics("default", true, 1062);
        h.judge(1063);
        assert_eq!(h.in_words(), "Up");
    }
}
