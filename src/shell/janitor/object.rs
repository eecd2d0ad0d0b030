//! The live object: one GET, as text.

use http::Request;
use kube::Client;

use crate::api::workflow::Workflow;
use crate::watchdog::facts::{Run, Uid};
use crate::watchdog::janitor::job::{Live, Outcome, Target};

/// Where a workflow is.
pub fn path(target: &Target) -> String {
    format!("/apis/argoproj.io/v1alpha1/namespaces/{}/workflows/{}", target.namespace, target.name)
}

/// Reads the object; what it is must still be the run that was judged.
///
/// # Errors
/// How the job ends without it.
pub async fn read(client: &Client, target: &Target) -> Result<(String, Live), Outcome> {
    let request = Request::get(path(target)).body(Vec::new()).map_err(|e| Outcome::Failed(e.to_string()))?;
    let text = client.request_text(request).await.map_err(|error| failed(&error))?;
    let live = live(&text).map_err(|e| Outcome::Failed(format!("the live object can't be read: {e}")))?;
    let run = live.finished.as_ref().map(|f| f.run);
    if live.uid != target.uid || run != Some(Run { uid: Uid::parse(&target.uid).0, started: target.started }) {
        return Err(Outcome::Changed);
    }
    Ok((text, live))
}

fn live(text: &str) -> Result<Live, serde_json::Error> {
    Ok(Live::read(&Workflow::from_json(text)?, text))
}

/// How a job ends when the API server refuses or fails.
pub fn failed(error: &kube::Error) -> Outcome {
    match error {
        kube::Error::Api(status) => match status.code {
            404 => Outcome::Gone,
            409 => Outcome::Changed,
            400..=499 if status.code != 429 => Outcome::Refused(status.message.clone()),
            _ => Outcome::Failed(status.message.clone()),
        },
        other => Outcome::Failed(other.to_string()),
    }
}
