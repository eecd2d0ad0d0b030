//! What is still called once every run has gone.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use unstick_bed::faultproxy::Call;
use unstick_bed::{Audit, Entry};

use super::super::ground::{USER, sum};
use super::super::seen::scrape;
use super::{Judge, LIMIT, NAMESPACE, Scene};

/// How long it must be quiet. Longer than the ten seconds in which a status is written at most once (`status_every`): two
/// that write over each other would be heard.
const QUIET: Duration = Duration::from_secs(11);
/// Writes of one status that fall into that time, by each who leads.
const WRITES: usize = 2;

impl Scene {
    /// Only the Leases are renewed once all is said, and nothing is asked of the store.
    pub(super) async fn settles(&self) -> Result<()> {
        let begun = Instant::now();
        loop {
            let mark = self.mark()?;
            tokio::time::sleep(QUIET).await;
            let other = self.calls_but_leases(&mark)?;
            if other.is_empty() {
                return Ok(());
            }
            ensure!(begun.elapsed() < LIMIT, "it doesn't settle: {other:#?}");
        }
    }

    /// Each who leads says in the policy's status how many it deleted itself since it started, so two that lead correct
    /// each other there for as long as both do, each once in ten seconds. Nothing else of that status differs, and nothing
    /// else is called. Their counts are made to differ first.
    pub(super) async fn only_counts_differ(&mut self, judge: &mut Judge) -> Result<()> {
        self.one_stays().await?;
        self.run(judge).await?;
        self.gone(&self.operators[0]).await?;
        while self.operators.len() < self.leaders {
            let operator = self.operator().await?;
            self.operators.push(operator);
        }
        self.all_lead().await?;
        let mut counts = Vec::new();
        for operator in &self.operators {
            counts.push(sum(&scrape(operator).await?, "unstick_deleted_runs_total", ""));
        }
        ensure!(counts[0] > 0.5 && counts[1..].iter().all(|n| *n < 0.5), "all have the same count: {counts:?}");

        let begun = Instant::now();
        loop {
            let mark = self.mark()?;
            let mut seen: Vec<(Value, Value)> = Vec::new();
            let window = Instant::now();
            while window.elapsed() < QUIET {
                let status = self.status_and_count().await?;
                if !seen.contains(&status) {
                    seen.push(status);
                }
                tokio::time::sleep(Duration::from_millis(250)).await;
            }
            let mut other = self.calls_but_leases(&mark)?;
            let corrected = other.len();
            other.retain(|line| !line.contains(" patch workflowpolicies/status "));
            let corrected = corrected - other.len();
            let few = (1..=WRITES * self.leaders).contains(&corrected);
            // A count alone may take half a minute until it is said.
            if few && other.is_empty() && seen.len() > 1 && seen.iter().all(|(rest, _)| *rest == seen[0].0) {
                return Ok(());
            }
            ensure!(
                begun.elapsed() < 2 * LIMIT,
                "with counts of {counts:?} they should correct these and do no more; they did {corrected} times, and \
                 called {other:#?}; the policy said {seen:#?}"
            );
        }
    }

    /// The first goes on, the others are killed.
    pub(super) async fn one_stays(&mut self) -> Result<()> {
        for mut operator in self.operators.split_off(1) {
            operator.kill().await?;
        }
        Ok(())
    }

    fn mark(&self) -> Result<(Audit, usize)> {
        Ok((self.ground.bed.audit().mark()?, self.script.calls().len()))
    }

    /// What was called since, of the API server and of the store.
    fn calls_but_leases(&self, (audit, calls): &(Audit, usize)) -> Result<Vec<String>> {
        let ours = audit.by(USER)?;
        ensure!(ours.iter().any(|e| e.resource == "leases"), "nobody renewed a Lease: the log proves nothing");
        let kube = ours.iter().filter(|e| e.resource != "leases" && e.verb != "watch").map(Entry::line);
        let calls = self.script.calls().split_off(*calls);
        Ok(kube.chain(calls.iter().filter(|c| c.proxy == "s3").map(Call::line)).collect())
    }

    /// The policy's status without its count of deletes, and that count.
    async fn status_and_count(&self) -> Result<(Value, Value)> {
        let path = format!("/apis/unstick.dev/v1alpha1/namespaces/{NAMESPACE}/workflowpolicies/{NAMESPACE}");
        let mut policy: Value = self.ground.client.request(http::Request::get(&path).body(Vec::new())?).await?;
        let retention = policy["status"]["retention"].as_object_mut().context("the policy says nothing of its runs")?;
        let count = retention.remove("deleted").context("no count of deletes")?;
        Ok((policy["status"].take(), count))
    }
}
