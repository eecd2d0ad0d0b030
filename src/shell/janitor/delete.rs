//! The one place that deletes a workflow. It takes a permit, which only the judgement of the governing policy makes.

use kube::Client;
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, GroupVersionKind, Preconditions, PropagationPolicy};

use super::look::{Judged, LastLook};
use super::object::failed;
use crate::mutant;
use crate::watchdog::janitor::job::{Outcome, Permit, Target};

/// Deletes the very object that was judged: uid and resourceVersion are preconditions (I2). What isn't part of the object
/// is looked at right before the call.
pub async fn delete(
    client: Client,
    target: &Target,
    resource_version: &str,
    permit: Permit,
    (look, judged): (&LastLook, Judged),
) -> Outcome {
    if !permit.is_for(&target.uid, resource_version) {
        return Outcome::Changed;
    }
    let preconditions = Preconditions {
        uid: (!mutant::on("no-uid")).then(|| target.uid.clone()),
        resource_version: (!mutant::on("no-resource-version")).then(|| resource_version.to_owned()),
    };
    let parameters = DeleteParams {
        preconditions: Some(preconditions),
        propagation_policy: Some(PropagationPolicy::Background),
        ..DeleteParams::default()
    };
    let gvk = GroupVersionKind::gvk("argoproj.io", "v1alpha1", "Workflow");
    let resource = ApiResource::from_gvk_with_plural(&gvk, "workflows");
    let workflows: Api<DynamicObject> = Api::namespaced_with(client, &target.namespace, &resource);
    if !look.stands(judged) {
        return Outcome::Changed;
    }
    match workflows.delete(&target.name, &parameters).await {
        Ok(_) => {
            let (workflow, ground) = (format!("{}/{}", target.namespace, target.name), permit.ground());
            tracing::info!(workflow, uid = target.uid, ground, "deleted");
            Outcome::Deleted
        }
        Err(error) => match failed(&error) {
            // It may have been done all the same; 429 says that it was not.
            Outcome::Failed(text) if !matches!(&error, kube::Error::Api(status) if status.code < 500) => {
                Outcome::Unanswered(text)
            }
            other => other,
        },
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use http::{Request, Response};
    use http_body_util::BodyExt as _;
    use kube::client::Body;
    use serde_json::{Value, json};

    use super::*;
    use crate::watchdog::input::Input;

    fn target() -> Target {
        Target { namespace: "etl".into(), name: "run-1".into(), uid: "u1".into(), started: 1, finished: 2 }
    }

    /// Method and path, and the body.
    type Sent = Arc<Mutex<Vec<(String, Value)>>>;

    /// A client whose server answers with `status`, and what it was sent.
    fn client(status: u16) -> (Client, Sent) {
        let sent = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&sent);
        let service = tower::service_fn(move |request: Request<Body>| {
            let heard = Arc::clone(&heard);
            async move {
                let line = format!("{} {}", request.method(), request.uri().path());
                let body = request.into_body().collect().await.unwrap().to_bytes();
                heard.lock().unwrap().push((line, serde_json::from_slice(&body).unwrap()));
                let said =
                    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": status, "message": "m"});
                Ok::<_, std::convert::Infallible>(
                    Response::builder().status(status).body(Body::from(said.to_string().into_bytes())).unwrap(),
                )
            }
        });
        (Client::new(service, "default"), sent)
    }

    fn nothing_heard() -> (&'static LastLook, Judged) {
        let look = Box::leak(Box::new(LastLook::default()));
        (look, look.now())
    }

    #[tokio::test]
    async fn what_is_heard_after_the_judgement_holds_the_call_back() {
        let (client, sent) = client(200);
        let look = LastLook::default();
        let judged = look.now();
        look.heard(&Input::NamespaceHeld { name: "etl".to_owned(), hold: Some("audit".to_owned()) });
        let outcome = delete(client, &target(), "77", Permit::of_test(), (&look, judged)).await;
        assert!(matches!(outcome, Outcome::Changed), "{outcome:?}");
        assert!(sent.lock().unwrap().is_empty(), "it was sent all the same");
    }

    #[tokio::test]
    async fn every_delete_asks_for_the_very_object_that_was_judged() {
        let (client, sent) = client(409);
        let outcome = delete(client, &target(), "77", Permit::of_test(), nothing_heard()).await;
        assert!(matches!(outcome, Outcome::Changed), "{outcome:?}");
        let sent = sent.lock().unwrap();
        let [(line, body)] = sent.as_slice() else { panic!("{sent:?}") };
        assert_eq!(line, "DELETE /apis/argoproj.io/v1alpha1/namespaces/etl/workflows/run-1");
        assert_eq!(body["preconditions"], json!({"uid": "u1", "resourceVersion": "77"}));
        assert_eq!(body["propagationPolicy"], "Background");
    }

    #[tokio::test]
    async fn what_the_server_says_is_what_comes_of_it() {
        for (status, expected) in
            [(404, "Gone"), (409, "Changed"), (403, "Refused"), (429, "Failed"), (500, "Unanswered")]
        {
            let (client, _) = client(status);
            let outcome = format!("{:?}", delete(client, &target(), "77", Permit::of_test(), nothing_heard()).await);
            assert!(outcome.starts_with(expected), "{status}: {outcome}");
        }
    }
}
