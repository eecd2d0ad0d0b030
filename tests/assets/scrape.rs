//! The scrape check finds what it should, and nothing in a clean scrape.

use unstick::metrics::scrape::{check_scrape, families_seen, series};

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
        ("{namespace=\"etl\",workflow_name=\"load\"}", "{namespace=\"etl\",namespace=\"x\",workflow_name=\"load\"}", "a label twice"),
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
