//! Each guard left out must make a test of this file's neighbours fail: they are run anew with the guard off.

use std::process::{Command, Stdio};

use unstick::mutant::ARCHIVE;

const BESIDE: [&str; 10] = [
    "mutants::",
    "silence_and_halves",
    "a_retry_after_a_lost",
    "the_identity",
    "refusals_are_told",
    "commands::",
    "catalogue::",
    "keys::",
    "no_text_makes",
    "the_form_depends",
];

fn run(mutant: &str) -> (bool, String) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    // Without those that wait, or that no guard is in the way of.
    for beside in BESIDE {
        command.args(["--skip", beside]);
    }
    command.arg("-q").stdin(Stdio::null()).env_remove("UNSTICK_MUTANT");
    if !mutant.is_empty() {
        command.env("UNSTICK_MUTANT", mutant);
    }
    let done = command.output().unwrap();
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    (done.status.success(), text)
}

#[test]
fn every_guard_is_needed() {
    let (fine, text) = run("");
    assert!(fine, "the tests fail with all guards on:\n{text}");
    let (fine, _) = run("no-such-guard");
    assert!(fine, "an unknown name switches nothing off");
    let mut survived = Vec::new();
    for mutant in ARCHIVE {
        let (fine, text) = run(mutant);
        let names: Vec<&str> = text
            .lines()
            .skip_while(|l| *l != "failures:")
            .filter_map(|l| l.strip_prefix("    ").filter(|l| !l.contains(' ')))
            .collect();
        println!("{mutant}: {}", if fine { "NOT CAUGHT" } else { names.last().copied().unwrap_or("caught") });
        if fine {
            survived.push(*mutant);
        }
    }
    assert!(survived.is_empty(), "guards that no test needs: {survived:?}");
}
