//! Where the archive is: a bucket, a folder, or an `ArchiveLocation` of the cluster by its name.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use clap::Args;

use super::expiry::OF_A_BUCKET;
use super::location;
use crate::api::archive_location::ArchiveLocation;
use crate::archive::key::Layout;
use crate::archive::store::filesystem::Filesystem;
use crate::archive::store::s3::{Limits, S3, S3Settings};
use crate::archive::store::{Fault, Store, StoreError};
use crate::cli::args::{Global, duration};
use crate::cli::source::cluster::Cluster;

/// What they stand under in help texts.
pub const PLACE: &str = "Place";

/// Where the archive is.
#[derive(Args, Clone, Debug)]
pub struct PlaceArgs {
    /// `s3://BUCKET/PREFIX` (credentials as the AWS tools take them), a folder (with a / in it), or the name of an
    /// `ArchiveLocation` of the cluster
    #[arg(help_heading = PLACE, long, value_name = "LOCATION", env = "UNSTICK_ARCHIVE_LOCATION")]
    pub location: String,
    /// How long the bucket's lifecycle keeps what is stored: what is gone after that is told as expired, before as
    /// missing. Default: 2555d, as in deploy/aws, for buckets; folders keep everything
    #[arg(help_heading = PLACE, long, value_name = "DURATION", env = "UNSTICK_ARCHIVE_EXPIRES_AFTER", value_parser = duration)]
    pub expires_after: Option<Duration>,
    #[command(flatten)]
    pub reach: ReachArgs,
}

/// How a place is reached.
#[derive(Args, Clone, Debug)]
pub struct ReachArgs {
    /// Prefix of the archives where the location names none
    #[arg(help_heading = PLACE, long, value_name = "PREFIX", default_value = "workflow-archives")]
    pub prefix: String,
    /// Endpoint of a store that is not AWS's, such as `https://minio:9000`; implies path style. Default: that of the
    /// `ArchiveLocation`, else `$AWS_ENDPOINT_URL_S3`
    #[arg(help_heading = PLACE, long, value_name = "URL")]
    pub endpoint: Option<String>,
    /// Region of the bucket; default: that of the `ArchiveLocation`, else as the AWS tools find it
    #[arg(help_heading = PLACE, long, value_name = "REGION")]
    pub region: Option<String>,
    /// Certificates to trust besides those of the system, PEM; default: those of the `ArchiveLocation`
    #[arg(help_heading = PLACE, long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// The operator's namespace: there is the Secret that an `ArchiveLocation` names. Who may not read it uses
    /// credentials of their own
    #[arg(help_heading = PLACE, long, env = "UNSTICK_LEASE_NAMESPACE", value_name = "NS", default_value = "unstick-system")]
    pub operator_namespace: String,
}

/// An archive that can be read.
pub struct Place {
    pub store: Arc<dyn Store>,
    pub layout: Layout,
    /// As commands of AWS name it; `None` for a folder.
    pub bucket: Option<String>,
    /// When the store itself deletes what it has; `None` = never.
    pub expires_after: Option<Duration>,
}

/// Whether a location is the name of an `ArchiveLocation`: neither a path nor a URL.
pub fn is_name(location: &str) -> bool {
    !location.contains(['/', '\\', ':']) && !location.starts_with('.') && !location.is_empty()
}

impl PlaceArgs {
    /// Prepares the store; asks a cluster only for an `ArchiveLocation`.
    pub async fn open(&self, global: &Global, err: &mut dyn Write) -> anyhow::Result<Place> {
        Ok(self.opened(global, err).await?.0)
    }

    /// The same to write there: an `ArchiveLocation` of a folder must still be what the operator has seen.
    pub async fn open_to_write(&self, global: &Global, err: &mut dyn Write) -> anyhow::Result<Place> {
        let (place, object) = self.opened(global, err).await?;
        if let Some(object) = object {
            let location = location::location_of(&object)?;
            location::mounted(&object, &*place.store, &location).await?;
        }
        Ok(place)
    }

    async fn opened(&self, global: &Global, err: &mut dyn Write) -> anyhow::Result<(Place, Option<ArchiveLocation>)> {
        let (mut place, object) = self.found(global, err).await?;
        place.expires_after = self.expires_after.or(place.expires_after);
        Ok((place, object))
    }

    async fn found(&self, global: &Global, err: &mut dyn Write) -> anyhow::Result<(Place, Option<ArchiveLocation>)> {
        if !is_name(&self.location) {
            return Ok((self.reach.open(&self.location).await?, None));
        }
        let cluster = Cluster::open(global, None).await.with_context(|| {
            format!("--location {} names an ArchiveLocation (a folder would be ./{0})", self.location)
        })?;
        let object = location::read(&cluster, &self.location).await?;
        let store = location::as_known(&object, location::open(&cluster, &object, &self.reach, err).await?);
        let layout = location::location_of(&object)?.layout;
        let expires_after = object.spec.s3.as_ref().map(|_| OF_A_BUCKET);
        let bucket = object.spec.s3.as_ref().map(|s3| s3.bucket.clone());
        Ok((Place { store, layout, bucket, expires_after }, Some(object)))
    }
}

impl ReachArgs {
    /// A bucket or a folder.
    pub async fn open(&self, location: &str) -> anyhow::Result<Place> {
        if let Some(rest) = location.strip_prefix("s3://") {
            return self.bucket(rest).await;
        }
        let path = Path::new(location);
        if !path.is_dir() {
            bail!(
                "{location} is no folder: --location takes s3://BUCKET/PREFIX, a folder or the name of an \
                 ArchiveLocation"
            );
        }
        let layout = layout(&self.prefix)?;
        Ok(Place { store: Arc::new(Filesystem::new(path, &self.prefix)), layout, bucket: None, expires_after: None })
    }

    /// Bucket and prefix of `s3://bucket/prefix`.
    pub fn bucket_and_prefix<'a>(&'a self, rest: &'a str) -> (&'a str, &'a str) {
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        (bucket, if prefix.trim_matches('/').is_empty() { &self.prefix } else { prefix })
    }

    /// Of the flag or of the environment.
    pub fn own_endpoint(&self) -> String {
        self.endpoint.clone().or_else(|| std::env::var("AWS_ENDPOINT_URL_S3").ok()).unwrap_or_default()
    }

    /// The certificates of `--ca-file`.
    pub fn ca_bundle(&self) -> anyhow::Result<Option<Vec<u8>>> {
        let Some(file) = &self.ca_file else { return Ok(None) };
        std::fs::read(file).map(Some).with_context(|| format!("can't read {}", file.display()))
    }

    async fn bucket(&self, rest: &str) -> anyhow::Result<Place> {
        let (bucket, prefix) = self.bucket_and_prefix(rest);
        let endpoint = self.own_endpoint();
        let settings = S3Settings {
            bucket: bucket.to_owned(),
            prefix: prefix.to_owned(),
            region: self.region.clone().unwrap_or_default(),
            force_path_style: !endpoint.is_empty(),
            endpoint,
            ca_bundle: self.ca_bundle()?,
            limits: patient(),
            ..S3Settings::default()
        };
        let layout = layout(prefix)?;
        let store = S3::connect(settings).await.map_err(|e| told(&e))?;
        let (store, bucket) = (Arc::new(store), Some(bucket.to_owned()));
        Ok(Place { store, layout, bucket, expires_after: Some(OF_A_BUCKET) })
    }
}

/// A person waits, and reads what is large.
pub fn patient() -> Limits {
    Limits { attempts: 3, call: Duration::from_mins(2), ..Limits::default() }
}

fn layout(prefix: &str) -> anyhow::Result<Layout> {
    Layout::new(prefix).ok_or_else(|| anyhow!("{prefix:?} can't be a prefix of archives"))
}

/// An error of a store with what can be done about it.
pub fn told(error: &StoreError) -> anyhow::Error {
    anyhow!("{error}\n  {}: {}", error.kind.reason(), remedy(error.kind))
}

/// What whoever types the command can do: where it is about credentials, it is about theirs.
fn remedy(fault: Fault) -> &'static str {
    match fault {
        Fault::NoCredentials => "set credentials as the AWS tools take them, such as AWS_PROFILE or aws sso login",
        other => other.remedy(),
    }
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
