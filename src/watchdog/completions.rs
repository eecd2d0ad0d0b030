//! Completions, counted once across restarts and leader changes.
//!
//! What is counted travels as a watermark with the Lease. The order makes it exact for one scraper: a completion shows
//! in `/metrics` only after the Lease says so, and the Lease says so only for a scrape. A leader that dies between the
//! two loses those few; nothing is ever counted twice.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::facts::{Facts, Run};
use super::tally::Tally;
use crate::api::reasons::EndedBy;
use crate::api::workflow::Secs;

/// How much later than another a completion may be seen and still be told apart from those counted.
const WINDOW: Secs = 60;
/// Most ids in a watermark: 64 KiB of an annotation.
const MAX_SEEN: usize = 4096;
/// Most completions that wait for a scrape.
const MAX_PENDING: usize = 100_000;

#[derive(Clone, Debug)]
struct Completion {
    id: u64,
    finished: Secs,
    namespace: Arc<str>,
    kind: Arc<str>,
    phase: &'static str,
    by: EndedBy,
    seconds: Secs,
}

/// Everything that finished up to `low`, and the runs in `seen`, are counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Watermark {
    low: Secs,
    seen: BTreeSet<(Secs, u64)>,
}

#[derive(Debug, Default)]
pub struct Completions {
    mark: Watermark,
    pending: Vec<Completion>,
    /// The mark that is being written, and how many of `pending` it covers.
    writing: Option<(Watermark, usize)>,
}

impl Completions {
    /// Takes over from the mark on the Lease; without one everything before `now` belongs to the past.
    pub fn lead(&mut self, mark: Option<&str>, now: Secs) {
        self.mark = mark.and_then(Watermark::parse).unwrap_or(Watermark { low: now, seen: BTreeSet::new() });
        self.pending.clear();
        self.writing = None;
    }

    /// Notes a finished run unless it has been counted.
    pub fn note(&mut self, facts: &Facts) {
        let id = id(facts.run());
        if facts.finished <= self.mark.low
            || self.mark.seen.contains(&(facts.finished, id))
            || self.pending.len() >= MAX_PENDING
        {
            return;
        }
        self.pending.push(Completion {
            id,
            finished: facts.finished,
            namespace: Arc::clone(&facts.namespace),
            kind: facts.workflow_type.clone().unwrap_or_default(),
            phase: facts.phase.as_str(),
            by: facts.ended_by,
            seconds: facts.finished.saturating_sub(facts.age_base()),
        });
    }

    /// The mark to write to the Lease before the next scrape may show more; `None` when nothing waits.
    pub fn prepare(&mut self) -> Option<String> {
        if self.pending.is_empty() {
            return None;
        }
        let mut next = self.mark.clone();
        for c in &self.pending {
            next.seen.insert((c.finished, c.id));
        }
        let newest = next.seen.last().map_or(0, |(at, _)| *at);
        next.low = next.low.max(newest.saturating_sub(WINDOW));
        while next.seen.len() > MAX_SEEN || next.seen.first().is_some_and(|(at, _)| *at <= next.low) {
            let Some((at, _)) = next.seen.pop_first() else { break };
            next.low = next.low.max(at);
        }
        let text = next.to_string();
        self.writing = Some((next, self.pending.len()));
        Some(text)
    }

    /// The prepared mark is durable: its completions count.
    pub fn commit(&mut self, tally: &mut Tally) {
        let Some((mark, n)) = self.writing.take() else { return };
        self.mark = mark;
        for c in self.pending.drain(..n.min(self.pending.len())) {
            tally.completed(&c.namespace, &c.kind, c.phase, c.by, c.seconds);
        }
    }
}

impl Watermark {
    fn parse(text: &str) -> Option<Self> {
        let (low, ids) = text.strip_prefix("v1 ")?.split_once(' ')?;
        let mut seen = BTreeSet::new();
        for one in ids.split(',').filter(|t| !t.is_empty()) {
            let (at, id) = one.split_once('.')?;
            seen.insert((Secs::from_str_radix(at, 16).ok()?, u64::from_str_radix(id, 16).ok()?));
        }
        Some(Self { low: low.parse().ok()?, seen })
    }
}

impl std::fmt::Display for Watermark {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "v1 {} ", self.low)?;
        for (i, (at, id)) in self.seen.iter().enumerate() {
            write!(f, "{}{at:x}.{id:x}", if i == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

fn id(run: Run) -> u64 {
    super::facts::fnv64(&format!("{:x}{:x}", run.uid.0, run.started))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watchdog::facts::{Kin, Phase, Uid};

    fn run(uid: u128, finished: Secs) -> Facts {
        Facts {
            uid: Uid(uid),
            started: 10,
            finished,
            phase: Phase::Succeeded,
            kin: std::sync::Arc::new(Kin { namespace: "ns".into(), ..Kin::default() }),
            ..Facts::default()
        }
    }

    fn counted(tally: &Tally) -> u64 {
        tally.counters.get("unstick_workflows_completed_total").map_or(0, |s| s.values().sum())
    }

    #[test]
    fn a_successor_counts_what_no_scrape_has_shown_and_nothing_else() {
        let mut tally = Tally::new(|_| &[]);
        let mut first = Completions::default();
        first.lead(None, 100);
        first.note(&run(1, 99));
        first.note(&run(2, 101));
        assert_eq!(counted(&tally), 0, "nothing shows before the Lease says so");
        let mark = first.prepare().unwrap();
        first.commit(&mut tally);
        assert_eq!(counted(&tally), 1);
        first.note(&run(3, 101));

        let mut tally = Tally::new(|_| &[]);
        let mut second = Completions::default();
        second.lead(Some(&mark), 200);
        for (uid, at) in [(1, 99), (2, 101), (3, 101), (4, 150)] {
            second.note(&run(uid, at));
        }
        second.prepare().unwrap();
        second.commit(&mut tally);
        assert_eq!(counted(&tally), 2, "3 and 4");
    }

    #[test]
    fn a_mark_that_fails_to_be_written_loses_nothing() {
        let mut tally = Tally::new(|_| &[]);
        let mut c = Completions::default();
        c.lead(None, 100);
        c.note(&run(1, 110));
        c.prepare().unwrap();
        c.note(&run(2, 111));
        c.prepare().unwrap();
        c.commit(&mut tally);
        assert_eq!(counted(&tally), 2);
    }

    #[test]
    fn marks_read_back_and_stay_small() {
        let mut c = Completions::default();
        c.lead(None, 100);
        for i in 0..6000 {
            c.note(&run(i, 200 + u32::try_from(i).unwrap() / 1000));
        }
        let text = c.prepare().unwrap();
        assert!(text.len() < 128 * 1024, "{}", text.len());
        assert_eq!(Watermark::parse(&text).unwrap().to_string(), text);
        assert_eq!(Watermark::parse("v2 x"), None);
    }
}
