//! The command line: reads, asks the engine, prints. Data goes to standard output, all else to standard error.
//!
//! Exit codes are a contract (API.md section 4): 0 nothing found or done, 1 findings, 2 usage, 3 cluster, file or store.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::path::Path;

use anyhow::Context as _;
use clap::{CommandFactory as _, FromArgMatches as _};

use crate::api::{crds, default_policy};

pub mod archive;
pub mod args;
pub mod check;
pub mod columns;
pub mod emit;
pub mod engine;
pub mod explain;
mod explain_text;
pub mod live;
pub mod operate;
pub mod plan;
mod plan_text;
pub mod policy;
pub mod run;
pub mod screen;
pub mod source;
pub mod status;
pub mod stuck;
mod survey;
mod words;

use args::{Cli, Command, Global, Plain};
use emit::Form;
use engine::{Engine, EngineOptions};
use policy::{LintArgs, PolicyCommand, lint};
use screen::Screen;

/// What the program puts behind the commands.
#[derive(Clone, Copy)]
pub struct Parts {
    /// Starts the operator and returns when it has ended.
    pub run: fn(run::RunArgs) -> anyhow::Result<()>,
    /// Makes an empty engine.
    pub engine: fn(EngineOptions) -> anyhow::Result<Box<dyn Engine>>,
}

/// Where a command reads and writes.
pub struct Io<'a> {
    pub input: &'a mut dyn Read,
    pub out: &'a mut dyn Write,
    pub err: &'a mut dyn Write,
    /// Taken for standard output; `None` = find out.
    pub screen: Option<Screen>,
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    Fine,
    Findings,
    Usage,
    Failed,
}

impl Exit {
    /// The code of API.md section 4.
    pub const fn code(self) -> u8 {
        match self {
            Self::Fine => 0,
            Self::Findings => 1,
            Self::Usage => 2,
            Self::Failed => 3,
        }
    }

    const fn findings(any: bool, exit_zero: bool) -> Self {
        if any && !exit_zero { Self::Findings } else { Self::Fine }
    }
}

/// Runs the process's command line.
pub fn main(parts: Parts) -> std::process::ExitCode {
    let (mut input, mut out, mut err) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
    let mut io = Io { input: &mut input, out: &mut out, err: &mut err, screen: None };
    start(std::env::args_os().collect(), &mut io, parts).code().into()
}

/// Runs one command line; `args[0]` is the program's own name.
pub fn start(args: Vec<OsString>, io: &mut Io<'_>, parts: Parts) -> Exit {
    let program = program(args.first());
    let parsed = Cli::command().bin_name(program).try_get_matches_from(args).and_then(|m| Cli::from_arg_matches(&m));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => return usage(&error, io),
    };
    let exit = dispatch(cli, program, io, parts);
    ended(exit, io)
}

/// How the command ended; what went wrong is said.
fn ended(exit: anyhow::Result<Exit>, io: &mut Io<'_>) -> Exit {
    match exit {
        Ok(exit) => exit,
        Err(error) => {
            // A reader that has seen enough, such as head, is no failure.
            if error
                .root_cause()
                .downcast_ref::<std::io::Error>()
                .is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe)
            {
                return Exit::Fine;
            }
            if let Some(clap) = error.downcast_ref::<clap::Error>() {
                return usage(clap, io);
            }
            tell(io, &format!("error: {error:#}"));
            if error.is::<Unclear>() { Exit::Usage } else { Exit::Failed }
        }
    }
}

/// How people call it: as a plugin, kubectl stands before it.
fn program(name: Option<&OsString>) -> &'static str {
    let stem = name.and_then(|n| Path::new(n).file_stem()).and_then(|s| s.to_str()).unwrap_or_default();
    if stem == "kubectl-unstick" { "kubectl unstick" } else { "unstick" }
}

/// A command that can be read in several ways: it says which, and exits as wrong usage does.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Unclear(String);

/// A value that can't be used.
fn usage_error(text: String) -> anyhow::Error {
    Cli::command().error(clap::error::ErrorKind::ValueValidation, text).into()
}

/// Says an error. Sentences fit the terminal; what is indented, such as a command to copy, stays in one piece.
fn tell(io: &mut Io<'_>, text: &str) {
    let width = io.screen.unwrap_or_else(|| Screen::of_stdout(true)).width;
    for line in text.lines() {
        let sentence = !line.starts_with(' ') && width.is_some_and(|w| line.chars().count() > w);
        let line = if sentence { columns::wrap(line, 0, 2, width) } else { line.to_owned() };
        let _ = writeln!(io.err, "{line}");
    }
}

/// Help and version are printed where they were asked for, errors to standard error.
fn usage(error: &clap::Error, io: &mut Io<'_>) -> Exit {
    let text = error.render();
    if error.use_stderr() {
        // Lists of allowed values are longer than a line, and would break within words.
        let width = io.screen.unwrap_or_else(|| Screen::of_stdout(true)).width;
        for line in text.to_string().lines() {
            let long = width.is_some_and(|w| line.len() > w);
            let _ = if long {
                writeln!(io.err, "{}", columns::wrap(line, 0, 2, width))
            } else {
                writeln!(io.err, "{line}")
            };
        }
        Exit::Usage
    } else {
        let _ = write!(io.out, "{text}");
        Exit::Fine
    }
}

fn dispatch(cli: Cli, program: &'static str, io: &mut Io<'_>, parts: Parts) -> anyhow::Result<Exit> {
    let screen = io.screen.map_or_else(
        || Screen::of_stdout(cli.global.no_color),
        |s| Screen { colour: s.colour && !cli.global.no_color, ..s },
    );
    let global = cli.global;
    match cli.command {
        Command::Stuck(args) => survey::stuck(&args, &global, screen, program, io, parts.engine),
        Command::Explain(args) => survey::explain(&args, &global, screen, io, parts.engine),
        Command::Plan(args) => plan::run(&args, &global, screen, program, io),
        Command::Status(args) => status(&args, &global, screen, program, io),
        Command::Check(args) => check(&args, &global, screen, io),
        Command::Policy(PolicyCommand::Lint(args)) => lint_files(&args, screen, io),
        Command::Policy(PolicyCommand::Init { namespace }) => {
            say(io, &default_policy::init_text(namespace.as_deref()))?;
            Ok(Exit::Fine)
        }
        Command::Archive(command) => archive::run(command, &global, screen, io),
        Command::Crds => {
            for crd in crds::all() {
                let text = crds::yaml(crd).context("can't write YAML")?;
                say(io, &format!("---\n{text}"))?;
            }
            Ok(Exit::Fine)
        }
        Command::Run(args) => {
            args.validate().map_err(|why| Cli::command().error(clap::error::ErrorKind::ValueValidation, why))?;
            let args = run::RunArgs { kubeconfig: global.kubeconfig, context: global.context, ..*args };
            (parts.run)(args)?;
            Ok(Exit::Fine)
        }
        Command::Completion { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "unstick", &mut script);
            io.out.write_all(&script)?;
            Ok(Exit::Fine)
        }
        Command::Version { output } => {
            let version = serde_json::json!({"version": env!("CARGO_PKG_VERSION"), "crdVersion": crate::api::VERSION});
            let text = match form(output) {
                None => format!("unstick {}\n", env!("CARGO_PKG_VERSION")),
                Some(form) => emit::object("Version", &version, form)?,
            };
            say(io, &text)?;
            Ok(Exit::Fine)
        }
    }
}

const fn form(output: Plain) -> Option<Form> {
    match output {
        Plain::Table => None,
        Plain::Json => Some(Form::Json),
        Plain::Yaml => Some(Form::Yaml),
    }
}

fn say(io: &mut Io<'_>, text: &str) -> std::io::Result<()> {
    io.out.write_all(text.as_bytes())?;
    io.out.flush()
}

/// Runs one asynchronous command to its end.
fn wait<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().context("can't start")?.block_on(work)
}

fn status(
    args: &status::StatusArgs,
    global: &Global,
    screen: Screen,
    program: &str,
    io: &mut Io<'_>,
) -> anyhow::Result<Exit> {
    let (state, now) = wait(async {
        let cluster = source::cluster::Cluster::open(global, None).await?;
        let state = status::read(&cluster, args.namespace.as_deref()).await?;
        Ok((state, cluster.now()))
    })?;
    let text = match form(args.output) {
        None => status::render(&state, now, screen, program),
        Some(form) => emit::object("Status", &state, form)?,
    };
    say(io, &text)?;
    Ok(Exit::findings(state.has_findings(), args.exit_zero))
}

fn check(args: &check::CheckArgs, global: &Global, screen: Screen, io: &mut Io<'_>) -> anyhow::Result<Exit> {
    let lines = wait(async {
        let cluster = source::cluster::Cluster::open(global, None).await?;
        let as_whom = match args.account() {
            None => None,
            Some(account) => Some(source::cluster::Cluster::open(global, Some(account.impersonate())).await?),
        };
        check::probe::run(&cluster, as_whom.as_ref().unwrap_or(&cluster), args).await
    })?;
    let text = match form(args.output) {
        None => check::render(&lines, screen),
        Some(form) => emit::list("CheckList", &lines, form)?,
    };
    say(io, &text)?;
    Ok(Exit::findings(!check::passed(&lines), args.exit_zero))
}

fn lint_files(args: &LintArgs, screen: Screen, io: &mut Io<'_>) -> anyhow::Result<Exit> {
    let mut report = lint::Report::default();
    for path in &args.files {
        let file = path.display().to_string();
        let text = source::files::read(path, io.input)?;
        match source::files::documents(text) {
            Err(error) => report.unreadable(&file, format!("{error:#}")),
            Ok(documents) => {
                for (head, json) in documents.iter().flat_map(|d| source::files::objects(d)) {
                    report.object(&file, &head.kind, &serde_json::from_str(json).unwrap_or_default());
                }
            }
        }
    }
    report.compare();
    if report.passed_over > 0 {
        let _ = writeln!(io.err, "note: {} object(s) of other kinds passed over", report.passed_over);
    }
    let text = match form(args.output) {
        None => lint::render(&report, screen),
        Some(form) => emit::list("ProblemList", &report.problems, form)?,
    };
    say(io, &text)?;
    let counted = report.errors() + if args.ignore_warnings { 0 } else { report.warnings() };
    Ok(Exit::findings(counted > 0, args.exit_zero))
}
