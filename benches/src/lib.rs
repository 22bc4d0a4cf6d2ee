//! What the benchmarks of single layers share: a request as clients send it, and a service that does
//! nothing with it.
#![allow(
    missing_docs,
    clippy::exhaustive_structs,
    clippy::exhaustive_enums,
    clippy::missing_panics_doc,
    clippy::must_use_candidate,
    clippy::unwrap_used,
    reason = "a benchmark that cannot be set up has nothing to tell"
)]

pub mod cases;
pub mod later;
pub mod named;
pub mod wire;

use std::{convert::Infallible, future::Ready, task::Poll};

use bartizan::core::{GuardBody, Passage, PeerAddr};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Response};
use http_body_util::Empty;
use tower::Service;

/// The id of the session that all requests belong to.
pub const SESSION_ID: &str = "0a1b2c3d-0a1b-2c3d-4e5f-0a1b2c3d4e5f";

/// What a session that can be resumed has in its record: enough to be kept for, never read here.
pub const RECORDED: &[u8] = &[1, 0, 0];

/// Answers at once, with the fields of a typical response.
#[derive(Clone, Copy, Debug)]
pub struct Inert;

/// The same, with a body that a layer can replace.
#[derive(Clone, Copy, Debug)]
pub struct InertReplaceable;

impl<B> Service<Request<B>> for Inert {
    type Response = Response<Empty<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        respond(request, Empty::new())
    }
}

impl<B> Service<Request<B>> for InertReplaceable {
    type Response = Response<GuardBody<Empty<Bytes>>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        respond(request, GuardBody::forwarded(Empty::new()))
    }
}

#[inline(always)]
fn respond<B, R>(mut request: Request<B>, body: R) -> Ready<Result<Response<R>, Infallible>> {
    // As the last one on a request's way does.
    drop(Passage::take(request.extensions_mut()));
    drop(std::hint::black_box(request));
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert("content-type", HeaderValue::from_static("application/json"));
    headers.insert("content-length", HeaderValue::from_static("123"));
    headers.insert("date", HeaderValue::from_static("Sat, 21 Nov 2026 00:00:00 GMT"));
    std::future::ready(Ok(response))
}

/// Makes requests as a server hands them on: seven fields, and the peer.
#[derive(Clone, Debug)]
pub struct Requests {
    peer: PeerAddr,
    method: Method,
    more: Vec<(HeaderName, HeaderValue)>,
}

impl Requests {
    /// From `peer`, with `more` fields.
    pub fn new(peer: &str, more: &[(&'static str, &'static str)]) -> Self {
        let field = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        Self {
            peer: PeerAddr::new(peer.parse().unwrap()),
            method: Method::GET,
            more: more.iter().map(field).collect(),
        }
    }

    /// The same, as calls.
    #[must_use]
    pub fn calls(self) -> Self {
        Self { method: Method::POST, ..self }
    }

    pub fn next(&self) -> Request<Empty<Bytes>> {
        let mut request = Request::new(Empty::new());
        *request.method_mut() = self.method.clone();
        let headers = request.headers_mut();
        // As many as hyper reserves room for.
        headers.reserve(12);
        for (name, value) in [
            ("host", "gateway.example:8080"),
            ("accept", "application/json, text/event-stream"),
            ("content-type", "application/json"),
            ("content-length", "300"),
            ("user-agent", "client/1.0"),
            ("mcp-session-id", SESSION_ID),
            ("mcp-protocol-version", "2025-11-25"),
        ] {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        headers.extend(self.more.iter().cloned());
        self.peer.clone().attach(&mut request);
        request
    }
}
