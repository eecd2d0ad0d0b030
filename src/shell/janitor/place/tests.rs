//! Folders that are not the volume that they should be.

use std::convert::Infallible;
use std::fs;

use http::{Request, Response};
use kube::client::Body;
use tempfile::TempDir;

use super::*;

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
    (found.reason, said(object, before, &found, opening))
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

#[test]
fn who_we_are_is_said_once_and_when_it_changes() {
    let mut said = String::new();
    let all = ["role/a", "role/a", "role/b", "role/b", "role/a"];
    assert_eq!(all.map(|identity| introduced(&mut said, identity)), [true, false, true, false, true]);
}
