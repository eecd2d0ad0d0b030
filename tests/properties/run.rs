//! Plays a generated sequence and holds what the watchdog says against the model.

use std::collections::{BTreeMap, BTreeSet};

use unstick::api::incident::{IncidentState, WorkflowIncident};
use unstick::api::reasons::{DetectionType as Type, UnknownReason};
use unstick::api::workflow::Secs;
use unstick::watchdog::effect::Write;
use unstick::watchdog::input::{Config, Input, Wrote};
use unstick::watchdog::policy::PolicyKey;
use unstick::watchdog::secs;

use crate::model::{Act, Kept, POLICIES, State, WORKFLOWS, form, governor, least, name_of};
use crate::world::{Answer, Echo, Name, World, rel, state};

pub struct Run {
    pub world: World,
    kept: BTreeMap<usize, Kept>,
    incarnations: u32,
    forms: [Option<usize>; 3],
    prod: BTreeMap<String, bool>,
    /// Taken up by the shell, not yet carried out.
    flying: Vec<Write>,
    /// Since when a run has shown the state of a type for the first time.
    shown: BTreeMap<(String, Secs, Type), Secs>,
    /// Runs that have ended, and completions that processes which are gone have counted.
    ended: BTreeSet<(String, Secs)>,
    counted: u64,
    cap: usize,
}

impl Run {
    pub fn new(cap: usize) -> Self {
        let config =
            Config { max_incidents: cap, incident_ttl: 3600, identity: "unstick-0".to_owned(), ..Config::default() };
        let mut world = World::new(config);
        let prod: BTreeMap<String, bool> = [("etl".to_owned(), true), ("ml".to_owned(), true)].into();
        world.leading = true;
        let mut run = Self {
            world,
            kept: BTreeMap::new(),
            incarnations: 0,
            forms: [None; 3],
            prod,
            flying: Vec::new(),
            shown: BTreeMap::new(),
            ended: BTreeSet::new(),
            counted: 0,
            cap,
        };
        for namespace in ["etl", "ml"] {
            run.label(namespace, true);
        }
        run.put_policy(0, 0);
        run.put_policy(1, 2);
        run.world.start();
        run.world.calm();
        run
    }

    fn label(&mut self, namespace: &str, prod: bool) {
        self.prod.insert(namespace.to_owned(), prod);
        let labels: BTreeMap<_, _> = [("env".to_owned(), if prod { "prod" } else { "test" }.to_owned())].into();
        self.world.namespaces.insert(namespace.to_owned(), labels.clone());
        self.world.feed(Input::Namespace { name: namespace.to_owned(), labels: Some(labels) });
    }

    fn put_policy(&mut self, which: usize, of: usize) {
        self.forms[which] = Some(of);
        self.world.apply_policy(form(which, of));
    }

    fn completions(&self) -> u64 {
        self.world.dog.tally.counters.get("unstick_workflows_completed_total").map_or(0, |s| s.values().sum())
    }

    fn keep(&mut self, kept: Kept, heard: bool) {
        for kind in kept.state.shows() {
            let since = if *kind == Type::RunningTooLong && kept.started != 0 { kept.started } else { kept.since };
            let run = kept.run();
            let first = self.shown.entry((run.0, run.1, *kind)).or_insert(since);
            *first = since.min(*first);
        }
        if matches!(kept.state, State::Ended | State::Blocked) {
            self.ended.insert(kept.run());
        }
        self.kept.insert(kept.number, kept);
        if heard {
            self.world.apply(kept.object());
        } else {
            self.world.workflows.insert(name_of(kept.number), kept.object());
        }
    }

    fn remove(&mut self, number: usize, heard: bool) {
        self.kept.remove(&number);
        if heard {
            self.world.delete(&name_of(number));
        } else {
            self.world.workflows.remove(&name_of(number));
        }
    }

    /// What was under way dies with the process or its Lease; the server may have got it all the same.
    fn abort(&mut self, arrives: bool) {
        for write in std::mem::take(&mut self.flying) {
            if arrives {
                self.world.perform(&write.op);
            }
        }
        self.world.hear();
    }

    pub fn act(&mut self, act: &Act) {
        let now = self.world.now;
        match *act {
            Act::Turn { number, state, heard } => {
                let state = State::ALL[state];
                let turned = self.kept.get(&number).and_then(|k| k.turned(state, now));
                let kept = turned.unwrap_or_else(|| {
                    self.remove(number, heard);
                    self.incarnations += 1;
                    Kept::new(number, self.incarnations, now, state)
                });
                self.keep(kept, heard);
            }
            Act::Delete { number, heard } => self.remove(number, heard),
            Act::Policy { which, form } => self.put_policy(which, form),
            Act::PolicyGone(which) => {
                if self.forms[which].take().is_some() {
                    let (namespace, name) = match POLICIES[which].strip_prefix("cluster/") {
                        Some(name) => (None, name),
                        None => (Some("etl".to_owned()), POLICIES[which]),
                    };
                    self.world.drop_policy(PolicyKey { namespace, name: name.to_owned() });
                }
            }
            Act::Namespace { etl, prod } => self.label(if etl { "etl" } else { "ml" }, prod),
            Act::Pass(span) => self.pass(span),
            Act::Answer { kind, answer } => {
                let kind = ["open", "status", "delete", "event"][kind];
                let done = Answer::Is(Wrote::Done);
                let refused = Answer::Is(Wrote::Refused);
                let failed = Answer::Is(Wrote::Failed);
                let answer = [done, done, failed, Answer::Lost, refused, Answer::Lost][answer];
                self.world.answers.insert(kind, answer);
            }
            Act::Echo(echo) => self.world.echo = [Echo::Before, Echo::After, Echo::Late][echo],
            Act::Hear => self.world.hear(),
            Act::TakeUp => {
                let at = self.world.at();
                // As many as the shell has under way at once.
                if self.flying.len() < 4 {
                    self.flying.extend(self.world.dog.next_write(at));
                }
                return;
            }
            Act::Answered(which) => {
                if which < self.flying.len() {
                    let write = self.flying.swap_remove(which);
                    self.world.carry_out(write);
                }
                return;
            }
            Act::Restart { start, arrives } => {
                self.abort(arrives);
                self.counted += self.completions();
                self.world.start_with(start);
            }
            Act::Lead { leading, arrives } => {
                if !leading {
                    self.abort(arrives);
                }
                self.world.lead(leading);
            }
            Act::Argo(0) => {
                self.world.lease = None;
                let (namespace, name) = ("argo".to_owned(), "workflow-controller".to_owned());
                self.world.feed(Input::ArgoLease { namespace, name, renewed: None });
            }
            Act::Argo(alive) => self.world.lease = Some((now, alive == 1)),
            Act::Blind(how) => {
                self.world.blind([None, Some(UnknownReason::WatchStale), Some(UnknownReason::ClockSkew)][how]);
            }
            Act::List => self.world.list(),
            Act::DeleteIncident(which) => {
                let key = self.world.incidents.keys().nth(which).cloned();
                if let Some((namespace, name)) = key {
                    self.world.incidents.remove(&(namespace.clone(), name.clone()));
                    self.world.feed(Input::IncidentGone { namespace, name });
                }
            }
            Act::Scrape => self.world.scrape(),
        }
        assert!(self.counted + self.completions() <= self.ended.len() as u64, "a completion was counted twice");
    }

    /// Time passes; every wake-up must have been worth it.
    fn pass(&mut self, span: Secs) {
        let (wakes, written) = (self.world.wakes, self.world.written.len());
        self.world.run_to(self.world.now + span);
        let (wakes, written) = (self.world.wakes - wakes, self.world.written.len() - written);
        // Each write, each threshold, each minute of Argo's Lease, each status worked out anew.
        let worth = written * 2 + WORKFLOWS * 8 + span as usize / 30 + 8;
        assert!(wakes as usize <= worth, "{wakes} wake-ups in {span} s for {written} writes");
    }

    fn confirmed(&self) -> impl Iterator<Item = (&Name, &WorkflowIncident)> {
        self.world.incidents.iter().filter(|(_, o)| state(o).is_some_and(|s| s != IncidentState::Unconfirmed))
    }

    /// No incident lists a state that its run never showed, nor one that began later or has not lasted long enough.
    pub fn nothing_invented(&self) {
        for (name, incident) in self.confirmed() {
            let of = &incident.spec.workflow_ref;
            let started = of.started_at.map_or(0, |t| secs(t.get()));
            let status = incident.status.as_ref().unwrap();
            assert!(!status.detections.is_empty(), "{name:?} is an incident of nothing");
            for held in &status.detections {
                let since = secs(held.since.get());
                let shown = self.shown.get(&(of.uid.clone(), started, held.kind));
                let shown = shown.unwrap_or_else(|| panic!("{name:?}: this run has never shown {}", held.kind));
                assert!(
                    *shown <= since,
                    "{name:?}: {} since {}, shown first at {}",
                    held.kind,
                    rel(since),
                    rel(*shown)
                );
                let least = least(held.kind);
                assert!(since + least <= self.world.now, "{name:?}: {} for less than {least} s", held.kind);
            }
        }
    }

    /// All faults are over, and all that was missed is told.
    pub fn last_fault(&mut self) {
        while let Some(write) = self.flying.pop() {
            self.world.carry_out(write);
        }
        self.world.answers.clear();
        self.world.echo = Echo::After;
        self.world.hear();
        self.world.lease = self.world.lease.map(|_| (self.world.now, true));
        self.world.blind(None);
        if !self.world.leading {
            self.world.lead(true);
        }
        self.world.run_to(self.world.now);
        self.world.list();
        self.world.calm();
    }

    fn open(&self) -> BTreeMap<(String, String, Secs), Vec<Type>> {
        let open = self.world.incidents.values().filter(|o| state(o) == Some(IncidentState::Open));
        let each = open.map(|o| {
            let of = &o.spec.workflow_ref;
            let started = of.started_at.map_or(0, |t| secs(t.get()));
            let held = o.status.as_ref().unwrap().detections.iter().map(|d| d.kind).collect();
            ((of.uid.clone(), o.spec.policy_ref.name.clone(), started), held)
        });
        each.collect()
    }

    /// Who is stuck by the model has an incident that lists why, under the cap; nobody else has one that is open.
    pub fn everything_is_said(&self) {
        let mut wanted = BTreeMap::new();
        let mut undecided = Vec::new();
        for kept in self.kept.values() {
            let Some((name, detections)) = governor(kept, &self.forms, &self.prod) else { continue };
            let mut types: Vec<Type> =
                detections.iter().map(|(k, _)| *k).filter(|k| kept.state.shows().contains(k)).collect();
            types.sort();
            let (uid, started) = kept.run();
            if kept.state == State::Offloaded {
                undecided.push((uid.clone(), name.to_owned(), started));
            }
            if !types.is_empty() {
                wanted.insert((uid, name.to_owned(), started), types);
            }
        }
        let open = self.open();
        for (key, types) in &open {
            if undecided.contains(key) {
                // Unknown closes nothing: what was said before stays.
                assert!(wanted.get(key).into_iter().flatten().all(|k| types.contains(k)), "{key:?} {types:?}");
                continue;
            }
            assert_eq!(wanted.get(key), Some(types), "{key:?}; the model and the incident");
        }
        if self.cap >= WORKFLOWS {
            let missing: Vec<_> = wanted.keys().filter(|k| !open.contains_key(*k)).collect();
            assert!(missing.is_empty(), "stuck without an incident: {missing:?}");
        } else {
            assert!(open.len() >= wanted.len().min(self.cap), "{} open of {} stuck", open.len(), wanted.len());
        }
        let found: Vec<_> = self.world.dog.findings().into_iter().map(|f| f.uid).collect();
        assert!(wanted.keys().all(|(uid, ..)| found.contains(uid)), "stuck and not found");
    }

    /// Nothing is written, and nobody is woken but by the minutes of Argo's Lease.
    pub fn quiet(&mut self, span: Secs) {
        self.world.written.clear();
        let wakes = self.world.wakes;
        self.world.run_to(self.world.now + span);
        assert_eq!(self.world.written, Vec::<String>::new(), "writes do not stop");
        let wakes = self.world.wakes - wakes;
        let minutes = if self.world.lease.is_some() { span / 60 + 1 } else { 0 };
        assert!(wakes <= minutes, "{wakes} wake-ups in {span} s of quiet");
        for (name, incident) in &self.world.incidents {
            let halted = |k: &Kept| k.state == State::Halted && k.uid() == incident.spec.workflow_ref.uid;
            match state(incident) {
                Some(IncidentState::Open) => {}
                Some(IncidentState::Unconfirmed) => assert!(self.kept.values().any(halted), "{name:?} keeps no clock"),
                other => panic!("{name:?} is left behind: {other:?}"),
            }
        }
    }

    fn seen(&self, world: &World, but: &[State]) -> Vec<String> {
        let mut seen = Vec::new();
        for kept in self.kept.values().filter(|k| !but.contains(&k.state)) {
            let (namespace, name) = name_of(kept.number);
            let found = world
                .dog
                .explain(&namespace, &name, world.at())
                .map(|e| (e.uid, e.started_at, e.phase, e.standing, e.detections, e.checks, e.governing));
            seen.push(format!("{found:?}"));
        }
        seen
    }

    /// Marking and sweeping gives what the events gave.
    pub fn a_list_changes_nothing(&mut self) {
        let before =
            (self.seen(&self.world, &[]), self.world.dog.tracked(), self.world.dog.next_judged(self.world.at()));
        self.world.list();
        let after =
            (self.seen(&self.world, &[]), self.world.dog.tracked(), self.world.dog.next_judged(self.world.at()));
        assert_eq!(before, after);
        assert_eq!(before.1, self.kept.len());
        self.world.calm();
        assert_eq!(self.world.written, Vec::<String>::new(), "a list made something new of the same");
    }

    /// A process that hears of everything only now sees the same, but for clocks of its own.
    pub fn a_newcomer_sees_the_same(&self) {
        let own = [State::Halted, State::Stopping, State::Offloaded];
        let mut other = World::new(self.world.config.clone());
        other.now = self.world.now;
        other.namespaces.clone_from(&self.world.namespaces);
        other.policies.clone_from(&self.world.policies);
        other.workflows.clone_from(&self.world.workflows);
        other.lease = self.world.lease;
        other.start();
        assert_eq!(self.seen(&self.world, &own), self.seen(&other, &own));
    }

    pub fn a_restart_writes_nothing(&mut self) {
        if self.cap < WORKFLOWS {
            // Clocks of our own start late where no incident keeps them: then others are the longest-stuck.
            return;
        }
        let before = self.open();
        self.world.start();
        if self.kept.values().any(|k| k.state == State::Offloaded) {
            // What was seen while its nodes were in sight is kept by incidents alone: counts of policies start anew.
            self.world.run_to(self.world.now + 3600);
            self.world.written.retain(|w| !w.starts_with("policy "));
            assert_eq!(self.world.written, Vec::<String>::new(), "a restart made something new of the same");
        } else {
            self.quiet(3600);
        }
        assert_eq!(before, self.open());
    }
}
