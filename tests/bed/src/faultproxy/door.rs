//! Whether new connections are let in, and the loop that lets them in.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::connection::{self, Served};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Open,
    /// Nobody listens: a connect is refused by the kernel.
    Refused,
    /// Connections are taken and left alone.
    Swallowing,
}

pub(super) struct Door {
    address: SocketAddr,
    state: watch::Sender<State>,
    /// Bound by whoever opened the door: who connects right afterwards is not refused.
    reopened: Mutex<Option<std::net::TcpListener>>,
}

impl Door {
    pub fn at(address: SocketAddr) -> Self {
        Self { address, state: watch::Sender::default(), reopened: Mutex::default() }
    }

    pub fn open(&self) {
        if *self.state.borrow() == State::Refused {
            // It fails while the loop still has the old one, and then that is as good.
            let listener = std::net::TcpListener::bind(self.address).ok();
            *self.reopened.lock().unwrap_or_else(PoisonError::into_inner) = listener;
        }
        self.state.send_replace(State::Open);
    }

    pub fn refuse(&self) {
        self.state.send_replace(State::Refused);
    }

    pub fn swallow(&self) {
        self.state.send_replace(State::Swallowing);
    }

    fn listener(&self) -> Option<TcpListener> {
        let reopened = self.reopened.lock().unwrap_or_else(PoisonError::into_inner).take();
        let listener = reopened.or_else(|| std::net::TcpListener::bind(self.address).ok())?;
        listener.set_nonblocking(true).ok()?;
        TcpListener::from_std(listener).ok()
    }
}

/// Serves until aborted. Connections there are cut with every change but an opening.
pub(super) async fn listen(listener: TcpListener, served: Arc<Served>) {
    let mut state = served.door.state.subscribe();
    let mut listener = Some(listener);
    let mut connections = JoinSet::new();
    let mut before = State::Open;
    loop {
        let now = *state.borrow_and_update();
        if now != before && now != State::Open {
            connections.shutdown().await;
        }
        before = now;
        if now == State::Refused {
            listener = None;
            if state.changed().await.is_err() {
                return;
            }
            continue;
        }
        let Some(open) = &listener else {
            listener = served.door.listener();
            if listener.is_none() {
                // Somebody else sits on the port.
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            continue;
        };
        tokio::select! {
            changed = state.changed() => if changed.is_err() { return },
            // What has ended is let go of.
            Some(_) = connections.join_next() => {}
            accepted = open.accept() => match accepted {
                Ok((stream, _)) if now == State::Swallowing => {
                    connections.spawn(async move {
                        let _held = stream;
                        std::future::pending::<()>().await;
                    });
                }
                Ok((stream, _)) => {
                    let _ = stream.set_nodelay(true);
                    connections.spawn(connection::serve(stream, Arc::clone(&served)));
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            },
        }
    }
}
