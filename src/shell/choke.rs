//! The choke point: every request to the API server passes here, and only what is on the list goes on (I16, I17).
//!
//! Observing needs to read, and to write own kinds, Events and the Lease. A client that isn't made for acting can't
//! send anything else, whatever the code above it does.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use http::{Method, Request, Response};
use tower::{BoxError, Layer, Service};

use super::clock::{self, ServerClock};
use super::traffic::Traffic;

/// A request that the list doesn't have: a defect of ours, never sent.
#[derive(Debug, thiserror::Error)]
#[error("refused to send {method} {path}: not on the list of what unstick may write")]
pub struct Forbidden {
    method: Method,
    path: String,
}

/// What a client may write beside own kinds, Events and the Lease.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reach {
    #[default]
    Own,
    /// Workflows may be marked and deleted: for what a policy in mode Enforce asks for.
    Workflows,
}

/// Whether a request may be sent. Reading is for the server's RBAC to judge.
pub fn permitted(method: &Method, path: &str, reach: Reach) -> bool {
    if *method == Method::GET {
        return true;
    }
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let write = [Method::POST, Method::PUT, Method::PATCH, Method::DELETE].contains(method);
    match parts.as_slice() {
        // Incidents are created and deleted, Events created, questions of rights asked by POST.
        ["apis", "unstick.dev", _, "namespaces", _, "workflowincidents"]
        | ["apis", "events.k8s.io", _, "namespaces", _, "events"]
        | ["apis", "coordination.k8s.io", _, "namespaces", _, "leases"]
        | ["apis", "authorization.k8s.io", _, "selfsubjectaccessreviews"] => *method == Method::POST,
        ["apis", "unstick.dev", _, "namespaces", _, "workflowincidents", _] => *method == Method::DELETE,
        // Of policies and the Watchdog object only the status.
        ["apis", "unstick.dev", _, "namespaces", _, "workflowincidents" | "workflowpolicies", _, "status"]
        | ["apis", "unstick.dev", _, "clusterworkflowpolicies" | "watchdogs" | "archivelocations", _, "status"] => {
            *method == Method::PATCH || *method == Method::PUT
        }
        ["apis", "coordination.k8s.io", _, "namespaces", _, "leases", _] => *method == Method::PUT,
        ["apis", "argoproj.io", _, "namespaces", _, "workflows", _] => {
            reach == Reach::Workflows && (*method == Method::PATCH || *method == Method::DELETE)
        }
        _ => !write && *method != Method::CONNECT,
    }
}

/// Puts the choke point into a client; it also hears the server's clock and counts.
#[derive(Clone)]
pub struct Choke {
    pub clock: Arc<ServerClock>,
    pub traffic: Arc<Traffic>,
    pub reach: Reach,
}

impl<S> Layer<S> for Choke {
    type Service = Choked<S>;

    fn layer(&self, inner: S) -> Choked<S> {
        Choked { inner, choke: self.clone() }
    }
}

#[derive(Clone)]
pub struct Choked<S> {
    inner: S,
    choke: Choke,
}

type Answer<B> = std::pin::Pin<Box<dyn Future<Output = Result<Response<B>, BoxError>> + Send>>;

impl<S, A, B> Service<Request<A>> for Choked<S>
where
    S: Service<Request<A>, Response = Response<B>>,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
{
    type Response = Response<B>;
    type Error = BoxError;
    type Future = Answer<B>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: Request<A>) -> Answer<B> {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        if !permitted(&method, &path, self.choke.reach) {
            return Box::pin(async move { Err(Forbidden { method, path }.into()) });
        }
        let verb = super::traffic::verb(&method, &path, request.uri().query().unwrap_or_default());
        let resource = super::traffic::resource(&path);
        let (sent, choke) = (Instant::now(), self.choke.clone());
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = answer.await.map_err(Into::into);
            let code = answer.as_ref().map(|r| r.status().as_u16()).ok();
            choke.traffic.answered(verb, &resource, code, sent.elapsed());
            if let Ok(response) = &answer
                && let Some(date) =
                    response.headers().get(http::header::DATE).and_then(|d| clock::date(d.to_str().ok()?))
            {
                choke.clock.heard(date, sent, Instant::now());
            }
            answer
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_own_kinds_events_and_leases_is_written() {
        let workflows = "/apis/argoproj.io/v1alpha1/namespaces/etl/workflows/a";
        for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
            assert!(!permitted(&method, workflows, Reach::Own), "{method}");
            assert!(!permitted(&method, "/api/v1/namespaces/etl/pods/a", Reach::Own), "{method}");
            assert!(
                !permitted(&method, "/apis/unstick.dev/v1alpha1/namespaces/etl/workflowpolicies/a", Reach::Own),
                "{method}"
            );
        }
        assert!(permitted(&Method::GET, workflows, Reach::Own));
        assert!(permitted(
            &Method::PATCH,
            "/apis/unstick.dev/v1alpha1/namespaces/etl/workflowincidents/a/status",
            Reach::Own
        ));
        assert!(!permitted(
            &Method::PATCH,
            "/apis/unstick.dev/v1alpha1/namespaces/etl/workflowincidents/a",
            Reach::Own
        ));
        assert!(!permitted(&Method::DELETE, "/apis/coordination.k8s.io/v1/namespaces/etl/leases/a", Reach::Own));
        assert!(permitted(&Method::POST, "/apis/events.k8s.io/v1/namespaces/etl/events", Reach::Own));
    }

    #[test]
    fn who_enforces_marks_and_deletes_workflows_and_nothing_else() {
        let workflow = "/apis/argoproj.io/v1alpha1/namespaces/etl/workflows/a";
        assert!(permitted(&Method::PATCH, workflow, Reach::Workflows));
        assert!(permitted(&Method::DELETE, workflow, Reach::Workflows));
        assert!(!permitted(&Method::PUT, workflow, Reach::Workflows));
        // All of a namespace at once.
        assert!(!permitted(&Method::DELETE, "/apis/argoproj.io/v1alpha1/namespaces/etl/workflows", Reach::Workflows));
        assert!(!permitted(&Method::DELETE, "/api/v1/namespaces/etl/pods/a", Reach::Workflows));
    }
}
