//! The table as data: what goes wrong, at which call, and what has to come of it.

use unstick_bed::faultproxy::{Answer, AwsError, Fault};

use crate::run::other;
use crate::site::Site;

/// What has to come of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// An error with this reason, and no proof.
    Fails(&'static str),
    /// It is what it seems: the copy is there whole, and the judge finds it.
    Holds,
    /// It can't be read; manifest and presence stand for it.
    Cold,
    /// A mark is not believed: the run is archived anew, and verified by that.
    Unconfirmed,
    /// A reindex ends, and names what it couldn't read.
    Told,
    /// There is no such thing, because.
    Impossible(&'static str),
}

use Outcome::{Cold, Fails, Holds, Impossible, Told, Unconfirmed};
#[allow(clippy::enum_glob_use, reason = "a table is read by its words")]
use Site::*;

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

/// What has to come of one fault at every site.
#[derive(Clone, Copy, Debug)]
pub struct Outcomes([Outcome; Site::ALL.len()]);

impl Outcomes {
    pub const fn all(outcome: Outcome) -> Self {
        Self([outcome; Site::ALL.len()])
    }

    /// Another at some sites.
    #[must_use]
    pub fn but(mut self, sites: &[Site], outcome: Outcome) -> Self {
        for site in sites {
            self.0[*site as usize] = outcome;
        }
        self
    }

    pub const fn at(&self, site: Site) -> Outcome {
        self.0[site as usize]
    }

    /// At the calls that read an object: it isn't what it should be.
    #[must_use]
    pub fn reads_as_another(self) -> Self {
        self.but(&[ReadBack, EventsBack], Fails("ReadBackDiffers"))
            .but(&[ManifestBack], Fails("Collision"))
            .but(&[Verify], Fails("CopyDiffers"))
            .but(&[OtherRules], Fails("NotArchived"))
            .but(&[Confirm], Unconfirmed)
            .but(&[ReindexManifests, ReindexLines], Told)
            .but(&[Probe], Fails("Corrupt"))
    }
}

/// One fault at every site.
pub struct Row {
    pub name: &'static str,
    pub wrong: Wrong,
    pub outcomes: Outcomes,
}

const NO_BODY: Outcome = Impossible("the reply has no body");
const IN_TIME: Outcome = Impossible("it has nine bytes");
const PUTS_ONLY: Outcome = Impossible("only a conditional put is answered so");
const READS_ONLY: Outcome = Impossible("only a read is answered so");
const AS_ABOVE: Outcome = Impossible("what can't be read stops it before it asks further");
const NO_OBJECT: Outcome = Impossible("what is listed or asked for has no content that counts");
const NO_LIST: Outcome = Impossible("only a list is answered so");

fn all(reason: &'static str) -> Outcomes {
    Outcomes::all(Fails(reason))
}

/// A body that HTTP calls whole.
fn lies(lists: Outcome) -> Outcomes {
    let outcomes = Outcomes::all(NO_BODY).reads_as_another();
    // That it is there is all that is wanted of what says that a generation is whole.
    outcomes.but(&[Generation, ReindexList], lists).but(&[Whole], Holds)
}

/// The reply is lost or false, and it was done: whoever reads back finds it.
fn after_commit(reason: &'static str) -> Outcomes {
    all(reason).but(&[Put, EventsPut], Holds)
}

/// A conditional put is refused though nothing is there.
fn refused(of_lines: &'static str) -> Outcomes {
    Outcomes::all(PUTS_ONLY)
        .but(&[Put, EventsPut, Manifest], Fails("NotReadableYet"))
        .but(&[Begin, Probe], Fails("StoreFailed"))
        .but(&[Append, ReindexWrite], Fails(of_lines))
}

/// A list without anything in it.
const EMPTY: &str = r#"<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><IsTruncated>false</IsTruncated><KeyCount>0</KeyCount></ListBucketResult>"#;

pub fn bucket() -> Vec<Row> {
    let row = |name, fault: Fault, outcomes| Row { name, wrong: Wrong::Call(fault), outcomes };
    let aws = |name, error: AwsError, outcomes| row(name, error.into(), outcomes);
    let unseen = Answer::Plain(200, "application/xml".into(), EMPTY.into());
    vec![
        row("connection refused", Fault::Refuse, all("Unreachable")),
        row("black hole", Fault::BlackHole, all("Timeout")),
        row("slow drip", Fault::Drip { bytes_per_second: 20 }, all("Timeout").but(&[Begin, Whole], IN_TIME)),
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
        row("reply lost after commit", Fault::LoseReply, after_commit("Unreachable")),
        row(
            "500 after commit",
            Fault::AnswerAfterCommit(Answer::Aws(AwsError::InternalError)),
            after_commit("ServerError"),
        ),
        row(
            "error inside a 200",
            Fault::Answer(Answer::AwsInside200(AwsError::InternalError)),
            all("ServerError").reads_as_another().but(&[Probe], Fails("ServerError")).but(&[Whole], Holds),
        ),
        row(
            "truncated body",
            Fault::Truncate { keep: 20 },
            all("Unreachable").but(Site::PUTS, NO_BODY).but(&[Whole], IN_TIME),
        ),
        row("truncated body of the length it tells", Fault::Shorten { keep: 20 }, lies(Fails("StoreFailed"))),
        row("flipped byte", Fault::FlipByte { at: 45 }, lies(Fails("StoreFailed"))),
        row("body of another object", Fault::OtherBody(other().into()), lies(Fails("StoreFailed"))),
        aws(
            "stale read: 404 after the put",
            AwsError::NoSuchKey,
            Outcomes::all(READS_ONLY)
                .but(&[ReadBack, EventsBack, ManifestBack], Fails("NotReadableYet"))
                .but(&[Verify, OtherRules], Fails("NotArchived"))
                .but(&[Confirm], Unconfirmed)
                .but(&[ReindexManifests, ReindexLines], Told)
                .but(&[Whole, Probe], Fails("StoreFailed")),
        ),
        row(
            "stale list: without what was put",
            Fault::Answer(unseen),
            Outcomes::all(NO_LIST)
                .but(&[Generation], Fails("StoreFailed"))
                .but(&[ReindexList], Impossible("it can't be told from an archive without runs")),
        ),
        Row {
            name: "wrong object under the key",
            wrong: Wrong::Planted,
            outcomes: all("Collision")
                .reads_as_another()
                .but(&[Append, ReindexWrite], Fails("Corrupt"))
                .but(&[Begin, Generation, Whole, ReindexList], NO_OBJECT),
        },
        aws("412 though nothing is there", AwsError::PreconditionFailed, refused("StoreFailed")),
        aws("409 ConditionalRequestConflict", AwsError::ConditionalRequestConflict, refused("Throttled")),
        aws("403 RequestTimeTooSkewed", AwsError::RequestTimeTooSkewed, all("ClockSkew")),
        aws("400 ExpiredToken", AwsError::ExpiredToken, all("ExpiredCredentials")),
        aws("403 InvalidAccessKeyId", AwsError::InvalidAccessKeyId, all("BadCredentials")),
        aws("400 wrong region", AwsError::WrongRegion, all("WrongRegion")),
        aws(
            "403 InvalidObjectState",
            AwsError::InvalidObjectState,
            Outcomes::all(READS_ONLY)
                .but(Site::READS, Fails("StorageClassUnreadable"))
                .but(&[Verify], Cold)
                .but(&[Whole], Holds)
                .but(&[Probe], Fails("StorageClassUnreadable")),
        ),
        cold_and_gone("403 InvalidObjectState, and it is gone", Gone::Body, "NotArchived"),
        cold_and_gone("403 InvalidObjectState, and its manifest is gone", Gone::Manifest, "StorageClassUnreadable"),
        certificate("certificate of an unknown authority", Bad::Untrusted),
        certificate("certificate of another host", Bad::OtherHost),
        certificate("certificate that has expired", Bad::Expired),
    ]
}

fn cold_and_gone(name: &'static str, gone: Gone, reason: &'static str) -> Row {
    let outcomes = Outcomes::all(READS_ONLY).but(Site::READS, AS_ABOVE).but(&[Probe], AS_ABOVE);
    Row { name, wrong: Wrong::ColdAndGone(gone), outcomes: outcomes.but(&[Verify], Fails(reason)) }
}

fn certificate(name: &'static str, bad: Bad) -> Row {
    Row { name, wrong: Wrong::Certificate(bad), outcomes: all("TlsFailed") }
}
