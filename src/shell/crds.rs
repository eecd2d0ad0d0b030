//! Whether the installed CRDs know every field that this version knows: while they don't, Enforce is refused, for a
//! pruned `approval` would be silent.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Client;
use kube::api::Api;
use tokio::sync::mpsc;

use crate::api::crds;

/// Kinds whose fields ask for action.
const KINDS: [&str; 2] = ["WorkflowPolicy", "ClusterWorkflowPolicy"];

/// Compares the installed CRDs with ours, once; a CRD that can't be read counts as complete, the server has it checked.
pub fn compare(client: Client, tell: mpsc::Sender<Vec<String>>) {
    tokio::spawn(async move {
        let api: Api<CustomResourceDefinition> = Api::all(client);
        let mut missing = Vec::new();
        for crd in crds::all() {
            let kind = crd["spec"]["names"]["kind"].as_str().unwrap_or_default();
            if !KINDS.contains(&kind) {
                continue;
            }
            match api.get_opt(crds::name(crd)).await {
                Ok(Some(installed)) => {
                    let installed = serde_json::to_value(installed).unwrap_or_default();
                    missing.extend(crds::missing_fields(&installed, kind));
                }
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(kind, %error, "the installed CRD can't be read; whether it is current is not known");
                }
            }
        }
        // The loop has ended when nobody listens.
        let _ = tell.send(missing).await;
    });
}
