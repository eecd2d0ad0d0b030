//! The catalogue: one partition answers for a day, generations, nothing lost by a reindex.

use serde_json::Value;
use unstick::archive::catalogue::generation::{append, current};
use unstick::archive::catalogue::reindex::{Terms, reindex};
use unstick::archive::catalogue::row::{Deletion, Row};
use unstick::archive::catalogue::search::{Entries, Scope, batches, read};
use unstick::archive::gzip;
use unstick::archive::keep::Kept;
use unstick::archive::manifest::Manifest;
use unstick::archive::query::Query;
use unstick::archive::store::{Call, Fault};

use crate::keeping::{kept_in, wait};
use crate::memory::{Memory, Trick};
use crate::runs::{changed, done, form, location, now};

/// A run of a namespace and day.
fn run(namespace: &str, name: &str, day: u32) -> String {
    changed(&done(), |wf| {
        wf["metadata"]["namespace"] = namespace.into();
        wf["metadata"]["name"] = name.into();
        wf["metadata"]["uid"] = format!("uid-{namespace}-{name}-{day}").into();
        wf["status"]["finishedAt"] = format!("2026-11-{day:02}T10:00:00Z").into();
    })
}

fn rows(store: &Memory, scope: &Scope) -> Vec<Row> {
    wait(async {
        let mut all = Vec::new();
        for batch in batches(store, &location().layout, scope).await.unwrap().unwrap() {
            let read = read(store, &batch.key).await.unwrap();
            assert_eq!(read.damaged, 0);
            all.extend(read.rows);
        }
        all
    })
}

fn terms() -> Terms {
    Terms { now: now(), expires_after: None }
}

fn added(store: &Memory, rows: &[Row]) {
    wait(append(store, &location().layout, rows, now())).unwrap();
}

#[test]
fn a_namespace_and_a_day_are_answered_by_their_partition_alone() {
    let store = Memory::new();
    let model = kept_in(&Memory::new(), &done()).unwrap().row;
    let mut all = Vec::new();
    for namespace in 0..20 {
        for day in 1..=30 {
            for n in 0..20 {
                let mut row = model.clone();
                row.summary.namespace = format!("team-{namespace:02}");
                row.summary.finished_at = serde_json::from_value(format!("2026-11-{day:02}T10:00:00Z").into()).unwrap();
                row.key = format!("k/{namespace}/{day}/{n}");
                all.push(row);
            }
        }
    }
    added(&store, &all);
    store.asked();
    let query = Query { namespace: Some("team-07".into()), date: Some("20261121".into()), ..Query::default() };
    let found = rows(&store, &query.scope());
    assert_eq!(found.len(), 20);
    assert!(found.iter().all(|row| query.asks_for(row)));
    let asked = store.asked();
    let partition = "workflow-archives-index/catalogue/g=1/cluster=prod-eu/namespace=team-07/date=2026-11-21/";
    assert_eq!(asked.len(), 5, "{asked:?}");
    assert_eq!(
        asked[..4],
        [
            "list workflow-archives-index/catalogue/g=".to_owned(),
            "get workflow-archives-index/catalogue/g=1/_complete".to_owned(),
            "list workflow-archives-index/catalogue/g=1/cluster=".to_owned(),
            format!("list {partition}"),
        ]
    );
    assert!(asked[4].starts_with(&format!("get {partition}")), "{asked:?}");
    let week = Scope { from: Some("2026-11-08".into()), to: Some("2026-11-14".into()), ..Scope::default() };
    assert_eq!(rows(&store, &week).len(), 7 * 20 * 20);
    assert_eq!(rows(&store, &Scope::default()).len(), all.len());
}

#[test]
fn lines_are_plain_json_with_the_same_columns() {
    let store = Memory::new();
    let kept = kept_in(&store, &run("etl", "load", 21)).unwrap();
    let own = form(&run("etl", "load", 21));
    let deletion = deletion(&kept, &own.facts);
    added(&store, &[kept.row.clone(), deletion]);
    let key = store.keys().into_iter().find(|k| k.ends_with(".jsonl.gz")).unwrap();
    assert!(key.starts_with(
        "workflow-archives-index/catalogue/g=1/cluster=prod-eu/namespace=etl/date=2026-11-21/20261122_080000_"
    ));
    let plain = gzip::unpack(&store.objects.lock().unwrap()[&key].bytes, 1 << 20).unwrap();
    let lines: Vec<Value> =
        plain.split(|b| *b == b'\n').filter(|l| !l.is_empty()).map(|l| serde_json::from_slice(l).unwrap()).collect();
    let columns = |v: &Value| v.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(columns(&lines[0]), columns(&lines[1]));
    assert_eq!((&lines[0]["record"], &lines[1]["record"]), (&"Archive".into(), &"Deletion".into()));
    assert_eq!((&lines[1]["deletedAt"], &lines[1]["key"]), (&"2026-11-22T08:00:00Z".into(), &kept.key.as_str().into()));
    let mut entries = Entries::default();
    // The same again, as after an append that was repeated.
    for row in rows(&store, &Scope::default()).into_iter().chain(rows(&store, &Scope::default())) {
        entries.add(row);
    }
    let all = entries.sorted();
    assert_eq!(all.len(), 1, "an archive and its deletion are one");
    assert!(all[0].archive.is_some() && all[0].deletion.is_some());
}

fn deletion(kept: &Kept, facts: &unstick::archive::facts::RunFacts) -> Row {
    Row::deletion(&Deletion {
        facts,
        cluster: "prod-eu",
        fingerprint: &kept.fingerprint,
        archive: Some((&kept.key, kept.digest)),
        deleted_at: now(),
        policy: "WorkflowPolicy/etl/default",
        reason: "TTL",
    })
}

#[test]
fn a_reindex_finds_every_archive_and_keeps_every_deletion() {
    let store = Memory::new();
    let mut kept = Vec::new();
    for n in 0..250 {
        kept.push(kept_in(&store, &run("etl", &format!("load-{n}"), 1 + n % 28)).unwrap());
    }
    let gone = deletion(&kept[3], &form(&run("etl", "load-3", 4)).facts);
    // The catalogue has lost most of them.
    added(&store, &[kept[0].row.clone(), gone.clone()]);
    store.set("workflow-archives-index/manifests/etl/load-7/20261101_000000_0123456789ab.manifest.json", "{}");
    let copied = store.objects.lock().unwrap()[&kept[1].row.manifest_key].bytes.clone();
    store.set("workflow-archives-index/manifests/etl/other/20261101_000000_0123456789ab.manifest.json", copied);
    let mut seen = 0;
    let done = wait(reindex(&store, &location().layout, terms(), &mut |n| seen = n)).unwrap();
    assert_eq!((done.generation, done.archives, done.deletions, done.damaged.len(), seen), (2, 250, 1, 2, 252));
    assert_eq!(wait(current(&store, &location().layout)).unwrap(), Some(2));
    let mut found = rows(&store, &Scope::default());
    found.sort_by(|a, b| (a.record, &a.key).cmp(&(b.record, &b.key)));
    let mut wanted: Vec<Row> = kept.iter().map(|k| k.row.clone()).chain([gone]).collect();
    wanted.sort_by(|a, b| (a.record, &a.key).cmp(&(b.record, &b.key)));
    assert_eq!(found, wanted);
}

#[test]
fn a_reindex_that_failed_is_never_taken_for_whole() {
    let store = Memory::new();
    let kept = kept_in(&store, &run("etl", "load", 21)).unwrap();
    added(&store, std::slice::from_ref(&kept.row));
    store.trick(Call::Put, "_complete", 1, Trick::Refuse(Fault::Timeout));
    assert!(wait(reindex(&store, &location().layout, terms(), &mut |_| ())).is_err());
    assert_eq!(wait(current(&store, &location().layout)).unwrap(), Some(1));
    let done = wait(reindex(&store, &location().layout, terms(), &mut |_| ())).unwrap();
    assert_eq!(done.generation, 3, "what was begun is left alone");
    assert_eq!(rows(&store, &Scope::default()), [kept.row]);
}

/// While a new generation is made, others archive and add to the old one: nothing is lost.
#[test]
fn what_is_archived_during_a_reindex_is_in_the_new_generation() {
    let store = Memory::new();
    let first = kept_in(&store, &run("etl", "first", 21)).unwrap();
    added(&store, std::slice::from_ref(&first.row));
    let mut late = None;
    let done = wait(reindex(&store, &location().layout, terms(), &mut |n| {
        // When the manifests were listed: another one, whose line goes into the old generation.
        if n == 1 && late.is_none() {
            late = Some(std::thread::scope(|s| {
                s.spawn(|| {
                    let kept = kept_in(&store, &run("etl", "late", 21)).unwrap();
                    added(&store, std::slice::from_ref(&kept.row));
                    kept
                })
                .join()
                .unwrap()
            }));
        }
    }))
    .unwrap();
    assert_eq!(done.archives, 2);
    assert!(done.missing.is_empty(), "it was stored after the archives were listed: {:?}", done.missing);
    assert_eq!(rows(&store, &Scope::default()).len(), 2);
}

/// Two at a time, both begun on generation 1: what was added to the first when it became current is in the later, too.
#[test]
fn overlapping_reindexes_lose_no_deletion() {
    let store = Memory::new();
    let layout = location().layout;
    let kept = ["one", "two"].map(|name| kept_in(&store, &run("etl", name, 21)).unwrap());
    let gone = |n: usize, name: &str| deletion(&kept[n], &form(&run("etl", name, 21)).facts);
    added(&store, &[kept[0].row.clone(), gone(0, "one")]);
    // The other has begun generation 2.
    store.set("workflow-archives-index/catalogue/g=2/cluster=x/namespace=y/date=2026-11-21/begun", "x");
    let mut whole = false;
    let own = wait(reindex(&store, &layout, terms(), &mut |_| {
        if !std::mem::replace(&mut whole, true) {
            store.set("workflow-archives-index/catalogue/g=2/_complete", "x");
            std::thread::scope(|s| s.spawn(|| added(&store, &[gone(0, "one"), gone(1, "two")])).join().unwrap());
        }
    }))
    .unwrap();
    assert_eq!((own.generation, own.archives, own.deletions), (3, 2, 2));
    assert_eq!(wait(current(&store, &layout)).unwrap(), Some(3));
    let told = || {
        let rows = rows(&store, &Scope::default()).into_iter().filter(|row| row.deleted_at.is_some());
        let mut names: Vec<String> = rows.map(|row| row.summary.name).collect();
        names.sort();
        names
    };
    assert_eq!(told(), ["one", "two"]);
    // Carried on and on, each stays one line.
    assert_eq!(wait(reindex(&store, &layout, terms(), &mut |_| ())).unwrap().deletions, 2);
    assert_eq!(told(), ["one", "two"]);
}

#[test]
fn lines_go_into_the_newer_generation_too() {
    let store = Memory::new();
    let kept = kept_in(&store, &run("etl", "load", 21)).unwrap();
    // It was looked up while 1 was current, and written when 2 was.
    store.set("workflow-archives-index/catalogue/g=1/_complete", "x");
    store.set("workflow-archives-index/catalogue/g=2/_complete", "x");
    store.trick(Call::Head, "g=2/_complete", 1, Trick::Gone);
    added(&store, std::slice::from_ref(&kept.row));
    assert_eq!(rows(&store, &Scope::default()), [kept.row]);
}

#[test]
fn damage_is_counted_and_the_rest_is_read() {
    let store = Memory::new();
    let kept = kept_in(&store, &run("etl", "load", 21)).unwrap();
    let line = serde_json::to_vec(&kept.row).unwrap();
    let lines = [&line[..], b"\n{\"record\":\"Odd\"}\n{half\n", &line, b"\n"].concat();
    store.set("x.jsonl.gz", gzip::pack(&lines));
    let found = wait(read(&store, "x.jsonl.gz")).unwrap();
    assert_eq!((found.rows.len(), found.damaged), (2, 2));
    store.set("x.jsonl.gz", "no gzip");
    assert_eq!(wait(read(&store, "x.jsonl.gz")).unwrap().damaged, 1);
}

#[test]
fn questions_are_answered_by_what_a_line_has() {
    let live = changed(&run("etl", "load-eu-7xk2p", 21), |wf| {
        wf["metadata"]["labels"]["team"] = "data".into();
        wf["metadata"]["labels"]["workflows.argoproj.io/cron-workflow"] = "nightly".into();
        wf["spec"]["arguments"] = serde_json::json!({"parameters": [{"name": "month", "value": "2026-10"}]});
        wf["status"]["startedAt"] = "2026-11-21T09:00:00Z".into();
    });
    let row = kept_in(&Memory::new(), &live).unwrap().row;
    let labels = |text: &str| Some(unstick::api::selector::Selector::parse(text).unwrap());
    let time = |text: &str| Some(text.parse().unwrap());
    let yes = [
        Query::default(),
        Query { namespace: Some("etl".into()), name: Some("load-*".into()), ..Query::default() },
        Query { uid: Some(row.summary.uid.clone()), ..Query::default() },
        Query { template: Some("nightly".into()), ..Query::default() },
        Query { phases: vec!["failed".into(), "succeeded".into()], ..Query::default() },
        Query { labels: labels("team=data,team!=x"), ..Query::default() },
        Query { parameters: vec![("month".into(), "2026-*".into())], ..Query::default() },
        Query { since: time("2026-11-21T10:00:00Z"), until: time("2026-11-21T10:00:01Z"), ..Query::default() },
        Query { shortest: Some(3600), longest: Some(3600), ..Query::default() },
        Query { date: Some("20261121_10".into()), cluster: Some("prod-eu".into()), ..Query::default() },
    ];
    let no = [
        Query { namespace: Some("et".into()), ..Query::default() },
        Query { name: Some("load".into()), ..Query::default() },
        Query { uid: Some("x".into()), ..Query::default() },
        Query { template: Some("night".into()), ..Query::default() },
        Query { phases: vec!["Failed".into()], ..Query::default() },
        Query { labels: labels("team!=data"), ..Query::default() },
        Query { parameters: vec![("month".into(), "2025-*".into())], ..Query::default() },
        Query { parameters: vec![("year".into(), "*".into())], ..Query::default() },
        Query { since: time("2026-11-21T10:00:01Z"), ..Query::default() },
        Query { until: time("2026-11-21T10:00:00Z"), ..Query::default() },
        Query { shortest: Some(3601), ..Query::default() },
        Query { longest: Some(3599), ..Query::default() },
        Query { date: Some("20261121_11".into()), ..Query::default() },
        Query { cluster: Some("other".into()), ..Query::default() },
    ];
    for query in &yes {
        assert!(query.asks_for(&row), "{query:?}");
    }
    for query in &no {
        assert!(!query.asks_for(&row), "{query:?}");
    }
}

#[test]
fn a_manifest_alone_gives_the_line_again() {
    let store = Memory::new();
    let kept = kept_in(&store, &run("etl", "load", 21)).unwrap();
    let manifest = Manifest::read(&store.objects.lock().unwrap()[&kept.row.manifest_key].bytes).unwrap();
    assert_eq!(Row::archive(&manifest, &kept.row.manifest_key), kept.row);
}
