//! A TCP connection that lets bytes gather: most of what a single event costs is waking up for it.
//!
//! ```text
//!   quiet: epoll waits for us --- bytes --> given at once --- no more yet --> epoll forgets the socket, bytes gather
//!        ^                                        ^                                    in the kernel for a while
//!        |                                        `------------- some have come --------------'   |
//!        `--------------------------------------------------- none has come ----------------------'
//! ```
//!
//! So a lone event is given at once, and of many in quick succession one may be late by the time of gathering. tokio's
//! own stream stays in epoll, where each packet wakes the thread, whether anybody waits for it or not.

use std::io::{self, IoSlice, Read as _, Write as _};
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use http::Uri;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};
use tower::{BoxError, Service};

/// Read from the kernel at once: TLS asks for 4 KB at a time.
const CHUNK: usize = 64 << 10;
/// Who gets so much between two waits is slower than the sender and waits for nothing but the next byte. The kernel holds
/// at least twice as much, and more for a sender that is fast for long.
const PLENTY: usize = 32 << 10;

/// A connection as the HTTP client uses it.
pub struct Gathered {
    socket: Socket,
    gather: Duration,
    gathering: Option<Pin<Box<Sleep>>>,
    /// Who reads, for when something else ends the gathering.
    reader: Option<Waker>,
    /// The kernel's buffer was full; somebody waits for room in it.
    blocked: bool,
    /// When bytes were last received; `None` after a request, whose answer waits for nothing.
    last: Option<Instant>,
    /// Received since the last wait.
    received: usize,
    /// Received and not yet asked for, from `given` to `end`; without memory in a quiet time.
    chunk: Vec<u8>,
    given: usize,
    end: usize,
}

/// The socket, non-blocking either way.
enum Socket {
    /// In epoll.
    Watched(TcpStream),
    Free(std::net::TcpStream),
    /// It could not be moved from one to the other.
    Lost,
}

impl Socket {
    fn watch(&mut self) -> io::Result<()> {
        *self = match std::mem::replace(self, Self::Lost) {
            Self::Free(socket) => Self::Watched(TcpStream::from_std(socket)?),
            other => other,
        };
        Ok(())
    }

    fn free(&mut self) -> io::Result<()> {
        *self = match std::mem::replace(self, Self::Lost) {
            Self::Watched(socket) => Self::Free(socket.into_std()?),
            other => other,
        };
        Ok(())
    }
}

fn lost() -> io::Error {
    io::Error::from(io::ErrorKind::NotConnected)
}

/// Tries again what a signal interrupted; `None` where it would block.
fn now<T>(mut act: impl FnMut() -> io::Result<T>) -> io::Result<Option<T>> {
    loop {
        match act() {
            Ok(done) => return Ok(Some(done)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

impl Gathered {
    /// `gather`: zero never lets anything gather.
    pub const fn new(socket: TcpStream, gather: Duration) -> Self {
        Self {
            socket: Socket::Watched(socket),
            gather,
            gathering: None,
            reader: None,
            blocked: false,
            last: None,
            received: 0,
            chunk: Vec::new(),
            given: 0,
            end: 0,
        }
    }

    /// Receives what fits into the chunk; `None` when there is nothing.
    fn receive(&mut self) -> io::Result<Option<usize>> {
        if self.chunk.is_empty() {
            self.chunk = vec![0; CHUNK];
        }
        let chunk = &mut self.chunk;
        now(|| match &mut self.socket {
            Socket::Watched(socket) => socket.try_read(chunk),
            Socket::Free(socket) => socket.read(chunk),
            Socket::Lost => Err(lost()),
        })
    }

    /// Nothing is left: lets bytes gather, or has epoll watch for the next.
    fn wait(&mut self) -> io::Result<()> {
        let now = Instant::now();
        let quick = self.last.is_some_and(|last| now.duration_since(last) < self.gather);
        if quick && self.received < PLENTY && matches!(self.socket, Socket::Free(_)) {
            let until = now + self.gather;
            self.gathering = Some(match self.gathering.take() {
                Some(mut sleep) => {
                    sleep.as_mut().reset(until);
                    sleep
                }
                None => Box::pin(sleep_until(until)),
            });
        } else {
            if !quick {
                self.chunk = Vec::new();
            }
            self.socket.watch()?;
        }
        self.received = 0;
        Ok(())
    }

    /// Receives into the chunk, all of which has been given.
    fn poll_chunk(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if let Some(sleep) = &mut self.gathering {
                ready!(sleep.as_mut().poll(context));
                self.gathering = None;
            }
            if let Socket::Watched(socket) = &self.socket {
                ready!(socket.poll_read_ready(context))?;
            }
            let Some(count) = self.receive()? else {
                self.wait()?;
                continue;
            };
            (self.given, self.end) = (0, count);
            self.received += count;
            self.last = Some(Instant::now());
            if !self.blocked && !self.gather.is_zero() {
                self.socket.free()?;
            }
            return Poll::Ready(Ok(()));
        }
    }

    fn poll_send(&mut self, context: &mut Context<'_>, parts: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        if let Socket::Free(socket) = &mut self.socket {
            if let Some(count) = now(|| socket.write_vectored(parts))? {
                return Poll::Ready(Ok(self.sent(count)));
            }
            self.socket.watch()?;
        }
        let Socket::Watched(socket) = &mut self.socket else { return Poll::Ready(Err(lost())) };
        let sent = Pin::new(socket).poll_write_vectored(context, parts);
        self.blocked = sent.is_pending();
        if self.blocked {
            self.hurry();
        }
        sent.map_ok(|count| self.sent(count))
    }

    /// The answer to what was sent waits for nothing.
    fn sent(&mut self, count: usize) -> usize {
        self.last = None;
        self.hurry();
        count
    }

    /// Ends the gathering.
    fn hurry(&mut self) {
        if self.gathering.take().is_some()
            && let Some(reader) = self.reader.take()
        {
            reader.wake();
        }
    }
}

impl AsyncRead for Gathered {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let me = &mut *self;
        if me.given == me.end && me.poll_chunk(context)?.is_pending() {
            me.reader = Some(context.waker().clone());
            return Poll::Pending;
        }
        let ready = me.chunk.get(me.given..me.end).unwrap_or_default();
        let count = ready.len().min(into.remaining());
        into.put_slice(ready.get(..count).unwrap_or_default());
        me.given += count;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Gathered {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_send(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_send(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.socket {
            Socket::Watched(socket) => Pin::new(socket).poll_shutdown(context),
            Socket::Free(socket) => Poll::Ready(match socket.shutdown(std::net::Shutdown::Write) {
                Err(error) if error.kind() != io::ErrorKind::NotConnected => Err(error),
                _ => Ok(()),
            }),
            Socket::Lost => Poll::Ready(Ok(())),
        }
    }
}

impl Connection for Gathered {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

/// Connects as the HTTP client does by itself, and makes [`Gathered`] of it.
#[derive(Clone)]
pub struct Gathering {
    connector: HttpConnector,
    gather: Duration,
}

impl Gathering {
    pub fn new(gather: Duration) -> Self {
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        Self { connector, gather }
    }
}

type Connecting = Pin<Box<dyn Future<Output = Result<TokioIo<Gathered>, BoxError>> + Send>>;

impl Service<Uri> for Gathering {
    type Response = TokioIo<Gathered>;
    type Error = BoxError;
    type Future = Connecting;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.connector.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, uri: Uri) -> Connecting {
        let (connecting, gather) = (self.connector.call(uri), self.gather);
        Box::pin(async move { Ok(TokioIo::new(Gathered::new(connecting.await?.into_inner(), gather))) })
    }
}
