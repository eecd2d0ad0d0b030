//! Where the archive is: a bucket or a folder.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use clap::Args;

use crate::archive::key::Layout;
use crate::archive::store::filesystem::Filesystem;
use crate::archive::store::s3::{Limits, S3, S3Settings};
use crate::archive::store::{Store, StoreError};

/// Where the archive is.
#[derive(Args, Clone, Debug)]
pub struct PlaceArgs {
    /// `s3://BUCKET/PREFIX` (credentials as the AWS tools take them) or a folder
    #[arg(long, value_name = "LOCATION", env = "UNSTICK_ARCHIVE_LOCATION")]
    pub location: String,
    /// Prefix of the archives where the location names none
    #[arg(long, value_name = "PREFIX", default_value = "workflow-archives")]
    pub prefix: String,
    /// Endpoint of a store that is not AWS's, such as <https://minio:9000>; implies path style
    #[arg(long, value_name = "URL", env = "AWS_ENDPOINT_URL_S3")]
    pub endpoint: Option<String>,
    /// Region of the bucket; default: as the AWS tools find it
    #[arg(long, value_name = "REGION")]
    pub region: Option<String>,
    /// Certificates to trust besides those of the system, PEM
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
}

/// An archive that can be read.
pub struct Place {
    pub store: Box<dyn Store>,
    pub layout: Layout,
    /// As commands of AWS name it; `None` for a folder.
    pub bucket: Option<String>,
}

impl PlaceArgs {
    /// Prepares the store.
    pub async fn open(&self) -> anyhow::Result<Place> {
        if let Some(rest) = self.location.strip_prefix("s3://") {
            return self.bucket(rest).await;
        }
        let path = Path::new(&self.location);
        if !path.is_dir() {
            bail!("{} is no folder: --location takes s3://BUCKET/PREFIX or a folder", self.location);
        }
        let layout = layout(&self.prefix)?;
        Ok(Place { store: Box::new(Filesystem::new(path, &self.prefix)), layout, bucket: None })
    }

    async fn bucket(&self, rest: &str) -> anyhow::Result<Place> {
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let prefix = if prefix.trim_matches('/').is_empty() { &self.prefix } else { prefix };
        let ca_bundle = match &self.ca_file {
            Some(file) => Some(std::fs::read(file).with_context(|| format!("can't read {}", file.display()))?),
            None => None,
        };
        let endpoint = self.endpoint.clone().unwrap_or_default();
        let settings = S3Settings {
            bucket: bucket.to_owned(),
            prefix: prefix.to_owned(),
            region: self.region.clone().unwrap_or_default(),
            force_path_style: !endpoint.is_empty(),
            endpoint,
            ca_bundle,
            // A person waits, and reads what is large.
            limits: Limits { attempts: 3, call: Duration::from_mins(2), ..Limits::default() },
            ..S3Settings::default()
        };
        let layout = layout(prefix)?;
        let store = S3::connect(settings).await.map_err(|e| told(&e))?;
        Ok(Place { store: Box::new(store), layout, bucket: Some(bucket.to_owned()) })
    }
}

fn layout(prefix: &str) -> anyhow::Result<Layout> {
    Layout::new(prefix).ok_or_else(|| anyhow!("{prefix:?} can't be a prefix of archives"))
}

/// An error of a store with what can be done about it.
pub fn told(error: &StoreError) -> anyhow::Error {
    anyhow!("{error}\n  {}: {}", error.kind.reason(), error.kind.remedy())
}

impl Place {
    /// What to do about an object in a class that can't be read.
    pub fn thaw(&self, key: &str) -> String {
        let bucket = self.bucket.as_deref().unwrap_or("BUCKET");
        format!(
            "aws s3api restore-object --bucket {bucket} --key {key} --restore-request \
             'Days=7,GlacierJobParameters={{Tier=Standard}}'"
        )
    }
}
