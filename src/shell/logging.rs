//! Structured logs on stderr, as text or JSON, counted by level.

use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, fmt};

use crate::metrics::LogCount;

/// Starts logging. A second call changes nothing.
pub fn start(level: &str, json: bool) {
    // kube logs the whole body of an answer that it can't read: objects of others don't belong into our log (I28).
    let filter = format!("{level},kube_client::client=off,kube_runtime=off,hyper=off,tower=off,h2=off,rustls=off");
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let registry = tracing_subscriber::registry().with(filter).with(LogCount);
    // Fails only when a subscriber has been set before: then that one stays.
    let _ = if json {
        registry.with(fmt::layer().json().flatten_event(true).with_writer(std::io::stderr)).try_init()
    } else {
        registry.with(fmt::layer().with_ansi(false).with_target(false).with_writer(std::io::stderr)).try_init()
    };
}
