//! Runs the conformance test against the cluster of a kubeconfig: `conformance NAMESPACE` (`KUBECONFIG` says which).

use anyhow::{Context, Result};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let namespace = std::env::args().nth(1).context("usage: conformance NAMESPACE")?;
    let client = kube::Client::try_default().await?;
    unstick_bed::conformance::conformance(client, &namespace).await?;
    println!("conformance: ok");
    Ok(())
}
