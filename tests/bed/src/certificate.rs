//! A self-signed certificate, as programs make one for themselves when nobody gives them any.

use anyhow::{Result, anyhow};
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// What a TLS server needs, in DER.
#[derive(Clone, Debug)]
pub struct SelfSigned {
    pub certificate: Vec<u8>,
    /// PKCS #8.
    pub key: Vec<u8>,
}

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const ECDSA_WITH_SHA256: [u8; 10] = [0x06, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
const EXTENSIONS: u8 = 0xa3;
const SUBJECT_ALT_NAME: [u8; 5] = [0x06, 3, 0x55, 0x1d, 0x11];
const DNS_NAME: u8 = 0x82;
const IP_ADDRESS: u8 = 0x87;
const COMMON_NAME: [u8; 5] = [0x06, 3, 0x55, 4, 3];

impl SelfSigned {
    /// For that common name, without alternative names; `valid` are two times such as `260101000000Z`.
    pub fn new(name: &str, valid: [&str; 2]) -> Result<Self> {
        Self::make(name, valid, &[])
    }

    /// The same with 127.0.0.1 as alternative name: clients that trust it take it for a server there.
    pub fn for_loopback(name: &str, valid: [&str; 2]) -> Result<Self> {
        Self::make(name, valid, &alternative(&[IP_ADDRESS, 4, 127, 0, 0, 1]))
    }

    /// The same for another host: clients that trust it don't take it for a server at 127.0.0.1.
    pub fn for_host(host: &str, valid: [&str; 2]) -> Result<Self> {
        Self::make(host, valid, &alternative(&part(DNS_NAME, &[host.as_bytes()])))
    }

    /// What a client must trust.
    pub fn pem(&self) -> String {
        let body = STANDARD.encode(&self.certificate);
        let lines: Vec<&str> = body.as_bytes().chunks(64).filter_map(|c| std::str::from_utf8(c).ok()).collect();
        format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
    }

    fn make(name: &str, valid: [&str; 2], extensions: &[u8]) -> Result<Self> {
        let pair =
            EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).map_err(|_| anyhow!("cannot make a key pair"))?;
        let key = pair.to_pkcs8v1().map_err(|_| anyhow!("cannot write a private key"))?;
        let public: PublicKeyX509Der<'_> =
            pair.public_key().as_der().map_err(|_| anyhow!("cannot write a public key"))?;
        let algorithm = part(SEQUENCE, &[&ECDSA_WITH_SHA256]);
        let name = part(SEQUENCE, &[&part(SET, &[&part(SEQUENCE, &[&COMMON_NAME, &part(0x0c, &[name.as_bytes()])])])]);
        let valid = part(SEQUENCE, &valid.map(|time| part(0x17, &[time.as_bytes()])).each_ref().map(Vec::as_slice));
        // Version 3, serial number 1.
        let head = [0xa0, 3, 2, 1, 2, 2, 1, 1];
        let content = part(SEQUENCE, &[&head, &algorithm, &name, &valid, &name, public.as_ref(), extensions]);
        let signature = pair.sign(&SystemRandom::new(), &content).map_err(|_| anyhow!("cannot sign"))?;
        let certificate = part(SEQUENCE, &[&content, &algorithm, &part(3, &[&[0], signature.as_ref()])]);
        Ok(Self { certificate, key: key.as_ref().to_vec() })
    }
}

/// The extensions: one alternative name.
fn alternative(name: &[u8]) -> Vec<u8> {
    let extension = part(SEQUENCE, &[&SUBJECT_ALT_NAME, &part(4, &[&part(SEQUENCE, &[name])])]);
    part(EXTENSIONS, &[&part(SEQUENCE, &[&extension])])
}

/// Tag, length and content (X.690); shorter than 64 KiB.
fn part(tag: u8, content: &[&[u8]]) -> Vec<u8> {
    let content = content.concat();
    let [high, low] = u16::try_from(content.len()).unwrap_or(u16::MAX).to_be_bytes();
    let length: &[u8] = match (high, low) {
        (0, 0..=0x7f) => &[low],
        (0, _) => &[0x81, low],
        _ => &[0x82, high, low],
    };
    [&[tag], length, &content].concat()
}
