//! A real S3 server in a temporary folder, on a free port of 127.0.0.1, with one bucket owner who may do everything.
//!
//! versitygw and `MinIO` are two dialects: what is promised for S3 is shown before both.

mod judge;
pub mod parts;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    BehaviorVersion, Builder, Credentials, Region, RequestChecksumCalculation, ResponseChecksumValidation,
};

use crate::folder::Folder;
use crate::process::{Part, free_port, tail};

pub use judge::{StoredObject, Version, files_below};

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum S3Kind {
    /// versitygw: objects are files in a folder.
    Versitygw,
    /// The last open version of `MinIO`.
    Minio,
}

impl S3Kind {
    pub const ALL: [Self; 2] = [Self::Versitygw, Self::Minio];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Versitygw => "versitygw",
            Self::Minio => "minio",
        }
    }
}

/// A running S3 server. Dropped: its process is gone and its folder is removed.
pub struct S3Server {
    // Order matters: the server goes before its folder.
    part: Mutex<Option<Part>>,
    folder: Folder,
    program: parts::S3Program,
    port: u16,
    /// `http://127.0.0.1:PORT`, path style.
    pub endpoint: String,
    pub access_key: String,
    pub secret_key: String,
    pub kind: S3Kind,
}

impl S3Server {
    /// Starts it and waits until it answers.
    pub async fn start(kind: S3Kind) -> Result<Self> {
        let program = tokio::task::spawn_blocking(move || parts::program(kind)).await??;
        let mut tries = 0;
        loop {
            tries += 1;
            let folder = Folder::new("unstick-s3-", false)?;
            for name in ["data", "versions", "certs"] {
                std::fs::create_dir(folder.path.join(name))?;
            }
            let port = free_port()?;
            let server = Self {
                part: Mutex::default(),
                folder,
                program: program.clone(),
                port,
                endpoint: format!("http://127.0.0.1:{port}"),
                access_key: "bed-access-key".to_owned(),
                secret_key: "bed-secret-key".to_owned(),
                kind,
            };
            match server.restart().await {
                Ok(()) => return Ok(server),
                // Somebody took the port between our look and the start.
                Err(e) if tries < 3 && format!("{e:#}").contains("address already in use") => {}
                Err(e) => return Err(e),
            }
        }
    }

    /// `versitygw 1.8.0`.
    pub fn version(&self) -> &str {
        &self.program.version
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where it keeps its objects; with versitygw an object is the file `<bucket>/<key>` below.
    pub fn data(&self) -> PathBuf {
        self.folder.path.join("data")
    }

    pub fn log(&self) -> PathBuf {
        self.folder.path.join("server.log")
    }

    /// Kills it; its data stays for [`S3Server::restart`].
    pub fn stop(&self) -> Result<()> {
        self.part.lock().map_err(|_| anyhow!("a test panicked while it held the S3 server"))?.take();
        Ok(())
    }

    /// Starts it (again) on the same port and data.
    pub async fn restart(&self) -> Result<()> {
        self.stop()?;
        let part = Part::start(self.kind.name(), &mut self.command(), &self.log(), self.folder.to_remove())?;
        *self.part.lock().map_err(|_| anyhow!("a test panicked while it held the S3 server"))? = Some(part);
        let until = Instant::now() + Duration::from_mins(1);
        let client = self.client();
        loop {
            self.check()?;
            let asked = tokio::time::timeout(Duration::from_secs(5), client.list_buckets().send()).await;
            match asked {
                Ok(Ok(_)) => return Ok(()),
                _ if Instant::now() < until => tokio::time::sleep(Duration::from_millis(50)).await,
                other => bail!(
                    "{} is not ready ({other:?}); the end of its log:\n{}",
                    self.kind.name(),
                    tail(&self.log(), 15)
                ),
            }
        }
    }

    /// An error with its last words if it has ended by itself.
    pub fn check(&self) -> Result<()> {
        let mut part = self.part.lock().map_err(|_| anyhow!("a test panicked while it held the S3 server"))?;
        part.as_mut().map_or(Ok(()), Part::expect_alive)
    }

    pub fn pid(&self) -> Option<u32> {
        Some(self.part.lock().ok()?.as_ref()?.pid())
    }

    /// Makes a bucket.
    pub async fn create_bucket(&self, name: &str) -> Result<()> {
        let done = self.client().create_bucket().bucket(name).send().await;
        done.with_context(|| format!("cannot make the bucket {name}"))?;
        Ok(())
    }

    /// Makes a bucket that keeps every version of an object: what was overwritten can be seen.
    pub async fn create_versioned_bucket(&self, name: &str) -> Result<()> {
        use aws_sdk_s3::types::{BucketVersioningStatus, VersioningConfiguration};
        self.create_bucket(name).await?;
        let on = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
        let done = self.client().put_bucket_versioning().bucket(name).versioning_configuration(on).send().await;
        done.with_context(|| format!("cannot turn on versioning of the bucket {name}"))?;
        Ok(())
    }

    /// A client of its owner, straight to the server.
    pub fn client(&self) -> Client {
        self.client_at(&self.endpoint)
    }

    /// A client of its owner by way of another address, such as a proxy's: one try each, 10 s at most.
    pub fn client_at(&self, endpoint: &str) -> Client {
        client_of(endpoint, &self.access_key, &self.secret_key)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program.path);
        let at = |name: &str| self.folder.path.join(name);
        let address = format!("127.0.0.1:{}", self.port);
        // No proxies, no home, no settings of whoever runs the tests.
        command.env_clear().env("HOME", &self.folder.path);
        if let Some(path) = std::env::var_os("PATH") {
            command.env("PATH", path);
        }
        match self.kind {
            S3Kind::Versitygw => command
                .env("ROOT_ACCESS_KEY", &self.access_key)
                .env("ROOT_SECRET_KEY", &self.secret_key)
                .args(["--port", &address, "posix", "--versioning-dir"])
                .arg(at("versions"))
                .arg(at("data")),
            // Without the update check it asks nobody outside.
            S3Kind::Minio => command
                .env("MINIO_ROOT_USER", &self.access_key)
                .env("MINIO_ROOT_PASSWORD", &self.secret_key)
                .envs([("MINIO_BROWSER", "off"), ("MINIO_UPDATE", "off"), ("MINIO_CI_CD", "on")])
                .args(["server", "--quiet", "--address", &address, "--certs-dir"])
                .arg(at("certs"))
                .arg(at("data")),
        };
        command
    }

    /// The folder with log and data.
    pub fn folder(&self) -> &Path {
        &self.folder.path
    }
}

/// A client with this access key: one try each, 10 s at most.
pub(crate) fn client_of(endpoint: &str, access_key: &str, secret_key: &str) -> Client {
    let limits = TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(3))
        .operation_timeout(Duration::from_secs(10))
        .build();
    let config = Builder::new()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new(access_key, secret_key, None, None, "bed"))
        .endpoint_url(endpoint)
        .force_path_style(true)
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
        .retry_config(RetryConfig::disabled())
        .timeout_config(limits)
        .build();
    Client::from_conf(config)
}
