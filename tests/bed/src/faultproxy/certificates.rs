//! The certificate a proxy shows where it speaks TLS; another one may be shown from the next connection on.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::TlsAcceptor;

use crate::SelfSigned;

pub(super) struct Shown {
    acceptor: Mutex<TlsAcceptor>,
    /// Each call comes over a connection of its own, so that what is shown now is seen by the next call.
    pub each_call: bool,
}

impl Shown {
    pub fn new(certificate: &SelfSigned, each_call: bool) -> Result<Self> {
        Ok(Self { acceptor: Mutex::new(acceptor(certificate)?), each_call })
    }

    pub fn now(&self) -> TlsAcceptor {
        self.acceptor.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn show(&self, certificate: &SelfSigned) -> Result<()> {
        *self.acceptor.lock().unwrap_or_else(PoisonError::into_inner) = acceptor(certificate)?;
        Ok(())
    }
}

/// A fresh one for 127.0.0.1, its own authority.
pub(super) fn own() -> Result<SelfSigned> {
    SelfSigned::for_loopback("unstick-bed-proxy", ["260101000000Z", "360101000000Z"])
}

/// HTTP/1.1 only.
fn acceptor(made: &SelfSigned) -> Result<TlsAcceptor> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from(made.certificate.clone())],
            PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.key.clone())),
        )?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}
