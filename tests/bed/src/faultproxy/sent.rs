//! When a client has been sent the last byte of a reply: told by the connection itself, once its buffer is empty.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use hyper::rt::{Read, ReadBufCursor, Write};
use tokio::sync::{mpsc, watch};

use super::record::Phase;
use super::script::{Go, Script, Standing};

/// The reply that is on its way on one connection (there is one at a time).
#[derive(Clone, Default)]
pub(super) struct Sent(Arc<Mutex<Option<UnderWay>>>);

struct UnderWay {
    order: usize,
    script: Script,
    /// Hyper has taken the last byte; it is gone with the next flush.
    handed_over: bool,
    hold: Option<(mpsc::UnboundedSender<Standing>, Freeze)>,
}

/// Calls that arrive wait while this is there.
struct Freeze {
    script: Script,
    word: watch::Sender<Option<Go>>,
}

impl Freeze {
    fn end(self, go: Go) {
        self.script.thaw();
        self.word.send_replace(Some(go));
    }
}

impl Drop for Freeze {
    fn drop(&mut self) {
        self.script.thaw();
    }
}

impl Sent {
    fn inside(&self) -> MutexGuard<'_, Option<UnderWay>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A reply is about to be sent. With a hold nothing else goes through from now on.
    pub fn begin(&self, order: usize, script: &Script, hold: Option<&mpsc::UnboundedSender<Standing>>) {
        let freeze = |teller: &mpsc::UnboundedSender<Standing>| {
            (teller.clone(), Freeze { script: script.clone(), word: script.freeze() })
        };
        let under_way = UnderWay { order, script: script.clone(), handed_over: false, hold: hold.map(freeze) };
        *self.inside() = Some(under_way);
    }

    pub fn handed_over(&self) {
        if let Some(under_way) = self.inside().as_mut() {
            under_way.handed_over = true;
        }
    }

    fn flushed(&self) {
        let Some(done) = self.inside().take_if(|under_way| under_way.handed_over) else { return };
        done.script.note(done.order, |call| call.phase = Phase::AfterReply);
        let (Some((teller, freeze)), Some(call)) = (done.hold, done.script.call(done.order)) else { return };
        let (standing, heard) = Standing::new(call);
        if teller.send(standing).is_ok() {
            tokio::spawn(async move { freeze.end(heard.await.unwrap_or(Go::Abandon)) });
        }
    }
}

/// A connection that tells when it has been flushed.
pub(super) struct Telling<I> {
    pub inner: I,
    pub sent: Sent,
}

impl<I: Read + Unpin> Read for Telling<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

impl<I: Write + Unpin> Write for Telling<I> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let done = Pin::new(&mut self.inner).poll_flush(context);
        if matches!(done, Poll::Ready(Ok(()))) {
            self.sent.flushed();
        }
        done
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}
