//! Counts log lines by level: a layer beside the one that writes them, behind the same filter.

use std::sync::atomic::{AtomicU64, Ordering};

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

/// Logging is the process's own, so are its counts.
static COUNTS: [AtomicU64; 5] = [const { AtomicU64::new(0) }; 5];
const LEVELS: [(Level, &str); 5] = [
    (Level::ERROR, "error"),
    (Level::WARN, "warn"),
    (Level::INFO, "info"),
    (Level::DEBUG, "debug"),
    (Level::TRACE, "trace"),
];

/// The layer; to be added to the registry after the filter.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogCount;

impl<S: Subscriber> Layer<S> for LogCount {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        for ((level, _), count) in LEVELS.iter().zip(&COUNTS) {
            if event.metadata().level() == level {
                count.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// (level, lines written), of levels with any.
pub fn counts() -> impl Iterator<Item = (&'static str, u64)> {
    let each = LEVELS.iter().zip(&COUNTS).map(|((_, name), count)| (*name, count.load(Ordering::Relaxed)));
    each.filter(|(_, n)| *n > 0)
}
