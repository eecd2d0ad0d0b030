//! Plays a story and compares what comes of it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use unstick::api::condition;
use unstick::api::policy::PolicyStatus;
use unstick::api::reasons::{ConditionType, UnknownReason};
use unstick::api::watchdog::WatchdogStatus;
use unstick::watchdog::input::{Input, Wrote};
use unstick::watchdog::policy::PolicyKey;
use unstick::watchdog::report::{Standing, Verdict};
use unstick::watchdog::{Watchdog, secs};

use super::script::{Case, Expect, Step, config, merge, policy, split, workflow};
use super::world::{Answer, Echo, Start, T0, World, rel, state, unrel};

/// What a story brought about: `Type/Reason` of everything that was ever found, and what differs from what was expected.
#[derive(Debug, Default)]
pub struct Outcome {
    pub found: BTreeSet<String>,
    pub differences: Vec<String>,
}

pub fn play(case: &Case) -> Outcome {
    let mut out = Outcome::default();
    let mut world = World::new(config(&case.given.config));
    world.namespaces.clone_from(&case.given.namespaces);
    world.settings.clone_from(&case.given.settings);
    world.lease = case.given.argo.then_some((T0, true));
    for short in &case.given.workflows {
        put(&mut world, short, false);
    }
    let mut policies: Vec<Value> = case.given.policies.iter().map(policy).collect();
    if !case.given.detections.is_empty() {
        policies.push(policy(&json!({"detections": case.given.detections})));
    }
    for mut object in policies {
        object["metadata"]["generation"] = json!(1);
        let text = |k: &str| object["metadata"][k].as_str().map(str::to_owned);
        let key = PolicyKey { namespace: text("namespace"), name: text("name").unwrap() };
        world.policies.insert(key, object);
    }
    world.leading = case.given.leading.unwrap_or(true);
    world.start();
    world.calm();
    for (i, step) in case.timeline.iter().enumerate() {
        if let Some(at) = &step.at {
            let at = unrel(at).unwrap_or_else(|| panic!("at: {at}"));
            assert!(at >= world.now, "time goes back");
            // One second before too: what is found then counts for near misses.
            world.run_to(at.max(world.now + 1) - 1);
            note_found(&world.dog, &mut out);
            world.run_to(at);
        }
        act(&mut world, step);
        world.calm();
        note_found(&world.dog, &mut out);
        if let Some(expect) = &step.expect {
            let place = format!("step {} ({})", i + 1, rel(world.now));
            compare(&mut world, expect, &place, &mut out.differences);
        }
    }
    for wanted in &case.fires {
        if !out.found.contains(wanted) {
            out.differences.push(format!("{wanted} was never found, only {:?}", out.found));
        }
    }
    for near in &case.near_miss {
        if out.found.contains(near) {
            out.differences.push(format!("{near} was found"));
        }
    }
    out
}

fn note_found(dog: &Watchdog, out: &mut Outcome) {
    for finding in dog.findings() {
        out.found.extend(finding.detections.iter().map(|h| format!("{}/{}", h.kind, h.reason)));
    }
}

fn put(world: &mut World, short: &Value, tell: bool) {
    let name = split(short["name"].as_str().unwrap());
    let object = workflow(short, world.workflows.get(&name), world.now);
    if tell {
        world.apply(object);
    } else {
        world.workflows.insert(name, object);
    }
}

fn act(world: &mut World, step: &Step) {
    world.down |= step.down;
    if let Some(auto) = step.auto_relist {
        world.auto_relist = auto;
    }
    if let Some(echo) = &step.echo {
        world.echo = match echo.as_str() {
            "before" => Echo::Before,
            "late" => Echo::Late,
            _ => Echo::After,
        };
        world.hear();
    }
    for (kind, answer) in step.answers.iter().flatten() {
        let kinds = ["open", "status", "delete", "event", "policy", "watchdog"];
        let kind = *kinds.iter().find(|k| **k == kind.as_str()).unwrap_or_else(|| panic!("no writes of kind {kind}"));
        let answer = match answer.as_str() {
            "Conflict" => Answer::Is(Wrote::Conflict),
            "Gone" => Answer::Is(Wrote::Gone),
            "Refused" => Answer::Is(Wrote::Refused),
            "Failed" => Answer::Is(Wrote::Failed),
            "Lost" => Answer::Lost,
            "Done" => Answer::Is(Wrote::Done),
            other => panic!("answer {other}"),
        };
        world.answers.insert(kind, answer);
    }
    for short in step.workflow.iter().chain(&step.workflows) {
        put(world, short, true);
    }
    for name in &step.gone {
        world.delete(&split(name));
    }
    for name in &step.vanish {
        world.workflows.remove(&split(name));
    }
    if let Some(short) = &step.policy {
        world.apply_policy(policy(short));
    }
    if let Some(name) = &step.policy_gone {
        let key = match name.strip_prefix("cluster/") {
            Some(name) => PolicyKey { namespace: None, name: name.to_owned() },
            None => PolicyKey { namespace: Some(split(name).0), name: split(name).1 },
        };
        world.drop_policy(key);
    }
    if let Some(spec) = &step.settings {
        let mut object = world.settings.clone().unwrap_or_else(|| json!({}));
        merge(&mut object, spec);
        world.settings = Some(object);
        world.tell_settings();
    }
    if let Some((name, labels)) = &step.namespace {
        match labels {
            Some(labels) => drop(world.namespaces.insert(name.clone(), labels.clone())),
            None => drop(world.namespaces.remove(name)),
        }
        world.feed(Input::Namespace { name: name.clone(), labels: labels.clone() });
    }
    if let Some((wf, node, finished)) = &step.pod {
        let (namespace, wf) = split(wf);
        let (pod, node) = (format!("{wf}-{node}"), format!("{wf}-{node}"));
        world.apply_pod((namespace, wf, pod, node, unrel(finished).unwrap()));
    }
    if let Some(pod) = &step.pod_gone {
        world.delete_pod(pod);
    }
    if let Some(alive) = step.argo {
        world.lease = Some((world.now, alive));
        world.run_to(world.now);
    }
    if step.lease_gone {
        world.lease = None;
        let (namespace, name) = ("argo".to_owned(), "workflow-controller".to_owned());
        world.feed(Input::ArgoLease { namespace, name, renewed: None });
    }
    if let Some(reason) = &step.blind {
        world.blind(UnknownReason::parse(reason));
    }
    for name in &step.delete_incidents {
        let (_, name) = split(name);
        let keys = world.incidents.iter().filter(|(_, o)| o.spec.workflow_ref.name == name);
        for (namespace, name) in keys.map(|(k, _)| k.clone()).collect::<Vec<_>>() {
            world.incidents.remove(&(namespace.clone(), name.clone()));
            world.feed(Input::IncidentGone { namespace, name });
        }
    }
    if step.restart || step.restart_workflows_first {
        world.start_with(if step.restart { Start::Leads } else { Start::Workflows });
    }
    if let Some(leading) = step.leading {
        world.lead(leading);
    }
    if step.list {
        world.list();
    }
    if step.scrape {
        world.scrape();
    }
}

fn compare(world: &mut World, expect: &Expect, place: &str, differences: &mut Vec<String>) {
    let mut differ = |what: &str, expected: String, found: String| {
        if expected != found {
            differences.push(format!("{place}: {what}\n    expected {expected}\n    found    {found}"));
        }
    };
    let lines = |all: &[String]| if all.is_empty() { "nothing".to_owned() } else { all.join("\n             ") };
    if let Some(expected) = &expect.stuck {
        differ("stuck", lines(expected), lines(&stuck(&world.dog)));
    }
    if let Some(expected) = &expect.incidents {
        differ("incidents", lines(expected), lines(&incidents(world)));
    }
    if let Some(expected) = &expect.events {
        let notes = std::mem::take(&mut world.notes);
        let found: Vec<_> = notes
            .iter()
            .map(|n| format!("{} on {} {}: {}", n.reason, n.regarding.kind, n.regarding.name, n.text))
            .collect();
        differ("events", lines(expected), lines(&found));
    }
    if let Some(expected) = &expect.writes {
        let mut found = std::mem::take(&mut world.written);
        found.retain(|w| !w.starts_with("policy ") && w != "watchdog");
        differ("writes", lines(expected), lines(&found));
    }
    if let Some(expected) = &expect.wake {
        let wake = world.dog.next_wake(world.at());
        differ("wake", expected.clone(), wake.map_or("none".to_owned(), |w| rel(secs(w))));
    }
    if let Some(expected) = expect.relists {
        differ("relists asked for", expected.to_string(), world.relists.to_string());
    }
    for (name, expected) in expect.standing.iter().flatten() {
        let (ns, wf) = split(name);
        let found = world.dog.explain(&ns, &wf, world.at()).map_or("not there".to_owned(), |e| match e.standing {
            Standing::Unknown(reason) => format!("Unknown {reason}"),
            Standing::SetAside(how) => format!("SetAside {how}"),
            other => format!("{other:?}"),
        });
        differ(&format!("standing of {name}"), expected.clone(), found);
    }
    for (name, expected) in expect.governing.iter().flatten() {
        let (ns, wf) = split(name);
        let governing = world.dog.explain(&ns, &wf, world.at()).and_then(|e| e.governing);
        let found = governing.map_or("nobody".to_owned(), |g| format!("{}: {}", g.policy, g.why));
        differ(&format!("governing {name}"), expected.clone(), found);
    }
    for (name, expected) in expect.checks.iter().flatten() {
        let (ns, wf) = split(name);
        let checks: BTreeMap<_, _> = world
            .dog
            .explain(&ns, &wf, world.at())
            .into_iter()
            .flat_map(|e| e.checks)
            .map(|c| (c.name, verdict(&c.verdict)))
            .collect();
        for (check, expected) in expected {
            let found = checks.get(check).cloned().unwrap_or("not there".to_owned());
            differ(&format!("{check} of {name}"), expected.clone(), found);
        }
    }
    for (name, expected) in expect.policies.iter().flatten() {
        let object = world.policies.iter().find(|(k, _)| k.label() == *name).map(|(_, o)| o["status"].clone());
        let status = object.and_then(|s| serde_json::from_value::<PolicyStatus>(s).ok());
        differ(&format!("status of policy {name}"), expected.clone(), status.map_or("none".to_owned(), |s| said(&s)));
    }
    if let Some(expected) = &expect.watchdog {
        let status =
            world.settings.as_ref().and_then(|s| serde_json::from_value::<WatchdogStatus>(s["status"].clone()).ok());
        let found = status.map_or("none".to_owned(), |s| {
            format!("tracked {} stuck {} incidents {} argo {}", s.tracked, s.stuck, s.incidents, s.argo_state)
        });
        differ("the Watchdog's status", expected.clone(), found);
    }
    for (family, expected) in expect.count.iter().flatten() {
        let (family, labels) = family.split_once(' ').unwrap_or((family, ""));
        let series = world.dog.tally.counters.get(family);
        let sum = series.map_or(0, |s| {
            s.iter()
                .filter(|(k, _)| labels.split(' ').all(|l| l.is_empty() || k.iter().any(|v| v == l)))
                .map(|(_, n)| n)
                .sum::<u64>()
        });
        differ(&format!("{family} {labels}"), expected.to_string(), sum.to_string());
    }
}

fn verdict(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Absent => "Absent".to_owned(),
        Verdict::HealthyUntil { until, holding } => {
            format!("{} healthy until {}", holding.reason, rel(secs(*until)))
        }
        Verdict::Stuck(holding) => format!("{} since {}", holding.reason, rel(secs(holding.since))),
        Verdict::Unknown(reason) => format!("Unknown {reason}"),
    }
}

/// Everything that is found, one line for each detection that holds, in their order.
pub fn stuck(dog: &Watchdog) -> Vec<String> {
    let mut findings = dog.findings();
    findings.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
    let mut out = Vec::new();
    for f in &findings {
        for h in &f.detections {
            let node = if h.node.is_empty() { String::new() } else { format!(" at {}", h.node) };
            let since = rel(secs(h.since));
            out.push(format!(
                "{} {}/{} since {since}{node}: {}",
                short(&f.namespace, &f.name),
                h.kind,
                h.reason,
                h.message
            ));
        }
    }
    out
}

fn short(namespace: &str, name: &str) -> String {
    if namespace == "etl" { name.to_owned() } else { format!("{namespace}/{name}") }
}

/// `a Open since +0s [Suspended/AwaitingResume]`, in the order of workflows and beginnings.
pub fn incidents(world: &World) -> Vec<String> {
    let mut all: Vec<_> = world.incidents.values().collect();
    all.sort_by_key(|o| {
        let since = o.status.as_ref().and_then(|s| s.stuck_since);
        (o.metadata.namespace.clone(), o.spec.workflow_ref.name.clone(), since, o.metadata.name.clone())
    });
    all.into_iter()
        .map(|o| {
            let wf = short(o.metadata.namespace.as_deref().unwrap(), &o.spec.workflow_ref.name);
            let Some(status) = &o.status else { return format!("{wf} without status") };
            let since = status.stuck_since.map_or("?".to_owned(), |t| rel(secs(t.get())));
            let held: Vec<_> = status.detections.iter().map(|d| format!("{}/{}", d.kind, d.reason)).collect();
            let held = if held.is_empty() { String::new() } else { format!(" [{}]", held.join(", ")) };
            format!("{wf} {} since {since}{held}", state(o).map_or("?", |s| s.as_str()))
        })
        .collect()
}

fn said(s: &PolicyStatus) -> String {
    let ready = condition::find(&s.conditions, ConditionType::Ready);
    let ready = ready.map_or("?".to_owned(), |c| format!("{}/{}", c.status, c.reason));
    let mut text = format!("Ready={ready} matched {} stuck {}", s.matched, s.stuck);
    if let Some(elsewhere) = &s.governed_elsewhere {
        text += &format!(" elsewhere {} ({})", elsewhere.count, elsewhere.examples.join(", "));
    }
    if let Some(oldest) = &s.oldest_stuck {
        text += &format!(" oldest {} {} since {}", oldest.workflow, oldest.detection, rel(secs(oldest.since.get())));
    }
    if !s.next.is_empty() {
        text += &format!(" next {}", s.next);
    }
    text
}
