//! Raw requests to the API server: objects as JSON values, refusals as values, on behalf of any user.

use anyhow::Result;
use kube::Client;
use kube::core::response::StatusCause;
use serde_json::Value;

/// A refusal of the server.
#[derive(Debug)]
pub struct Refused {
    pub code: u16,
    pub message: String,
    pub causes: Vec<StatusCause>,
}

/// What the server says to a request.
pub type Answer = Result<Value, Refused>;

/// Sends `body` with `method` to `uri`, as `user` (name and groups come from the caller's right to impersonate), or as
/// the client itself.
///
/// # Errors
/// When there is no answer at all.
pub async fn send(
    client: &Client,
    method: &str,
    uri: &str,
    body: Option<&Value>,
    user: Option<&str>,
) -> Result<Answer> {
    let content = match method {
        "PATCH" if uri.contains("fieldManager=") => "application/apply-patch+yaml",
        "PATCH" => "application/merge-patch+json",
        _ => "application/json",
    };
    let mut request = http::Request::builder().method(method).uri(uri).header("content-type", content);
    if let Some(user) = user {
        request = request.header("impersonate-user", user).header("impersonate-group", "system:authenticated");
    }
    let request = request.body(body.map(serde_json::to_vec).transpose()?.unwrap_or_default())?;
    match client.request::<Value>(request).await {
        Ok(value) => Ok(Ok(value)),
        Err(kube::Error::Api(status)) => Ok(Err(Refused {
            code: status.code,
            message: status.message.clone(),
            causes: status.details.as_ref().map(|d| d.causes.clone()).unwrap_or_default(),
        })),
        Err(error) => Err(error.into()),
    }
}
