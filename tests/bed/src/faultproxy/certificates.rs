//! The certificate a proxy shows where the server behind it speaks TLS.

use std::sync::Arc;

use anyhow::Result;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::TlsAcceptor;

use crate::SelfSigned;

pub(super) struct Own {
    pub acceptor: TlsAcceptor,
    pub pem: String,
}

/// A fresh one for 127.0.0.1, its own authority. HTTP/1.1 only.
pub(super) fn own() -> Result<Own> {
    let made = SelfSigned::for_loopback("unstick-bed-proxy", ["260101000000Z", "360101000000Z"])?;
    let body = STANDARD.encode(&made.certificate);
    let lines: Vec<&str> = body.as_bytes().chunks(64).filter_map(|c| std::str::from_utf8(c).ok()).collect();
    let pem = format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from(made.certificate)],
            PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.key)),
        )?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Own { acceptor: TlsAcceptor::from(Arc::new(config)), pem })
}
