//! An S3 server in memory that answers after a fixed time: for measuring what uses it. What archives mean is tested on
//! the real servers ([`crate::S3Server`]); this one only takes their place where they would be what is measured.
//!
//! It knows `PutObject` with `If-None-Match: *`, `GetObject`, `HeadObject` and `ListObjectsV2`, of any bucket, and trusts
//! every signature. `/-/requests` tells what was asked since the last time.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;

/// Keys of a list's page.
const PAGE: usize = 1000;

struct Stored {
    bytes: Bytes,
    headers: HeaderMap,
}

/// What is stored, and what was asked.
#[derive(Default)]
pub struct FakeS3 {
    delay: Duration,
    objects: Mutex<BTreeMap<String, Arc<Stored>>>,
    asked: Mutex<Vec<String>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl FakeS3 {
    pub fn new(delay: Duration) -> Self {
        Self { delay, ..Self::default() }
    }

    /// Stores an object under `bucket/key`.
    pub fn put(&self, path: &str, bytes: impl Into<Bytes>) {
        let stored = Stored { bytes: bytes.into(), headers: HeaderMap::new() };
        locked(&self.objects).insert(path.to_owned(), Arc::new(stored));
    }

    /// Serves on a free port until the process ends; tells the address.
    ///
    /// # Errors
    /// It can't listen.
    pub async fn serve(self: Arc<Self>) -> Result<SocketAddr> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("cannot listen")?;
        let address = listener.local_addr()?;
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let _ = stream.set_nodelay(true);
                let shared = Arc::clone(&self);
                let service = service_fn(move |request| {
                    let shared = Arc::clone(&shared);
                    async move { Ok::<_, Infallible>(shared.answer(request).await) }
                });
                let serving =
                    http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service);
                tokio::spawn(async move { serving.await.map_err(drop) });
            }
        });
        Ok(address)
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (parts, body) = request.into_parts();
        let path = decoded(parts.uri.path().trim_start_matches('/'));
        if path == "-/requests" {
            let asked = std::mem::take(&mut *locked(&self.asked));
            return plain(StatusCode::OK, asked.join("\n"));
        }
        let Ok(body) = body.collect().await else { return plain(StatusCode::BAD_REQUEST, "") };
        tokio::time::sleep(self.delay).await;
        let query = Query::of(parts.uri.query().unwrap_or_default());
        let listed = query.get("prefix").filter(|_| query.get("list-type").is_some());
        locked(&self.asked).push(format!(
            "{} {path}{}",
            parts.method,
            listed.map(|p| format!("?{p}")).unwrap_or_default()
        ));
        match (&parts.method, listed) {
            (&Method::GET, Some(prefix)) => self.list(&path, prefix, &query),
            (&Method::PUT, _) => self.store(path, &parts.headers, body.to_bytes()),
            (&Method::GET | &Method::HEAD, _) => match locked(&self.objects).get(&path) {
                Some(stored) => {
                    let mut response = Response::new(Full::new(stored.bytes.clone()));
                    *response.headers_mut() = stored.headers.clone();
                    response
                }
                None => refused(StatusCode::NOT_FOUND, "NoSuchKey"),
            },
            _ => refused(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed"),
        }
    }

    fn store(&self, path: String, headers: &HeaderMap, bytes: Bytes) -> Response<Full<Bytes>> {
        let mut objects = locked(&self.objects);
        if headers.contains_key(http::header::IF_NONE_MATCH) && objects.contains_key(&path) {
            return refused(StatusCode::PRECONDITION_FAILED, "PreconditionFailed");
        }
        let own = |name: &&http::HeaderName| name.as_str().starts_with("x-amz-meta-");
        let kept = headers.iter().filter(|(name, _)| own(name)).map(|(n, v)| (n.clone(), v.clone())).collect();
        objects.insert(path, Arc::new(Stored { bytes, headers: kept }));
        plain(StatusCode::OK, "")
    }

    fn list(&self, bucket: &str, prefix: &str, query: &Query) -> Response<Full<Bytes>> {
        let root = format!("{}/", bucket.trim_end_matches('/'));
        let begin = format!("{root}{prefix}");
        let after = query.get("continuation-token").or_else(|| query.get("start-after"));
        let from = after
            .map_or(Bound::Included(begin.clone()), |key| Bound::Excluded(format!("{root}{key}").max(begin.clone())));
        let delimiter = query.get("delimiter");
        let objects = locked(&self.objects);
        let (mut text, mut count, mut last, mut more) = (String::new(), 0, String::new(), false);
        let mut folder = String::new();
        for (path, stored) in objects.range((from, Bound::Unbounded)).take_while(|(path, _)| path.starts_with(&begin)) {
            let key = &path[root.len()..];
            let inside =
                delimiter.and_then(|d| key[prefix.len()..].find(d).map(|at| &key[..prefix.len() + at + d.len()]));
            // A folder is told once, and a page that ended in it goes on behind it.
            if inside.is_some_and(|f| f == folder || after.is_some_and(|a| a.starts_with(f))) {
                continue;
            }
            if count == PAGE {
                more = true;
                break;
            }
            if let Some(inside) = inside {
                inside.clone_into(&mut folder);
                let _ = write!(text, "<CommonPrefixes><Prefix>{}</Prefix></CommonPrefixes>", escaped(inside));
            } else {
                let size = stored.bytes.len();
                let _ = write!(text, "<Contents><Key>{}</Key><Size>{size}</Size></Contents>", escaped(key));
            }
            key.clone_into(&mut last);
            count += 1;
        }
        let next = if more {
            format!("<NextContinuationToken>{}</NextContinuationToken>", escaped(&last))
        } else {
            String::new()
        };
        let page = format!(
            "<ListBucketResult><KeyCount>{count}</KeyCount><IsTruncated>{more}</IsTruncated>{text}{next}</ListBucketResult>"
        );
        plain(StatusCode::OK, page)
    }
}

fn plain(status: StatusCode, text: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = status;
    response
}

fn refused(status: StatusCode, code: &str) -> Response<Full<Bytes>> {
    plain(status, format!("<Error><Code>{code}</Code><Message>{code}</Message></Error>"))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

struct Query(BTreeMap<String, String>);

impl Query {
    fn of(text: &str) -> Self {
        let pairs = text.split('&').filter(|p| !p.is_empty()).map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        Self(pairs.map(|(name, value)| (decoded(name), decoded(value))).collect())
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

fn decoded(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let Some((first, behind)) = rest.split_first() {
        let code = behind.get(..2).filter(|_| *first == b'%').and_then(|hex| std::str::from_utf8(hex).ok());
        if let Some(byte) = code.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            bytes.push(byte);
            rest = &behind[2..];
        } else {
            bytes.push(*first);
            rest = behind;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn body(response: Response<Full<Bytes>>) -> String {
        String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
    }

    #[tokio::test]
    async fn lists_have_pages_and_folders() {
        let store = FakeS3::new(Duration::ZERO);
        for n in 0..2500 {
            store.put(&format!("b/p/{}/{n:04}", n / 1250), "x");
        }
        let first = body(store.list("b", "p/", &Query::of(""))).await;
        assert_eq!(first.matches("<Key>").count(), 1000);
        assert!(first.contains("<NextContinuationToken>p/0/0999<"), "{first}");
        let last = body(store.list("b", "p/", &Query::of("continuation-token=p%2F1%2F1999"))).await;
        assert_eq!(last.matches("<Key>").count(), 500);
        assert!(last.contains("<IsTruncated>false"));
        let folders = body(store.list("b", "p/", &Query::of("delimiter=/"))).await;
        assert_eq!(folders.matches("<CommonPrefixes>").count(), 2);
        assert_eq!(folders.matches("<Key>").count(), 0);
    }

    #[test]
    fn a_put_that_may_not_replace_doesnt() {
        let store = FakeS3::new(Duration::ZERO);
        let mut headers = HeaderMap::new();
        headers.insert(http::header::IF_NONE_MATCH, http::HeaderValue::from_static("*"));
        assert_eq!(store.store("b/k".to_owned(), &headers, Bytes::from_static(b"one")).status(), StatusCode::OK);
        assert_eq!(store.store("b/k".to_owned(), &headers, Bytes::from_static(b"two")).status(), 412);
        assert_eq!(locked(&store.objects)["b/k"].bytes, "one");
    }
}
