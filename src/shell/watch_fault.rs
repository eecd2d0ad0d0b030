//! What can go wrong with a watch, and what is to be done then.

use std::time::Duration;

use http::StatusCode;

use crate::api::workflow::ApiStatus;

/// Why a list or watch ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The kind isn't there: no Argo CRDs.
    #[error("the API server has no workflows.argoproj.io; are Argo's CRDs installed?")]
    Absent,
    /// 401 or 403.
    #[error("not allowed to watch workflows: {0}")]
    Denied(String),
    /// The version asked for is gone (410): list again.
    #[error("the resource version is too old: {0}")]
    Expired(String),
    /// The server does not stream lists: list in pages.
    #[error("the API server refuses to stream the list: {0}")]
    NoStreaming(String),
    /// 429 or an answer that says when to come again.
    #[error("the API server is busy: {message}")]
    Busy { message: String, after: Duration },
    /// Any other answer.
    #[error("the API server answered {code}: {message}")]
    Refused { code: u16, message: String },
    /// No byte for longer than bookmarks take to come.
    #[error("nothing heard for {} s", .0.as_secs())]
    Silent(Duration),
    /// No connection, or one that broke.
    #[error("{0}")]
    Broken(String),
}

/// Longest message kept of what a server says, in characters.
const LONGEST: usize = 256;

impl Fault {
    /// Reads a failed request. `streamed`: it asked for a streaming list.
    pub(super) fn of(code: StatusCode, body: &str, retry_after: Option<u64>, streamed: bool) -> Self {
        let status = ApiStatus::from_json(body);
        let said = if status.message.is_empty() { body } else { &status.message };
        let message: String = said.chars().take(LONGEST).collect();
        let asks = retry_after.unwrap_or_default().max(status.retry_after.into());
        let unstreamable = matches!(code.as_u16(), 400 | 422) || message.contains("sendInitialEvents");
        match code.as_u16() {
            404 => Self::Absent,
            410 => Self::Expired(message),
            _ if streamed && unstreamable => Self::NoStreaming(message),
            401 | 403 => Self::Denied(message),
            429 => Self::Busy { message, after: Duration::from_secs(asks.max(1)) },
            code if asks > 0 => Self::Busy { message: format!("{code} {message}"), after: Duration::from_secs(asks) },
            code => Self::Refused { code, message },
        }
    }

    /// Reads an ERROR event of a watch.
    pub(super) fn of_event(status: &ApiStatus<'_>) -> Self {
        let message: String = status.message.chars().take(LONGEST).collect();
        match (status.code, status.reason.as_ref()) {
            (410, _) | (_, "Expired" | "Gone") => Self::Expired(message),
            (429, _) => Self::Busy { message, after: Duration::from_secs(u64::from(status.retry_after).max(1)) },
            (code, _) => Self::Refused { code, message },
        }
    }

    /// How long the server asked to be left alone.
    pub(super) const fn asks(&self) -> Duration {
        if let Self::Busy { after, .. } = self { *after } else { Duration::ZERO }
    }

    pub(super) fn broken(error: &(dyn std::error::Error + 'static)) -> Self {
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(inner) = cause {
            let more = inner.to_string();
            if !text.contains(&more) {
                text = format!("{text}: {more}");
            }
            cause = inner.source();
        }
        Self::Broken(text.chars().take(LONGEST).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_told_apart() {
        let of = |code: u16, body: &str, streamed| Fault::of(StatusCode::from_u16(code).unwrap(), body, None, streamed);
        let invalid = r#"{"kind":"Status","code":422,"message":"sendInitialEvents: Forbidden: unless the WatchList feature gate is enabled"}"#;
        assert!(matches!(of(422, invalid, true), Fault::NoStreaming(m) if m.starts_with("sendInitialEvents")));
        assert!(matches!(of(403, "sendInitialEvents is forbidden", true), Fault::NoStreaming(_)));
        assert!(
            matches!(of(403, r#"{"message":"user x cannot watch"}"#, true), Fault::Denied(m) if m == "user x cannot watch")
        );
        assert!(matches!(of(422, "x", false), Fault::Refused { code: 422, .. }));
        assert!(matches!(of(404, "page not found", true), Fault::Absent));
        assert!(matches!(of(410, "{}", false), Fault::Expired(_)));
        let busy = of(429, r#"{"message":"slow down","details":{"retryAfterSeconds":9}}"#, false);
        assert_eq!(busy.asks(), Duration::from_secs(9));
        assert!(
            matches!(of(500, &"x".repeat(9_000), false), Fault::Refused { message, .. } if message.len() == LONGEST)
        );
    }
}
