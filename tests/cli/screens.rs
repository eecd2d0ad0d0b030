//! `check` and `status` as text, from values: the words, the widths, the colours.

use serde_json::json;
use unstick::cli::check::{self, Line};
use unstick::cli::status::{self, State};

use crate::fake::NOW;
use crate::stage::{assert_fits, golden, terminal};

fn lines() -> Vec<Line> {
    vec![
        Line::ok("Kubernetes", "v1.34.1"),
        Line::warn(
            "clock",
            "this machine is 3m ahead of the API server",
            "set its clock; ages are taken from the API server",
        ),
        Line::ok("CRDs", "3 of 4 installed and current"),
        Line::fail(
            "CRDs",
            "workflowincidents.unstick.dev is older than this version: it lacks spec.approvals, status.currentStep, status.next and 2 more fields",
            "unstick crds | kubectl apply --server-side -f -",
        ),
        Line::fail(
            "rights",
            "3 of 42 missing: patch, update workflowincidents.unstick.dev/status; create events.events.k8s.io",
            "apply the roles in deploy/base and bind them to the operator's service account",
        ),
        Line::ok("Argo default", "controller is up, lease argo/workflow-controller renewed 3s ago"),
    ]
}

#[test]
fn check_fits_and_every_failure_has_its_remedy() {
    for (width, colour) in [(80, false), (80, true), (140, false), (140, true)] {
        let text = check::render(&lines(), terminal(width, colour));
        assert_fits(&text, width);
        golden(&format!("check-{width}{}.txt", if colour { "-colour" } else { "" }), &text);
    }
    assert!(!check::passed(&lines()));
    assert!(check::passed(&lines()[..3]));
}

fn condition(status: &str, reason: &str, message: &str) -> serde_json::Value {
    json!([{"type": "Ready", "status": status, "reason": reason, "message": message, "lastTransitionTime": NOW}])
}

fn state() -> State {
    let policy = |name: &str, status: serde_json::Value| status::PolicyLine {
        policy: name.to_owned(),
        status: serde_json::from_value(status).unwrap(),
    };
    State {
        installed: true,
        cluster_name: "prod-eu".into(),
        watchdog: serde_json::from_value(json!({"leader": "unstick-0", "version": "0.1.0", "tracked": 4120, "stuck": 12, "incidents": 12,
            "acted24h": 0, "conditions": condition("True", "Active", ""),
            "argo": [{"name": "default", "state": "Up", "since": "2026-11-20T10:00:00Z"},
                     {"name": "gpu", "state": "Down", "since": "2026-11-21T09:50:00Z", "message": "lease argo-gpu/workflow-controller not renewed"}]}))
        .unwrap(),
        policies: vec![
            policy("cluster/default", json!({"mode": "Observe", "matched": 4082, "stuck": 11, "next": "too-long of etl/load-us-9k at 14:05Z",
                "oldestStuck": {"workflow": "etl/load", "detection": "approval", "since": "2026-11-18T06:00:00Z"},
                "conditions": condition("True", "Active", "")})),
            policy("etl/approval", json!({"mode": "Observe", "matched": 38, "stuck": 1,
                "conditions": condition("False", "InvalidSpec", "spec.remediation.windows[0].timeZone \"Europe/Atlantis\" doesn't exist")})),
        ],
        incidents: vec![status::IncidentLine {
            namespace: "etl".into(),
            name: "load-eu-7xk2p-3f9a1c04be".into(),
            workflow: "load-eu-7xk2p".into(),
            detection: "approval".into(),
            reason: "AwaitingResume".into(),
            stuck_since: Some("2026-11-18T06:00:00Z".parse::<jiff::Timestamp>().unwrap().into()),
            state: "Open".into(),
            next: String::new(),
        }],
        open_incidents: 12,
    }
}

#[test]
fn status_is_one_screen() {
    let now = NOW.parse().unwrap();
    for (width, colour) in [(80, false), (80, true), (140, false)] {
        let text = status::render(&state(), now, terminal(width, colour), "unstick");
        assert_fits(&text, width);
        golden(&format!("status-{width}{}.txt", if colour { "-colour" } else { "" }), &text);
    }
    assert!(state().has_findings());
}

#[test]
fn status_without_an_installation_says_what_works() {
    let text = status::render(&State::default(), NOW.parse().unwrap(), terminal(80, false), "kubectl unstick");
    golden("status-not-installed.txt", &text);
    assert!(!State::default().has_findings());
}
