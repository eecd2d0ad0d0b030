//! Asks an Argo controller's metrics address whether it answers: any HTTP answer below 500 is a sign of life.
//!
//! Of an `https` address only the connection is tried: Argo signs its own certificate by default, and whether somebody
//! listens is all that is asked.

use std::time::Duration;

use http_body_util::Empty;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Between two questions.
const EVERY: Duration = Duration::from_secs(15);
const PATIENCE: Duration = Duration::from_secs(5);

/// Asks until the handle is aborted.
pub fn ask(instance: String, url: String, tell: mpsc::Sender<(String, bool)>) -> JoinHandle<()> {
    tokio::spawn(async move {
        let client: Client<HttpConnector, Empty<hyper::body::Bytes>> =
            Client::builder(TokioExecutor::new()).build_http();
        loop {
            let answered = answers(&client, &url).await;
            if tell.send((instance.clone(), answered)).await.is_err() {
                return;
            }
            tokio::time::sleep(EVERY).await;
        }
    })
}

async fn answers(client: &Client<HttpConnector, Empty<hyper::body::Bytes>>, url: &str) -> bool {
    let Ok(uri) = url.parse::<http::Uri>() else { return false };
    if uri.scheme_str() == Some("https") {
        return connects(&uri).await;
    }
    let answer = tokio::time::timeout(PATIENCE, client.get(uri)).await;
    matches!(answer, Ok(Ok(response)) if response.status().as_u16() < 500)
}

/// An `https` address: that somebody accepts the connection is the sign of life.
async fn connects(uri: &http::Uri) -> bool {
    let Some(host) = uri.host() else { return false };
    let port = uri.port_u16().unwrap_or(443);
    matches!(tokio::time::timeout(PATIENCE, tokio::net::TcpStream::connect((host, port))).await, Ok(Ok(_)))
}
