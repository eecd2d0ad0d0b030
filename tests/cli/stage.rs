//! Runs a command line in process and compares what it prints with the files in tests/golden.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::bail;
use unstick::cli::screen::Screen;
use unstick::cli::{Exit, Io, Parts, start};

use crate::fake;

pub const PARTS: Parts = Parts { run: |_| bail!("not here"), engine: fake::engine };

/// With the engine of the program.
pub const LIVE: Parts = Parts { run: |_| bail!("not here"), engine: unstick::cli::live::engine };

/// A terminal of this width.
pub const fn terminal(width: usize, colour: bool) -> Screen {
    Screen { width: Some(width), colour, terminal: true }
}

pub struct Ran {
    pub exit: Exit,
    pub out: String,
    pub err: String,
}

/// Runs `line`, split at blanks, as `program`.
pub fn run_as(program: &str, line: &str, stdin: &str, screen: Screen) -> Ran {
    run_with(PARTS, program, line, stdin, screen)
}

pub fn run_with(parts: Parts, program: &str, line: &str, stdin: &str, screen: Screen) -> Ran {
    let args = std::iter::once(program).chain(line.split_whitespace()).map(OsString::from).collect();
    let (mut out, mut err, mut input) = (Vec::new(), Vec::new(), stdin.as_bytes());
    let mut io = Io { input: &mut input, out: &mut out, err: &mut err, screen: Some(screen) };
    let exit = start(args, &mut io, parts);
    Ran { exit, out: String::from_utf8(out).unwrap(), err: String::from_utf8(err).unwrap() }
}

pub fn run(line: &str, stdin: &str, screen: Screen) -> Ran {
    run_as("unstick", line, stdin, screen)
}

fn golden_path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

/// Compares with tests/golden/`name`; `UPDATE=1` writes it anew. Escapes are written as `^[`.
pub fn golden(name: &str, text: &str) {
    let text = text.replace('\u{1b}', "^[");
    let path = golden_path(name);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let want = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(text == want, "{name} differs (UPDATE=1 writes it anew)\n--- is\n{text}\n--- should be\n{want}");
}

/// No line is wider than the terminal; colours take no room.
pub fn assert_fits(text: &str, width: usize) {
    for line in text.lines() {
        let mut shown = 0;
        let mut escape = false;
        for c in line.chars() {
            match (escape, c) {
                (false, '\u{1b}') => escape = true,
                (true, 'm') => escape = false,
                (true, _) => {}
                (false, _) => shown += 1,
            }
        }
        assert!(shown <= width, "{shown} > {width}: {line}");
    }
}

/// Workflows in three namespaces, four of them stuck.
pub fn workflows() -> String {
    let names = [
        ("etl", "load-eu-7xk2p", "Running"),
        ("ml", "train-q9wlm-with-a-rather-long-generated-name-x8f2c", "Pending"),
        ("ci", "build-1138", "Running"),
        ("ci", "report-p2", "Running"),
        ("ci", "fine", "Running"),
        ("ci", "offloaded", "Running"),
        ("ci", "snoozed", "Running"),
        ("etl", "done", "Succeeded"),
        ("etl", "twin", "Running"),
        ("ml", "twin", "Running"),
    ];
    let items: Vec<_> = names
        .iter()
        .map(|(namespace, name, phase)| {
            serde_json::json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow",
                "metadata": {"namespace": namespace, "name": name, "uid": format!("uid-{name}"), "labels": {"team": namespace}},
                "status": {"phase": phase}})
        })
        .collect();
    serde_json::json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string()
}
