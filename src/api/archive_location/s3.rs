//! Settings of a location in S3 or a store that speaks its protocol.

use std::collections::BTreeMap;

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::api::reasons::closed;

/// A bucket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = (
    "(self.serverSideEncryption == 'KMS') == (self.kmsKeyId != '')",
    "kmsKeyId and serverSideEncryption KMS belong together: set both or neither"
))]
#[x_kube(validation = (
    "self.endpoint == '' || (isURL(self.endpoint) && url(self.endpoint).getScheme() in ['http', 'https'])",
    "endpoint must be an http or https address such as https://minio.example:9000, or empty for AWS"
))]
#[serde(rename_all = "camelCase")]
pub struct S3Location {
    #[schemars(length(min = 3, max = 63), regex(pattern = "^[a-z0-9][a-z0-9.-]*[a-z0-9]$"))]
    pub bucket: String,
    /// What all keys begin with; the index stands beside it, under `<prefix>-index`.
    #[serde(default = "default_prefix")]
    #[schemars(
        length(min = 1, max = 256),
        regex(pattern = "^[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*$")
    )]
    pub prefix: String,
    #[serde(default = "default_region")]
    #[schemars(length(min = 1, max = 64), regex(pattern = "^[a-z0-9-]+$"))]
    pub region: String,
    /// Address of a store that is not AWS; empty = AWS.
    #[serde(default)]
    #[schemars(length(max = 512))]
    pub endpoint: String,
    /// The bucket stands in the path, not in the host name: most stores that are not AWS need it.
    #[serde(default)]
    pub force_path_style: bool,
    /// Certificates to trust beside the usual ones, key `ca.crt` of a ConfigMap in the operator's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_config_map_ref: Option<ConfigMapRef>,
    /// Keys `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and, where needed, `AWS_SESSION_TOKEN` of a Secret in the
    /// operator's namespace; absent = what AWS' own default chain finds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_secret_ref: Option<SecretRef>,
    #[serde(default)]
    pub server_side_encryption: Encryption,
    /// Key id or ARN, for KMS.
    #[serde(default)]
    #[schemars(length(max = 2048))]
    pub kms_key_id: String,
    /// Class in which bodies are stored; the index is always STANDARD.
    #[serde(default = "default_class")]
    #[schemars(length(min = 1, max = 64), regex(pattern = "^[A-Z][A-Z0-9_]*$"))]
    pub storage_class: String,
    /// Tags of every object.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "tags")]
    pub tags: BTreeMap<String, String>,
    /// Auto: as WhenSupported on AWS, WhenRequired at any other endpoint, where additional checksums often fail.
    #[serde(default)]
    pub checksums: Checksums,
}

/// A Secret in the operator's own namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct SecretRef {
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// A `ConfigMap` in the operator's own namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct ConfigMapRef {
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

closed! {
    /// Encryption that the store is asked for.
    #[derive(Default)]
    Encryption { #[default] None, AES256, KMS }
}

closed! {
    /// When the client adds checksums of its own to requests.
    #[derive(Default)]
    Checksums { #[default] Auto, WhenRequired, WhenSupported }
}

/// S3 takes ten tags an object, keys of 128 and values of 256 characters (AWS: object tagging).
fn tags(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "object", "additionalProperties": {"type": "string", "maxLength": 256}, "maxProperties": 10,
    })
}

fn default_prefix() -> String {
    "workflow-archives".to_owned()
}

fn default_region() -> String {
    "us-east-1".to_owned()
}

fn default_class() -> String {
    "STANDARD".to_owned()
}
