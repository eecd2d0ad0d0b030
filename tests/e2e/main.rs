//! The operator on the real parts: one bed, one operator process, trials that read as sentences.
//!
//! Trials run one after the other: later ones look at what earlier ones left behind. `cargo test --test e2e NAME` runs
//! those whose name contains NAME.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::doc_markdown)]
#![allow(clippy::redundant_closure, clippy::unused_async)] // trials have one form
#![allow(clippy::type_complexity, clippy::needless_for_each, clippy::single_match_else)]

mod conduct;
mod deploy;
mod detections;
mod policies;
mod raw;
mod world;

use std::future::Future;
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};

use libtest_mimic::{Arguments, Failed, Trial};
use tokio::runtime::Runtime;
use world::World;

/// Started by the first trial that runs, so that listing trials starts nothing.
static WORLD: OnceLock<Result<World, String>> = OnceLock::new();

fn trial<F>(runtime: &Arc<Runtime>, name: &str, run: fn(&'static World) -> F) -> Trial
where
    F: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let runtime = Arc::clone(runtime);
    Trial::test(name, move || {
        runtime.block_on(async {
            let world = match WORLD.get() {
                Some(world) => world,
                None => {
                    let world = World::start().await.map_err(|e| format!("{e:#}"));
                    WORLD.get_or_init(|| world)
                }
            };
            let world = world.as_ref().map_err(|e| Failed::from(e.clone()))?;
            run(world).await.map_err(|e| Failed::from(format!("{e:#}")))
        })
    })
}

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    let Ok(runtime) = Runtime::new() else { return ExitCode::FAILURE };
    let runtime = Arc::new(runtime);
    let t = &runtime;
    let trials = vec![
        trial(t, "detections::each_fires_with_its_own_reason", |w| detections::each_fires_with_its_own_reason(w)),
        trial(t, "detections::below_the_threshold_nothing_fires", |w| detections::below_the_threshold_nothing_fires(w)),
        trial(t, "detections::a_run_too_long_and_one_without_progress", |w| {
            detections::a_run_too_long_and_one_without_progress(w)
        }),
        trial(t, "detections::what_is_resumed_in_time_or_later_recovers", |w| {
            detections::what_is_resumed_in_time_or_later_recovers(w)
        }),
        trial(t, "detections::a_lock_whose_holder_is_gone_by_a_patched_status", |w| {
            detections::a_lock_whose_holder_is_gone_by_a_patched_status(w)
        }),
        trial(t, "conduct::events_and_the_command_line_use_the_same_words", |w| {
            conduct::events_and_the_command_line_use_the_same_words(w)
        }),
        trial(t, "conduct::nothing_is_scraped_that_the_catalogue_lacks", |w| {
            conduct::nothing_is_scraped_that_the_catalogue_lacks(w)
        }),
        trial(t, "conduct::when_all_is_quiet_only_the_lease_is_renewed", |w| {
            conduct::when_all_is_quiet_only_the_lease_is_renewed(w)
        }),
        trial(t, "conduct::it_writes_only_its_own_and_within_its_allowance", |w| {
            conduct::it_writes_only_its_own_and_within_its_allowance(w)
        }),
        trial(t, "conduct::its_token_may_not_touch_a_workflow", |w| conduct::its_token_may_not_touch_a_workflow(w)),
        trial(t, "policies::every_invalid_one_is_refused_in_words", |w| policies::run(w.client.clone())),
        trial(t, "deploy::rights_and_admission_hold", |w| async {
            deploy::run(w.client.clone(), w.shared.bed.kubectl(), &w.shared.bed.admin_kubeconfig()).await
        }),
    ];
    let conclusion = libtest_mimic::run(&arguments, trials);
    // The bed's guardians see to the processes; nothing is left behind.
    conclusion.exit_code()
}
