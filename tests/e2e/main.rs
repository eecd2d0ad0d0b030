//! The operator on the real parts: one bed, operator processes with their own identity, trials that read as sentences.
//!
//! Trials run one after the other, for each starts and ends operators of its own. `cargo test --test e2e NAME` runs
//! those whose name contains NAME.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::doc_markdown)]
#![allow(clippy::redundant_closure, clippy::unused_async)] // trials have one form
#![allow(clippy::type_complexity, clippy::needless_for_each, clippy::single_match_else)]

mod cli;
mod conduct;
mod deploy;
mod detections;
mod failover;
mod ground;
mod observe;
mod poison;
mod policies;
mod raw;
mod world;

use std::process::ExitCode;
use std::sync::{Arc, OnceLock};

use ground::Ground;
use libtest_mimic::{Arguments, Failed, Trial};
use tokio::runtime::Runtime;
use world::World;

/// Started by the first trial that needs it, so that listing trials starts nothing. On the ground each trial starts
/// operators of its own; in the world one operator runs all the time.
static GROUND: OnceLock<Result<Ground, String>> = OnceLock::new();
static WORLD: OnceLock<Result<World, String>> = OnceLock::new();

fn in_world<F>(runtime: &Arc<Runtime>, name: &str, run: fn(&'static World) -> F) -> Trial
where
    F: Future<Output = anyhow::Result<()>> + 'static,
{
    let runtime = Arc::clone(runtime);
    Trial::test(name, move || {
        runtime.block_on(async {
            if WORLD.get().is_none() {
                let world = World::start().await.map_err(|e| format!("{e:#}"));
                let _ = WORLD.set(world);
            }
            let world = WORLD.get().and_then(|w| w.as_ref().ok());
            let world = world.ok_or_else(|| format!("no bed: {:?}", WORLD.get().and_then(|w| w.as_ref().err())))?;
            run(world).await.map_err(|e| Failed::from(format!("{e:#}")))
        })
    })
}

fn trial<F>(runtime: &Arc<Runtime>, name: &str, run: fn(&'static Ground) -> F) -> Trial
where
    F: Future<Output = anyhow::Result<()>> + 'static,
{
    let runtime = Arc::clone(runtime);
    Trial::test(name, move || {
        runtime.block_on(async {
            if GROUND.get().is_none() {
                let ground = Ground::start().await.map_err(|e| format!("{e:#}"));
                let _ = GROUND.set(ground);
            }
            let ground = GROUND.get().and_then(|g| g.as_ref().ok());
            let ground = ground.ok_or_else(|| format!("no bed: {:?}", GROUND.get().and_then(|g| g.as_ref().err())))?;
            run(ground).await.map_err(|e| Failed::from(format!("{e:#}")))
        })
    })
}

/// On ground of its own.
fn alone<F>(runtime: &Arc<Runtime>, name: &str, run: fn() -> F) -> Trial
where
    F: Future<Output = anyhow::Result<()>> + 'static,
{
    let runtime = Arc::clone(runtime);
    Trial::test(name, move || runtime.block_on(run()).map_err(|e| Failed::from(format!("{e:#}"))))
}

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    let Ok(runtime) = Runtime::new() else { return ExitCode::FAILURE };
    let runtime = Arc::new(runtime);
    let t = &runtime;
    let trials = vec![
        // First: it needs a cluster without our CRDs.
        trial(t, "cli::without_crds_and_from_a_file_the_words_are_the_events", cli::same_words),
        trial(t, "observe::a_crowd_comes_and_goes_and_no_workflow_is_written", observe::a_crowd_comes_and_goes),
        trial(t, "failover::the_leader_is_killed_in_the_middle_of_a_crowd", failover::the_leader_is_killed),
        alone(t, "poison::is_counted_and_named_and_the_others_go_on", poison::on_the_real_server),
        alone(t, "poison::what_no_server_should_send_stops_nobody", poison::unsendable::run),
        trial(t, "policies::every_invalid_one_is_refused_in_words", |g| policies::run(g.client.clone())),
        trial(t, "deploy::rights_and_admission_hold", |g| async {
            deploy::run(g.client.clone(), g.bed.kubectl(), &g.bed.admin_kubeconfig()).await
        }),
        in_world(t, "detections::each_fires_with_its_own_reason", |w| detections::each_fires_with_its_own_reason(w)),
        in_world(t, "detections::below_the_threshold_nothing_fires", |w| {
            detections::below_the_threshold_nothing_fires(w)
        }),
        in_world(t, "detections::a_run_too_long_and_one_without_progress", |w| {
            detections::a_run_too_long_and_one_without_progress(w)
        }),
        in_world(t, "detections::what_is_resumed_in_time_or_later_recovers", |w| {
            detections::what_is_resumed_in_time_or_later_recovers(w)
        }),
        in_world(t, "detections::a_lock_whose_holder_is_gone_by_a_patched_status", |w| {
            detections::a_lock_whose_holder_is_gone_by_a_patched_status(w)
        }),
        in_world(t, "conduct::events_and_the_command_line_use_the_same_words", |w| {
            conduct::events_and_the_command_line_use_the_same_words(w)
        }),
        in_world(t, "conduct::nothing_is_scraped_that_the_catalogue_lacks", |w| {
            conduct::nothing_is_scraped_that_the_catalogue_lacks(w)
        }),
        in_world(t, "conduct::when_all_is_quiet_only_the_lease_is_renewed", |w| {
            conduct::when_all_is_quiet_only_the_lease_is_renewed(w)
        }),
        in_world(t, "conduct::it_writes_only_its_own_and_within_its_allowance", |w| {
            conduct::it_writes_only_its_own_and_within_its_allowance(w)
        }),
        in_world(t, "conduct::its_token_may_not_touch_a_workflow", |w| conduct::its_token_may_not_touch_a_workflow(w)),
    ];
    // The bed's guardians see to the processes; nothing is left behind.
    libtest_mimic::run(&arguments, trials).exit_code()
}
