//! `stuck` and `explain`: feed an engine, ask it, print.

use anyhow::{anyhow, bail};
use clap::CommandFactory as _;
use jiff::Timestamp;

use super::args::{Cli, From, Global, Output};
use super::emit::{self, Form};
use super::engine::{Engine, EngineOptions};
use super::explain::ExplainArgs;
use super::screen::Screen;
use super::source::cluster::Cluster;
use super::source::{Scope, Survey, load};
use super::stuck::{self, Look, StuckArgs};
use super::{Exit, Io, explain, explain_text, form, say, wait};
use crate::watchdog::report::{Explanation, Finding, Standing, Totals};

type MakeEngine = fn(EngineOptions) -> anyhow::Result<Box<dyn Engine>>;

fn make(engine: MakeEngine, from: &From) -> anyhow::Result<Box<dyn Engine>> {
    let floor = i64::try_from(from.no_progress_floor.as_secs()).unwrap_or(i64::MAX);
    engine(EngineOptions { no_progress_floor: floor })
}

/// `unstick stuck`.
pub fn stuck(
    args: &StuckArgs,
    global: &Global,
    screen: Screen,
    program: &str,
    io: &mut Io<'_>,
    engine: MakeEngine,
) -> anyhow::Result<Exit> {
    let scope = args.which.scope()?;
    if !args.from.files.is_empty() {
        let survey =
            load::from_files(make(engine, &args.from)?, &args.from.files, &scope, args.from.now, io.input, io.err)?;
        let (found, totals) = ask(&survey, args);
        say(io, &show(&found, &totals, survey.now, args, survey.namespaces, screen, program)?)?;
        return Ok(Exit::findings(!found.is_empty(), args.exit_zero));
    }
    wait(async {
        let cluster = Cluster::open(global, None).await?;
        let scope = args.which.scope_in(&cluster)?;
        let mut last = None;
        let mut sink = std::io::sink();
        loop {
            // Notes are worth saying once.
            let err: &mut dyn std::io::Write = if last.is_none() { io.err } else { &mut sink };
            let survey = load::from_cluster(make(engine, &args.from)?, &cluster, &scope, args.from.now, err).await?;
            let (found, totals) = ask(&survey, args);
            let print = stuck::fingerprint(&found);
            let changed = last.as_ref() != Some(&print);
            let redraw = args.watch && screen.terminal && matches!(args.output, Output::Table | Output::Wide);
            if redraw {
                // Home, then clear what is below: no flicker and no scrolled-off copies.
                io.out.write_all(b"\x1b[H\x1b[J")?;
            }
            if redraw || changed {
                say(io, &show(&found, &totals, survey.now, args, survey.namespaces, screen, program)?)?;
            }
            if !args.watch {
                return Ok(Exit::findings(!found.is_empty(), args.exit_zero));
            }
            last = Some(print);
            tokio::time::sleep(args.interval).await;
        }
    })
}

/// What is stuck and asked for, and what was looked at.
fn ask(survey: &Survey, args: &StuckArgs) -> (Vec<Finding>, Totals) {
    let mut all = survey.engine.findings();
    all.retain(|f| !survey.outside.contains(&(f.namespace.clone(), f.name.clone())));
    let mut totals = survey.engine.totals();
    for (namespace, name) in &survey.outside {
        if let Some(other) = survey.engine.explain(namespace, name, survey.now) {
            take_out(&mut totals, &other);
        }
    }
    (stuck::choose(all, args, survey.now), totals)
}

/// Counts `other` no longer.
fn take_out(totals: &mut Totals, other: &Explanation) {
    if other.standing == Standing::Finished {
        totals.finished = totals.finished.saturating_sub(1);
        return;
    }
    totals.unfinished = totals.unfinished.saturating_sub(1);
    if other.governing.is_none() {
        totals.ungoverned = totals.ungoverned.saturating_sub(1);
    }
    if let Standing::Unknown(reason) = other.standing
        && let Some((_, n)) = totals.unknown.iter_mut().find(|(r, _)| *r == reason)
    {
        *n = n.saturating_sub(1);
    }
}

fn show(
    found: &[Finding],
    totals: &Totals,
    now: Timestamp,
    args: &StuckArgs,
    namespaces: bool,
    screen: Screen,
    program: &str,
) -> anyhow::Result<String> {
    let look = |wide| Look { namespaces, wide, headers: !args.no_headers, screen, program };
    Ok(match args.output {
        Output::Table => stuck::render(found, totals, now, look(false)),
        Output::Wide => stuck::render(found, totals, now, look(true)),
        Output::Json => emit::list("StuckList", &stuck::items(found, now), Form::Json)?,
        Output::Yaml => emit::list("StuckList", &stuck::items(found, now), Form::Yaml)?,
        Output::Name => stuck::names(found, namespaces),
    })
}

/// `unstick explain`.
pub fn explain(
    args: &ExplainArgs,
    global: &Global,
    screen: Screen,
    io: &mut Io<'_>,
    engine: MakeEngine,
) -> anyhow::Result<Exit> {
    let (namespace, name) = args.target();
    let mut scope = Scope { namespace, selector: String::new(), name: Some(name.clone()) };
    let survey = if args.from.files.is_empty() {
        wait(async {
            let cluster = Cluster::open(global, None).await?;
            scope.namespace.get_or_insert_with(|| cluster.namespace.clone());
            load::from_cluster(make(engine, &args.from)?, &cluster, &scope, args.from.now, io.err).await
        })?
    } else {
        load::from_files(make(engine, &args.from)?, &args.from.files, &scope, args.from.now, io.input, io.err)?
    };
    let mut at: Vec<&str> =
        survey.names.iter().filter(|(_, n)| *n == name).map(|(namespace, _)| namespace.as_str()).collect();
    at.sort_unstable();
    at.dedup();
    let namespace = match at.as_slice() {
        [] => bail!("workflow {name:?} is not in these files"),
        [one] => *one,
        many => {
            let text = format!("{name} is in several namespaces ({}): name one with -n", many.join(", "));
            return Err(Cli::command().error(clap::error::ErrorKind::TooFewValues, text).into());
        }
    };
    let found = survey
        .engine
        .explain(namespace, &name, survey.now)
        .ok_or_else(|| anyhow!("workflow {name:?} was lost on the way"))?;
    let text = match form(args.output) {
        None => explain_text::render(&found, survey.now, screen),
        Some(form) => emit::object("Explanation", &explain::item(&found, survey.now), form)?,
    };
    say(io, &text)?;
    Ok(Exit::findings(found.standing == Standing::Stuck, args.exit_zero))
}
