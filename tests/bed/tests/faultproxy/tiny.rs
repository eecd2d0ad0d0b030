//! The smallest server and the smallest client: what the server was asked, and the very bytes that the client got.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{Request, Response};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use unstick_bed::faultproxy::{FaultProxy, Script};

pub const BODY: &str = "0123456789";

/// Answers every call with [`BODY`]; `/watch` with a line every 50 ms for ever; remembers what it was asked.
pub struct Tiny {
    pub endpoint: String,
    asked: Arc<Mutex<Vec<(String, String)>>>,
    task: JoinHandle<()>,
}

impl Drop for Tiny {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Tiny {
    pub async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&asked);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let noted = Arc::clone(&noted);
                let service = service_fn(move |request| reply(request, Arc::clone(&noted)));
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service),
                );
            }
        });
        Self { endpoint, asked, task }
    }

    /// (`METHOD /path host`, body) of each request.
    pub fn asked(&self) -> Vec<(String, String)> {
        self.asked.lock().unwrap().clone()
    }
}

type Body = http_body_util::combinators::BoxBody<Bytes, Infallible>;

async fn reply(
    request: Request<Incoming>,
    noted: Arc<Mutex<Vec<(String, String)>>>,
) -> Result<Response<Body>, hyper::Error> {
    let host = request.headers()["host"].to_str().unwrap().to_owned();
    let line = format!("{} {} {host}", request.method(), request.uri());
    let endless = request.uri().path() == "/watch";
    let body = request.into_body().collect().await?.to_bytes();
    noted.lock().unwrap().push((line, String::from_utf8(body.to_vec()).unwrap()));
    let body = if endless {
        let lines = futures_util::stream::unfold(0, |n| async move {
            tokio::time::sleep(Duration::from_millis(50)).await;
            Some((Ok(Frame::data(Bytes::from(format!("line {n}\n")))), n + 1))
        });
        StreamBody::new(Box::pin(lines)).boxed()
    } else {
        http_body_util::Full::new(Bytes::from_static(BODY.as_bytes())).boxed()
    };
    Ok(Response::builder().header("etag", "\"e\"").body(body).unwrap())
}

/// A proxy before a tiny server.
pub async fn pair() -> (Tiny, Script, FaultProxy) {
    let (tiny, script) = (Tiny::start().await, Script::new());
    let proxy = FaultProxy::start("tiny", &tiny.endpoint, &script).await.unwrap();
    (tiny, script, proxy)
}

/// What a client got: all bytes until the connection was closed, or until `limit`.
#[derive(Debug)]
pub struct Got {
    pub text: String,
    pub closed: bool,
}

impl Got {
    pub fn status(&self) -> u16 {
        self.text.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0)
    }

    pub fn body(&self) -> &str {
        self.text.split_once("\r\n\r\n").map_or("", |(_, body)| body)
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.text.lines().find_map(|l| l.strip_prefix(&format!("{name}: ")))
    }
}

/// One request on a connection of its own.
pub async fn call(proxy: &FaultProxy, line: &str, body: &str, limit: Duration) -> std::io::Result<Got> {
    let address = proxy.url();
    let mut stream = TcpStream::connect(address.strip_prefix("http://").unwrap()).await?;
    let length = body.len();
    let request = format!(
        "{line} HTTP/1.1\r\nhost: s3.example.com\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut bytes = Vec::new();
    let mut buffer = [0_u8; 4096];
    let until = tokio::time::Instant::now() + limit;
    loop {
        match tokio::time::timeout_at(until, stream.read(&mut buffer)).await {
            Err(_) => return Ok(Got { text: String::from_utf8_lossy(&bytes).into_owned(), closed: false }),
            // A reset is an end, too.
            Ok(Ok(0) | Err(_)) => return Ok(Got { text: String::from_utf8_lossy(&bytes).into_owned(), closed: true }),
            Ok(Ok(n)) => bytes.extend_from_slice(&buffer[..n]),
        }
    }
}

pub async fn get(proxy: &FaultProxy, path: &str) -> Got {
    call(proxy, &format!("GET {path}"), "", Duration::from_secs(3)).await.unwrap()
}

pub async fn put(proxy: &FaultProxy, path: &str, body: &str) -> Got {
    call(proxy, &format!("PUT {path}"), body, Duration::from_secs(3)).await.unwrap()
}
