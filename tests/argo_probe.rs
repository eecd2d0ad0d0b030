//! The question to an Argo controller's metrics address, on local servers: what counts as a sign of life, and what is sent.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use unstick::shell::argo;
use unstick_bed::SelfSigned;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nup\n";

/// A server with a certificate of its own, for another name and long expired: as useless as one can be.
fn tls() -> TlsAcceptor {
    let own = SelfSigned::new("nobody", ["010101000000Z", "020101000000Z"]).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![CertificateDer::from(own.certificate)], PrivateKeyDer::Pkcs8(own.key.into()))
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

/// Serves one connection after the other with `answer`, over TLS where asked; tells what it was sent.
async fn server(answer: &'static str, tls: Option<TlsAcceptor>) -> (SocketAddr, mpsc::Receiver<String>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, told) = mpsc::channel(8);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            match &tls {
                Some(tls) => {
                    if let Ok(stream) = tls.accept(stream).await {
                        converse(stream, answer, &tell).await;
                    }
                }
                None => converse(stream, answer, &tell).await,
            }
        }
    });
    (address, told)
}

async fn converse(mut stream: impl AsyncRead + AsyncWrite + Unpin, answer: &str, tell: &mpsc::Sender<String>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    tell.send(String::from_utf8(head).unwrap()).await.unwrap();
    if answer.is_empty() {
        // Silent until the client goes.
        let _ = stream.read_u8().await;
    }
    let _ = stream.write_all(answer.as_bytes()).await;
    let _ = stream.shutdown().await;
}

/// What the first question finds.
async fn answered(url: String) -> bool {
    let (tell, mut told) = mpsc::channel(1);
    let task = argo::ask("default".to_owned(), url, tell);
    let (instance, answered) = tokio::time::timeout(Duration::from_secs(10), told.recv()).await.unwrap().unwrap();
    task.abort();
    assert_eq!(instance, "default");
    answered
}

#[tokio::test]
async fn any_certificate_will_do_and_nothing_of_ours_is_sent() {
    let (address, mut sent) = server(OK, Some(tls())).await;
    assert!(answered(format!("https://{address}/metrics")).await);
    let head = sent.recv().await.unwrap().to_lowercase();
    assert_eq!(head, format!("get /metrics http/1.1\r\nhost: {address}\r\n\r\n"));
    assert!(answered(format!("https://localhost:{}/metrics", address.port())).await, "by name");
    // A name in the address stays with us, too.
    assert!(answered(format!("https://user:secret@{address}/metrics")).await);
    sent.recv().await.unwrap();
    let head = sent.recv().await.unwrap().to_lowercase();
    assert!(!head.contains("secret") && !head.contains("authorization"), "{head}");
}

#[tokio::test]
async fn only_2xx_is_a_sign_of_life() {
    for (answer, alive) in [
        (OK, true),
        ("HTTP/1.1 204 No Content\r\n\r\n", true),
        ("HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n", false),
        ("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", false),
        ("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n", false),
        ("SSH-2.0-OpenSSH_9.2\r\n", false),
    ] {
        let (address, _sent) = server(answer, Some(tls())).await;
        assert_eq!(answered(format!("https://{address}/metrics")).await, alive, "https: {answer:?}");
        let (address, _sent) = server(answer, None).await;
        assert_eq!(answered(format!("http://{address}/metrics")).await, alive, "http: {answer:?}");
    }
}

#[tokio::test]
async fn who_listens_without_tls_or_is_silent_is_not_alive() {
    let (address, _sent) = server(OK, None).await;
    assert!(!answered(format!("https://{address}/metrics")).await, "plain text on an https address");
    // Accepts and says nothing: neither in the handshake nor after the question.
    let deaf = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let begun = Instant::now();
    assert!(!answered(format!("https://{}/metrics", deaf.local_addr().unwrap())).await, "no handshake");
    let (address, _sent) = server("", Some(tls())).await;
    assert!(!answered(format!("https://{address}/metrics")).await, "no answer");
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    drop(deaf);
    for nowhere in ["https://127.0.0.1:1/metrics", "https:///", "no address", "ftp://127.0.0.1/metrics"] {
        assert!(!answered(nowhere.to_owned()).await, "{nowhere}");
    }
}

/// The answer's length doesn't matter: nothing but its head is read.
#[tokio::test]
async fn an_endless_answer_is_a_sign_of_life_all_the_same() {
    let (address, _sent) =
        server("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n", Some(tls())).await;
    assert!(answered(format!("https://{address}/metrics")).await);
}
