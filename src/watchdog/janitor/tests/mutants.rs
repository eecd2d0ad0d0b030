//! Each guard left out must make a test fail: the janitor's tests are run anew with the guard off.

use std::process::{Command, Stdio};

use crate::mutant::JANITOR;

fn run(mutant: &str) -> (bool, String) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["-q", "janitor", "--skip", "mutants"]).stdin(Stdio::null()).env_remove("UNSTICK_MUTANT");
    if !mutant.is_empty() {
        #[allow(clippy::disallowed_methods)]
        command.env("UNSTICK_MUTANT", mutant);
    }
    let done = command.output().unwrap();
    (done.status.success(), String::from_utf8_lossy(&done.stdout).into_owned())
}

#[test]
fn every_guard_is_needed() {
    let (fine, text) = run("");
    assert!(fine, "the tests fail with all guards on:\n{text}");
    let mut survived = Vec::new();
    for mutant in JANITOR {
        let (fine, text) = run(mutant);
        let named = text.lines().rfind(|l| l.starts_with("    ") && l.contains("janitor::"));
        println!("{mutant}: {}", if fine { "NOT CAUGHT" } else { named.map_or("caught", str::trim) });
        if fine {
            survived.push(*mutant);
        }
    }
    assert!(survived.is_empty(), "guards that no test needs: {survived:?}");
}
