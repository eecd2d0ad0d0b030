//! One look at everything: the rows of `stuck`, the lines of `explain`, in the words of events and incidents.

use jiff::Timestamp;

use super::detect::locks;
use super::diagnosis::{Around, Hold, State, diagnose, look};
use super::facts::{Facts, Phase};
use super::index::{Cover, Slot};
use super::policy::Policy;
use super::report::{Check, Explanation, Finding, Governing, Holding, Standing, Totals, Verdict};
use super::words::{Scene, span};
use super::{Watchdog, instant, secs};
use crate::api::reasons::{DetectionType, Reason, UnknownReason};
use crate::api::workflow::Secs;

/// What this version does about a stuck run.
pub const NEXT: &str = "nothing (observes only)";

/// A hold with its words.
pub fn holding(scene: &Scene<'_>, policy: &Policy, hold: &Hold) -> Holding {
    let node = hold.node.and_then(|id| scene.facts.active_node(id));
    Holding {
        name: policy.detections.get(usize::from(hold.detection)).map_or_else(String::new, |d| d.name.clone()),
        kind: hold.kind,
        reason: hold.reason,
        since: instant(hold.since),
        node: node.map_or_else(String::new, |n| n.display.to_string()),
        message: super::project::cut(&scene.message(hold)).to_owned(),
    }
}

impl Watchdog {
    /// What the index is expected to hold; the whole cluster unless said otherwise.
    pub fn set_cover(&mut self, cover: Cover) {
        self.index.set_cover(cover);
    }

    /// The server said that this workflow does not exist.
    pub fn note_absent(&mut self, namespace: &str, name: &str) {
        self.index.note_absent(namespace, name);
    }

    /// Every stuck run.
    pub fn findings(&self) -> Vec<Finding> {
        let rows = self.stuck.iter().filter_map(|(slot, stuck)| {
            let (facts, policy) = (self.index.get(*slot)?, self.policies.get(stuck.policy)?);
            let scene = Scene { facts, index: &self.index, pods: &self.pods };
            Some(Finding {
                namespace: facts.namespace.to_string(),
                name: facts.name().to_owned(),
                uid: facts.uid_text(),
                started_at: started(facts),
                policy: policy.label.to_string(),
                mode: policy.mode.to_string(),
                next: NEXT.to_owned(),
                detections: stuck.holds().iter().map(|h| holding(&scene, policy, h)).collect(),
            })
        });
        rows.collect()
    }

    /// Holders of locks that are not in the index and not known to be absent.
    pub fn wanted(&self) -> Vec<(String, String)> {
        let mut wanted: Vec<_> = self
            .index
            .iter()
            .flat_map(|(_, f)| f.waiting())
            .flat_map(|l| &l.holders)
            .filter(|(ns, name)| locks::holder(&self.index, ns, name).is_none() && !self.index.knows_absent(ns, name))
            .map(|(ns, name)| (ns.to_string(), name.to_string()))
            .collect();
        wanted.sort();
        wanted.dedup();
        wanted
    }

    pub fn totals(&self) -> Totals {
        let unfinished: Vec<_> = self.index.iter().filter(|(_, f)| !f.is_finished()).collect();
        let count = |reason| self.unknown.values().filter(|r| **r == reason).count();
        Totals {
            finished: self.index.len() - unfinished.len(),
            ungoverned: unfinished
                .iter()
                .filter(|(_, f)| f.governor().is_none_or(|i| self.policies.get(i).is_none()))
                .count(),
            unfinished: unfinished.len(),
            unknown: UnknownReason::ALL.iter().map(|r| (*r, count(*r))).filter(|(_, n)| *n > 0).collect(),
        }
    }

    /// All that can be said of one workflow.
    pub fn explain(&self, namespace: &str, name: &str, now: Timestamp) -> Option<Explanation> {
        let slot = self.index.find_name(namespace, name)?;
        let facts = self.index.get(slot)?;
        let at = secs(now);
        let around = Around { index: &self.index, argo: &self.argo, pods: &self.pods, blind: None };
        let around = Around { blind: self.blind, ..around };
        let scene = Scene { facts, index: &self.index, pods: &self.pods };
        let policy = facts.governor().and_then(|i| self.policies.get(i));
        let verdict = policy.map(|p| diagnose(facts, p, &around, at)).unwrap_or_default();
        let detections: Vec<_> =
            policy.map(|p| verdict.holds.iter().map(|h| holding(&scene, p, h)).collect()).unwrap_or_default();
        let aside = facts.marks().and_then(|m| match (m.ignore, m.snooze_until) {
            (true, _) => Some("annotation unstick.dev/ignore takes it out".to_owned()),
            (false, until) if until > at => {
                Some(format!("annotation unstick.dev/snooze-until sets it aside until {}", instant(until)))
            }
            _ => None,
        });
        let standing = match (aside, verdict.unknown) {
            (Some(words), _) => Standing::SetAside(words),
            _ if !detections.is_empty() => Standing::Stuck,
            _ if facts.is_finished() => Standing::Finished,
            (None, Some(reason)) => Standing::Unknown(reason),
            (None, None) => Standing::Healthy,
        };
        let checks = policy.map(|p| Self::checks(facts, p, &around, &scene, at)).unwrap_or_default();
        Some(Explanation {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            uid: facts.uid_text(),
            started_at: started(facts),
            phase: if facts.phase == Phase::Unset { String::new() } else { facts.phase.as_str().to_owned() },
            next: if standing == Standing::Stuck { NEXT.to_owned() } else { String::new() },
            standing,
            detections,
            checks,
            governing: self.governing(facts),
            done: self.done(slot),
            if_resumed: if_resumed(facts),
            notes: self.notes(facts),
            links: Vec::new(),
        })
    }

    fn checks(facts: &Facts, policy: &Policy, around: &Around<'_>, scene: &Scene<'_>, now: Secs) -> Vec<Check> {
        let snoozed = facts.marks().map_or(0, |m| m.snooze_until);
        let each = (0..).zip(&policy.detections).map(|(i, d)| {
            let verdict = match look(facts, d, i, around) {
                State::Absent => Verdict::Absent,
                State::Unknown(reason) => Verdict::Unknown(reason),
                State::Present { reason, since, due, node } => {
                    let due = due.max(snoozed);
                    let found = holding(scene, policy, &Hold { detection: i, kind: d.kind, reason, since, due, node });
                    if due <= now {
                        Verdict::Stuck(found)
                    } else {
                        Verdict::HealthyUntil { until: instant(due), holding: found }
                    }
                }
            };
            let own = facts.marks().map_or(0, |m| m.max_running);
            let after = if d.kind == DetectionType::RunningTooLong && own != 0 { own } else { d.after };
            Check { name: d.name.clone(), kind: d.kind, after_seconds: i64::from(after), verdict }
        });
        each.collect()
    }

    fn governing(&self, facts: &Facts) -> Option<Governing> {
        let mut line = facts.line.iter().filter_map(|i| self.policies.get(*i));
        let first = line.next()?;
        let others: Vec<_> = line.map(|p| (p.label.to_string(), first.ahead_of(p))).collect();
        Some(Governing {
            policy: first.label.to_string(),
            mode: first.mode.to_string(),
            why: match others.first() {
                None => "the only policy that selects it".to_owned(),
                Some((other, why)) => format!("ahead of {other}: {why}"),
            },
            others,
        })
    }

    fn done(&self, slot: Slot) -> Vec<String> {
        let Some(facts) = self.index.get(slot) else { return Vec::new() };
        let incidents = self.ledger.of_run(facts.uid).into_iter().filter_map(|id| self.ledger.all.get(&id));
        incidents
            .filter(|i| i.confirmed && i.run == facts.run())
            .map(|i| match i.closed {
                None => format!("incident {} is open, stuck since {}", i.name, instant(i.stuck_since)),
                Some((reason, at)) => format!("incident {} closed at {}: {reason}", i.name, instant(at)),
            })
            .collect()
    }

    fn notes(&self, facts: &Facts) -> Vec<String> {
        let mut notes = Vec::new();
        let deadline = facts.rare.as_ref().map_or(0, |r| r.active_deadline);
        let suspended = facts.suspended_since != 0 || facts.nodes.iter().any(super::facts::ActiveNode::is_suspension);
        if deadline != 0 && facts.suspended_since != 0 {
            notes.push(format!(
                "activeDeadlineSeconds={deadline} does not apply while spec.suspend is true (argo-workflows #13722)."
            ));
        }
        if deadline != 0 && facts.phase == Phase::Pending {
            notes.push(format!(
                "activeDeadlineSeconds={deadline} does not count while the workflow is Pending (argo-workflows #13722)."
            ));
        }
        if facts.suspended_since != 0 {
            notes.push(
                "stop and terminate have no effect while spec.suspend is true (argo-workflows #17041).".to_owned(),
            );
        }
        if suspended && !facts.is_finished() {
            notes.push("Argo shows a suspended workflow as Running.".to_owned());
        }
        if self.argo.excuses(facts) {
            notes.push(
                "The Argo controller that serves it is down, or only just back: only suspensions, ages and blocked \
                 deletions are judged."
                    .to_owned(),
            );
        }
        if let Some(text) = facts.marks().and_then(|m| m.unreadable.as_deref()) {
            notes.push(format!("{text}; it is not in force."));
        }
        if let Some(reason) = facts.rare.as_ref().and_then(|r| r.nodes_unknown) {
            notes.push(match reason {
                UnknownReason::NodesOffloaded => {
                    "Its nodes are in Argo's database: what they do can't be seen from here.".to_owned()
                }
                _ => "Its compressed nodes can't be decoded: what they do can't be seen from here.".to_owned(),
            });
        }
        if let Some((lock, Reason::HolderGone | Reason::HolderFinished)) = locks::dead(facts, &self.index) {
            notes.push(format!(
                "No live workflow holds {}: Argo gives such a lock back only when its controller restarts.",
                lock.name
            ));
        }
        notes
    }
}

fn started(facts: &Facts) -> Option<Timestamp> {
    (facts.started != 0).then(|| instant(facts.started))
}

/// What `argo resume` would do, said before somebody types it.
fn if_resumed(facts: &Facts) -> String {
    let waiting: Vec<_> =
        facts.nodes.iter().filter(|n| n.is_suspension()).map(|n| format!("{:?}", &*n.display)).collect();
    match (waiting.len(), facts.suspended_since) {
        (0, 0) => String::new(),
        (0, _) => "clears spec.suspend; the workflow goes on.".to_owned(),
        (1, _) => format!("marks node {} Succeeded and goes on behind it. This approves the step.", waiting.join(", ")),
        (n, _) => {
            format!("marks all {n} waiting nodes ({}) Succeeded. This approves every one of them.", waiting.join(", "))
        }
    }
}

impl Policy {
    /// Why this policy stands ahead of another in line.
    fn ahead_of(&self, other: &Self) -> String {
        let ((a, pa, ca), (b, pb, cb)) = (self.rank(), other.rank());
        if a != b {
            return match (a, b) {
                (0, _) => "it is a ClusterWorkflowPolicy with precedence Override".to_owned(),
                _ => "policies of the namespace come before cluster policies with precedence Default".to_owned(),
            };
        }
        if pa != pb {
            return format!("its priority {} is higher than {}", -pa, -pb);
        }
        if ca != cb {
            return format!("it is older by {}", span(cb.saturating_sub(ca)));
        }
        "both were created in the same second; its name sorts first".to_owned()
    }
}
