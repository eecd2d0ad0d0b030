//! Structured logs on stderr, as text or JSON, counted by level.

use std::sync::atomic::{AtomicU64, Ordering};

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, fmt};

/// Lines written, by level: error, warn, info, debug, trace.
static WRITTEN: [AtomicU64; 5] = [const { AtomicU64::new(0) }; 5];
const LEVELS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];

struct Count;

impl<S: Subscriber> Layer<S> for Count {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let place = match *event.metadata().level() {
            Level::ERROR => 0,
            Level::WARN => 1,
            Level::INFO => 2,
            Level::DEBUG => 3,
            Level::TRACE => 4,
        };
        if let Some(n) = WRITTEN.get(place) {
            n.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// How many lines have been written, by level.
pub fn written() -> impl Iterator<Item = (&'static str, u64)> {
    LEVELS.into_iter().zip(WRITTEN.iter().map(|n| n.load(Ordering::Relaxed)))
}

/// Starts logging. A second call changes nothing.
pub fn start(level: &str, json: bool) {
    // kube logs the whole body of an answer that it can't read: objects of others don't belong into our log (I28).
    let filter = format!("{level},kube_client::client=off,kube_runtime=off,hyper=off,tower=off,h2=off,rustls=off");
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let registry = tracing_subscriber::registry().with(Count).with(filter);
    // Fails only when a subscriber has been set before: then that one stays.
    let _ = if json {
        registry.with(fmt::layer().json().flatten_event(true).with_writer(std::io::stderr)).try_init()
    } else {
        registry.with(fmt::layer().with_ansi(false).with_target(false).with_writer(std::io::stderr)).try_init()
    };
}
