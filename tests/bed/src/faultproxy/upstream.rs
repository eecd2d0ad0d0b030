//! The way from a proxy to the server behind it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::rt::{Read, Write};
use hyper_util::rt::TokioIo;
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::Bed;

pub(super) struct Upstream {
    /// `127.0.0.1:PORT`.
    address: String,
    tls: Option<TlsConnector>,
}

impl Upstream {
    /// `http://127.0.0.1:PORT`.
    pub fn plain(endpoint: &str) -> Result<Self> {
        let address = endpoint
            .strip_prefix("http://")
            .ok_or_else(|| anyhow!("{endpoint} is not http://HOST:PORT"))?
            .trim_end_matches('/');
        Ok(Self { address: address.to_owned(), tls: None })
    }

    /// The API server of a bed, with its own certificate as the authority.
    pub fn of_bed(bed: &Bed) -> Result<Self> {
        let address = bed.url().strip_prefix("https://").ok_or_else(|| anyhow!("{} has no TLS", bed.url()))?;
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(bed.folder().join("certs/apiserver.crt"))? {
            roots.add(certificate?)?;
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { address: address.to_owned(), tls: Some(TlsConnector::from(Arc::new(config))) })
    }

    /// `127.0.0.1:PORT`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Sends one request over a connection of its own; returns when the head of the reply is here.
    pub async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>> {
        let connect = tokio::time::timeout(Duration::from_secs(5), TcpStream::connect(&self.address));
        let stream = connect.await.context("the server takes no connection")??;
        stream.set_nodelay(true)?;
        match &self.tls {
            None => exchange(TokioIo::new(stream), request).await,
            Some(tls) => {
                let name = ServerName::try_from("127.0.0.1")?;
                exchange(TokioIo::new(tls.connect(name, stream).await?), request).await
            }
        }
    }
}

async fn exchange<I>(io: I, request: Request<Full<Bytes>>) -> Result<Response<Incoming>>
where
    I: Read + Write + Send + Unpin + 'static,
{
    let (mut sender, connection) = http1::handshake(io).await?;
    // Ends when the reply has been read or dropped.
    tokio::spawn(connection);
    Ok(sender.send_request(request).await?)
}
