//! Blocking HTTP requests on 127.0.0.1 that cost nothing worth measuring.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result};

/// Status and body of a GET. HTTP/1.0: the answer comes in one piece and ends with the connection.
pub fn get(address: SocketAddr, path: &str) -> Result<(u16, String)> {
    ask(address, &format!("GET {path} HTTP/1.0\r\nhost: {address}\r\n\r\n"))
}

/// Status and body of a POST of JSON.
pub fn post(address: SocketAddr, path: &str, body: &str) -> Result<(u16, String)> {
    let length = body.len();
    ask(
        address,
        &format!(
            "POST {path} HTTP/1.0\r\nhost: {address}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        ),
    )
}

fn ask(address: SocketAddr, request: &str) -> Result<(u16, String)> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no HTTP answer")?;
    let status = head.split_whitespace().nth(1).and_then(|s| s.parse().ok()).context("no HTTP status")?;
    Ok((status, body.to_owned()))
}
