//! What goes over the wire, counted: requests by verb, resource and code, and their times.

use std::sync::Mutex;
use std::time::Duration;

use http::Method;

use crate::metrics;
use crate::watchdog::tally::Tally;

/// Counted where requests are sent, read at the scrape.
pub struct Traffic(Mutex<Tally>);

impl Default for Traffic {
    fn default() -> Self {
        Self(Mutex::new(Tally::new(metrics::bounds)))
    }
}

impl Traffic {
    pub fn answered(&self, verb: &'static str, resource: &str, code: Option<u16>, took: Duration) {
        let code = code.map_or_else(|| "error".to_owned(), |c| c.to_string());
        if let Ok(mut tally) = self.0.lock() {
            tally.add("unstick_kube_requests_total", &[verb, resource, &code], 1);
            tally.observe("unstick_kube_request_duration_seconds", &[verb], took.as_secs_f64());
        }
    }

    /// Looks at what has been counted.
    pub fn read<T>(&self, look: impl FnOnce(&Tally) -> T) -> Option<T> {
        self.0.lock().ok().map(|tally| look(&tally))
    }
}

/// The Kubernetes verb of a request.
pub fn verb(method: &Method, path: &str, query: &str) -> &'static str {
    match *method {
        Method::GET if query.split('&').any(|p| p == "watch=true" || p == "watch=1" || p == "watch") => "watch",
        Method::GET if names_one(path) => "get",
        Method::GET => "list",
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => "get",
    }
}

/// The plural name of the resource in a path; empty for what is none.
pub fn resource(path: &str) -> String {
    tail(path).first().map_or_else(String::new, |r| (*r).to_owned())
}

fn names_one(path: &str) -> bool {
    tail(path).len() > 1
}

/// The parts from the resource on.
fn tail(path: &str) -> Vec<&str> {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let rest = match parts.as_slice() {
        ["api", _, rest @ ..] | ["apis", _, _, rest @ ..] => rest,
        _ => &[],
    };
    match rest {
        ["namespaces", _, more @ ..] if !more.is_empty() => more.to_vec(),
        other => other.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_told_apart() {
        let wf = "/apis/argoproj.io/v1alpha1/workflows";
        assert_eq!((verb(&Method::GET, wf, "watch=1&x=y"), resource(wf).as_str()), ("watch", "workflows"));
        assert_eq!(verb(&Method::GET, wf, "limit=50"), "list");
        let one = "/apis/unstick.dev/v1alpha1/namespaces/etl/workflowincidents/a/status";
        assert_eq!((verb(&Method::GET, one, ""), resource(one).as_str()), ("get", "workflowincidents"));
        assert_eq!(resource("/api/v1/namespaces/etl"), "namespaces");
        assert_eq!(resource("/version"), "");
    }
}
