//! `unstick archive now`: one finished workflow is archived by hand, by the operator's own code. It reads the cluster and
//! writes to the store; it never deletes, and it puts no mark on the workflow: who archives by hand needs no right to
//! write workflows, and the operator finds the archive by its content.

use std::io::Write;

use anyhow::{anyhow, bail};
use clap::Args;
use jiff::Timestamp;
use serde::Serialize;

use super::location::{self, named};
use super::place::{PLACE, ReachArgs, is_name, told};
use crate::api::archive_location::{AccessMode, ArchiveLocation};
use crate::api::percent::encode;
use crate::api::policy::Redaction as Wanted;
use crate::api::reasons::Mode;
use crate::api::selector::Selector;
use crate::api::time::Time;
use crate::api::workflow::Workflow;
use crate::archive::catalogue::generation::append;
use crate::archive::keep::{KeepError, KeepOptions, Kept, keep};
use crate::archive::redaction::Redaction;
use crate::archive::store::{Location, LocationKind, Store};
use crate::cli::args::{Global, Plain};
use crate::cli::columns::wrap;
use crate::cli::engine::EngineOptions;
use crate::cli::screen::{Screen, Tone};
use crate::cli::source::Scope;
use crate::cli::source::cluster::{Cluster, Fault};
use crate::cli::source::keeping::{self, Keeping};
use crate::cli::words::{minute, size};
use crate::cli::{Exit, Io};
use crate::shell::janitor::{connect, wanted};
use crate::watchdog::facts::Phase;
use crate::watchdog::instant;
use crate::watchdog::janitor::plan::Keeper;

/// Said at the end of the help text.
pub const EXIT: &str = "\
Exit codes:
  0  archived, or archived already: either way the copy was read back and compared
  1  this workflow can't be archived now: it has not finished, or can't be put into an archive
  2  wrong usage
  3  the cluster or the store failed";

/// Flags of `unstick archive now`.
#[derive(Args, Clone, Debug)]
pub struct NowArgs {
    /// NAME or NAMESPACE/NAME of a finished workflow
    #[arg(value_name = "WORKFLOW")]
    pub workflow: String,
    /// Namespace; default: that of the context
    #[arg(short, long, value_name = "NS")]
    pub namespace: Option<String>,
    /// Another place than that of the policy that governs the workflow: the name of an `ArchiveLocation`,
    /// `s3://BUCKET/PREFIX` or a folder
    #[arg(long, help_heading = PLACE, value_name = "LOCATION")]
    pub location: Option<String>,
    #[command(flatten)]
    pub reach: ReachArgs,
    /// Form of the output
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value = "table")]
    pub output: Plain,
}

/// What was done.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ArchivedItem {
    pub namespace: String,
    pub name: String,
    pub uid: String,
    pub phase: String,
    /// Name of the `ArchiveLocation`; null for a bucket or a folder.
    pub location: Option<String>,
    /// Bucket or folder.
    pub place: String,
    pub key: String,
    pub manifest_key: String,
    pub version_id: Option<String>,
    pub digest: String,
    pub bytes: u64,
    pub stored_bytes: u64,
    /// It was there before.
    pub already: bool,
    /// Whose rules of redaction and events were used; null = the default rules.
    pub policy: Option<String>,
    /// What the operator will do.
    pub next: String,
}

/// A place that is open for writing.
struct Target {
    store: std::sync::Arc<dyn Store>,
    location: Location,
    name: Option<String>,
    place: String,
}

/// Archives it; `Err` of the inner result = it can't be archived now.
pub(super) async fn run(
    args: &NowArgs,
    global: &Global,
    io: &mut Io<'_>,
) -> anyhow::Result<Result<ArchivedItem, String>> {
    let cluster = Cluster::open(global, None).await?;
    let (namespace, name) = match (args.workflow.split_once('/'), &args.namespace) {
        (Some((namespace, name)), _) => (namespace.to_owned(), name.to_owned()),
        (None, Some(namespace)) => (namespace.clone(), args.workflow.clone()),
        (None, None) => (cluster.namespace.clone(), args.workflow.clone()),
    };
    let path = format!("/apis/argoproj.io/v1alpha1/namespaces/{}/workflows/{}", encode(&namespace), encode(&name));
    let text = match cluster.text(&path).await {
        Ok(text) => text,
        Err(Fault::NotFound) => bail!("workflow {name:?} not found in namespace {namespace:?}"),
        Err(fault) => return Err(fault.into()),
    };
    let workflow = Workflow::from_json(&text).map_err(|e| anyhow!("{namespace}/{name} can't be read: {e}"))?;
    let phase = Phase::parse(&workflow.status.phase);
    if !phase.is_finished() {
        let state = if workflow.status.phase.is_empty() { "not started" } else { &*workflow.status.phase };
        return Ok(Err(format!("{namespace}/{name} is {state}: only what has finished is archived")));
    }
    let uid = workflow.meta.uid.to_string();
    let scope = Scope { namespace: Some(namespace.clone()), name: Some(name.clone()), ..Scope::default() };
    let mut keeping = keeping::around(EngineOptions { no_progress_floor: 0 }, &cluster, &scope, io.err).await?;
    {
        use crate::cli::engine::Engine as _;
        keeping.live.workflow(&text, cluster.now()).map_err(|why| anyhow!("{namespace}/{name}: {why}"))?;
    }
    if let Some(why) = &keeping.uncertain {
        // A copy that is stored is never replaced: what a policy would have blacked out would stay in it.
        bail!(
            "{why}, so it isn't known which policy governs {namespace}/{name} and what it redacts: nothing is archived"
        );
    }
    let keeper = keeping.live.keeper(&namespace, &name);
    let target = target(args, &cluster, &keeping, keeper.as_ref(), &namespace, io.err).await?;

    let archive = keeper.as_ref().and_then(|k| k.archive.as_ref());
    let default = Wanted::default();
    let rules: Redaction = wanted::redaction(archive.map_or(&default, |a| &a.redaction))
        .map_err(|e| anyhow!("the policy's rules of redaction can't be used: {e}"))?;
    let events = if archive.is_some_and(|a| a.events) {
        // Without them the manifest would say for ever that there are none.
        let events = wanted::events(cluster.client(), &namespace, &uid).await;
        Some(
            events
                .map_err(|e| anyhow!("the policy keeps events too, and these can't be read: {}", connect::said(&e)))?,
        )
    } else {
        None
    };
    let now = Time::new(cluster.now());
    let options = KeepOptions { rules: &rules, events: events.as_deref(), now, stuck_seconds: None };
    let kept = match keep(&*target.store, &target.location, &text, &options).await {
        Ok(kept) => kept,
        Err(KeepError::NotArchivable(why)) => return Ok(Err(format!("{namespace}/{name} can't be archived: {why}"))),
        Err(KeepError::Store(error)) => return Err(told(&error)),
        Err(other) => bail!("{other}\n  {}", other.reason()),
    };
    if !kept.already
        && let Err(error) = append(&*target.store, &target.location.layout, std::slice::from_ref(&kept.row), now).await
    {
        writeln!(io.err, "warning: it is archived, but not in the catalogue (unstick archive reindex): {error}")?;
    }
    let next = next(keeper.as_ref(), &target, workflow.label(ARCHIVING) == Some("Pending"), cluster.now());
    Ok(Ok(item((namespace, name, uid), phase, kept, target, keeper.filter(|k| k.archive.is_some()), next)))
}

/// The label by which Argo says how far its own archive is.
const ARCHIVING: &str = "workflows.argoproj.io/workflow-archiving-status";

fn item(
    (namespace, name, uid): (String, String, String),
    phase: Phase,
    kept: Kept,
    target: Target,
    keeper: Option<Keeper>,
    next: String,
) -> ArchivedItem {
    ArchivedItem {
        namespace,
        name,
        uid,
        phase: phase.as_str().to_owned(),
        location: target.name,
        place: target.place,
        key: kept.key,
        manifest_key: kept.row.manifest_key,
        version_id: kept.version_id,
        digest: kept.digest.to_string(),
        bytes: kept.bytes,
        stored_bytes: kept.stored_bytes,
        already: kept.already,
        policy: keeper.map(|k| k.policy),
        next,
    }
}

async fn target(
    args: &NowArgs,
    cluster: &Cluster,
    keeping: &Keeping,
    keeper: Option<&Keeper>,
    namespace: &str,
    err: &mut dyn Write,
) -> anyhow::Result<Target> {
    let own = keeper.and_then(|k| k.archive.as_ref()).map(|a| a.location.as_str());
    let Some(place) = args.location.as_deref().or(own) else {
        bail!(
            "no policy with archive governs it, so nobody says where: name a place with --location (an ArchiveLocation, \
             s3://BUCKET/PREFIX or a folder)"
        );
    };
    let cluster_name = &keeping.settings.cluster_name;
    if !is_name(place) {
        return by_hand(place, args, cluster, cluster_name, err).await;
    }
    let object = location::read(cluster, place).await?;
    admitted(&object, namespace, keeping)?;
    if args.reach.endpoint.as_ref().is_some_and(|e| object.spec.s3.as_ref().is_some_and(|s3| s3.endpoint != *e)) {
        bail!(
            "--endpoint is another than that of ArchiveLocation {place}: what is archived through it would be pinned to \
             another place, and the operator would take it for a stranger's"
        );
    }
    let status = object.status.as_ref().and_then(|s| s.capabilities.as_ref());
    let location = connect::location_of(&object, cluster_name, status.is_some_and(|c| c.conditional_put));
    let location = location.map_err(|e| location::unopened(&object, &e))?;
    let store = location::as_known(&object, location::open(cluster, &object, &args.reach, err).await?);
    location::mounted(&object, &*store, &location).await?;
    let (name, place) = (Some(named(&object).to_owned()), object.spec.bucket().to_owned());
    Ok(Target { store, location, name, place })
}

/// A place that no `ArchiveLocation` names.
async fn by_hand(
    place: &str,
    args: &NowArgs,
    cluster: &Cluster,
    cluster_name: &str,
    err: &mut dyn Write,
) -> anyhow::Result<Target> {
    match location::all(cluster).await {
        Ok(all) => {
            if let Some(object) = all.iter().find(|object| is_at(object, place, &args.reach)) {
                // Under another spelling of its address the operator would take the archive for a stranger's.
                bail!("{place} is ArchiveLocation {0}: name that, --location {0}", named(object));
            }
        }
        Err(Fault::NotFound) => {}
        Err(fault) => writeln!(err, "note: whether this is an ArchiveLocation's place can't be seen: {fault}")?,
    }
    let opened = args.reach.open(place).await?;
    let kind = if opened.bucket.is_some() { LocationKind::S3 } else { LocationKind::Filesystem };
    let location = Location {
        name: String::new(),
        kind,
        layout: opened.layout,
        fingerprint: opened.store.fingerprint().clone(),
        cluster: cluster_name.to_owned(),
        // Not known: so it is looked for first.
        conditional_put: false,
    };
    Ok(Target { store: opened.store, location, name: None, place: place.to_owned() })
}

/// Whether a location is the same bucket and prefix, or the same folder, by whatever address.
fn is_at(object: &ArchiveLocation, place: &str, reach: &ReachArgs) -> bool {
    match (&object.spec.s3, &object.spec.filesystem, place.strip_prefix("s3://")) {
        (Some(s3), _, Some(rest)) => {
            let (bucket, prefix) = reach.bucket_and_prefix(rest);
            s3.bucket == bucket && s3.prefix.trim_matches('/') == prefix.trim_matches('/')
        }
        (None, Some(folder), None) => std::fs::canonicalize(place).is_ok_and(|p| p.as_os_str() == folder.path.as_str()),
        _ => false,
    }
}

/// Refuses what the location's owner doesn't allow (I19), and what can't be known.
fn admitted(object: &ArchiveLocation, namespace: &str, keeping: &Keeping) -> anyhow::Result<()> {
    let name = named(object);
    if object.spec.access_mode == AccessMode::ReadOnly {
        bail!("ArchiveLocation {name} is read-only: name another with --location");
    }
    let allowed = Selector::compile(&object.spec.allowed_namespaces)
        .map_err(|e| anyhow!("ArchiveLocation {name}: spec.allowedNamespaces can't be read: {e}"))?;
    if allowed.is_empty() {
        return Ok(());
    }
    match keeping.namespaces.get(namespace) {
        Some(labels) if allowed.matches_map(labels) => Ok(()),
        Some(_) => bail!(
            "ArchiveLocation {name} doesn't admit namespace {namespace:?}: label the namespace as its \
             spec.allowedNamespaces asks, or name another place with --location"
        ),
        None => bail!(
            "ArchiveLocation {name} admits namespaces by their labels, and those of {namespace:?} can't be read: ask for \
             the right to get namespaces"
        ),
    }
}

/// What the operator will do with it.
fn next(keeper: Option<&Keeper>, target: &Target, argo_pending: bool, now: Timestamp) -> String {
    let Some(keeper) = keeper else {
        return "Nothing: no policy with archive or cleanup governs this workflow.".to_owned();
    };
    let policy = &keeper.policy;
    let mut text = match &keeper.archive {
        Some(archive) if target.name.as_deref() != Some(archive.location.as_str()) => format!(
            "Policy {policy} keeps at {}, so this copy is one more: the operator goes by its own.",
            archive.location
        ),
        Some(archive) if archive.mode == Mode::Enforce => {
            "It finds this archive by its content and makes no second one.".to_owned()
        }
        Some(archive) => format!("Policy {policy} archives nothing by itself (mode {}).", archive.mode),
        None => format!("Policy {policy} keeps no archives."),
    };
    let deletes = match (keeper.cleanup, keeper.due) {
        (Some(Mode::Enforce), Some(due)) if instant(due) > now => {
            format!(
                " It deletes the workflow from {} on at the earliest, after reading its archive again.",
                minute(instant(due))
            )
        }
        (Some(Mode::Enforce), Some(_)) => {
            " It deletes the workflow when nothing else keeps it, after reading its archive again.".to_owned()
        }
        (Some(mode @ (Mode::Observe | Mode::DryRun)), _) => format!(" It deletes nothing: cleanup is in mode {mode}."),
        (Some(Mode::Enforce), None) => " It never deletes it: the policy has no ttl for this outcome.".to_owned(),
        (None, _) => " It deletes nothing: the policy has no cleanup.".to_owned(),
    };
    text.push_str(&deletes);
    if argo_pending {
        text.push_str(" It touches nothing before Argo has put the workflow into its own archive (label Pending).");
    }
    text
}

/// For people.
pub(super) fn render(item: &ArchivedItem, screen: Screen) -> String {
    let head = if item.already { "ARCHIVED ALREADY" } else { "ARCHIVED" };
    let mut out = format!("{}  {}/{}\n", screen.paint(Tone::Good, head), item.namespace, item.name);
    let mut say = |label: &str, text: &str| {
        out.push_str(&screen.paint(Tone::Heading, &format!("{label:<12}: ")));
        out.push_str(&wrap(text, 14, 14, screen.width));
        out.push('\n');
    };
    let place = match &item.location {
        Some(name) => format!("ArchiveLocation {name} ({})", item.place),
        None => item.place.clone(),
    };
    say("Place", &place);
    say("Key", &item.key);
    let bytes = |n: u64| size(usize::try_from(n).unwrap_or(usize::MAX));
    say("Size", &format!("{}, {} stored", bytes(item.bytes), bytes(item.stored_bytes)));
    say("Digest", &format!("{} (read back and compared)", item.digest));
    say(
        "Redacted",
        &item
            .policy
            .as_ref()
            .map_or_else(|| "by the default rules".to_owned(), |p| format!("by the rules of policy {p}")),
    );
    say("Operator", &item.next);
    say(
        "See it",
        &format!(
            "unstick archive get {}/{} --location {}",
            item.namespace,
            item.name,
            item.location.as_ref().unwrap_or(&item.place)
        ),
    );
    out
}

/// The exit code of a workflow that can't be archived now.
pub(super) fn refused(why: &str, io: &mut Io<'_>) -> Exit {
    let _ = writeln!(io.err, "refused: {why}");
    Exit::Findings
}
