//! What an `ArchiveLocation` says of itself.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::api::condition::Condition;
use crate::api::time::Time;

/// What the last probe found. Written on change only.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ArchiveLocationStatus {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready says whether archives are stored and verified here, and why not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// The bucket or the folder.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 512))]
    pub bucket: String,
    /// Tells this place from any other: archives are pinned to it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 64))]
    pub fingerprint: String,
    /// As whom the store knows us.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 512))]
    pub identity: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capabilities: Option<Capabilities>,
    /// Day of the first probe that this place stored, such as 2026-11-22: a folder without it is not the volume that it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 10), regex(pattern = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"))]
    pub first_probe: Option<String>,
    /// When the probe last found something new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_probe_time: Option<Time>,
}

impl ArchiveLocationStatus {
    /// The day of the first probe, while the location is still the place (by its fingerprint) that it was of.
    pub fn first_probe_at(&self, fingerprint: &str) -> Option<&str> {
        self.first_probe.as_deref().filter(|_| self.fingerprint == fingerprint)
    }
}

/// What the store can do, as the probe saw it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Capabilities {
    /// Refuses to replace an object when told to (`If-None-Match: *`).
    pub conditional_put: bool,
    /// Has a checksum of its own of what is stored as this location stores it.
    pub checksums: bool,
    /// Keeps older versions of objects.
    pub versioning: bool,
}
