//! `unstick plan`: what cleanup would do now. Reads, and writes nothing anywhere.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use clap::Args;
use jiff::Timestamp;
use serde::Serialize;

use super::args::{From, Global, Output, Which};
use super::emit::{self, Form};
use super::engine::EngineOptions;
use super::screen::Screen;
use super::source::cluster::Cluster;
use super::source::keeping::{self, Keeping};
use super::{Exit, Io, plan_text, say, wait};
use crate::api::reasons::{KeepReason, Mode};
use crate::api::time::Time;
use crate::watchdog::instant;
use crate::watchdog::janitor::plan::{Fate, Keep, Planned};

/// Said at the end of the help text.
pub const EXIT: &str = "\
Exit codes:
  0  nothing is due
  1  something is due: it would be deleted now
  2  wrong usage
  3  the cluster or a file could not be read
  --exit-zero turns 1 into 0.";

/// Flags of `unstick plan`. What is chosen by labels is shown; `keepAtLeast` and `maxDeletes` count the others too.
#[derive(Args, Clone, Debug)]
pub struct PlanArgs {
    #[command(flatten)]
    pub from: From,
    #[command(flatten)]
    pub which: Which,
    /// Workflows under this policy: NAME, or cluster/NAME
    #[arg(long, value_name = "POLICY")]
    pub policy: Option<String>,
    /// Form of the output; wide has a line for each workflow, name those that are due, the first to go first
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value = "table")]
    pub output: Output,
    /// No headers and no summary
    #[arg(long)]
    pub no_headers: bool,
    /// Exit with 0 also when something is due
    #[arg(long)]
    pub exit_zero: bool,
}

/// What would become of a workflow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Decision {
    Delete,
    /// It has no archive yet: that comes first.
    ArchiveThenDelete,
    Later,
    Keep,
}

/// One finished workflow, the first to go first.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PlanItem {
    pub namespace: String,
    pub name: String,
    pub uid: String,
    pub phase: &'static str,
    pub finished_at: Option<Time>,
    /// Of the object as the API server sends it.
    pub bytes: usize,
    pub policy: String,
    /// Of the policy's cleanup: only in Enforce anything is done.
    pub mode: Mode,
    pub decision: Decision,
    /// From when on, where that is known.
    pub at: Option<Time>,
    /// Why it is kept: a reason of docs/archive.md, or `KeepAtLeast`, `NoTtl`, `NoEnd`, `NoCleanup`, `Leaving`.
    pub reason: &'static str,
    pub message: String,
    /// A mark on it names its archive.
    pub archived: bool,
}

impl PlanItem {
    fn new(planned: Planned, bytes: usize) -> Self {
        let time = |at: u32| (at != 0).then(|| Time::new(instant(at)));
        let (decision, at, reason, message) = match planned.fate {
            Fate::Delete if planned.archive => (Decision::ArchiveThenDelete, None, "", String::new()),
            Fate::Delete => (Decision::Delete, None, "", String::new()),
            Fate::Later(at) => (Decision::Later, time(at), "", String::new()),
            // Others are looked at again every minute, which says nothing to anybody.
            Fate::Keep(keep @ Keep::Reason(KeepReason::BudgetExceeded | KeepReason::Paused), text, at) => {
                (Decision::Keep, time(at), keep.as_str(), text)
            }
            Fate::Keep(keep, text, _) => (Decision::Keep, None, keep.as_str(), text),
        };
        Self {
            finished_at: time(planned.finished),
            namespace: planned.namespace,
            name: planned.name,
            uid: planned.uid,
            phase: planned.phase.as_str(),
            bytes,
            policy: planned.policy,
            mode: planned.mode,
            decision,
            at,
            reason,
            message,
            archived: planned.marked,
        }
    }

    /// Due without an archive, which its policy doesn't ask for.
    pub const fn is_bare(&self) -> bool {
        matches!(self.decision, Decision::Delete) && !self.archived
    }

    pub const fn is_due(&self) -> bool {
        matches!(self.decision, Decision::Delete | Decision::ArchiveThenDelete)
    }
}

/// What was looked at, for the summary.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    pub now: Timestamp,
    /// Finished workflows under no policy that archives or cleans up.
    pub ungoverned: usize,
    /// Policies that do.
    pub keepers: usize,
    /// Several namespaces were asked for.
    pub namespaces: bool,
}

/// Runs it.
pub fn run(args: &PlanArgs, global: &Global, screen: Screen, program: &str, io: &mut Io<'_>) -> anyhow::Result<Exit> {
    let mut scope = args.which.scope()?;
    let floor = i64::try_from(args.from.no_progress_floor.as_secs()).unwrap_or(i64::MAX);
    let options = EngineOptions { no_progress_floor: floor };
    let keeping = if args.from.files.is_empty() {
        wait(async {
            let cluster = Cluster::open(global, None).await?;
            scope = args.which.scope_in(&cluster)?;
            keeping::from_cluster(options, &cluster, &scope, args.from.now, io.err).await
        })?
    } else {
        keeping::from_files(options, &args.from.files, &scope, args.from.now, io.input, io.err)?
    };
    if keeping.budgets {
        writeln!(io.err, "note: what the operator has deleted lately isn't known here: maxDeletes is taken as unused")?;
    }
    let seen =
        Seen { now: keeping.now, ungoverned: 0, keepers: keeping.keepers, namespaces: scope.namespace.is_none() };
    let (items, seen) = choose(keeping, args, seen);
    let text = match args.output {
        Output::Table => plan_text::render(&items, &seen, args.no_headers, screen, program),
        Output::Wide => plan_text::wide(&items, &seen, args.no_headers, screen, program),
        Output::Json => emit::list("PlanList", &items, Form::Json)?,
        Output::Yaml => emit::list("PlanList", &items, Form::Yaml)?,
        Output::Name => names(&items, seen.namespaces),
    };
    say(io, &text)?;
    Ok(Exit::findings(items.iter().any(PlanItem::is_due), args.exit_zero))
}

fn choose(mut keeping: Keeping, args: &PlanArgs, seen: Seen) -> (Vec<PlanItem>, Seen) {
    let mut planned = keeping.live.plan(keeping.now);
    planned.retain(|(p, _)| keeping.asked_for.contains(&(p.namespace.clone(), p.name.clone())));
    let ungoverned = if args.policy.is_none() { keeping.asked_for.len() - planned.len() } else { 0 };
    planned.retain(|(p, _)| args.policy.as_ref().is_none_or(|policy| *policy == p.policy));
    let items = planned.into_iter().map(|(p, bytes)| PlanItem::new(p, bytes)).collect();
    (items, Seen { ungoverned, ..seen })
}

/// Those that are due, one a line, made for xargs.
fn names(items: &[PlanItem], namespaces: bool) -> String {
    let mut out = String::new();
    for item in items.iter().filter(|i| i.is_due()) {
        if namespaces {
            let _ = write!(out, "-n {} ", item.namespace);
        }
        let _ = writeln!(out, "workflow.argoproj.io/{}", item.name);
    }
    out
}

/// What becomes of the workflows of one namespace under one policy.
#[derive(Debug)]
pub struct Group<'a> {
    pub namespace: &'a str,
    pub policy: &'a str,
    pub mode: Mode,
    pub all: Vec<&'a PlanItem>,
}

impl Group<'_> {
    pub fn due(&self) -> impl Iterator<Item = &PlanItem> {
        self.all.iter().copied().filter(|i| i.is_due())
    }

    /// When the next of them is due.
    pub fn next(&self) -> Option<Time> {
        self.all.iter().filter_map(|i| i.at).min()
    }
}

/// By namespace and policy.
pub fn groups(items: &[PlanItem]) -> Vec<Group<'_>> {
    let mut all: BTreeMap<(&str, &str), Group<'_>> = BTreeMap::new();
    for item in items {
        let (namespace, policy) = (item.namespace.as_str(), item.policy.as_str());
        let group =
            all.entry((namespace, policy)).or_insert(Group { namespace, policy, mode: item.mode, all: Vec::new() });
        group.all.push(item);
    }
    all.into_values().collect()
}
