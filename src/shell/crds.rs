//! Whether the installed CRDs know every field that this version knows: while they don't, Enforce is refused, for a
//! pruned `approval` would be silent.

use http::Request;
use kube::Client;
use tokio::sync::mpsc;

use crate::api::schema::installed::Installed;

/// Kinds whose fields ask for action, and their CRDs.
const KINDS: [(&str, &str); 2] = [
    ("WorkflowPolicy", "workflowpolicies.unstick.dev"),
    ("ClusterWorkflowPolicy", "clusterworkflowpolicies.unstick.dev"),
];

/// Compares the installed CRDs with ours, once; a CRD that can't be read counts as complete, the server has it checked.
pub fn compare(client: Client, tell: mpsc::Sender<Vec<String>>) {
    tokio::spawn(async move {
        let mut missing = Vec::new();
        for (kind, name) in KINDS {
            match installed(&client, name).await {
                Ok(installed) => missing.extend(installed.missing_fields(kind)),
                Err(kube::Error::Api(status)) if status.code == 404 => {}
                Err(error) => {
                    tracing::warn!(kind, %error, "the installed CRD can't be read; whether it is current is not known");
                }
            }
        }
        // The loop has ended when nobody listens.
        let _ = tell.send(missing).await;
    });
}

async fn installed(client: &Client, name: &str) -> Result<Installed, kube::Error> {
    let path = format!("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}");
    client.request(Request::get(path).body(Vec::new()).map_err(kube::Error::HttpError)?).await
}
