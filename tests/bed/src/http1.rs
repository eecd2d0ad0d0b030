//! A plain HTTP GET on 127.0.0.1: metrics and health pages.

use std::time::Duration;

use anyhow::{Context, Result};
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;

/// Status and body of `http://127.0.0.1:<port><path>`; an error when nobody answers within 10 s.
pub async fn get(port: u16, path: &str) -> Result<(u16, String)> {
    let asked = async {
        let stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let connection = tokio::spawn(connection);
        let request = http::Request::get(path).header("host", "127.0.0.1").body(Empty::<Bytes>::new())?;
        let response = sender.send_request(request).await?;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await?.to_bytes();
        connection.abort();
        anyhow::Ok((status, String::from_utf8_lossy(&body).into_owned()))
    };
    let name = || format!("no answer from http://127.0.0.1:{port}{path}");
    tokio::time::timeout(Duration::from_secs(10), asked).await.with_context(name)?.with_context(name)
}
