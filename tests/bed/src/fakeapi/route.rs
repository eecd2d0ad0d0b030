//! From a request to its answer.

use std::sync::Arc;

use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::{Bytes, Incoming};
use serde_json::{Value, json};

use super::body::Answer;
use super::entry::Entry;
use super::failure::Failure;
use super::kinds::KINDS;
use super::merge::merge;
use super::query::{Params, Target};
use super::server::Shared;
use super::write::key;
use super::{control, discovery, list, watch};

/// The real server takes 3 MiB.
const LARGEST_BODY: usize = 3 << 20;

pub async fn answer(shared: &Arc<Shared>, request: Request<Incoming>) -> Response<Answer> {
    let (parts, body) = request.into_parts();
    let content_type =
        parts.headers.get("content-type").and_then(|v| v.to_str().ok()).unwrap_or("application/json").to_owned();
    let body = match Limited::new(body, LARGEST_BODY).collect().await {
        Ok(body) => body.to_bytes(),
        Err(e) => return refused(&Failure::bad_request(e.to_string())),
    };
    let (path, query) = (parts.uri.path(), parts.uri.query().unwrap_or(""));
    if let Some(command) = path.strip_prefix("/-/") {
        return control::answer(shared, command, &body);
    }
    match handle(shared, &parts.method, path, query, &content_type, &body) {
        Ok(response) => response,
        Err(failure) => refused(&failure),
    }
}

fn handle(
    shared: &Arc<Shared>,
    method: &Method,
    path: &str,
    query: &str,
    content_type: &str,
    body: &Bytes,
) -> Result<Response<Answer>, Failure> {
    if let Some(document) = discovery::document(path) {
        shared.count("get", path);
        return Ok(json_answer(StatusCode::OK, &document));
    }
    if method == Method::POST
        && let Some(review) = discovery::review(path, body)
    {
        shared.count("create", path.rsplit('/').next().unwrap_or_default());
        return Ok(json_answer(StatusCode::CREATED, &review));
    }
    let target = Target::parse(path).ok_or_else(Failure::no_such_path)?;
    let params = Params::parse(query, &target)?;
    let verb = match (method, &target.name) {
        (&Method::GET, _) if params.watch => "watch",
        (&Method::GET, None) => "list",
        (&Method::GET, Some(_)) => "get",
        (&Method::POST, None) => "create",
        (&Method::PUT, Some(_)) => "update",
        (&Method::PATCH, Some(_)) => "patch",
        (&Method::DELETE, Some(_)) => "delete",
        _ => return Err(Failure::method()),
    };
    shared.count(verb, &target.resource());
    match verb {
        "watch" => Ok(json_stream(watch::open(shared, &target, params)?)),
        "list" => Ok(json_stream(list::open(shared, &target, &params)?)),
        "get" => {
            let entry = shared.store().get(target.kind, &key(&target)).map(Arc::clone);
            let missing = || Failure::not_found(&KINDS[target.kind], target.name.as_deref().unwrap_or_default());
            Ok(object(StatusCode::OK, &*entry.ok_or_else(missing)?))
        }
        "create" => {
            Ok(object(StatusCode::CREATED, &*shared.create(&target, parse(content_type, "application/json", body)?)?))
        }
        "update" => {
            let new = parse(content_type, "application/json", body)?;
            Ok(object(StatusCode::OK, &*shared.update(&target, true, |_| Ok(new))?))
        }
        "patch" => {
            let patch = parse(content_type, "application/merge-patch+json", body)?;
            let merge_it = |mut current| {
                merge(&mut current, &patch);
                Ok(current)
            };
            let only_metadata = patch.as_object().is_some_and(|p| p.keys().all(|name| name == "metadata"));
            let merged = if only_metadata && !KINDS[target.kind].status {
                shared.update_metadata(&target, merge_it)?
            } else {
                shared.update(&target, false, merge_it)?
            };
            Ok(object(StatusCode::OK, &merged))
        }
        _ => {
            let options = if body.is_empty() { Value::Null } else { parse(content_type, "application/json", body)? };
            match shared.delete(&target, &options)? {
                Some(held) => Ok(object(StatusCode::OK, &held)),
                None => Ok(json_answer(
                    StatusCode::OK,
                    &json!({"apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Success"}),
                )),
            }
        }
    }
}

fn parse(content_type: &str, wanted: &str, body: &Bytes) -> Result<Value, Failure> {
    if content_type.split(';').next().map(str::trim) != Some(wanted) {
        return Err(Failure::media_type());
    }
    serde_json::from_slice(body).map_err(|e| Failure::bad_request(e.to_string()))
}

fn object(status: StatusCode, entry: &Entry) -> Response<Answer> {
    let mut text = Vec::new();
    entry.write(&mut text);
    whole(status, text.into())
}

pub fn json_answer(status: StatusCode, value: &Value) -> Response<Answer> {
    whole(status, value.to_string().into())
}

fn refused(failure: &Failure) -> Response<Answer> {
    let status = StatusCode::from_u16(failure.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    json_answer(status, &failure.status())
}

fn json_stream(answer: Answer) -> Response<Answer> {
    with_type(StatusCode::OK, answer)
}

fn whole(status: StatusCode, text: Bytes) -> Response<Answer> {
    with_type(status, Answer::Whole(Some(text)))
}

fn with_type(status: StatusCode, answer: Answer) -> Response<Answer> {
    let mut response = Response::new(answer);
    *response.status_mut() = status;
    response.headers_mut().insert("content-type", http::HeaderValue::from_static("application/json"));
    response
}
