//! Requests and watch streams as they are on the wire.

use std::time::Duration;

use ::http::{Method, Request, StatusCode};
use anyhow::{Context, Result, anyhow, bail, ensure};
use http_body_util::BodyExt;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

/// How many workflows [`Http::prepare`] makes in the first namespace.
pub const MADE: usize = 23;
/// Nothing on a healthy server takes longer.
const LIMIT: Duration = Duration::from_secs(15);

pub struct Http {
    client: Client,
    pub namespace: String,
    pub other: String,
}

/// Status code and JSON.
pub type Answer = (StatusCode, Value);

impl Http {
    pub fn new(client: Client, namespace: &str) -> Self {
        Self { client, namespace: namespace.to_owned(), other: format!("{namespace}-other") }
    }

    /// The path of the workflows of the first namespace.
    pub fn path(&self) -> String {
        Self::path_in(&self.namespace)
    }

    pub fn path_in(namespace: &str) -> String {
        format!("/apis/argoproj.io/v1alpha1/namespaces/{namespace}/workflows")
    }

    pub async fn send(&self, method: Method, path: &str, content_type: &str, body: &Value) -> Result<Answer> {
        let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string().into_bytes()) };
        let request = Request::builder().method(method).uri(path).header("content-type", content_type).body(body)?;
        let asked = async {
            let response = self.client.send(request).await?;
            ensure!(response.headers().contains_key("date"), "no Date header");
            let status = response.status();
            let text = response.into_body().collect().await?.to_bytes();
            Ok((status, serde_json::from_slice(&text).with_context(|| String::from_utf8_lossy(&text).into_owned())?))
        };
        tokio::time::timeout(LIMIT, asked).await.with_context(|| format!("no answer from {path}"))?
    }

    pub async fn get(&self, path: &str) -> Result<Answer> {
        self.send(Method::GET, path, "application/json", &Value::Null).await
    }

    /// A GET that must work.
    pub async fn read(&self, path: &str) -> Result<Value> {
        let (status, value) = self.get(path).await?;
        ensure!(status == StatusCode::OK, "GET {path}: {status}: {value}");
        Ok(value)
    }

    /// A workflow made of that name; it carries a label so that no Argo controller is responsible.
    pub async fn make(&self, namespace: &str, name: &str, labels: Value) -> Result<Value> {
        let mut all = json!({"workflows.argoproj.io/controller-instanceid": "nobody"});
        merge(&mut all, labels);
        let object = json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "metadata": {"name": name, "labels": all},
            "spec": {"entrypoint": "main", "templates": [{"name": "main", "suspend": {}}]},
        });
        let (status, made) = self.send(Method::POST, &Self::path_in(namespace), "application/json", &object).await?;
        ensure!(status == StatusCode::CREATED, "POST of {name}: {status}: {made}");
        Ok(made)
    }

    /// A merge patch, whatever comes of it.
    pub async fn patch(&self, name: &str, patch: Value) -> Result<Answer> {
        self.send(Method::PATCH, &format!("{}/{name}", self.path()), "application/merge-patch+json", &patch).await
    }

    /// A merge patch that must work.
    pub async fn patched(&self, name: &str, patch: Value) -> Result<Value> {
        let (status, value) = self.patch(name, patch).await?;
        ensure!(status == StatusCode::OK, "PATCH of {name}: {status}: {value}");
        Ok(value)
    }

    pub async fn delete(&self, name: &str, options: Value) -> Result<Answer> {
        self.send(Method::DELETE, &format!("{}/{name}", self.path()), "application/json", &options).await
    }

    pub async fn watch(&self, path: &str) -> Result<Stream> {
        let request = Request::get(path).body(Body::empty())?;
        let response =
            tokio::time::timeout(LIMIT, self.client.send(request)).await.context("no answer to the watch")??;
        ensure!(response.status() == StatusCode::OK, "watch {path}: {}", response.status());
        Ok(Stream { body: response.into_body(), rest: Vec::new() })
    }

    /// Both namespaces, [`MADE`] workflows in the first and one in the other.
    pub async fn prepare(&self) -> Result<()> {
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.other}});
        let (status, said) = self.send(Method::POST, "/api/v1/namespaces", "application/json", &namespace).await?;
        ensure!(status == StatusCode::CREATED || status == StatusCode::CONFLICT, "namespace: {status}: {said}");
        for n in 0..MADE {
            self.make(&self.namespace, &format!("c-{n:02}"), json!({"round": (n % 2).to_string()})).await?;
        }
        self.make(&self.other, "elsewhere", json!({})).await?;
        Ok(())
    }

    pub async fn clean(&self) -> Result<()> {
        for namespace in [&self.namespace, &self.other] {
            let list = self.read(&Self::path_in(namespace)).await?;
            for item in items(&list)? {
                let path = format!("{}/{}", Self::path_in(namespace), name(item));
                let patch = json!({"metadata": {"finalizers": null}});
                self.send(Method::PATCH, &path, "application/merge-patch+json", &patch).await?;
                self.send(Method::DELETE, &path, "application/json", &Value::Null).await?;
            }
        }
        Ok(())
    }
}

/// A watch stream, event by event.
pub struct Stream {
    body: Body,
    rest: Vec<u8>,
}

impl Stream {
    /// The next event; `None` when the server has ended the stream.
    pub async fn next(&mut self) -> Result<Option<Value>> {
        tokio::time::timeout(LIMIT, self.line()).await.context("no event came")?
    }

    async fn line(&mut self) -> Result<Option<Value>> {
        loop {
            if let Some(end) = self.rest.iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=end).collect();
                return Ok(Some(serde_json::from_slice(&line)?));
            }
            match self.body.frame().await {
                Some(frame) => self.rest.extend_from_slice(&frame?.into_data().unwrap_or_default()),
                None if self.rest.is_empty() => return Ok(None),
                None => bail!("the stream ended inside a line: {}", String::from_utf8_lossy(&self.rest)),
            }
        }
    }

    /// The next event, which must be of that type and on that object; bookmarks in between are passed over.
    pub async fn expect(&mut self, kind: &str, of: &str) -> Result<Value> {
        loop {
            let event = self.next().await?.ok_or_else(|| anyhow!("the stream ended, {kind} of {of} was to come"))?;
            if event["type"] == "BOOKMARK" && kind != "BOOKMARK" {
                continue;
            }
            let object = &event["object"];
            ensure!(
                event["type"] == kind && (of.is_empty() || name(object) == of),
                "{kind} of {of} was to come, not {event}"
            );
            return Ok(object.clone());
        }
    }

    /// Nothing but bookmarks comes for that long.
    pub async fn expect_silence(&mut self, how_long: Duration) -> Result<()> {
        let quiet = async {
            loop {
                match self.next().await? {
                    Some(event) if event["type"] == "BOOKMARK" => {}
                    other => bail!("nothing was to come, not {other:?}"),
                }
            }
        };
        match tokio::time::timeout(how_long, quiet).await {
            Ok(result) => result,
            Err(_) => Ok(()),
        }
    }
}

pub fn items(list: &Value) -> Result<&Vec<Value>> {
    list["items"].as_array().ok_or_else(|| anyhow!("no items in {list}"))
}

pub fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

/// The resourceVersion of an object or list as a number: the real server's are etcd revisions, and KEP-5504 orders them.
pub fn version(object: &Value) -> Result<u64> {
    let text =
        object["metadata"]["resourceVersion"].as_str().ok_or_else(|| anyhow!("no resourceVersion in {object}"))?;
    text.parse().with_context(|| format!("resourceVersion {text}"))
}

/// A failure must be a Status object of that code and reason.
pub fn refusal(answer: &Answer, code: u16, reason: &str) -> Result<()> {
    let (status, value) = answer;
    let fits =
        status.as_u16() == code && value["kind"] == "Status" && value["code"] == code && value["reason"] == reason;
    ensure!(fits, "{code} {reason} was to come, not {status}: {value}");
    Ok(())
}

fn merge(target: &mut Value, more: Value) {
    if let (Some(target), Value::Object(more)) = (target.as_object_mut(), more) {
        target.extend(more);
    }
}
