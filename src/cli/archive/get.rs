//! `unstick archive get`: what is known of one archive.

use std::fmt::Write as _;

use serde::Serialize;

use super::PickArgs;
use super::pick::{about, pick};
use super::place::Place;
use crate::api::time::Time;
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
    /// null = there is none, and why is told below.
    manifest: Option<Manifest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    no_manifest: Option<String>,
}

/// Finds it and reads its manifest.
pub async fn read(place: &Place, args: &PickArgs, io: &mut Io<'_>) -> anyhow::Result<ArchiveItem> {
    let picked = pick(place, args, io).await?;
    let about = about(place, &picked.stem).await?;
    Ok(ArchiveItem {
        finished_at: picked.stem.parts().and_then(|parts| parts.finished).map(Time::new),
        namespace: picked.stem.namespace,
        name: picked.stem.name,
        key: picked.key,
        stored_bytes: picked.size,
        storage_class: picked.storage_class,
        manifest: about.manifest().cloned(),
        no_manifest: about.why_none(),
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
    if let Some(own) = &item.manifest {
        let run = &own.summary;
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
        line("Nodes", &format!("{} ({})", run.nodes, own.completeness.nodes));
        line("Events", own.events.as_ref().map(|events| events.key.as_str()).unwrap_or_default());
        line("Artifacts", &own.artifacts.len().to_string());
        line("Redacted", &own.redacted_count.to_string());
        line("Archived", &own.archived_at.to_string());
        line("Digest", &own.digest.to_string());
        line("Bytes", &format!("{} ({} stored)", own.bytes, own.stored_bytes));
    } else {
        line("Finished", &time(item.finished_at));
        line("Bytes", &format!("{} stored", item.stored_bytes));
        line("Manifest", item.no_manifest.as_deref().unwrap_or_default());
    }
    line("Class", item.storage_class.as_deref().unwrap_or_default());
    line("Key", &item.key);
    out
}
