//! `stuck` and `explain` on saved workflows.

use unstick::cli::Exit;
use unstick::cli::screen::Screen;

use crate::stage::{assert_fits, golden, run, terminal, workflows};

const STUCK: &str = "stuck -f - --now 2026-11-21T10:00:00Z";
const EXPLAIN: &str = "explain -f - --now 2026-11-21T10:00:00Z";

#[test]
fn the_table_fits_the_terminal() {
    for width in [80, 140] {
        for colour in [false, true] {
            let ran = run(STUCK, &workflows(), terminal(width, colour));
            assert_eq!((ran.exit, ran.err.as_str()), (Exit::Findings, ""));
            assert_fits(&ran.out, width);
            golden(&format!("stuck-{width}{}.txt", if colour { "-colour" } else { "" }), &ran.out);
        }
    }
    for width in 20..160 {
        // Below the least widths of the columns that never go, lines may be longer.
        let ran = run(STUCK, &workflows(), terminal(width, false));
        assert_fits(&ran.out, width.max(52));
    }
}

#[test]
fn pipes_and_wide_cut_nothing() {
    let piped = run(STUCK, &workflows(), Screen::PLAIN).out;
    assert!(!piped.contains('…') && !piped.contains('\u{1b}'), "{piped}");
    golden("stuck-piped.txt", &piped);
    let wide = run(&format!("{STUCK} -o wide"), &workflows(), terminal(80, false)).out;
    assert!(!wide.contains('…') && wide.contains("uid-build-1138"), "{wide}");
    golden("stuck-wide.txt", &wide);
}

#[test]
fn no_color_wins() {
    assert!(!run(&format!("{STUCK} --no-color"), &workflows(), terminal(80, true)).out.contains('\u{1b}'));
}

#[test]
fn json_and_yaml_say_the_same() {
    let json = run(&format!("{STUCK} -o json"), &workflows(), Screen::PLAIN).out;
    golden("stuck.json", &json);
    let yaml = run(&format!("{STUCK} -o yaml"), &workflows(), Screen::PLAIN).out;
    golden("stuck.yaml", &yaml);
    let a: serde_json::Value = serde_json::from_str(&json).unwrap();
    let b: serde_json::Value = serde_saphyr::from_str(&yaml).unwrap();
    assert_eq!(a, b);
}

#[test]
fn names_can_be_pasted_behind_kubectl_get() {
    let ran = run(&format!("{STUCK} -o name --reason suspended"), &workflows(), Screen::PLAIN);
    assert_eq!(ran.out, "-n etl workflow.argoproj.io/load-eu-7xk2p\n");
}

#[test]
fn filters_choose_and_the_longest_comes_first() {
    let names = |flags: &str| {
        let ran = run(&format!("{STUCK} -o name {flags}"), &workflows(), Screen::PLAIN);
        let names: Vec<_> =
            ran.out.lines().map(|l| l.rsplit('/').next().unwrap().chars().take(5).collect::<String>()).collect();
        (names.join(" "), ran.exit)
    };
    assert_eq!(names(""), ("build load- train repor".into(), Exit::Findings));
    assert_eq!(names("--older 2d"), ("build load-".into(), Exit::Findings));
    assert_eq!(names("--older 145h"), ("build".into(), Exit::Findings));
    assert_eq!(names("--older 146h"), (String::new(), Exit::Fine));
    assert_eq!(names("-n ci"), ("build repor".into(), Exit::Findings));
    assert_eq!(names("-l team=ml"), ("train".into(), Exit::Findings));
    assert_eq!(names("-l team!=ci,team!=ml"), ("load-".into(), Exit::Findings));
    assert_eq!(names("--reason HolderGone,Pending"), ("train repor".into(), Exit::Findings));
    // A detection that holds besides the first counts as well.
    assert_eq!(names("--reason overage"), ("load-".into(), Exit::Findings));
    assert_eq!(names("--exit-zero"), ("build load- train repor".into(), Exit::Fine));
}

#[test]
fn headers_and_summary_go_together() {
    let rows = run(&format!("{STUCK} --no-headers"), &workflows(), Screen::PLAIN).out;
    assert_eq!(rows.lines().count(), 4, "{rows}");
    let none = run(&format!("{STUCK} -n nowhere"), &workflows(), Screen::PLAIN);
    assert_eq!((none.exit, none.out.as_str()), (Exit::Fine, "Nothing stuck: 0 unfinished workflows looked at.\n"));
    assert_eq!(run(&format!("{STUCK} -n nowhere --no-headers"), &workflows(), Screen::PLAIN).out, "");
}

#[test]
fn text_from_outside_can_not_steer_the_terminal() {
    let wide = run(&format!("{STUCK} -o wide"), &workflows(), terminal(200, false)).out;
    assert!(wide.contains("deploy [31m") && !wide.contains('\u{1b}'), "{wide}");
}

#[test]
fn policies_in_the_files_are_used_and_bad_ones_named() {
    let policy = r#"{"apiVersion":"unstick.dev/v1alpha1","kind":"WorkflowPolicy","metadata":{"name":"mine","namespace":"ci"},"spec":{}}"#;
    let other = r#"{"kind":"ConfigMap","metadata":{"name":"x"}}"#;
    let ran = run(&format!("{STUCK} -o json"), &format!("{policy}\n{other}\n{}", workflows()), Screen::PLAIN);
    assert!(ran.out.contains("\"policy\": \"mine\""), "{}", ran.out);
    assert_eq!(
        ran.err,
        "warning: WorkflowPolicy mine: spec.selector is required\nnote: 1 object(s) of ConfigMap passed over\n"
    );
}

#[test]
fn one_broken_workflow_does_not_stop_the_others() {
    let broken = r#"{"kind":"Workflow","metadata":{"name":"broken","namespace":"ci"}}"#;
    let ran = run(&format!("{STUCK} -o name"), &format!("{broken}\n{}", workflows()), Screen::PLAIN);
    assert_eq!((ran.out.lines().count(), ran.err.as_str()), (4, "warning: ci/broken can't be read: it has no uid\n"));
}

#[test]
fn files_that_can_not_be_read_are_an_error() {
    let gone = run("stuck -f /nowhere/x.yaml", "", Screen::PLAIN);
    assert_eq!(gone.exit, Exit::Failed);
    assert!(gone.err.starts_with("error: can't open /nowhere/x.yaml: "), "{}", gone.err);
    let bad = run("stuck -f -", "{\"kind\": [}", Screen::PLAIN);
    assert_eq!(bad.exit, Exit::Failed);
    assert!(bad.err.contains("neither JSON nor YAML: ") && bad.err.contains("line 1"), "{}", bad.err);
}

#[test]
fn explanations() {
    for (name, exit) in [
        ("load-eu-7xk2p", Exit::Findings),
        ("report-p2", Exit::Findings),
        ("fine", Exit::Fine),
        ("offloaded", Exit::Fine),
        ("snoozed", Exit::Fine),
        ("done", Exit::Fine),
    ] {
        for width in [80, 140] {
            let ran = run(&format!("{EXPLAIN} {name}"), &workflows(), terminal(width, false));
            assert_eq!((ran.exit, ran.err.as_str()), (exit, ""), "{name}");
            assert_fits(&ran.out, width);
            golden(&format!("explain-{name}-{width}.txt"), &ran.out);
        }
    }
    let colour = run(&format!("{EXPLAIN} load-eu-7xk2p"), &workflows(), terminal(80, true)).out;
    golden("explain-load-eu-7xk2p-80-colour.txt", &colour);
    let json = run(&format!("{EXPLAIN} -o json load-eu-7xk2p"), &workflows(), Screen::PLAIN).out;
    golden("explain.json", &json);
}

#[test]
fn the_workflow_may_be_named_in_every_usual_way() {
    for name in ["-n ml twin", "ml/twin", "-n ml workflow.argoproj.io/twin", "-n ml wf/twin"] {
        let ran = run(&format!("{EXPLAIN} {name}"), &workflows(), Screen::PLAIN);
        assert!(ran.out.starts_with("HEALTHY  ml/twin: "), "{name}: {}{}", ran.out, ran.err);
    }
    let two = run(&format!("{EXPLAIN} twin"), &workflows(), Screen::PLAIN);
    assert_eq!(two.exit, Exit::Usage);
    assert!(two.err.contains("several namespaces (etl, ml): name one with -n"), "{}", two.err);
    let none = run(&format!("{EXPLAIN} nobody"), &workflows(), Screen::PLAIN);
    assert_eq!((none.exit, none.err.as_str()), (Exit::Failed, "error: workflow \"nobody\" is not in these files\n"));
    assert_eq!(run(&format!("{EXPLAIN} --exit-zero load-eu-7xk2p"), &workflows(), Screen::PLAIN).exit, Exit::Fine);
}
