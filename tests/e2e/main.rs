//! The operator on the real parts: one bed, operator processes with their own identity, trials that read as sentences.
//!
//! Trials run one after the other, for each starts and ends operators of its own. `cargo test --test e2e NAME` runs
//! those whose name contains NAME.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::doc_markdown)]
#![allow(clippy::redundant_closure, clippy::unused_async)] // trials have one form
#![allow(clippy::type_complexity, clippy::needless_for_each, clippy::single_match_else)]

mod between;
mod by_hand;
mod cli;
mod conduct;
mod crash;
mod deploy;
mod detections;
mod failover;
mod ground;
mod in_time;
mod instances;
mod keep;
mod observe;
mod odd;
mod overdue;
mod poison;
mod policies;
mod raw;
mod seen;
mod slots;
mod sooner;
mod states;
mod unheard;
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
            run(world).await.map_err(|e| Failed::from(format!("{e:#}")))?;
            seen::scrape(&world.operator).await.map(drop).map_err(|e| Failed::from(format!("{e:#}")))
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
    let mut trials = vec![
        // First: it needs a cluster without our CRDs.
        trial(t, "cli::without_crds_and_from_a_file_the_words_are_the_events", cli::same_words),
        // What takes minutes to come due begins here and is looked at last.
        in_world(t, "overdue::pauses_are_forgotten_and_a_controller_dies", |w| async {
            overdue::begin(w).await?;
            instances::begin(w).await
        }),
        trial(t, "observe::a_crowd_comes_and_goes_and_no_workflow_is_written", observe::a_crowd_comes_and_goes),
        trial(t, "observe::a_silent_watch_is_opened_anew", observe::a_silent_watch_is_opened_anew),
        trial(t, "failover::the_leader_is_killed_in_the_middle_of_a_crowd", failover::the_leader_is_killed),
        alone(t, "crash::killed_at_each_of_its_calls", crash::killed_at_each_of_its_calls),
        alone(t, "crash::one_of_two_that_both_lead", crash::one_of_two_that_both_lead),
        alone(t, "poison::is_counted_and_named_and_the_others_go_on", poison::on_the_real_server),
        alone(t, "poison::what_no_server_should_send_stops_nobody", poison::unsendable::run),
        trial(t, "policies::every_invalid_one_is_refused_in_words", |g| policies::run(g.client.clone())),
        trial(t, "deploy::rights_and_admission_hold", |g| async {
            deploy::run(g.client.clone(), g.bed.kubectl(), &g.bed.admin_kubeconfig()).await
        }),
        // After it: from here on the operator may mark and delete.
        trial(t, "keep::finished_runs_are_kept_and_then_deleted", keep::finished_runs_are_kept_and_then_deleted),
        trial(t, "keep::into_a_bucket_and_back", keep::into_a_bucket_and_back),
        trial(t, "keep::while_the_store_is_gone_nothing_goes", keep::while_the_store_is_gone_nothing_goes),
        trial(t, "by_hand::planned_and_archived_by_hand", by_hand::planned_and_archived_by_hand),
        trial(t, "between::the_object_changes_and_the_server_says_409", between::the_object_changes),
        trial(t, "between::what_is_asked_for_changes_and_nothing_is_sent", between::what_is_asked_for_changes),
        trial(t, "unheard::without_the_right_to_watch_policies_nothing_is_deleted", unheard::without_the_right),
        trial(t, "sooner::what_argo_deletes_too_soon_is_told", sooner::what_argo_deletes_too_soon_is_told),
    ];
    trials.extend(on_real_states(t));
    trials.push(every_family(&arguments));
    // The bed's guardians see to the processes; nothing is left behind.
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn on_real_states(t: &Arc<Runtime>) -> Vec<Trial> {
    vec![
        in_world(t, "detections::each_fires_with_its_own_reason_and_no_other", |w| {
            detections::each_fires_with_its_own_reason_and_no_other(w)
        }),
        in_world(t, "detections::below_the_threshold_nothing_fires", |w| {
            detections::below_the_threshold_nothing_fires(w)
        }),
        in_world(t, "detections::another_cause_is_left_alone", |w| detections::another_cause_is_left_alone(w)),
        in_world(t, "in_time::what_is_over_in_time_is_never_mentioned", |w| {
            in_time::what_is_over_in_time_is_never_mentioned(w)
        }),
        in_world(t, "slots::no_free_slot_and_no_room_in_the_quota", |w| {
            slots::no_free_slot_and_no_room_in_the_quota(w)
        }),
        in_world(t, "slots::a_slot_and_room_in_time", |w| slots::a_slot_and_room_in_time(w)),
        in_world(t, "instances::compressed_nodes_are_judged_as_any_others", |w| {
            instances::compressed_nodes_are_judged_as_any_others(w)
        }),
        in_world(t, "detections::a_run_too_long_and_one_without_progress", |w| {
            detections::a_run_too_long_and_one_without_progress(w)
        }),
        in_world(t, "detections::what_is_resumed_in_time_or_later_recovers", |w| {
            detections::what_is_resumed_in_time_or_later_recovers(w)
        }),
        in_world(t, "detections::a_lock_whose_holder_is_gone_or_finished_by_a_patched_status", |w| {
            detections::a_lock_whose_holder_is_gone_or_finished_by_a_patched_status(w)
        }),
        in_world(t, "odd::damaged_objects_are_counted_and_left_alone_patched", |w| {
            odd::damaged_objects_are_counted_and_left_alone(w)
        }),
        in_world(t, "odd::stages_and_agents_are_measured", |w| odd::stages_and_agents_are_measured(w)),
        in_world(t, "conduct::events_and_the_command_line_use_the_same_words", |w| {
            conduct::events_and_the_command_line_use_the_same_words(w)
        }),
        in_world(t, "instances::a_controller_that_is_down_is_not_a_crowd_of_stuck_workflows", |w| {
            instances::a_controller_that_is_down_is_not_a_crowd_of_stuck_workflows(w)
        }),
        in_world(t, "overdue::a_pause_that_argo_forgets_is_overdue_after_five_minutes", |w| {
            overdue::a_pause_that_argo_forgets_is_overdue_after_five_minutes(w)
        }),
        in_world(t, "conduct::when_all_is_quiet_only_the_lease_is_renewed", |w| {
            conduct::when_all_is_quiet_only_the_lease_is_renewed(w)
        }),
        in_world(t, "conduct::it_writes_only_its_own_and_within_its_allowance", |w| {
            conduct::it_writes_only_its_own_and_within_its_allowance(w)
        }),
        in_world(t, "conduct::its_token_may_not_touch_a_workflow", |w| conduct::its_token_may_not_touch_a_workflow(w)),
    ]
}

/// Holds after all the others only: with a filter it is skipped.
fn every_family(arguments: &Arguments) -> Trial {
    let all = arguments.filter.is_none() && arguments.skip.is_empty();
    if !all && !arguments.list {
        eprintln!("seen::every_family_of_the_catalogue_has_had_a_value is skipped: not all trials are run");
    }
    Trial::test("seen::every_family_of_the_catalogue_has_had_a_value", || {
        seen::every_family_of_the_catalogue_has_had_a_value().map_err(|e| Failed::from(format!("{e:#}")))
    })
    .with_ignored_flag(!all)
}
