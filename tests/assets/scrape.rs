//! The scrape check finds what it should, and nothing in a clean scrape.

use std::io::Write as _;
use std::process::{Command, Stdio};

use unstick::metrics::catalogue::catalogue;
use unstick::metrics::scrape::{check_scrape, families_seen, series};

use crate::tools;

const CLEAN: &str = r#"# HELP unstick_leader 1 in the replica that holds the lease, 0 in the others.
# TYPE unstick_leader gauge
unstick_leader 1
# HELP unstick_workflow_start_timestamp_seconds When an active workflow started (status.startedAt), Unix seconds. Gone once the workflow has finished.
# TYPE unstick_workflow_start_timestamp_seconds gauge
unstick_workflow_start_timestamp_seconds{namespace="etl",workflow_name="a\"b\\c,{}\n"} 1.7e9
unstick_workflow_start_timestamp_seconds{namespace="etl",workflow_name="load"} 1700000000
# HELP unstick_kube_request_duration_seconds Time to the answer; for list and watch to the first byte.
# TYPE unstick_kube_request_duration_seconds histogram
unstick_kube_request_duration_seconds_bucket{verb="get",le="0.005"} 0
unstick_kube_request_duration_seconds_bucket{verb="get",le="0.025"} 1
unstick_kube_request_duration_seconds_bucket{verb="get",le="0.1"} 1
unstick_kube_request_duration_seconds_bucket{verb="get",le="0.25"} 1
unstick_kube_request_duration_seconds_bucket{verb="get",le="1"} 1
unstick_kube_request_duration_seconds_bucket{verb="get",le="2.5"} 1
unstick_kube_request_duration_seconds_bucket{verb="get",le="10"} 1
unstick_kube_request_duration_seconds_bucket{verb="get",le="30"} 1
unstick_kube_request_duration_seconds_bucket{verb="get",le="+Inf"} 1
unstick_kube_request_duration_seconds_sum{verb="get"} 0.02
unstick_kube_request_duration_seconds_count{verb="get"} 1
# TYPE unstick_agent_executions_total counter
unstick_agent_executions_total{namespace="other",github_app="other",stage="other",result="Success",failure_reason=""} 4
"#;

#[test]
fn a_clean_scrape_has_no_problems() {
    assert_eq!(check_scrape(CLEAN), Vec::<String>::new());
    assert_eq!(series(CLEAN), 15);
    let seen: Vec<String> = families_seen(CLEAN).into_iter().collect();
    assert_eq!(
        seen,
        [
            "unstick_agent_executions_total",
            "unstick_kube_request_duration_seconds",
            "unstick_leader",
            "unstick_workflow_start_timestamp_seconds"
        ]
    );
}

#[test]
fn a_histogram_without_observations_is_not_seen() {
    let empty = CLEAN.replace("_count{verb=\"get\"} 1", "_count{verb=\"get\"} 0");
    assert!(!families_seen(&empty).contains("unstick_kube_request_duration_seconds"));
}

#[test]
fn every_kind_of_mistake_is_found() {
    // What is changed in the clean scrape, and a part of the problem it must give.
    let cases = [
        ("\nunstick_leader 1", "\nunstick_boss 1", "unstick_boss is not in the catalogue"),
        ("# TYPE unstick_leader gauge", "# TYPE unstick_leader counter", "type counter"),
        ("# TYPE unstick_leader gauge\n", "", "outside the block"),
        ("in the replica that", "in a replica that", "help differs"),
        ("\nunstick_leader 1", "\nunstick_leader{pod=\"x\"} 1", "has no label pod"),
        ("{namespace=\"etl\",workflow_name=\"load\"}", "{namespace=\"etl\"}", "label workflow_name is missing"),
        ("workflow_name=\"load\"", "workflow_name=\"a\\\"b\\\\c,{}\\n\"", "twice"),
        (
            "{namespace=\"etl\",workflow_name=\"load\"}",
            "{namespace=\"etl\",namespace=\"x\",workflow_name=\"load\"}",
            "a label twice",
        ),
        ("result=\"Success\"", "result=\"Fine\"", "result=\"Fine\" is not one of"),
        ("failure_reason=\"\"} 4", "failure_reason=\"\"} -4", "value -4"),
        ("\nunstick_leader 1", "\nunstick_leader NaN", "value NaN"),
        ("\nunstick_leader 1", "\nunstick_leader one", "unreadable line"),
        ("le=\"0.1\"", "le=\"0.2\"", "the catalogue says"),
        ("le=\"1\"} 1", "le=\"1\"} 0", "not cumulative"),
        ("_count{verb=\"get\"} 1", "_count{verb=\"get\"} 2", "the last bucket is not _count"),
        ("_bucket{verb=\"get\",le=\"0.1\"}", "_bucket{verb=\"get\"}", "a bucket without le"),
        ("unstick_kube_request_duration_seconds_sum", "unstick_kube_request_duration_seconds", "not in the catalogue"),
    ];
    for (from, to, expected) in cases {
        assert!(CLEAN.contains(from), "{from}");
        let problems = check_scrape(&CLEAN.replacen(from, to, 1));
        assert!(problems.iter().any(|p| p.contains(expected)), "{to}: expected {expected:?} in {problems:?}");
    }
}

#[test]
fn caps_and_the_limit_are_checked() {
    let mut text = String::from("# TYPE unstick_workflow_start_timestamp_seconds gauge\n");
    for i in 0..301 {
        text += &format!("unstick_workflow_start_timestamp_seconds{{namespace=\"etl\",workflow_name=\"w{i}\"}} 1\n");
    }
    assert_eq!(check_scrape(&text), ["unstick_workflow_start_timestamp_seconds: 301 label sets, the cap is 300"]);

    let mut folded = String::from("# TYPE unstick_workflows gauge\n");
    for i in 0..320 {
        let kind = if i < 300 { "load" } else { "other" };
        folded += &format!("unstick_workflows{{namespace=\"n{i}\",workflow_type=\"{kind}\",phase=\"Running\"}} 1\n");
    }
    assert_eq!(check_scrape(&folded), Vec::<String>::new(), "folded sets come on top of the cap");

    let mut many = String::from("# TYPE unstick_suspensions_ended_total counter\n");
    for i in 0..5001 {
        many += &format!("unstick_suspensions_ended_total{{namespace=\"n{i}\",outcome=\"Resumed\"}} 1\n");
    }
    assert_eq!(check_scrape(&many), ["5001 series, the limit is 5000"]);
}

/// One sample of every family, as a process could export it.
fn one_of_each() -> String {
    let c = catalogue();
    let mut text = String::new();
    for f in &c.families {
        let value = |l: &String| c.closed_values(f, l).first().cloned().unwrap_or_else(|| "x".to_owned());
        let labels: Vec<String> = f.labels.iter().map(|l| format!("{l}=\"{}\"", value(l))).collect();
        let braces =
            |labels: &[String]| if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        text += &format!("# HELP {} {}\n# TYPE {} {}\n", f.name, f.help, f.name, f.kind.as_str());
        if f.buckets.is_empty() {
            text += &format!("{}{} 1\n", f.name, braces(&labels));
            continue;
        }
        for le in f.buckets.iter().map(ToString::to_string).chain(["+Inf".to_owned()]) {
            let mut with = labels.clone();
            with.push(format!("le=\"{le}\""));
            text += &format!("{}_bucket{} 1\n", f.name, braces(&with));
        }
        text += &format!("{}_sum{} 1\n{}_count{} 1\n", f.name, braces(&labels), f.name, braces(&labels));
    }
    text
}

#[test]
fn every_family_can_be_exported_and_passes_promtool() {
    let text = one_of_each();
    assert_eq!(check_scrape(&text), Vec::<String>::new());
    assert_eq!(families_seen(&text).len(), catalogue().families.len());
    let mut promtool = Command::new(tools::promtool())
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let out = promtool.wait_with_output().unwrap();
    let words = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success() && words.trim().is_empty(), "{words}");
}
