//! alerts/, dashboards/, runbooks/ and docs/metrics.md are tied to the metric catalogue and to each other.
//!
//! Rules and routes are proven with the real promtool and amtool, built once from the Go wrapper module in
//! tests/bed/go/prometheus. `UNSTICK_UPDATE=1` writes the generated files anew.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::format_push_string)]

mod catalogue;
mod dashboards;
mod mutants;
mod promql;
mod routing;
mod rules;
mod runbooks;
mod scrape;
mod tools;

use std::path::{Path, PathBuf};

/// A path of the repository.
fn repo(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: impl AsRef<Path>) -> String {
    let path = path.as_ref();
    std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Files of a folder with this ending, sorted.
fn files(folder: &str, ending: &str) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(repo(folder))
        .unwrap_or_else(|e| panic!("{folder}: {e}"))
        .map(|e| e.unwrap().path())
        .filter(|p| p.to_string_lossy().ends_with(ending))
        .collect();
    found.sort();
    found
}

/// Compares a generated file with what it should be, or writes it under `UNSTICK_UPDATE=1`.
fn assert_generated(path: &str, expected: &str) {
    let file = repo(path);
    if std::env::var_os("UNSTICK_UPDATE").is_some() {
        std::fs::write(&file, expected).unwrap();
        return;
    }
    let current = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(current == expected, "{path} is stale: UNSTICK_UPDATE=1 cargo test --test assets writes it anew");
}

fn assert_none(problems: &[String]) {
    assert!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));
}
