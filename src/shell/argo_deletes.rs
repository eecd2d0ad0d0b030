//! What Argo is told about deleting finished runs, read now and then: history limits of `CronWorkflow`s and the
//! `retentionPolicy` of each controller. Only while we lead and some policy archives.
//!
//! It costs one GET per controller and a list of `CronWorkflow`s in small pages, every ten minutes; no watch, and nothing
//! but tight limits is held. What may not be read, or isn't there, is not spoken of: that is logged once.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use http::Request;
use kube::Client;
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::looping::Loop;
use crate::api::argo_deletes::{CONFIG_MAP, CronPage, RetentionPolicy};
use crate::watchdog::janitor::sooner::{ArgoDeletes, CronLimits};

const EVERY: Duration = Duration::from_secs(600);
const PAGE: usize = 100;
/// Between two pages.
const PAUSE: Duration = Duration::from_millis(200);

/// Where to look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Where {
    /// In single-namespace mode the only one.
    namespace: Option<String>,
    /// Instance id and namespace of each controller.
    controllers: Vec<(String, String)>,
}

/// The task that reads, and what it was started for.
pub struct Reading {
    tell: mpsc::Sender<ArgoDeletes>,
    task: Option<(Where, JoinHandle<()>)>,
}

impl Reading {
    pub const fn new(tell: mpsc::Sender<ArgoDeletes>) -> Self {
        Self { tell, task: None }
    }
}

impl Loop {
    /// Starts, restarts or ends the reading, as policies, settings and the Lease have it now.
    pub(super) fn look_at_deletes(&mut self) {
        let archives =
            |policy: &str| serde_json::from_str(policy).is_ok_and(|p: Value| p["spec"]["archive"].is_object());
        let wanted = (self.watchdog.is_leading() && self.policies.values().any(|p| archives(p))).then(|| {
            let instances = self.watchdog.argo_instances();
            let readable = |namespace: &String| self.namespace.as_ref().is_none_or(|own| own == namespace);
            let all = instances.into_iter().map(|i| (i.instance_id, i.namespace));
            let controllers = all.filter(|(_, namespace)| readable(namespace)).collect();
            Where { namespace: self.namespace.clone(), controllers }
        });
        if self.deletes.task.as_ref().map(|(place, _)| place) == wanted.as_ref() {
            return;
        }
        if let Some((_, task)) = self.deletes.task.take() {
            task.abort();
        }
        self.deletes.task = wanted.map(|place| {
            let task = tokio::spawn(read(self.clients.watch.clone(), place.clone(), self.deletes.tell.clone()));
            (place, task)
        });
    }
}

async fn read(client: Client, place: Where, tell: mpsc::Sender<ArgoDeletes>) {
    let mut silent = BTreeSet::new();
    let mut last = ArgoDeletes::default();
    loop {
        let crons = crons(&client, place.namespace.as_deref()).await;
        let mut retention = BTreeMap::new();
        for (id, namespace) in &place.controllers {
            match retention_policy(&client, namespace, id).await {
                Ok(Some(policy)) => drop(retention.insert(id.clone(), policy)),
                Ok(None) => {}
                Err(error) => {
                    // What was read before still holds.
                    if let Some(known) = last.retention.get(id) {
                        retention.insert(id.clone(), *known);
                    }
                    say(&mut silent, &format!("ConfigMap {namespace}/{CONFIG_MAP}"), &error);
                }
            }
        }
        let crons = crons.unwrap_or_else(|error| {
            say(&mut silent, "cronworkflows", &error);
            std::mem::take(&mut last.crons)
        });
        last = ArgoDeletes { crons, retention };
        if tell.send(last.clone()).await.is_err() {
            return;
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// Once for each: what can't be read isn't spoken of.
fn say(silent: &mut BTreeSet<String>, what: &str, error: &kube::Error) {
    if silent.insert(what.to_owned()) {
        tracing::info!(what, %error, "can't be read: whether Argo deletes runs too soon because of it isn't said");
    }
}

fn absent(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404)
}

async fn crons(client: &Client, namespace: Option<&str>) -> kube::Result<HashMap<String, CronLimits>> {
    let within = namespace.map_or_else(String::new, |n| format!("/namespaces/{n}"));
    let mut found = HashMap::new();
    let mut next = String::new();
    loop {
        let path = format!("/apis/argoproj.io/v1alpha1{within}/cronworkflows?limit={PAGE}{next}");
        let text = match client.request_text(get(&path)?).await {
            Ok(text) => text,
            Err(error) if absent(&error) => return Ok(found),
            Err(error) => return Err(error),
        };
        let page: CronPage<'_> = serde_json::from_str(&text).map_err(kube::Error::SerdeError)?;
        for cron in &page.items {
            if let Some(limits) = CronLimits::of(&cron.spec) {
                found.insert(format!("{}/{}", cron.metadata.namespace, cron.metadata.name), limits);
            }
        }
        if page.metadata.next.is_empty() {
            return Ok(found);
        }
        next = format!("&continue={}", page.metadata.next);
        tokio::time::sleep(PAUSE).await;
    }
}

#[derive(Deserialize)]
struct ConfigMap {
    #[serde(default)]
    data: BTreeMap<String, String>,
}

async fn retention_policy(client: &Client, namespace: &str, id: &str) -> kube::Result<Option<RetentionPolicy>> {
    let path = format!("/api/v1/namespaces/{namespace}/configmaps/{CONFIG_MAP}");
    match client.request_text(get(&path)?).await {
        Ok(text) => {
            let map: ConfigMap = serde_json::from_str(&text).map_err(kube::Error::SerdeError)?;
            Ok(RetentionPolicy::read(&map.data, id))
        }
        Err(error) if absent(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

fn get(path: &str) -> kube::Result<Request<Vec<u8>>> {
    Request::get(path).body(Vec::new()).map_err(kube::Error::HttpError)
}
