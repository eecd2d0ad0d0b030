//! What a client may rely on when it lists, watches and writes workflows, checked over plain HTTP.
//!
//! The same checks run against the real API server and against [`crate::fakeapi`]: figures measured on the fake mean
//! something only as long as it behaves like the real one. Needs the Workflow CRD, and rights to create namespaces.

use anyhow::{Context, Result};

mod http;
mod lists;
mod watches;
mod writes;

use http::Http;

/// Runs every check; the error names the first that fails and what came instead.
///
/// Creates workflows in `namespace` (which must exist) and in `<namespace>-other` (created here), labelled so that no Argo
/// controller takes them up, and deletes them again.
pub async fn conformance(client: kube::Client, namespace: &str) -> Result<()> {
    let http = Http::new(client, namespace);
    http.prepare().await.context("preparing namespaces and workflows")?;
    let result = checks(&http).await;
    http.clean().await.context("deleting what the checks created")?;
    result
}

async fn checks(http: &Http) -> Result<()> {
    lists::whole(http).await.context("a whole list")?;
    lists::pages(http).await.context("a list in pages")?;
    lists::selected(http).await.context("lists by label, field and namespace")?;
    lists::refused(http).await.context("lists that must be refused")?;
    watches::streaming_list(http).await.context("a streaming list")?;
    watches::resumed(http).await.context("a watch from a resourceVersion")?;
    watches::from_now(http).await.context("a watch without a resourceVersion")?;
    watches::too_old(http).await.context("a watch from too far back")?;
    watches::timeout(http).await.context("a watch with a timeout")?;
    watches::selected(http).await.context("watches by label, field and namespace")?;
    watches::refused(http).await.context("watches that must be refused")?;
    writes::created(http).await.context("creating")?;
    writes::updated(http).await.context("replacing and patching")?;
    writes::deleted(http).await.context("deleting")
}
