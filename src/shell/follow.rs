//! Small kinds, followed: policies, namespaces, the Watchdog object, incidents, finished pods, Argo's Leases.
//!
//! These are few and small, so kube's own `watcher` does. Its relists say nothing of what was deleted meanwhile: that
//! is told here as [`What::Gone`].

use std::collections::HashSet;
use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _};
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind};
use kube::runtime::watcher::{self, Event, watcher};
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

/// Follows a kind until the handle is aborted or the receiver dropped.
pub fn follow(client: Client, kind: Kind, which: Which, news: mpsc::Sender<News>) -> JoinHandle<()> {
    tokio::spawn(async move {
        let resource = ApiResource::from_gvk_with_plural(&kind.gvk(), kind.resource());
        let api: Api<DynamicObject> = match &which.namespace {
            Some(namespace) => Api::namespaced_with(client, namespace, &resource),
            None => Api::all_with(client, &resource),
        };
        let mut config = watcher::Config::default().page_size(100).timeout(290);
        if let Some(labels) = which.labels {
            config = config.labels(labels);
        }
        if let Some(fields) = &which.fields {
            config = config.fields(fields);
        }
        let mut stream = Box::pin(watcher(api, config).map_err(|e| e.to_string()));
        let mut known: HashSet<(Option<String>, String)> = HashSet::new();
        let mut seen = HashSet::new();
        let mut pause = Duration::from_millis(200);
        while let Some(event) = stream.next().await {
            let tell = |what| news.send(News { kind, what });
            let sent = match event {
                Ok(Event::Init) => {
                    seen.clear();
                    Ok(())
                }
                Ok(Event::InitApply(object)) => {
                    seen.insert(key(&object));
                    tell(What::Is(Box::new(object))).await
                }
                Ok(Event::InitDone) => {
                    pause = Duration::from_millis(200);
                    for (namespace, name) in known.difference(&seen) {
                        let mut gone = DynamicObject::new(name, &resource);
                        gone.metadata.namespace.clone_from(namespace);
                        if tell(What::Gone(Box::new(gone))).await.is_err() {
                            return;
                        }
                    }
                    known = std::mem::take(&mut seen);
                    tell(What::Listed).await
                }
                Ok(Event::Apply(object)) => {
                    known.insert(key(&object));
                    tell(What::Is(Box::new(object))).await
                }
                Ok(Event::Delete(object)) => {
                    known.remove(&key(&object));
                    tell(What::Gone(Box::new(object))).await
                }
                Err(error) => {
                    let sent = tell(What::Failed(error)).await;
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(Duration::from_secs(30));
                    sent
                }
            };
            if sent.is_err() {
                return;
            }
        }
    })
}

fn key(object: &DynamicObject) -> (Option<String>, String) {
    (object.namespace(), object.name_any())
}
