//! The body of a reply on its way to the client, and what faults make of it.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use tokio::time::{Sleep, sleep};

use super::sent::Sent;

/// Why a body ended early; the client sees a closed connection.
pub(super) type Cut = std::io::Error;

pub(super) struct ReplyBody {
    source: Source,
    /// Told when the last byte has been handed over.
    sent: Sent,
}

enum Source {
    /// As it comes from the server.
    Stream(Incoming),
    Whole(Option<Bytes>),
    /// These bytes, time enough for them to leave, then the connection breaks.
    Broken {
        bytes: Option<Bytes>,
        timer: Pin<Box<Sleep>>,
    },
    /// Some bytes at a time.
    Drip {
        rest: Bytes,
        step: usize,
        pause: Duration,
        timer: Pin<Box<Sleep>>,
    },
}

impl ReplyBody {
    pub fn stream(body: Incoming, sent: Sent) -> Self {
        Self { source: Source::Stream(body), sent }
    }

    pub fn whole(bytes: Bytes, sent: Sent) -> Self {
        Self { source: Source::Whole(Some(bytes).filter(|b| !b.is_empty())), sent }
    }

    pub fn broken(bytes: Bytes, sent: Sent) -> Self {
        let timer = Box::pin(sleep(Duration::from_millis(50)));
        Self { source: Source::Broken { bytes: Some(bytes).filter(|b| !b.is_empty()), timer }, sent }
    }

    /// Ten times a second, or slower for less than a byte each time.
    pub fn drip(bytes: Bytes, bytes_per_second: usize, sent: Sent) -> Self {
        let rate = bytes_per_second.max(1);
        let step = (rate / 10).max(1);
        let pause =
            Duration::from_secs(1) * u32::try_from(step).unwrap_or(u32::MAX) / u32::try_from(rate).unwrap_or(u32::MAX);
        Self { source: Source::Drip { rest: bytes, step, pause, timer: Box::pin(sleep(pause)) }, sent }
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let this = &mut *self;
        match &mut this.source {
            Source::Stream(body) => match Pin::new(&mut *body).poll_frame(context) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(None) => {
                    this.sent.handed_over();
                    Poll::Ready(None)
                }
                Poll::Ready(Some(Ok(frame))) => {
                    if body.is_end_stream() {
                        this.sent.handed_over();
                    }
                    Poll::Ready(Some(Ok(frame)))
                }
                Poll::Ready(Some(Err(e))) => Poll::Ready(Some(Err(Cut::other(e)))),
            },
            Source::Whole(bytes) => {
                this.sent.handed_over();
                Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes))))
            }
            Source::Broken { bytes, timer } => match bytes.take() {
                Some(bytes) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
                None => timer.as_mut().poll(context).map(|()| Some(Err(Cut::other("cut here")))),
            },
            Source::Drip { rest, step, pause, timer } => {
                if rest.is_empty() {
                    return Poll::Ready(None);
                }
                if timer.as_mut().poll(context).is_pending() {
                    return Poll::Pending;
                }
                *timer = Box::pin(sleep(*pause));
                let some = rest.split_to((*step).min(rest.len()));
                // Nobody asks for more than the head has told.
                if rest.is_empty() {
                    this.sent.handed_over();
                }
                Poll::Ready(Some(Ok(Frame::data(some))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Stream(body) => body.is_end_stream(),
            Source::Whole(bytes) => bytes.is_none(),
            Source::Broken { .. } | Source::Drip { .. } => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Stream(body) => body.size_hint(),
            Source::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |b| b.len() as u64)),
            // The head says what the length should have been.
            Source::Broken { .. } | Source::Drip { .. } => SizeHint::default(),
        }
    }
}
