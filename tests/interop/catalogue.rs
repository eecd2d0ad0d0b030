//! The catalogue of a folder, asked five real questions with `DuckDB`. The answers are known from how the runs were made.

use std::path::Path;

use serde_json::{Value, json};
use unstick::archive::canonical::canonical;
use unstick::archive::catalogue::generation::append;
use unstick::archive::catalogue::reindex::{Terms, reindex};
use unstick::archive::catalogue::{Deletion, Row};
use unstick::archive::keep::{KeepOptions, keep};
use unstick::archive::key::Layout;
use unstick::archive::redaction::Redaction;
use unstick::archive::store::filesystem::Filesystem;
use unstick::archive::store::{Location, LocationKind, Store};

use crate::{run, time, told_by};

const PREFIX: &str = "workflow-archives";

/// One run: name, namespace, template, phase, day it ended, suspended for so many seconds, seconds seen stuck of 1,000.
type Made = (&'static str, &'static str, Option<&'static str>, &'static str, &'static str, i64, Option<i64>);

const RUNS: &[Made] = &[
    ("load-1", "etl", Some("load"), "Failed", "2026-10-01", 0, Some(500)),
    ("load-2", "etl", Some("load"), "Error", "2026-10-31", 0, None),
    ("load-3", "etl", Some("load"), "Succeeded", "2026-10-15", 30, None),
    ("load-4", "etl", Some("load"), "Failed", "2026-09-30", 0, Some(100)),
    ("load-5", "etl", Some("load"), "Failed", "2026-11-01", 0, None),
    ("report-1", "bi", Some("report"), "Failed", "2026-10-10", 7200, Some(2000)),
    ("by-hand", "bi", None, "Failed", "2026-10-10", 90, None),
];

fn live(made: &Made) -> String {
    let (name, namespace, template, phase, day, suspended, _) = *made;
    run(|wf| {
        wf["metadata"]["name"] = name.into();
        wf["metadata"]["namespace"] = namespace.into();
        wf["metadata"]["uid"] = format!("uid-{name}").into();
        if let Some(template) = template {
            wf["metadata"]["labels"]["workflows.argoproj.io/workflow-template"] = template.into();
        }
        let status = &mut wf["status"];
        status["phase"] = phase.into();
        status["startedAt"] = format!("{day}T10:00:00Z").into();
        status["finishedAt"] = format!("{day}T10:16:40Z").into();
        status["resourcesDuration"] = json!({"cpu": 100, "memory": 4000});
        if suspended > 0 {
            let end = time(&format!("{day}T10:00:00Z")).get().as_second() + suspended;
            let end = jiff::Timestamp::from_second(end).unwrap().to_string();
            status["nodes"]["gate"] = json!({"id": "gate", "type": "Suspend", "phase": "Succeeded",
                "startedAt": format!("{day}T10:00:00Z"), "finishedAt": end});
        }
        if name == "load-3" {
            wf["spec"]["arguments"]["parameters"] = json!([{"name": "list", "value": "x".repeat(50_000)}]);
        }
    })
}

/// Keeps all runs, and deletes two of them.
async fn fill(store: &Filesystem, location: &Location) {
    let rules = Redaction::default();
    for made in RUNS {
        let now = time("2026-11-20T08:00:00Z");
        let options = KeepOptions { rules: &rules, events: None, now, stuck_seconds: made.6 };
        let kept = keep(store, location, &live(made), &options).await.unwrap();
        append(store, &location.layout, std::slice::from_ref(&kept.row), now).await.unwrap();
        if made.0 == "load-1" {
            // The same line once more, as after a restart.
            append(store, &location.layout, std::slice::from_ref(&kept.row), time("2026-11-20T09:00:00Z"))
                .await
                .unwrap();
        }
        let deleted = match made.0 {
            "load-2" => ("2026-11-21T00:00:02Z", Some((kept.key.as_str(), kept.digest))),
            "report-1" => ("2026-11-21T00:00:01Z", None),
            _ => continue,
        };
        let facts = canonical(&live(made), &rules).unwrap().facts;
        let row = Row::deletion(&Deletion {
            facts: &facts,
            cluster: "prod-eu",
            fingerprint: &location.fingerprint,
            archive: deleted.1,
            deleted_at: time(deleted.0),
            policy: "WorkflowPolicy/etl/default",
            reason: "TtlExpired",
        });
        append(store, &location.layout, &[row], now).await.unwrap();
    }
}

fn ask(folder: &Path, question: &str) -> Value {
    let view = include_str!("questions/catalogue.sql");
    told_by(include_str!("ask.py"), &[folder.to_str().unwrap(), view, question], &[])
}

fn check(folder: &Path) {
    assert_eq!(
        ask(folder, include_str!("questions/failures.sql")),
        json!([{"template": "load", "failures": 2}, {"template": "by-hand", "failures": 1}, {"template": "report", "failures": 1}])
    );
    assert_eq!(
        ask(folder, include_str!("questions/suspensions.sql")),
        json!([
            {"namespace": "bi", "name": "report-1", "seconds": 7200},
            {"namespace": "bi", "name": "by-hand", "seconds": 90},
            {"namespace": "etl", "name": "load-3", "seconds": 30},
        ])
    );
    // Of 1,000 s each: half of one and a tenth of another; what was stuck for longer than it ran counts whole.
    let held = ask(folder, include_str!("questions/held.sql"));
    let held: Vec<(&str, Option<i64>, Option<i64>)> = held
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row["template"].as_str().unwrap(), row["cpuSeconds"].as_i64(), row["memorySeconds"].as_i64()))
        .collect();
    assert_eq!(held, [("report", Some(100), Some(4000)), ("load", Some(60), Some(2400))]);
    let biggest = ask(folder, include_str!("questions/biggest.sql"));
    let first = &biggest[0];
    assert_eq!((&first["name"], biggest.as_array().unwrap().len()), (&json!("load-3"), 3));
    let size = std::fs::metadata(folder.join(first["key"].as_str().unwrap())).unwrap().len();
    assert_eq!(first["storedBytes"], size);
    assert!(first["bytes"].as_u64().unwrap() > 50_000);
    let deletions = ask(folder, include_str!("questions/deletions.sql"));
    let rows: Vec<(&str, &str, &Value)> = deletions
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row["name"].as_str().unwrap(), &row["deletedAt"].as_str().unwrap()[..19], &row["archived"]))
        .collect();
    assert_eq!(
        rows,
        [("report-1", "2026-11-21 00:00:01", &Value::Null), ("load-2", "2026-11-21 00:00:02", &json!(true)),]
    );
    assert_eq!(deletions[1]["policy"], "WorkflowPolicy/etl/default");
    // A line of each run, however often it was written.
    let lines = ask(folder, "SELECT record, count(*) AS n FROM catalogue GROUP BY 1 ORDER BY 1");
    assert_eq!(lines, json!([{"record": "Archive", "n": RUNS.len()}, {"record": "Deletion", "n": 2}]));
}

#[tokio::test]
async fn duckdb_answers_the_five_questions() {
    let folder = tempfile::tempdir().unwrap();
    let store = Filesystem::new(folder.path(), PREFIX);
    let location = Location {
        name: "main".into(),
        kind: LocationKind::Filesystem,
        layout: Layout::new(PREFIX).unwrap(),
        fingerprint: store.fingerprint().clone(),
        cluster: "prod-eu".into(),
        conditional_put: true,
    };
    fill(&store, &location).await;
    check(folder.path());
    // Made anew from the manifests it says the same.
    let terms = Terms { now: time("2026-11-22T08:00:00Z"), expires_after: None };
    let made = reindex(&store, &location.layout, terms, &mut |_| {}).await.unwrap();
    assert_eq!((made.generation, made.archives, made.damaged.len()), (2, RUNS.len(), 0), "{made:?}");
    check(folder.path());
}
