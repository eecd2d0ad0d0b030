//! One stored object: its text, or what its text is computed from.

use std::collections::BTreeMap;
use std::sync::Arc;

use hyper::body::Bytes;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::corpus::{Corpus, Look};

/// (namespace, name): the order of a list.
pub type Key = (String, String);

#[derive(Debug)]
pub struct Entry {
    pub key: Key,
    pub resource_version: u64,
    pub body: Body,
}

#[derive(Debug)]
pub enum Body {
    /// JSON as it goes out.
    Text(Bytes),
    /// Computed whenever it is read.
    Generated { corpus: Arc<Corpus>, index: u32, look: Look },
}

impl Entry {
    pub fn text(key: Key, resource_version: u64, value: &Value) -> Arc<Self> {
        Arc::new(Self { key, resource_version, body: Body::Text(value.to_string().into()) })
    }

    /// An object as [`Entry::outline`] has it.
    pub fn outlined(key: Key, resource_version: u64, outline: &Value) -> Arc<Self> {
        let mut text = String::from("{");
        for (name, value) in outline.as_object().into_iter().flatten() {
            let first = text.len() == 1;
            let comma = if first { "" } else { "," };
            match value {
                Value::String(raw) => text.extend([comma, "\"", name, "\":", raw]),
                other => text.extend([comma, "\"", name, "\":", &other.to_string()]),
            }
        }
        text.push('}');
        Arc::new(Self { key, resource_version, body: Body::Text(text.into()) })
    }

    pub fn generated(corpus: &Arc<Corpus>, index: u32, look: Look, resource_version: u64) -> Arc<Self> {
        let s = corpus.specimen(index);
        let body = Body::Generated { corpus: Arc::clone(corpus), index, look };
        Arc::new(Self { key: (s.namespace, s.name), resource_version, body })
    }

    /// Appends the object's JSON.
    pub fn write(&self, out: &mut Vec<u8>) {
        match &self.body {
            Body::Text(text) => out.extend_from_slice(text),
            Body::Generated { corpus, index, look } => {
                // The buffer is lent as a String and taken back: no copy.
                let mut text = String::from_utf8(std::mem::take(out)).unwrap_or_default();
                corpus.specimen(*index).write(self.resource_version, *look, &mut text);
                *out = text.into_bytes();
            }
        }
    }

    /// The object with its metadata; of all else only the JSON text, as a string. For who changes nothing but metadata.
    pub fn outline(&self) -> Value {
        let mut out = Vec::new();
        self.write(&mut out);
        let parts: BTreeMap<String, &RawValue> = serde_json::from_slice(&out).unwrap_or_default();
        let part = |(name, raw): (String, &RawValue)| {
            let meta = (name == "metadata").then(|| serde_json::from_str(raw.get()).unwrap_or_default());
            (name, meta.unwrap_or_else(|| Value::from(raw.get())))
        };
        Value::Object(parts.into_iter().map(part).collect())
    }

    pub fn value(&self) -> Value {
        let mut out = Vec::new();
        self.write(&mut out);
        serde_json::from_slice(&out).unwrap_or_default()
    }
}
