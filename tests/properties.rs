//! Generated sequences of whatever may happen: watch events, policies, time, lost answers, restarts, leader changes.
//! While they last no rule is broken; after the last of them everything reaches its end state and writes stop (I21).
//!
//! The world itself refuses (tests/scenarios): a write while not leading, two open incidents of one run under one
//! policy, a timer in the past, writes that never stop.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::pedantic, clippy::style, dead_code)] // the tellers of stories are no product code

#[path = "properties/model.rs"]
mod model;
#[path = "properties/run.rs"]
mod run;
#[path = "scenarios/script.rs"]
mod script;
#[path = "properties/whatever.rs"]
mod whatever;
#[path = "scenarios/world.rs"]
mod world;

use proptest::prelude::*;

use model::{Act, LONGEST, State, act};
use run::Run;

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, max_shrink_iters: 4000, ..ProptestConfig::default() }
}

/// How many incidents may exist: plenty, or fewer than there are workflows.
fn cap() -> impl Strategy<Value = usize> {
    prop_oneof![3 => Just(100_usize), 1 => Just(2)]
}

proptest! {
    #![proptest_config(config(256))]

    #[test]
    fn whatever_happens_ends_in_what_is(acts in prop::collection::vec(act(), 1..40), cap in cap()) {
        let mut run = Run::new(cap);
        for act in &acts {
            run.act(act);
            run.nothing_invented();
        }
        run.last_fault();
        run.world.run_to(run.world.now + 2 * LONGEST);
        run.everything_is_said();
        run.quiet(12 * 3600);
        run.everything_is_said();
        run.a_list_changes_nothing();
        run.a_newcomer_sees_the_same();
        run.a_restart_writes_nothing();
    }
}

proptest! {
    #![proptest_config(config(256))]

    #[test]
    fn nothing_that_comes_in_panics_or_keeps_it_busy(inputs in prop::collection::vec(whatever::any_input(), 1..60)) {
        whatever::survives(&inputs);
    }
}

/// Found by the one above: the policy's status went on saying that it governs nothing.
#[test]
fn a_finished_run_that_runs_again_is_counted_again() {
    let mut run = Run::new(100);
    let ended = Act::Turn { number: 0, state: State::Ended as usize, heard: false };
    let ignored = Act::Turn { number: 0, state: State::Ignored as usize, heard: false };
    for act in [ended, Act::Policy { which: 1, form: 0 }, Act::Pass(10), ignored] {
        run.act(&act);
    }
    run.last_fault();
    run.world.run_to(run.world.now + 2 * LONGEST);
    run.everything_is_said();
    run.a_restart_writes_nothing();
}

/// Found by the same: an incident whose creation was answered with an error, and which the watch told of only when its run
/// had gone.
#[test]
fn an_incident_that_is_heard_of_after_its_run_has_gone_is_not_left_behind() {
    let mut run = Run::new(100);
    let turn = |state, heard| Act::Turn { number: 0, state, heard };
    for act in [
        Act::Echo(2),
        turn(0, true),
        Act::Answer { kind: 0, answer: 5 },
        Act::Pass(3600),
        turn(11, false),
        turn(0, false),
        Act::List,
    ] {
        run.act(&act);
    }
    run.last_fault();
    run.world.run_to(run.world.now + 2 * LONGEST);
    run.everything_is_said();
    run.quiet(12 * 3600);
}
