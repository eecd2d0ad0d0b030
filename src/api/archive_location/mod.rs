//! `ArchiveLocation`: where archives are kept (API.md section 1). Owned by the cluster's admins.
//!
//! What it names (a Secret, a `ConfigMap`) is read in the operator's own namespace only: no reference carries one.

#![allow(clippy::duplicated_attributes, reason = "columns share a type")]

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use super::period::Period;
use super::selector::LabelSelector;

mod s3;
mod status;

pub use s3::{Checksums, ConfigMapRef, Encryption, S3Location, SecretRef};
pub use status::{ArchiveLocationStatus, Capabilities};

/// Where archives are kept.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "unstick.dev",
    version = "v1alpha1",
    kind = "ArchiveLocation",
    printcolumn(name = "Type", type_ = "string", json_path = ".spec.type"),
    printcolumn(name = "Bucket", type_ = "string", json_path = ".status.bucket"),
    printcolumn(name = "Identity", type_ = "string", json_path = ".status.identity"),
    printcolumn(name = "Ready", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].status"#),
    printcolumn(name = "Reason", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].reason"#),
    printcolumn(name = "Probed", type_ = "date", json_path = ".status.lastProbeTime"),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].message"#,
        priority = 1
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    plural = "archivelocations",
    shortname = "aloc",
    category = "unstick",
    status = "ArchiveLocationStatus",
    derive = "PartialEq",
    doc = "Where archives of finished runs are kept: a bucket or a mounted folder, and who may use it."
)]
#[x_kube(validation = (
    "(self.type == 'S3') == has(self.s3)",
    "type S3 needs s3, and only it: add spec.s3 or remove it"
))]
#[x_kube(validation = (
    "(self.type == 'Filesystem') == has(self.filesystem)",
    "type Filesystem needs filesystem, and only it: add spec.filesystem or remove it"
))]
#[serde(rename_all = "camelCase")]
pub struct ArchiveLocationSpec {
    #[serde(rename = "type")]
    pub kind: LocationType,
    /// For type S3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub s3: Option<S3Location>,
    /// For type Filesystem.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filesystem: Option<FilesystemLocation>,
    /// Namespaces whose runs may be kept here, by label; `{}` is every namespace.
    pub allowed_namespaces: LabelSelector,
    /// ReadOnly: archives are read, nothing is stored, and nothing is deleted on the strength of them.
    #[serde(default)]
    pub access_mode: AccessMode,
    /// How often the location is tried.
    #[serde(default = "default_probe")]
    pub probe_every: Period,
}

/// A folder, mounted into the operator's pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct FilesystemLocation {
    /// Absolute path of a folder that exists.
    #[schemars(length(min = 2, max = 512), regex(pattern = r"^(/[A-Za-z0-9_-][A-Za-z0-9._-]*)+$"))]
    pub path: String,
}

super::reasons::closed! {
    /// What an ArchiveLocation is.
    LocationType { S3, Filesystem }
}

super::reasons::closed! {
    /// What may be done with an ArchiveLocation.
    #[derive(Default)]
    AccessMode { #[default] ReadWrite, ReadOnly }
}

fn default_probe() -> Period {
    Period::new("1h")
}

impl ArchiveLocationSpec {
    /// The bucket or the folder, for people.
    pub fn bucket(&self) -> &str {
        match (&self.s3, &self.filesystem) {
            (Some(s3), _) => &s3.bucket,
            (None, Some(filesystem)) => &filesystem.path,
            (None, None) => "",
        }
    }
}
