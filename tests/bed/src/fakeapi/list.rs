//! Lists, whole or in pages of one snapshot.

use std::sync::Arc;

use hyper::body::Bytes;
use serde_json::json;
use tokio::sync::mpsc;

use super::body::{Answer, FRAME};
use super::entry::{Entry, Key};
use super::failure::Failure;
use super::kinds::KINDS;
use super::query::{Params, Target};
use super::selector::Selector;
use super::server::Shared;
use super::store::Snapshot;

/// Where a list goes on.
enum Resume {
    /// In a snapshot that is held, after that key.
    In(u64, Key),
    /// In whatever is there now, after that key.
    After(Key),
}

pub fn open(shared: &Arc<Shared>, target: &Target, params: &Params) -> Result<Answer, Failure> {
    params.version()?;
    let (number, snapshot, start) = if params.resume.is_empty() {
        (None, take(shared, target.kind, &params.selector), 0)
    } else {
        match read_token(&params.resume)? {
            Resume::In(number, key) => {
                let held = shared.store().snapshot(target.kind, number);
                let snapshot = held.ok_or_else(|| Failure::expired(token(None, &key)))?;
                let start = snapshot.entries.partition_point(|e| e.key <= key);
                (Some(number), snapshot, start)
            }
            Resume::After(key) => {
                let snapshot = take(shared, target.kind, &params.selector);
                let start = snapshot.entries.partition_point(|e| e.key <= key);
                (None, snapshot, start)
            }
        }
    };
    // "Any version" is served whole from the cache, as on the real server.
    let limit = if params.limit == 0 || params.resource_version == "0" { usize::MAX } else { params.limit };
    let end = start.saturating_add(limit).min(snapshot.entries.len());
    let mut meta = json!({"continue": "", "resourceVersion": snapshot.version.to_string()});
    if end < snapshot.entries.len() {
        let number = number.unwrap_or_else(|| shared.store().keep(target.kind, Arc::clone(&snapshot)));
        meta["continue"] = json!(token(Some(number), &snapshot.entries[end - 1].key));
        if !params.selector.narrow() {
            meta["remainingItemCount"] = json!(snapshot.entries.len() - end);
        }
    }
    let kind = &KINDS[target.kind];
    let head = format!(r#"{{"apiVersion":"{}","items":["#, kind.api_version());
    let tail = format!(r#"],"kind":"{}List","metadata":{meta}}}"#, kind.kind);
    let (frames, answer) = mpsc::channel(4);
    tokio::spawn(async move {
        let _ = send(&snapshot.entries[start..end], head, &tail, &frames).await;
    });
    Ok(Answer::Stream(answer))
}

async fn send(
    entries: &[Arc<Entry>],
    head: String,
    tail: &str,
    frames: &mpsc::Sender<Bytes>,
) -> Result<(), mpsc::error::SendError<Bytes>> {
    let mut buffer = head.into_bytes();
    for (n, entry) in entries.iter().enumerate() {
        if n > 0 {
            buffer.push(b',');
        }
        entry.write(&mut buffer);
        if buffer.len() >= FRAME {
            frames.send(std::mem::replace(&mut buffer, Vec::with_capacity(2 * FRAME)).into()).await?;
        }
    }
    buffer.extend_from_slice(tail.as_bytes());
    frames.send(buffer.into()).await
}

/// The objects of a kind that the selector picks, as they are now.
pub fn take(shared: &Shared, kind: usize, selector: &Selector) -> Arc<Snapshot> {
    let store = shared.store();
    let picked = store.of(kind).objects.values().filter(|e| selector.matches(e)).map(Arc::clone).collect();
    Arc::new(Snapshot { version: store.version(), entries: picked })
}

/// `<snapshot or ->.<hex of namespace/name>`
fn token(snapshot: Option<u64>, key: &Key) -> String {
    use std::fmt::Write as _;
    let mut out = snapshot.map_or_else(|| "-".to_owned(), |n| n.to_string());
    out.push('.');
    for b in format!("{}/{}", key.0, key.1).bytes() {
        let _ = write!(out, "{b:02x}");
    }
    out
}

fn read_token(token: &str) -> Result<Resume, Failure> {
    let read = || {
        let (snapshot, hex) = token.split_once('.')?;
        let bytes = (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(hex.get(i..i + 2)?, 16).ok());
        let text = String::from_utf8(bytes.collect::<Option<Vec<u8>>>()?).ok()?;
        let (namespace, name) = text.split_once('/')?;
        let key = (namespace.to_owned(), name.to_owned());
        if snapshot == "-" { Some(Resume::After(key)) } else { Some(Resume::In(snapshot.parse().ok()?, key)) }
    };
    read().ok_or_else(|| Failure::bad_request("continue key is not valid"))
}
