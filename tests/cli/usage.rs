//! Help, usage errors, exit codes of the real binary, and that docs/cli.md tells what help tells.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use clap::CommandFactory as _;
use unstick::cli::args::Cli;
use unstick::cli::screen::Screen;
use unstick::cli::{Exit, run::RunArgs};

use crate::stage::{golden, run, run_as};

fn every_command() -> Vec<Vec<String>> {
    fn walk(command: &clap::Command, path: &[String], all: &mut Vec<Vec<String>>) {
        all.push(path.to_vec());
        for sub in command.get_subcommands() {
            walk(sub, &[path, &[sub.get_name().to_owned()]].concat(), all);
        }
    }
    let mut all = Vec::new();
    walk(&Cli::command(), &[], &mut all);
    all
}

#[test]
fn help_of_every_command() {
    let mut text = String::new();
    for path in every_command() {
        let line = format!("{} --help", path.join(" "));
        let ran = run(&line, "", Screen::PLAIN);
        assert_eq!((ran.exit, ran.err.as_str()), (Exit::Fine, ""), "{line}");
        let title = ["unstick".to_owned()].into_iter().chain(path).collect::<Vec<_>>().join(" ");
        let _ = write!(text, "## {title}\n\n```text\n{}\n```\n\n", ran.out.trim_end());
    }
    golden("help.md", &text);
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/cli.md");
    let page = std::fs::read_to_string(&docs).unwrap();
    let (front, _) = page.split_once("<!-- generated from --help -->\n").expect("docs/cli.md has its marker");
    let whole = format!("{front}<!-- generated from --help -->\n\n{}\n", text.trim_end());
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&docs, &whole).unwrap();
    } else {
        assert_eq!(page, whole, "docs/cli.md is stale: UPDATE=1 cargo test --test cli");
    }
}

#[test]
fn as_a_plugin_it_speaks_of_kubectl() {
    for (program, usage) in [
        ("/usr/bin/kubectl-unstick", "kubectl unstick"),
        ("unstick", "unstick"),
        ("kubectl-unstick.exe", "kubectl unstick"),
    ] {
        let ran = run_as(program, "stuck --help", "", Screen::PLAIN);
        assert!(ran.out.contains(&format!("Usage: {usage} stuck [OPTIONS]")), "{}", ran.out);
    }
    let ran =
        run_as("kubectl-unstick", "stuck -f - --now 2026-11-21T10:00:00Z", &crate::stage::workflows(), Screen::PLAIN);
    assert!(ran.out.contains("Why: kubectl unstick explain -n ci build-1138"), "{}", ran.out);
}

#[test]
fn usage_errors_say_what_would_be_right() {
    let cases = [
        ("stuck --older 3w", "must be a number with s, m, h or d, such as 90m, 36h or 7d"),
        ("stuck --reason Haunted", "must be a type (DeletionBlocked, "),
        ("stuck -A -n etl", "cannot be used with"),
        ("stuck -f x --watch", "cannot be used with"),
        ("stuck -l a=b=c,,", "--selector: "),
        ("stuck --now yesterday", "must be RFC 3339"),
        ("explain", "required arguments were not provided"),
        ("check --serviceaccount unstick", "must be NAMESPACE:NAME"),
        ("run --lease-duration 10s", "--renew-deadline must be less than --lease-duration"),
        ("run --retry-period 10s", "--retry-period must be less than --renew-deadline"),
        ("run --writes-per-second 0", "0 is not in 1..=1000"),
        ("run --listen nowhere", "invalid socket address"),
        ("stuk", "similar subcommands exist: 'status', 'stuck'"),
    ];
    for (line, wanted) in cases {
        let ran = run(line, "", Screen::PLAIN);
        assert_eq!((ran.exit, ran.out.as_str()), (Exit::Usage, ""), "{line}: {}", ran.err);
        assert!(ran.err.contains(wanted), "{line}: {}", ran.err);
    }
}

#[test]
fn every_flag_of_run_has_a_variable_and_a_help_text() {
    #[derive(clap::Parser)]
    struct Only {
        #[command(flatten)]
        _run: RunArgs,
    }
    let command = Only::command();
    let flags: Vec<_> =
        command.get_arguments().filter(|a| !matches!(a.get_id().as_str(), "help" | "version")).collect();
    assert!(flags.len() >= 19, "{}", flags.len());
    for flag in flags {
        let long = flag.get_long().unwrap();
        let variable = format!("UNSTICK_{}", long.replace('-', "_").to_uppercase());
        assert_eq!(flag.get_env().and_then(|e| e.to_str()), Some(variable.as_str()));
        assert!(flag.get_help().is_some(), "--{long}");
    }
}

fn binary(args: &[&str], stdin: &str) -> (i32, String, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_unstick"))
        .args(args)
        .env("KUBECONFIG", "/nowhere/kubeconfig")
        .env_remove("KUBERNETES_SERVICE_HOST")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), stdin.as_bytes()).unwrap();
    let done = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (done.status.code().unwrap(), text(done.stdout), text(done.stderr))
}

#[test]
fn exit_codes_of_the_binary() {
    let init = binary(&["policy", "init"], "");
    assert_eq!(init.0, 0);
    assert_eq!(binary(&["policy", "lint", "-"], &init.1).0, 0);
    assert_eq!(binary(&["policy", "lint", "-"], "kind: WorkflowPolicy").0, 1);
    assert_eq!(binary(&["policy", "lint", "-", "--exit-zero"], "kind: WorkflowPolicy").0, 0);
    assert_eq!(binary(&[], "").0, 2);
    assert_eq!(binary(&["stuck", "--frob"], "").0, 2);
    for command in ["stuck", "status", "check"] {
        let (code, out, err) = binary(&[command], "");
        assert_eq!((code, out.as_str()), (3, ""), "{command}: {err}");
        assert!(err.starts_with("error: ") && !err.contains("panicked"), "{err}");
    }
}

#[test]
fn crds_version_and_completion() {
    let (code, crds, _) = binary(&["crds"], "");
    assert_eq!((code, crds.matches("kind: CustomResourceDefinition").count()), (0, 5));
    let all: Vec<serde_json::Value> = serde_saphyr::from_multiple(&crds).unwrap();
    assert_eq!(all.len(), 5);
    let (_, version, _) = binary(&["version", "-o", "json"], "");
    let version: serde_json::Value = serde_json::from_str(&version).unwrap();
    assert_eq!((&version["kind"], &version["version"]), (&"Version".into(), &env!("CARGO_PKG_VERSION").into()));
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let (code, script, _) = binary(&["completion", shell], "");
        assert!(code == 0 && script.contains("explain"), "{shell}");
    }
}
