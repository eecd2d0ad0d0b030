//! Workflows by the hundred thousand, each computed from its index: same parameters, same text, no storage.
//!
//! The text is what kube-apiserver sends: minimal JSON, keys sorted, managedFields as full CRDs leave them (a quarter of
//! the object). Nodes are those of Argo 4.1, about 1.3 KB each plus 0.4 KB of managedFields. One in twenty is stuck, every
//! detection has its share, and a chosen number crosses its threshold inside a chosen minute.
//!
//! ```
//! use unstick_bed::corpus::{Corpus, Look, Size};
//! let corpus = Corpus { count: 100_000, size: Size::Small, ..Corpus::default() };
//! let text = corpus.specimen(7).text(1000, Look::default());
//! assert!((5_000..6_600).contains(&text.len()));
//! ```

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

mod node;
mod objects;
mod render;
mod specimen;

pub use objects::{POLICIES, namespaces, policies};
pub use specimen::{Specimen, State, Trouble};

/// What to generate. Ages are relative to `now`, so that thresholds of hours pass at a known second.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Corpus {
    pub count: u32,
    pub size: Size,
    /// Spread evenly; named `team-00`, `team-01` and so on.
    pub namespaces: u32,
    /// Workflow templates they come from.
    pub types: u32,
    /// Stuck ones among 1,000.
    pub stuck_per_mille: u32,
    /// Finished ones among 1,000.
    pub finished_per_mille: u32,
    /// Seconds since the epoch.
    pub now: i64,
    /// Healthy ones that become stuck at a known second.
    pub due: Option<Due>,
}

/// Thresholds that pass while somebody looks.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Due {
    pub count: u32,
    /// The first second, since the epoch.
    pub from: i64,
    /// Over so many seconds, evenly.
    pub seconds: u32,
}

/// How large one workflow is, as the API server sends it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Size {
    /// About 2 KB: one pod.
    Tiny,
    /// About 5.8 KB: 2 nodes.
    #[default]
    Small,
    /// About 7 KB: 3 nodes.
    Medium,
    /// About 50 KB: 25 nodes.
    Large,
    /// About 530 KB: 295 nodes.
    Huge,
    /// About 340 KB: 2,000 nodes in `compressedNodes` (gzip).
    Compressed,
}

/// What has happened to a workflow since it was generated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// Number of changes so far.
    pub revision: u32,
    /// When the last one was, seconds since the epoch.
    pub at: i64,
    pub finished: bool,
}

impl Default for Corpus {
    fn default() -> Self {
        Self {
            count: 1000,
            size: Size::Small,
            namespaces: 20,
            types: 10,
            stuck_per_mille: 50,
            finished_per_mille: 0,
            now: Timestamp::now().as_second(),
            due: None,
        }
    }
}

impl Size {
    pub const fn nodes(self) -> u32 {
        match self {
            Self::Tiny => 1,
            Self::Small => 2,
            Self::Medium => 3,
            Self::Large => 25,
            Self::Huge => 295,
            Self::Compressed => 2000,
        }
    }
}

impl Corpus {
    /// The workflow of that index; indices beyond `count` are fine (new ones, always healthy).
    pub fn specimen(&self, index: u32) -> Specimen {
        Specimen::new(self, index)
    }

    /// How many are (stuck, due, finished) as generated.
    pub fn census(&self) -> (u32, u32, u32) {
        (0..self.count).fold((0, 0, 0), |(stuck, due, finished), i| match self.state(i) {
            State::Stuck(_) => (stuck + 1, due, finished),
            State::Due { .. } => (stuck, due + 1, finished),
            State::Finished => (stuck, due, finished + 1),
            State::Healthy => (stuck, due, finished),
        })
    }

    fn state(&self, index: u32) -> State {
        if index >= self.count {
            return State::Healthy;
        }
        if let Some(nth) = nth_of(index, self.count, per_mille(self.count, self.stuck_per_mille)) {
            return State::Stuck(Trouble::ALL[nth as usize % Trouble::ALL.len()]);
        }
        // Counted from the other end, so that the shares don't fall on the same indices.
        let mirrored = self.count - 1 - index;
        if nth_of(mirrored, self.count, per_mille(self.count, self.finished_per_mille)).is_some() {
            return State::Finished;
        }
        if let Some(due) = self.due
            && let Some(nth) = nth_of(mirrored, self.count, due.count)
        {
            let offset = i64::from(nth) * i64::from(due.seconds) / i64::from(due.count.max(1));
            return State::Due { at: due.from + offset, trouble: Trouble::DUE[nth as usize % Trouble::DUE.len()] };
        }
        State::Healthy
    }
}

fn per_mille(count: u32, share: u32) -> u32 {
    u32::try_from(u64::from(count) * u64::from(share) / 1000).unwrap_or(u32::MAX)
}

/// Picks `picked` of `count` indices evenly; the rank of `index` among them, if it is one.
fn nth_of(index: u32, count: u32, picked: u32) -> Option<u32> {
    let before = |i: u32| u64::from(i) * u64::from(picked) / u64::from(count.max(1));
    (before(index + 1) > before(index)).then(|| u32::try_from(before(index)).unwrap_or(u32::MAX))
}

/// Splitmix64: a number that looks random and depends on `seed` alone.
pub(crate) fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
