//! The usual way to watch workflows, for comparison: a kube reflector of `DynamicObject` with its store.

use std::pin::pin;
use std::time::Duration;

use anyhow::Result;
use futures_util::StreamExt;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind};
use kube::runtime::{WatchStreamExt, reflector, watcher};
use kube::{Api, Client, ResourceExt};

/// Follows the workflows of `server` (of the current kubeconfig when absent) until the process is killed; prints
/// `synced COUNT` once the store is filled.
///
/// managedFields are dropped before an object is stored, as careful operators do.
pub async fn run_peer(server: Option<String>) -> Result<()> {
    let client = match server {
        Some(url) => Client::try_from(kube::Config::new(url.parse()?))?,
        None => Client::try_default().await?,
    };
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("argoproj.io", "v1alpha1", "Workflow"));
    let api: Api<DynamicObject> = Api::all_with(client, &resource);
    let writer = reflector::store::Writer::new(resource);
    let store = writer.as_reader();
    let config =
        watcher::Config { initial_list_strategy: watcher::InitialListStrategy::StreamingList, ..Default::default() };
    let events =
        watcher(api, config).default_backoff().modify(|object| object.managed_fields_mut().clear()).reflect(writer);
    let mut events = pin!(events);
    let mut synced = false;
    while let Some(event) = events.next().await {
        match event {
            Ok(watcher::Event::InitDone) if !synced => {
                synced = true;
                println!("synced {}", store.len());
            }
            Ok(_) => {}
            Err(e) => {
                eprintln!("peer: {e}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    Ok(())
}
