//! Locations as the loop holds them, without a server: what is tried here is handed in.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::time::Duration;

use serde_json::json;

use super::*;
use crate::shell::client::build;
use crate::shell::kubeconfig::Target;
use crate::shell::run::Options;
use crate::watchdog::input::Config;
use crate::watchdog::janitor::Place;

fn state() -> Loop {
    let second = Duration::from_secs(1);
    let options = Options {
        container_root: None,
        target: Target::default(),
        namespace: None,
        listen: ([127, 0, 0, 1], 0).into(),
        leader_elect: false,
        lease_namespace: None,
        lease_name: "unstick".to_owned(),
        lease_duration: second,
        renew_deadline: second,
        retry_period: second,
        identity: "me".to_owned(),
        writes_per_second: 1,
        writes_burst: 1,
        jobs_per_second: 1,
        catalogue_every: second,
        series_cap: 1,
        watch_idle_limit: second,
        config: Config::default(),
    };
    // Nobody listens there.
    let clients = build(kube::Config::new("http://127.0.0.1:9".parse().unwrap())).unwrap();
    Loop::new(&options, clients, None)
}

fn location(uid: &str, generation: i64) -> Value {
    json!({
        "apiVersion": "unstick.dev/v1alpha1", "kind": "ArchiveLocation",
        "metadata": {"name": "main", "uid": uid, "generation": generation},
        "spec": {"type": "Filesystem", "filesystem": {"path": "/nowhere"}, "allowedNamespaces": {}},
    })
}

fn tried(uid: &str, generation: i64) -> Tried {
    let place = Place {
        ready: true,
        read_only: false,
        message: String::new(),
        fingerprint: uid.to_owned(),
        allowed: crate::api::selector::Selector::default(),
    };
    Tried { name: "main".to_owned(), uid: Some(uid.to_owned()), generation: Some(generation), place, open: None }
}

fn place(state: &Loop) -> Option<&str> {
    state.watchdog.janitor.places.get("main").map(|p| p.fingerprint.as_str())
}

#[tokio::test]
async fn what_was_found_of_a_location_that_was_made_anew_is_not_taken_for_it() {
    let mut state = state();
    state.location(location("old", 1));
    state.tried(tried("old", 1));
    assert_eq!(place(&state), Some("old"));
    state.location_gone("main");
    state.location(location("new", 1));
    state.tried(tried("old", 1));
    assert_eq!(place(&state), None, "both begin at generation 1");
    state.tried(tried("new", 1));
    assert_eq!(place(&state), Some("new"));
}

#[tokio::test]
async fn an_edit_that_cannot_be_read_shuts_the_location() {
    let mut state = state();
    state.location(location("u", 1));
    state.tried(tried("u", 1));
    let mut unread = location("u", 2);
    unread["spec"]["type"] = json!(7);
    state.location(unread);
    assert_eq!(place(&state), None);
    state.tried(tried("u", 1));
    assert_eq!(place(&state), None, "what was on its way opens nothing");
    state.location(location("u", 3));
    state.tried(tried("u", 3));
    assert_eq!(place(&state), Some("u"));
}

#[tokio::test]
async fn another_name_of_the_cluster_opens_locations_anew() {
    let mut state = state();
    state.location(location("u", 1));
    state.tried(tried("u", 1));
    let watchdog = |name: &str| {
        let object = json!({
            "apiVersion": "unstick.dev/v1alpha1", "kind": "Watchdog", "metadata": {"name": "default"},
            "spec": {"clusterName": name},
        });
        Some(serde_json::from_value(object).unwrap())
    };
    state.settings = watchdog("default");
    state.apply_settings();
    assert_eq!(place(&state), Some("u"), "it has no other name");
    state.settings = watchdog("prod");
    state.apply_settings();
    assert_eq!(place(&state), None, "opened under the old name");
    assert_eq!(state.locations.tasks.len(), 1, "it is tried again");
    state.tried(tried("u", 1));
    assert_eq!(place(&state), Some("u"));
}
