//! Reading from an API server: plain requests, so that nothing has to be installed there, and the server's clock.

use std::cell::Cell;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use http::{Method, Request};
use http_body_util::BodyExt as _;
use jiff::Timestamp;
use kube::{Client, Config};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use thiserror::Error;

use crate::api::percent::encode;
use crate::cli::args::Global;
use crate::shell::kubeconfig::{NoCluster, Target};

/// Objects a page of a list has: one page is all that is ever held.
const PAGE: usize = 50;

/// What went wrong with a request.
#[derive(Debug, Error)]
pub enum Fault {
    #[error("not found")]
    NotFound,
    /// 401 or 403, in the server's words.
    #[error("{0}")]
    Denied(String),
    #[error("{0}")]
    Failed(String),
}

/// A connection to one API server.
pub struct Cluster {
    client: Client,
    date: Cell<Option<Timestamp>>,
    /// Address of the server, for messages.
    pub server: String,
    /// Namespace of the context.
    pub namespace: String,
}

/// Whom requests are made as.
#[derive(Clone, Debug, Default)]
pub struct Impersonate {
    pub user: String,
    pub groups: Vec<String>,
}

#[derive(Deserialize)]
struct Page<'a> {
    #[serde(borrow, default)]
    items: Vec<&'a RawValue>,
    #[serde(default)]
    metadata: PageMeta,
}

#[derive(Default, Deserialize)]
struct PageMeta {
    #[serde(default, rename = "continue")]
    next: String,
}

impl Cluster {
    /// Reads the kubeconfig (or the service account of a pod) and prepares a client; asks nothing yet.
    pub async fn open(global: &Global, as_whom: Option<Impersonate>) -> anyhow::Result<Self> {
        let mut config = config(global).await?;
        config.connect_timeout = Some(Duration::from_secs(10));
        config.read_timeout = Some(Duration::from_mins(1));
        if let Some(whom) = as_whom {
            config.auth_info.impersonate = Some(whom.user);
            config.auth_info.impersonate_groups = Some(whom.groups);
        }
        let server = config.cluster_url.to_string();
        let namespace = config.default_namespace.clone();
        let client = Client::try_from(config).context("can't make a client of the kubeconfig")?;
        Ok(Self { client, date: Cell::new(None), server, namespace })
    }

    /// For what has to be asked as the operator asks it.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The server's clock at its last answer; this machine's before the first.
    pub fn now(&self) -> Timestamp {
        self.date.get().unwrap_or_else(Timestamp::now)
    }

    /// How far this machine's clock is from the server's, in seconds; `None` before the first answer.
    pub fn skew_seconds(&self) -> Option<i64> {
        self.date.get().map(|d| Timestamp::now().as_second() - d.as_second())
    }

    /// One object as text.
    pub async fn text(&self, path: &str) -> Result<String, Fault> {
        let (status, body) = self.send(Method::GET, path, Vec::new()).await?;
        if status == 200 { Ok(body) } else { Err(fault(status, &body)) }
    }

    /// One object.
    pub async fn object(&self, path: &str) -> Result<Value, Fault> {
        let text = self.text(path).await?;
        serde_json::from_str(&text).map_err(|e| Fault::Failed(format!("the answer to GET {path} is no JSON: {e}")))
    }

    /// Creates an object and returns what the server made of it.
    pub async fn create(&self, path: &str, object: &Value) -> Result<Value, Fault> {
        let (status, body) = self.send(Method::POST, path, object.to_string().into_bytes()).await?;
        if !(200..300).contains(&status) {
            return Err(fault(status, &body));
        }
        serde_json::from_str(&body).map_err(|e| Fault::Failed(format!("the answer to POST {path} is no JSON: {e}")))
    }

    /// Hands every object of a list to `each`, page by page. `query` is without `?`.
    pub async fn each(&self, path: &str, query: &str, each: &mut dyn FnMut(&str)) -> Result<(), Fault> {
        let mut next = String::new();
        loop {
            let mut uri = format!("{path}?limit={PAGE}");
            for (name, value) in [("", query), ("continue=", &encode(&next))] {
                if !value.is_empty() {
                    uri.push('&');
                    uri.push_str(name);
                    uri.push_str(value);
                }
            }
            let (status, body) = self.send(Method::GET, &uri, Vec::new()).await?;
            // Too old a token comes with one that goes on from there, at a newer state.
            if status == 410 {
                next = serde_json::from_str::<Page<'_>>(&body).map(|p| p.metadata.next).unwrap_or_default();
                if next.is_empty() {
                    return Err(fault(status, &body));
                }
                continue;
            }
            if status != 200 {
                return Err(fault(status, &body));
            }
            let page: Page<'_> = serde_json::from_str(&body)
                .map_err(|e| Fault::Failed(format!("the answer to GET {path} is no list: {e}")))?;
            page.items.iter().for_each(|item| each(item.get()));
            if page.metadata.next.is_empty() {
                return Ok(());
            }
            next = page.metadata.next;
        }
    }

    async fn send(&self, method: Method, uri: &str, body: Vec<u8>) -> Result<(u16, String), Fault> {
        let fail = |error: &dyn std::fmt::Display| Fault::Failed(format!("{}: {error}", self.server));
        let request = Request::builder()
            .method(method)
            .uri(uri)
            .header(http::header::ACCEPT, "application/json")
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(kube::client::Body::from(body))
            .map_err(|e| fail(&e))?;
        let response = self.client.send(request).await.map_err(|e| fail(&root(&e)))?;
        let status = response.status().as_u16();
        if let Some(date) = response.headers().get(http::header::DATE).and_then(|v| v.to_str().ok()).and_then(http_date)
        {
            self.date.set(Some(date));
        }
        let bytes = response.into_body().collect().await.map_err(|e| fail(&root(&e)))?.to_bytes();
        let text = String::from_utf8(bytes.into()).map_err(|_| fail(&"the answer is not UTF-8"))?;
        Ok((status, text))
    }
}

async fn config(global: &Global) -> anyhow::Result<Config> {
    let target = Target { kubeconfig: global.kubeconfig.clone(), context: global.context.clone() };
    target.config().await.map_err(|error| match error {
        NoCluster::Unusable(why) => anyhow!(why),
        NoCluster::NotFound(why) => anyhow!(
            "no cluster: {why}; name one with --kubeconfig or $KUBECONFIG (stuck, explain and plan read saved \
             workflows too, with -f)"
        ),
    })
}

/// The innermost cause: the outer ones say "error trying to connect" over and over.
fn root<'a>(error: &'a (dyn std::error::Error + 'static)) -> &'a (dyn std::error::Error + 'static) {
    std::iter::successors(Some(error), |e| (*e).source()).last().unwrap_or(error)
}

fn fault(status: u16, body: &str) -> Fault {
    let said = serde_json::from_str::<Value>(body).ok().and_then(|v| v["message"].as_str().map(str::to_owned));
    let said = said.unwrap_or_else(|| format!("the server answered {status}"));
    match status {
        404 => Fault::NotFound,
        401 | 403 => Fault::Denied(said),
        _ => Fault::Failed(said),
    }
}

/// `Sat, 21 Nov 2026 10:00:00 GMT`.
fn http_date(text: &str) -> Option<Timestamp> {
    jiff::fmt::rfc2822::parse(text).ok().map(|z| z.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_date_header_is_read() {
        assert_eq!(http_date("Sat, 21 Nov 2026 10:00:00 GMT"), "2026-11-21T10:00:00Z".parse().ok());
        assert_eq!(http_date("yesterday"), None);
    }
}
