//! Tracks the open event streams of each session, and ends them with it.
//!
//! A session lives in a store; its open streams live in the process that sends them. So a session may end, even at
//! another replica, while one of its streams stays open. This layer tracks the streams of its process (which session,
//! since when) and ends each one with its session, its backend or the server.
//!
//! # When to use it, and when not
//!
//! In front of servers with event streams (`text/event-stream`), MCP or other. It leaves all other bodies alone: an
//! event stream may end after any event, and its client knows what to do then, but any other body that is cut off
//! looks complete.
//!
//! # Rules
//!
//! A client *listens* on a stream that it opened with a GET, or with a subscription of the modern era of MCP. Any
//! other stream *answers* a call. On arrival:
//!
//! | request | outcome | inner service called? |
//! |---|---|---|
//! | asks to listen: a GET that accepts `text/event-stream`, or `subscriptions/listen` | forwarded | yes |
//! | the same, and the limit of listening streams is reached ([`max`](TrackStreamsLayer::max)) | 503, `Retry-After`, −32603 | no |
//! | the same, and the limit of its session is reached ([`max_per_session`](TrackStreamsLayer::max_per_session)) | 503, `Retry-After`, −32603 | no |
//! | the same, and its session already listens; several streams are [allowed](SecondStream::Allowed), by default | forwarded | yes |
//! | … the latest one [wins](SecondStream::Replaces) | forwarded; the earlier one ends | yes |
//! | … a second one is [refused](SecondStream::Refused) | 409, −32600 | no |
//! | any other | forwarded | yes |
//!
//! on the response:
//!
//! | response | outcome |
//! |---|---|
//! | an event stream, for a request that asked to listen | listed while it is open |
//! | an event stream, for any other GET | the table above applies; if it is refused, the backend's stream is dropped |
//! | an event stream, for any other request | listed while it is open, regardless of the limits: it answers a call |
//! | anything else | passed on untouched; a reserved place is released |
//!
//! and while a stream is open:
//!
//! | what happens | outcome |
//! |---|---|
//! | its session ends: by DELETE, by the backend's 404, here or at another replica | it ends |
//! | its session reaches its lifetime | it ends |
//! | [`Streams::end`], [`Streams::end_all_of`] | it ends |
//! | its backend is gone: [`Streams::end_all_on`] | it ends |
//! | the server shuts down: [`Streams::shut_down`] | a listening stream ends; one that answers a call may finish, until the timeout |
//! | its backend is silent for a while ([`keep_alive`](TrackStreamsLayer::keep_alive)) | a comment is sent, unless an event has begun |
//! | its client goes away | the backend's stream is dropped |
//!
//! Streams end cleanly: with the last chunk of HTTP/1.1 or `END_STREAM` of HTTP/2. A client ignores an event that was
//! sent only in part ([HTML, Interpreting an event
//! stream](https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation)).
//!
//! An open stream counts as use of its session. That is the session layer's rule; this layer makes it visible.
//!
//! # Place in the stack
//!
//! Below the layer that finds the session, above the one that chooses a backend. The inner service must respond with
//! a body that can be replaced by another of its type ([`ReplaceBody`](bartizan_core::body::ReplaceBody)): the bodies
//! of Bartizan's other layers, http-body-util's boxed bodies and, with the feature `axum` of `bartizan-core`, axum's.
//! Put [`GuardBody::forwarded`](bartizan_core::GuardBody::forwarded) around any other.
//!
//! ```
//! use bartizan_memory::MemoryStore;
//! use bartizan_session::ValidateSessionLayer;
//! use bartizan_streams::TrackStreamsLayer;
//! # use {bytes::Bytes, http::Response, http_body_util::Full, tower::{Layer, ServiceBuilder, service_fn}};
//! # use bartizan_core::GuardBody;
//! # let server = service_fn(async |_: http::Request<_>| Ok::<_, std::convert::Infallible>(Response::new(GuardBody::forwarded(Full::<Bytes>::default()))));
//!
//! let tracked = TrackStreamsLayer::new();
//! let streams = tracked.streams();
//! let service = ServiceBuilder::new()
//!     .layer(ValidateSessionLayer::mcp(MemoryStore::new()))
//!     .layer(tracked)
//!     .service(server);
//! assert!(streams.is_empty());
//! # let mut service = service;
//! # let _ = tower::Service::<http::Request<Full<Bytes>>>::call(&mut service, http::Request::default());
//! ```
//!
//! Configured:
//!
//! ```
//! use std::time::Duration;
//! use bartizan_streams::{SecondStream, TrackStreamsLayer};
//!
//! let layer = TrackStreamsLayer::new()
//!     .max(10_000.try_into()?)
//!     .second_stream(SecondStream::Replaces)
//!     .keep_alive(Duration::from_secs(25));
//! # let _ = layer;
//! # Ok::<(), std::num::TryFromIntError>(())
//! ```
//!
//! # How the layer learns that a session ended elsewhere
//!
//! From the store ([`Session::ended`](bartizan_core::Session::ended)). The memory store reports it when it removes a
//! session or finds it expired. The Redis store reports it when its server sends the invalidation, some milliseconds
//! after the change; without a near-cache it asks once a second. Lifetimes run on this layer's own clock.
//!
//! The end of a session that is a sealed token cannot be reported: its streams end with its lifetime, through the
//! handle, or with the server. The streams of a backend that leaves its set end if they are connected to the set
//! (`Backends::on_removed` of the crate `bartizan-pin`).
//!
//! # Failure modes
//!
//! While a store cannot be reached, ends at other replicas are not noticed; the streams stay open, and end when the
//! store is back. Without a session layer there are no sessions: only the limit on all streams and the shutdown of
//! the server apply. A client that reads nothing does not notice that its stream has ended; closing its connection is
//! up to the server. A comment is sent in front of what a backend sends, so an event stream must not begin with a
//! byte order mark.
//!
//! # Security
//!
//! The number of listening streams is bounded, per session and in total. Streams that answer calls are limited only
//! by the number of calls in flight. Ids reach neither logs nor `Debug`.
//!
//! # Cost
//!
//! A response that is not an event stream passes unchanged: one clone of the session's handle, and one look at the
//! content type; no allocation. An event stream costs four allocations and two locks in its life, and one clock
//! reading and two flags per frame. Measured figures are in the guide of the crate `bartizan`.
//!
//! # Metrics
//!
//! [`Streams`] implements [`Gauges`](bartizan_core::gauges::Gauges): how many streams are open and listened on, the limit,
//! and how many were opened and ended, by cause.
//!
//! # Sources
//!
//! [HTML, Server-sent events](https://html.spec.whatwg.org/multipage/server-sent-events.html),
//! [MCP 2025-11-25, Listening for Messages](https://modelcontextprotocol.io/specification/2025-11-25/basic/transports#listening-for-messages-from-the-server),
//! [MCP 2026-07-28, Streamable HTTP](https://modelcontextprotocol.io/specification/2026-07-28/basic/transports/streamable-http).
#![cfg_attr(docsrs, feature(doc_cfg))]

mod body;
mod boundary;
mod config;
mod event;
mod future;
mod gauges;
mod keep_alive;
mod layer;
mod listen;
mod refusal;
mod service;
mod signal;
mod streams;
mod tracked;

pub use future::ResponseFuture;
pub use layer::TrackStreamsLayer;
pub use service::TrackStreams;
pub use streams::{OpenStream, SecondStream, StreamId, Streams};

/// The example in the README, as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
