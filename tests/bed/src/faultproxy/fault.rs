//! What can be done to a call.

use std::time::Duration;

use http::{HeaderName, HeaderValue};
use hyper::body::Bytes;

use super::aws::AwsError;
use super::owner::Owner;

/// What happens to the calls that a rule is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The call is cut off unforwarded; from then on nobody listens, until [`super::Script::clear`] or the rule's end.
    Refuse,
    /// The call is read and never answered.
    BlackHole,
    /// The call is read and the connection closed; the server never hears of it.
    CloseBeforeForward,
    /// Both ways at so many bytes a second: the request is forwarded late, the reply comes bit by bit.
    Drip { bytes_per_second: usize },
    /// Forwarded that much later.
    Delay(Duration),
    /// Not forwarded; answered with this.
    Answer(Answer),
    /// Forwarded; the server's reply is replaced by this.
    AnswerAfterCommit(Answer),
    /// Forwarded; the connection is closed instead of the server's reply.
    LoseReply,
    /// The body ends after so many bytes with the connection; the head told its full length.
    Truncate { keep: usize },
    /// The body has only so many bytes, and the head says so too: nothing in HTTP tells.
    Shorten { keep: usize },
    /// One bit of this byte of the body is another (counted modulo the length).
    FlipByte { at: usize },
    /// A put is done as if it had no condition: what stores do that don't know `If-None-Match`. For S3 only, where the
    /// condition is signed: it is signed anew without it.
    Unconditional(Owner),
    /// Head of the right object, body of another.
    OtherBody(Bytes),
}

/// A reply made here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// As AWS says it.
    Aws(AwsError),
    /// 200 with the error in the body, as S3 does when it has already begun its reply.
    AwsInside200(AwsError),
    /// Anything: status, content type, body.
    Plain(u16, String, Bytes),
}

impl Answer {
    /// Status, headers and body, as an answer to `method` at `path`.
    pub(super) fn reply(&self, method: &str, path: &str) -> (u16, Vec<(HeaderName, HeaderValue)>, Bytes) {
        let (status, kind, body, error) = match self {
            Self::Aws(e) => (e.status(), "application/xml".to_owned(), Bytes::from(e.xml(path)), Some(*e)),
            Self::AwsInside200(e) => (200, "application/xml".to_owned(), Bytes::from(e.xml(path)), None),
            Self::Plain(status, kind, body) => (*status, kind.clone(), body.clone(), None),
        };
        let mut headers = vec![(http::header::SERVER, HeaderValue::from_static("AmazonS3"))];
        if let Ok(kind) = HeaderValue::from_str(&kind) {
            headers.push((http::header::CONTENT_TYPE, kind));
        }
        if error.is_some() {
            headers.push((HeaderName::from_static("x-amz-request-id"), HeaderValue::from_static("BED0000000000001")));
        }
        if error == Some(AwsError::WrongRegion) {
            headers.push((HeaderName::from_static("x-amz-bucket-region"), HeaderValue::from_static("eu-west-1")));
        }
        // S3 says nothing more to a HEAD than the status.
        (status, headers, if method == "HEAD" { Bytes::new() } else { body })
    }
}

impl From<AwsError> for Fault {
    fn from(error: AwsError) -> Self {
        Self::Answer(Answer::Aws(error))
    }
}
