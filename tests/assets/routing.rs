//! The Alertmanager example: amtool takes it, and every alert goes where it should.

use serde_json::Value;

use crate::rules::load;
use crate::{read, repo, tools};

const CONFIG: &str = "alerts/alertmanager.example.yaml";

#[test]
fn amtool_accepts_it() {
    let (good, out) = tools::run(&tools::amtool(), &repo("alerts"), &["check-config", "alertmanager.example.yaml"]);
    assert!(good, "{out}");
}

#[test]
fn every_alert_is_routed() {
    let expected = [
        ("WorkflowStuckOver24Hours", "chat"),
        ("WorkflowPolicyStuck", "chat"),
        ("WorkflowSuspendedTooLong", "chat"),
        ("HighWorkflowFailureRate", "pager"),
        ("WatchdogDown", "pager"),
        ("WatchdogScanStale", "pager"),
        ("WorkflowsLostUnarchived", "pager"),
        ("WorkflowArchiveStalled", "chat"),
    ];
    let rules = load();
    assert_eq!(rules.alerts().count(), expected.len());
    for (name, receiver) in expected {
        let rule = rules.alerts().find(|r| r.alert == name).unwrap();
        let mut labels: Vec<String> = rule.labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
        labels.push(format!("alertname={name}"));
        assert_eq!(route(&labels), receiver, "{name}");
    }
    assert_eq!(route(&["alertname=SomebodyElses".into(), "severity=info".into()]), "mail");
}

/// The receiver amtool resolves for these labels.
fn route(labels: &[String]) -> String {
    let config = repo(CONFIG);
    let file = format!("--config.file={}", config.display());
    let mut args = vec!["config", "routes", "test", &file];
    args.extend(labels.iter().map(String::as_str));
    let (good, out) = tools::run(&tools::amtool(), &repo("alerts"), &args);
    assert!(good, "{out}");
    out.lines().find(|l| !l.trim().is_empty() && !l.contains("Warning")).unwrap_or_default().trim().to_owned()
}

#[test]
fn a_wrong_receiver_is_noticed() {
    let file = format!("--config.file={}", repo(CONFIG).display());
    let args = ["config", "routes", "test", &file, "--verify.receivers=mail", "severity=critical"];
    let (good, out) = tools::run(&tools::amtool(), &repo("alerts"), &args);
    assert!(!good, "{out}");
}

/// amtool has no test for inhibition; this one at least proves that each rule can hit: its alerts exist, and what must be
/// equal is a label of both sides (or of neither, as `cluster` where nobody adds it).
#[test]
fn inhibitions_name_alerts_and_labels_that_exist() {
    let config: Value = serde_saphyr::from_str(&read(repo(CONFIG))).unwrap();
    let rules = load();
    let (recorded, _) = rules.recorded();
    let inhibitions = config["inhibit_rules"].as_array().unwrap();
    assert_eq!(inhibitions.len(), 3);
    for i in inhibitions {
        let matched = |side: &str| -> Vec<_> {
            let matcher = i[side][0].as_str().unwrap().to_owned();
            let (label, values) = matcher
                .split_once('=')
                .map(|(l, v)| (l.to_owned(), v.trim_start_matches('~').trim_matches('"').to_owned()))
                .unwrap();
            let values: Vec<String> = values.split('|').map(str::to_owned).collect();
            let of = |r: &&crate::rules::Rule| {
                let value = if label == "alertname" { Some(&r.alert) } else { r.labels.get(&label) };
                value.is_some_and(|v| values.contains(v))
            };
            let found: Vec<_> = rules.alerts().filter(of).collect();
            assert!(found.len() >= values.len(), "{matcher}");
            found
        };
        for rule in matched("source_matchers").into_iter().chain(matched("target_matchers")) {
            let labels = crate::promql::check(&rule.expr, &recorded).0;
            for equal in i["equal"].as_array().unwrap().iter().map(|v| v.as_str().unwrap()) {
                assert!(equal == "cluster" || labels.contains(equal), "{} has no label {equal}", rule.alert);
            }
        }
    }
}
