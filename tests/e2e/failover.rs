//! Two replicas, and the leader dies in the middle of a crowd.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use jiff::Timestamp;
use unstick::api::incident::IncidentState::Open;
use unstick_bed::Operator;

use super::ground::{Ground, state, sum};
use super::seen::scrape;

const GATES: &str = "takeover";
const PASSING: &str = "takeover-done";
const CROWD: usize = 200;
const COMPLETED: &str = "unstick_workflows_completed_total";

/// The other takes over within 20 s, each incident exists once, and completions are counted at most once and missed only
/// where nobody could have told.
pub async fn the_leader_is_killed(ground: &Ground) -> Result<()> {
    ground.install().await?;
    ground.team(GATES, "5s").await?;
    ground.team(PASSING, "1h").await?;
    let mut first = ground.operator("replica-a").await?;
    leads(&first, Duration::from_secs(30)).await.context("replica-a never led")?;
    let mut second = ground.operator("replica-b").await?;
    ensure!(sum(&scrape(&second).await?, "unstick_leader", "") < 0.5, "two leaders");

    let enough = AtomicBool::new(false);
    let crossing = async {
        let outcome = kill_and_wait(ground, &mut first, &second).await;
        enough.store(true, Ordering::Relaxed);
        outcome
    };
    let (stream, crossed) = tokio::join!(completions(ground, &enough), crossing);
    stream?;
    let Takeover { last, scraped, led, took } = crossed?;

    // What still runs ends, and is counted, by a scrape that is not followed by another count.
    let finished = ground.all_finished(PASSING).await?;
    let dead = sum(&last, COMPLETED, PASSING);
    let mut counted = dead;
    for _ in 0..60 {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let now = dead + sum(&scrape(&second).await?, COMPLETED, PASSING);
        let (still, before) = ((now - counted).abs() < 0.5, counted);
        counted = now;
        if still && before > dead {
            break;
        }
    }
    let truth = finished.len();
    // Argo's times are whole seconds, and a second passes between Argo's write and what we hear of it.
    let (from, to) = (scraped.as_second() - 2, led.as_second() + 2);
    let unseen = finished.iter().filter(|t| (from..=to).contains(&t.as_second())).count();
    println!(
        "takeover after {took:?}; {truth} completions, counted {counted} ({dead} by the dead), {unseen} in between"
    );
    #[allow(clippy::cast_possible_truncation)] // a whole number
    let (counted, all) = (counted as i64, i64::try_from(truth)?);
    ensure!(counted <= all, "{counted} counted, only {all} finished");
    ensure!(counted >= all - i64::try_from(unseen)?, "{counted} counted of {all}, {unseen} finished in between");
    ensure!(dead > 0.5, "nothing finished before the leader died: the trial proves nothing");

    let (status, _) = second.terminate(Duration::from_secs(20)).await?;
    ensure!(status.success(), "replica-b ended with {status}");
    Ok(())
}

struct Takeover {
    /// The dead leader's last scrape, and when it was taken.
    last: String,
    scraped: Timestamp,
    led: Timestamp,
    took: Duration,
}

async fn kill_and_wait(ground: &Ground, first: &mut Operator, second: &Operator) -> Result<Takeover> {
    ground.gates(GATES, "gate", CROWD, None).await?;
    ground.wait(GATES, &[Open], CROWD / 6, Duration::from_secs(60), first).await?;
    let (scraped, last) = (Timestamp::now(), scrape(first).await?);
    first.kill().await?;
    let killed = Instant::now();
    let open = ground.incidents(GATES).await?.len();
    ensure!(open < CROWD, "all {open} incidents were there already: the trial proves nothing");
    leads(second, Duration::from_secs(25)).await?;
    let (took, led) = (killed.elapsed(), Timestamp::now());
    ensure!(took <= Duration::from_secs(20), "takeover took {took:?}");

    ground.wait(GATES, &[Open], CROWD, Duration::from_secs(150), second).await?;
    let mut by_name: BTreeMap<String, usize> = BTreeMap::new();
    for incident in ground.incidents(GATES).await? {
        ensure!(state(&incident) == Some(Open), "{:?} of a gate nobody opened", state(&incident));
        *by_name.entry(incident.spec.workflow_ref.name).or_default() += 1;
    }
    ensure!(by_name.len() == CROWD, "{} of {CROWD} workflows have an incident", by_name.len());
    let twice: Vec<_> = by_name.iter().filter(|(_, n)| **n != 1).collect();
    ensure!(twice.is_empty(), "more than one incident: {twice:?}");
    Ok(Takeover { last, scraped, led, took })
}

/// Waits until it says that it leads.
pub async fn leads(operator: &Operator, limit: Duration) -> Result<()> {
    let begun = Instant::now();
    while begun.elapsed() < limit {
        if sum(&scrape(operator).await?, "unstick_leader", "") > 0.5 {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    bail!("it does not lead after {limit:?}:\n{}", operator.tail(15))
}

/// Five short workflows a second until told.
async fn completions(ground: &Ground, enough: &AtomicBool) -> Result<()> {
    for round in 0.. {
        if enough.load(Ordering::Relaxed) {
            break;
        }
        ground.gates(PASSING, &format!("passes-{round}"), 5, Some(1)).await?;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    Ok(())
}
