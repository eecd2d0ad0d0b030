//! One client's connection: each call is put on record, meets its fate, and goes on to the server or doesn't.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONNECTION, CONTENT_LENGTH, HeaderMap, HeaderValue, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderName, Request, Response, StatusCode, request};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::rt::{Read, Write};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::certificates::Shown;
use super::door::Door;
use super::fault::{Answer, Fault};
use super::record::{Call, Phase};
use super::reply::{Cut, ReplyBody};
use super::script::{Fate, Go, Script, Standing};
use super::sent::{Sent, Telling};
use super::upstream::Upstream;
use super::which::decoded;

/// What all connections of a proxy share.
pub(super) struct Served {
    pub name: String,
    pub upstream: Upstream,
    pub tls: Option<Arc<Shown>>,
    pub script: Script,
    pub door: Arc<Door>,
}

pub(super) async fn serve(stream: TcpStream, served: Arc<Served>) {
    let peer = stream.peer_addr().map_or(0, |address| address.port());
    match served.tls.clone() {
        None => talk(TokioIo::new(stream), peer, served).await,
        Some(tls) => {
            if let Ok(stream) = tls.now().accept(stream).await {
                talk(TokioIo::new(stream), peer, served).await;
            }
        }
    }
}

async fn talk<I: Read + Write + Unpin + 'static>(io: I, peer: u16, served: Arc<Served>) {
    let sent = Sent::default();
    let keep_alive = served.tls.as_ref().is_none_or(|tls| !tls.each_call);
    let telling = Telling { inner: io, sent: sent.clone() };
    let service = service_fn(move |request| answer(Arc::clone(&served), peer, sent.clone(), request));
    // An error is what a fault looks like from here.
    let _ = http1::Builder::new().keep_alive(keep_alive).serve_connection(telling, service).await;
}

/// A reply, or an error that closes the connection.
async fn answer(
    served: Arc<Served>,
    peer: u16,
    sent: Sent,
    request: Request<Incoming>,
) -> Result<Response<ReplyBody>, Cut> {
    let script = &served.script;
    let (head, body) = request.into_parts();
    let (call, fate) = script.arrived(|order| Call {
        order,
        proxy: served.name.clone(),
        peer,
        method: head.method.to_string(),
        path: decoded(head.uri.path()),
        query: head.uri.query().unwrap_or_default().to_owned(),
        headers: head.headers.keys().map(|name| name.as_str().to_owned()).collect(),
        at: Timestamp::now(),
        request_bytes: 0,
        server_status: None,
        status: None,
        fault: None,
        phase: Phase::Arrived,
    });
    script.together(&call).await;
    if script.unfrozen().await == Go::Abandon {
        return Err(Cut::other("behind a call that was abandoned"));
    }
    let body = body.collect().await.map_err(Cut::other)?.to_bytes();
    script.note(call.order, |call| call.request_bytes = body.len());
    match &fate.fault {
        Some(Fault::Refuse) => {
            served.door.refuse();
            return Err(Cut::other("refused"));
        }
        Some(Fault::BlackHole) => pending::<()>().await,
        Some(Fault::CloseBeforeForward) => return Err(Cut::other("closed before it was forwarded")),
        Some(Fault::Delay(time)) => tokio::time::sleep(*time).await,
        Some(Fault::Drip { bytes_per_second }) => {
            let millis = body.len().saturating_mul(1000) / (*bytes_per_second).max(1);
            tokio::time::sleep(Duration::from_millis(millis as u64)).await;
        }
        _ => {}
    }
    script.note(call.order, |call| call.phase = Phase::BeforeForward);
    stand(script, call.order, fate.hold_at(Phase::BeforeForward)).await?;
    if let Some(Fault::Answer(answer)) = &fate.fault {
        return made(&call, &fate, script, &sent, answer);
    }
    if let Some(Fault::Unconditional(owner)) = &fate.fault {
        let answer = owner.put(served.upstream.address(), &call.path, &head.headers, body).await.map_err(Cut::other)?;
        script.note(call.order, |call| call.phase = Phase::Committed);
        return made(&call, &fate, script, &sent, &answer);
    }
    let reply = served.upstream.send(forwarded(&head, body)?).await.map_err(Cut::other)?;
    let status = reply.status();
    script.note(call.order, |call| {
        call.server_status = Some(status.as_u16());
        call.phase = Phase::Committed;
    });
    finish(&call, &fate, script, sent, reply).await
}

/// The server has answered: what the client gets of it.
async fn finish(
    call: &Call,
    fate: &Fate,
    script: &Script,
    sent: Sent,
    reply: Response<Incoming>,
) -> Result<Response<ReplyBody>, Cut> {
    let (mut head, body) = reply.into_parts();
    strip(&mut head.headers);
    let endless = ["watch=1", "watch=true"].iter().any(|flag| call.query.contains(flag));
    let untouched = fate.fault.is_none() && fate.holds.is_empty();
    if endless || untouched {
        stand(script, call.order, fate.hold_at(Phase::Committed)).await?;
        if matches!(fate.fault, Some(Fault::LoseReply)) {
            return Err(Cut::other("reply lost"));
        }
        script.note(call.order, |call| call.status = Some(head.status.as_u16()));
        sent.begin(call.order, script, fate.hold_at(Phase::AfterReply));
        if endless || hyper::body::Body::is_end_stream(&body) {
            // Its head is all that can be waited for.
            sent.handed_over();
        }
        return Ok(Response::from_parts(head, ReplyBody::stream(body, sent)));
    }
    let body = body.collect().await.map_err(Cut::other)?.to_bytes();
    stand(script, call.order, fate.hold_at(Phase::Committed)).await?;
    let length = |bytes: &Bytes| HeaderValue::from(bytes.len());
    let keep = |at: usize| body.slice(..at.min(body.len()));
    let body = match &fate.fault {
        Some(Fault::LoseReply) => return Err(Cut::other("reply lost")),
        Some(Fault::AnswerAfterCommit(answer)) => return made(call, fate, script, &sent, answer),
        Some(Fault::Truncate { keep: at }) if *at < body.len() => {
            head.headers.insert(CONTENT_LENGTH, length(&body));
            ReplyBody::broken(keep(*at), sent.clone())
        }
        Some(Fault::Drip { bytes_per_second }) if !body.is_empty() => {
            head.headers.insert(CONTENT_LENGTH, length(&body));
            ReplyBody::drip(body.clone(), *bytes_per_second, sent.clone())
        }
        Some(Fault::Shorten { keep: at }) => {
            head.headers.insert(CONTENT_LENGTH, length(&keep(*at)));
            ReplyBody::whole(keep(*at), sent.clone())
        }
        Some(Fault::FlipByte { at }) if !body.is_empty() => {
            let mut bytes = body.to_vec();
            let at = at % bytes.len();
            bytes[at] ^= 1;
            ReplyBody::whole(bytes.into(), sent.clone())
        }
        Some(Fault::OtherBody(other)) => {
            head.headers.insert(CONTENT_LENGTH, length(other));
            ReplyBody::whole(other.clone(), sent.clone())
        }
        _ => ReplyBody::whole(body, sent.clone()),
    };
    Ok(leave(call, fate, script, &sent, Response::from_parts(head, body)))
}

/// The reply goes out; after it, perhaps, nothing more.
fn leave(call: &Call, fate: &Fate, script: &Script, sent: &Sent, reply: Response<ReplyBody>) -> Response<ReplyBody> {
    script.note(call.order, |call| call.status = Some(reply.status().as_u16()));
    let empty = hyper::body::Body::is_end_stream(reply.body());
    sent.begin(call.order, script, fate.hold_at(Phase::AfterReply));
    if empty {
        sent.handed_over();
    }
    reply
}

/// A reply of our own instead of the server's.
fn made(call: &Call, fate: &Fate, script: &Script, sent: &Sent, answer: &Answer) -> Result<Response<ReplyBody>, Cut> {
    let (status, headers, body) = answer.reply(&call.method, &call.path);
    let mut reply = Response::new(ReplyBody::whole(body, sent.clone()));
    *reply.status_mut() = StatusCode::from_u16(status).map_err(Cut::other)?;
    reply.headers_mut().extend(headers);
    Ok(leave(call, fate, script, sent, reply))
}

/// Tells the test that the call is here, and waits for its word.
async fn stand(script: &Script, order: usize, hold: Option<&mpsc::UnboundedSender<Standing>>) -> Result<(), Cut> {
    let (Some(teller), Some(call)) = (hold, script.call(order)) else { return Ok(()) };
    let (standing, heard) = Standing::new(call);
    if teller.send(standing).is_err() {
        // The hold has ended meanwhile.
        return Ok(());
    }
    match heard.await {
        Ok(Go::Proceed) => Ok(()),
        _ => Err(Cut::other("abandoned")),
    }
}

/// The request as it came, Host included, but for what concerns the one connection only.
fn forwarded(head: &request::Parts, body: Bytes) -> Result<Request<Full<Bytes>>, Cut> {
    let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
    let mut request = Request::builder().method(head.method.clone()).uri(target);
    if let Some(headers) = request.headers_mut() {
        headers.extend(head.headers.clone());
        strip(headers);
    }
    request.body(Full::new(body)).map_err(Cut::other)
}

fn strip(headers: &mut HeaderMap) {
    for name in [CONNECTION, TRANSFER_ENCODING, UPGRADE, HeaderName::from_static("keep-alive")] {
        headers.remove(name);
    }
}
