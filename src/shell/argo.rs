//! Asks an Argo controller's metrics address whether it answers: 2xx within 5 s is a sign of life, nothing else is.
//!
//! Argo signs the certificate of that port itself unless told otherwise, so there is nobody who could vouch for it: the
//! server's certificate is *not* verified here, be it expired or another's. Nothing of ours is at risk: no token and no
//! certificate is sent (I20), and nothing of the answer but its status is read. What is left is what `http` has, too:
//! somebody on the way could make a dead controller look alive. Its Lease, read from the API server, can't be forged so.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::Empty;
use hyper::body::Bytes;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Between two questions.
const EVERY: Duration = Duration::from_secs(15);
const PATIENCE: Duration = Duration::from_secs(5);

type Asking = Client<HttpsConnector<HttpConnector>, Empty<Bytes>>;

/// Asks until the handle is aborted; tells each time whether it was answered.
pub fn ask(instance: String, url: String, tell: mpsc::Sender<(String, bool)>) -> JoinHandle<()> {
    tokio::spawn(async move {
        let client =
            client().inspect_err(|error| tracing::error!(%error, instance, "its metrics address can't be asked")).ok();
        loop {
            let answered = match &client {
                Some(client) => answers(client, &url).await,
                None => false,
            };
            if tell.send((instance.clone(), answered)).await.is_err() {
                return;
            }
            tokio::time::sleep(EVERY).await;
        }
    })
}

fn client() -> Result<Asking, rustls::Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let tls = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
        .with_no_client_auth();
    let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().build();
    // A connection for each question: that one can be made is part of it.
    Ok(Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector))
}

async fn answers(client: &Asking, url: &str) -> bool {
    let Ok(uri) = url.parse::<http::Uri>() else { return false };
    // Only the head is waited for; the connection ends with the unread body.
    let answer = tokio::time::timeout(PATIENCE, client.get(uri)).await;
    matches!(answer, Ok(Ok(response)) if response.status().is_success())
}

/// Takes every certificate; why that is right here and nowhere else stands at the top.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    // A signature by an unknown key proves nothing.
    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
