//! API calls: what an incident costs, how fast they come, and that none are made when nothing happens.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use unstick_bed::corpus::{Corpus, Size};
use unstick_bed::fakeapi::Requests;
use unstick_bed::measure::Table;

use super::{Server, Setting, Watching};

pub fn run(setting: &Setting, table: &mut Table) -> Result<()> {
    let corpus = Corpus { count: 2_000, size: Size::Small, ..Corpus::default() };
    let (stuck, ..) = corpus.census();
    let server = Server::start(setting)?;
    server.load(&corpus)?;
    let _operator = Watching::start(setting, &server)?;
    let opened = quiet(&server)?;
    let incidents = server.counts()?["workflowincidents.unstick.dev"].as_u64().unwrap_or(0);
    table.at_least(&format!("2k x 5.8 KB: incidents open, of {stuck}"), incidents, u64::from(stuck), |n| n.to_string());
    ensure!(incidents > 0, "no incident was opened");
    let calls = opened.sum(|verb, resource| {
        let own = resource.starts_with("workflowincidents") || resource == "events";
        own && !matches!(verb, "list" | "watch")
    });
    table.at_most("API calls per incident opened", calls as f64 / incidents as f64, 4.0, |n| format!("{n:.2}"));
    table.at_most("writes in any 10 s (burst 50, then 10/s)", opened.most_writes_in(10_000), 150, |n| n.to_string());
    table.at_most("writes in any 1 s", opened.most_writes_in(1_000), 60, |n| n.to_string());

    server.tell("requests/reset", "")?;
    std::thread::sleep(setting.settle());
    let seen = server.requests()?;
    let other = seen.sum(|verb, resource| resource != "leases" && verb != "watch");
    let watches = seen.sum(|verb, _| verb == "watch");
    let what: Vec<String> = seen.counts.iter().map(|(call, n)| format!("{n} {call}")).collect();
    table.note(&format!("idle for {} s: all calls", setting.settle().as_secs()), what.join(", "));
    table.at_most("idle: calls but lease renewals and watches", other, 0, |n| n.to_string());
    table.note("idle: watches opened anew", watches);
    Ok(())
}

/// Waits until nothing but leases has been written for 10 s; returns what was asked until then.
fn quiet(server: &Server) -> Result<Requests> {
    let begun = Instant::now();
    let (mut last, mut since) = (server.requests()?, Instant::now());
    loop {
        std::thread::sleep(Duration::from_millis(500));
        let now = server.requests()?;
        if now.writes.len() > last.writes.len() {
            since = Instant::now();
        }
        last = now;
        if since.elapsed() > Duration::from_secs(10) {
            return Ok(last);
        }
        ensure!(begun.elapsed() < Duration::from_secs(300), "it still writes after 5 minutes");
    }
}
