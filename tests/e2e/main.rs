//! The operator on the real parts: one bed, operator processes with their own identity, trials that read as sentences.
//!
//! Trials run one after the other, for each starts and ends operators of its own. `cargo test --test e2e NAME` runs
//! those whose name contains NAME.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod cli;
mod deploy;
mod failover;
mod ground;
mod observe;
mod policies;
mod raw;

use std::process::ExitCode;
use std::sync::{Arc, OnceLock};

use ground::Ground;
use libtest_mimic::{Arguments, Failed, Trial};
use tokio::runtime::Runtime;

/// Started by the first trial that runs, so that listing trials starts nothing.
static GROUND: OnceLock<Result<Ground, String>> = OnceLock::new();

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
        trial(t, "policies::every_invalid_one_is_refused_in_words", |g| policies::run(g.client.clone())),
        trial(t, "deploy::rights_and_admission_hold", |g| async {
            deploy::run(g.client.clone(), g.bed.kubectl(), &g.bed.admin_kubeconfig()).await
        }),
    ];
    // The bed's guardians see to the processes; nothing is left behind.
    libtest_mimic::run(&arguments, trials).exit_code()
}
