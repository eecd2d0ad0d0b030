//! A cluster in virtual time around the watchdog: a server that keeps objects, a shell that carries out writes at
//! once, a clock that jumps from one deadline to the next.
//!
//! Whatever a test plays, the world itself refuses: a write while not leading, a second create of a name that exists
//! unanswered by Conflict, two open incidents of one run under one policy, a timer that asks to be woken in the past.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};
use unstick::api::incident::WorkflowIncident;
use unstick::api::reasons::UnknownReason;
use unstick::api::validate::Context;
use unstick::api::watchdog::{Watchdog as WatchdogObject, WatchdogSpec};
use unstick::api::workflow::{Secs, Workflow};
use unstick::watchdog::effect::{Note, Write};
use unstick::watchdog::input::{Config, Input, PodSeen, Wrote};
use unstick::watchdog::policy::PolicyKey;
use unstick::watchdog::{Watchdog, admit, instant};

#[path = "names.rs"]
mod names;
#[path = "server.rs"]
mod server;
pub use names::*;

/// Start of every story: 2026-11-21T10:00:00Z.
pub const T0: Secs = 1_795_255_200;

pub type Name = (String, String);

/// When the watch tells of our own write: before its answer, after it, or not until [`World::hear`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Echo {
    Before,
    #[default]
    After,
    Late,
}

/// What the server answers to writes of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Is(Wrote),
    /// Carried out, but the answer is lost.
    Lost,
}

/// What a process that starts has first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// The incidents, then the workflows, then the Lease.
    Lists,
    /// The incidents, then the Lease, then the workflows: nobody else holds it.
    Leads,
    /// The Lease and the workflows, long before the incidents.
    Workflows,
}

pub struct World {
    pub dog: Watchdog,
    pub config: Config,
    pub now: Secs,
    pub workflows: BTreeMap<Name, Value>,
    pub policies: BTreeMap<PolicyKey, Value>,
    pub incidents: BTreeMap<Name, WorkflowIncident>,
    pub pods: Vec<(String, String, String, String, Secs)>,
    pub settings: Option<Value>,
    pub namespaces: BTreeMap<String, BTreeMap<String, String>>,
    /// Argo's Lease: renewed whenever time passes while it is alive.
    pub lease: Option<(Secs, bool)>,
    pub leading: bool,
    /// No process runs: nobody hears anything, nothing is written.
    pub down: bool,
    pub mark: Option<String>,
    pub echo: Echo,
    unheard: Vec<(Name, Option<WorkflowIncident>)>,
    /// Answers by kind of write; anything else succeeds.
    pub answers: BTreeMap<&'static str, Answer>,
    /// Relists asked for and not yet done.
    pub relists: u32,
    pub auto_relist: bool,
    pub written: Vec<String>,
    pub notes: Vec<Note>,
    /// How often time alone has woken the watchdog.
    pub wakes: u32,
}

fn no_bounds(_: &str) -> &'static [f64] {
    &[]
}

impl World {
    pub fn new(config: Config) -> Self {
        Self {
            dog: Watchdog::new(config.clone(), no_bounds),
            config,
            now: T0,
            workflows: BTreeMap::new(),
            policies: BTreeMap::new(),
            incidents: BTreeMap::new(),
            pods: Vec::new(),
            settings: None,
            namespaces: BTreeMap::new(),
            lease: None,
            leading: false,
            down: false,
            mark: None,
            echo: Echo::After,
            unheard: Vec::new(),
            answers: BTreeMap::new(),
            relists: 0,
            auto_relist: true,
            written: Vec::new(),
            notes: Vec::new(),
            wakes: 0,
        }
    }

    pub fn at(&self) -> Timestamp {
        instant(self.now)
    }

    pub fn feed(&mut self, input: Input<'_>) {
        if self.down {
            return;
        }
        let at = self.at();
        self.relists += u32::try_from(self.dog.handle(input, at).len()).unwrap();
    }

    /// A process that starts now: it is told everything in the order in which the shell tells it.
    pub fn start(&mut self) {
        self.start_with(Start::Lists);
    }

    pub fn start_with(&mut self, start: Start) {
        self.dog = Watchdog::new(self.config.clone(), no_bounds);
        self.down = false;
        self.relists = 0;
        self.unheard.clear();
        for (name, labels) in self.namespaces.clone() {
            self.feed(Input::Namespace { name, labels: Some(labels) });
        }
        self.tell_settings();
        for key in self.policies.keys().cloned().collect::<Vec<_>>() {
            self.tell_policy(&key);
        }
        self.renew();
        for pod in self.pods.clone() {
            self.tell_pod(&pod);
        }
        if start == Start::Workflows {
            // It leads already, and nothing may be written before what has been said is known.
            self.lead(self.leading);
            self.list();
            self.calm();
        }
        for incident in self.incidents.values().cloned().collect::<Vec<_>>() {
            self.feed(Input::Incident(Box::new(incident)));
        }
        self.feed(Input::IncidentsListed);
        match start {
            Start::Workflows => {}
            Start::Leads => {
                self.lead(self.leading);
                self.list();
            }
            Start::Lists => {
                self.list();
                if self.leading {
                    self.lead(true);
                }
            }
        }
    }

    pub fn lead(&mut self, leading: bool) {
        self.leading = leading;
        let mark = leading.then(|| self.mark.clone());
        self.feed(Input::Leading(mark));
    }

    /// A scrape: the watermark goes to the Lease first.
    pub fn scrape(&mut self) {
        if let Some(mark) = self.dog.watermark() {
            self.mark = Some(mark);
            self.feed(Input::WatermarkDurable);
        }
    }

    pub fn list(&mut self) {
        self.relists = 0;
        self.feed(Input::ListBegin);
        for object in self.workflows.values().cloned().collect::<Vec<_>>() {
            self.tell_workflow(&object);
        }
        self.feed(Input::ListEnd);
    }

    pub fn tell_workflow(&mut self, object: &Value) {
        let text = object.to_string();
        let workflow = Workflow::from_json(&text).unwrap();
        self.feed(Input::Workflow(&workflow));
    }

    pub fn apply(&mut self, object: Value) {
        let name = key_of(&object);
        self.tell_workflow(&object);
        self.workflows.insert(name, object);
    }

    pub fn delete(&mut self, name: &Name) {
        let Some(object) = self.workflows.remove(name) else { return };
        let text = object.to_string();
        let workflow = Workflow::from_json(&text).unwrap();
        self.feed(Input::WorkflowGone(&workflow));
    }

    pub fn apply_policy(&mut self, mut object: Value) {
        let cluster = object["kind"] == "ClusterWorkflowPolicy";
        let metadata = &object["metadata"];
        let text = |k: &str| metadata[k].as_str().unwrap_or_default().to_owned();
        let key = PolicyKey { namespace: (!cluster).then(|| text("namespace")), name: text("name") };
        if let Some(old) = self.policies.get(&key) {
            object["status"] = old["status"].clone();
            let generation = old["metadata"]["generation"].as_i64().unwrap();
            let same = old["spec"] == object["spec"];
            object["metadata"]["generation"] = json!(generation + i64::from(!same));
        } else {
            object["metadata"]["generation"] = json!(1);
        }
        self.policies.insert(key.clone(), object);
        self.tell_policy(&key);
    }

    fn tell_policy(&mut self, key: &PolicyKey) {
        let floor = i64::from(self.config.no_progress_floor);
        let context = Context { no_progress_floor: floor, ..Context::default() };
        let seen = admit::policy(&self.policies[key], &context).unwrap();
        self.feed(Input::Policy(Box::new(seen)));
    }

    pub fn drop_policy(&mut self, key: PolicyKey) {
        self.policies.remove(&key);
        self.feed(Input::PolicyGone(key));
    }

    pub fn tell_settings(&mut self) {
        let object = self.settings.as_ref().map(|s| {
            let mut object = WatchdogObject::new("default", WatchdogSpec::from_value(&s["spec"]).unwrap());
            object.status = serde_json::from_value(s["status"].clone()).ok();
            Box::new(object)
        });
        self.feed(Input::Settings(object));
    }

    pub fn apply_pod(&mut self, pod: (String, String, String, String, Secs)) {
        self.tell_pod(&pod);
        self.pods.push(pod);
    }

    fn tell_pod(&mut self, (namespace, workflow, pod, node_id, finished): &(String, String, String, String, Secs)) {
        self.feed(Input::Pod(PodSeen {
            namespace: namespace.clone(),
            workflow: workflow.clone(),
            pod: pod.clone(),
            node_id: node_id.clone(),
            finished: *finished,
        }));
    }

    pub fn delete_pod(&mut self, pod: &str) {
        let Some(at) = self.pods.iter().position(|p| p.2 == pod) else { return };
        let (namespace, workflow, pod, ..) = self.pods.remove(at);
        self.feed(Input::PodGone { namespace, workflow, pod });
    }

    pub fn blind(&mut self, reason: Option<UnknownReason>) {
        self.feed(Input::Blind(reason));
    }

    fn renew(&mut self) {
        if let Some((at, alive)) = &mut self.lease {
            if *alive {
                *at = self.now;
            }
            let renewed = Some(*at);
            let (namespace, name) = ("argo".to_owned(), "workflow-controller".to_owned());
            self.feed(Input::ArgoLease { namespace, name, renewed });
        }
    }

    /// Time passes until `until`, waking exactly when the watchdog asks for it.
    pub fn run_to(&mut self, until: Secs) {
        self.calm();
        while let Some(wake) = self.dog.next_wake(self.at()).filter(|_| !self.down) {
            let wake = Secs::try_from(wake.as_second()).unwrap();
            assert!(wake > self.now, "asks to be woken at {} when it is {}: a busy loop", rel(wake), rel(self.now));
            if wake > until {
                break;
            }
            self.now = wake;
            self.wakes += 1;
            self.renew();
            self.feed(Input::Tick);
            self.calm();
        }
        self.now = self.now.max(until);
        self.renew();
        self.feed(Input::Tick);
        self.calm();
    }

    /// Carries out everything that is to be written now.
    pub fn calm(&mut self) {
        for _ in 0..10_000 {
            if self.auto_relist && self.relists > 0 {
                self.list();
            }
            let at = self.at();
            let Some(write) = self.dog.next_write(at).filter(|_| !self.down) else { return };
            self.carry_out(write);
        }
        let last = self.written.len().saturating_sub(12);
        panic!("writes never stop: {:#?}", &self.written[last..]);
    }

    pub fn carry_out(&mut self, write: Write) {
        assert!(self.leading, "a write while not leading: {:?}", write.op);
        let kind = kind_of(&write.op);
        let answer = self.answers.get(kind).copied().unwrap_or(Answer::Is(Wrote::Done));
        let done = matches!(answer, Answer::Is(Wrote::Done) | Answer::Lost);
        let line = self.describe(&write.op);
        let result = if done { self.perform(&write.op) } else { Wrote::Failed };
        let result = match answer {
            Answer::Is(Wrote::Done) => result,
            Answer::Is(other) => other,
            Answer::Lost => Wrote::Failed,
        };
        let outcome = if result == Wrote::Done { String::new() } else { format!(" ({result:?})") };
        self.written.push(format!("{line}{outcome}"));
        if self.echo == Echo::Before {
            self.hear();
        }
        self.feed(Input::Wrote { ticket: write.ticket, result });
        if self.echo == Echo::After {
            self.hear();
        }
    }

    /// The watch tells what has been written.
    pub fn hear(&mut self) {
        for ((namespace, name), object) in std::mem::take(&mut self.unheard) {
            match object {
                Some(object) => self.feed(Input::Incident(Box::new(object))),
                None => self.feed(Input::IncidentGone { namespace, name }),
            }
        }
    }
}
