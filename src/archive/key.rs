//! Where an archive lies (API.md section 5), both ways: a key is made of a run, and read back from a bucket that anyone
//! may have written to.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::digest::Digest;
use super::facts::RunFacts;

const BODY: &str = ".json.gz";
const EVENTS: &str = ".events.json.gz";
const MANIFEST: &str = ".manifest.json";
const UNFINISHED: &str = "unfinished";

/// The keys of one location: everything below one prefix, and the index beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    prefix: String,
}

/// A run's place below a prefix.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stem {
    pub namespace: String,
    pub name: String,
    /// `20261121_101500_3f9a1c04be12`, or `20261121_101500` where a plain kubectl script wrote it.
    pub stem: String,
}

/// What a stem tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StemParts {
    /// `None` = unfinished.
    pub finished: Option<Timestamp>,
    /// The first 12 digits; `None` in archives that weren't written by unstick.
    pub digest: Option<String>,
}

/// What an object of a location is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    Body(Stem),
    Events(Stem),
}

/// Whether text can be one part of a key: neither empty nor anything a path, a shell or a URL would read otherwise.
pub fn is_part(text: &str) -> bool {
    let fine = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    (1..=253).contains(&text.len()) && text.bytes().all(fine) && !text.starts_with(['.', '-']) && !text.contains("..")
}

impl Layout {
    /// `prefix` without slashes at its ends; `None` for one that is no path of usable parts.
    pub fn new(prefix: &str) -> Option<Self> {
        let prefix = prefix.trim_matches('/');
        let fine = prefix.is_empty() || prefix.split('/').all(is_part) && prefix.len() <= 512;
        fine.then(|| Self { prefix: prefix.to_owned() })
    }

    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// What all bodies begin with.
    pub fn bodies(&self) -> String {
        if self.prefix.is_empty() { String::new() } else { format!("{}/", self.prefix) }
    }

    /// What the index begins with: beside the bodies, so that a lifecycle rule for these leaves it alone.
    pub fn index(&self) -> String {
        format!("{}-index/", self.prefix)
    }

    pub fn manifests(&self) -> String {
        format!("{}manifests/", self.index())
    }

    pub fn catalogue(&self) -> String {
        format!("{}catalogue/", self.index())
    }

    /// Where the probe of a day lies.
    pub fn probe(&self, date: &str) -> String {
        format!("{}probe/{date}", self.index())
    }

    pub fn body(&self, stem: &Stem) -> String {
        format!("{}{stem}{BODY}", self.bodies())
    }

    pub fn events(&self, stem: &Stem) -> String {
        format!("{}{stem}{EVENTS}", self.bodies())
    }

    pub fn manifest(&self, stem: &Stem) -> String {
        format!("{}{stem}{MANIFEST}", self.manifests())
    }

    /// Reads the key of a body or of events; `None` for anything else, which is left alone.
    pub fn read(&self, key: &str) -> Option<Kind> {
        let rest = key.strip_prefix(self.bodies().as_str())?;
        if let Some(rest) = rest.strip_suffix(EVENTS) {
            return Stem::read(rest).map(Kind::Events);
        }
        Stem::read(rest.strip_suffix(BODY)?).map(Kind::Body)
    }

    /// Reads the key of a manifest.
    pub fn read_manifest(&self, key: &str) -> Option<Stem> {
        Stem::read(key.strip_prefix(self.manifests().as_str())?.strip_suffix(MANIFEST)?)
    }
}

impl Stem {
    /// Of a run whose canonical form has this digest.
    pub fn of(facts: &RunFacts, digest: &Digest) -> Self {
        let time = facts.finished.map_or_else(|| UNFINISHED.to_owned(), |at| stamp(at.get()));
        let stem = format!("{time}_{}", digest.short());
        Self { namespace: facts.namespace.clone(), name: facts.name.clone(), stem }
    }

    /// Reads `namespace/name/stem`.
    pub fn read(text: &str) -> Option<Self> {
        let mut parts = text.split('/');
        let (namespace, name, stem) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() || !is_part(namespace) || !is_part(name) {
            return None;
        }
        let read = Self { namespace: namespace.to_owned(), name: name.to_owned(), stem: stem.to_owned() };
        read.parts().map(|_| read)
    }

    pub fn parts(&self) -> Option<StemParts> {
        let digits = |d: &str| d.len() == 12 && d.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if let Some(digest) = self.stem.strip_prefix(UNFINISHED).and_then(|rest| rest.strip_prefix('_')) {
            return digits(digest).then(|| StemParts { finished: None, digest: Some(digest.to_owned()) });
        }
        let finished = Some(read_stamp(self.stem.get(..15)?)?);
        match self.stem.get(15..)? {
            "" => Some(StemParts { finished, digest: None }),
            rest => {
                let digest = rest.strip_prefix('_').filter(|d| digits(d))?.to_owned();
                Some(StemParts { finished, digest: Some(digest) })
            }
        }
    }
}

impl std::fmt::Display for Stem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}/{}", self.namespace, self.name, self.stem)
    }
}

/// `20261121_101500`, in UTC.
pub fn stamp(at: Timestamp) -> String {
    at.strftime("%Y%m%d_%H%M%S").to_string()
}

/// Reads such a stamp.
pub fn read_stamp(text: &str) -> Option<Timestamp> {
    let digits = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
    let (date, time) = text.split_once('_').filter(|(d, t)| d.len() == 8 && t.len() == 6 && digits(d) && digits(t))?;
    let at = DateTime::strptime("%Y%m%d%H%M%S", format!("{date}{time}")).ok()?;
    at.to_zoned(TimeZone::UTC).ok().map(|z| z.timestamp())
}
