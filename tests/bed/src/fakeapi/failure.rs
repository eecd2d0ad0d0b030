//! Errors as the API server words them: a `Status` object with code, reason and message.

use serde_json::{Value, json};

use super::kinds::Kind;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub code: u16,
    pub reason: &'static str,
    pub message: String,
    /// A token with which an expired list can go on, inconsistently.
    pub resume: Option<String>,
}

impl Failure {
    fn new(code: u16, reason: &'static str, message: String) -> Self {
        Self { code, reason, message, resume: None }
    }

    pub fn not_found(kind: &Kind, name: &str) -> Self {
        Self::new(404, "NotFound", format!("{} \"{name}\" not found", kind.resource()))
    }

    pub fn no_such_path() -> Self {
        Self::new(404, "NotFound", "the server could not find the requested resource".to_owned())
    }

    pub fn exists(kind: &Kind, name: &str) -> Self {
        Self::new(409, "AlreadyExists", format!("{} \"{name}\" already exists", kind.resource()))
    }

    pub fn conflict(kind: &Kind, name: &str, why: &str) -> Self {
        Self::new(409, "Conflict", format!("Operation cannot be fulfilled on {} \"{name}\": {why}", kind.resource()))
    }

    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(422, "Invalid", message.into())
    }

    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message.into())
    }

    pub fn method() -> Self {
        Self::new(405, "MethodNotAllowed", "the server does not allow this method on the requested resource".to_owned())
    }

    pub fn media_type() -> Self {
        let message = "the body of the request was in an unknown format - accepted media types include: application/json, application/merge-patch+json";
        Self::new(415, "UnsupportedMediaType", message.to_owned())
    }

    /// A watch from a resourceVersion that is no longer known.
    pub fn too_old(asked: u64, oldest: u64) -> Self {
        Self::new(410, "Expired", format!("too old resource version: {asked} ({oldest})"))
    }

    /// A watch from what isn't a number: the real server says 500 and gives no reason.
    pub fn no_version(text: &str) -> Self {
        Self::new(
            500,
            "",
            format!(
                "resourceVersion: Invalid value: \"{text}\": strconv.ParseUint: parsing \"{text}\": invalid syntax"
            ),
        )
    }

    /// A page of a snapshot that is no longer held.
    pub fn expired(resume: String) -> Self {
        let message = "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the results.";
        Self { resume: Some(resume), ..Self::new(410, "Expired", message.to_owned()) }
    }

    pub fn status(&self) -> Value {
        let mut metadata = json!({});
        if let Some(token) = &self.resume {
            metadata["continue"] = json!(token);
        }
        let mut status = json!({
            "apiVersion": "v1", "kind": "Status", "metadata": metadata, "status": "Failure",
            "code": self.code, "message": self.message,
        });
        if !self.reason.is_empty() {
            status["reason"] = json!(self.reason);
        }
        status
    }
}
