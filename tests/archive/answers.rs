//! A server that answers as it is told, byte for byte, and remembers what it was asked.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

#[derive(Clone, Debug)]
pub struct Asked {
    pub method: String,
    pub target: String,
    /// Lower case names.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Asked {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }
}

#[derive(Clone)]
pub enum Answer {
    /// Status, headers and body.
    Say(u16, Vec<(&'static str, String)>, Vec<u8>),
    /// A length that is larger than what follows before the end.
    Short(Vec<u8>),
    /// The connection ends.
    HangUp,
    /// Nothing comes.
    Silence,
    /// The head comes, and then a byte a second.
    Drip,
}

/// Of S3: a code in XML.
pub fn refuse(status: u16, code: &str, message: &str) -> Answer {
    let xml = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>{message}</Message></Error>");
    Answer::Say(
        status,
        vec![("content-type", "application/xml".into())],
        if code.is_empty() { Vec::new() } else { xml.into_bytes() },
    )
}

pub fn say(status: u16, body: impl Into<Vec<u8>>) -> Answer {
    Answer::Say(status, Vec::new(), body.into())
}

type Script = Arc<dyn Fn(&Asked) -> Answer + Send + Sync>;

pub struct Server {
    pub address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    pub fn start(script: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, asked) = (listener.local_addr().unwrap(), Arc::<Mutex<Vec<Asked>>>::default());
        let (seen, script): (_, Script) = (asked.clone(), Arc::new(script));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (seen, script) = (seen.clone(), script.clone());
                std::thread::spawn(move || serve(stream, &seen, &script));
            }
        });
        Self { address, asked }
    }

    pub fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }
}

fn serve(mut stream: TcpStream, seen: &Mutex<Vec<Asked>>, script: &Script) {
    while let Some(asked) = read(&mut stream) {
        let answer = script(&asked);
        let head = asked.method == "HEAD";
        seen.lock().unwrap().push(asked);
        match answer {
            Answer::Say(status, headers, body) => {
                let mut text = format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\n", body.len());
                for (name, value) in headers {
                    let _ = write!(text, "{name}: {value}\r\n");
                }
                text.push_str("\r\n");
                let mut all = text.into_bytes();
                if !head {
                    all.extend(body);
                }
                if stream.write_all(&all).is_err() {
                    return;
                }
            }
            Answer::Short(body) => {
                let head = format!("HTTP/1.1 200 x\r\ncontent-length: {}\r\n\r\n", body.len() + 100);
                let _ = stream.write_all(&[head.as_bytes(), &body].concat());
                return;
            }
            Answer::HangUp => return,
            Answer::Silence => std::thread::sleep(Duration::from_secs(20)),
            Answer::Drip => {
                let _ = stream.write_all(b"HTTP/1.1 200 x\r\ncontent-length: 1000\r\n\r\n");
                for _ in 0..20 {
                    std::thread::sleep(Duration::from_secs(1));
                    if stream.write_all(b"x").is_err() {
                        return;
                    }
                }
            }
        }
    }
}

fn read(stream: &mut TcpStream) -> Option<Asked> {
    let mut bytes = Vec::new();
    let mut piece = [0; 8192];
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            break at + 4;
        }
        let read = stream.read(&mut piece).ok().filter(|read| *read > 0)?;
        bytes.extend_from_slice(&piece[..read]);
        // The first byte of TLS: this server speaks plainly.
        if bytes[0] == 0x16 {
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
            return None;
        }
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut lines = head.split("\r\n");
    let mut first = lines.next()?.split(' ');
    let (method, target) = (first.next()?.to_owned(), first.next()?.to_owned());
    let headers: Vec<(String, String)> =
        lines.filter_map(|l| l.split_once(": ")).map(|(n, v)| (n.to_lowercase(), v.to_owned())).collect();
    let length: usize =
        headers.iter().find(|(n, _)| n == "content-length").and_then(|(_, v)| v.parse().ok()).unwrap_or(0);
    let mut body = bytes[end..].to_vec();
    while body.len() < length {
        let read = stream.read(&mut piece).ok().filter(|read| *read > 0)?;
        body.extend_from_slice(&piece[..read]);
    }
    Some(Asked { method, target, headers, body })
}
