//! What is still called once every run has gone.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
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
    /// else is called.
    pub(super) async fn only_counts_differ(&mut self, judge: &mut Judge) -> Result<()> {
        let counts = self.make_counts_differ(judge).await?;
        let begun = Instant::now();
        loop {
            let mark = self.mark()?;
            let said = self.said_meanwhile().await?;
            let calls = self.calls_but_leases(&mark)?;
            let (corrections, other): (Vec<_>, Vec<_>) =
                calls.into_iter().partition(|line| line.contains(" patch workflowpolicies/status "));
            let few = (1..=WRITES * self.leaders).contains(&corrections.len());
            // A count alone may take half a minute until it is said.
            if few && other.is_empty() && said.len() > 1 && said.iter().all(|(rest, _)| *rest == said[0].0) {
                return Ok(());
            }
            ensure!(
                begun.elapsed() < 2 * LIMIT,
                "with counts of {counts:?} they should correct these and do no more; they did: {corrections:#?}, and \
                 called {other:#?}; the policy said {}",
                json!(said)
            );
        }
    }

    /// The first deletes a run alone; the others are fresh.
    async fn make_counts_differ(&mut self, judge: &mut Judge) -> Result<Vec<f64>> {
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
        Ok(counts)
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

    /// What the policy says in that time, each once: its status without the count of deletes, and that count. By a watch,
    /// as one may write milliseconds after the other.
    async fn said_meanwhile(&self) -> Result<Vec<(Value, Value)>> {
        let path = format!(
            "/apis/unstick.dev/v1alpha1/namespaces/{NAMESPACE}/workflowpolicies?watch=true&timeoutSeconds={}",
            QUIET.as_secs()
        );
        let events = self.ground.client.request_text(http::Request::get(&path).body(Vec::new())?).await?;
        let mut said = Vec::new();
        for line in events.lines() {
            let mut event: Value = serde_json::from_str(line)?;
            let status = &mut event["object"]["status"];
            let retention = status["retention"].as_object_mut().with_context(|| line.to_owned())?;
            let count = retention.remove("deleted").context("no count of deletes")?;
            let status = (status.take(), count);
            if !said.contains(&status) {
                said.push(status);
            }
        }
        Ok(said)
    }
}
