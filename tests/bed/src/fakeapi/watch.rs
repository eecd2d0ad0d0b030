//! Watches: from a resourceVersion, or with the current objects first.

use std::sync::Arc;
use std::time::Duration;

use hyper::body::Bytes;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};

use super::body::{Answer, FRAME};
use super::entry::Entry;
use super::failure::Failure;
use super::kinds::{KINDS, Kind};
use super::list;
use super::query::{Params, Target};
use super::selector::Selector;
use super::server::Shared;
use super::store::{Change, Event};

/// The real server picks between 30 and 60 minutes.
const DEFAULT_TIMEOUT: Duration = Duration::from_mins(30);
/// Events taken from the log at a time.
const BATCH: usize = 256;

/// The client has gone.
struct Gone;

struct Stream {
    shared: Arc<Shared>,
    kind: usize,
    selector: Selector,
    frames: mpsc::Sender<Bytes>,
    buffer: Vec<u8>,
}

pub fn open(shared: &Arc<Shared>, target: &Target, params: Params) -> Result<Answer, Failure> {
    if let Some(wanted) = params.send_initial_events {
        if shared.options().refuse_streaming_lists {
            return Err(Failure::invalid(
                "ListOptions.meta.k8s.io \"\" is invalid: sendInitialEvents: Forbidden: sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled",
            ));
        }
        if params.version_match != "NotOlderThan" {
            return Err(Failure::invalid(format!(
                "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan (sendInitialEvents={wanted})"
            )));
        }
    } else if !params.version_match.is_empty() {
        return Err(Failure::invalid(
            "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
        ));
    }
    params.version().map_err(|_| Failure::no_version(&params.resource_version))?;
    let (frames, answer) = mpsc::channel(4);
    let stream = Stream {
        shared: Arc::clone(shared),
        kind: target.kind,
        selector: params.selector.clone(),
        frames,
        buffer: Vec::new(),
    };
    tokio::spawn(async move {
        let _ = stream.run(&params).await;
    });
    Ok(Answer::Stream(answer))
}

impl Stream {
    async fn run(mut self, params: &Params) -> Result<(), Gone> {
        let mut changed = self.shared.subscribe(self.kind);
        let deadline = Instant::now() + params.timeout.unwrap_or(DEFAULT_TIMEOUT);
        let version = params.version().unwrap_or(0);
        let mut cursor = version;
        if params.send_initial_events.unwrap_or(version == 0) {
            let now = list::take(&self.shared, self.kind, &self.selector);
            cursor = now.version;
            for entry in &now.entries {
                self.line(Change::Added.as_str(), entry);
                self.flush(FRAME).await?;
            }
            if params.send_initial_events == Some(true) && params.bookmarks {
                self.bookmark(cursor, true);
            }
        } else if version == 0 {
            cursor = self.shared.store().version();
        }
        self.flush(0).await?;
        let every = Duration::from_secs(self.shared.options().bookmark_seconds.max(1));
        let mut next_bookmark = Instant::now() + every;
        loop {
            cursor = self.catch_up(cursor).await?;
            tokio::select! {
                biased;
                () = self.frames.closed() => return Ok(()),
                () = sleep_until(deadline) => return Ok(()),
                _ = changed.changed() => {}
                () = sleep_until(next_bookmark), if params.bookmarks => {
                    self.bookmark(cursor, false);
                    self.flush(0).await?;
                    next_bookmark = Instant::now() + every;
                }
            }
        }
    }

    /// Sends what has happened since `cursor`; returns how far it got.
    async fn catch_up(&mut self, mut cursor: u64) -> Result<u64, Gone> {
        loop {
            let (events, now) = {
                let store = self.shared.store();
                (store.of(self.kind).after(cursor, BATCH), store.version())
            };
            let events = match events {
                Ok(events) => events,
                Err(failure) => {
                    let line = json!({"type": "ERROR", "object": failure.status()}).to_string() + "\n";
                    self.buffer.extend_from_slice(line.as_bytes());
                    self.flush(0).await?;
                    return Err(Gone);
                }
            };
            for event in &events {
                self.event(event);
                self.flush(FRAME).await?;
            }
            self.flush(0).await?;
            if events.len() < BATCH {
                return Ok(now.max(cursor));
            }
            cursor = events.last().map_or(cursor, |e| e.version);
        }
    }

    fn event(&mut self, event: &Event) {
        let is = self.selector.matches(&event.entry);
        let was = match (&event.before, self.selector.narrow()) {
            (Some(before), true) => self.selector.matches(before),
            (before, _) => before.is_some() && is,
        };
        match (event.change, was, is) {
            (Change::Deleted, _, true) => self.line("DELETED", &event.entry),
            (Change::Added, _, true) | (Change::Modified, false, true) => self.line("ADDED", &event.entry),
            (Change::Modified, true, true) => self.line("MODIFIED", &event.entry),
            // Left the selection: the old object with the new resourceVersion.
            (Change::Modified, true, false) => {
                if let Some(before) = &event.before {
                    let mut value = before.value();
                    value["metadata"]["resourceVersion"] = json!(event.version.to_string());
                    let old = Entry::text(before.key.clone(), event.version, &value);
                    self.line("DELETED", &old);
                }
            }
            _ => {}
        }
    }

    fn line(&mut self, what: &str, entry: &Entry) {
        self.buffer.extend_from_slice(b"{\"type\":\"");
        self.buffer.extend_from_slice(what.as_bytes());
        self.buffer.extend_from_slice(b"\",\"object\":");
        entry.write(&mut self.buffer);
        self.buffer.extend_from_slice(b"}\n");
    }

    fn bookmark(&mut self, version: u64, initial_events_end: bool) {
        let kind: &Kind = &KINDS[self.kind];
        let mut meta = json!({"resourceVersion": version.to_string()});
        if initial_events_end {
            meta["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        let object = json!({"apiVersion": kind.api_version(), "kind": kind.kind, "metadata": meta});
        let line = format!("{{\"type\":\"BOOKMARK\",\"object\":{object}}}\n");
        self.buffer.extend_from_slice(line.as_bytes());
    }

    /// Sends the buffer once it is longer than `least`.
    async fn flush(&mut self, least: usize) -> Result<(), Gone> {
        if self.buffer.len() <= least {
            return Ok(());
        }
        while self.shared.options().silent {
            tokio::select! {
                () = self.frames.closed() => return Err(Gone),
                () = sleep(Duration::from_millis(20)) => {}
            }
        }
        let frame = std::mem::replace(&mut self.buffer, Vec::with_capacity(2 * FRAME));
        self.frames.send(frame.into()).await.map_err(|_| Gone)
    }
}
