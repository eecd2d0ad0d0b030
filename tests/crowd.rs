//! Ten thousand runs stuck at once: writes come at the allowed rate, never above it, the longest-stuck first. Once in
//! virtual time, once with the real loop against a server that counts what it is asked.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::pedantic, clippy::style, dead_code)] // the world has more than a crowd needs

#[path = "scenarios/script.rs"]
mod script;
#[path = "scenarios/world.rs"]
mod world;

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use unstick::api::incident::IncidentState;
use unstick::shell::kubeconfig::Target;
use unstick::shell::run::{Options, run};
use unstick::shell::writer::Limit;
use unstick::watchdog::input::Config;
use unstick::watchdog::instant;
use unstick_bed::fakeapi::{FakeApi, Options as Behaviour};
use world::{T0, World, state};

const CROWD: u32 = 10_000;

/// Stuck in the order of their numbers, one a second, all of them beyond their threshold since T0.
fn stuck(number: u32) -> Value {
    let short = json!({"name": format!("w{number}"), "status": {"phase": "Running", "startedAt": instant(T0 - 50_000 + number).to_string()}});
    script::workflow(&short, None, T0 - 50_000)
}

fn policy() -> Value {
    script::policy(&json!({"detections": ["RunningTooLong 1h"]}))
}

/// The most of `at` (milliseconds, ascending) in any window of that length.
fn most_in(at: &[u64], window: u64) -> usize {
    (0..at.len()).map(|i| at[i..].iter().take_while(|t| **t < at[i] + window).count()).max().unwrap_or(0)
}

#[test]
fn in_virtual_time_no_second_has_more_writes_than_allowed() {
    let mut world = World::new(Config { identity: "unstick-0".to_owned(), ..Config::default() });
    world.apply_policy(policy());
    for number in 0..CROWD {
        let object = stuck(number);
        world.workflows.insert(world::key_of(&object), object);
    }
    world.leading = true;
    world.start();
    // As the loop does it: a token for each write, given back when there was none to make.
    let begun = Instant::now();
    let mut limit = Limit::new(10, 50, begun);
    let mut at = Vec::new();
    for tenth in 0..6_000_u64 {
        let millis = tenth * 100;
        world.now = T0 + u32::try_from(millis / 1000).unwrap();
        while limit.take(begun + Duration::from_millis(millis)) {
            let Some(write) = world.dog.next_write(world.at()) else {
                limit.give_back();
                break;
            };
            at.push(millis);
            world.carry_out(write);
        }
    }
    assert!(most_in(&at, 1_000) <= 60, "{} in a second", most_in(&at, 1_000));
    assert!(most_in(&at, 10_000) <= 150, "{} in ten seconds", most_in(&at, 10_000));
    assert!(most_in(&at[48..], 1_000) <= 10, "{} in a second, sustained", most_in(&at[48..], 1_000));
    assert!(at.len() > 4_000, "{} writes: a place for each incident, its status and its events", at.len());
    // The cap leaves out the others; who has one has been stuck for longest.
    let open: Vec<u32> = world
        .incidents
        .values()
        .filter(|o| state(o) == Some(IncidentState::Open))
        .map(|o| o.spec.workflow_ref.name[1..].parse().unwrap())
        .collect();
    assert_eq!(open.len(), 1_000);
    assert!(open.iter().all(|number| *number < 1_000), "not the longest-stuck");
}

#[test]
fn the_loop_keeps_the_limit_it_was_given() {
    let server = FakeApi::start(Behaviour::default(), 0).unwrap();
    for mut object in std::iter::once(policy()).chain((0..CROWD).map(stuck)) {
        // The server gives uids itself.
        object["metadata"].as_object_mut().unwrap().remove("uid");
        server.put(&object).unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = folder.path().join("config");
    std::fs::write(&kubeconfig, server.kubeconfig()).unwrap();
    let (rate, burst) = (20, 10);
    let options = Options {
        target: Target { kubeconfig: Some(kubeconfig), context: None },
        namespace: None,
        listen: "127.0.0.1:0".parse().unwrap(),
        leader_elect: false,
        lease_namespace: None,
        lease_name: "unstick".to_owned(),
        lease_duration: Duration::from_secs(15),
        renew_deadline: Duration::from_secs(10),
        retry_period: Duration::from_secs(2),
        identity: "unstick-0".to_owned(),
        writes_per_second: rate,
        writes_burst: burst,
        jobs_per_second: 25,
        catalogue_every: std::time::Duration::from_secs(300),
        container_root: None,
        series_cap: 300,
        watch_idle_limit: Duration::from_secs(60),
        config: Config { identity: "unstick-0".to_owned(), ..Config::default() },
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let requests = runtime.block_on(async {
        let begun = Instant::now();
        let watch = async {
            // Until it has written for six seconds.
            loop {
                tokio::time::sleep(Duration::from_millis(100)).await;
                let seen = server.requests();
                let wrote = seen.writes.last().zip(seen.writes.first()).map_or(0, |(last, first)| last - first);
                if wrote > 6_000 || begun.elapsed() > Duration::from_secs(90) {
                    return seen;
                }
            }
        };
        tokio::select! {
            ended = run(options) => panic!("the operator ended: {ended:?}"),
            seen = watch => seen,
        }
    });
    let allowed = |seconds: u32| (burst + rate * seconds) as usize;
    for seconds in [1, 3, 6] {
        let most = requests.most_writes_in(u64::from(seconds) * 1_000);
        assert!(most <= allowed(seconds), "{most} writes in {seconds} s, allowed are {}", allowed(seconds));
    }
    assert!(
        requests.of("create workflowincidents.unstick.dev") + requests.of("create workflowincidents") > 10,
        "{:?}",
        requests.counts
    );
    assert!(requests.writes.len() > 60, "{} writes: the limit is not what holds it", requests.writes.len());
}
