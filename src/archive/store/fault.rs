//! Why a store doesn't do what it should, in a closed list: each with what a person can do about it.

use std::fmt;

/// What was asked of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Call {
    Put,
    Get,
    Head,
    List,
}

impl Call {
    /// As a policy of rights names it.
    pub const fn right(self) -> &'static str {
        match self {
            Self::Put => "s3:PutObject",
            Self::Get | Self::Head => "s3:GetObject",
            Self::List => "s3:ListBucket",
        }
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Put => "put",
            Self::Get => "get",
            Self::Head => "head",
            Self::List => "list",
        })
    }
}

/// The kinds of faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fault {
    /// The bucket, or the folder that is mounted.
    NoSuchBucket,
    /// A folder, but not the volume that archives are stored on.
    NotMounted,
    AccessDenied(Call),
    ClockSkew,
    Tls,
    WrongRegion,
    ExpiredCredentials,
    NoCredentials,
    /// The access key is unknown or its secret is wrong.
    BadCredentials,
    Throttled,
    Unreachable,
    Timeout,
    /// 5xx.
    Server(u16),
    /// The storage class has to be restored before it can be read.
    Unreadable,
    DiskFull,
    ReadOnly,
    /// What was read is not what was sent.
    Corrupt,
    /// Larger than was asked for.
    TooLarge,
    /// The store doesn't know something we need.
    Unsupported,
    /// A key that is no key of ours, or a setting that can't be used.
    Invalid,
    Other,
}

impl Fault {
    /// One of each, for lists of what there is.
    pub const ALL: &'static [Self] = &[
        Self::NoSuchBucket,
        Self::NotMounted,
        Self::AccessDenied(Call::Put),
        Self::ClockSkew,
        Self::Tls,
        Self::WrongRegion,
        Self::ExpiredCredentials,
        Self::NoCredentials,
        Self::BadCredentials,
        Self::Throttled,
        Self::Unreachable,
        Self::Timeout,
        Self::Server(500),
        Self::Unreadable,
        Self::DiskFull,
        Self::ReadOnly,
        Self::Corrupt,
        Self::TooLarge,
        Self::Unsupported,
        Self::Invalid,
        Self::Other,
    ];

    /// A word for conditions and metrics.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::NoSuchBucket => "NoSuchBucket",
            Self::NotMounted => "NotMounted",
            Self::AccessDenied(_) => "AccessDenied",
            Self::ClockSkew => "ClockSkew",
            Self::Tls => "TlsFailed",
            Self::WrongRegion => "WrongRegion",
            Self::ExpiredCredentials => "ExpiredCredentials",
            Self::NoCredentials => "NoCredentials",
            Self::BadCredentials => "BadCredentials",
            Self::Throttled => "Throttled",
            Self::Unreachable => "Unreachable",
            Self::Timeout => "Timeout",
            Self::Server(_) => "ServerError",
            Self::Unreadable => "StorageClassUnreadable",
            Self::DiskFull => "DiskFull",
            Self::ReadOnly => "ReadOnly",
            Self::Corrupt => "Corrupt",
            Self::TooLarge => "TooLarge",
            Self::Unsupported => "Unsupported",
            Self::Invalid => "Invalid",
            Self::Other => "StoreFailed",
        }
    }

    /// What a person can do.
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::NoSuchBucket => "create the bucket (or mount the folder), or correct its name",
            Self::NotMounted => "mount the volume at the path of the location; to begin anew, make the location anew",
            Self::AccessDenied(Call::Put) => "allow s3:PutObject on the bucket (and kms:GenerateDataKey on its key)",
            Self::AccessDenied(Call::Get | Call::Head) => {
                "allow s3:GetObject on the bucket (and kms:Decrypt on its key); without s3:ListBucket a missing object reads as denied"
            }
            Self::AccessDenied(Call::List) => "allow s3:ListBucket on the bucket",
            Self::ClockSkew => "set the clock of this machine: the store refuses signatures more than 15 minutes off",
            Self::Tls => "check the endpoint's certificate and the CA bundle of the location (caConfigMapRef)",
            Self::WrongRegion => "set the region of the location to that of the bucket",
            Self::ExpiredCredentials => "renew the credentials: the session token has expired",
            Self::NoCredentials => {
                "give the operator credentials: a Secret named by the location, IRSA or Pod Identity"
            }
            Self::BadCredentials => "check the access key and its secret: the store doesn't know them",
            Self::Throttled => "nothing: it is tried again more slowly",
            Self::Unreachable => "check the endpoint, DNS and network policies",
            Self::Timeout => "check the network path to the store; it is tried again",
            Self::Server(_) => "look at the store's own health; it is tried again",
            Self::Unreadable => "request a restore of the object (aws s3api restore-object) and wait until it is done",
            Self::DiskFull => "make room on the volume",
            Self::ReadOnly => "mount the volume for writing",
            Self::Corrupt => "look at what is stored: it is not what was written, and it is never replaced",
            Self::TooLarge => "look at what is stored: it is larger than any archive",
            Self::Unsupported => "use a store (or a filesystem) that has what the message names",
            Self::Invalid => "correct the setting that the message names",
            Self::Other => "see the message",
        }
    }

    /// Whether the same call may work later without anybody doing anything.
    pub const fn is_transient(self) -> bool {
        matches!(self, Self::Throttled | Self::Unreachable | Self::Timeout | Self::Server(_) | Self::ExpiredCredentials)
    }
}

/// A call that failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct StoreError {
    pub kind: Fault,
    /// What happened, in the store's words where it has any.
    pub message: String,
}

impl StoreError {
    pub fn new(kind: Fault, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_has_a_word_of_its_own_and_a_remedy() {
        let mut seen = std::collections::BTreeSet::new();
        for fault in Fault::ALL {
            let reason = fault.reason();
            assert!(seen.insert(reason) && reason.chars().all(|c| c.is_ascii_alphanumeric()), "{reason}");
            assert!(fault.remedy().len() > 8, "{reason}");
        }
        for call in [Call::Get, Call::Head, Call::List] {
            assert!(Fault::AccessDenied(call).remedy().contains(call.right()), "{call}");
        }
    }
}
