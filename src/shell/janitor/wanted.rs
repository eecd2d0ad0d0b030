//! What a policy wants of an archive, made ready: its rules of redaction, and the events of the run.

use http::Request;
use kube::Client;
use serde_json::value::RawValue;

use crate::api::policy::Redaction as Wanted;
use crate::archive::redaction::{BadPattern, Redaction, Rules};

/// A list as the API server gives it.
#[derive(serde::Deserialize)]
struct List {
    items: Box<RawValue>,
}

/// The rules of redaction that a policy asks for.
///
/// # Errors
/// A pattern that can't be read.
pub fn redaction(wanted: &Wanted) -> Result<Redaction, BadPattern> {
    let words = if wanted.defaults { Rules::default().words } else { Vec::new() };
    let rules =
        Rules { words, names: wanted.names.clone(), patterns: wanted.patterns.clone(), except: wanted.except.clone() };
    Redaction::new(rules)
}

/// The events about a workflow, the first 500, as a JSON list.
///
/// # Errors
/// The server's, or an answer that is no list.
pub async fn events(client: &Client, namespace: &str, uid: &str) -> kube::Result<Box<RawValue>> {
    let path =
        format!("/apis/events.k8s.io/v1/namespaces/{namespace}/events?limit=500&fieldSelector=regarding.uid%3D{uid}");
    let request = Request::get(path).body(Vec::new()).map_err(kube::Error::HttpError)?;
    let text = client.request_text(request).await?;
    serde_json::from_str::<List>(&text).map(|list| list.items).map_err(kube::Error::SerdeError)
}
