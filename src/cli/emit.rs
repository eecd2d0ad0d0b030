//! JSON and YAML on standard output: stable names, one envelope (API.md section 4).

use anyhow::Context as _;
use serde::Serialize;

/// Version of everything the commands write.
pub const API_VERSION: &str = "cli.unstick.dev/v1alpha1";

/// JSON or YAML.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Json,
    Yaml,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct List<'a, T> {
    api_version: &'a str,
    kind: &'a str,
    items: &'a [T],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Object<'a, T> {
    api_version: &'a str,
    kind: &'a str,
    #[serde(flatten)]
    item: &'a T,
}

/// `{apiVersion, kind, items}` with a line break at the end.
pub fn list<T: Serialize>(kind: &str, items: &[T], form: Form) -> anyhow::Result<String> {
    write(&List { api_version: API_VERSION, kind, items }, form)
}

/// `{apiVersion, kind, ...}` with a line break at the end.
pub fn object<T: Serialize>(kind: &str, item: &T, form: Form) -> anyhow::Result<String> {
    write(&Object { api_version: API_VERSION, kind, item }, form)
}

fn write<T: Serialize>(value: &T, form: Form) -> anyhow::Result<String> {
    let mut text = match form {
        Form::Json => serde_json::to_string_pretty(value).context("can't write JSON")?,
        Form::Yaml => serde_saphyr::to_string(value).context("can't write YAML")?,
    };
    if !text.ends_with('\n') {
        text.push('\n');
    }
    Ok(text)
}
