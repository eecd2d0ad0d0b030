//! An API server that answers from a table, and remembers what it was asked.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};
use unstick::cli::screen::Screen;

use crate::stage::{LIVE, Ran, run, run_with, workflows};

/// Path with query (without `limit`) -> status and body.
pub type Table = BTreeMap<String, (u16, Value)>;

pub struct Server {
    pub table: Arc<Mutex<Table>>,
    pub kubeconfig: tempfile_path::Path,
    pub asked: Arc<Mutex<Vec<String>>>,
    _stop: tokio::sync::oneshot::Sender<()>,
}

/// A file that goes with the value.
mod tempfile_path {
    pub struct Path(pub std::path::PathBuf);
    impl Drop for Path {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.0);
        }
    }
}

#[derive(Clone)]
pub struct Answers {
    table: Arc<Mutex<Table>>,
    asked: Arc<Mutex<Vec<String>>>,
}

async fn answer(State(answers): State<Answers>, request: Request) -> Response {
    let uri = request.uri().to_string().replace("?limit=50&", "?").replace("?limit=50", "");
    let whom = request.headers().get("impersonate-user").and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
    let asked = format!("{} {uri}{}{whom}", request.method(), if whom.is_empty() { "" } else { " as " });
    let body = axum::body::to_bytes(request.into_body(), 1 << 20).await.unwrap();
    answers.asked.lock().unwrap().push(asked);
    let (status, body) = if uri.ends_with("selfsubjectaccessreviews") {
        let mut review: Value = serde_json::from_slice(&body).unwrap();
        let a = &review["spec"]["resourceAttributes"];
        let key = format!("may {} {}", a["verb"].as_str().unwrap(), a["resource"].as_str().unwrap());
        let allowed = answers.table.lock().unwrap().get(&key).is_none_or(|(status, _)| *status == 200);
        review["status"] = json!({"allowed": allowed});
        (201, review)
    } else {
        let none = (404, json!({"kind": "Status", "message": "the server could not find the requested resource"}));
        answers.table.lock().unwrap().get(&uri).cloned().unwrap_or(none)
    };
    let date = [(header::DATE, "Sat, 21 Nov 2026 10:00:00 GMT"), (header::CONTENT_TYPE, "application/json")];
    (StatusCode::from_u16(status).unwrap(), date, body.to_string()).into_response()
}

pub fn serve(table: &[(&str, u16, Value)]) -> Server {
    let table: Table = table.iter().map(|(path, status, body)| ((*path).to_owned(), (*status, body.clone()))).collect();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let table = Arc::new(Mutex::new(table));
    let answers = Answers { table: table.clone(), asked: asked.clone() };
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    std::thread::spawn(move || {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            let app = Router::new().fallback(answer).with_state(answers);
            tokio::select! {
                served = axum::serve(listener, app) => served.unwrap(),
                _ = stopped => {}
            }
        });
    });
    let path = std::env::temp_dir().join(format!("unstick-cli-{}-{port}.yaml", std::process::id()));
    let mut file = std::fs::File::create(&path).unwrap();
    let config = json!({"apiVersion": "v1", "kind": "Config", "current-context": "c", "users": [{"name": "u", "user": {}}],
        "clusters": [{"name": "k", "cluster": {"server": format!("http://127.0.0.1:{port}")}}],
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u", "namespace": "ci"}}]});
    file.write_all(config.to_string().as_bytes()).unwrap();
    Server { kubeconfig: tempfile_path::Path(path), table, asked, _stop: stop }
}

impl Server {
    pub fn run(&self, line: &str) -> Ran {
        run(&format!("{line} --kubeconfig {}", self.kubeconfig.0.display()), "", Screen::PLAIN)
    }

    /// With the engine of the program.
    pub fn run_live(&self, line: &str) -> Ran {
        let line = format!("{line} --kubeconfig {}", self.kubeconfig.0.display());
        run_with(LIVE, "unstick", &line, "", Screen::PLAIN)
    }

    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

pub const ALL: &str = "/apis/argoproj.io/v1alpha1/workflows";

/// Workflows whose namespace passes.
pub fn items(keep: impl Fn(&str) -> bool) -> Vec<Value> {
    let list: Value = serde_json::from_str(&workflows()).unwrap();
    list["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|w| keep(w["metadata"]["namespace"].as_str().unwrap()))
        .cloned()
        .collect()
}

pub fn page(items: &[Value], next: &str) -> Value {
    json!({"kind": "WorkflowList", "metadata": {"continue": next}, "items": items})
}
