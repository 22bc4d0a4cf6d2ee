//! Resumes a session on another backend when its own is lost.
//!
//! How a session was opened is recorded beside its pin. When its backend is gone, or has forgotten it, this
//! layer opens one like it on another backend, writes that into the record in one compare-and-set, and sends
//! the request that met the loss again. The client keeps its id and notices nothing.
//!
//! It works only through the service that it wraps, by calling it with requests of its own: it knows no set
//! of backends and no client for them.
//!
//! # When to use it, and when not
//!
//! In front of MCP servers whose sessions are still useful when the server's memory of them is lost.
//!
//! | comes back | does not |
//! |---|---|
//! | the session itself: its id, its pin, its age | what the server kept in memory of it: counters, caches, open files |
//! | what was agreed to: protocol version, capabilities, client information | subscriptions, log levels, roots: whatever was asked for later |
//! | the tools, as the other server has them | calls in flight, and messages that a stream of the lost backend had still to send |
//!
//! So the owner of the servers decides; a stack does not resume by default. Where servers share their
//! state, `OnLost::Repin` of [`PinBackend`](https://docs.rs/bartizan-pin) moves a session without a handshake.
//! Where a client must know that its state is gone, let its session end: 404 makes it open a new one.
//!
//! [`split`] keeps one client session at several gateways, each with a session of its own.
//! [`ResumeSessionLayer::only_if`] switches the layer at run time without changing the type of a stack;
//! `ServiceBuilder::option_layer` takes an `Option` of it, where the service inside accepts both kinds of request.
//!
//! # Rules
//!
//! What a response means for its session:
//!
//! | response | verdict |
//! |---|---|
//! | the connection was refused, or the backend has left | lost |
//! | no connection could be made for another reason (no name, no route, TLS, connect deadline) | not lost; 503 |
//! | the backend is not known to this replica | not lost; 503, later 404 |
//! | the backend's own 404 on the path on which the session was opened, unless its body is a JSON-RPC error about something else or a page | lost |
//! | the backend's 400 that says "unknown session" or "not initialized", as the SDKs for Python, TypeScript, Go and Rust do | lost |
//! | ended, reset or timed out after the request was sent: it may have been processed | not lost; 502 or 504, never sent again |
//! | any other, a refusal of another layer among them | passed on |
//!
//! What is done about a loss:
//!
//! | situation | outcome | sent again? |
//! |---|---|---|
//! | a backend answers the recorded `initialize` with 200, an id, a result, the same version and no fewer capabilities, and takes `notifications/initialized` | the session goes on there | once |
//! | the same, and the body of the request was not kept | 503, `Retry-After`; the next one goes through | no |
//! | the request shows other credentials than the backend accepted last in this session | 503 for 10 s, then 404; the session stays | no |
//! | it answers 401 or 403, as to a caller whose credentials it does not take | passed on without its body; the session stays as it is, and other requests that wait ask with their own | no |
//! | it answers 5xx, 429, 408 or 404, forgets what it has just opened, or gives no answer in time | the next backend is asked; at last 503, `Retry-After`, and the session stays as it is | no |
//! | it answers anything else | the next backend is asked; if all answer so, 404, and the session ends | no |
//! | there is no backend to ask | 503, `Retry-After`; the session stays as it is | no |
//! | the session is lost again on two backends in a row | 503, `Retry-After`; the session stays | twice |
//! | the request answers the lost server, or cancels one of its requests (`notifications/cancelled`) | 202: the server that expects it is gone | no |
//! | others of the session meet the loss at the same time | they wait for the same attempt | each once |
//! | another replica was first | its session is used; one's own is ended | once |
//! | DELETE at the same time | waits for the attempt, or keeps it from taking effect; nothing is left | no |
//! | DELETE of a session that has moved | goes to where it is | – |
//! | DELETE, and the store cannot be told that the session is about to end | 503, `Retry-After`; it can be sent again | no |
//! | DELETE of a session that its backend does not know, however it says so | 404; it is over | no |
//! | no record of how the session was opened | passed on as it is | no |
//!
//! And of what surrounds it:
//!
//! | | |
//! |---|---|
//! | a response that names the session | names it as its request did, whichever backend answers |
//! | the path and query of the requests that open a session, or end one that is not used | those of the client's own `initialize` |
//! | `Accept-Encoding` of an `initialize` | becomes `identity`: its answer is read here |
//! | `Last-Event-ID` in a session that has moved | dropped: another backend would go on with another stream |
//! | a response that comes from the new backend | its extensions hold the [`Session`](bartizan_core::Session) as it is now |
//! | an open GET stream whose backend is lost | ends; the client opens another |
//!
//! # Place in the stack
//!
//! Below the guard of sessions, so that one is resumed for its owner alone and its client keeps its id; above
//! the layer that pins, which reports the loss and chooses another backend
//! ([`Tried`](bartizan_core::backend::Tried) keeps it from those that were asked).
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
//! The service responds with the body type of the service inside, which is a
//! [`ReplaceBody`](bartizan_core::body::ReplaceBody): the layer that pins responds so. Put
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
//! A store that cannot answer: 503, and what was opened meanwhile is ended. A store that cannot change a
//! record (sealed tokens) resumes nothing. A backend that was only out of reach keeps the old session until
//! it expires there. A backend that was asked to open a session and gave no answer may keep one that is never
//! used; it expires, too. The answer to `initialize` is held back until it was read, for the record; one that
//! cannot be read within the deadline, or is too large, opens a session that is not resumed.
//!
//! # Security
//!
//! Only the owner's own request resumes a session, with the credentials that it shows. That is the principal's; without
//! one, a request with the `Authorization` value that the backend accepted last (with 2xx) in this session, of which the
//! record holds a digest (SHA-256, with the session's id). Another caller who meets the loss gets 503 for 10 s, then
//! 404, and the session stays. A token that was rotated while the backend was away is such another caller's.
//! Of its other fields, those that describe its content or a condition are not sent.
//! What is recorded, the client's `initialize`, can be sealed with a key (feature `seal`), for the session's
//! principal. Session ids reach no log.
//!
//! # Cost
//!
//! For a request of a live session, so that it could be sent again: a copy of the head, into a list that is
//! used again, and three allocations (the head that is kept, and the body twice). The body is kept by
//! reference, up to 64 KiB. Figures are in the README of the benches.
//! A response body passes as it is; one that was looked into, and an event stream that answers a GET, is boxed.
//! A layer that is off passes requests and responses on. No lock is held across a wait, and no request is kept
//! after its response. In the record: the body of `initialize`
//! and the server's capabilities, some 300 to 1,000 bytes, at most 2 KiB each. All else is boxed, and runs in tasks that
//! go on when the client leaves: hence `Send + 'static`.
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
