//! A bucket in memory that fails as it is told, and remembers what it was asked.

use std::collections::BTreeMap;
use std::sync::Mutex;

use async_trait::async_trait;
use unstick::archive::store::{
    Bytes, Call, Fault, Fingerprint, Head, List, Listed, Meta, Object, Page, Put, Store, StoreError,
};

/// What goes wrong with one call.
#[derive(Clone, Debug)]
pub enum Trick {
    /// It is done, and the answer gets lost.
    LoseReply(Fault),
    /// It isn't done.
    Refuse(Fault),
    /// 412, whatever is there.
    Exists,
    /// 409, and nothing was written.
    Raced,
    /// 409, and the other writer's same object is there.
    RacedWritten,
    /// What is stored (put) or read (get) is cut, flipped, framed or another object.
    Cut,
    Flip,
    Framed,
    Swap(Bytes),
    /// 404.
    Gone,
}

struct Rule {
    call: Call,
    ending: String,
    times: usize,
    trick: Trick,
}

pub struct Memory {
    fingerprint: Fingerprint,
    pub objects: Mutex<BTreeMap<String, Object>>,
    rules: Mutex<Vec<Rule>>,
    asked: Mutex<Vec<String>>,
}

impl Memory {
    pub fn new() -> Self {
        Self::at(crate::runs::location().fingerprint)
    }

    /// The bucket of another place.
    pub fn at(fingerprint: Fingerprint) -> Self {
        Self { fingerprint, objects: Mutex::default(), rules: Mutex::default(), asked: Mutex::default() }
    }

    /// The next `times` calls of this kind for keys that end so.
    pub fn trick(&self, call: Call, ending: &str, times: usize, trick: Trick) -> &Self {
        self.rules.lock().unwrap().push(Rule { call, ending: ending.into(), times, trick });
        self
    }

    pub fn well(&self) {
        self.rules.lock().unwrap().clear();
    }

    /// The calls since the last time, such as `put a/b`.
    pub fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }

    pub fn keys(&self) -> Vec<String> {
        self.objects.lock().unwrap().keys().cloned().collect()
    }

    pub fn change(&self, key: &str, change: impl FnOnce(&mut Object)) {
        change(self.objects.lock().unwrap().get_mut(key).unwrap());
    }

    pub fn set(&self, key: &str, bytes: impl Into<Bytes>) {
        self.objects.lock().unwrap().insert(key.into(), object(bytes.into(), Meta::new()));
    }

    fn next(&self, call: Call, key: &str) -> Option<Trick> {
        self.asked.lock().unwrap().push(format!("{call} {key}"));
        let mut rules = self.rules.lock().unwrap();
        let rule = rules.iter_mut().find(|r| r.call == call && r.times > 0 && key.ends_with(&r.ending))?;
        rule.times -= 1;
        Some(rule.trick.clone())
    }
}

fn object(bytes: Bytes, meta: Meta) -> Object {
    Object { bytes, version_id: Some("v1".into()), storage_class: None, meta }
}

fn damaged(bytes: &Bytes, trick: &Trick) -> Bytes {
    let mut own = bytes.to_vec();
    match trick {
        Trick::Cut => own.truncate(own.len() / 2),
        Trick::Flip => {
            let middle = own.len() / 2;
            own[middle] ^= 1;
        }
        // What stores wrote that took the framing of a request for its content.
        Trick::Framed => own = [format!("{:x}\r\n", own.len()).as_bytes(), &own, b"\r\n0\r\n\r\n"].concat(),
        Trick::Swap(other) => own = other.to_vec(),
        _ => {}
    }
    own.into()
}

pub fn error(kind: Fault) -> StoreError {
    StoreError::new(kind, format!("made up: {}", kind.reason()))
}

#[async_trait]
impl Store for Memory {
    fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    async fn put_new(&self, key: &str, body: Bytes, meta: &Meta) -> Result<Put, StoreError> {
        let trick = self.next(Call::Put, key);
        let mut objects = self.objects.lock().unwrap();
        match &trick {
            Some(Trick::Refuse(kind)) => return Err(error(*kind)),
            Some(Trick::Exists) => return Ok(Put::Exists),
            Some(Trick::Raced) => return Ok(Put::Raced),
            _ => {}
        }
        if objects.contains_key(key) {
            return Ok(Put::Exists);
        }
        let body = trick.as_ref().map_or_else(|| body.clone(), |trick| damaged(&body, trick));
        objects.insert(key.into(), object(body, meta.clone()));
        match trick {
            Some(Trick::LoseReply(kind)) => Err(error(kind)),
            Some(Trick::RacedWritten) => Ok(Put::Raced),
            _ => Ok(Put::Created { version_id: Some("v1".into()) }),
        }
    }

    async fn get(&self, key: &str, limit: usize) -> Result<Option<Object>, StoreError> {
        let trick = self.next(Call::Get, key);
        let found = self.objects.lock().unwrap().get(key).cloned();
        let found = match trick {
            Some(Trick::Refuse(kind) | Trick::LoseReply(kind)) => return Err(error(kind)),
            Some(Trick::Gone) => None,
            Some(trick) => found.map(|found| Object { bytes: damaged(&found.bytes, &trick), ..found }),
            None => found,
        };
        if let Some(found) = &found {
            if found.storage_class.as_deref() == Some("GLACIER") {
                return Err(error(Fault::Unreadable));
            }
            assert!(found.bytes.len() <= limit);
        }
        Ok(found)
    }

    async fn head(&self, key: &str) -> Result<Option<Head>, StoreError> {
        match self.next(Call::Head, key) {
            Some(Trick::Refuse(kind) | Trick::LoseReply(kind)) => return Err(error(kind)),
            Some(Trick::Gone) => return Ok(None),
            _ => {}
        }
        let objects = self.objects.lock().unwrap();
        Ok(objects.get(key).map(|o| Head {
            size: o.bytes.len() as u64,
            version_id: o.version_id.clone(),
            storage_class: o.storage_class.clone(),
            meta: o.meta.clone(),
        }))
    }

    async fn list(&self, what: &List<'_>) -> Result<Page, StoreError> {
        if let Some(Trick::Refuse(kind)) = self.next(Call::List, what.prefix) {
            return Err(error(kind));
        }
        let objects = self.objects.lock().unwrap();
        let mut page = Page::default();
        let after = what.token.or(what.after).unwrap_or_default();
        for (key, object) in objects.range(what.prefix.to_owned()..).take_while(|(k, _)| k.starts_with(what.prefix)) {
            let folder = key[what.prefix.len()..].find('/').map(|at| key[..=what.prefix.len() + at].to_owned());
            let (name, folder) = match folder {
                Some(folder) if what.folders => (folder, true),
                _ => (key.clone(), false),
            };
            if *name <= *after || page.folders.last() == Some(&name) {
                continue;
            }
            if page.folders.len() + page.objects.len() >= 100 {
                page.next = page.folders.last().cloned().max(page.objects.last().map(|o| o.key.clone()));
                break;
            }
            if folder {
                page.folders.push(name);
            } else {
                let storage_class = object.storage_class.clone();
                page.objects.push(Listed { key: name, size: object.bytes.len() as u64, storage_class });
            }
        }
        Ok(page)
    }

    async fn settle(&self, _: &str) -> Result<(), StoreError> {
        Ok(())
    }

    fn rely_on(&self, _: &str) {}

    async fn keeps_checksum(&self, _: &str) -> Result<bool, StoreError> {
        Ok(false)
    }

    async fn identity(&self) -> Result<String, StoreError> {
        Ok("memory".into())
    }
}
