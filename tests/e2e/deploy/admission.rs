//! The shipped ValidatingAdmissionPolicies, tried as users with and without the rights they ask for.

use std::time::Duration;

use anyhow::{Result, bail, ensure};
use kube::Client;
use serde_json::{Value, json};

use crate::raw::{Answer, send};

const POLICIES: &str = "/apis/unstick.dev/v1alpha1/namespaces/team-b/workflowpolicies";
const CLUSTER_POLICIES: &str = "/apis/unstick.dev/v1alpha1/clusterworkflowpolicies";
const INCIDENTS: &str = "/apis/unstick.dev/v1alpha1/namespaces/team-b/workflowincidents";

pub async fn check(client: &Client) -> Result<()> {
    // Olga writes policies and incidents; Petra may also patch, Dora also delete the workflows of team-b.
    let own = json!([{"apiGroups": ["unstick.dev"], "resources": ["*"], "verbs": ["*"]}]);
    for user in ["olga", "petra", "dora"] {
        grant(client, user, &own, None).await?;
    }
    for (user, verb) in [("petra", "patch"), ("dora", "delete")] {
        let rules = json!([{"apiGroups": ["argoproj.io"], "resources": ["workflows"], "verbs": [verb]}]);
        grant(client, user, &rules, Some("team-b")).await?;
    }
    in_force(client).await?;
    enforce(client).await?;
    approvals(client).await
}

/// Gives `user` rules in the whole cluster or one namespace.
async fn grant(client: &Client, user: &str, rules: &Value, namespace: Option<&str>) -> Result<()> {
    let (base, kind) = match namespace {
        Some(ns) => (format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{ns}/"), "Role"),
        None => ("/apis/rbac.authorization.k8s.io/v1/".to_owned(), "ClusterRole"),
    };
    let name = format!("admission-{user}");
    let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": {"name": name},
        "rules": rules});
    let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": format!("{kind}Binding"),
        "metadata": {"name": name}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}]});
    for object in [role, binding] {
        let plural = format!("{}s", object["kind"].as_str().unwrap_or_default().to_lowercase());
        let uri = format!("{base}{plural}/{name}?fieldManager=unstick-test&force=true");
        if let Err(refused) = send(client, "PATCH", &uri, Some(&object), None).await? {
            bail!("{}", refused.message);
        }
    }
    Ok(())
}

/// New admission policies take a moment to be compiled.
async fn in_force(client: &Client) -> Result<()> {
    for _ in 0..100 {
        let policy = dry(client, "olga", POLICIES, &policy("remediation", "Enforce")).await?;
        let approval = dry(client, "olga", INCIDENTS, &incident("somebody")).await?;
        if policy.is_err() && approval.is_err() {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    bail!("the admission policies are not in force after 10 s")
}

/// The server forgets a removed policy after a moment, too.
pub async fn no_longer_in_force(client: &Client) -> Result<()> {
    for _ in 0..100 {
        if dry(client, "olga", INCIDENTS, &incident("somebody")).await?.is_ok() {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    bail!("the admission policies are still in force 10 s after their removal")
}

fn policy(section: &str, mode: &str) -> Value {
    let mut spec = json!({"selector": {}, "detections": [{"name": "d", "type": "Pending", "after": "1h"}]});
    spec[section] = match section {
        "remediation" => json!({"mode": mode, "steps": [{"name": "stop", "type": "Stop"}]}),
        _ => json!({"mode": mode, "require": "None", "ttl": {"succeeded": "1d"}}),
    };
    json!({"apiVersion": "unstick.dev/v1alpha1", "kind": "WorkflowPolicy", "metadata": {"name": "guarded"}, "spec": spec})
}

fn incident(by: &str) -> Value {
    json!({"apiVersion": "unstick.dev/v1alpha1", "kind": "WorkflowIncident", "metadata": {"name": "guarded"}, "spec": {
        "workflowRef": {"name": "w", "uid": "u"},
        "policyRef": {"kind": "WorkflowPolicy", "name": "p", "uid": "u", "generation": 1},
        "steps": [{"name": "stop", "type": "Stop"}, {"name": "kill", "type": "Terminate"}],
        "approvals": [{"step": "stop", "decision": "Approved", "by": by}],
    }})
}

async fn dry(client: &Client, user: &str, at: &str, object: &Value) -> Result<Answer> {
    send(client, "POST", &format!("{at}?dryRun=All"), Some(object), Some(user)).await
}

fn refused(answer: Answer, part: &str) -> Result<()> {
    match answer {
        Ok(_) => bail!("was taken, expected: {part}"),
        Err(refused) => ensure!(refused.message.contains(part), "expected {part}: {}", refused.message),
    }
    Ok(())
}

fn taken(answer: Answer) -> Result<Value> {
    answer.map_err(|refused| anyhow::anyhow!("refused: {}", refused.message))
}

async fn enforce(client: &Client) -> Result<()> {
    let patch = "needs the right to patch workflows";
    let delete = "needs the right to delete workflows";
    let remediation = policy("remediation", "Enforce");
    refused(dry(client, "olga", POLICIES, &remediation).await?, patch)?;
    refused(dry(client, "dora", POLICIES, &remediation).await?, patch)?;
    taken(dry(client, "petra", POLICIES, &remediation).await?)?;
    taken(dry(client, "olga", POLICIES, &policy("remediation", "DryRun")).await?)?;
    let cleanup = policy("cleanup", "Enforce");
    refused(dry(client, "olga", POLICIES, &cleanup).await?, delete)?;
    refused(dry(client, "petra", POLICIES, &cleanup).await?, delete)?;
    taken(dry(client, "dora", POLICIES, &cleanup).await?)?;

    // Rights in one namespace aren't enough for a cluster policy.
    let mut everywhere = policy("remediation", "Enforce");
    everywhere["kind"] = "ClusterWorkflowPolicy".into();
    everywhere["spec"]["namespaceSelector"] = json!({});
    refused(dry(client, "petra", CLUSTER_POLICIES, &everywhere).await?, patch)?;
    let uri = format!("{CLUSTER_POLICIES}?dryRun=All");
    taken(send(client, "POST", &uri, Some(&everywhere), None).await?)?;

    // Once set by Petra, Olga may label the policy but not change what is enforced.
    taken(send(client, "POST", POLICIES, Some(&remediation), Some("petra")).await?)?;
    let at = format!("{POLICIES}/guarded");
    let label = json!({"metadata": {"labels": {"seen": "yes"}}});
    let widen = json!({"spec": {"priority": 7}});
    let calm = json!({"spec": {"remediation": {"mode": "Observe"}}});
    let outcome = async {
        taken(send(client, "PATCH", &at, Some(&label), Some("olga")).await?)?;
        refused(send(client, "PATCH", &at, Some(&widen), Some("olga")).await?, patch)?;
        taken(send(client, "PATCH", &at, Some(&calm), Some("olga")).await?)?;
        refused(
            send(client, "PATCH", &at, Some(&json!({"spec": {"remediation": {"mode": "Enforce"}}})), Some("olga"))
                .await?,
            patch,
        )
    }
    .await;
    taken(send(client, "DELETE", &at, None, None).await?)?;
    outcome
}

async fn approvals(client: &Client) -> Result<()> {
    let own = "must be your own user name, olga";
    refused(dry(client, "olga", INCIDENTS, &incident("petra")).await?, own)?;
    taken(send(client, "POST", INCIDENTS, Some(&incident("petra")), Some("petra")).await?)?;
    let at = format!("{INCIDENTS}/guarded");
    let first = json!({"step": "stop", "decision": "Approved", "by": "petra"});
    let second = |by: &str| json!({"spec": {"approvals": [first, {"step": "kill", "decision": "Rejected", "by": by}]}});
    let outcome = async {
        refused(send(client, "PATCH", &at, Some(&second("petra")), Some("olga")).await?, own)?;
        taken(send(client, "PATCH", &at, Some(&second("olga")), Some("olga")).await?)?;
        let status = json!({"status": {"next": "terminate at 14:05Z"}});
        taken(send(client, "PATCH", &format!("{at}/status"), Some(&status), Some("dora")).await?)
    }
    .await;
    taken(send(client, "DELETE", &at, None, None).await?)?;
    outcome.map(drop)
}
