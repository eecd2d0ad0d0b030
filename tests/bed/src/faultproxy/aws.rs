//! Errors in the words of S3: status, code and XML as AWS sends them.

/// What S3 may answer. Messages and further elements are AWS's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AwsError {
    InternalError,
    SlowDown,
    AccessDenied,
    NoSuchBucket,
    NoSuchKey,
    PreconditionFailed,
    ConditionalRequestConflict,
    RequestTimeTooSkewed,
    ExpiredToken,
    InvalidObjectState,
    InvalidAccessKeyId,
    SignatureDoesNotMatch,
    /// The bucket is elsewhere, in eu-west-1.
    WrongRegion,
    NotImplemented,
    InvalidStorageClass,
    RequestTimeout,
}

impl AwsError {
    pub const fn status(self) -> u16 {
        match self {
            Self::InternalError => 500,
            Self::SlowDown => 503,
            Self::AccessDenied
            | Self::RequestTimeTooSkewed
            | Self::InvalidObjectState
            | Self::InvalidAccessKeyId
            | Self::SignatureDoesNotMatch => 403,
            Self::NoSuchBucket | Self::NoSuchKey => 404,
            Self::PreconditionFailed => 412,
            Self::ConditionalRequestConflict => 409,
            Self::ExpiredToken | Self::WrongRegion | Self::InvalidStorageClass | Self::RequestTimeout => 400,
            Self::NotImplemented => 501,
        }
    }

    pub const fn code(self) -> &'static str {
        match self {
            Self::InternalError => "InternalError",
            Self::SlowDown => "SlowDown",
            Self::AccessDenied => "AccessDenied",
            Self::NoSuchBucket => "NoSuchBucket",
            Self::NoSuchKey => "NoSuchKey",
            Self::PreconditionFailed => "PreconditionFailed",
            Self::ConditionalRequestConflict => "ConditionalRequestConflict",
            Self::RequestTimeTooSkewed => "RequestTimeTooSkewed",
            Self::ExpiredToken => "ExpiredToken",
            Self::InvalidObjectState => "InvalidObjectState",
            Self::InvalidAccessKeyId => "InvalidAccessKeyId",
            Self::SignatureDoesNotMatch => "SignatureDoesNotMatch",
            Self::WrongRegion => "AuthorizationHeaderMalformed",
            Self::NotImplemented => "NotImplemented",
            Self::InvalidStorageClass => "InvalidStorageClass",
            Self::RequestTimeout => "RequestTimeout",
        }
    }

    const fn message(self) -> &'static str {
        match self {
            Self::InternalError => "We encountered an internal error. Please try again.",
            Self::SlowDown => "Please reduce your request rate.",
            Self::AccessDenied => "Access Denied",
            Self::NoSuchBucket => "The specified bucket does not exist",
            Self::NoSuchKey => "The specified key does not exist.",
            Self::PreconditionFailed => "At least one of the pre-conditions you specified did not hold",
            Self::ConditionalRequestConflict => {
                "The conditional request cannot succeed due to a conflicting operation against this resource."
            }
            Self::RequestTimeTooSkewed => "The difference between the request time and the current time is too large.",
            Self::ExpiredToken => "The provided token has expired.",
            Self::InvalidObjectState => "The operation is not valid for the object's storage class",
            Self::InvalidAccessKeyId => "The AWS Access Key Id you provided does not exist in our records.",
            Self::SignatureDoesNotMatch => {
                "The request signature we calculated does not match the signature you provided. Check your key and signing method."
            }
            Self::WrongRegion => {
                "The authorization header is malformed; the region 'us-east-1' is wrong; expecting 'eu-west-1'"
            }
            Self::NotImplemented => "A header you provided implies functionality that is not implemented.",
            Self::InvalidStorageClass => "The storage class you specified is not valid",
            Self::RequestTimeout => {
                "Your socket connection to the server was not read from or written to within the timeout period. Idle connections will be closed."
            }
        }
    }

    /// Elements beside code and message.
    fn details(self, bucket: &str, key: &str) -> String {
        match self {
            Self::NoSuchBucket => format!("<BucketName>{bucket}</BucketName>"),
            Self::NoSuchKey => format!("<Key>{key}</Key>"),
            Self::PreconditionFailed => "<Condition>If-None-Match</Condition>".to_owned(),
            Self::ConditionalRequestConflict => format!("<Condition>If-None-Match</Condition><Key>{key}</Key>"),
            Self::RequestTimeTooSkewed => concat!(
                "<RequestTime>20261121T080000Z</RequestTime><ServerTime>2026-11-21T08:20:01Z</ServerTime>",
                "<MaxAllowedSkewMilliseconds>900000</MaxAllowedSkewMilliseconds>"
            )
            .to_owned(),
            Self::ExpiredToken => "<Token-0>TOKEN</Token-0>".to_owned(),
            Self::InvalidObjectState => "<StorageClass>GLACIER</StorageClass>".to_owned(),
            Self::WrongRegion => "<Region>eu-west-1</Region>".to_owned(),
            _ => String::new(),
        }
    }

    /// The body as AWS writes it, for the path `/bucket/key`.
    pub fn xml(self, path: &str) -> String {
        let (bucket, key) = path.trim_start_matches('/').split_once('/').unwrap_or((path.trim_start_matches('/'), ""));
        let escape = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{}</Code><Message>{}</Message>{}<RequestId>BED0000000000001</RequestId><HostId>bed</HostId></Error>",
            self.code(),
            self.message(),
            self.details(&escape(bucket), &escape(key)),
        )
    }
}
