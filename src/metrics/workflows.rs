//! Families with a series per workflow: the chosen ones of each, and a count of those left out.

use std::collections::BTreeMap;

use super::page::{Page, Series};
use super::state::{State, Top, phase, suspensions};
use crate::api::reasons::DetectionType;
use crate::api::workflow::Secs;
use crate::watchdog::Watchdog;
use crate::watchdog::diagnosis::{State as Look, look};
use crate::watchdog::facts::Facts;
use crate::watchdog::index::Slot;
use crate::watchdog::policy::Policy;

/// Writes what is said of single workflows.
pub fn write(page: &mut Page, watchdog: &Watchdog, state: &mut State<'_>, cap: usize) {
    let take = |top: &mut Top| std::mem::replace(top, Top::new(0)).chosen();
    let (active, started, phased) = (take(&mut state.active), take(&mut state.started), take(&mut state.phased));
    let (suspended, progressed) = (take(&mut state.suspended), take(&mut state.progressed));
    let (deadline, stuck) = (take(&mut state.deadline), take(&mut state.stuck));
    let mut family = Capped { page, watchdog, cap };
    family.write("unstick_workflow_info", active, |series, _, f| {
        series.put(
            &[
                &f.namespace,
                f.name(),
                or_empty(f.workflow_type.as_deref()),
                f.task_id(),
                stage(f),
                or_empty(f.template.as_deref()),
            ],
            1,
        );
        1
    });
    family.write("unstick_workflow_start_timestamp_seconds", started, |series, _, f| {
        series.put(&[&f.namespace, f.name()], f.started);
        1
    });
    family.write("unstick_workflow_phase_start_timestamp_seconds", phased, |series, _, f| {
        series.put(&[&f.namespace, f.name(), phase(f)], f.phase_start());
        1
    });
    family.write("unstick_suspension_start_timestamp_seconds", suspended, |series, room, f| {
        let points = suspensions(f);
        for (point, since) in points.iter().take(room) {
            series.put(&[&f.namespace, f.name(), point], since);
        }
        points.len().min(room)
    });
    family.write("unstick_workflow_last_progress_timestamp_seconds", progressed, |series, _, f| {
        series.put(&[&f.namespace, f.name()], f.last_change);
        1
    });
    family.deadlines(deadline);
    family.stuck(stuck);
}

struct Capped<'p, 'w> {
    page: &'p mut Page,
    watchdog: &'w Watchdog,
    cap: usize,
}

impl<'w> Capped<'_, 'w> {
    /// `put` writes the label sets of one workflow, at most as many as there is room for, and says how many it wrote.
    fn write(
        &mut self,
        name: &'static str,
        (slots, sets): (Vec<Slot>, usize),
        put: impl Fn(&mut Series<'_>, usize, &'w Facts) -> usize,
    ) {
        let Some(mut series) = self.page.family(name) else { return };
        let mut written = 0;
        for slot in slots {
            let Some(facts) = named(self.watchdog, slot) else { continue };
            if written == self.cap {
                break;
            }
            written += put(&mut series, self.cap - written, facts);
        }
        self.page.dropped(name, sets.saturating_sub(written));
    }

    /// Only the chosen are looked at with every detection: of the others one label set each is counted as left out.
    fn deadlines(&mut self, (slots, workflows): (Vec<Slot>, usize)) {
        let name = "unstick_workflow_deadline_timestamp_seconds";
        let Some(mut series) = self.page.family(name) else { return };
        let mut written = 0;
        let mut dropped = workflows.saturating_sub(slots.len());
        for facts in slots.into_iter().filter_map(|slot| named(self.watchdog, slot)) {
            let Some(policy) = facts.governor().and_then(|i| self.watchdog.policies.get(i)) else { continue };
            for (kind, due) in due(facts, policy, self.watchdog) {
                if written < self.cap {
                    series.put(&[&facts.namespace, facts.name(), &policy.label, kind.as_str()], due);
                    written += 1;
                } else {
                    dropped += 1;
                }
            }
        }
        self.page.dropped(name, dropped);
    }

    fn stuck(&mut self, (slots, sets): (Vec<Slot>, usize)) {
        let watchdog = self.watchdog;
        let name = "unstick_workflow_stuck";
        let Some(mut series) = self.page.family(name) else { return };
        let mut written = 0;
        for slot in slots {
            let (Some(facts), Some(stuck)) = (named(watchdog, slot), watchdog.stuck.get(&slot)) else { continue };
            let Some(policy) = watchdog.policies.get(stuck.policy) else { continue };
            let (kind, reason) = stuck.shown();
            let labels = [&*facts.namespace, facts.name(), &*policy.label, kind.as_str(), reason.as_str()];
            series.put(&labels, 1);
            written += 1;
        }
        self.page.dropped(name, sets.saturating_sub(written));
    }
}

/// The facts of a slot, unless a newer workflow has taken the name: two series of one name would spoil the scrape.
fn named(watchdog: &Watchdog, slot: Slot) -> Option<&Facts> {
    watchdog.index.get(slot).filter(|_| watchdog.index.is_named(slot))
}

/// The threshold of each detection type whose state is there; the earlier of two detections of one type.
fn due(facts: &Facts, policy: &Policy, watchdog: &Watchdog) -> BTreeMap<DetectionType, Secs> {
    let mut found = BTreeMap::new();
    let ignored = facts.marks().is_some_and(|m| m.ignore);
    if ignored || facts.epoch < policy.from_epoch {
        return found;
    }
    let around = watchdog.around();
    let snoozed = facts.marks().map_or(0, |m| m.snooze_until);
    for (i, detection) in (0..).zip(&policy.detections) {
        if let Look::Present { due, .. } = look(facts, detection, i, &around) {
            let due = due.max(snoozed);
            let earliest = found.entry(detection.kind).or_insert(due);
            *earliest = due.min(*earliest);
        }
    }
    found
}

/// Stage of the node that started last, of those that still run and have one.
fn stage(facts: &Facts) -> &str {
    let staged = facts.nodes.iter().filter_map(|n| Some((n.started, n.stage.as_deref()?)));
    staged.max_by_key(|(started, _)| *started).map_or("", |(_, stage)| stage)
}

fn or_empty(text: Option<&str>) -> &str {
    text.unwrap_or("")
}
