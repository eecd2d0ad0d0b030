//! What may happen in a generated sequence, and an independent word on what is stuck: which types of detection a state
//! shows, and who governs, each in a few lines that share nothing with the product.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};
use unstick::api::reasons::DetectionType as Type;
use unstick::api::workflow::Secs;
use unstick::watchdog::instant;

use crate::script::{policy, uid_of};
use crate::world::Start;

/// How a workflow stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// No controller has seen it.
    Fresh,
    Pending,
    /// A pod runs.
    Works,
    /// A pod waits for an image.
    Waits,
    /// A Suspend node waits.
    Gate,
    /// Only a group of nodes runs.
    Bare,
    /// `spec.suspend`.
    Halted,
    /// Told to stop, its pod stays.
    Stopping,
    Offloaded,
    /// Works, but people took it out.
    Ignored,
    Ended,
    /// Ended, deleted, held by a finalizer.
    Blocked,
}

impl State {
    pub const ALL: [Self; 12] = [
        Self::Fresh,
        Self::Pending,
        Self::Works,
        Self::Waits,
        Self::Gate,
        Self::Bare,
        Self::Halted,
        Self::Stopping,
        Self::Offloaded,
        Self::Ignored,
        Self::Ended,
        Self::Blocked,
    ];

    /// The types of detection whose state is there.
    pub fn shows(self) -> &'static [Type] {
        match self {
            Self::Fresh => &[Type::NotPickedUp, Type::RunningTooLong],
            Self::Pending => &[Type::Pending, Type::RunningTooLong],
            Self::Works => &[Type::NodeRunningTooLong, Type::RunningTooLong],
            Self::Waits => &[Type::Pending, Type::NoProgress, Type::RunningTooLong],
            Self::Gate | Self::Halted => &[Type::Suspended, Type::RunningTooLong],
            Self::Bare => &[Type::NoProgress, Type::RunningTooLong],
            Self::Stopping => &[Type::StoppingTooLong, Type::NodeRunningTooLong, Type::RunningTooLong],
            Self::Offloaded => &[Type::RunningTooLong],
            Self::Ignored | Self::Ended => &[],
            Self::Blocked => &[Type::DeletionBlocked],
        }
    }

    fn is_over(self) -> bool {
        matches!(self, Self::Ended | Self::Blocked)
    }
}

/// A workflow as the server has it.
#[derive(Clone, Copy, Debug)]
pub struct Kept {
    pub number: usize,
    pub incarnation: u32,
    pub created: Secs,
    pub started: Secs,
    /// Since when it is in this state.
    pub since: Secs,
    pub state: State,
}

pub const WORKFLOWS: usize = 6;

pub fn name_of(number: usize) -> (String, String) {
    (if number < 4 { "etl" } else { "ml" }.to_owned(), format!("w{number}"))
}

impl Kept {
    pub fn new(number: usize, incarnation: u32, now: Secs, state: State) -> Self {
        let started = if matches!(state, State::Fresh | State::Pending) { 0 } else { now };
        Self { number, incarnation, created: now, started, since: now, state }
    }

    /// Goes on in another state; `None` when only another workflow of this name could be in it.
    pub fn turned(self, state: State, now: Secs) -> Option<Self> {
        if self.state == State::Blocked || matches!(state, State::Fresh | State::Pending) {
            return None;
        }
        let retried = self.state.is_over() && !state.is_over();
        let started = if self.started == 0 || retried { now } else { self.started };
        Some(Self { started, since: now, state, ..self })
    }

    pub fn uid(&self) -> String {
        uid_of(&format!("{} {}", self.number, self.incarnation))
    }

    /// Which run of which workflow.
    pub fn run(&self) -> (String, Secs) {
        (self.uid(), self.started)
    }

    pub fn is_law(&self) -> bool {
        self.number.is_multiple_of(3)
    }

    pub fn object(&self) -> Value {
        let (namespace, name) = name_of(self.number);
        let time = |at: Secs| json!(instant(at).to_string());
        let phase = match self.state {
            State::Fresh => "",
            State::Pending => "Pending",
            State::Ended | State::Blocked => "Succeeded",
            _ => "Running",
        };
        let node = |kind: &str, phase: &str| {
            let id = format!("{name}-{}", self.since);
            json!({id.clone(): {"id": id, "name": id, "displayName": "x", "templateName": "x", "type": kind, "phase": phase, "startedAt": time(self.since)}})
        };
        let mut object = json!({
            "metadata": {"namespace": namespace, "name": name, "uid": self.uid(), "creationTimestamp": time(self.created),
                "labels": {"tier": if self.is_law() { "law" } else { "any" }}},
            "spec": {},
            "status": {},
        });
        if !phase.is_empty() {
            object["status"]["phase"] = phase.into();
            object["metadata"]["labels"]["workflows.argoproj.io/phase"] = phase.into();
        }
        if self.started != 0 {
            object["status"]["startedAt"] = time(self.started);
        }
        match self.state {
            State::Works | State::Stopping | State::Ignored => object["status"]["nodes"] = node("Pod", "Running"),
            State::Waits => object["status"]["nodes"] = node("Pod", "Pending"),
            State::Gate => object["status"]["nodes"] = node("Suspend", "Running"),
            State::Bare => object["status"]["nodes"] = node("Steps", "Running"),
            State::Halted => object["spec"]["suspend"] = true.into(),
            State::Offloaded => object["status"]["offloadNodeStatusVersion"] = "fnv:1".into(),
            State::Ended | State::Blocked => object["status"]["finishedAt"] = time(self.since),
            State::Fresh | State::Pending => {}
        }
        match self.state {
            State::Stopping => object["spec"]["shutdown"] = "Stop".into(),
            State::Ignored => object["metadata"]["annotations"] = json!({"unstick.dev/ignore": "true"}),
            State::Blocked => {
                object["metadata"]["deletionTimestamp"] = time(self.since);
                object["metadata"]["finalizers"] = json!(["example.com/keep"]);
            }
            _ => {}
        }
        object
    }
}

/// The policies: of the namespace, Default and Override.
pub const POLICIES: [&str; 3] = ["p", "cluster/base", "cluster/law"];
/// No threshold of any form is lower or higher than these.
pub const LONGEST: Secs = 2 * 3600;

/// The detections of each form; the last form is not valid.
const FORMS: [&[(Type, Secs)]; 4] = [
    &[(Type::RunningTooLong, 3600), (Type::Suspended, 1800), (Type::Pending, 1200)],
    &[
        (Type::NoProgress, 2700),
        (Type::NodeRunningTooLong, 3600),
        (Type::StoppingTooLong, 1800),
        (Type::NotPickedUp, 600),
        (Type::DeletionBlocked, 1200),
    ],
    &[
        (Type::RunningTooLong, LONGEST),
        (Type::Suspended, LONGEST),
        (Type::Pending, LONGEST),
        (Type::NoProgress, LONGEST),
    ],
    &[],
];
pub const FORMS_OF_POLICIES: usize = FORMS.len();

pub fn form(which: usize, form: usize) -> Value {
    let all = FORMS[form].iter().map(|(kind, after)| json!({"name": kind.as_str().to_lowercase(), "type": kind.as_str(), "after": format!("{after}s")}));
    let mut detections: Vec<Value> = all.collect();
    if detections.is_empty() {
        detections.push(json!({"name": "x", "type": "Nonsense", "after": "1h"}));
    }
    policy(&match which {
        0 => json!({"name": "p", "detections": detections}),
        1 => {
            json!({"name": "base", "cluster": true, "namespaceSelector": {"matchLabels": {"env": "prod"}}, "detections": detections})
        }
        _ => {
            json!({"name": "law", "cluster": true, "precedence": "Override", "selector": {"matchLabels": {"tier": "law"}}, "detections": detections})
        }
    })
}

/// Who governs a workflow: the policy's name, and what it detects.
pub fn governor(
    kept: &Kept,
    forms: &[Option<usize>; 3],
    prod: &BTreeMap<String, bool>,
) -> Option<(&'static str, &'static [(Type, Secs)])> {
    let namespace = name_of(kept.number).0;
    let valid = |which: usize| forms[which].map(|f| FORMS[f]).filter(|d| !d.is_empty());
    let law = valid(2).filter(|_| kept.is_law()).map(|d| ("law", d));
    let own = valid(0).filter(|_| namespace == "etl").map(|d| ("p", d));
    let base = valid(1).filter(|_| prod[&namespace]).map(|d| ("base", d));
    law.or(own).or(base)
}

/// The lowest threshold that any policy ever has for a type.
pub fn least(kind: Type) -> Secs {
    FORMS.iter().flat_map(|f| f.iter()).filter(|(k, _)| *k == kind).map(|(_, after)| *after).min().unwrap()
}

#[derive(Clone, Debug)]
pub enum Act {
    /// A workflow turns into this; `heard` = the watch tells at once, else the next list does.
    Turn {
        number: usize,
        state: usize,
        heard: bool,
    },
    Delete {
        number: usize,
        heard: bool,
    },
    Policy {
        which: usize,
        form: usize,
    },
    PolicyGone(usize),
    /// Whether a namespace is one of `prod`.
    Namespace {
        etl: bool,
        prod: bool,
    },
    Pass(Secs),
    /// How the server answers writes of a kind from now on.
    Answer {
        kind: usize,
        answer: usize,
    },
    Echo(usize),
    Hear,
    /// A write is taken up and not yet carried out.
    TakeUp,
    /// One of those is carried out and answered.
    Answered(usize),
    /// The process dies; `arrives` = what was under way reaches the server all the same.
    Restart {
        start: Start,
        arrives: bool,
    },
    Lead {
        leading: bool,
        arrives: bool,
    },
    /// Argo's Lease: none, alive, silent.
    Argo(usize),
    Blind(usize),
    List,
    DeleteIncident(usize),
    Scrape,
}

pub fn act() -> impl Strategy<Value = Act> {
    let number = || 0..WORKFLOWS;
    prop_oneof![
        8 => (number(), 0..State::ALL.len(), prop::bool::weighted(0.8)).prop_map(|(number, state, heard)| Act::Turn { number, state, heard }),
        2 => (number(), any::<bool>()).prop_map(|(number, heard)| Act::Delete { number, heard }),
        3 => (0..3_usize, 0..FORMS_OF_POLICIES).prop_map(|(which, form)| Act::Policy { which, form }),
        1 => (0..3_usize).prop_map(Act::PolicyGone),
        1 => (any::<bool>(), any::<bool>()).prop_map(|(etl, prod)| Act::Namespace { etl, prod }),
        8 => prop_oneof![1 => 1..30_u32, 3 => 60..3600_u32, 1 => 3600..9000_u32].prop_map(Act::Pass),
        3 => (0..4_usize, 0..6_usize).prop_map(|(kind, answer)| Act::Answer { kind, answer }),
        1 => (0..3_usize).prop_map(Act::Echo),
        1 => Just(Act::Hear),
        4 => Just(Act::TakeUp),
        3 => (0..4_usize).prop_map(Act::Answered),
        2 => (prop_oneof![Just(Start::Lists), Just(Start::Leads), Just(Start::Workflows)], any::<bool>())
            .prop_map(|(start, arrives)| Act::Restart { start, arrives }),
        2 => (any::<bool>(), any::<bool>()).prop_map(|(leading, arrives)| Act::Lead { leading, arrives }),
        1 => (0..3_usize).prop_map(Act::Argo),
        1 => (0..3_usize).prop_map(Act::Blind),
        1 => Just(Act::List),
        1 => (0..8_usize).prop_map(Act::DeleteIncident),
        1 => Just(Act::Scrape),
    ]
}
