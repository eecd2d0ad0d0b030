//! What is counted rather than looked up: counters and histograms, as plain data; the scrape renders them.

use std::collections::BTreeMap;

use super::observe::OTHER;
use crate::api::reasons::{CloseReason, DetectionType, EndedBy, SuspensionEnd};
use crate::api::workflow::{Node, Secs, codec::CodecError};

/// Why an agent's node failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FailureReason {
    ExitCode,
    OomKilled,
    DeadlineExceeded,
    PodLost,
    ImagePull,
    Stopped,
    Other,
}

impl FailureReason {
    /// Read from what Argo writes into the message of a failed pod node (`workflow/controller/operator.go`).
    pub fn of(node: &Node<'_>, stopped: bool) -> Self {
        let message = node.message.as_ref();
        let has = |text: &str| message.contains(text);
        if has("OOMKilled") {
            Self::OomKilled
        } else if has("deadline") || has("Deadline") || has("timed out") {
            Self::DeadlineExceeded
        } else if stopped || has("shutdown") || has("Stopped with strategy") {
            Self::Stopped
        } else if has("pod deleted") || has("Evicted") || has("evicted") || has("Node is") {
            Self::PodLost
        } else if has("ImagePull") || has("ErrImage") {
            Self::ImagePull
        } else if has("exit code") || has("Error (exit") {
            Self::ExitCode
        } else {
            Self::Other
        }
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ExitCode => "ExitCode",
            Self::OomKilled => "OOMKilled",
            Self::DeadlineExceeded => "DeadlineExceeded",
            Self::PodLost => "PodLost",
            Self::ImagePull => "ImagePull",
            Self::Stopped => "Stopped",
            Self::Other => "Other",
        }
    }
}

/// Counters of a policy's archive and cleanup.
const KEEPER: &[&str] = &[
    "unstick_archived_runs_total",
    "unstick_archive_failures_total",
    "unstick_archive_lost_total",
    "unstick_deleted_runs_total",
];

/// Label values of one series, in the order of the catalogue.
pub type Key = Vec<String>;

/// Families whose label values come from outside: most label sets, and the labels (by place) that become [`OTHER`]
/// beyond. First come: a series that has been shown never goes, or its rate would show a jump elsewhere. As in the
/// catalogue, which a test holds against this.
pub(crate) const FOLDS: &[(&str, usize, &[usize])] = &[
    ("unstick_workflows_completed_total", 200, &[1]),
    ("unstick_workflow_duration_seconds", 15, &[0]),
    ("unstick_workflow_pending_duration_seconds", 15, &[0]),
    ("unstick_stage_duration_seconds", 10, &[0]),
    ("unstick_suspension_duration_seconds", 8, &[0]),
    ("unstick_agent_execution_duration_seconds", 12, &[0, 1]),
    ("unstick_agent_executions_total", 100, &[0, 1, 2]),
    ("unstick_kube_requests_total", 80, &[0, 1, 2]),
];

/// The key under which a label set is counted: its own, or a folded one where the family is full.
fn admit<T>(family: &str, series: &BTreeMap<Key, T>, key: &[&str]) -> Key {
    let mut own: Key = key.iter().map(|v| (*v).to_owned()).collect();
    let Some((_, cap, places)) = FOLDS.iter().find(|(name, ..)| *name == family) else { return own };
    let is_folded = |k: &Key| places.iter().all(|i| k.get(*i).is_some_and(|v| v == OTHER));
    if !series.contains_key(&own) && series.keys().filter(|k| !is_folded(k)).count() >= *cap {
        for place in *places {
            if let Some(value) = own.get_mut(*place) {
                OTHER.clone_into(value);
            }
        }
    }
    own
}

/// Counts per bucket (not cumulative), sum and number of observations.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histogram {
    /// One per upper bound, and one for what lies beyond.
    pub buckets: Vec<u64>,
    pub sum: f64,
    pub count: u64,
}

/// All that is counted, by family name.
#[derive(Debug)]
pub struct Tally {
    pub counters: BTreeMap<&'static str, BTreeMap<Key, u64>>,
    pub histograms: BTreeMap<&'static str, BTreeMap<Key, Histogram>>,
    bounds: fn(&str) -> &'static [f64],
    /// Ends of nodes and suspensions are counted by the leader only.
    pub leading: bool,
}

impl Tally {
    /// `bounds`: the upper bounds of a histogram family, from the catalogue.
    pub fn new(bounds: fn(&str) -> &'static [f64]) -> Self {
        Self { counters: BTreeMap::new(), histograms: BTreeMap::new(), bounds, leading: false }
    }

    pub fn add(&mut self, family: &'static str, key: &[&str], n: u64) {
        let series = self.counters.entry(family).or_default();
        *series.entry(admit(family, series, key)).or_default() += n;
    }

    pub fn observe(&mut self, family: &'static str, key: &[&str], value: f64) {
        let bounds = (self.bounds)(family);
        let series = self.histograms.entry(family).or_default();
        let histogram = series.entry(admit(family, series, key)).or_default();
        histogram.buckets.resize(bounds.len() + 1, 0);
        let place = bounds.iter().position(|b| value <= *b).unwrap_or(bounds.len());
        if let Some(bucket) = histogram.buckets.get_mut(place) {
            *bucket += 1;
        }
        histogram.sum += value;
        histogram.count += 1;
    }

    pub fn counter(&self, family: &str, key: &[&str]) -> u64 {
        let series = self.counters.get(family);
        series.and_then(|s| s.iter().find(|(k, _)| k.iter().eq(key.iter()))).map_or(0, |(_, n)| *n)
    }

    pub fn suspension_ended(&mut self, namespace: &str, point: &str, end: SuspensionEnd, seconds: Secs) {
        if self.leading {
            self.add("unstick_suspensions_ended_total", &[namespace, end.as_str()], 1);
            self.observe("unstick_suspension_duration_seconds", &[point], f64::from(seconds));
        }
    }

    pub fn stage_ended(&mut self, stage: &str, seconds: Secs) {
        if self.leading {
            self.observe("unstick_stage_duration_seconds", &[stage], f64::from(seconds));
        }
    }

    pub fn agent_ended(
        &mut self,
        namespace: &str,
        agent: &str,
        stage: &str,
        failure: Option<FailureReason>,
        seconds: Secs,
    ) {
        if self.leading {
            self.observe("unstick_agent_execution_duration_seconds", &[agent, stage], f64::from(seconds));
            let (result, why) = failure.map_or(("Success", ""), |f| ("Failure", f.as_str()));
            self.add("unstick_agent_executions_total", &[namespace, agent, stage, result, why], 1);
        }
    }

    pub fn completed(&mut self, namespace: &str, kind: &str, phase: &str, by: EndedBy, seconds: Secs) {
        self.add("unstick_workflows_completed_total", &[namespace, kind, phase, by.as_str()], 1);
        self.observe("unstick_workflow_duration_seconds", &[kind], f64::from(seconds));
    }

    pub fn started(&mut self, kind: &str, pending: Secs) {
        if self.leading {
            self.observe("unstick_workflow_pending_duration_seconds", &[kind], f64::from(pending));
        }
    }

    pub fn detected(&mut self, policy: &str, kind: DetectionType) {
        self.add("unstick_stuck_detections_total", &[policy, kind.as_str()], 1);
    }

    /// Every counter of a policy is there at 0 before anything happens.
    pub fn policy_seen(&mut self, policy: &str) {
        for kind in DetectionType::ALL {
            self.add("unstick_stuck_detections_total", &[policy, kind.as_str()], 0);
        }
    }

    /// A policy with archive or cleanup counts from 0.
    pub fn keeper_seen(&mut self, policy: &str) {
        for family in KEEPER {
            self.add(family, &[policy], 0);
        }
    }

    pub fn policy_gone(&mut self, policy: &str) {
        for family in KEEPER.iter().chain(&["unstick_stuck_detections_total"]) {
            if let Some(series) = self.counters.get_mut(family) {
                series.retain(|key, _| key.first().is_none_or(|p| p != policy));
            }
        }
    }

    pub fn lag(&mut self, seconds: f64) {
        self.observe("unstick_detection_lag_seconds", &[], seconds);
    }

    pub fn incident_closed(&mut self, reason: CloseReason) {
        self.add("unstick_incidents_closed_total", &[reason.as_str()], 1);
    }

    pub fn undecodable(&mut self, error: CodecError) {
        let cause = match error {
            CodecError::NotBase64 | CodecError::Corrupt => "Corrupt",
            CodecError::TooLarge => "TooLarge",
        };
        self.add("unstick_nodes_undecodable_total", &[cause], 1);
    }

    /// How often that was, whatever the cause.
    pub fn undecodable_nodes(&self) -> u64 {
        self.counters.get("unstick_nodes_undecodable_total").map_or(0, |series| series.values().sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_family_folds_what_comes_later_and_loses_nothing() {
        let mut tally = Tally::new(|_| &[]);
        for i in 0..300 {
            tally.completed("etl", &format!("type-{:03}", 299 - i), "Failed", EndedBy::Own, 1);
        }
        tally.completed("etl", "type-299", "Failed", EndedBy::Own, 1);
        let family = "unstick_workflows_completed_total";
        assert_eq!(tally.counter(family, &["etl", "type-299", "Failed", "Own"]), 2, "the first come stay");
        assert_eq!(tally.counter(family, &["etl", "other", "Failed", "Own"]), 100);
        assert_eq!(tally.counter(family, &["etl", "type-000", "Failed", "Own"]), 0);
        assert_eq!(tally.histograms["unstick_workflow_duration_seconds"].len(), 16);
        let all: u64 = tally.histograms["unstick_workflow_duration_seconds"].values().map(|h| h.count).sum();
        assert_eq!(all, 301);
    }
}
