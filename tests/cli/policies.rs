//! `policy lint` and `policy init`.

use unstick::cli::Exit;
use unstick::cli::screen::Screen;

use crate::stage::{Ran, golden, run, terminal};

fn lint(text: &str) -> Ran {
    run("policy lint -", text, Screen::PLAIN)
}

fn policy(kind: &str, namespace: &str, name: &str, spec: &str) -> String {
    let namespace = if namespace.is_empty() { String::new() } else { format!(", namespace: {namespace}") };
    format!("---\napiVersion: unstick.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: {name}{namespace}}}\nspec:\n{spec}")
}

const DETECT: &str = "  detections: [{name: too-long, type: RunningTooLong, after: 24h}]\n";

#[test]
fn what_init_writes_has_no_problem() {
    let cluster = run("policy init", "", Screen::PLAIN);
    assert_eq!(cluster.exit, Exit::Fine);
    assert!(cluster.out.contains("kind: ClusterWorkflowPolicy"));
    let own = run("policy init -n etl", "", Screen::PLAIN).out;
    assert!(own.contains("kind: WorkflowPolicy") && own.contains("namespace: etl"), "{own}");
    for text in [cluster.out, own] {
        let ran = lint(&text);
        assert_eq!((ran.exit, ran.out.as_str()), (Exit::Fine, "1 policy readable; 0 errors, 0 warnings\n"));
    }
    assert_eq!(run("policy init -n Etl", "", Screen::PLAIN).exit, Exit::Usage);
}

#[test]
fn problems_are_named_with_file_object_field_and_remedy() {
    let text = [
        policy(
            "WorkflowPolicy",
            "etl",
            "typo",
            "  selector: {}\n  detections: [{name: a, type: Haunted, after: 1w}]\n",
        ),
        policy(
            "WorkflowPolicy",
            "etl",
            "lost",
            "  selector: {}\n  remediation: {steps: [{name: s, type: Stop}]}\n  archive: {location: main}\n",
        ),
        policy("WorkflowPolicy", "", "", "  selector: {}\n"),
        policy(
            "ClusterWorkflowPolicy",
            "etl",
            "placed",
            &format!("  namespaceSelector: {{}}\n  selector: {{}}\n{DETECT}"),
        ),
        policy("Watchdog", "", "default", "  clusterName: \"\"\n"),
        "---\nkind: ConfigMap\nmetadata: {name: x}\n".to_owned(),
    ]
    .concat();
    let ran = run("policy lint -", &text, terminal(80, false));
    assert_eq!((ran.exit, ran.err.as_str()), (Exit::Findings, "note: 1 object(s) of other kinds passed over\n"));
    golden("lint.txt", &ran.out);
    assert_eq!(run("policy lint - --exit-zero", &text, Screen::PLAIN).exit, Exit::Fine);
    let json: serde_json::Value =
        serde_json::from_str(&run("policy lint - -o json", &text, Screen::PLAIN).out).unwrap();
    assert_eq!(json["kind"], "ProblemList");
    assert_eq!(json["items"][0]["object"], "WorkflowPolicy etl/typo");
}

#[test]
fn a_file_that_is_no_yaml_is_a_problem_a_missing_one_an_error() {
    assert_eq!(lint("a: [b\nc: d").exit, Exit::Findings);
    assert_eq!(run("policy lint /nowhere.yaml", "", Screen::PLAIN).exit, Exit::Failed);
    assert_eq!(run("policy lint", "", Screen::PLAIN).exit, Exit::Usage);
}

#[test]
fn warnings_can_be_let_pass() {
    let text = policy(
        "WorkflowPolicy",
        "etl",
        "quick",
        "  selector: {}\n  detections: [{name: n, type: NoProgress, after: 5m}]\n",
    );
    let ran = lint(&text);
    assert_eq!(ran.exit, Exit::Findings);
    assert!(ran.out.contains("warning  spec.detections[0].after 5m is raised to 2400s"), "{}", ran.out);
    assert_eq!(run("policy lint - --ignore-warnings", &text, Screen::PLAIN).exit, Exit::Fine);
}

#[test]
fn policies_that_hide_each_other() {
    let own = |name: &str, rest: &str| policy("WorkflowPolicy", "etl", name, &format!("{rest}{DETECT}"));
    let wide = |name: &str, rest: &str| {
        policy("ClusterWorkflowPolicy", "", name, &format!("{rest}  selector: {{}}\n{DETECT}"))
    };
    let cases = [
        // Equal in all but age.
        (
            own("a", "  selector: {}\n") + &own("b", "  selector: {}\n"),
            "WorkflowPolicy etl/b\n  warning  selects the same as WorkflowPolicy etl/a",
        ),
        // A higher priority that selects more.
        (
            own("a", "  priority: 5\n  selector: {}\n") + &own("b", "  selector: {matchLabels: {team: x}}\n"),
            "WorkflowPolicy etl/b\n  warning  never governs detections: WorkflowPolicy etl/a stands before it",
        ),
        // The same, but the order is open.
        (
            own("a", "  selector: {}\n") + &own("b", "  selector: {matchLabels: {team: x}}\n"),
            "WorkflowPolicy etl/b\n  warning  may never govern detections: WorkflowPolicy etl/a selects all",
        ),
        // Override stands before the policies of every namespace it selects.
        (
            wide("o", "  precedence: Override\n  namespaceSelector: {}\n")
                + &own("b", "  priority: 9\n  selector: {}\n"),
            "WorkflowPolicy etl/b\n  warning  never governs detections: ClusterWorkflowPolicy o",
        ),
        (
            wide(
                "o",
                "  precedence: Override\n  namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: etl}}\n",
            ) + &own("b", "  selector: {}\n"),
            "WorkflowPolicy etl/b\n  warning  never governs detections: ClusterWorkflowPolicy o",
        ),
        (own("a", "  selector: {}\n") + &own("a", "  selector: {}\n"), "WorkflowPolicy etl/a\n  error    is in - too"),
    ];
    for (text, wanted) in cases {
        let ran = lint(&text);
        assert!(ran.exit == Exit::Findings && ran.out.contains(wanted), "{wanted}\n{}", ran.out);
        assert_eq!(ran.out.matches("warning  ").count() + ran.out.matches("error    ").count(), 1, "{}", ran.out);
    }
}

#[test]
fn policies_that_only_look_alike_are_left_alone() {
    let own = |namespace: &str, name: &str, rest: &str| policy("WorkflowPolicy", namespace, name, rest);
    let wide = |rest: &str| policy("ClusterWorkflowPolicy", "", "w", &format!("{rest}  selector: {{}}\n{DETECT}"));
    let all = format!("  selector: {{}}\n{DETECT}");
    let cases = [
        own("etl", "a", &all) + &own("ml", "a", &all),
        own("etl", "a", &all) + &wide("  namespaceSelector: {}\n"),
        own("etl", "a", &all) + &wide("  precedence: Override\n  namespaceSelector: {matchLabels: {team: x}}\n"),
        own("etl", "a", &all) + &own("etl", "b", "  selector: {}\n  archive: {location: main}\n"),
        own("etl", "a", &format!("  selector: {{matchLabels: {{x: '1'}}}}\n{DETECT}"))
            + &own("etl", "b", &format!("  selector: {{matchLabels: {{x: '2'}}}}\n{DETECT}")),
        own("etl", "a", &format!("  priority: 5\n  selector: {{matchLabels: {{x: '1'}}}}\n{DETECT}"))
            + &own("etl", "b", &all),
        own(
            "etl",
            "a",
            &format!("  priority: 5\n  selector: {{}}\n  workflowsFrom: [{{kind: CronWorkflow, name: n}}]\n{DETECT}"),
        ) + &own("etl", "b", &all),
    ];
    for text in cases {
        let ran = lint(&text);
        assert_eq!(ran.exit, Exit::Fine, "{text}\n{}", ran.out);
    }
}

const PLACE: &str = "---\napiVersion: unstick.dev/v1alpha1\nkind: ArchiveLocation\nmetadata: {name: main}\nspec:\n";
const KEEPS: &str = "  selector: {}\n  archive: {location: main, mode: Enforce}\n";

#[test]
fn locations_are_judged_as_far_as_the_files_tell() {
    let folder = |more: &str| format!("{PLACE}  type: Filesystem\n  filesystem: {{path: /archive}}\n{more}");
    let asks = "  allowedNamespaces: {matchLabels: {team: etl}}\n";
    let by_name = "  allowedNamespaces: {matchLabels: {kubernetes.io/metadata.name: ml}}\n";
    let own = policy("WorkflowPolicy", "etl", "keep", KEEPS);
    let wide = policy("ClusterWorkflowPolicy", "", "keep", &format!("  namespaceSelector: {{}}\n{KEEPS}"));
    let space = |name: &str, team: &str| {
        format!("---\nkind: Namespace\nmetadata: {{name: {name}, labels: {{team: {team}}}}}\n")
    };
    let refused = |ns: &str| {
        format!("warning  spec.archive.location names ArchiveLocation \"main\", which doesn't admit namespace \"{ns}\"")
    };
    let cases = [
        // Not in the files: a note, and no problem.
        (
            own.clone(),
            Exit::Fine,
            "note     spec.archive.location names ArchiveLocation \"main\", which is in none of these".to_owned(),
        ),
        (own.clone() + &folder("  allowedNamespaces: {}\n"), Exit::Fine, "0 errors, 0 warnings\n".to_owned()),
        // Labels of the namespace aren't known: nothing is said.
        (own.clone() + &folder(asks), Exit::Fine, "0 errors, 0 warnings\n".to_owned()),
        (own.clone() + &folder(asks) + &space("etl", "etl"), Exit::Fine, "0 errors, 0 warnings\n".to_owned()),
        (own.clone() + &folder(asks) + &space("etl", "ml"), Exit::Findings, refused("etl")),
        // The name is known of every namespace.
        (own.clone() + &folder(by_name), Exit::Findings, refused("etl")),
        (wide + &folder(asks) + &space("etl", "etl") + &space("ml", "ml"), Exit::Findings, refused("ml")),
        (
            own.clone() + &folder("  allowedNamespaces: {}\n  accessMode: ReadOnly\n"),
            Exit::Findings,
            "which is ReadOnly".to_owned(),
        ),
        (
            own.clone() + PLACE + "  type: S3\n  allowedNamespaces: {}\n",
            Exit::Findings,
            "ArchiveLocation main\n  error    spec type S3 needs s3".to_owned(),
        ),
        (
            own + PLACE + "  type: Tape\n",
            Exit::Findings,
            "ArchiveLocation main\n  error    spec.allowedNamespaces is required".to_owned(),
        ),
    ];
    for (text, exit, wanted) in cases {
        let ran = lint(&text);
        assert!(ran.exit == exit && ran.out.contains(&wanted), "{wanted}\n{text}\n{}{}", ran.out, ran.err);
    }
}
