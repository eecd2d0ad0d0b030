//! Folders that are not the volume that they should be.

use std::convert::Infallible;
use std::fs;

use http::{Request, Response};
use kube::client::Body;
use tempfile::TempDir;

use super::*;
use crate::archive::store::{Bytes, Head, List, Meta, Object, Page, Put, Store};

fn opening(container_root: Option<&Path>) -> Opening {
    let service = tower::service_fn(|_: Request<Body>| async { Ok::<_, Infallible>(Response::new(Body::empty())) });
    let client = Client::new(service, "default");
    Opening {
        shelf: Shelf::default(),
        read: client.clone(),
        act: client,
        clock: Arc::default(),
        namespace: "unstick-system".into(),
        cluster: "default".into(),
        container_root: container_root.map(Path::to_owned),
        flush_every: Duration::from_secs(300),
    }
}

fn of_folder(path: &Path) -> ArchiveLocation {
    let spec = json!({"type": "Filesystem", "filesystem": {"path": path}, "allowedNamespaces": {}});
    let object = json!({
        "apiVersion": "unstick.dev/v1alpha1", "kind": "ArchiveLocation", "metadata": {"name": "main"}, "spec": spec,
    });
    serde_json::from_value(object).unwrap()
}

/// Tries the location once: the reason and the status that comes of it.
async fn tried(
    object: &ArchiveLocation,
    before: &ArchiveLocationStatus,
    opening: &Opening,
) -> (LocationReason, ArchiveLocationStatus) {
    let found = attempt(object, before, opening, None).await;
    (found.reason, said(object, before, &found, None, opening))
}

fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).unwrap().next().is_none()
}

#[tokio::test]
async fn a_folder_that_lost_its_first_probe_is_not_the_volume() {
    let (disk, opening) = (TempDir::new().unwrap(), opening(None));
    let (folder, away) = (disk.path().join("archive"), disk.path().join("away"));
    fs::create_dir(&folder).unwrap();
    let object = of_folder(&folder);
    let (reason, status) = tried(&object, &ArchiveLocationStatus::default(), &opening).await;
    assert_eq!(reason, LocationReason::Probed);
    let day = status.first_probe.clone().unwrap();
    assert!(folder.join(format!("workflow-archives-index/probe/{day}")).is_file());

    // As after a restart without the volume: only what the object says is known.
    fs::rename(&folder, &away).unwrap();
    fs::create_dir(&folder).unwrap();
    let (reason, unmounted) = tried(&object, &status, &opening).await;
    assert_eq!(reason, LocationReason::NotMounted);
    let message = &unmounted.conditions[0].message;
    assert!(message.contains(&format!("since {day}: is the volume mounted?")), "{message}");
    assert_eq!(unmounted.first_probe, Some(day.clone()), "it is not forgotten meanwhile");
    assert!(is_empty(&folder), "nothing is put there: it would be taken for the volume next time");

    fs::remove_dir(&folder).unwrap();
    fs::rename(&away, &folder).unwrap();
    let (reason, again) = tried(&object, &unmounted, &opening).await;
    assert_eq!((reason, again.first_probe), (LocationReason::Probed, Some(day)));
}

#[tokio::test]
async fn another_path_is_another_place() {
    let (disk, opening) = (TempDir::new().unwrap(), opening(None));
    let before = ArchiveLocationStatus {
        first_probe: Some("2026-01-01".into()),
        fingerprint: fingerprint(&of_folder(Path::new("/elsewhere"))).to_string(),
        ..ArchiveLocationStatus::default()
    };
    let (reason, status) = tried(&of_folder(&disk.path().join("missing")), &before, &opening).await;
    assert_eq!((reason, &status.first_probe), (LocationReason::NoSuchBucket, &None));
    assert_eq!(patch(&status)["status"]["firstProbe"], Value::Null);
    assert!(patch(&status)["status"].as_object().unwrap().contains_key("firstProbe"), "a merge needs it named");
    let (reason, status) = tried(&of_folder(disk.path()), &before, &opening).await;
    assert_eq!(reason, LocationReason::Probed);
    assert!(status.first_probe.is_some_and(|day| *day > *"2026-01-01"));
}

#[tokio::test]
async fn in_a_pod_a_folder_of_the_container_is_no_place() {
    let disk = TempDir::new().unwrap();
    let folder = disk.path().join("archive");
    fs::create_dir(&folder).unwrap();
    let object = of_folder(&folder);
    let (reason, status) = tried(&object, &ArchiveLocationStatus::default(), &opening(Some(disk.path()))).await;
    assert_eq!((reason, status.first_probe), (LocationReason::NotMounted, None));
    assert!(is_empty(&folder));
    for elsewhere in [None, Some(Path::new("/proc"))] {
        let (reason, _) = tried(&object, &ArchiveLocationStatus::default(), &opening(elsewhere)).await;
        assert_eq!(reason, LocationReason::Probed, "{elsewhere:?}");
    }
}

/// A bucket in memory that refuses conditional puts (501), ignores the condition, or honours it.
#[derive(Clone)]
struct Bucket {
    honours: Option<bool>,
    plain: bool,
    objects: Arc<std::sync::Mutex<std::collections::BTreeMap<String, Bytes>>>,
    fingerprint: Fingerprint,
}

#[async_trait::async_trait]
impl Store for Bucket {
    fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    async fn put_new(&self, key: &str, body: Bytes, _: &Meta) -> Result<Put, StoreError> {
        let there = self.objects.lock().unwrap().contains_key(key);
        match self.honours {
            None if !self.plain => return Err(StoreError::new(Fault::Unsupported, "NotImplemented")),
            Some(true) if there => return Ok(Put::Exists),
            _ if self.plain && there => return Ok(Put::Exists),
            _ => {}
        }
        self.objects.lock().unwrap().insert(key.to_owned(), body);
        Ok(Put::Created { version_id: None })
    }

    async fn get(&self, key: &str, _: usize) -> Result<Option<Object>, StoreError> {
        let found = self.objects.lock().unwrap().get(key).cloned();
        Ok(found.map(|bytes| Object { bytes, version_id: None, storage_class: None, meta: Meta::new() }))
    }

    async fn head(&self, _: &str) -> Result<Option<Head>, StoreError> {
        Ok(None)
    }

    async fn list(&self, _: &List<'_>) -> Result<Page, StoreError> {
        Ok(Page::default())
    }

    async fn settle(&self, _: &str) -> Result<(), StoreError> {
        Ok(())
    }

    fn rely_on(&self, _: &str) {}

    async fn keeps_checksum(&self, _: &str) -> Result<bool, StoreError> {
        Ok(false)
    }

    fn without_condition(&self) -> Option<Arc<dyn Store>> {
        Some(Arc::new(Self { plain: true, ..self.clone() }))
    }

    fn looks_first(&self) -> bool {
        self.plain
    }

    async fn identity(&self) -> Result<String, StoreError> {
        Ok("me".to_owned())
    }
}

#[tokio::test]
async fn a_store_without_the_condition_is_used_without_it_and_says_so() {
    let object: ArchiveLocation = serde_json::from_value(json!({
        "apiVersion": "unstick.dev/v1alpha1", "kind": "ArchiveLocation", "metadata": {"name": "main"},
        "spec": {"type": "S3", "s3": {"bucket": "bucket"}, "allowedNamespaces": {}},
    }))
    .unwrap();
    let opening = opening(None);
    for honours in [None, Some(false), Some(true)] {
        let own = fingerprint(&object);
        let bucket = Bucket { honours, plain: false, objects: Arc::default(), fingerprint: own };
        let location = location_of(&object, "default", true).unwrap();
        let mut open = Arc::new(Open::new(Arc::new(bucket), location, &opening.shelf));
        let mut before = ArchiveLocationStatus::default();
        // Also when it is tried again.
        for _ in 0..2 {
            let found = attempt(&object, &before, &opening, Some(open)).await;
            let status = said(&object, &before, &found, None, &opening);
            let (ready, known) = (&status.conditions[0], status.capabilities.clone().unwrap().conditional_put);
            assert_eq!((ready.status, known), (ConditionStatus::True, honours == Some(true)), "{honours:?}");
            let explained = ready.message.contains("doesn't honour conditional puts (If-None-Match)");
            assert_eq!(explained, !known, "{}", ready.message);
            open = found.open.unwrap();
            assert_eq!((open.location.conditional_put, open.store.looks_first()), (known, !known), "{honours:?}");
            assert!(!open.asking.looks_first(), "the next probe asks again");
            before = status;
        }
        // What was put when nothing was known of it may have been put by anybody: that it is there proves no put.
        let unknown = attempt(&object, &ArchiveLocationStatus::default(), &opening, Some(open)).await;
        assert_eq!(unknown.reason == LocationReason::Probed, honours.is_some(), "{:?} {}", honours, unknown.message);
    }
}

#[tokio::test]
async fn that_the_catalogue_cant_be_written_is_said_until_it_can() {
    let (tell, mut patches) = mpsc::unbounded_channel();
    let service = tower::service_fn(move |request: Request<Body>| {
        let tell = tell.clone();
        async move {
            let body = request.into_body().collect_bytes().await.unwrap();
            let patch: Value = serde_json::from_slice(&body).unwrap();
            tell.send(patch["status"]["conditions"][0].clone()).unwrap();
            let object = json!({"metadata": {"name": "main"}, "spec": {"type": "Filesystem", "allowedNamespaces": {}}});
            Ok::<_, Infallible>(Response::new(Body::from(object.to_string().into_bytes())))
        }
    });
    let act = Client::new(service, "default");
    let disk = TempDir::new().unwrap();
    let opening = Opening { act, flush_every: Duration::from_millis(20), ..opening(None) };
    let (tell, mut tried) = mpsc::channel(1);
    let task = follow_place(of_folder(disk.path()), opening, tell);
    let open = tried.recv().await.unwrap().open.unwrap();
    assert_eq!(patches.recv().await.unwrap()["message"], KEPT);
    // A file where its folder belongs: archives and probes go elsewhere.
    let index = disk.path().join("workflow-archives-index/catalogue");
    fs::write(&index, "").unwrap();
    open.rows.add(crate::shell::janitor::tests::row().await);
    let behind = patches.recv().await.unwrap();
    assert_eq!((behind["status"].as_str(), behind["reason"].as_str()), (Some("True"), Some("Probed")));
    let message = behind["message"].as_str().unwrap();
    assert!(message.starts_with(KEPT) && message.contains(BEHIND), "{message}");
    fs::remove_file(&index).unwrap();
    assert_eq!(patches.recv().await.unwrap()["message"], KEPT);
    task.abort();
    assert!(patches.try_recv().is_err(), "each is said once");
    assert_eq!(open.rows.len(), 0);
}

#[test]
fn who_we_are_is_said_once_and_when_it_changes() {
    let mut said = String::new();
    let all = ["role/a", "role/a", "role/b", "role/b", "role/a"];
    assert_eq!(all.map(|identity| introduced(&mut said, identity)), [true, false, true, false, true]);
}
