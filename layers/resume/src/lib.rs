//! Resumes a session on another backend when its own is lost.
//!
//! The layer records how a session was opened, next to its pin. When the backend is gone or has forgotten the
//! session, the layer opens a similar one on another backend, updates the record with one compare-and-set, and sends
//! the failed request again. The client keeps its id and notices nothing.
//!
//! It works only by sending requests through the service that it wraps: it has no list of backends and no HTTP client.
//!
//! # When to use it, and when not
//!
//! In front of MCP servers whose sessions are still useful without the state that the server kept in memory.
//!
//! | is restored | is lost |
//! |---|---|
//! | the session: its id, its pin, its age | what the server kept in memory: counters, caches, open files |
//! | what was negotiated: protocol version, capabilities, client information | what was requested later: subscriptions, log levels, roots |
//! | the tools, as the other server has them | calls in flight, and unsent messages of a stream of the lost backend |
//!
//! So the operator decides; a stack does not resume by default. If servers share their state, use `OnLost::Repin` of
//! [`PinBackend`](https://docs.rs/bartizan-pin), which moves a session without a handshake. If a client must know
//! that its state is gone, let its session end: a 404 makes it open a new one.
//!
//! [`split`] spreads one client session over several gateways, each with its own session.
//! [`ResumeSessionLayer::only_if`] switches the layer on or off at run time without changing the type of a stack;
//! `ServiceBuilder::option_layer` takes an `Option` of it, if the inner service accepts both kinds of request.
//!
//! # Rules
//!
//! What a response means for its session:
//!
//! | response | verdict |
//! |---|---|
//! | the connection was refused, or the backend has left | lost |
//! | no connection could be made for another reason (DNS, no route, TLS, connect timeout) | not lost; 503 |
//! | the backend is not known to this replica | not lost; 503, later 404 |
//! | the backend's own 404 on the path on which the session was opened, unless its body is a JSON-RPC error about something else or a page | lost |
//! | the backend's 400 that says "unknown session" or "not initialized", as the SDKs for Python, TypeScript, Go and Rust do | lost |
//! | ended, reset or timed out after the request was sent: it may have been processed | not lost; 502 or 504, never sent again |
//! | any other, including a refusal of another layer | passed on |
//!
//! How a loss is handled:
//!
//! | situation | outcome | sent again? |
//! |---|---|---|
//! | a backend answers the recorded `initialize` with 200, an id, a result, the same version and no fewer capabilities, and accepts `notifications/initialized` | the session continues there | once |
//! | the same, but the body of the request was not kept | 503, `Retry-After`; the next request goes through | no |
//! | the request has other credentials than those that the backend last accepted in this session | 503 for 10 s, then 404; the session stays | no |
//! | it answers 401 or 403 because it does not accept the caller's credentials | passed on without its body; the session stays, and other waiting requests try with their own credentials | no |
//! | it answers 5xx, 429, 408 or 404, forgets what it has just opened, or does not answer in time | the next backend is tried; after the last, 503, `Retry-After`, and the session stays | no |
//! | it answers anything else | the next backend is tried; if all do so, 404, and the session ends | no |
//! | there is no backend to try | 503, `Retry-After`; the session stays | no |
//! | the session is lost again on two backends in a row | 503, `Retry-After`; the session stays | twice |
//! | the request answers the lost server, or cancels one of its requests (`notifications/cancelled`) | 202: the server that expects it is gone | no |
//! | other requests of the session meet the loss at the same time | they wait for the same attempt | each once |
//! | another replica was first | its session is used; the one opened here is ended | once |
//! | DELETE at the same time | waits for the attempt, or prevents it; nothing is left behind | no |
//! | DELETE of a session that has moved | follows it | – |
//! | DELETE, and the store does not accept the mark that the session is about to end | 503, `Retry-After`; the client can retry | no |
//! | DELETE of a session that its backend does not know, whatever its answer | 404; the session is over | no |
//! | no record of how the session was opened: it was too large, or the records of other sessions use [all the space](ResumeSessionLayer::total_record_limit) | the response is passed on; the session ends with its backend | no |
//!
//! Further effects:
//!
//! | | |
//! |---|---|
//! | a response that names the session | names it as its request did, regardless of which backend answers |
//! | the path and query of requests that open a session, or end an unused one | those of the client's own `initialize` |
//! | `Accept-Encoding` of an `initialize` | becomes `identity`: the response is read here |
//! | `Last-Event-ID` in a session that has moved | dropped: another backend would continue another stream |
//! | a response from the new backend | its extensions hold the current [`Session`](bartizan_core::Session) |
//! | an open GET stream whose backend is lost | ends; the client opens another |
//! | a refusal of this layer | carries the JSON-RPC id of the request, if its body was kept or arrives within 1 s |
//! | a refusal of an inner layer | gets the [request body](bartizan_core::refusal::ReturnedBody), from which `ValidateSession` reads the id, if all of the body was read and kept, or none of it was sent |
//!
//! # Place in the stack
//!
//! Below the layer that validates sessions, so that a session is resumed only for its owner and its client keeps its
//! id; above the layer that pins, which reports the loss and chooses another backend
//! ([`Tried`](bartizan_core::backend::Tried) excludes those that were tried).
//!
//! ```
//! use bartizan_core::Backend;
//! use bartizan_memory::MemoryStore;
//! use bartizan_pin::{Backends, PinBackendLayer};
//! use bartizan_resume::ResumeSessionLayer;
//! use bartizan_session::ValidateSessionLayer;
//! # use {bartizan_session::PeekedBody, bartizan_pin::ReclaimableBody};
//! # use bytes::Bytes;
//! # use http::{Request, Response};
//! # use http_body_util::{BodyExt, Full};
//! # use tower::{Layer, ServiceExt, service_fn};
//! # const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{}}"#;
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let server = service_fn(async |request: Request<ReclaimableBody<PeekedBody<Full<Bytes>>>>| {
//! #     let body = r#"{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-06-18","capabilities":{}}}"#;
//! #     let mut response = Response::new(Full::<Bytes>::from(body));
//! #     let name = if Backend::of(&request).unwrap().id().as_str() == "http://a:1" { "a" } else { "b" };
//! #     let body = request.into_body().collect().await.unwrap_or_default().to_bytes();
//! #     if body == INITIALIZE { response.headers_mut().insert("mcp-session-id", name.parse().unwrap()); }
//! #     Ok::<_, std::convert::Infallible>(response)
//! # });
//! let (store, backends) = (MemoryStore::new(), Backends::new(["http://a:1".parse()?]));
//! let resume = ResumeSessionLayer::new(store.clone());
//! let counts = resume.counts();
//! let pinned = PinBackendLayer::new(backends.clone()).layer(server);
//! let service = ValidateSessionLayer::mcp(store).layer(resume.layer(pinned));
//!
//! let opening = Request::post("/mcp").body(Full::from(INITIALIZE))?;
//! let opened = service.clone().oneshot(opening).await?;
//! assert_eq!(opened.headers()["mcp-session-id"], "a");
//!
//! // Its backend leaves, another one comes.
//! backends.remove(&"http://a:1".parse()?);
//! backends.add("http://b:1".parse()?);
//! let call = Request::post("/mcp").header("mcp-session-id", "a").body(Full::from("{}"))?;
//! assert_eq!(service.oneshot(call).await?.status(), 200);
//! assert_eq!(counts.resumed(), 1);
//! # Ok(()) }
//! ```
//!
//! The service responds with the body type of the inner service, which must be a
//! [`ReplaceBody`](bartizan_core::body::ReplaceBody), as the bodies of the layer that pins are. Put
//! `ServiceBuilder::map_response(|response| response.map(GuardBody::forwarded))` between this layer and a service
//! with other bodies.
//!
//! Configured:
//!
//! ```
//! # #[cfg(feature = "seal")] {
//! use std::time::Duration;
//! use bartizan_memory::MemoryStore;
//! use bartizan_resume::{KeyRing, ResumeSessionLayer};
//!
//! # fn configured() -> Result<(), bartizan_resume::ConfigError> {
//! # let secret = [7; 32];
//! let layer = ResumeSessionLayer::new(MemoryStore::new())
//!     .timeout(Duration::from_secs(5))
//!     .seal(KeyRing::new(1, &secret)?);
//! # let _ = layer;
//! # Ok(()) }
//! # configured().unwrap(); }
//! ```
//!
//! # Failure modes
//!
//! If the store does not answer: 503, and a session that was opened in the meantime is ended. With a store that cannot
//! change a record (sealed tokens), nothing is resumed. A backend that was only unreachable keeps the old session until
//! it expires there. A backend that did not answer a request to open a session may keep one that is never used; it
//! expires too. The response to `initialize` is held back until it was read for the record. If it cannot be read in
//! time, or is too large, the session opens but is not resumed later.
//!
//! # Security
//!
//! Only a request of the owner resumes a session, with its own credentials. The owner is the principal. Without a
//! principal, it is a caller with the `Authorization` value that the backend last accepted (with 2xx) in this
//! session; the record holds a digest of it (SHA-256, with the session's id). Another caller gets 503 for 10 s, then
//! 404, and the session stays. A token that was rotated while the backend was away counts as another caller's. Fields
//! of the request that describe its content or a condition are not copied into the handshake. The recorded
//! `initialize` can be sealed with a key (feature `seal`), for the session's principal. Session ids reach no log.
//!
//! # Cost
//!
//! Each request of a live session is kept in case it must be sent again: a copy of the head, into a list that is
//! reused, and three allocations (one for the head, two for the body). The body is kept by reference, up to 64 KiB.
//! Figures are in `benches/README.md`. A response body passes unchanged, unless it was read here or is an event
//! stream for a GET: these are boxed. A layer that is switched off only passes requests and responses on. No lock is
//! held across an await, and no request is kept after its response. The record holds the body of `initialize` and the
//! server's capabilities: about 300 to 1,000 bytes, at most 2 KiB each. Everything else is boxed and runs in tasks
//! that continue when the client goes away, which requires `Send + 'static`. All records of openings that this process
//! keeps take at most 256 MiB ([`ResumeSessionLayer::total_record_limit`]).
//!
//! # Metrics
//!
//! [`ResumeCounts`] implements [`Gauges`](bartizan_core::gauges::Gauges): the attempts to resume a session by outcome, the
//! handshakes that failed by cause, and the sessions that ended because no backend could take them over.
//!
//! # Sources
//!
//! [MCP 2025-11-25, Session Management](https://modelcontextprotocol.io/specification/2025-11-25/basic/transports#session-management)
//! and [Lifecycle](https://modelcontextprotocol.io/specification/2025-11-25/basic/lifecycle),
//! [RFC 9110 §9.2.2](https://www.rfc-editor.org/rfc/rfc9110#section-9.2.2) (what may be sent twice),
//! [HTML §9.2](https://html.spec.whatwg.org/multipage/server-sent-events.html) (events).
#![cfg_attr(docsrs, feature(doc_cfg))]

mod replay;
mod resume;
pub mod split;
mod sync;

/// The rules of this layer as pure functions, for the model of this workspace: no part of the interface, and changed
/// without notice.
#[doc(hidden)]
pub mod deciders {
    pub use crate::{
        replay::{
            entry::{ENDING, NAME as ENTRY, is_ending},
            loss::{Verdict, by_head, by_text},
            opened::{Denial, Unfit, accept_head},
        },
        resume::deciders::*,
    };
}

#[cfg(feature = "seal")]
#[cfg_attr(docsrs, doc(cfg(feature = "seal")))]
pub use bartizan_core::{ConfigError, seal::KeyRing};
pub use resume::{ResponseFuture, ResumeCounts, ResumeSession, ResumeSessionLayer};

/// The example in the README, as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
