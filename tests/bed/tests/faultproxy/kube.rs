//! Before the real API server: TLS ended and begun anew, the identity as it was, watches streaming, a kill at each phase.

use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{DeleteParams, ListParams, PostParams, WatchEvent, WatchParams};
use kube::config::{Config, KubeConfigOptions, Kubeconfig};
use kube::{Api, Client};
use serde_json::json;
use unstick_bed::faultproxy::{Fault, FaultProxy, Phase, Script, Which};
use unstick_bed::{Bed, Options};

fn map(name: &str) -> ConfigMap {
    serde_json::from_value(json!({"metadata": {"name": name}})).unwrap()
}

#[tokio::test]
async fn before_the_api_server() {
    let bed = Bed::start(Options::default()).await.unwrap();
    bed.namespace("p").await.unwrap();
    let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "p"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": "p"}]});
    bed.apply(&role.to_string(), "").await.unwrap();
    let script = Script::new();
    let proxy = FaultProxy::before_bed("kube", &bed, &script).await.unwrap();
    let file = bed.kubeconfig_through(&proxy, "p", "default").await.unwrap();
    let config = Kubeconfig::read_from(file).unwrap();
    let mut config = Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await.unwrap();
    config.default_retry = false;
    let maps: Api<ConfigMap> = Api::namespaced(Client::try_from(config).unwrap(), "p");
    let direct: Api<ConfigMap> = Api::namespaced(bed.admin().unwrap(), "p");
    let audit = bed.audit().mark().unwrap();

    // A watch streams while other calls come and go.
    let mut events = maps.watch(&WatchParams::default(), "0").await.unwrap().boxed();
    maps.create(&PostParams::default(), &map("one")).await.unwrap();
    let seen = tokio::time::timeout(Duration::from_secs(10), async {
        loop {
            if let Some(WatchEvent::Added(seen)) = events.try_next().await.unwrap()
                && seen.metadata.name.as_deref() == Some("one")
            {
                return;
            }
        }
    });
    seen.await.unwrap();

    let lost = script.add(Which::of("POST", "/api/v1/namespaces/p/configmaps"), Fault::LoseReply);
    assert!(maps.create(&PostParams::default(), &map("two")).await.is_err());
    assert_eq!(lost.remove(), 1);
    assert!(direct.get("two").await.is_ok());

    let mut hold = script.hold(Which::delete("*/configmaps/two"), Phase::Committed);
    let deletes = maps.clone();
    let task = tokio::spawn(async move { deletes.delete("two", &DeleteParams::default()).await.map(drop) });
    let standing = hold.reached(Duration::from_secs(10)).await.unwrap();
    assert!(direct.get_opt("two").await.unwrap().is_none(), "not committed");
    assert!(!task.is_finished(), "the reply wasn't withheld");
    standing.abandon();
    assert!(task.await.unwrap().is_err());

    let mut hold = script.hold(Which::delete("*/configmaps/one"), Phase::BeforeForward);
    let deletes = maps.clone();
    let task = tokio::spawn(async move { deletes.delete("one", &DeleteParams::default()).await.map(drop) });
    hold.reached(Duration::from_secs(10)).await.unwrap().abandon();
    assert!(task.await.unwrap().is_err());
    assert!(direct.get_opt("one").await.unwrap().is_some(), "it was forwarded");

    assert_eq!(maps.list(&ListParams::default()).await.unwrap().items.len(), 1);
    // The server knew who asked.
    audit.wait_for("delete", Duration::from_secs(10), |e| e.verb == "delete" && e.name == "two").await.unwrap();
    let asked = audit.by("system:serviceaccount:p:default").unwrap();
    let verbs: Vec<&str> = asked.iter().filter(|e| e.stage == "ResponseComplete").map(|e| e.verb.as_str()).collect();
    assert_eq!(verbs, ["create", "create", "delete", "list"], "{}", script.tail(20));
}
