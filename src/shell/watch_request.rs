//! The requests of the watch: raw bodies, no parsing, a limit on every wait.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use http::{Request, Response, header};
use http_body_util::BodyExt as _;
use kube::Client;
use kube::client::Body;
use tokio::time::timeout;

use super::stream::{FULL, Splitter};
use super::watch_fault::Fault;
use super::watch_page::Page;

/// How long an answer may take to begin.
const ANSWER: Duration = Duration::from_secs(30);
/// Most bytes read of an error.
const LONGEST_ERROR: usize = 64 << 10;

/// The path of workflows in one namespace or all.
#[derive(Clone, Debug)]
pub(super) struct Scope(String);

impl Scope {
    pub(super) fn of(namespace: Option<&str>) -> Self {
        Self(match namespace {
            Some(namespace) => format!("/apis/argoproj.io/v1alpha1/namespaces/{namespace}/workflows"),
            None => "/apis/argoproj.io/v1alpha1/workflows".into(),
        })
    }
}

pub(super) struct Connection {
    pub(super) client: Client,
    pub(super) scope: Scope,
    pub(super) idle: Duration,
}

impl Connection {
    async fn get(&self, query: &str, streamed: bool) -> Result<Response<Body>, Fault> {
        let request = Request::get(format!("{}?{query}", self.scope.0))
            .header(header::ACCEPT, "application/json")
            // Kubernetes from 1.37 on would compress each event by itself.
            .header(header::ACCEPT_ENCODING, "identity")
            .body(Body::empty())
            .map_err(|e| Fault::broken(&e))?;
        let limit = ANSWER.min(self.idle);
        let answer = timeout(limit, self.client.send(request)).await.map_err(|_| Fault::Silent(limit))?;
        let answer = answer.map_err(|e| Fault::broken(&e))?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let code = answer.status();
        let asks = answer.headers().get(header::RETRY_AFTER).and_then(|v| v.to_str().ok()?.parse().ok());
        let (body, _) = self.reading(answer).collect(LONGEST_ERROR).await?;
        Err(Fault::of(code, &String::from_utf8_lossy(&body), asks, streamed))
    }

    /// Opens a watch.
    pub(super) async fn open(&self, query: &str, streamed: bool) -> Result<Reading, Fault> {
        Ok(self.reading(self.get(query, streamed).await?))
    }

    fn reading(&self, answer: Response<Body>) -> Reading {
        Reading { body: answer.into_body(), idle: self.idle, ended: None }
    }

    /// Fetches a page; `None` when it has more than `limit` bytes.
    pub(super) async fn page(&self, query: &str, limit: usize) -> Result<Option<(Vec<u8>, Page)>, Fault> {
        let (bytes, complete) = self.reading(self.get(query, false).await?).collect(limit).await?;
        if !complete {
            return Ok(None);
        }
        let text = String::from_utf8(bytes).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned());
        let page = Page::of(&text).ok_or_else(|| Fault::Broken("a page of the list is cut or damaged".into()))?;
        Ok(Some((text.into_bytes(), page)))
    }
}

/// The body of an answer, being read.
pub(super) struct Reading {
    body: Body,
    idle: Duration,
    /// How it ended, where that was seen before everything ahead of it was passed on.
    ended: Option<Result<(), Fault>>,
}

impl Reading {
    /// Reads all up to `limit` bytes; says whether that was all.
    async fn collect(mut self, limit: usize) -> Result<(Vec<u8>, bool), Fault> {
        let mut bytes = Vec::new();
        while self.wait(|data| bytes.extend_from_slice(data)).await? {
            if bytes.len() > limit {
                return Ok((bytes, false));
            }
        }
        Ok((bytes, true))
    }

    /// Waits for bytes and takes with them what else has arrived, about a block. False at the end.
    pub(super) async fn more(&mut self, into: &mut Splitter) -> Result<bool, Fault> {
        if let Some(ended) = self.ended.take() {
            return ended.map(|()| false);
        }
        if !self.wait(|data| into.push(data)).await? {
            return Ok(false);
        }
        // Single events come as frames, one by one, from the task that reads the socket: it is let run before we take it
        // that none is left.
        let mut asked = false;
        while into.waiting() < FULL {
            let frame = Pin::new(&mut self.body.frame()).poll(&mut Context::from_waker(Waker::noop()));
            let Poll::Ready(frame) = frame else {
                if std::mem::replace(&mut asked, true) {
                    break;
                }
                let_others_run().await;
                continue;
            };
            asked = false;
            match frame.map(|frame| frame.map(hyper::body::Frame::into_data)) {
                Some(Ok(Ok(data))) => into.push(&data),
                Some(Ok(Err(_trailers))) => {}
                Some(Err(error)) => {
                    self.ended = Some(Err(Fault::broken(&error)));
                    break;
                }
                None => {
                    self.ended = Some(Ok(()));
                    break;
                }
            }
        }
        Ok(true)
    }

    /// Waits for the next bytes; false at the end.
    async fn wait(&mut self, take: impl FnOnce(&[u8])) -> Result<bool, Fault> {
        loop {
            match timeout(self.idle, self.body.frame()).await.map_err(|_| Fault::Silent(self.idle))? {
                None => return Ok(false),
                Some(frame) => {
                    if let Ok(data) = frame.map_err(|e| Fault::broken(&e))?.into_data() {
                        take(&data);
                        return Ok(true);
                    }
                }
            }
        }
    }
}

/// Comes back once every task has been polled that is ready now. Not `yield_now`, which also asks the kernel for news: that
/// would be a call for each single event.
async fn let_others_run() {
    let mut asked = false;
    std::future::poll_fn(|context| {
        if std::mem::replace(&mut asked, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
