//! An API server that answers by script: one step for each request, in order; then it stays silent.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The answer to one request.
pub enum Step {
    /// A whole answer: code, further header lines, body.
    Answer(u16, &'static str, String),
    /// A watch: pieces of body, then how it ends.
    Stream(Vec<String>, End),
    /// The connection closes before any answer.
    Slam,
}

/// How a streamed answer ends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// In good order, as when `timeoutSeconds` is over.
    Proper,
    /// The socket closes in the middle.
    Cut,
    /// Nothing more comes, and the socket stays open.
    Silent,
}

#[derive(Clone)]
pub struct Server {
    pub port: u16,
    steps: Arc<Mutex<VecDeque<Step>>>,
    requests: Arc<Mutex<Vec<String>>>,
    written: Arc<Mutex<usize>>,
}

impl Server {
    pub async fn start(steps: Vec<Step>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self {
            port: listener.local_addr().unwrap().port(),
            steps: Arc::new(Mutex::new(steps.into())),
            requests: Arc::default(),
            written: Arc::default(),
        };
        let this = server.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let this = this.clone();
                tokio::spawn(async move { this.serve(socket).await });
            }
        });
        server
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The request targets so far, path and query.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    /// Bytes of streamed bodies taken by sockets so far.
    pub fn written(&self) -> usize {
        *self.written.lock().unwrap()
    }

    async fn serve(&self, mut socket: TcpStream) -> Option<()> {
        loop {
            let head = head(&mut socket).await?;
            assert!(head.to_ascii_lowercase().contains("accept-encoding: identity"), "{head}");
            assert!(head.to_ascii_lowercase().contains("user-agent: unstick/"), "{head}");
            self.requests.lock().unwrap().push(head.split(' ').nth(1).unwrap_or_default().to_owned());
            let step = self.steps.lock().unwrap().pop_front();
            match step {
                Some(Step::Answer(code, headers, body)) => {
                    let head = format!("HTTP/1.1 {code} X\r\n{headers}Content-Length: {}\r\n\r\n", body.len());
                    socket.write_all((head + &body).as_bytes()).await.ok()?;
                }
                Some(Step::Stream(pieces, end)) => {
                    socket
                        .write_all(b"HTTP/1.1 200 OK\r\nDate: Sat, 21 Nov 2026 07:18:34 GMT\r\nTransfer-Encoding: chunked\r\n\r\n")
                        .await
                        .ok()?;
                    for piece in pieces {
                        let chunk = format!("{:x}\r\n{piece}\r\n", piece.len());
                        socket.write_all(chunk.as_bytes()).await.ok()?;
                        *self.written.lock().unwrap() += piece.len();
                    }
                    match end {
                        End::Proper => socket.write_all(b"0\r\n\r\n").await.ok()?,
                        End::Cut => return None,
                        End::Silent => tokio::time::sleep(Duration::from_hours(1)).await,
                    }
                }
                Some(Step::Slam) => return None,
                None => tokio::time::sleep(Duration::from_hours(1)).await,
            }
        }
    }
}

async fn head(socket: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        bytes.push(socket.read_u8().await.ok()?);
    }
    String::from_utf8(bytes).ok()
}
