//! deploy/ on the real API server: the generated files are what kustomize makes of their sources, the server takes
//! them, its authorizer grants the operator what it needs and nothing else, and the admission policies hold. Not to be
//! run at the same time as `policies` on the same server: while they are in force approvals carry the user's name.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use kube::Client;
use serde_json::{Value, json};

use super::raw::send;

mod admission;
mod rights;

/// Runs everything. `kubectl` and `kubeconfig` belong to the server of `client`, which must be an admin of it.
///
/// # Errors
/// Says what went another way.
pub async fn run(client: Client, kubectl: &Path, kubeconfig: &Path) -> Result<()> {
    for (directory, generated) in [("base", "install.yaml"), ("overlays/namespaced", "namespace-install.yaml")] {
        let made = documents(&kustomize(kubectl, directory)?)?;
        let there = documents(&std::fs::read_to_string(deploy(generated))?)?;
        ensure!(
            made == there,
            "deploy/{generated} is stale: kubectl kustomize deploy/{directory} > deploy/{generated}"
        );
    }
    let full = documents(&kustomize(kubectl, "overlays/full")?)?;
    ensure!(full.len() > 20, "overlays/full has {} objects", full.len());

    for namespace in ["argo", "team-a", "team-b"] {
        let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
        let answer = send(&client, "POST", "/api/v1/namespaces", Some(&object), None).await?;
        ensure!(answer.is_ok() || answer.is_err_and(|r| r.code == 409), "namespace {namespace}");
    }
    apply(kubectl, kubeconfig, &["-f", path(&deploy("install.yaml"))?])?;
    apply(kubectl, kubeconfig, &["-n", "team-a", "-f", path(&deploy("namespace-install.yaml"))?])?;
    rights::check(&client).await?;
    restricted_pods(&client).await?;

    apply(kubectl, kubeconfig, &["-k", path(&deploy("admission"))?])?;
    let outcome = admission::check(&client).await;
    // They would also bind the other tests of this server.
    let mut remove = Command::new(kubectl);
    remove.arg("--kubeconfig").arg(kubeconfig).arg("delete").arg("-k").arg(deploy("admission"));
    ensure!(remove.output()?.status.success(), "the admission policies can't be removed");
    admission::no_longer_in_force(&client).await?;
    outcome
}

fn deploy(inside: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(inside)
}

fn path(path: &Path) -> Result<&str> {
    path.to_str().context("path is not UTF-8")
}

fn kustomize(kubectl: &Path, directory: &str) -> Result<String> {
    let out = Command::new(kubectl).arg("kustomize").arg(deploy(directory)).output()?;
    ensure!(out.status.success(), "kustomize {directory}: {}", String::from_utf8_lossy(&out.stderr));
    Ok(String::from_utf8(out.stdout)?)
}

fn apply(kubectl: &Path, kubeconfig: &Path, arguments: &[&str]) -> Result<()> {
    let mut command = Command::new(kubectl);
    command.arg("--kubeconfig").arg(kubeconfig).args(["apply", "--server-side", "--force-conflicts"]).args(arguments);
    let out = command.output()?;
    ensure!(out.status.success(), "apply {arguments:?}: {}", String::from_utf8_lossy(&out.stderr));
    Ok(())
}

fn documents(text: &str) -> Result<Vec<Value>> {
    text.split("\n---\n").map(|d| Ok(serde_saphyr::from_str(d)?)).collect()
}

/// The namespace enforces Pod Security's level "restricted"; the server must take a pod of the Deployment.
async fn restricted_pods(client: &Client) -> Result<()> {
    let at = "/apis/apps/v1/namespaces/unstick-system/deployments/unstick";
    let Ok(deployment) = send(client, "GET", at, None, None).await? else { bail!("no Deployment") };
    let mut pod = deployment["spec"]["template"].clone();
    pod["apiVersion"] = "v1".into();
    pod["kind"] = "Pod".into();
    pod["metadata"]["name"] = "as-deployed".into();
    let uri = "/api/v1/namespaces/unstick-system/pods?dryRun=All";
    if let Err(refused) = send(client, "POST", uri, Some(&pod), None).await? {
        bail!("a pod of the Deployment is refused: {}", refused.message);
    }
    pod["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = true.into();
    let answer = send(client, "POST", uri, Some(&pod), None).await?;
    ensure!(answer.is_err_and(|r| r.message.contains("restricted")), "the namespace doesn't enforce restricted");
    Ok(())
}
