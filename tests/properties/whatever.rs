//! Inputs in any order, of anything, at any time: the watchdog survives them and is not kept busy.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::json;
use unstick::api::incident::WorkflowIncident;
use unstick::api::reasons::UnknownReason;
use unstick::api::validate::Context;
use unstick::api::workflow::{Secs, Workflow};
use unstick::watchdog::effect::Ticket;
use unstick::watchdog::input::{Config, Input, PodSeen, Wrote};
use unstick::watchdog::policy::PolicyKey;
use unstick::watchdog::{Watchdog, admit, instant};

use crate::model::{FORMS_OF_POLICIES, Kept, State, WORKFLOWS, form, name_of};
use crate::world::T0;

#[derive(Clone, Debug)]
pub enum Any {
    Workflow {
        number: usize,
        incarnation: u32,
        state: usize,
        time: Secs,
        gone: bool,
    },
    /// Some JSON that is no sensible workflow.
    Odd(String),
    Unreadable(String),
    Policy {
        which: usize,
        form: usize,
        gone: bool,
    },
    Namespace(Option<bool>),
    Incident {
        number: usize,
        incarnation: u32,
        status: u8,
        time: Secs,
    },
    IncidentGone(usize),
    Pod {
        number: usize,
        time: Secs,
        gone: u8,
    },
    Lease(Option<Secs>),
    Metrics(bool),
    Lead(Option<Option<String>>),
    Blind(usize),
    Wrote {
        ticket: u64,
        result: usize,
    },
    /// Takes a write and answers it at once, twice if told so.
    Write {
        result: usize,
        twice: bool,
    },
    Plain(usize),
    /// Time, in either direction.
    Time(Secs),
}

fn time() -> impl Strategy<Value = Secs> {
    prop_oneof![4 => T0 - 90_000..T0 + 90_000, 1 => Just(0), 1 => Just(1), 1 => Just(Secs::MAX), 1 => any::<Secs>()]
}

fn odd() -> impl Strategy<Value = String> {
    let value = prop_oneof![
        Just("null"),
        Just("0"),
        Just("-1"),
        Just("1e99"),
        Just("\"\""),
        Just("\"Running\""),
        Just("[]"),
        Just("{}"),
        Just("[{}]"),
        Just("true"),
        Just("\"2026-11-21T10:00:00Z\"")
    ];
    let key = prop_oneof![
        Just("phase"),
        Just("startedAt"),
        Just("finishedAt"),
        Just("nodes"),
        Just("synchronization"),
        Just("compressedNodes"),
        Just("progress"),
        Just("message")
    ];
    (prop::collection::vec((key, value), 0..5), 0..WORKFLOWS).prop_map(|(fields, number)| {
        let status: Vec<_> = fields.iter().map(|(k, v)| format!("\"{k}\":{v}")).collect();
        let (namespace, name) = name_of(number);
        format!(
            r#"{{"metadata":{{"namespace":"{namespace}","name":"{name}","uid":"{number}"}},"status":{{{}}}}}"#,
            status.join(",")
        )
    })
}

pub fn any_input() -> impl Strategy<Value = Any> {
    let number = || 0..WORKFLOWS;
    let result = || 0..5_usize;
    prop_oneof![
        6 => (number(), 0..3_u32, 0..State::ALL.len(), time(), prop::bool::weighted(0.2)).prop_map(|(number, incarnation, state, time, gone)| Any::Workflow { number, incarnation, state, time, gone }),
        2 => odd().prop_map(Any::Odd),
        1 => "[0-9a-f-]{0,40}".prop_map(Any::Unreadable),
        3 => (0..3_usize, 0..FORMS_OF_POLICIES, prop::bool::weighted(0.2)).prop_map(|(which, form, gone)| Any::Policy { which, form, gone }),
        1 => any::<Option<bool>>().prop_map(Any::Namespace),
        2 => (number(), 0..3_u32, any::<u8>(), time()).prop_map(|(number, incarnation, status, time)| Any::Incident { number, incarnation, status, time }),
        1 => number().prop_map(Any::IncidentGone),
        1 => (number(), time(), 0..3_u8).prop_map(|(number, time, gone)| Any::Pod { number, time, gone }),
        1 => prop::option::of(time()).prop_map(Any::Lease),
        1 => any::<bool>().prop_map(Any::Metrics),
        2 => prop_oneof![Just(None), Just(Some(None)), "v1 [0-9]{1,12} [0-9a-f.,]{0,20}".prop_map(|t| Some(Some(t))), ".{0,20}".prop_map(|t| Some(Some(t)))].prop_map(Any::Lead),
        1 => (0..3_usize).prop_map(Any::Blind),
        2 => (prop_oneof![0..20_u64, (1_u64 << 61)..(1 << 61) + 9, (1_u64 << 62)..(1 << 62) + 9, any::<u64>()], result()).prop_map(|(ticket, result)| Any::Wrote { ticket, result }),
        4 => (result(), any::<bool>()).prop_map(|(result, twice)| Any::Write { result, twice }),
        4 => (0..6_usize).prop_map(Any::Plain),
        4 => time().prop_map(Any::Time),
    ]
}

const RESULTS: [Wrote; 5] = [Wrote::Done, Wrote::Conflict, Wrote::Gone, Wrote::Refused, Wrote::Failed];

fn incident(number: usize, incarnation: u32, status: u8, time: Secs) -> Option<WorkflowIncident> {
    let kept = Kept::new(number, incarnation, time, State::Works);
    let (namespace, name) = name_of(number);
    let at = instant(time).to_string();
    let is = |bit: u8| if status & bit != 0 { "True" } else { "False" };
    let condition = |kind: &str, status: &str, reason: &str| json!({"type": kind, "status": status, "reason": reason, "message": "", "lastTransitionTime": at});
    let mut object = json!({"apiVersion": "unstick.dev/v1alpha1", "kind": "WorkflowIncident",
        "metadata": {"namespace": namespace, "name": format!("i{number}-{incarnation}")},
        "spec": {"workflowRef": {"name": name, "uid": kept.uid(), "startedAt": (status & 4 != 0).then(|| at.clone())},
            "policyRef": {"kind": "WorkflowPolicy", "name": "p", "uid": form(0, 0)["metadata"]["uid"], "generation": 1}, "steps": [], "approvals": []}});
    if status & 8 != 0 {
        let reason = if status & 16 != 0 { "Ended" } else { "Nonsense" };
        object["status"] = json!({"conditions": [condition("Confirmed", is(1), "x"), condition("Closed", is(2), reason)],
            "stuckSince": at, "detections": [{"name": "pending", "type": "Pending", "reason": "PodPending", "since": at, "node": "", "message": ""}]});
    }
    serde_json::from_value(object).ok()
}

fn feed(dog: &mut Watchdog, any: &Any, now: Secs) {
    let at = instant(now);
    match any {
        Any::Workflow { number, incarnation, state, time, gone } => {
            let text = Kept::new(*number, *incarnation, *time, State::ALL[*state]).object().to_string();
            let workflow = Workflow::from_json(&text).unwrap();
            dog.handle(if *gone { Input::WorkflowGone(&workflow) } else { Input::Workflow(&workflow) }, at);
        }
        Any::Odd(text) => drop(dog.handle(Input::Workflow(&Workflow::from_json(text).unwrap()), at)),
        Any::Unreadable(uid) => drop(dog.handle(Input::WorkflowUnreadable { uid }, at)),
        Any::Policy { which, form: of, gone } => {
            let seen = admit::policy(&form(*which, *of), &Context::default()).unwrap();
            let key = seen.origin.key.clone();
            dog.handle(if *gone { Input::PolicyGone(key) } else { Input::Policy(Box::new(seen)) }, at);
        }
        Any::Namespace(prod) => {
            let labels = prod.map(|p| BTreeMap::from([("env".to_owned(), if p { "prod" } else { "x" }.to_owned())]));
            dog.handle(Input::Namespace { name: "etl".to_owned(), labels }, at);
        }
        Any::Incident { number, incarnation, status, time } => {
            if let Some(object) = incident(*number, *incarnation, *status, *time) {
                dog.handle(Input::Incident(Box::new(object)), at);
            }
        }
        Any::IncidentGone(number) => {
            let (namespace, name) = name_of(*number);
            dog.handle(Input::IncidentGone { namespace, name: format!("i-{name}") }, at);
        }
        Any::Pod { number, time, gone } => {
            let (namespace, workflow) = name_of(*number);
            let pod = format!("{workflow}-pod");
            let node_id = format!("{workflow}-{time}");
            let input = match gone {
                0 => Input::Pod(PodSeen { namespace, workflow, pod, node_id, finished: *time }),
                1 => Input::PodGone { namespace, workflow, pod },
                _ => Input::PodVanished { namespace, pod },
            };
            dog.handle(input, at);
        }
        Any::Lease(renewed) => {
            let (namespace, name) = ("argo".to_owned(), "workflow-controller".to_owned());
            dog.handle(Input::ArgoLease { namespace, name, renewed: *renewed }, at);
        }
        Any::Metrics(answered) => {
            dog.handle(Input::ArgoMetrics { instance: "default".to_owned(), answered: *answered }, at);
        }
        Any::Lead(mark) => drop(dog.handle(Input::Leading(mark.clone()), at)),
        Any::Blind(how) => {
            let reason = [None, Some(UnknownReason::WatchStale), Some(UnknownReason::ClockSkew)][*how];
            dog.handle(Input::Blind(reason), at);
        }
        Any::Wrote { ticket, result } => {
            dog.handle(Input::Wrote { ticket: Ticket(*ticket), result: RESULTS[*result] }, at);
        }
        Any::Write { result, twice } => {
            if let Some(write) = dog.next_write(at) {
                for _ in 0..=u8::from(*twice) {
                    dog.handle(Input::Wrote { ticket: write.ticket, result: RESULTS[*result] }, at);
                }
            }
        }
        Any::Plain(which) => {
            let key = PolicyKey { namespace: None, name: "nobody".to_owned() };
            let input = [
                Input::ListBegin,
                Input::ListEnd,
                Input::IncidentsListed,
                Input::WatermarkDurable,
                Input::Tick,
                Input::PolicyGone(key),
            ];
            dog.watermark();
            dog.handle(input.into_iter().nth(*which).unwrap(), at);
        }
        Any::Time(_) => {}
    }
}

/// Feeds everything; after each, once all writes are answered, the next wake-up lies ahead.
pub fn survives(inputs: &[Any]) {
    let mut dog = Watchdog::new(Config { max_incidents: 3, ..Config::default() }, |_| &[]);
    let mut now = T0;
    for any in inputs {
        if let Any::Time(time) = any {
            now = *time;
        }
        feed(&mut dog, any, now);
        let _ = (dog.findings(), dog.totals(), dog.explain("etl", "w1", instant(now)), dog.wanted());
    }
    let at = instant(now);
    for input in [Input::ListBegin, Input::ListEnd, Input::IncidentsListed, Input::Leading(Some(None))] {
        dog.handle(input, at);
    }
    for _ in 0..40 {
        dog.handle(Input::Tick, instant(now));
        let mut writes = 0;
        while let Some(write) = dog.next_write(instant(now)) {
            dog.handle(Input::Wrote { ticket: write.ticket, result: Wrote::Done }, instant(now));
            writes += 1;
            assert!(writes < 500, "writes never stop");
        }
        let Some(wake) = dog.next_wake(instant(now)) else { return };
        assert!(wake > instant(now), "asks to be woken at {wake} when it is {}", instant(now));
        now = Secs::try_from(wake.as_second()).unwrap();
    }
}
