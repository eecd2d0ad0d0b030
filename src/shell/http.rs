//! `/metrics`, `/healthz` and `/readyz`. The answers come from the loop: one that hangs is not healthy.

use std::net::SocketAddr;

use anyhow::Context as _;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};

/// What is asked of the loop.
#[derive(Debug)]
pub enum Ask {
    /// The text of `/metrics`.
    Metrics(oneshot::Sender<Bytes>),
    /// Why this replica isn't ready; empty = it is.
    Ready(oneshot::Sender<Vec<String>>),
    /// Whether the loop still turns.
    Alive(oneshot::Sender<()>),
}

/// Opens the port.
///
/// # Errors
/// The address is in use or not ours.
pub async fn bind(listen: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(listen)
        .await
        .with_context(|| format!("can't listen on {listen}: choose another address with --listen"))
}

/// What is served; each answer is the loop's.
pub fn pages(asks: mpsc::Sender<Ask>) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(healthy))
        .route("/readyz", get(ready))
        .fallback(|| async { (StatusCode::NOT_FOUND, "unstick serves /metrics, /healthz and /readyz\n") })
        .with_state(asks)
}

/// `None` once the loop takes no more questions; how long to wait for an answer is the door's to say.
async fn ask<T>(asks: &mpsc::Sender<Ask>, make: impl FnOnce(oneshot::Sender<T>) -> Ask) -> Option<T> {
    let (tell, told) = oneshot::channel();
    asks.send(make(tell)).await.ok()?;
    told.await.ok()
}

const STOPPING: (StatusCode, &str) = (StatusCode::SERVICE_UNAVAILABLE, "unstick is stopping\n");

async fn metrics(State(asks): State<mpsc::Sender<Ask>>) -> impl IntoResponse {
    match ask(&asks, Ask::Metrics).await {
        Some(text) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response(),
        None => STOPPING.into_response(),
    }
}

async fn healthy(State(asks): State<mpsc::Sender<Ask>>) -> impl IntoResponse {
    match ask(&asks, Ask::Alive).await {
        Some(()) => (StatusCode::OK, "ok\n").into_response(),
        None => STOPPING.into_response(),
    }
}

async fn ready(State(asks): State<mpsc::Sender<Ask>>) -> impl IntoResponse {
    match ask(&asks, Ask::Ready).await {
        Some(reasons) if reasons.is_empty() => (StatusCode::OK, "ok\n".to_owned()).into_response(),
        Some(reasons) => (StatusCode::SERVICE_UNAVAILABLE, reasons.join("\n") + "\n").into_response(),
        None => STOPPING.into_response(),
    }
}
