//! The alert rules: they load, their tests pass, they fit the catalogue, and each has what an on-call person needs.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::promql::{self, Recorded};
use crate::{assert_generated, assert_none, files, read, repo, tools};

pub const RULES: &str = "alerts/unstick.rules.yaml";

/// What issue A asks for.
const ALERTS: [&str; 8] = [
    "WorkflowStuckOver24Hours",
    "WorkflowPolicyStuck",
    "WorkflowSuspendedTooLong",
    "HighWorkflowFailureRate",
    "WatchdogDown",
    "WatchdogScanStale",
    "WorkflowsLostUnarchived",
    "WorkflowArchiveStalled",
];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleFile {
    pub groups: Vec<Group>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    pub name: String,
    pub rules: Vec<Rule>,
}

// No keep_firing_for: vmalert 1.79 refuses the whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    #[serde(default)]
    pub alert: String,
    #[serde(default)]
    pub record: String,
    pub expr: String,
    #[serde(default, rename = "for")]
    pub pending: String,
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
}

pub fn load() -> RuleFile {
    serde_saphyr::from_str(&read(repo(RULES))).unwrap()
}

impl RuleFile {
    pub fn alerts(&self) -> impl Iterator<Item = &Rule> {
        self.groups.iter().flat_map(|g| &g.rules).filter(|r| !r.alert.is_empty())
    }

    /// Recorded series with their labels, and problems of their expressions.
    pub fn recorded(&self) -> (Recorded, Vec<String>) {
        let mut recorded = Recorded::new();
        let mut problems = Vec::new();
        for g in &self.groups {
            assert!(g.name.starts_with("unstick."), "group {}", g.name);
            let before = recorded.clone();
            for r in g.rules.iter().filter(|r| !r.record.is_empty()) {
                // `before`: rules of one group may not build on each other.
                let (labels, found) = promql::check(&r.expr, &before);
                problems.extend(found);
                recorded.insert(r.record.clone(), labels);
            }
        }
        (recorded, problems)
    }
}

#[test]
fn promtool_accepts_them_and_their_tests_pass() {
    let dir = repo("alerts");
    let (good, out) = tools::run(&tools::promtool(), &dir, &["check", "rules", "unstick.rules.yaml"]);
    assert!(good, "{out}");
    let tests: Vec<String> = files("alerts/tests", ".test.yaml").iter().map(|p| p.display().to_string()).collect();
    let args: Vec<&str> = ["test", "rules"].into_iter().chain(tests.iter().map(String::as_str)).collect();
    let (good, out) = tools::run(&tools::promtool(), &dir, &args);
    assert!(good, "{out}");
}

#[test]
fn expressions_fit_the_catalogue() {
    let file = load();
    let (recorded, mut problems) = file.recorded();
    for r in file.alerts() {
        let (labels, found) = promql::check(&r.expr, &recorded);
        problems.extend(found.into_iter().map(|p| format!("{}: {p}", r.alert)));
        for (name, text) in &r.annotations {
            for label in used_labels(text) {
                if !labels.contains(&label) {
                    problems.push(format!("{}: annotation {name} uses label {label}, which the result lacks", r.alert));
                }
            }
        }
    }
    for name in recorded.keys() {
        if !name.starts_with("unstick:") {
            problems.push(format!("{name}: recorded names begin with unstick:"));
        }
    }
    assert_none(&problems);
}

/// `x` of every `$labels.x` in a template.
fn used_labels(template: &str) -> BTreeSet<String> {
    let name = |s: &str| s.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect::<String>();
    template.split("$labels.").skip(1).map(name).collect()
}

#[test]
fn every_alert_has_what_the_person_on_call_needs() {
    let file = load();
    let names: Vec<&str> = file.alerts().map(|r| r.alert.as_str()).collect();
    assert_eq!(names, ALERTS, "alerts");
    let mut problems = Vec::new();
    for r in file.alerts() {
        let mut say = |text: String| problems.push(format!("{}: {text}", r.alert));
        let label = |name: &str| r.labels.get(name).map_or("", String::as_str);
        if !["critical", "warning", "info"].contains(&label("severity")) {
            say(format!("severity {:?}", label("severity")));
        }
        if !["workflow", "watchdog", "archive"].contains(&label("component")) || label("team").is_empty() {
            say("component or team".into());
        }
        if r.labels.values().any(|v| v.contains("{{")) {
            say("a label from a template makes a new alert of each value".into());
        }
        if r.pending.is_empty() {
            say("no `for`".into());
        }
        for name in ["summary", "description", "runbook_url", "dashboard_url"] {
            if r.annotations.get(name).is_none_or(String::is_empty) {
                say(format!("annotation {name} is missing"));
            }
        }
        let text = |name: &str| r.annotations.get(name).cloned().unwrap_or_default();
        if !text("summary").ends_with('.') || text("summary").contains("$value") {
            say("the summary is a sentence that doesn't change with the value".into());
        }
        if r.annotations.values().any(|t| t.contains("query")) {
            say("a query in an annotation".into());
        }
        if text("description").contains("{{ $value }}") {
            say("a bare $value; humanize it".into());
        }
        if !text("runbook_url").ends_with(&format!("/{}.md", r.alert)) {
            say(format!("runbook_url {}", text("runbook_url")));
        }
        let runbook = repo(&format!("runbooks/{}.md", r.alert));
        if !runbook.exists() {
            say("no runbook".into());
        }
        let tests = repo(&format!("alerts/tests/{}.test.yaml", r.alert));
        if !tests.exists() || !read(&tests).contains(&format!("alertname: {}", r.alert)) {
            say("no promtool test that names it".into());
        }
    }
    for path in files("alerts/tests", ".yaml") {
        let name = path.file_name().unwrap().to_string_lossy().replace(".test.yaml", "");
        if !ALERTS.contains(&name.as_str()) {
            problems.push(format!("{} tests no alert", path.display()));
        }
    }
    assert_none(&problems);
}

#[test]
fn the_prometheus_rule_object_is_the_same_file() {
    assert_generated("alerts/prometheusrule.yaml", &prometheus_rule(&read(repo(RULES))));
    let object: serde_json::Value = serde_saphyr::from_str(&read(repo("alerts/prometheusrule.yaml"))).unwrap();
    let plain: serde_json::Value = serde_saphyr::from_str(&read(repo(RULES))).unwrap();
    assert_eq!(object["spec"], plain);
    assert_eq!(object["kind"], "PrometheusRule");
}

/// The rule file as an object of the Prometheus operator (that of `VictoriaMetrics` converts it).
fn prometheus_rule(rules: &str) -> String {
    let body: String = rules
        .lines()
        .skip_while(|l| !l.starts_with("groups:"))
        .map(|l| if l.is_empty() { "\n".to_owned() } else { format!("  {l}\n") })
        .collect();
    format!(
        "# Generated from unstick.rules.yaml; `UNSTICK_UPDATE=1 cargo test --test assets` writes it anew.\n\
         # Your Prometheus may select rules by label: see its spec.ruleSelector.\n\
         apiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\nmetadata:\n  name: unstick\n  labels:\n    \
         app.kubernetes.io/name: unstick\nspec:\n{body}"
    )
}
