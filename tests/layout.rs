//! The architecture, read off the sources: who may name whom, how long a file may be, which names say nothing.
//! The clock is guarded by clippy besides: `disallowed-methods` in clippy.toml, denied in src/lib.rs.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};

const LONGEST: usize = 400;

/// What a folder (or file) of src/ may not name, and what stands behind that.
const FORBIDDEN: &[(&str, &[&str], &str)] = &[
    (
        "watchdog",
        &["tokio", "kube", "hyper", "http", "axum", "reqwest", "prometheus", "rustls", "rand", "fastrand"],
        "the core is pure: facts in, effects out",
    ),
    (
        "watchdog",
        &["std::fs", "std::net", "std::env", "std::process", "std::thread", "std::io"],
        "the core does no I/O",
    ),
    (
        "watchdog",
        &["SystemTime", "Instant", "Timestamp::now", "Zoned::now", "std::time"],
        "time comes in with each input; it is the API server's",
    ),
    ("watchdog", &["crate::shell", "crate::cli", "crate::metrics"], "dependencies point to the core"),
    ("api", &["tokio", "hyper", "axum", "kube::Client", "kube::Api", "kube::client", "kube::api"], "api has no client"),
    ("api", &["std::fs", "std::net", "std::env", "std::process", "std::thread"], "api does no I/O"),
    ("api", &["SystemTime", "Instant", "Timestamp::now", "Zoned::now"], "api has no clock"),
    ("api", &["crate::watchdog", "crate::shell", "crate::cli", "crate::metrics"], "api is at the bottom"),
    ("archive", &["kube", "axum", "prometheus"], "archives know no cluster"),
    ("archive", &["crate::watchdog", "crate::shell", "crate::cli", "crate::metrics"], "archives know api alone"),
    (
        "archive/pure",
        &[
            "tokio",
            "hyper",
            "http",
            "aws_sdk_s3",
            "aws_config",
            "std::fs",
            "std::net",
            "std::env",
            "std::process",
            "std::thread",
        ],
        "only the stores do I/O",
    ),
    (
        "archive/pure",
        &["SystemTime", "Instant", "Timestamp::now", "Zoned::now", "std::time", "rand", "fastrand"],
        "archives are told the time, and nothing in them is left to chance",
    ),
    ("shell", &["crate::cli"], "the shell doesn't know who started it"),
];

/// Names that say nothing of what is inside.
const EMPTY_NAMES: &[&str] = &["utils", "util", "common", "helpers", "helper", "manager", "misc"];

fn repo() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Rust files below, by their path in the repository.
fn sources(below: &str) -> Vec<(String, String)> {
    let mut out = Vec::new();
    let mut folders = vec![repo().join(below)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
            let path: PathBuf = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let name = path.strip_prefix(repo()).unwrap().to_str().unwrap().to_owned();
                out.push((name, std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    out.sort();
    out
}

/// Code without comments and without the tests at the end of a file, with line numbers.
fn code(text: &str) -> Vec<(usize, &str)> {
    let lines: Vec<&str> = text.lines().collect();
    let tests = lines.windows(2).position(|w| w[0].trim() == "#[cfg(test)]" && w[1].ends_with('{'));
    let code = lines.into_iter().take(tests.unwrap_or(usize::MAX));
    code.map(|line| line.split("//").next().unwrap_or_default()).enumerate().map(|(at, line)| (at + 1, line)).collect()
}

/// `word` as a path of its own: `kube` is found in `use kube::Api`, not in `kubelet` or `crate::kube_version`.
fn names(line: &str, word: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    let is_crate = word.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    line.match_indices(word).any(|(at, _)| {
        let (before, after) = (&line[..at], &line[at + word.len()..]);
        let alone = !before.ends_with(part) && !after.starts_with(part);
        // A crate is named by a path or a use; the same word may be a variable, a field or a text.
        let as_crate = after.starts_with("::") && !before.ends_with("::")
            || before.trim_end().ends_with("use") && after.starts_with([';', ' ']);
        alone && (!is_crate || as_crate)
    })
}

fn forbidden_in(file: &str, text: &str) -> Vec<String> {
    let below = |area: &str| {
        file.strip_prefix("src/").and_then(|f| f.strip_prefix(area)).is_some_and(|rest| rest.starts_with(['/', '.']))
    };
    // All of the archive but its stores.
    let inside = |area: &str| match area {
        "archive/pure" => below("archive") && !below("archive/store"),
        area => below(area),
    };
    let mut found = Vec::new();
    for (area, words, why) in FORBIDDEN.iter().filter(|(area, ..)| inside(area)) {
        for (at, line) in code(text) {
            for word in words.iter().filter(|word| names(line, word)) {
                found.push(format!("{file}:{at}: src/{area} must not name {word}: {why}"));
            }
        }
    }
    found
}

#[test]
fn dependencies_point_one_way() {
    let files = sources("src");
    assert!(files.len() > 60, "{} files read", files.len());
    // What is compiled for tests only may use what it likes.
    let product = files.iter().filter(|(file, _)| !file.contains("/tests/"));
    let found: Vec<String> = product.flat_map(|(file, text)| forbidden_in(file, text)).collect();
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

/// The rule above must be able to see what it forbids.
#[test]
fn every_forbidden_name_would_be_found() {
    for (area, words, _) in FORBIDDEN {
        for word in *words {
            let crate_name = word.chars().all(|c| c.is_ascii_lowercase() || c == '_');
            let text = if crate_name { format!("use {word}::Thing;") } else { format!("let a = {word}(1);") };
            let file = format!("src/{}/a.rs", area.trim_end_matches("/pure"));
            assert!(!forbidden_in(&file, &text).is_empty(), "{area}: {text}");
            assert!(forbidden_in(&file, &format!("// {text}")).is_empty(), "{area}: comment");
        }
    }
    assert!(names("let x = jiff::Timestamp::now();", "Timestamp::now"));
    assert!(!names("use crate::api::kubelet::Kube;", "kube") && !names("let http = 3;", "http"));
    assert!(names("use kube::{Client, ResourceExt};", "kube") && names("    kube::Client::new()", "kube"));
    assert!(!names("Instantiate::now", "Instant") && names("Instant::now()", "Instant"));
    assert!(forbidden_in("src/watchdogs.rs", "use tokio::net;").is_empty());
    assert!(forbidden_in("src/archive/store/s3.rs", "use tokio::net;").is_empty());
}

#[test]
fn no_file_is_too_long() {
    let long: Vec<String> = ["src", "tests", "benches"]
        .iter()
        .filter(|folder| repo().join(folder).is_dir())
        .flat_map(|folder| sources(folder))
        .map(|(file, text)| (file, text.lines().count()))
        .filter(|(_, lines)| *lines > LONGEST)
        .map(|(file, lines)| format!("{file}: {lines} lines, {LONGEST} at most: split it by what it is about"))
        .collect();
    assert!(long.is_empty(), "\n{}", long.join("\n"));
}

#[test]
fn every_name_says_what_is_inside() {
    let files: Vec<(String, String)> = ["src", "tests"].iter().flat_map(|folder| sources(folder)).collect();
    let empty: Vec<&String> = files
        .iter()
        .map(|(file, _)| file)
        .filter(|file| {
            let parts = file.trim_end_matches(".rs").split('/').flat_map(|part| part.split('_'));
            parts.into_iter().any(|part| EMPTY_NAMES.contains(&part))
        })
        .collect();
    assert!(empty.is_empty(), "named after nothing: {empty:?}");
}

#[test]
fn every_module_says_what_it_is() {
    let silent: Vec<String> = sources("src")
        .into_iter()
        .filter(|(file, text)| {
            !file.ends_with("/tests.rs") && (!text.starts_with("//! ") || text.starts_with("//! TODO"))
        })
        .map(|(file, _)| file)
        .collect();
    assert!(silent.is_empty(), "no module docs (//! on the first line): {silent:?}");
}
