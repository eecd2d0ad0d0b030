//! A finished run as Argo wrote it, kept, verified and judged.

use std::io::{Read as _, Write as _};

use flate2::read::GzDecoder;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use unstick::api::time::Time;
use unstick::archive::canonical::canonical;
use unstick::archive::facts::RunFacts;
use unstick::archive::keep::{KeepError, KeepOptions, Kept, keep};
use unstick::archive::redaction::{Redaction, Rules};
use unstick::archive::store::{Location, Store};
use unstick::archive::verify::{Hint, VerifiedArchive, VerifyError, verify_for_delete};
use unstick::watchdog::janitor::job::Target;

/// One run in its place.
pub struct Run {
    pub live: String,
    /// The same with its nodes as they are when they are not compressed.
    pub whole: Value,
    pub location: Location,
}

impl Run {
    pub fn new(name: &str, location: Location) -> Self {
        let mut run: Value = serde_json::from_str(include_str!("../fixtures/argo-4.1.2/done-ok.json")).unwrap();
        run["metadata"]["name"] = name.into();
        run["metadata"]["uid"] = format!("uid-{name}").into();
        run["spec"]["arguments"] = json!({"parameters": [{"name": "customer", "value": "somebody"}]});
        Self { live: run.to_string(), whole: run, location }
    }

    pub async fn keep(&self, store: &dyn Store) -> Result<Kept, KeepError> {
        self.keep_beside(store, None).await
    }

    pub async fn keep_with_events(&self, store: &dyn Store) -> Result<Kept, KeepError> {
        let event = json!([{"reason": "WorkflowSucceeded", "regarding": {"uid": self.uid()}}]);
        let events = serde_json::value::to_raw_value(&event).unwrap();
        self.keep_beside(store, Some(&events)).await
    }

    async fn keep_beside(&self, store: &dyn Store, events: Option<&RawValue>) -> Result<Kept, KeepError> {
        let rules = Redaction::default();
        let options = KeepOptions { rules: &rules, events, now: now(), stuck_seconds: Some(60) };
        keep(store, &self.location, &self.live, &options).await
    }

    /// When other values are blacked out than when it was kept.
    pub async fn verify_by_other_rules(&self, store: &dyn Store, hint: &Hint) -> Result<VerifiedArchive, VerifyError> {
        let rules = Redaction::new(Rules { names: vec!["customer".into()], ..Rules::default() }).unwrap();
        verify_for_delete(store, &self.location, &self.live, &rules, Some(hint)).await
    }

    pub fn facts(&self) -> RunFacts {
        canonical(&self.live, &Redaction::default()).unwrap().facts
    }

    fn uid(&self) -> String {
        self.facts().uid
    }

    /// As the janitor names it.
    pub fn target(&self) -> Target {
        let RunFacts { namespace, name, uid, started, finished, .. } = self.facts();
        let seconds = |at: Option<Time>| at.map_or(0, |at| at.get().as_second().try_into().unwrap());
        Target { namespace, name, uid, started: seconds(started), finished: seconds(finished) }
    }

    pub async fn verify(&self, store: &dyn Store) -> Result<VerifiedArchive, VerifyError> {
        verify_for_delete(store, &self.location, &self.live, &Redaction::default(), None).await
    }

    /// The judge: whether these bytes are this run, complete. It knows nothing of how they were made.
    pub fn judge(&self, packed: &[u8]) -> Result<(), String> {
        let mut text = String::new();
        GzDecoder::new(packed).read_to_string(&mut text).map_err(|e| format!("no gzip: {e}"))?;
        let stored: Value = serde_json::from_str(&text).map_err(|e| format!("no JSON: {e}"))?;
        for place in ["/metadata/uid", "/metadata/name", "/metadata/namespace", "/metadata/labels", "/spec", "/status"]
        {
            if self.whole.pointer(place).is_none() || stored.pointer(place) != self.whole.pointer(place) {
                return Err(format!("{place} is another"));
            }
        }
        Ok(())
    }
}

pub fn now() -> Time {
    at(0)
}

/// So many seconds later.
pub fn at(seconds: i64) -> Time {
    let begin: jiff::Timestamp = "2026-11-22T08:00:00Z".parse().unwrap();
    (begin + jiff::SignedDuration::from_secs(seconds)).into()
}

/// An archive of something else, in good order.
pub fn other() -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packed.write_all(br#"{"metadata":{"name":"other","uid":"other"}}"#).unwrap();
    packed.finish().unwrap()
}

/// Words that a person can read, and not what a library says to its programmer.
pub fn plain_words(message: &str) -> Result<(), String> {
    let odd = ["SdkError", "DispatchFailure", "ServiceError", "ConnectorError", "Os {", "Some(", "Error {", "\n"];
    // A key is one word, and as long as the names in it.
    let length: usize = message.split(' ').map(|word| word.len().min(100)).sum();
    if message.split(' ').count() < 3 || length > 400 || odd.iter().any(|word| message.contains(word)) {
        return Err(format!("no person understands {message:?}"));
    }
    Ok(())
}
