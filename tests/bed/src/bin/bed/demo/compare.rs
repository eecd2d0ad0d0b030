//! What is there against what should be, as lines of one form: incidents, `stuck -o json`, `/metrics` and the workflows.

use std::collections::BTreeMap;

use serde_json::Value;

use super::expected::{COMPLETED, Fate, ROWS, STUCK_COUNTS};

/// Every statement that must be made, one line each, and none besides.
pub fn expected() -> Vec<String> {
    let mut lines = Vec::new();
    for row in ROWS {
        let name = format!("{}/{}", row.namespace, row.name);
        match row.fate {
            Fate::Stuck(detection, reason, node, policy) => {
                for said_by in ["incident", "stuck"] {
                    lines.push(finding(said_by, &name, detection, reason, Some(node), policy));
                }
                lines.push(finding("metric", &name, detection, reason, None, policy));
            }
            Fate::Ends(phase) | Fate::Healthy(phase) => lines.push(phase_line(&name, phase)),
        }
    }
    for (namespace, policy, detection, reason, count) in STUCK_COUNTS {
        lines.push(format!("metric   {namespace} stuck, {detection} {reason}, policy {policy}: {count}"));
    }
    for (namespace, workflow_type, phase, ended_by, count) in COMPLETED {
        lines.push(format!("metric   {namespace} completed, {workflow_type} {phase} {ended_by}: {count}"));
    }
    lines
}

fn finding(said_by: &str, name: &str, detection: &str, reason: &str, node: Option<&str>, policy: &str) -> String {
    let node = match node {
        None => String::new(),
        Some("") => ", no node".to_owned(),
        Some(node) => format!(", node {node}"),
    };
    format!("{said_by:<8} {name}: {detection} {reason}{node}, policy {policy}")
}

fn phase_line(name: &str, phase: &str) -> String {
    format!("workflow {name}: {phase}")
}

fn text<'v>(value: &'v Value, pointer: &str) -> &'v str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list["items"].as_array().into_iter().flatten()
}

/// Lines of a list of incidents. One that is not confirmed yet, or closed, says so and so differs.
pub fn of_incidents(list: &Value) -> Vec<String> {
    let line = |incident: &Value| {
        let name = format!("{}/{}", text(incident, "/metadata/namespace"), text(incident, "/spec/workflowRef/name"));
        let shown = incident.pointer("/status/detections/0").cloned().unwrap_or_default();
        let (kind, reason, node) = (text(&shown, "/type"), text(&shown, "/reason"), text(&shown, "/node"));
        let mut line = finding("incident", &name, kind, reason, Some(node), text(incident, "/spec/policyRef/name"));
        let holds = |kind: &str| {
            let all = incident.pointer("/status/conditions").and_then(Value::as_array);
            all.into_iter().flatten().any(|c| c["type"] == kind && c["status"] == "True")
        };
        if !holds("Confirmed") {
            line.push_str(" (not confirmed)");
        }
        if holds("Closed") {
            line.push_str(" (closed)");
        }
        line
    };
    items(list).map(line).collect()
}

/// Lines of a `StuckList`.
pub fn of_stuck(list: &Value) -> Vec<String> {
    let line = |item: &Value| {
        let name = format!("{}/{}", text(item, "/namespace"), text(item, "/name"));
        let (kind, reason) = (text(item, "/detections/0/type"), text(item, "/reason"));
        finding("stuck", &name, kind, reason, Some(text(item, "/node")), text(item, "/policy"))
    };
    items(list).map(line).collect()
}

/// Lines of the workflows that are not expected to be stuck.
pub fn of_workflows(list: &Value) -> Vec<String> {
    let line = |workflow: &Value| {
        let (namespace, name) = (text(workflow, "/metadata/namespace"), text(workflow, "/metadata/name"));
        let stuck =
            ROWS.iter().any(|r| r.namespace == namespace && r.name == name && matches!(r.fate, Fate::Stuck(..)));
        (!stuck).then(|| phase_line(&format!("{namespace}/{name}"), text(workflow, "/status/phase")))
    };
    items(list).filter_map(line).collect()
}

/// Lines of a scrape. Counters at 0 say nothing.
pub fn of_metrics(page: &str) -> Vec<String> {
    let line = |sample: &str| {
        let (series, value) = sample.rsplit_once(' ')?;
        let (family, labels) = series.split_once('{')?;
        let labels = read_labels(labels);
        let l = |name: &str| labels.get(name).map_or("", String::as_str);
        let (namespace, policy) = (l("namespace"), l("policy"));
        match family {
            _ if value == "0" => None,
            "unstick_workflow_stuck" => {
                let name = format!("{namespace}/{}", l("workflow_name"));
                Some(finding("metric", &name, l("detection"), l("reason"), None, policy))
            }
            "unstick_workflows_stuck" => Some(format!(
                "metric   {namespace} stuck, {} {}, policy {policy}: {value}",
                l("detection"),
                l("reason")
            )),
            "unstick_workflows_completed_total" => Some(format!(
                "metric   {namespace} completed, {} {} {}: {value}",
                l("workflow_type"),
                l("phase"),
                l("ended_by")
            )),
            _ => None,
        }
    };
    page.lines().filter_map(line).collect()
}

/// `a="b",c="d"}`; none of our values holds a quote or a comma.
fn read_labels(text: &str) -> BTreeMap<String, String> {
    let pairs = text.trim_end_matches('}').split(',').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), value.trim_matches('"').to_owned())).collect()
}

/// What is missing (`-`) and what is too much (`+`), sorted so that what belongs together stands together.
/// A line that is there twice is too much once.
pub fn difference(expected: &[String], seen: &[String]) -> Vec<String> {
    let mut balance: BTreeMap<&str, i32> = BTreeMap::new();
    for line in expected {
        *balance.entry(line).or_default() -= 1;
    }
    for line in seen {
        *balance.entry(line).or_default() += 1;
    }
    let told = |(line, count): (&str, i32)| {
        let sign = if count < 0 { "- expected" } else { "+ seen    " };
        (count != 0).then(|| format!("{sign}  {line}"))
    };
    balance.into_iter().filter_map(told).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn missing_surplus_and_doubled_lines_are_told() {
        let lines = |all: &[&str]| all.iter().map(|l| (*l).to_owned()).collect::<Vec<_>>();
        let told = difference(&lines(&["a", "b"]), &lines(&["b", "b", "c"]));
        assert_eq!(told, ["- expected  a", "+ seen      b", "+ seen      c"]);
        assert!(difference(&expected(), &expected()).is_empty());
    }

    #[test]
    fn an_incident_that_is_not_confirmed_or_is_closed_is_another_line() {
        let incident = |confirmed: &str, closed: &str| {
            let conditions = json!([{"type": "Confirmed", "status": confirmed}, {"type": "Closed", "status": closed}]);
            of_incidents(&json!({"items": [{
                "metadata": {"namespace": "etl"},
                "spec": {"workflowRef": {"name": "load-eu"}, "policyRef": {"name": "default"}},
                "status": {"conditions": conditions,
                    "detections": [{"type": "Pending", "reason": "ImagePull", "node": "load-eu"}]},
            }]}))
        };
        assert!(expected().contains(&incident("True", "False")[0]));
        assert!(!expected().contains(&incident("False", "False")[0]));
        assert!(!expected().contains(&incident("True", "True")[0]));
    }

    #[test]
    fn a_healthy_workflow_in_the_list_is_told() {
        let list = json!({"items": [{"namespace": "etl", "name": "load-us", "reason": "OverAge", "node": "",
            "policy": "default", "detections": [{"type": "RunningTooLong"}]}]});
        let told = difference(&[], &of_stuck(&list));
        assert_eq!(told, ["+ seen      stuck    etl/load-us: RunningTooLong OverAge, no node, policy default"]);
    }

    #[test]
    fn samples_become_lines() {
        let page = "# HELP x\nunstick_workflow_stuck{namespace=\"etl\",workflow_name=\"load-eu\",policy=\"default\",\
                    detection=\"Pending\",reason=\"ImagePull\"} 1\n\
                    unstick_workflows_completed_total{namespace=\"ml\",workflow_type=\"training\",phase=\"Succeeded\",\
                    ended_by=\"Own\"} 1\nunstick_workflows_stuck{namespace=\"a\"} 0\nunstick_leader 1\n";
        let seen = of_metrics(page);
        assert_eq!(seen.len(), 2);
        assert!(seen.iter().all(|line| expected().contains(line)), "{seen:?}");
    }
}
