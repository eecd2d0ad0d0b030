//! What is kept of one workflow: a few hundred bytes, whatever the object's size.

use std::ops::Deref;
use std::sync::Arc;

use super::intern::Labels;
use super::node_ids::NodeIds;
use crate::api::reasons::{EndedBy, UnknownReason};
use crate::api::workflow::{NodeKind, NodePhase, Secs};

/// Identity of a workflow object. Kubernetes writes UUIDs; anything else is hashed and kept as text beside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Uid(pub u128);

/// A run: Argo's retry keeps the uid and sets a new start (DESIGN.md section 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Run {
    pub uid: Uid,
    /// 0 while the workflow has not started.
    pub started: Secs,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Phase {
    /// Never reconciled.
    #[default]
    Unset,
    Pending,
    Running,
    Succeeded,
    Failed,
    Error,
}

impl Phase {
    pub fn parse(text: &str) -> Self {
        match text {
            "" => Self::Unset,
            "Pending" => Self::Pending,
            "Succeeded" => Self::Succeeded,
            "Failed" => Self::Failed,
            "Error" => Self::Error,
            // A phase of a newer Argo is taken as active: it is watched, never counted as finished.
            _ => Self::Running,
        }
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unset => "Unknown",
            Self::Pending => "Pending",
            Self::Running => "Running",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
            Self::Error => "Error",
        }
    }

    pub const fn is_finished(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Error)
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Shutdown {
    #[default]
    None,
    Stop,
    Terminate,
}

impl Shutdown {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Stop => "Stop",
            Self::Terminate => "Terminate",
        }
    }
}

/// What a node shares with its like in other workflows; kept once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Role {
    pub display: Arc<str>,
    pub template: Arc<str>,
    pub stage: Option<Arc<str>>,
    pub agent: Option<Arc<str>>,
}

/// A node that works or waits now.
#[derive(Clone, Debug)]
pub struct ActiveNode {
    pub role: Arc<Role>,
    /// FNV of the node's id: tells nodes of one workflow apart.
    pub id: u32,
    pub started: Secs,
    pub kind: NodeKind,
    pub phase: NodePhase,
    pub daemoned: bool,
    pub hooked: bool,
    /// Bit i: detection i of the governing policy picks this node.
    pub picked: u16,
    /// End of a Suspend node with a duration; 0 = none.
    pub resumes: Secs,
    /// The cause a Pending node gives; few do.
    pub cause: Option<Box<Cause>>,
}

/// What a node waits for, in Argo's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause(pub Box<str>);

impl ActiveNode {
    /// The cause it gives, empty = none.
    pub fn cause(&self) -> &str {
        self.cause.as_ref().map_or("", |c| &c.0)
    }
}

impl Deref for ActiveNode {
    type Target = Role;

    fn deref(&self) -> &Role {
        &self.role
    }
}

/// A lock that a workflow waits for or holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldLock {
    pub name: Box<str>,
    /// (namespace, workflow) of each holder that Argo names.
    pub holders: Vec<(Box<str>, Box<str>)>,
    /// Holders that are not kept: beyond the bound, or not to be read. Any of them may be alive.
    pub unnamed: u32,
}

/// People's marks on a workflow (API.md section 3).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    pub ignore: bool,
    /// Healthy until then, whatever holds.
    pub snooze_until: Secs,
    /// Replaces `after` of `RunningTooLong`; seconds, 0 = none.
    pub max_running: Secs,
    /// A mark that could not be read, for `explain`.
    pub unreadable: Option<Box<str>>,
}

/// What few workflows have.
#[derive(Clone, Debug, Default)]
pub struct Rare {
    /// `status.message`, cut.
    pub message: Box<str>,
    pub waiting: Vec<HeldLock>,
    pub holding: Vec<Box<str>>,
    pub finalizers: Vec<Box<str>>,
    /// Finished nodes whose task result Argo still waits for: (displayName, finishedAt).
    pub results_missing: Vec<(Box<str>, Secs)>,
    pub marks: Marks,
    /// Uid as text when it is no UUID.
    pub odd_uid: Option<Box<str>>,
    /// Why the nodes can't be read.
    pub nodes_unknown: Option<UnknownReason>,
    /// Hash of the compressed nodes the facts were read from.
    pub compressed: u64,
    pub active_deadline: u32,
    /// First seen with `spec.shutdown` set.
    pub shutdown_since: Secs,
    /// First seen waiting for a lock without a live holder.
    pub wedged_since: Secs,
}

/// What a workflow shares with others of its template and namespace; kept once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Kin {
    pub namespace: Arc<str>,
    pub labels: Labels,
    /// The policies that match, in line: the first governs detections.
    pub line: Arc<[u16]>,
    pub workflow_type: Option<Arc<str>>,
    pub template: Option<Arc<str>>,
}

#[derive(Clone, Debug)]
pub struct Facts {
    pub uid: Uid,
    /// Its name and after it its task id, in one allocation; `names` makes them.
    pub(crate) names: Box<str>,
    /// Where the name ends.
    pub(crate) name_end: u16,
    pub kin: Arc<Kin>,
    pub created: Secs,
    pub started: Secs,
    pub finished: Secs,
    pub deleted: Secs,
    /// Newest start or finish of a node, or our own sight of a changed progress.
    pub last_change: Secs,
    /// Own clock for `spec.suspend`; 0 = not suspended so.
    pub suspended_since: Secs,
    /// `N/M` of status.progress.
    pub progress: (u16, u16),
    pub phase: Phase,
    pub shutdown: Shutdown,
    pub exit_handler: bool,
    /// Argo has put its phase label on the workflow: a controller has seen it.
    pub picked_up: bool,
    pub completion_counted: bool,
    /// What ended the run; meaningful once it has finished.
    pub ended_by: EndedBy,
    /// Relist epoch in which the workflow was last seen.
    pub epoch: u32,
    /// The deadline on the agenda; 0 = none.
    pub deadline: Secs,
    pub nodes: Box<[ActiveNode]>,
    /// Newest finish of a node that has been counted, and the ids counted at that second.
    pub counted_until: Secs,
    pub counted: NodeIds,
    pub rare: Option<Box<Rare>>,
}

impl Deref for Facts {
    type Target = Kin;

    fn deref(&self) -> &Kin {
        &self.kin
    }
}

impl Default for Facts {
    fn default() -> Self {
        Self {
            uid: Uid(0),
            names: Box::default(),
            name_end: 0,
            kin: Arc::default(),
            created: 0,
            started: 0,
            finished: 0,
            deleted: 0,
            last_change: 0,
            suspended_since: 0,
            progress: (0, 0),
            phase: Phase::Unset,
            shutdown: Shutdown::None,
            exit_handler: false,
            picked_up: false,
            completion_counted: false,
            ended_by: EndedBy::Own,
            epoch: 0,
            deadline: 0,
            nodes: Box::default(),
            counted_until: 0,
            counted: NodeIds::default(),
            rare: None,
        }
    }
}

impl Facts {
    /// Fields `names` and `name_end` of a workflow; `task` is empty when it has no task id.
    pub(crate) fn names(name: &str, task: &str) -> (Box<str>, u16) {
        match u16::try_from(name.len()) {
            Ok(end) if end < u16::MAX => ([name, task].concat().into_boxed_str(), end),
            // No API server takes such a name, a file may have it.
            _ => (name.into(), u16::MAX),
        }
    }

    pub fn name(&self) -> &str {
        if self.name_end == u16::MAX { &self.names } else { self.names.get(..self.name_end.into()).unwrap_or_default() }
    }

    /// What `observe.taskId` found; empty = nothing.
    pub fn task_id(&self) -> &str {
        self.names.get(self.name_end.into()..).filter(|_| self.name_end < u16::MAX).unwrap_or_default()
    }

    /// The policy that governs detections.
    pub fn governor(&self) -> Option<u16> {
        self.line.first().copied()
    }

    pub fn run(&self) -> Run {
        Run { uid: self.uid, started: self.started }
    }

    pub fn is_finished(&self) -> bool {
        self.phase.is_finished()
    }

    /// Base of the run's age: its start, before that its creation.
    pub fn age_base(&self) -> Secs {
        if self.started == 0 { self.created } else { self.started }
    }

    /// When an active workflow entered its phase; 0 = not known.
    pub fn phase_start(&self) -> Secs {
        if self.phase == Phase::Running { self.started } else { self.created }
    }

    /// The active node of this id.
    pub fn active_node(&self, id: u32) -> Option<&ActiveNode> {
        self.nodes.iter().find(|n| n.id == id)
    }

    pub fn waiting(&self) -> &[HeldLock] {
        self.rare.as_ref().map_or(&[], |r| &r.waiting)
    }

    pub fn marks(&self) -> Option<&Marks> {
        self.rare.as_ref().map(|r| &r.marks)
    }

    pub fn uid_text(&self) -> String {
        match self.rare.as_ref().and_then(|r| r.odd_uid.as_deref()) {
            Some(text) => text.to_owned(),
            None => self.uid.to_string(),
        }
    }
}

impl Uid {
    /// Reads a UUID; the text itself comes back when it is none.
    pub fn parse(text: &str) -> (Self, Option<Box<str>>) {
        let hex = text.len() == 36
            && text.bytes().enumerate().all(|(i, b)| match i {
                8 | 13 | 18 | 23 => b == b'-',
                _ => b.is_ascii_digit() || (b'a'..=b'f').contains(&b),
            });
        if hex {
            let value = text
                .bytes()
                .filter(|b| *b != b'-')
                .fold(0_u128, |v, b| (v << 4) | u128::from(if b.is_ascii_digit() { b - b'0' } else { b - b'a' + 10 }));
            return (Self(value), None);
        }
        (Self(fnv128(text.as_bytes())), Some(text.into()))
    }
}

impl std::fmt::Display for Uid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let hex = format!("{:032x}", self.0);
        write!(f, "{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
    }
}

fn fnv128(bytes: &[u8]) -> u128 {
    bytes.iter().fold(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d, |h: u128, b| {
        (h ^ u128::from(*b)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b)
    })
}

/// FNV-1a, 32 bits: as Argo names its nodes.
pub fn fnv32(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |h: u32, b| (h ^ u32::from(b)).wrapping_mul(0x0100_0193))
}

/// FNV-1a, 64 bits.
pub fn fnv64(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |h: u64, b| (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_reads_back_as_written_and_anything_else_is_kept() {
        let text = "2f9a75e9-00bd-471a-845c-64f79886297f";
        assert_eq!(Uid::parse(text).0.to_string(), text);
        assert_eq!(Uid::parse(text).1, None);
        assert_eq!(Uid::parse("u1").1.as_deref(), Some("u1"));
        assert_ne!(Uid::parse("u1").0, Uid::parse("u2").0);
    }

    #[test]
    fn name_and_task_id_share_a_text_and_come_apart_again() {
        let of = |name: &str, task: &str| {
            let (names, name_end) = Facts::names(name, task);
            let facts = Facts { names, name_end, ..Facts::default() };
            (facts.name().to_owned(), facts.task_id().to_owned())
        };
        for (name, task) in [("run-1", "TASK-7"), ("run-1", ""), ("", ""), ("ä", "é")] {
            assert_eq!(of(name, task), (name.to_owned(), task.to_owned()));
        }
        let long = "ä".repeat(40_000);
        assert_eq!(of(&long, "TASK-7"), (long, String::new()), "kept whole");
    }

    #[test]
    fn a_running_workflow_costs_few_bytes() {
        assert!(size_of::<Option<Facts>>() <= 128, "{}", size_of::<Option<Facts>>());
        assert!(size_of::<ActiveNode>() <= 40, "{}", size_of::<ActiveNode>());
    }
}
