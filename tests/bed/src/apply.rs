//! Puts YAML on the server, whatever its kind, by server-side apply.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::discovery::{ApiResource, Scope, oneshot};
use serde_json::Value;

use crate::{Bed, parts};

impl Bed {
    /// Applies every document of `yaml`, in order. `namespace` is for namespaced objects that name none.
    /// Returns the objects as the server holds them.
    pub async fn apply(&self, yaml: &str, namespace: &str) -> Result<Vec<Value>> {
        let mut applied = Vec::new();
        for document in documents(yaml)? {
            applied.push(self.apply_value(document, namespace).await?);
        }
        Ok(applied)
    }

    /// Applies a file, or every `*.yaml` of a folder in the order of their names.
    pub async fn apply_path(&self, path: &Path, namespace: &str) -> Result<()> {
        let mut files = vec![path.to_owned()];
        if path.is_dir() {
            files = std::fs::read_dir(path)?.filter_map(|e| Some(e.ok()?.path())).collect();
            files.retain(|p| p.extension().is_some_and(|e| e == "yaml" || e == "yml"));
            files.sort();
        }
        for file in files {
            let text = std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
            self.apply(&text, namespace).await.with_context(|| format!("cannot apply {}", file.display()))?;
        }
        Ok(())
    }

    /// The CRDs of the Argo version the bed runs, ready to be used.
    pub async fn apply_argo_crds(&self) -> Result<()> {
        let files = tokio::task::spawn_blocking(parts::argo).await??;
        self.apply_path(&files.crds, "").await
    }

    /// Applies one object; a `CustomResourceDefinition` is waited for until the server serves it.
    pub async fn apply_value(&self, object: Value, namespace: &str) -> Result<Value> {
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (version, kind, name) = (text("/apiVersion"), text("/kind"), text("/metadata/name"));
        if version.is_empty() || kind.is_empty() || name.is_empty() {
            bail!("an object to apply needs apiVersion, kind and metadata.name; got {version:?}, {kind:?}, {name:?}");
        }
        let (resource, namespaced) = self.kind(&version, &kind).await?;
        let own = text("/metadata/namespace");
        let api: Api<DynamicObject> = match (namespaced, own.is_empty()) {
            (true, true) => Api::namespaced_with(self.admin()?, namespace, &resource),
            (true, false) => Api::namespaced_with(self.admin()?, &own, &resource),
            (false, _) => Api::all_with(self.admin()?, &resource),
        };
        let params = PatchParams::apply("bed").force();
        let answer = api.patch(&name, &params, &Patch::Apply(&object)).await;
        let answer = answer.with_context(|| format!("the server refused {kind} {name}"))?;
        if kind == "CustomResourceDefinition" {
            self.served(&object).await?;
        }
        Ok(serde_json::to_value(answer)?)
    }

    /// How the server calls a kind, and whether it lives in namespaces.
    async fn kind(&self, version: &str, kind: &str) -> Result<(ApiResource, bool)> {
        let key = format!("{version} {kind}");
        let mut known = self.kinds.lock().await;
        if let Some(found) = known.get(&key) {
            return Ok(found.clone());
        }
        let (group, version) = version.split_once('/').unwrap_or(("", version));
        let gvk = GroupVersionKind::gvk(group, version, kind);
        let (resource, capabilities) = oneshot::pinned_kind(&self.admin()?, &gvk)
            .await
            .with_context(|| format!("the server does not know {key}; is its CRD applied?"))?;
        let found = (resource, capabilities.scope == Scope::Namespaced);
        known.insert(key, found.clone());
        Ok(found)
    }

    /// Waits until the kind of a CRD is served.
    async fn served(&self, crd: &Value) -> Result<()> {
        let text = |pointer: &str| crd.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let version = format!("{}/{}", text("/spec/group"), text("/spec/versions/0/name"));
        let until = Instant::now() + Duration::from_secs(30);
        loop {
            // A kind is in discovery a moment before its requests are answered: ask for the list itself.
            let path = format!("/apis/{version}/{}?limit=1", text("/spec/names/plural"));
            let request = http::Request::get(path).body(Vec::new())?;
            match self.admin()?.request_text(request).await {
                Ok(_) => return Ok(()),
                Err(e) if Instant::now() > until => {
                    return Err(anyhow!(e)).context(format!("{} is not served after 30 s", text("/metadata/name")));
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    }
}

/// The non-empty documents of a YAML (or JSON) text; a `List` is taken apart.
pub(crate) fn documents(yaml: &str) -> Result<Vec<Value>> {
    let parsed: Vec<Value> = serde_saphyr::from_multiple(yaml).map_err(|e| anyhow!("not YAML: {e}"))?;
    let mut objects = Vec::new();
    for mut document in parsed {
        match document.get_mut("items").map(Value::take) {
            Some(Value::Array(items)) => objects.extend(items),
            _ if document.is_null() => {}
            _ => objects.push(document),
        }
    }
    Ok(objects)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_and_lists_are_taken_apart() {
        let found =
            documents("# only a comment\n---\nkind: A\n---\nkind: List\nitems: [{kind: B}, {kind: C}]\n---\n").unwrap();
        let kinds: Vec<&str> = found.iter().map(|d| d["kind"].as_str().unwrap()).collect();
        assert_eq!(kinds, ["A", "B", "C"]);
        assert_eq!(documents(r#"{"kind": "D", "n": 1}"#).unwrap()[0]["n"], 1);
        assert!(documents("a: [").is_err());
    }
}
