//! Small kinds, followed: policies, namespaces, the Watchdog object, incidents, finished pods, Argo's Leases.
//!
//! These are few and small: pages of whole objects, then a watch. kube's own `watcher` keeps bookmarks to itself; here they
//! are told, for nothing may be deleted under rules whose watch is dead. What a relist misses is told as [`What::Gone`].

use std::collections::HashSet;
use std::convert::Infallible;
use std::pin::pin;
use std::time::Duration;

use futures::StreamExt as _;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, ListParams, WatchEvent, WatchParams};
use kube::{Client, ResourceExt as _};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// What is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    Policies,
    ClusterPolicies,
    Watchdog,
    Locations,
    Namespaces,
    Incidents,
    Pods,
    Leases,
}

impl Kind {
    /// The plural name, as metrics and messages say it.
    pub const fn resource(self) -> &'static str {
        match self {
            Self::Policies => "workflowpolicies",
            Self::ClusterPolicies => "clusterworkflowpolicies",
            Self::Watchdog => "watchdogs",
            Self::Locations => "archivelocations",
            Self::Namespaces => "namespaces",
            Self::Incidents => "workflowincidents",
            Self::Pods => "pods",
            Self::Leases => "leases",
        }
    }

    fn gvk(self) -> GroupVersionKind {
        let (group, version, kind) = match self {
            Self::Policies => ("unstick.dev", "v1alpha1", "WorkflowPolicy"),
            Self::ClusterPolicies => ("unstick.dev", "v1alpha1", "ClusterWorkflowPolicy"),
            Self::Watchdog => ("unstick.dev", "v1alpha1", "Watchdog"),
            Self::Locations => ("unstick.dev", "v1alpha1", "ArchiveLocation"),
            Self::Namespaces => ("", "v1", "Namespace"),
            Self::Incidents => ("unstick.dev", "v1alpha1", "WorkflowIncident"),
            Self::Pods => ("", "v1", "Pod"),
            Self::Leases => ("coordination.k8s.io", "v1", "Lease"),
        };
        GroupVersionKind::gvk(group, version, kind)
    }

    /// Whether nothing can be judged before this has been listed.
    pub const fn required(self) -> bool {
        !matches!(self, Self::Pods | Self::Leases | Self::Locations)
    }

    /// Whether it decides what may be deleted.
    pub const fn keeps(self) -> bool {
        matches!(self, Self::Policies | Self::ClusterPolicies | Self::Watchdog | Self::Locations | Self::Namespaces)
    }
}

/// Something happened to an object of a kind.
#[derive(Debug)]
pub struct News {
    pub kind: Kind,
    pub what: What,
}

#[derive(Debug)]
pub enum What {
    /// It exists, as this.
    Is(Box<DynamicObject>),
    Gone(Box<DynamicObject>),
    /// All that exist have been told.
    Listed,
    /// The watch was opened, or brought a bookmark.
    Alive,
    /// Not connected; it is tried again.
    Failed(String),
}

/// Which objects of a kind.
#[derive(Clone, Debug, Default)]
pub struct Which {
    pub namespace: Option<String>,
    pub labels: Option<&'static str>,
    pub fields: Option<String>,
}

/// How long the server keeps one watch open, in seconds.
const ONE_WATCH: u32 = 290;
/// How long a page of a list, or the beginning of a watch, may take.
const ANSWER: Duration = Duration::from_secs(30);
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Follows a kind until the handle is aborted or the receiver dropped. A watch without a sign of life for `idle` is opened
/// anew: whoever is told nothing for longer than that knows that nothing can be heard.
pub fn follow(client: Client, kind: Kind, which: Which, idle: Duration, news: mpsc::Sender<News>) -> JoinHandle<()> {
    tokio::spawn(async move {
        let resource = ApiResource::from_gvk_with_plural(&kind.gvk(), kind.resource());
        let api: Api<DynamicObject> = match &which.namespace {
            Some(namespace) => Api::namespaced_with(client, namespace, &resource),
            None => Api::all_with(client, &resource),
        };
        let mut following = Following { api, resource, kind, which, idle, news, known: HashSet::new(), version: None };
        let mut pause = FIRST_PAUSE;
        loop {
            let begun = tokio::time::Instant::now();
            let Err(stop) = following.once().await;
            // One that held for a while has not failed again.
            if begun.elapsed() >= LONGEST_PAUSE {
                pause = FIRST_PAUSE;
            }
            match stop {
                Stop::Deaf => return,
                Stop::Ended => {}
                Stop::Expired => following.version = None,
                Stop::Failed(error) => {
                    if following.tell(What::Failed(error)).await.is_err() {
                        return;
                    }
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    })
}

/// Why one watch is over.
enum Stop {
    /// The server closed it in its time, or it was silent.
    Ended,
    /// The version it would go on from is too old: all is listed again.
    Expired,
    Failed(String),
    /// Nobody listens.
    Deaf,
}

impl From<kube::Error> for Stop {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) if status.code == 410 => Self::Expired,
            other => Self::Failed(other.to_string()),
        }
    }
}

struct Following {
    api: Api<DynamicObject>,
    resource: ApiResource,
    kind: Kind,
    which: Which,
    idle: Duration,
    news: mpsc::Sender<News>,
    known: HashSet<(Option<String>, String)>,
    /// Where the watch goes on; `None` = everything is listed first.
    version: Option<String>,
}

impl Following {
    async fn tell(&self, what: What) -> Result<(), Stop> {
        self.news.send(News { kind: self.kind, what }).await.map_err(|_| Stop::Deaf)
    }

    /// One watch, from where the last one ended.
    async fn once(&mut self) -> Result<Infallible, Stop> {
        let version = match self.version.clone() {
            Some(version) => version,
            None => self.list().await?,
        };
        let mut params = WatchParams::default().timeout(ONE_WATCH);
        params.label_selector = self.which.labels.map(str::to_owned);
        params.field_selector.clone_from(&self.which.fields);
        let events = in_time(ANSWER, self.api.watch(&params, &version)).await??;
        let mut events = pin!(events);
        self.version = Some(version);
        self.tell(What::Alive).await?;
        loop {
            let Ok(event) = tokio::time::timeout(self.idle, events.next()).await else { return Err(Stop::Ended) };
            let version = match event.ok_or(Stop::Ended)?? {
                WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                    self.known.insert(key(&object));
                    let version = object.resource_version();
                    self.tell(What::Is(Box::new(object))).await?;
                    version
                }
                WatchEvent::Deleted(object) => {
                    self.known.remove(&key(&object));
                    let version = object.resource_version();
                    self.tell(What::Gone(Box::new(object))).await?;
                    version
                }
                WatchEvent::Bookmark(bookmark) => {
                    self.tell(What::Alive).await?;
                    Some(bookmark.metadata.resource_version)
                }
                WatchEvent::Error(status) => return Err(kube::Error::Api(status).into()),
            };
            self.version = version.or(self.version.take());
        }
    }

    /// Tells all that exist, and what has gone since the last list.
    async fn list(&mut self) -> Result<String, Stop> {
        let mut params = ListParams::default().limit(100);
        params.label_selector = self.which.labels.map(str::to_owned);
        params.field_selector.clone_from(&self.which.fields);
        let mut seen = HashSet::new();
        let version = loop {
            let page = in_time(ANSWER, self.api.list(&params)).await??;
            for object in page.items {
                seen.insert(key(&object));
                self.tell(What::Is(Box::new(object))).await?;
            }
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params = params.continue_token(&token),
                None => break page.metadata.resource_version.unwrap_or_default(),
            }
        };
        for (namespace, name) in self.known.difference(&seen) {
            let mut gone = DynamicObject::new(name, &self.resource);
            gone.metadata.namespace.clone_from(namespace);
            self.tell(What::Gone(Box::new(gone))).await?;
        }
        self.known = seen;
        self.tell(What::Listed).await?;
        self.version = Some(version.clone());
        Ok(version)
    }
}

async fn in_time<T>(limit: Duration, answer: impl Future<Output = T>) -> Result<T, Stop> {
    let late = |_| Stop::Failed(format!("no answer within {} s", limit.as_secs()));
    tokio::time::timeout(limit, answer).await.map_err(late)
}

fn key(object: &DynamicObject) -> (Option<String>, String) {
    (object.namespace(), object.name_any())
}

#[cfg(test)]
mod tests;
