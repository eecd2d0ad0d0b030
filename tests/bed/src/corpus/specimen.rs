//! One generated workflow: its identity, its state and the instants that follow from it.

use super::{Corpus, Look, Size, mix, render};

/// What a workflow was generated as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Healthy,
    Finished,
    Stuck(Trouble),
    /// Healthy until `at` (seconds since the epoch).
    Due {
        at: i64,
        trouble: Trouble,
    },
}

/// How a workflow is stuck. Thresholds are those of [`super::policies`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    OldRun,
    SuspendedNode,
    NodeTooOld,
    ImagePull,
    LockWait,
    Unschedulable,
    SuspendedBySpec,
    NoProgress,
    Stopping,
    ResultLost,
    DeletionBlocked,
    NotPickedUp,
    LockWedged,
}

const HOUR: i64 = 3600;

impl Trouble {
    pub const ALL: [Self; 13] = [
        Self::OldRun,
        Self::SuspendedNode,
        Self::NodeTooOld,
        Self::ImagePull,
        Self::LockWait,
        Self::Unschedulable,
        Self::SuspendedBySpec,
        Self::NoProgress,
        Self::Stopping,
        Self::ResultLost,
        Self::DeletionBlocked,
        Self::NotPickedUp,
        Self::LockWedged,
    ];

    /// Those whose clock is one timestamp in the object, so that their threshold passes at a known second.
    pub const DUE: [Self; 4] = [Self::OldRun, Self::SuspendedNode, Self::NodeTooOld, Self::ImagePull];

    /// The detection that finds it, and its threshold in seconds.
    pub const fn detection(self) -> (&'static str, i64) {
        match self {
            Self::OldRun => ("RunningTooLong", 24 * HOUR),
            Self::SuspendedNode | Self::SuspendedBySpec => ("Suspended", 3 * HOUR),
            Self::NodeTooOld => ("NodeRunningTooLong", 2 * HOUR),
            Self::ImagePull | Self::LockWait | Self::Unschedulable => ("Pending", HOUR),
            Self::NoProgress => ("NoProgress", 4 * HOUR),
            Self::Stopping => ("StoppingTooLong", HOUR / 2),
            Self::ResultLost => ("TaskResultLost", HOUR / 4),
            Self::DeletionBlocked => ("DeletionBlocked", HOUR),
            Self::NotPickedUp => ("NotPickedUp", HOUR / 6),
            Self::LockWedged => ("LockWedged", HOUR / 4),
        }
    }
}

/// One workflow, ready to be written.
#[derive(Clone, Debug)]
pub struct Specimen {
    pub index: u32,
    pub size: Size,
    pub state: State,
    pub name: String,
    pub namespace: String,
    pub uid: String,
    /// Name of the workflow template it comes from.
    pub template: String,
    pub task_id: String,
    pub agent: &'static str,
    /// Seconds since the epoch: the run's start, and that of its newest node.
    pub started: i64,
    pub active_since: i64,
    /// `<namespace>/Mutex/gpu`.
    pub(super) lock_name: String,
    /// Who holds the mutex it waits for, if it does.
    pub(super) lock_holder: String,
}

const TYPES: [&str; 10] = [
    "etl-nightly",
    "train-model",
    "code-review",
    "image-build",
    "report-weekly",
    "ingest-events",
    "backfill",
    "evaluate",
    "release",
    "sync-catalog",
];
const AGENTS: [&str; 5] = ["builder-bot", "reviewer-bot", "tester-bot", "planner-bot", "fixer-bot"];

impl Specimen {
    pub(super) fn new(corpus: &Corpus, index: u32) -> Self {
        let random = mix(u64::from(index) ^ 0x51ce);
        let state = corpus.state(index);
        let kind = (random >> 8) % u64::from(corpus.types.max(1));
        let template = match TYPES.get(usize::try_from(kind).unwrap_or(0)) {
            Some(name) => (*name).to_owned(),
            None => format!("type-{kind}"),
        };
        // A sub-hour part that differs from one to the next, so that deadlines don't come in heaps.
        let jitter = i64::try_from(mix(random) % 3600).unwrap_or(0);
        let (trouble, since) = match state {
            // A clock of the watcher's own begins at the first sight of it; until then it is found as one that waits.
            State::Stuck(t @ Trouble::LockWedged) => {
                (Some(t), corpus.now - settled(Trouble::LockWait.detection().1 + HOUR / 2 + jitter * 8))
            }
            State::Stuck(t) => (Some(t), corpus.now - settled(t.detection().1 + HOUR / 2 + jitter * 8)),
            State::Due { at, trouble } => (Some(trouble), at - trouble.detection().1),
            State::Healthy | State::Finished => (None, corpus.now - 30 - jitter / 2),
        };
        let (started, active_since) = match trouble {
            // The run is old, its newest node isn't.
            Some(Trouble::OldRun) => (since, corpus.now - 30 - jitter / 8),
            Some(_) => (since - 60, since),
            None => (since - jitter * 9, since),
        };
        let namespace = namespace(corpus, index);
        let lock_holder = if trouble == Some(Trouble::LockWait) { holder(corpus, index) } else { String::new() };
        Self {
            index,
            size: corpus.size,
            state,
            name: format!("{template}-{}", suffix(index)),
            lock_name: format!("{namespace}/Mutex/gpu"),
            lock_holder,
            namespace,
            uid: uid(index),
            template,
            task_id: format!("TASK-{}", 10_000 + index),
            agent: AGENTS[usize::try_from((random >> 16) % 5).unwrap_or(0)],
            started,
            active_since,
        }
    }

    /// Its JSON text with that resourceVersion.
    pub fn text(&self, resource_version: u64, look: Look) -> String {
        let mut out = String::with_capacity(8192);
        self.write(resource_version, look, &mut out);
        out
    }

    /// Appends its JSON text.
    pub fn write(&self, resource_version: u64, look: Look, out: &mut String) {
        render::workflow(self, resource_version, look, out);
    }

    pub(super) fn trouble(&self) -> Option<Trouble> {
        match self.state {
            State::Stuck(t) | State::Due { trouble: t, .. } => Some(t),
            State::Healthy | State::Finished => None,
        }
    }
}

/// An age at which no second threshold passes within the next half hour: what nothing happens to is quiet.
fn settled(age: i64) -> i64 {
    let second = Trouble::NoProgress.detection().1;
    if (second - HOUR / 2..second).contains(&age) { age + HOUR / 2 } else { age }
}

fn namespace(corpus: &Corpus, index: u32) -> String {
    let random = mix(u64::from(index) ^ 0x51ce);
    format!("team-{:02}", (random >> 32) % u64::from(corpus.namespaces.max(1)))
}

/// The next healthy workflow of the same namespace.
fn holder(corpus: &Corpus, index: u32) -> String {
    let own = namespace(corpus, index);
    (index + 1..corpus.count)
        .chain(0..index)
        .find(|i| corpus.state(*i) == State::Healthy && namespace(corpus, *i) == own)
        .map(|i| Specimen::new(corpus, i).name)
        .unwrap_or_default()
}

/// Five letters and digits as Argo's generateName adds them; different for every index below 36^5.
fn suffix(index: u32) -> String {
    const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
    let mut rest = (u64::from(index) * 7_919 + 12_345_677) % 60_466_176;
    let mut letters = [b'0'; 5];
    for letter in letters.iter_mut().rev() {
        *letter = DIGITS[usize::try_from(rest % 36).unwrap_or(0)];
        rest /= 36;
    }
    letters.iter().map(|b| char::from(*b)).collect()
}

fn uid(index: u32) -> String {
    let (a, b) = (mix(u64::from(index)), mix(u64::from(index) ^ 0xabcd_ef01));
    let low = (u64::from(index) ^ 0x5a5a_5a5a) | ((b & 0xffff) << 32);
    format!("{:08x}-{:04x}-4{:03x}-8{:03x}-{low:012x}", a >> 32, (a >> 16) & 0xffff, a & 0xfff, (b >> 20) & 0xfff)
}
