//! The table as data: what goes wrong, at which call, and what has to come of it.

use unstick_bed::faultproxy::{Answer, AwsError, Fault};

use crate::run::other;

/// A call along keep, verify and probe at which something goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Site {
    /// `keep`: the body is put.
    Put,
    /// `keep`: the body is read back.
    ReadBack,
    /// `keep`: the manifest is put.
    Manifest,
    /// `verify_for_delete`: the body is read.
    Verify,
    /// `probe`: any call.
    Probe,
}

impl Site {
    pub const ALL: [Self; 5] = [Self::Put, Self::ReadBack, Self::Manifest, Self::Verify, Self::Probe];
}

/// What has to come of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// An error with this reason, and no proof.
    Fails(&'static str),
    /// It is what it seems: the copy is there whole, and the judge finds it.
    Holds,
    /// It can't be read; manifest and presence stand for it.
    Cold,
    /// There is no such thing, because.
    Impossible(&'static str),
}

use Outcome::{Cold, Fails, Holds, Impossible};

/// What goes wrong.
#[derive(Clone, Debug)]
pub enum Wrong {
    /// To the call, for as long as it lasts.
    Call(Fault),
    /// To this and all later calls.
    FromHereOn(Fault),
    /// Something else lies under the key.
    Planted,
    /// The store shows this certificate, from this call on.
    Certificate(Bad),
    /// It can't be read, and something that should stand for it is gone.
    ColdAndGone(Gone),
}

/// What is wrong with a certificate. All but the first are of an authority that the client trusts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bad {
    Untrusted,
    OtherHost,
    Expired,
}

#[derive(Clone, Copy, Debug)]
pub enum Gone {
    Body,
    Manifest,
}

/// One fault at every site, in the order of [`Site::ALL`].
pub struct Row {
    pub name: &'static str,
    pub wrong: Wrong,
    pub outcomes: [Outcome; 5],
}

const NO_BODY: Outcome = Impossible("the reply to a put has no body");
const PUTS_ONLY: Outcome = Impossible("only a conditional put is answered so");
const READS_ONLY: Outcome = Impossible("only a read is answered so");
const AS_ABOVE: Outcome = Impossible("what can't be read stops it before it asks further");

const fn all(reason: &'static str) -> [Outcome; 5] {
    [Fails(reason); 5]
}

/// A body that HTTP calls whole.
const LIES: [Outcome; 5] = [NO_BODY, Fails("ReadBackDiffers"), NO_BODY, Fails("CopyDiffers"), Fails("Corrupt")];

pub fn bucket() -> Vec<Row> {
    let row = |name, fault: Fault, outcomes| Row { name, wrong: Wrong::Call(fault), outcomes };
    let aws = |name, error: AwsError, outcomes| row(name, error.into(), outcomes);
    vec![
        row("connection refused", Fault::Refuse, all("Unreachable")),
        row("black hole", Fault::BlackHole, all("Timeout")),
        row("slow drip", Fault::Drip { bytes_per_second: 20 }, all("Timeout")),
        row("closed before it was forwarded", Fault::CloseBeforeForward, all("Unreachable")),
        aws("500 InternalError", AwsError::InternalError, all("ServerError")),
        aws("503 SlowDown", AwsError::SlowDown, all("Throttled")),
        aws("403 AccessDenied", AwsError::AccessDenied, all("AccessDenied")),
        Row {
            name: "403 AccessDenied from here on",
            wrong: Wrong::FromHereOn(AwsError::AccessDenied.into()),
            outcomes: all("AccessDenied"),
        },
        aws("404 NoSuchBucket", AwsError::NoSuchBucket, all("NoSuchBucket")),
        row(
            "reply lost after commit",
            Fault::LoseReply,
            [Holds, Fails("Unreachable"), Fails("Unreachable"), Fails("Unreachable"), Fails("Unreachable")],
        ),
        row(
            "500 after commit",
            Fault::AnswerAfterCommit(Answer::Aws(AwsError::InternalError)),
            [Holds, Fails("ServerError"), Fails("ServerError"), Fails("ServerError"), Fails("ServerError")],
        ),
        row(
            "error inside a 200",
            Fault::Answer(Answer::AwsInside200(AwsError::InternalError)),
            [
                Fails("ServerError"),
                Fails("ReadBackDiffers"),
                Fails("ServerError"),
                Fails("CopyDiffers"),
                Fails("ServerError"),
            ],
        ),
        row(
            "truncated body",
            Fault::Truncate { keep: 20 },
            [NO_BODY, Fails("Unreachable"), NO_BODY, Fails("Unreachable"), Fails("Unreachable")],
        ),
        row("truncated body of the length it tells", Fault::Shorten { keep: 20 }, LIES),
        row("flipped byte", Fault::FlipByte { at: 30 }, LIES),
        row("body of another object", Fault::OtherBody(other().into()), LIES),
        aws(
            "stale read: 404 after the put",
            AwsError::NoSuchKey,
            [READS_ONLY, Fails("NotReadableYet"), READS_ONLY, Fails("NotArchived"), Fails("StoreFailed")],
        ),
        Row {
            name: "wrong object under the key",
            wrong: Wrong::Planted,
            outcomes: [
                Fails("Collision"),
                Fails("ReadBackDiffers"),
                Fails("Collision"),
                Fails("CopyDiffers"),
                Fails("Corrupt"),
            ],
        },
        aws(
            "412 though nothing is there",
            AwsError::PreconditionFailed,
            [Fails("NotReadableYet"), PUTS_ONLY, Fails("NotReadableYet"), PUTS_ONLY, Fails("StoreFailed")],
        ),
        aws(
            "409 ConditionalRequestConflict",
            AwsError::ConditionalRequestConflict,
            [Fails("NotReadableYet"), PUTS_ONLY, Fails("NotReadableYet"), PUTS_ONLY, Fails("StoreFailed")],
        ),
        aws("403 RequestTimeTooSkewed", AwsError::RequestTimeTooSkewed, all("ClockSkew")),
        aws("400 ExpiredToken", AwsError::ExpiredToken, all("ExpiredCredentials")),
        aws("403 InvalidAccessKeyId", AwsError::InvalidAccessKeyId, all("BadCredentials")),
        aws("400 wrong region", AwsError::WrongRegion, all("WrongRegion")),
        aws(
            "403 InvalidObjectState",
            AwsError::InvalidObjectState,
            [READS_ONLY, Fails("StorageClassUnreadable"), READS_ONLY, Cold, Fails("StorageClassUnreadable")],
        ),
        Row {
            name: "403 InvalidObjectState, and it is gone",
            wrong: Wrong::ColdAndGone(Gone::Body),
            outcomes: [READS_ONLY, AS_ABOVE, READS_ONLY, Fails("NotArchived"), AS_ABOVE],
        },
        Row {
            name: "403 InvalidObjectState, and its manifest is gone",
            wrong: Wrong::ColdAndGone(Gone::Manifest),
            outcomes: [READS_ONLY, AS_ABOVE, READS_ONLY, Fails("StorageClassUnreadable"), AS_ABOVE],
        },
        certificate("certificate of an unknown authority", Bad::Untrusted),
        certificate("certificate of another host", Bad::OtherHost),
        certificate("certificate that has expired", Bad::Expired),
    ]
}

const fn certificate(name: &'static str, bad: Bad) -> Row {
    Row { name, wrong: Wrong::Certificate(bad), outcomes: all("TlsFailed") }
}
