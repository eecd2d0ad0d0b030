//! `unstick archive get`: what is known of one archive.

use std::fmt::Write as _;

use anyhow::bail;
use serde::Serialize;

use super::expiry::{Gone, gone, head};
use super::pick::{About, PickArgs, about, pick};
use super::place::Place;
use crate::api::time::Time;
use crate::archive::catalogue::Row;
use crate::archive::manifest::Manifest;
use crate::cli::Io;
use crate::cli::columns::{clean, wrap};
use crate::cli::screen::{Screen, Tone};
use crate::cli::words::span;

/// One archive.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ArchiveItem {
    namespace: String,
    name: String,
    finished_at: Option<Time>,
    key: String,
    stored_bytes: u64,
    storage_class: Option<String>,
    /// The archive itself is gone, and was to go.
    expired: bool,
    #[serde(skip)]
    gone: Option<Gone>,
    /// null = there is none, and why is told below.
    manifest: Option<Manifest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    no_manifest: Option<String>,
    /// What the catalogue has, where nothing else is left.
    #[serde(skip_serializing_if = "Option::is_none")]
    row: Option<Row>,
}

/// Finds it and reads its manifest.
pub async fn read(place: &Place, args: &PickArgs, io: &mut Io<'_>) -> anyhow::Result<ArchiveItem> {
    let picked = pick(place, args, io).await?;
    let about = about(place, &picked.stem).await?;
    let listed = match picked.listed {
        Some(listed) => Some(listed),
        None => head(place, &picked.key).await?,
    };
    let archived_at = about.manifest().map(|m| m.archived_at).or(picked.row.as_ref().and_then(|r| r.archived_at));
    let gone = listed.is_none().then(|| gone(place, archived_at));
    if gone == Some(Gone::Missing) {
        bail!(Gone::Missing.told(&picked.key));
    }
    let no_manifest = match about {
        About::NotYet if gone.is_some() => Some("none: it has expired, too".to_owned()),
        _ => about.why_none(),
    };
    let manifest = about.manifest().cloned();
    Ok(ArchiveItem {
        finished_at: picked.stem.parts().and_then(|parts| parts.finished).map(Time::new),
        namespace: picked.stem.namespace,
        name: picked.stem.name,
        key: picked.key,
        stored_bytes: listed.as_ref().map(|l| l.size).unwrap_or_default(),
        storage_class: listed.and_then(|l| l.storage_class),
        expired: gone.is_some(),
        gone,
        row: picked.row.filter(|_| gone.is_some() && manifest.is_none()),
        manifest,
        no_manifest,
    })
}

/// For people.
pub fn render(item: &ArchiveItem, screen: Screen) -> String {
    let mut out = String::new();
    let mut line = |name: &str, value: &str| {
        if !value.is_empty() {
            let value = wrap(value, 14, 14, screen.width);
            let _ = writeln!(out, "{}{value}", screen.paint(Tone::Heading, &format!("{name:<14}")));
        }
    };
    let time = |at: Option<Time>| at.map(|at| at.to_string()).unwrap_or_default();
    line("Workflow", &clean(&format!("{}/{}", item.namespace, item.name)));
    line("Archive", &item.gone.map(Gone::why).unwrap_or_default());
    if let Some(run) = item.manifest.as_ref().map(|m| &m.summary).or(item.row.as_ref().map(|r| &r.summary)) {
        line("Phase", &clean(&run.phase));
        line("Message", &clean(&run.message));
        line("Started", &time(run.started_at));
        line("Finished", &time(run.finished_at));
        line("Took", &run.duration_seconds.map(span).unwrap_or_default());
        line("Template", run.template.as_deref().unwrap_or_default());
        line("CronWorkflow", run.cron_workflow.as_deref().unwrap_or_default());
        line("Cluster", &run.cluster);
        line("UID", &run.uid);
        let parameters = run.parameters.iter().map(|(k, v)| format!("{k}={v}"));
        line("Parameters", &clean(&parameters.collect::<Vec<_>>().join(", ")));
    }
    if let Some(own) = &item.manifest {
        line("Nodes", &format!("{} ({})", own.summary.nodes, own.completeness.nodes));
        line("Events", own.events.as_ref().map(|events| events.key.as_str()).unwrap_or_default());
        line("Artifacts", &own.artifacts.len().to_string());
        line("Redacted", &own.redacted_count.to_string());
        line("Archived", &own.archived_at.to_string());
        line("Digest", &own.digest.to_string());
        line("Bytes", &format!("{} ({} stored)", own.bytes, own.stored_bytes));
    } else {
        if item.row.is_none() {
            line("Finished", &time(item.finished_at));
            line("Bytes", &format!("{} stored", item.stored_bytes));
        }
        line("Manifest", item.no_manifest.as_deref().unwrap_or_default());
    }
    line("Class", item.storage_class.as_deref().unwrap_or_default());
    line("Key", &item.key);
    out
}
