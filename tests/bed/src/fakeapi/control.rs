//! `/-/...`: steering from another process. Nothing here is counted or has anything to do with Kubernetes.

use std::sync::Arc;

use http::{Response, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::Options;
use super::body::Answer;
use super::load::Load;
use super::route::json_answer;
use super::server::Shared;
use crate::corpus::Corpus;

/// A GET (empty body) reads, a POST sets.
pub fn answer(shared: &Arc<Shared>, command: &str, body: &[u8]) -> Response<Answer> {
    match run(shared, command, body) {
        Ok(value) => json_answer(StatusCode::OK, &value),
        Err(e) => json_answer(StatusCode::BAD_REQUEST, &json!({"error": e.to_string()})),
    }
}

fn run(shared: &Arc<Shared>, command: &str, body: &[u8]) -> anyhow::Result<Value> {
    fn read<T: DeserializeOwned>(body: &[u8]) -> anyhow::Result<T> {
        Ok(serde_json::from_slice(body)?)
    }
    match command {
        "corpus" if !body.is_empty() => shared.load(read::<Corpus>(body)?),
        "objects" => {
            for object in read::<Vec<Value>>(body)? {
                shared.put(&object)?;
            }
        }
        "options" if body.is_empty() => return Ok(serde_json::to_value(shared.options())?),
        "options" => shared.set(read::<Options>(body)?),
        "requests" => return Ok(serde_json::to_value(&*shared.audit())?),
        "requests/reset" => *shared.audit() = super::Requests::default(),
        "drop" => shared.drop_connections(),
        "load" if body.is_empty() => return Ok(serde_json::to_value(shared.progress())?),
        "load" => shared.start_load(read::<Load>(body)?),
        "counts" => {
            let store = shared.store();
            let counts =
                super::kinds::KINDS.iter().enumerate().map(|(n, k)| (k.resource(), json!(store.of(n).objects.len())));
            return Ok(Value::Object(counts.collect()));
        }
        _ => anyhow::bail!("no such command: {command}"),
    }
    Ok(json!({}))
}
