//! What the program is built from, without a tool beyond cargo: deny.toml says the same for cargo-deny, which also
//! looks at other platforms.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

/// Licences that ask for no more than a notice.
const LICENCES: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "CC0-1.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// One TLS stack: rustls with aws-lc-rs.
const NO_SECOND_TLS: &[&str] = &["ring", "openssl", "openssl-sys", "native-tls"];

/// Two versions of these would make types that look alike and don't fit.
const ONE_VERSION: &[&str] = &["kube", "kube-client", "kube-core", "k8s-openapi", "jiff", "rustls", "tokio"];

/// (name, version, licence) of what cargo compiles on this platform, with the features in force.
fn tree(arguments: &[&str]) -> BTreeSet<(String, String, String)> {
    let out = Command::new(env!("CARGO"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["tree", "--locked", "--offline", "--prefix", "none", "--format", "{p}\t{l}"])
        .args(arguments)
        .output()
        .unwrap();
    assert!(out.status.success(), "cargo tree: {}", String::from_utf8_lossy(&out.stderr));
    let text = String::from_utf8(out.stdout).unwrap();
    let lines = text.lines().filter(|l| !l.trim().is_empty() && !l.starts_with('['));
    lines
        .map(|line| {
            let (package, licence) = line.split_once('\t').unwrap();
            let mut words = package.split(' ');
            let (name, version) = (words.next().unwrap(), words.next().unwrap());
            (name.to_owned(), version.to_owned(), licence.trim_end_matches(" (*)").to_owned())
        })
        .collect()
}

fn everything() -> BTreeSet<(String, String, String)> {
    tree(&["--workspace", "--edges", "normal,build,dev"])
}

fn names(tree: &BTreeSet<(String, String, String)>) -> BTreeSet<&str> {
    tree.iter().map(|(name, ..)| name.as_str()).collect()
}

#[test]
fn there_is_one_tls_stack() {
    let all = everything();
    let names = names(&all);
    assert!(names.contains("rustls") && names.contains("aws-lc-rs"), "the tree was not read");
    let banned: Vec<_> = NO_SECOND_TLS.iter().filter(|n| names.contains(*n)).collect();
    assert!(banned.is_empty(), "{banned:?}: cargo tree --workspace -i NAME says why");
}

/// The `PromQL` parser of the tests brings chrono along, the S3 client `time` for itself; the program itself asks for jiff
/// only.
#[test]
fn the_program_has_one_library_for_time() {
    let program = tree(&["--package", "unstick", "--edges", "normal,build"]);
    let names = names(&program);
    assert!(names.contains("jiff"), "the tree was not read");
    assert!(!names.contains("chrono"), "cargo tree -p unstick -e normal -i chrono");
    let direct = tree(&["--package", "unstick", "--edges", "normal,build", "--depth", "1"]);
    assert!(direct.len() > 20 && !direct.iter().any(|(name, ..)| name == "time"), "time is a library of the S3 client");
    assert!(!names.contains("unstick-bed"), "the test bed is part of the program");
}

#[test]
fn what_must_be_there_once_is() {
    let mut versions: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, version, _) in everything() {
        versions.entry(name).or_default().push(version);
    }
    for name in ONE_VERSION {
        let found = versions.get(*name).unwrap_or_else(|| panic!("{name} is not in the tree"));
        assert_eq!(found.len(), 1, "{name}: {found:?}");
    }
}

/// A licence expression as crates write it: `A OR B`, the old `A/B`, `(A OR B) AND C`.
fn allowed(expression: &str) -> bool {
    let expression = expression.trim();
    let mut depth = 0_usize;
    let mut split = |at: &str| -> Option<(String, String)> {
        depth = 0;
        for (i, c) in expression.char_indices() {
            match c {
                '(' => depth += 1,
                ')' => depth = depth.saturating_sub(1),
                _ if depth == 0 && expression[i..].starts_with(at) => {
                    return Some((expression[..i].to_owned(), expression[i + at.len()..].to_owned()));
                }
                _ => {}
            }
        }
        None
    };
    // OR binds less than AND.
    if let Some((left, right)) = split(" OR ").or_else(|| split("/")) {
        return allowed(&left) || allowed(&right);
    }
    if let Some((left, right)) = split(" AND ") {
        return allowed(&left) && allowed(&right);
    }
    match expression.strip_prefix('(').and_then(|e| e.strip_suffix(')')) {
        Some(inner) => allowed(inner),
        None => LICENCES.contains(&expression),
    }
}

#[test]
fn licence_expressions_are_read_right() {
    for fine in
        ["MIT", "GPL-3.0 OR MIT", "Apache-2.0 / MIT", "(MIT OR GPL-2.0) AND Unicode-3.0", "ISC AND (Apache-2.0 OR ISC)"]
    {
        assert!(allowed(fine), "{fine}");
    }
    for not in
        ["", "GPL-3.0", "MIT AND GPL-3.0", "(MIT OR ISC) AND GPL-2.0", "MPL-2.0", "MIT AND (GPL-2.0 OR AGPL-3.0)"]
    {
        assert!(!allowed(not), "{not}");
    }
}

#[test]
fn every_licence_asks_for_no_more_than_a_notice() {
    let all = everything();
    assert!(all.len() > 150, "{} packages read", all.len());
    let other: Vec<_> = all.iter().filter(|(.., licence)| !allowed(licence)).collect();
    assert!(other.is_empty(), "{other:#?}");
}

/// deny.toml and the lock file: one registry, no git.
#[test]
fn everything_comes_from_one_registry() {
    let lock = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.lock")).unwrap();
    let sources: BTreeSet<&str> = lock.lines().filter_map(|l| l.strip_prefix("source = ")).collect();
    assert_eq!(sources.into_iter().collect::<Vec<_>>(), ["\"registry+https://github.com/rust-lang/crates.io-index\""]);
}
