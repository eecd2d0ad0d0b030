//! What people type, on the real parts: one archived by hand by the name of its location, and a plan that is compared with
//! what an operator then does.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use unstick_bed::Bed;
use unstick_bed::s3::{S3Kind, S3Server};

use super::ground::{Ground, USER};
use super::keep::{all_gone, grant, place, there};

const NAMESPACE: &str = "by-hand";
const BUCKET: &str = "by-hand";
const LOCATION: &str = "vault";

/// Who types the commands, as the audit log names them.
const CALLER: &str = "system:serviceaccount:by-hand:caller";

/// Somebody who may read and nothing else.
async fn caller(bed: &Bed) -> Result<PathBuf> {
    bed.service_account(NAMESPACE, "caller").await?;
    let rbac = "rbac.authorization.k8s.io";
    let subjects = json!([{"kind": "ServiceAccount", "name": "caller", "namespace": NAMESPACE}]);
    let read = ["get", "list"];
    let rules = json!([
        {"apiGroups": ["argoproj.io"], "resources": ["workflows"], "verbs": read},
        {"apiGroups": ["unstick.dev"], "verbs": read,
            "resources": ["workflowpolicies", "clusterworkflowpolicies", "archivelocations", "watchdogs"]},
        {"apiGroups": [""], "resources": ["namespaces"], "verbs": read},
    ]);
    let secret = json!([{"apiGroups": [""], "resources": ["secrets"], "resourceNames": [LOCATION], "verbs": ["get"]}]);
    let objects = [
        ("default", json!({"kind": "ClusterRole", "metadata": {"name": "by-hand"}, "rules": rules})),
        (
            "default",
            json!({"kind": "ClusterRoleBinding", "metadata": {"name": "by-hand"}, "subjects": subjects,
            "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": "by-hand"}}),
        ),
        ("unstick-system", json!({"kind": "Role", "metadata": {"name": "by-hand"}, "rules": secret})),
        (
            "unstick-system",
            json!({"kind": "RoleBinding", "metadata": {"name": "by-hand"}, "subjects": subjects,
            "roleRef": {"apiGroup": rbac, "kind": "Role", "name": "by-hand"}}),
        ),
    ];
    for (namespace, mut object) in objects {
        object["apiVersion"] = format!("{rbac}/v1").into();
        bed.apply_value(object, namespace).await?;
    }
    bed.kubeconfig_for(NAMESPACE, "caller").await
}

/// `unstick` as whoever's kubeconfig this is, with no AWS credentials of its own.
fn unstick(kubeconfig: &Path, args: &[&str]) -> Result<Output> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_unstick"));
    command.args(args).arg("--kubeconfig").arg(kubeconfig);
    for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_ENDPOINT_URL_S3"] {
        command.env_remove(name);
    }
    Ok(command.output()?)
}

fn json_of(kubeconfig: &Path, args: &[&str], code: i32) -> Result<Value> {
    let output = unstick(kubeconfig, args)?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.code() == Some(code), "unstick {args:?}: {} {said}", output.status);
    serde_json::from_slice(&output.stdout).with_context(|| format!("unstick {args:?}: {said}"))
}

/// Decision and reason of each workflow.
fn plan(kubeconfig: &Path, code: i32) -> Result<BTreeMap<String, (String, String)>> {
    let list = json_of(kubeconfig, &["plan", "-n", NAMESPACE, "-o", "json"], code)?;
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    let items = list["items"].as_array().cloned().unwrap_or_default();
    Ok(items.iter().map(|i| (text(&i["name"]), (text(&i["decision"]), text(&i["reason"])))).collect())
}

fn named(plan: &BTreeMap<String, (String, String)>, decisions: &[&str]) -> BTreeSet<String> {
    plan.iter().filter(|(_, (d, _))| decisions.contains(&d.as_str())).map(|(name, _)| name.clone()).collect()
}

/// No operator runs until the plan was asked for; then one does, and does that and nothing else.
pub async fn planned_and_archived_by_hand(ground: &Ground) -> Result<()> {
    ground.install().await?;
    grant(&ground.bed).await?;
    ground.bed.namespace(NAMESPACE).await?;
    let server = S3Server::start(S3Kind::Versitygw).await?;
    server.create_bucket(BUCKET).await?;
    place(&ground.bed, LOCATION, BUCKET, &server, &server.endpoint).await?;
    let runs = ground.gates(NAMESPACE, "run", 6, Some(1)).await?;
    ground.all_finished(NAMESPACE).await?;
    let hold = json!({"metadata": {"annotations": {"unstick.dev/hold": "audit"}}});
    ground.bed.patch_workflow(&runs[5], &hold).await?;
    let policy = json!({
        "apiVersion": "unstick.dev/v1alpha1", "kind": "WorkflowPolicy", "metadata": {"name": "keep"},
        "spec": {
            "selector": {},
            "archive": {"mode": "Enforce", "location": LOCATION},
            "cleanup": {"mode": "Enforce", "ttl": {"succeeded": "1s"}},
        },
    });
    ground.bed.apply_value(policy, NAMESPACE).await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let caller = caller(&ground.bed).await?;

    // By hand, by the location's name, with its Secret.
    let asked = ground.bed.audit().mark()?;
    let one = format!("{NAMESPACE}/{}", runs[0].name);
    let done = json_of(&caller, &["archive", "now", &one, "-o", "json"], 0)?;
    ensure!(done["already"] == false && done["location"] == LOCATION && done["policy"] == "keep", "{done}");
    let key = done["key"].as_str().unwrap_or_default().to_owned();
    ensure!(server.read(BUCKET, &key).await?.is_some(), "nothing is at {key}");
    let again = json_of(&caller, &["archive", "now", &one, "-o", "json"], 0)?;
    ensure!(again["already"] == true && again["key"] == done["key"], "{again}");
    let listed = json_of(&caller, &["archive", "list", "--location", LOCATION, "-n", NAMESPACE, "-o", "json"], 0)?;
    let items = listed["items"].as_array().cloned().unwrap_or_default();
    ensure!(items.len() == 1 && items[0]["key"] == done["key"], "{listed}");
    // A run that isn't over is refused.
    let open = ground.gates(NAMESPACE, "open", 1, None).await?;
    ground.bed.wait_for_phase(&open[0], "Running", Duration::from_secs(30)).await?;
    let refused = unstick(&caller, &["archive", "now", "-n", NAMESPACE, &open[0].name])?;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    ensure!(refused.status.code() == Some(1) && said.contains("is Running: only what has finished"), "{said}");

    // Before: what would go, and what stays and why.
    let before = plan(&caller, 1)?;
    let due = named(&before, &["Delete", "ArchiveThenDelete"]);
    let wanted: BTreeSet<String> = runs[..5].iter().map(|r| r.name.clone()).collect();
    ensure!(due == wanted, "{before:?}");
    ensure!(before.get(&runs[5].name).is_some_and(|(d, r)| d == "Keep" && r == "Hold"), "{before:?}");
    ensure!(!before.contains_key(&open[0].name), "{before:?}");
    let writes = asked.writes_by(CALLER)?;
    ensure!(writes.is_empty() && !asked.by(CALLER)?.is_empty(), "the command line has written: {writes:?}");

    // An operator: it deletes what was planned.
    let audit = ground.bed.audit().mark()?;
    let mut operator = ground.operator("planned").await?;
    let begun = Instant::now();
    loop {
        let left: BTreeSet<String> = there(ground, NAMESPACE).await?.into_iter().collect();
        if left == [runs[5].name.clone(), open[0].name.clone()].into() {
            break;
        }
        ensure!(begun.elapsed() < Duration::from_secs(60), "{left:?} are left:\n{}", operator.tail(20));
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    let deleted = audit.by(USER)?.into_iter().filter(|e| e.resource == "workflows" && e.verb == "delete");
    let deleted: BTreeSet<String> = deleted.map(|e| e.name).collect();
    ensure!(deleted == due, "planned {due:?}, deleted {deleted:?}");
    // It found what was archived by hand, and stored no second one.
    let bodies = server.keys(BUCKET, &format!("workflow-archives/{one}/")).await?;
    ensure!(bodies.len() == 1, "{bodies:?}");

    // After: nothing is due, the hold still keeps.
    let after = plan(&caller, 0)?;
    ensure!(after == [(runs[5].name.clone(), ("Keep".to_owned(), "Hold".to_owned()))].into(), "{after:?}");
    ground.terminate(&open).await?;
    let unhold = json!({"metadata": {"annotations": {"unstick.dev/hold": null}}});
    ground.bed.patch_workflow(&runs[5], &unhold).await?;
    ground.bed.delete_workflow(&open[0]).await?;
    all_gone(ground, NAMESPACE, &operator, Duration::from_secs(60)).await?;
    operator.terminate(Duration::from_secs(20)).await.map(drop)
}
