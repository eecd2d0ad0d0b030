//! Create, update, patch and delete, with the bookkeeping the API server does on metadata.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::entry::{Entry, Key};
use super::failure::Failure;
use super::kinds::{KINDS, Kind};
use super::query::Target;
use super::server::Shared;
use super::store::Store;
use crate::corpus::mix;

/// What the server alone decides.
const SYSTEM: [&str; 7] =
    ["name", "namespace", "uid", "creationTimestamp", "generation", "deletionTimestamp", "deletionGracePeriodSeconds"];

/// How an object is read for a change, and stored after it.
type Form = (fn(&Entry) -> Value, fn(Key, u64, &Value) -> Arc<Entry>);

impl Shared {
    pub(super) fn create(&self, target: &Target, mut object: Value) -> Result<Arc<Entry>, Failure> {
        let kind = &KINDS[target.kind];
        let space = target.namespace.clone().unwrap_or_default();
        let meta = metadata(&mut object)?;
        if kind.namespaced && space.is_empty() {
            return Err(Failure::bad_request("an empty namespace may not be set during creation"));
        }
        if meta.get("namespace").and_then(Value::as_str).is_some_and(|n| n != space) {
            return Err(Failure::bad_request(
                "the namespace of the provided object does not match the namespace sent on the request",
            ));
        }
        self.change(target.kind, |store, history| {
            let version = store.advance();
            let random = format!("{:016x}", mix(version));
            let meta = metadata(&mut object)?;
            let name = match (text(meta, "name"), text(meta, "generateName")) {
                (Some(name), _) => name,
                (None, Some(prefix)) => format!("{prefix}{}", &random[..5]),
                _ => {
                    return Err(Failure::invalid(format!(
                        "{} \"\" is invalid: metadata.name: Required value: name or generateName is required",
                        kind.kind
                    )));
                }
            };
            let key: Key = (space.clone(), name.clone());
            if store.get(target.kind, &key).is_some() {
                return Err(Failure::exists(kind, &name));
            }
            meta["name"] = json!(name);
            if kind.namespaced {
                meta["namespace"] = json!(space);
            }
            meta["uid"] = json!(format!(
                "{}-{}-4{}-8{}-{version:012x}",
                &random[..8],
                &random[8..12],
                &random[12..15],
                &random[1..4]
            ));
            meta["creationTimestamp"] = json!(now());
            meta["generation"] = json!(1);
            meta["resourceVersion"] = json!(version.to_string());
            for gone in ["deletionTimestamp", "deletionGracePeriodSeconds"] {
                remove(meta, gone);
            }
            object["apiVersion"] = json!(kind.api_version());
            object["kind"] = json!(kind.kind);
            if kind.status && kind.custom() {
                remove(&mut object, "status");
            }
            let entry = Entry::text(key, version, &object);
            store.put(target.kind, Arc::clone(&entry), history);
            Ok(entry)
        })
    }

    /// Applies a patch that names nothing but metadata, of a kind without a status of its own.
    pub(super) fn update_metadata(
        &self,
        target: &Target,
        make: impl FnOnce(Value) -> Result<Value, Failure>,
    ) -> Result<Arc<Entry>, Failure> {
        self.update_as(target, false, (Entry::outline, Entry::outlined), make)
    }

    /// Replaces the object, or applies `make` to what is there.
    pub(super) fn update(
        &self,
        target: &Target,
        put: bool,
        make: impl FnOnce(Value) -> Result<Value, Failure>,
    ) -> Result<Arc<Entry>, Failure> {
        self.update_as(target, put, (Entry::value, Entry::text), make)
    }

    fn update_as(
        &self,
        target: &Target,
        put: bool,
        (read, write): Form,
        make: impl FnOnce(Value) -> Result<Value, Failure>,
    ) -> Result<Arc<Entry>, Failure> {
        let kind = &KINDS[target.kind];
        let key = key(target);
        self.change(target.kind, |store, history| {
            let current = Arc::clone(store.get(target.kind, &key).ok_or_else(|| Failure::not_found(kind, &key.1))?);
            let old = read(&current);
            let mut new = make(old.clone())?;
            check_identity(kind, &key, &old, &mut new, put)?;
            settle(kind, &target.sub, &old, &mut new)?;
            if new == old {
                return Ok(current);
            }
            let version = store.advance();
            metadata(&mut new)?["resourceVersion"] = json!(version.to_string());
            let entry = write(key.clone(), version, &new);
            let meta = metadata(&mut new)?;
            if meta.get("deletionTimestamp").is_some() && !has_finalizers(meta) {
                store.remove(target.kind, Arc::clone(&entry), history);
            } else {
                store.put(target.kind, Arc::clone(&entry), history);
            }
            Ok(entry)
        })
    }

    /// Deletes, or marks as deleted while finalizers hold it; `options` is a `DeleteOptions` object.
    pub(super) fn delete(&self, target: &Target, options: &Value) -> Result<Option<Arc<Entry>>, Failure> {
        let kind = &KINDS[target.kind];
        let key = key(target);
        self.change(target.kind, |store, history| {
            let current = Arc::clone(store.get(target.kind, &key).ok_or_else(|| Failure::not_found(kind, &key.1))?);
            let mut object = current.value();
            let meta = metadata(&mut object)?;
            for (field, label) in [("uid", "UID"), ("resourceVersion", "ResourceVersion")] {
                let wanted = options.pointer(&format!("/preconditions/{field}"));
                if let Some(wanted) = wanted.filter(|w| !w.is_null() && meta.get(field) != Some(w)) {
                    let has = meta.get(field).and_then(Value::as_str).unwrap_or_default();
                    let why = format!("the {label} in the precondition ({}) does not match the {label} in record ({has}). The object might have been deleted and then recreated", wanted.as_str().unwrap_or_default());
                    return Err(Failure::conflict(kind, &key.1, &why));
                }
            }
            let held = has_finalizers(meta);
            if held && meta.get("deletionTimestamp").is_some() {
                return Ok(Some(current));
            }
            let version = store.advance();
            meta["resourceVersion"] = json!(version.to_string());
            if held {
                meta["deletionTimestamp"] = json!(now());
                meta["deletionGracePeriodSeconds"] = json!(0);
                let generation = meta.get("generation").and_then(Value::as_i64).unwrap_or(1);
                meta["generation"] = json!(generation + 1);
            }
            let entry = Entry::text(key.clone(), version, &object);
            if held {
                store.put(target.kind, Arc::clone(&entry), history);
            } else {
                store.remove(target.kind, Arc::clone(&entry), history);
            }
            Ok(held.then_some(entry))
        })
    }

    /// Runs `act` on the store and wakes the watches of that kind.
    pub(super) fn change<T>(
        &self,
        kind: usize,
        act: impl FnOnce(&mut Store, usize) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let history = self.options().history;
        let mut store = self.store();
        let result = act(&mut store, history);
        let version = store.version();
        drop(store);
        self.wake(kind, version);
        result
    }
}

pub fn key(target: &Target) -> Key {
    (target.namespace.clone().unwrap_or_default(), target.name.clone().unwrap_or_default())
}

fn check_identity(kind: &Kind, key: &Key, old: &Value, new: &mut Value, put: bool) -> Result<(), Failure> {
    let old_meta = &old["metadata"];
    let meta = metadata(new)?;
    if text(meta, "name").is_some_and(|n| n != key.1) {
        return Err(Failure::bad_request("the name of the object does not match the name on the URL"));
    }
    if text(meta, "uid").is_some_and(|u| old_meta["uid"] != u) {
        if put {
            return Err(Failure::conflict(kind, &key.1, "Precondition failed: UID in precondition does not match"));
        }
        return Err(Failure::invalid(format!(
            "{} \"{}\" is invalid: metadata.uid: Invalid value: field is immutable",
            kind.kind, key.1
        )));
    }
    match text(meta, "resourceVersion").filter(|v| !v.is_empty()) {
        Some(version) if old_meta["resourceVersion"] != version => {
            let why = "the object has been modified; please apply your changes to the latest version and try again";
            Err(Failure::conflict(kind, &key.1, why))
        }
        None if put => Err(Failure::invalid(format!(
            "{} \"{}\" is invalid: metadata.resourceVersion: Invalid value: 0: must be specified for an update",
            kind.resource(),
            key.1
        ))),
        _ => Ok(()),
    }
}

/// Brings system fields, the other half of a status subresource and `generation` in order.
fn settle(kind: &Kind, sub: &str, old: &Value, new: &mut Value) -> Result<(), Failure> {
    if sub == "status" {
        let status = new.get("status").cloned();
        new.clone_from(old);
        match status {
            Some(status) => new["status"] = status,
            None => remove(new, "status"),
        }
    } else if kind.status {
        match old.get("status") {
            Some(status) => new["status"] = status.clone(),
            None => remove(new, "status"),
        }
    }
    new["apiVersion"] = old["apiVersion"].clone();
    new["kind"] = old["kind"].clone();
    let meta = metadata(new)?;
    for field in SYSTEM {
        match old["metadata"].get(field) {
            Some(value) => meta[field] = value.clone(),
            None => remove(meta, field),
        }
    }
    meta["resourceVersion"] = old["metadata"]["resourceVersion"].clone();
    if !same_content(kind, old, new) {
        let generation = old["metadata"]["generation"].as_i64().unwrap_or(1);
        metadata(new)?["generation"] = json!(generation + 1);
    }
    Ok(())
}

/// Whether nothing has changed of what `generation` counts the changes of.
fn same_content(kind: &Kind, old: &Value, new: &Value) -> bool {
    let counts = |name: &str| name != "metadata" && !(kind.status && name == "status");
    let content = |object| Value::as_object(object).into_iter().flatten().filter(move |(name, _)| counts(name));
    content(old).eq(content(new))
}

fn metadata(object: &mut Value) -> Result<&mut Value, Failure> {
    let bad = || Failure::bad_request("the object provided is unrecognized (must be of type object with metadata)");
    let object = object.as_object_mut().ok_or_else(bad)?;
    let meta = object.entry("metadata").or_insert_with(|| json!({}));
    if meta.is_object() { Ok(meta) } else { Err(bad()) }
}

fn has_finalizers(meta: &Value) -> bool {
    meta.get("finalizers").and_then(Value::as_array).is_some_and(|f| !f.is_empty())
}

fn text(value: &Value, key: &str) -> Option<String> {
    value.get(key).and_then(Value::as_str).map(str::to_owned)
}

fn remove(value: &mut Value, key: &str) {
    if let Some(fields) = value.as_object_mut() {
        fields.remove(key);
    }
}

fn now() -> String {
    Timestamp::from_second(Timestamp::now().as_second()).unwrap_or_default().to_string()
}
