//! The watch of all workflows: one connection, whole lines in bounded blocks, parsed by whoever reads them.
//!
//! ```text
//!   Begin{1} Block Block ... Synced{1}  Block Alive Block Down Alive Block  Down Begin{2} Block ... Synced{2}
//!   `------ the list: streamed or ---'  `---- events since, resumed  ----'  `-- listed again: what was not
//!           in pages, both alike            where they broke off                seen since Begin is gone
//! ```
//!
//! It never gives up, never holds two copies and never parses an object, except the last one before a broken
//! connection, for its resource version. Not kube's `watcher`: that has no fallback from streamed lists, builds a page
//! in memory twice, and logs whole bodies that it can't parse.

use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::Instant;

use super::stream::{Piece, Splitter};
use super::watch_backoff::{Backoff, jitter};
pub use super::watch_block::{Block, Event, Events, Poison};
pub use super::watch_fault::Fault;
use super::watch_page::PageSize;
use super::watch_position::Position;
use super::watch_request::{Connection, Reading, Scope};
use crate::api::percent::encode;
use crate::api::workflow::{Identity, WatchLine};

/// What the watch tells.
#[derive(Debug)]
pub enum Feed {
    /// A list begins: every workflow there is follows, then [`Feed::Synced`] with the same epoch.
    Begin { epoch: u64 },
    /// Some workflows.
    Block(Block),
    /// An object over the limit was left out. It exists: don't sweep it away.
    Skipped { identity: Option<Identity>, bytes: u64 },
    /// The list is complete; what has not been seen since `Begin` is gone.
    Synced { epoch: u64 },
    /// The API server was heard and nothing happened (blocks say so too).
    Alive,
    /// Not connected; the next try is after `retry_in`.
    Down { fault: Fault, retry_in: Duration },
}

/// How to watch. The defaults are for production; tests shorten the times.
#[derive(Clone, Debug)]
pub struct WatchConfig {
    /// One namespace, or all.
    pub namespace: Option<String>,
    /// Silence longer than this means a dead connection. Bookmarks come about each minute.
    pub idle: Duration,
    /// How long the server keeps one watch at most, in seconds; up to a tenth is taken off at random.
    pub timeout_seconds: u32,
    pub backoff: (Duration, Duration),
    /// Longer lines are skipped, in bytes. etcd takes objects up to 1.5 MB.
    pub longest_line: usize,
    /// Bytes in blocks not yet dropped by the reader; one larger block is let through alone.
    pub in_flight: usize,
    /// Aim for the size of a page, in bytes.
    pub page: usize,
    /// After a refusal to stream lists, lists come in pages for this long.
    pub paged_for: Duration,
}

impl Default for WatchConfig {
    fn default() -> Self {
        Self {
            namespace: None,
            idle: Duration::from_secs(100),
            timeout_seconds: 3_300,
            backoff: (Duration::from_millis(200), Duration::from_secs(30)),
            longest_line: 4 << 20,
            in_flight: 1 << 20,
            page: 4 << 20,
            paged_for: Duration::from_hours(1),
        }
    }
}

/// A connection that lasted this long ends the backing off.
const LASTED: Duration = Duration::from_secs(5);
/// Streamed lists that broke off in a row before pages are tried.
const BROKEN_LISTS: u32 = 3;

/// Starts watching; ends when the receiver is dropped. Must be called within a tokio runtime.
pub fn watch(client: Client, config: WatchConfig) -> mpsc::Receiver<Feed> {
    let (out, feed) = mpsc::channel(64);
    let machine = Machine {
        connection: Connection { client, scope: Scope::of(config.namespace.as_deref()), idle: config.idle },
        room: Arc::new(Semaphore::new(config.in_flight)),
        backoff: Backoff::new(config.backoff.0, config.backoff.1),
        page: PageSize::new(config.page),
        position: Position::default(),
        epoch: 0,
        synced: false,
        broken_lists: 0,
        paged_until: None,
        config,
        out,
    };
    tokio::spawn(async move {
        let out = machine.out.clone();
        tokio::select! {
            () = machine.run() => {}
            () = out.closed() => {}
        }
    });
    feed
}

struct Machine {
    config: WatchConfig,
    connection: Connection,
    out: mpsc::Sender<Feed>,
    room: Arc<Semaphore>,
    backoff: Backoff,
    page: PageSize,
    position: Position,
    epoch: u64,
    /// The list of this epoch is complete, so that a watch can resume.
    synced: bool,
    broken_lists: u32,
    paged_until: Option<Instant>,
}

impl Machine {
    async fn run(mut self) {
        loop {
            let begun = Instant::now();
            let ended = if self.synced {
                self.follow().await
            } else if self.paged_until.is_some_and(|until| begun < until) {
                self.list_pages().await
            } else {
                self.stream_list().await
            };
            if begun.elapsed() >= LASTED {
                self.backoff.reset();
            }
            if let Err(fault) = self.recover(ended, begun).await {
                let retry_in = self.backoff.next(fault.asks());
                self.tell(Feed::Down { fault, retry_in }).await;
                tokio::time::sleep(retry_in).await;
            }
        }
    }

    /// Decides how to go on after a connection ended: `Ok` means at once.
    async fn recover(&mut self, ended: Result<(), Fault>, begun: Instant) -> Result<(), Fault> {
        match ended {
            // The server ends watches now and then; one that does so at once is not to be asked in a tight loop.
            Ok(()) if begun.elapsed() < Duration::from_secs(1) && self.position.is_stale() => {
                tokio::time::sleep(self.backoff.next(Duration::ZERO)).await;
                Ok(())
            }
            Ok(()) => Ok(()),
            Err(Fault::NoStreaming(why)) => {
                tracing::info!(%why, "the API server doesn't stream lists, listing in pages");
                self.paged_until = Some(Instant::now() + self.config.paged_for);
                Ok(())
            }
            Err(fault) => {
                if matches!(fault, Fault::Expired(_) | Fault::Absent) {
                    self.synced = false;
                }
                Err(fault)
            }
        }
    }

    /// Lists by watching: the server sends what there is, then a bookmark that says so, then events.
    async fn stream_list(&mut self) -> Result<(), Fault> {
        let query = format!(
            "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&timeoutSeconds={}",
            self.timeout_seconds()
        );
        let reading = self.connection.open(&query, true).await?;
        self.begin().await;
        let ended = self.read(reading).await;
        if self.synced || matches!(ended, Err(Fault::NoStreaming(_))) {
            self.broken_lists = 0;
            return ended;
        }
        self.broken_lists += 1;
        if self.broken_lists >= BROKEN_LISTS {
            self.broken_lists = 0;
            self.paged_until = Some(Instant::now() + self.config.paged_for / 6);
        }
        ended.and_then(|()| Err(Fault::Broken("the streamed list broke off".into())))
    }

    /// Lists page by page.
    async fn list_pages(&mut self) -> Result<(), Fault> {
        let mut next = String::new();
        let mut version = None;
        loop {
            // Room first: a page is fetched only when the one before has been read.
            let room = self.room.clone().acquire_many_owned(self.permits(self.config.page)).await;
            let query = format!("limit={}{next}", self.page.items());
            let Some((bytes, page)) = self.connection.page(&query, self.page.limit()).await? else {
                self.page.too_large();
                continue;
            };
            if version.is_none() {
                self.begin().await;
            }
            self.page.learn(page.items.len(), bytes.len());
            next = if page.next.is_empty() { String::new() } else { format!("&continue={}", encode(&page.next)) };
            let version = &*version.get_or_insert(page.resource_version);
            let mut block = Block::of_items(bytes, page.items);
            if let Ok(room) = room {
                block = block.holding(room);
            }
            self.tell(Feed::Block(block)).await;
            if next.is_empty() {
                self.position.at(version);
                self.sync().await;
                return Ok(());
            }
        }
    }

    /// Watches from where the last connection broke off.
    async fn follow(&mut self) -> Result<(), Fault> {
        let query = format!(
            "watch=1&allowWatchBookmarks=true&resourceVersion={}&timeoutSeconds={}",
            encode(self.position.version()),
            self.timeout_seconds()
        );
        let reading = self.connection.open(&query, false).await?;
        self.tell(Feed::Alive).await;
        self.read(reading).await
    }

    /// Passes a watch on until it ends; `Ok` when the server ended it in good order.
    async fn read(&mut self, mut reading: Reading) -> Result<(), Fault> {
        let mut splitter = Splitter::new(self.config.longest_line);
        while reading.more(&mut splitter).await? {
            while let Some(piece) = splitter.next_piece() {
                match piece {
                    Piece::Events(lines) => self.events(lines).await,
                    Piece::Other(line) => self.other(line).await?,
                    Piece::Skipped { identity, bytes } => {
                        self.position.skipped(identity.as_ref());
                        self.tell(Feed::Skipped { identity, bytes }).await;
                    }
                }
            }
        }
        if splitter.inside_line() { Err(Fault::Broken("cut in the middle of a line".into())) } else { Ok(()) }
    }

    async fn events(&mut self, lines: Vec<u8>) {
        self.position.after(&lines);
        let room = self.room.clone().acquire_many_owned(self.permits(lines.len())).await;
        let mut block = Block::of_lines(lines);
        if let Ok(room) = room {
            block = block.holding(room);
        }
        self.tell(Feed::Block(block)).await;
    }

    /// A line that doesn't begin as an event does: mostly a bookmark.
    async fn other(&mut self, line: Vec<u8>) -> Result<(), Fault> {
        let text = String::from_utf8_lossy(&line);
        match WatchLine::from_json(&text) {
            Ok(WatchLine::Bookmark { resource_version, initial_events_end }) => {
                self.position.at(&resource_version);
                if self.synced {
                    self.tell(Feed::Alive).await;
                } else if initial_events_end {
                    self.sync().await;
                } else {
                    // Servers that stream lists send no other bookmark before the end of the list.
                    return Err(Fault::NoStreaming("sendInitialEvents was ignored".into()));
                }
            }
            Ok(WatchLine::Error(status)) => return Err(Fault::of_event(&status)),
            Ok(WatchLine::Unknown(kind)) => {
                tracing::warn!(kind = %kind.escape_debug(), "a watch event of an unknown type was left out");
            }
            // An object after all, or poison: both are the reader's.
            Ok(WatchLine::Object(..)) | Err(_) => {
                drop(text);
                self.events(line).await;
            }
        }
        Ok(())
    }

    async fn begin(&mut self) {
        self.epoch += 1;
        self.synced = false;
        self.tell(Feed::Begin { epoch: self.epoch }).await;
    }

    async fn sync(&mut self) {
        self.synced = true;
        self.tell(Feed::Synced { epoch: self.epoch }).await;
    }

    /// A closed channel needs no care here: the whole task ends with it.
    async fn tell(&self, feed: Feed) {
        let _ = self.out.send(feed).await;
    }

    fn permits(&self, bytes: usize) -> u32 {
        u32::try_from(bytes.min(self.config.in_flight)).unwrap_or(u32::MAX)
    }

    fn timeout_seconds(&self) -> u32 {
        let most = Duration::from_secs(self.config.timeout_seconds.into());
        u32::try_from(most.mul_f64(1.0 - jitter() / 10.0).as_secs()).unwrap_or(self.config.timeout_seconds)
    }
}
