//! An engine with a fixed opinion on workflows it knows by name: it shows what the commands do with findings.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::Value;
use unstick::api::reasons::{DetectionType, Reason, UnknownReason};
use unstick::cli::engine::{Engine, EngineOptions};
use unstick::watchdog::report::{Check, Explanation, Finding, Governing, Holding, Standing, Totals, Verdict};

/// The instant of every test.
pub const NOW: &str = "2026-11-21T10:00:00Z";

#[derive(Default)]
pub struct Fake {
    /// (namespace, name) -> whether it has ended.
    fed: BTreeMap<(String, String), bool>,
    absent: BTreeSet<(String, String)>,
    policies: Vec<String>,
    builtin: bool,
    judged: bool,
}

#[allow(clippy::unnecessary_wraps)] // the shape of the real one
pub fn engine(_: EngineOptions) -> anyhow::Result<Box<dyn Engine>> {
    Ok(Box::<Fake>::default())
}

fn ago(seconds: i64) -> Timestamp {
    Timestamp::from_second(NOW.parse::<Timestamp>().unwrap().as_second() - seconds).unwrap()
}

fn held(name: &str, kind: DetectionType, reason: Reason, seconds: i64, node: &str, message: &str) -> Holding {
    Holding { name: name.into(), kind, reason, since: ago(seconds), node: node.into(), message: message.into() }
}

/// What holds on each workflow that is stuck.
fn opinion(name: &str) -> Vec<Holding> {
    use DetectionType as D;
    use Reason as R;
    match name {
        "load-eu-7xk2p" => vec![
            held(
                "approval",
                D::Suspended,
                R::AwaitingResume,
                273_600,
                "approve",
                "waits at \"approve\" to be resumed by hand since 2026-11-18 06:00 UTC",
            ),
            held("too-long", D::RunningTooLong, R::OverAge, 277_200, "", "runs since 2026-11-18 05:00 UTC"),
        ],
        "train-q9wlm-with-a-rather-long-generated-name-x8f2c" => {
            vec![held(
                "pending",
                D::Pending,
                R::Unschedulable,
                93_600,
                "fit(3)",
                "pod can't be placed: 0/12 nodes are available: 12 Insufficient nvidia.com/gpu",
            )]
        }
        "build-1138" => vec![held(
            "task-result-lost",
            D::TaskResultLost,
            R::ResultIncomplete,
            522_000,
            "",
            "its pods have ended, the result of 1 node never arrived",
        )],
        "report-p2" => vec![held(
            "lock-wedged",
            D::LockWedged,
            R::HolderGone,
            5400,
            "",
            "waits for ci/Mutex/deploy\u{1b}[31m, whose holder ci/gone does not exist",
        )],
        _ => Vec::new(),
    }
}

impl Engine for Fake {
    fn policy(&mut self, object: &Value) -> Vec<String> {
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let bad = object["spec"]["selector"].is_null();
        self.policies.push(name);
        if bad { vec!["spec.selector is required".to_owned()] } else { Vec::new() }
    }

    fn builtin_policy(&mut self) {
        self.builtin = true;
    }

    fn watchdog(&mut self, _: &Value) {}

    fn namespace(&mut self, _: &str, _: BTreeMap<String, String>) {}

    fn incident(&mut self, _: &Value) {}

    fn pod(&mut self, _: &Value) {}

    fn argo_lease(&mut self, _: &str, _: &str, _: Option<Timestamp>) {}

    fn workflow(&mut self, json: &str, _: Timestamp) -> Result<(), String> {
        let value: Value = serde_json::from_str(json).map_err(|e| e.to_string())?;
        let text = |path: &str| value.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
        if text("/metadata/uid").is_empty() {
            return Err("it has no uid".to_owned());
        }
        let ended = matches!(text("/status/phase").as_str(), "Succeeded" | "Failed" | "Error");
        self.fed.insert((text("/metadata/namespace"), text("/metadata/name")), ended);
        Ok(())
    }

    fn wanted(&self) -> Vec<(String, String)> {
        let all = [("ci", "gone"), ("ml", "train-q9wlm-with-a-rather-long-generated-name-x8f2c")];
        let waits = self.fed.keys().any(|(_, name)| name == "report-p2");
        all.into_iter()
            .map(|(a, b)| (a.to_owned(), b.to_owned()))
            .filter(|id| waits && !self.fed.contains_key(id))
            .collect()
    }

    fn absent(&mut self, namespace: &str, name: &str) {
        self.absent.insert((namespace.to_owned(), name.to_owned()));
    }

    fn judge(&mut self, _: Timestamp) {
        self.judged = true;
    }

    fn findings(&self) -> Vec<Finding> {
        assert!(self.judged);
        let policy = if self.builtin { String::new() } else { self.policies.first().cloned().unwrap_or_default() };
        self.fed
            .keys()
            .map(|(namespace, name)| Finding {
                namespace: namespace.clone(),
                name: name.clone(),
                uid: format!("uid-{name}"),
                started_at: (name != "train-q9wlm-with-a-rather-long-generated-name-x8f2c").then(|| ago(277_200)),
                policy: policy.clone(),
                mode: "Observe".to_owned(),
                next: if name == "load-eu-7xk2p" { "notify again at 12:00Z".to_owned() } else { String::new() },
                detections: opinion(name),
            })
            .filter(|f| !f.detections.is_empty())
            .collect()
    }

    fn explain(&self, namespace: &str, name: &str, now: Timestamp) -> Option<Explanation> {
        let ended = *self.fed.get(&(namespace.to_owned(), name.to_owned()))?;
        let detections = opinion(name);
        let standing = match name {
            _ if !detections.is_empty() => Standing::Stuck,
            _ if ended => Standing::Finished,
            "offloaded" => Standing::Unknown(UnknownReason::NodesOffloaded),
            "snoozed" => {
                Standing::SetAside("snoozed until 2026-11-22 08:00 UTC by unstick.dev/snooze-until".to_owned())
            }
            _ => Standing::Healthy,
        };
        let check =
            |name: &str, kind, after_seconds, verdict| Check { name: name.into(), kind, after_seconds, verdict };
        let mut checks = vec![check("deletion-blocked", DetectionType::DeletionBlocked, 3600, Verdict::Absent)];
        checks.push(match standing {
            Standing::Unknown(reason) => {
                check("no-progress", DetectionType::NoProgress, 14_400, Verdict::Unknown(reason))
            }
            _ => check("no-progress", DetectionType::NoProgress, 14_400, Verdict::Absent),
        });
        for holding in &detections {
            checks.push(check(&holding.name, holding.kind, 3600, Verdict::Stuck(holding.clone())));
        }
        if detections.is_empty() && !ended {
            let holding = held(
                "too-long",
                DetectionType::RunningTooLong,
                Reason::OverAge,
                7200,
                "",
                "runs since 2026-11-21 08:00 UTC",
            );
            let until = now + jiff::SignedDuration::from_hours(22);
            checks.push(check(
                "too-long",
                DetectionType::RunningTooLong,
                86_400,
                Verdict::HealthyUntil { until, holding },
            ));
        }
        let waits = name == "load-eu-7xk2p";
        Some(Explanation {
            namespace: namespace.into(),
            name: name.into(),
            uid: format!("uid-{name}"),
            started_at: Some(ago(if detections.is_empty() { 7200 } else { 277_200 })),
            phase: if ended { "Succeeded".into() } else { "Running".into() },
            standing,
            detections,
            checks,
            governing: (!ended).then(|| Governing {
                policy: if self.builtin { String::new() } else { "approval".into() },
                mode: "Observe".into(),
                why: "the policies of a namespace stand before cluster policies with precedence Default".into(),
                others: vec![("cluster/default".into(), "it has precedence Default".into())],
            }),
            done: if waits {
                vec![
                    "incident opened 2026-11-20 06:00 UTC".into(),
                    "event WorkflowStuck written 2026-11-20 06:00 UTC".into(),
                ]
            } else {
                Vec::new()
            },
            next: if waits { "notify again at 2026-11-21 12:00 UTC".into() } else { String::new() },
            if_resumed: if waits {
                "mark node \"approve\" Succeeded and start \"release\": this approves the step".into()
            } else {
                String::new()
            },
            notes: if waits {
                vec!["activeDeadlineSeconds=86400 does not apply while the workflow is suspended".into()]
            } else {
                Vec::new()
            },
            links: if waits {
                vec![("Argo".into(), "https://argo.example/workflows/etl/load-eu-7xk2p".into())]
            } else {
                Vec::new()
            },
        })
    }

    fn totals(&self) -> Totals {
        let unfinished = self.fed.values().filter(|ended| !**ended).count();
        let unknown = self.fed.keys().filter(|(_, name)| name == "offloaded").count();
        Totals {
            unfinished,
            finished: self.fed.len() - unfinished,
            unknown: if unknown > 0 { vec![(UnknownReason::NodesOffloaded, unknown)] } else { Vec::new() },
            ungoverned: 0,
        }
    }
}
