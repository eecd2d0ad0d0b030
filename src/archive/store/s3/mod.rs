//! A bucket of S3, or of anything that speaks its language.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_credential_types::credential_feature::AwsCredentialFeature;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    BehaviorVersion, Credentials, ProvideCredentials as _, Region, RequestChecksumCalculation,
    ResponseChecksumValidation, SharedCredentialsProvider, SharedHttpClient, StalledStreamProtectionConfig,
};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumMode, ServerSideEncryption, StorageClass};
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::fault::{Call, Fault, StoreError};
use super::{Bytes, Fingerprint, Head, List, Listed, Meta, Object, Page, Put, Store};
use crate::mutant;

mod fault;
mod identity;
mod settings;

pub use settings::{Checksums, Encryption, Limits, S3Credentials, S3Settings};

/// The region that stores without regions are told.
const ANY_REGION: &str = "us-east-1";

/// A bucket.
#[derive(Clone, Debug)]
pub struct S3 {
    client: Client,
    credentials: Option<SharedCredentialsProvider>,
    settings: S3Settings,
    fingerprint: Fingerprint,
}

impl S3 {
    /// Prepares a client; nothing is asked of the store yet, but the default chain may look for credentials.
    ///
    /// # Errors
    /// A setting can't be used.
    pub async fn connect(settings: S3Settings) -> Result<Self, StoreError> {
        let invalid = |what: &str| StoreError::new(Fault::Invalid, what.to_owned());
        if settings.bucket.is_empty() {
            return Err(invalid("the location names no bucket"));
        }
        if !settings.own_endpoint()
            && !settings.endpoint.starts_with("http://")
            && !settings.endpoint.starts_with("https://")
        {
            return Err(invalid("the endpoint must begin with https:// or http://"));
        }
        let client = http_client(settings.ca_bundle.as_deref())?;
        let (mut config, credentials) = if let Some(own) = &settings.credentials {
            let token = own.session_token.clone().filter(|t| !t.is_empty());
            let fixed = Credentials::new(&own.access_key_id, &own.secret_access_key, token, None, "ArchiveLocation");
            let fixed = SharedCredentialsProvider::new(fixed);
            let region = if settings.region.is_empty() { ANY_REGION } else { &settings.region };
            let config = aws_sdk_s3::config::Builder::new()
                .behavior_version(BehaviorVersion::latest())
                .region(Region::new(region.to_owned()))
                .credentials_provider(fixed.clone());
            (config, Some(fixed))
        } else {
            let chain = default_chain(&settings, client.clone()).await;
            (aws_sdk_s3::config::Builder::from(&chain), chain.credentials_provider())
        };
        if !settings.own_endpoint() {
            config = config.endpoint_url(&settings.endpoint);
        }
        let (request, response) = if settings.sends_checksums() {
            (RequestChecksumCalculation::WhenSupported, ResponseChecksumValidation::WhenSupported)
        } else {
            (RequestChecksumCalculation::WhenRequired, ResponseChecksumValidation::WhenRequired)
        };
        let limits = settings.limits;
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(limits.connect)
            .read_timeout(limits.attempt)
            .operation_attempt_timeout(limits.attempt)
            .operation_timeout(limits.call);
        let retries = RetryConfig::standard()
            .with_max_attempts(limits.attempts.max(1))
            .with_initial_backoff(Duration::from_millis(100))
            .with_max_backoff(Duration::from_secs(2));
        let config = config
            .http_client(client)
            .force_path_style(settings.force_path_style)
            .request_checksum_calculation(request)
            .response_checksum_validation(response)
            .timeout_config(timeouts.build())
            .retry_config(retries)
            // It would cut calls that are slow but fine; the limits above hold in any case.
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .build();
        let fingerprint = Fingerprint::s3(&settings.endpoint, &settings.bucket, &settings.prefix);
        Ok(Self { client: Client::from_conf(config), credentials, settings, fingerprint })
    }

    pub fn settings(&self) -> &S3Settings {
        &self.settings
    }

    /// The body of an answer under the limit of a call: the SDK's own ends with the headers.
    async fn read(&self, key: &str, mut body: ByteStream, room: usize, limit: usize) -> Result<Bytes, StoreError> {
        let reading = async {
            let mut bytes = Vec::with_capacity(room);
            while let Some(piece) = body.next().await {
                let piece = piece.map_err(|error| {
                    let kind = fault::of_words(&fault::chain(&error));
                    StoreError::new(kind, format!("can't get {key}: {}", fault::innermost(&error)))
                })?;
                if bytes.len() + piece.len() > limit {
                    return Err(StoreError::new(Fault::TooLarge, format!("{key} has over {limit} bytes")));
                }
                bytes.extend_from_slice(&piece);
            }
            Ok(Bytes::from(bytes))
        };
        let slow = |_| StoreError::new(Fault::Timeout, format!("can't get {key}: its content comes too slowly"));
        tokio::time::timeout(self.settings.limits.call, reading).await.map_err(slow)?
    }
}

fn http_client(ca_bundle: Option<&[u8]>) -> Result<SharedHttpClient, StoreError> {
    let mut trusted = TrustStore::default();
    if let Some(pem) = ca_bundle {
        check_certificates(pem)?;
        trusted.add_pem_certificate(pem);
    }
    let context = TlsContext::builder().with_trust_store(trusted).build();
    let context = context.map_err(|e| StoreError::new(Fault::Invalid, format!("the CA bundle can't be used: {e}")))?;
    let builder = aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::AwsLc));
    Ok(builder.tls_context(context).build_https())
}

/// The client would take a bundle on trust, and panic at the first request.
fn check_certificates(pem: &[u8]) -> Result<(), StoreError> {
    let invalid = |what: String| StoreError::new(Fault::Invalid, format!("the CA bundle can't be used: {what}"));
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|e| invalid(e.to_string()))?;
        roots.add(certificate).map_err(|e| invalid(e.to_string()))?;
    }
    if roots.is_empty() { Err(invalid("it has no certificate".to_owned())) } else { Ok(()) }
}

async fn default_chain(settings: &S3Settings, client: SharedHttpClient) -> aws_config::SdkConfig {
    let loader = aws_config::defaults(BehaviorVersion::latest()).http_client(client);
    // To find the region of a machine that has none would take seconds.
    let region = match (settings.region.as_str(), settings.own_endpoint()) {
        ("", true) => return loader.load().await,
        ("", false) => ANY_REGION,
        (region, _) => region,
    };
    loader.region(Region::new(region.to_owned())).load().await
}

type Failed<E> = SdkError<E, HttpResponse>;

fn code_of<E: ProvideErrorMetadata>(error: &Failed<E>) -> (u16, &str) {
    fault::answer(error).map_or((0, ""), |answer| (answer.status, answer.code.unwrap_or_default()))
}

#[async_trait]
impl Store for S3 {
    fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    async fn put_new(&self, key: &str, body: Bytes, meta: &Meta) -> Result<Put, StoreError> {
        let own = &self.settings;
        // Whatever is there, same or other, stays: who puts reads it and compares.
        let looks = own.without_conditional_put && !mutant::on("put-unlooked");
        if looks && self.head(key).await?.is_some() {
            return Ok(Put::Exists);
        }
        let is_index = key.starts_with(&format!("{}-index/", own.prefix.trim_matches('/')));
        let class =
            Some(own.storage_class.as_str()).filter(|class| !is_index && !class.is_empty() && *class != "STANDARD");
        let (encryption, key_id) = match &own.encryption {
            Encryption::None => (None, None),
            Encryption::Aes256 => (Some(ServerSideEncryption::Aes256), None),
            Encryption::Kms(id) => (Some(ServerSideEncryption::AwsKms), Some(id.clone()).filter(|id| !id.is_empty())),
        };
        let is_json = std::path::Path::new(key).extension().is_some_and(|e| e == "json");
        let sent = self
            .client
            .put_object()
            .bucket(&own.bucket)
            .key(key)
            .content_type(if is_json { "application/json" } else { "application/gzip" })
            .set_if_none_match((!own.without_conditional_put).then(|| "*".to_owned()))
            .set_metadata((!meta.is_empty()).then(|| meta.clone().into_iter().collect()))
            .set_storage_class(class.map(StorageClass::from))
            .set_server_side_encryption(encryption)
            .set_ssekms_key_id(key_id)
            .set_tagging(own.tagging())
            .body(ByteStream::from(body))
            .send()
            .await;
        match sent {
            Ok(put) => Ok(Put::Created { version_id: put.version_id.filter(|v| v != "null") }),
            Err(error) => match code_of(&error) {
                (412, _) | (_, "PreconditionFailed") => Ok(Put::Exists),
                (409, "ConditionalRequestConflict" | "OperationAborted" | "Conflict" | "") => Ok(Put::Raced),
                _ => Err(fault::classify(Call::Put, key, &error)),
            },
        }
    }

    async fn get(&self, key: &str, limit: usize) -> Result<Option<Object>, StoreError> {
        let found = match self.client.get_object().bucket(&self.settings.bucket).key(key).send().await {
            Ok(found) => found,
            Err(error) => match code_of(&error) {
                (_, "NoSuchKey" | "NotFound") | (404, "") => return Ok(None),
                _ => return Err(fault::classify(Call::Get, key, &error)),
            },
        };
        let size = found.content_length.and_then(|size| usize::try_from(size).ok());
        if size.is_some_and(|size| size > limit) {
            return Err(StoreError::new(Fault::TooLarge, format!("{key} has over {limit} bytes")));
        }
        let bytes = self.read(key, found.body, size.unwrap_or(0), limit).await?;
        Ok(Some(Object {
            bytes,
            version_id: found.version_id.filter(|v| v != "null"),
            storage_class: found.storage_class.map(|class| class.as_str().to_owned()),
            meta: found.metadata.unwrap_or_default().into_iter().map(|(k, v)| (k.to_ascii_lowercase(), v)).collect(),
        }))
    }

    async fn head(&self, key: &str) -> Result<Option<Head>, StoreError> {
        let found = match self.client.head_object().bucket(&self.settings.bucket).key(key).send().await {
            Ok(found) => found,
            Err(error) => match code_of(&error) {
                (404, code) if code != "NoSuchBucket" => return Ok(None),
                _ => return Err(fault::classify(Call::Head, key, &error)),
            },
        };
        Ok(Some(Head {
            size: found.content_length.and_then(|size| u64::try_from(size).ok()).unwrap_or(0),
            version_id: found.version_id.filter(|v| v != "null"),
            storage_class: found.storage_class.map(|class| class.as_str().to_owned()),
            meta: found.metadata.unwrap_or_default().into_iter().map(|(k, v)| (k.to_ascii_lowercase(), v)).collect(),
        }))
    }

    async fn settle(&self, _: &str) -> Result<(), StoreError> {
        Ok(())
    }

    /// A bucket's name stands for one bucket.
    fn rely_on(&self, _: &str) {}

    async fn keeps_checksum(&self, key: &str) -> Result<bool, StoreError> {
        let asked =
            self.client.head_object().bucket(&self.settings.bucket).key(key).checksum_mode(ChecksumMode::Enabled);
        let found = asked.send().await.map_err(|error| fault::classify(Call::Head, key, &error))?;
        let all = [
            found.checksum_crc32,
            found.checksum_crc32_c,
            found.checksum_crc64_nvme,
            found.checksum_sha1,
            found.checksum_sha256,
        ];
        Ok(all.iter().any(Option::is_some))
    }

    async fn list(&self, what: &List<'_>) -> Result<Page, StoreError> {
        let asked = self
            .client
            .list_objects_v2()
            .bucket(&self.settings.bucket)
            .prefix(what.prefix)
            .set_delimiter(what.folders.then(|| "/".to_owned()))
            .set_start_after(what.after.filter(|_| what.token.is_none()).map(str::to_owned))
            .set_continuation_token(what.token.map(str::to_owned));
        let found = asked.send().await.map_err(|error| fault::classify(Call::List, what.prefix, &error))?;
        let objects = found.contents.unwrap_or_default().into_iter().filter_map(|object| {
            Some(Listed {
                key: object.key?,
                size: object.size.and_then(|size| u64::try_from(size).ok()).unwrap_or(0),
                storage_class: object.storage_class.map(|class| class.as_str().to_owned()),
            })
        });
        let folders = found.common_prefixes.unwrap_or_default().into_iter().filter_map(|folder| folder.prefix);
        let more = found.is_truncated.unwrap_or(found.next_continuation_token.is_some());
        let next = found.next_continuation_token.filter(|token| more && !token.is_empty());
        if more && next.is_none() {
            // A part taken for the whole would make a catalogue without the rest.
            let what = format!("can't list {}: the store says that there is more, and not how to get it", what.prefix);
            return Err(StoreError::new(Fault::Unsupported, what));
        }
        Ok(Page { objects: objects.collect(), folders: folders.collect(), next })
    }

    fn without_condition(&self) -> Option<Arc<dyn Store>> {
        let settings = S3Settings { without_conditional_put: true, ..self.settings.clone() };
        Some(Arc::new(Self { settings, ..self.clone() }))
    }

    fn looks_first(&self) -> bool {
        self.settings.without_conditional_put
    }

    async fn identity(&self) -> Result<String, StoreError> {
        let none = |why: String| StoreError::new(Fault::NoCredentials, why);
        let provider = self.credentials.as_ref().ok_or_else(|| none("no credentials are configured".to_owned()))?;
        let found = provider.provide_credentials().await.map_err(|error| {
            let kind = match fault::of_words(&fault::chain(&error)) {
                Fault::Unreachable => Fault::NoCredentials,
                kind => kind,
            };
            StoreError::new(kind, format!("no credentials: {}", fault::innermost(&error)))
        })?;
        let key = format!("access key …{}", settings::last_four(found.access_key_id()));
        let features = found.get_property::<Vec<AwsCredentialFeature>>().map_or(&[][..], Vec::as_slice);
        let name = identity::of(features, |variable| std::env::var(variable).ok());
        Ok(name.map_or_else(|| key.clone(), |name| format!("{name} ({key})")))
    }
}
