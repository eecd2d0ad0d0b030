//! The size the limits are stated for: 100,000 workflows, every family full.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;

use super::{has, now, of, policy, scrape, unix};
use crate::api::reasons::{DetectionType, EndedBy, Reason, SuspensionEnd};
use crate::api::workflow::{NodeKind, NodePhase};
use crate::metrics::scrape::series;
use crate::metrics::{Process, Verb, bounds, render};
use crate::watchdog::Watchdog;
use crate::watchdog::diagnosis::Hold;
use crate::watchdog::facts::{ActiveNode, Facts, Kin, Phase, Role, Uid};
use crate::watchdog::input::{Config, Input};
use crate::watchdog::stuck::Stuck;

/// 100,000 workflows in 20 namespaces, 10 types, 20 policies of every detection type, 5 % stuck.
fn crowd() -> Watchdog {
    let mut w = Watchdog::new(Config::default(), bounds);
    let all: Vec<_> = DetectionType::ALL
        .iter()
        .map(|t| json!({"name": t.as_str().to_lowercase(), "type": t, "after": "24h"}))
        .collect();
    for i in 0..20 {
        w.handle(
            policy(
                Some(&format!("team-{i:02}")),
                &format!("policy-{i:02}"),
                json!({"selector": {}, "detections": all}),
                Vec::new(),
            ),
            now(),
        );
    }
    w.handle(Input::ListBegin, now());
    w.handle(Input::ListEnd, now());
    w.handle(Input::Leading(Some(None)), now());
    let namespaces: Vec<Arc<str>> = (0..20).map(|i| format!("team-{i:02}").into()).collect();
    let kinds: Vec<Arc<str>> = (0..10).map(|i| format!("pipeline-of-some-length-{i}").into()).collect();
    let lines: Vec<Arc<[u16]>> = (0..20_u16).map(|i| Arc::from([i])).collect();
    let node: Arc<str> = "build".into();
    let role = Arc::new(Role { display: node.clone(), template: node.clone(), stage: Some(node.clone()), agent: None });
    for i in 0..100_000_u32 {
        let at = i as usize;
        let stuck = (i / 20 + i) % 20 == 0;
        let suspended = i % 7 == 0;
        let phase = [Phase::Running, Phase::Running, Phase::Running, Phase::Pending, Phase::Succeeded][at / 20 % 5];
        let active = ActiveNode {
            role: role.clone(),
            id: i,
            started: unix(80_000 - i / 2),
            kind: if suspended { NodeKind::Suspend } else { NodeKind::Pod },
            phase: NodePhase::Running,
            daemoned: false,
            hooked: false,
            picked: 255,
            resumes: 0,
            cause: None,
        };
        let kin = Kin {
            namespace: namespaces[at % 20].clone(),
            workflow_type: Some(kinds[at / 3 % 10].clone()),
            template: Some(kinds[at / 3 % 10].clone()),
            line: lines[at % 20].clone(),
            ..Kin::default()
        };
        let name = format!("pipeline-of-some-length-{}-x7k2p-{i:06}", i % 10);
        let (names, name_end) = Facts::names(&name, "8a1be4f4-0000-4000-8000-000000000000");
        let facts = Facts {
            uid: Uid(u128::from(i) << 90 | u128::from(i)),
            names,
            name_end,
            kin: kin.into(),
            created: unix(90_000 - i / 2),
            started: if phase == Phase::Pending { 0 } else { unix(89_000 - i / 2) },
            last_change: unix(1000),
            finished: if phase == Phase::Succeeded { unix(10) } else { 0 },
            phase,
            deadline: unix(0) + 5000,
            epoch: 1,
            nodes: Box::new([active]),
            ..Facts::default()
        };
        let run = facts.run();
        let slot = w.index.put(facts);
        if stuck {
            let types = DetectionType::ALL;
            let kind = types[at / 400 % types.len()];
            let reasons: &[Reason] = kind.reasons();
            let hold = Hold {
                detection: 0,
                kind,
                reason: reasons[at / 4000 % reasons.len()],
                since: unix(100_000 - i / 2),
                due: unix(1),
                node: None,
            };
            let namespace = Arc::clone(&w.index.get(slot).unwrap().namespace);
            let policy = u16::try_from(at % 20).unwrap();
            w.stuck.insert(slot, Stuck::new(run, policy, namespace, vec![hold]).unwrap());
        }
    }
    for i in 0..500 {
        let (ns, kind) = (format!("team-{:02}", i % 20), format!("pipeline-of-some-length-{}", i % 10));
        for phase in ["Failed", "Error"] {
            w.tally.completed(&ns, &kind, phase, EndedBy::Deadline, 100 * i);
        }
        w.tally.started(&kind, i);
        w.tally.suspension_ended(&ns, &format!("point-{i}"), SuspensionEnd::Resumed, i);
        w.tally.stage_ended(&format!("stage-{i}"), i);
        w.tally.agent_ended(&ns, &format!("agent-{i}"), &format!("stage-{i}"), None, i);
    }
    w
}

#[test]
fn a_hundred_thousand_workflows_stay_within_the_limits() {
    let w = crowd();
    let mut process = Process::default();
    for i in 0..200 {
        process.requested(Verb::Get, &format!("resource-{i}"), Some(200), Duration::from_millis(i));
    }
    let text = scrape(&w, &process);
    let mut times: Vec<_> = (0..10)
        .map(|_| {
            let start = Instant::now();
            std::hint::black_box(render(&w, &process));
            start.elapsed()
        })
        .collect();
    times.sort();
    println!("{} series, {} bytes, median {:?}, worst {:?}", series(&text), text.len(), times[5], times[9]);
    assert!(series(&text) < 5000 && text.len() < 1_000_000, "{} series, {} bytes", series(&text), text.len());
    assert!(series(&text) > 3000, "the crowd fills the families: {}", series(&text));
    for family in [
        "unstick_workflow_info",
        "unstick_workflow_stuck",
        "unstick_workflow_deadline_timestamp_seconds",
        "unstick_suspension_start_timestamp_seconds",
    ] {
        assert_eq!(of(&text, family).len(), 300, "{family}");
    }
    has(&text, "unstick_series_dropped{family=\"unstick_workflow_info\"} 79700");
    has(&text, "unstick_series_dropped{family=\"unstick_workflow_stuck\"} 4700");
}
