//! What was asked of this server, in the words of kube-apiserver's audit log.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Requests since the start or the last reset. The control paths and the server's own load are not counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Requests {
    /// By `verb resource[/subresource]`: `watch workflows`, `create events`, `patch workflowincidents/status`.
    pub counts: BTreeMap<String, u64>,
    /// Creates, updates, patches and deletes, leases excepted: milliseconds since the server's start.
    pub writes: Vec<u64>,
}

/// At most so many instants of writes are kept.
const MOST_WRITES: usize = 200_000;

impl Requests {
    pub(super) fn count(&mut self, verb: &str, resource: &str, millis: u64) {
        *self.counts.entry(format!("{verb} {resource}")).or_default() += 1;
        let writes = matches!(verb, "create" | "update" | "patch" | "delete") && !resource.starts_with("self");
        if writes && resource != "leases" && self.writes.len() < MOST_WRITES {
            self.writes.push(millis);
        }
    }

    /// How often that was asked.
    pub fn of(&self, call: &str) -> u64 {
        self.counts.get(call).copied().unwrap_or(0)
    }

    /// Sum over the calls that `wanted` picks by (verb, resource).
    pub fn sum(&self, wanted: impl Fn(&str, &str) -> bool) -> u64 {
        let picks = |call: &str| call.split_once(' ').is_some_and(|(verb, resource)| wanted(verb, resource));
        self.counts.iter().filter(|(call, _)| picks(call)).map(|(_, n)| n).sum()
    }

    /// The most writes in any window of that length.
    pub fn most_writes_in(&self, millis: u64) -> usize {
        let mut most = 0;
        let mut first = 0;
        for (last, at) in self.writes.iter().enumerate() {
            while self.writes[first] + millis <= *at {
                first += 1;
            }
            most = most.max(last + 1 - first);
        }
        most
    }
}
