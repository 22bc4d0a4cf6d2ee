//! A service that simulates the backends, and requests for it.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, reason = "each test uses what it needs")]

use std::{
    collections::HashMap,
    convert::Infallible,
    future::ready,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use bartizan_core::{
    Backend, BackendId, GuardBody, Key, Passage, Reason, Record, Refusal, Route, Session,
    UpstreamFailure, Work, failure::FailureKind, refusal::Dialect, store::StoredSession,
};
use bartizan_pin::{Backends, ReclaimableBody};
use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use tower::{Service, ServiceExt};

pub type Body = Full<Bytes>;
pub type Answer = Response<GuardBody<GuardBody<Body>>>;

/// What happened at the backends.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    pub backend: String,
    pub work: Work,
    pub body: Bytes,
}

/// The inner service: all backends in one, each healthy or failing.
#[derive(Clone, Default)]
pub struct World {
    pub calls: Arc<Mutex<Vec<Call>>>,
    failing: Arc<Mutex<HashMap<String, (FailureKind, Reads)>>>,
    names: Arc<Mutex<Option<(&'static str, String)>>>,
    status: Arc<Mutex<StatusCode>>,
}

/// Whether a failing backend reads the body first.
#[derive(Clone, Copy, PartialEq)]
pub enum Reads {
    Nothing,
    Body,
}

impl World {
    pub fn fail(&self, backend: &str, kind: FailureKind, reads: Reads) {
        self.failing.lock().unwrap().insert(backend.into(), (kind, reads));
    }

    pub fn mend(&self, backend: &str) {
        self.failing.lock().unwrap().remove(backend);
    }

    /// Adds this field to every response.
    pub fn name(&self, field: &'static str, value: &str) {
        *self.names.lock().unwrap() = Some((field, value.into()));
    }

    /// Sets the status of every response.
    pub fn answer(&self, status: u16) {
        *self.status.lock().unwrap() = StatusCode::from_u16(status).unwrap();
    }

    pub fn backends_called(&self) -> Vec<String> {
        self.calls.lock().unwrap().iter().map(|call| call.backend.clone()).collect()
    }

    pub fn last(&self) -> Call {
        self.calls.lock().unwrap().last().unwrap().clone()
    }
}

impl Service<Request<ReclaimableBody<Body>>> for World {
    type Response = Response<GuardBody<Body>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<ReclaimableBody<Body>>) -> Self::Future {
        let this = self.clone();
        Box::pin(async move {
            let backend = Backend::of(&request).unwrap().id().to_string();
            let work = Passage::of(&request).unwrap().work();
            if request.headers().contains_key("x-refused") {
                // As a forwarder refuses requests that it will not send: no backend is asked.
                return Ok(Refusal::new(Reason::ProtectedField).respond(&Dialect::JsonRpc(None)));
            }
            let failing = this.failing.lock().unwrap().get(&backend).copied();
            let reads = failing.is_none_or(|(_, reads)| reads == Reads::Body);
            let body = if reads {
                request.into_body().collect().await.unwrap().to_bytes()
            } else {
                Bytes::new()
            };
            this.calls.lock().unwrap().push(Call { backend, work, body });
            let Some((kind, _)) = failing else {
                let mut response = Response::new(GuardBody::forwarded(Full::from("ok")));
                *response.status_mut() = *this.status.lock().unwrap();
                if let Some((name, value)) = &*this.names.lock().unwrap() {
                    let value = HeaderValue::from_str(value).unwrap();
                    response.headers_mut().insert(*name, value);
                }
                return Ok(response);
            };
            let reason = match work {
                Work::Pinned => Reason::BackendUnreachable,
                _ => Reason::ConnectFailed,
            };
            let mut response = Refusal::new(reason).respond(&Dialect::JsonRpc(None));
            response.extensions_mut().insert(UpstreamFailure::new(kind));
            Ok(response)
        })
    }
}

pub fn backends<const N: usize>(names: [&str; N]) -> Backends {
    // Background checks find nothing, unless a test changes that.
    let connect = |_: &Backend| ready(Err(FailureKind::ConnectionLimit));
    Backends::new(names.map(|name| name.parse().unwrap())).connect_by(connect)
}

pub fn id(name: &str) -> BackendId {
    name.parse().unwrap()
}

pub const A: &str = "http://a:1";
pub const B: &str = "http://b:1";
pub const C: &str = "http://c:1";

pub fn request(body: &'static str) -> Request<Body> {
    Request::post("/mcp").body(Full::from(body)).unwrap()
}

/// A request of a session that is pinned to `backend`.
pub fn of_session(backend: &str) -> Request<Body> {
    let mut request = request("call");
    let route = Route::default();
    let record = Record::new(Record::IDLE, Record::LIFETIME).with_backend(id(backend));
    let session = Session::new(Key::new(&route, None, b"s"), record, 1.into(), 0);
    Passage::with(&mut request, |passage| passage.set_session(session));
    request
}

pub async fn send<S>(service: &S, request: Request<Body>) -> Answer
where
    S: Service<Request<Body>, Response = Answer, Error = Infallible> + Clone,
{
    service.clone().oneshot(request).await.unwrap()
}

/// A request that the inner service itself refuses.
pub fn refused_inside(mut request: Request<Body>) -> Request<Body> {
    request.headers_mut().insert("x-refused", HeaderValue::from_static("1"));
    request
}

/// A request with `key` in the field `x-s`.
pub fn shows(key: &'static str) -> Request<Body> {
    let mut request = request("call");
    request.headers_mut().insert("x-s", HeaderValue::from_static(key));
    request
}
