//! Where a program can be killed: each call of a fault-free run times the three phases.

use std::collections::BTreeMap;

use super::record::{Call, Phase};
use super::script::{Hold, Script};
use super::which::Which;

/// One place to kill.
#[derive(Clone, Debug)]
pub struct Plan {
    which: Which,
    pub phase: Phase,
    /// `s3 PUT /bucket/*.json.gz #1 Committed`
    pub name: String,
}

impl Plan {
    /// Stops the program there.
    pub fn hold(&self, script: &Script) -> Hold {
        script.hold(self.which.clone(), self.phase)
    }
}

/// The plans of a record. `site` names the place in the program that a call comes from: its path, with `*` for what is
/// another at each run; `None` leaves a call out. The n-th call of a site is a place of its own.
pub fn plans(calls: &[Call], site: impl Fn(&Call) -> Option<String>) -> Vec<Plan> {
    let mut seen: BTreeMap<(String, String, String, bool), usize> = BTreeMap::new();
    let mut plans = Vec::new();
    for call in calls {
        let Some(path) = site(call) else { continue };
        let watch = call.query.contains("watch=");
        let n = seen.entry((call.proxy.clone(), call.method.clone(), path.clone(), watch)).or_default();
        *n += 1;
        let which = Which::of(&call.method, &path).by(&call.proxy).nth(*n);
        let which = if watch { which.with_query("watch=") } else { which.without_query("watch=") };
        for phase in Phase::KILLS {
            let name = format!("{} {} {path} #{n} {phase:?}", call.proxy, call.method);
            plans.push(Plan { which: which.clone(), phase, name });
        }
    }
    plans
}
