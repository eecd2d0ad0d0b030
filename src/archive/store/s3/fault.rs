//! What the errors of the SDK mean.

use std::error::Error;

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;

use crate::archive::store::{Call, Fault, StoreError};

/// What a store answered: its HTTP status and its code, if it gave one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer<'a> {
    pub status: u16,
    pub code: Option<&'a str>,
    pub message: &'a str,
}

/// The answer in an error, if there was one.
pub fn answer<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> Option<Answer<'_>> {
    let SdkError::ServiceError(service) = error else { return None };
    let said = service.err();
    Some(Answer {
        status: service.raw().status().as_u16(),
        code: said.code(),
        message: said.message().unwrap_or_default(),
    })
}

/// What an error means for the call that failed.
pub fn classify<E>(call: Call, what: &str, error: &SdkError<E, HttpResponse>) -> StoreError
where
    E: ProvideErrorMetadata + Error + 'static,
{
    if let Some(answer) = answer(error) {
        let kind = of_answer(call, answer);
        let code = answer.code.map_or_else(|| format!("HTTP {}", answer.status), str::to_owned);
        let message = if answer.message.is_empty() { String::new() } else { format!(": {}", answer.message) };
        return StoreError::new(kind, format!("can't {call} {what}: {code}{message}"));
    }
    let chain = chain(error);
    let kind = match error {
        SdkError::TimeoutError(_) => Fault::Timeout,
        SdkError::DispatchFailure(dispatch) if dispatch.is_timeout() => Fault::Timeout,
        SdkError::ResponseError(_) => Fault::Unreachable,
        _ => of_words(&chain),
    };
    StoreError::new(kind, format!("can't {call} {what}: {}", innermost(error)))
}

/// What an answer means.
pub fn of_answer(call: Call, answer: Answer<'_>) -> Fault {
    match answer.code.unwrap_or_default() {
        "NoSuchBucket" => Fault::NoSuchBucket,
        "AccessDenied" | "AllAccessDisabled" | "AccountProblem" | "NotSignedUp"
            if answer.message.contains("expired") =>
        {
            Fault::ExpiredCredentials
        }
        "AccessDenied" | "AllAccessDisabled" | "AccountProblem" | "NotSignedUp" => Fault::AccessDenied(call),
        "InvalidAccessKeyId" | "SignatureDoesNotMatch" | "InvalidSecurity" | "InvalidTokenId" => Fault::BadCredentials,
        "ExpiredToken" | "ExpiredTokenException" | "TokenRefreshRequired" | "InvalidToken" => Fault::ExpiredCredentials,
        "RequestTimeTooSkewed" | "RequestExpired" => Fault::ClockSkew,
        "PermanentRedirect"
        | "TemporaryRedirect"
        | "AuthorizationHeaderMalformed"
        | "IllegalLocationConstraintException"
        | "InvalidRegion" => Fault::WrongRegion,
        "SlowDown"
        | "SlowDownRead"
        | "SlowDownWrite"
        | "Throttling"
        | "ThrottlingException"
        | "TooManyRequests"
        | "RequestLimitExceeded"
        | "RequestThrottled"
        | "BandwidthLimitExceeded" => Fault::Throttled,
        "RequestTimeout" => Fault::Timeout,
        "InvalidObjectState" => Fault::Unreadable,
        "BadDigest" | "XAmzContentSHA256Mismatch" | "XAmzContentChecksumMismatch" | "IncompleteBody" => Fault::Corrupt,
        "EntityTooLarge" => Fault::TooLarge,
        "XMinioStorageFull" | "QuotaExceeded" | "InsufficientCapacity" => Fault::DiskFull,
        "NotImplemented" => Fault::Unsupported,
        // Told inside of an answer that says 200.
        "InternalError" | "ServiceUnavailable" => Fault::Server(answer.status.max(500)),
        "InvalidArgument"
        | "InvalidBucketName"
        | "InvalidStorageClass"
        | "InvalidTag"
        | "InvalidRequest"
        | "KMS.NotFoundException"
        | "KMS.DisabledException"
        | "KMS.KMSInvalidStateException" => Fault::Invalid,
        _ => of_status(call, answer.status),
    }
}

/// Where there is no code, as in answers to HEAD.
fn of_status(call: Call, status: u16) -> Fault {
    match status {
        301 | 302 | 307 | 308 => Fault::WrongRegion,
        401 | 403 => Fault::AccessDenied(call),
        408 => Fault::Timeout,
        429 => Fault::Throttled,
        501 => Fault::Unsupported,
        507 => Fault::DiskFull,
        500..=599 => Fault::Server(status),
        _ => Fault::Other,
    }
}

/// Where nobody answered, only the words of the libraries tell one cause from another.
pub fn of_words(chain: &str) -> Fault {
    let has = |words: &[&str]| words.iter().any(|word| chain.contains(word));
    if has(&["ExpiredToken"]) {
        Fault::ExpiredCredentials
    } else if has(&[
        "CredentialsNotLoaded",
        "credentials provider",
        "credential provider",
        "CredentialsError",
        "no credentials",
    ]) {
        if has(&["InvalidIdentityToken", "AccessDenied", "InvalidConfiguration"]) {
            Fault::BadCredentials
        } else {
            Fault::NoCredentials
        }
    } else if has(&[
        "certificate",
        "Certificate",
        "UnknownIssuer",
        "HandshakeFailure",
        "InvalidContentType",
        "TLS",
        "tls",
    ]) {
        Fault::Tls
    } else if has(&["ChecksumMismatch", "checksum mismatch", "body checksum"]) {
        Fault::Corrupt
    } else if has(&["timed out", "TimedOut", "timeout"]) {
        Fault::Timeout
    } else if has(&["InvalidUri", "invalid uri", "MissingRegion", "A region must be set"]) {
        Fault::Invalid
    } else {
        Fault::Unreachable
    }
}

/// All causes, for looking for words.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut words = format!("{error:?}");
    let mut next = Some(error);
    while let Some(cause) = next {
        words.push('\n');
        words.push_str(&cause.to_string());
        next = cause.source();
    }
    words
}

/// The innermost cause: the outer ones only say that something failed.
pub fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut last = error;
    while let Some(cause) = last.source() {
        last = cause;
    }
    last.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_aws_and_others_are_told_apart() {
        let of = |status, code: &'static str, message: &'static str| {
            let code = (!code.is_empty()).then_some(code);
            of_answer(Call::Get, Answer { status, code, message })
        };
        for (status, code, wanted) in [
            (404, "NoSuchBucket", Fault::NoSuchBucket),
            (403, "AccessDenied", Fault::AccessDenied(Call::Get)),
            (403, "", Fault::AccessDenied(Call::Get)),
            (403, "InvalidAccessKeyId", Fault::BadCredentials),
            (403, "SignatureDoesNotMatch", Fault::BadCredentials),
            (400, "ExpiredToken", Fault::ExpiredCredentials),
            (403, "RequestTimeTooSkewed", Fault::ClockSkew),
            (301, "PermanentRedirect", Fault::WrongRegion),
            (301, "", Fault::WrongRegion),
            (400, "AuthorizationHeaderMalformed", Fault::WrongRegion),
            (503, "SlowDown", Fault::Throttled),
            (503, "ServiceUnavailable", Fault::Server(503)),
            (500, "InternalError", Fault::Server(500)),
            (502, "", Fault::Server(502)),
            (403, "InvalidObjectState", Fault::Unreadable),
            (400, "XAmzContentSHA256Mismatch", Fault::Corrupt),
            (507, "XMinioStorageFull", Fault::DiskFull),
            (501, "NotImplemented", Fault::Unsupported),
            (400, "InvalidStorageClass", Fault::Invalid),
            (418, "Teapot", Fault::Other),
        ] {
            assert_eq!(of(status, code, ""), wanted, "{status} {code}");
        }
        assert_eq!(of(403, "AccessDenied", "Request has expired"), Fault::ExpiredCredentials);
    }
}
