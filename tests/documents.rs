//! README and CONTRIBUTING: their links lead somewhere, their make targets and paths exist, the captures are there.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};

const DOCUMENTS: &[&str] = &["README.md", "CONTRIBUTING.md", "CHANGELOG.md"];

fn repo(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: &str) -> String {
    std::fs::read_to_string(repo(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// What stands between `open` and `close`, each time.
fn between<'a>(text: &'a str, open: &str, close: &str) -> Vec<&'a str> {
    text.split(open).skip(1).filter_map(|rest| rest.split_once(close)).map(|(inside, _)| inside).collect()
}

#[test]
fn links_lead_somewhere() {
    let mut dead = Vec::new();
    for document in DOCUMENTS {
        let text = read(document);
        for link in between(&text, "](", ")") {
            let path = link.split('#').next().unwrap();
            if !path.starts_with("http") && !repo(path).exists() {
                dead.push(format!("{document}: {link}"));
            }
        }
    }
    assert!(dead.is_empty(), "{dead:?}");
    assert!(between(&read("README.md"), "](", ")").len() >= 8, "links are read wrongly");
}

#[test]
fn paths_and_make_targets_exist() {
    let makefile = read("Makefile");
    let mut wrong = Vec::new();
    let mut seen = 0;
    for document in DOCUMENTS {
        let text = read(document);
        let words = text.split(|c: char| c.is_whitespace() || "`(),;|:*[]".contains(c));
        for word in words {
            let path = word.trim_end_matches(['.', '/']);
            let ours = ["src/", "tests/", "deploy/", "docs/", "runbooks/", "crds/"].iter().any(|p| word.starts_with(p));
            if ours && !path.contains("NAME") {
                seen += 1;
                if !repo(path).exists() {
                    wrong.push(format!("{document}: {word}"));
                }
            }
        }
        for target in between(&text, "`make ", "`") {
            let target = target.split(' ').next().unwrap();
            seen += 1;
            if !makefile.lines().any(|l| l.starts_with(&format!("{target}:"))) {
                wrong.push(format!("{document}: make {target}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(seen > 30, "{seen} read");
}

/// README shows what the program really printed, not a place-holder.
#[test]
fn the_captures_are_filled() {
    let readme = read("README.md");
    for (name, must_have) in [("stuck", "NAMESPACE"), ("explain", "STUCK")] {
        let captured = between(&readme, &format!("<!-- captured: {name} -->"), "<!-- /captured -->");
        assert_eq!(captured.len(), 1, "{name}");
        assert!(captured[0].contains(must_have), "README.md: the capture of {name} is missing: {:?}", captured[0]);
    }
}

/// docs/archive.md says what the code says: the tested questions word by word, each reason, each remedy.
#[test]
fn the_document_on_archives_is_complete() {
    use unstick::api::reasons::{KeepReason, LocationReason};
    use unstick::archive::store::Fault;
    let text = read("docs/archive.md");
    let mut missing = Vec::new();
    let mut questions = 0;
    for entry in std::fs::read_dir(repo("tests/interop/questions")).unwrap() {
        let path = entry.unwrap().path();
        questions += 1;
        if !text.contains(std::fs::read_to_string(&path).unwrap().trim()) {
            missing.push(path.display().to_string());
        }
    }
    assert_eq!(questions, 6);
    let reasons = KeepReason::ALL.iter().map(|r| r.as_str()).chain(LocationReason::ALL.iter().map(|r| r.as_str()));
    missing.extend(reasons.filter(|r| !text.contains(&format!("| {r} |"))).map(str::to_owned));
    let remedies = Fault::ALL.iter().map(|fault| fault.remedy());
    missing.extend(remedies.filter(|r| !text.contains(r)).map(str::to_owned));
    for link in between(&text, "](", ")").into_iter().chain(between(&read("deploy/aws/README.md"), "](../..", ")")) {
        let path = link.split('#').next().unwrap().trim_start_matches("../").trim_start_matches('/');
        if !path.is_empty() && !repo(path).exists() && !repo("docs").join(path).exists() {
            missing.push(link.to_owned());
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

/// The numbers in the changelog are those of the code.
#[test]
fn the_changelog_counts_right() {
    use unstick::api::reasons::{DetectionType, Reason};
    let text = read("CHANGELOG.md");
    assert_eq!((DetectionType::ALL.len(), Reason::ALL.len()), (10, 24));
    assert!(text.contains("Ten detections of stuck workflows with 24 reasons"));
    assert!(text.contains(&format!("## {}", env!("CARGO_PKG_VERSION"))));
    let readme = read("README.md");
    for kind in DetectionType::ALL {
        assert!(readme.contains(&format!("| {kind} |")), "README.md has no row for {kind}");
    }
}
