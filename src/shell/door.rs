//! HTTP/1 for strangers: what a client can take of us, be it time, memory or connections, is limited.
//!
//! ```text
//!   accept --> room? --> head within 10 s and 16 KiB --> answer within 10 s --> next request ... until a minute is over
//!                no: the oldest connection that is not being answered makes room; where all are, the new one goes
//! ```
//!
//! So a crowd that opens connections and is slow, or silent, never stops whoever asks in one go.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinHandle, JoinSet};
use tower::Service as _;

/// What clients may take. The defaults are for production; tests have shorter times.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at a time.
    pub connections: usize,
    /// The head of a request with its line, in bytes; more is answered with 431.
    pub head: usize,
    /// From the end of the last answer to the end of the next head.
    pub head_within: Duration,
    /// What isn't answered by then gets 503.
    pub answer_within: Duration,
    /// Of a connection, however busy: whoever reads an answer slowly is also gone then.
    pub lifetime: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 64,
            head: 16 << 10,
            head_within: Duration::from_secs(10),
            answer_within: Duration::from_secs(10),
            lifetime: Duration::from_mins(1),
        }
    }
}

/// A server at work. Dropped, it closes, and nobody waits for that.
#[derive(Debug)]
pub struct Door {
    close: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Door {
    /// Starts to serve. Must be called within a tokio runtime.
    pub fn open(listener: TcpListener, router: Router, limits: Limits) -> Self {
        let (close, closing) = watch::channel(false);
        Self { close, task: tokio::spawn(serve(listener, router, limits, closing)) }
    }

    /// Takes no more connections and lets answers on their way arrive, for so long at most.
    pub async fn close(mut self, patience: Duration) {
        self.close.send_replace(true);
        if tokio::time::timeout(patience, &mut self.task).await.is_err() {
            self.task.abort();
        }
    }
}

async fn closed(closing: &mut watch::Receiver<bool>) {
    let _ = closing.wait_for(|closed| *closed).await;
}

/// One connection, as whoever accepts them sees it.
struct Guest {
    task: AbortHandle,
    /// A request of it is being answered.
    served: Arc<AtomicBool>,
}

async fn serve(listener: TcpListener, router: Router, limits: Limits, mut closing: watch::Receiver<bool>) {
    let mut tasks = JoinSet::new();
    let mut guests: VecDeque<Guest> = VecDeque::new();
    loop {
        let accepted = tokio::select! {
            () = closed(&mut closing) => break,
            Some(_) = tasks.join_next(), if !tasks.is_empty() => {
                guests.retain(|guest| !guest.task.is_finished());
                continue;
            }
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                if guests.len() >= limits.connections && !make_room(&mut guests) {
                    continue;
                }
                let served = Arc::new(AtomicBool::new(false));
                let conversation = converse(stream, router.clone(), limits, Arc::clone(&served), closing.clone());
                guests.push_back(Guest { task: tasks.spawn(conversation), served });
            }
            // Out of descriptors, mostly: some will be closed.
            Err(error) => {
                tracing::debug!(%error, "a connection can't be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    drop(listener);
    while tasks.join_next().await.is_some() {}
}

/// Closes the oldest connection that is not being answered; says whether there was one.
fn make_room(guests: &mut VecDeque<Guest>) -> bool {
    let idle = guests.iter().position(|guest| !guest.served.load(Ordering::Relaxed));
    let Some(guest) = idle.and_then(|at| guests.remove(at)) else { return false };
    guest.task.abort();
    true
}

/// Serves one connection to its end.
async fn converse(
    stream: TcpStream,
    router: Router,
    limits: Limits,
    served: Arc<AtomicBool>,
    mut closing: watch::Receiver<bool>,
) {
    let service = service_fn(|request| {
        let (router, served) = (router.clone(), Arc::clone(&served));
        async move {
            served.store(true, Ordering::Relaxed);
            let answer = answer(router, request, limits.answer_within).await;
            served.store(false, Ordering::Relaxed);
            Ok::<_, Infallible>(answer)
        }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(limits.head_within).max_header_size(limits.head);
    // The smallest that hyper takes, but for the head.
    http.max_buf_size(limits.head.max(8 << 10));
    let mut connection = pin!(http.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = closed(&mut closing) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
        () = tokio::time::sleep(limits.lifetime) => {
            connection.as_mut().graceful_shutdown();
            tokio::time::timeout(limits.answer_within, connection).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke off");
    }
}

async fn answer(mut router: Router, request: http::Request<Incoming>, within: Duration) -> Response {
    match tokio::time::timeout(within, router.call(request)).await {
        Ok(Ok(answer)) => answer,
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "no answer in time\n").into_response(),
    }
}
