//! Knows the open event streams of each session, and ends them.
//!
//! A session lives in a store; its open streams live in the process that sends them. So a session may be
//! over, at another replica even, while a stream of it goes on. This layer keeps account of the streams of
//! its process, for whom and since when, and ends each with its session, its backend or the server.
//!
//! # When to use it, and when not
//!
//! In front of servers with event streams (`text/event-stream`): MCP's, or any. Other bodies are not its
//! business: an event stream may end after any event, and its client knows what to do then; any other body
//! that ends early is one that is cut off and looks whole.
//!
//! # Rules
//!
//! Somebody *listens* on a stream that was opened by a GET, or by a subscription of the modern era of MCP;
//! any other stream *answers* a call. On arrival:
//!
//! | request | outcome | inner service called? |
//! |---|---|---|
//! | asks to listen: a GET that accepts `text/event-stream`, or `subscriptions/listen` | forwarded | yes |
//! | the same, and as many listen as may ([`max`](TrackStreamsLayer::max)) | 503, `Retry-After`, −32603 | no |
//! | the same, and as many of its session as may ([`max_per_session`](TrackStreamsLayer::max_per_session)) | 503, `Retry-After`, −32603 | no |
//! | the same, and its session listens; several are [allowed](SecondStream::Allowed), by default | forwarded | yes |
//! | … the last one in [wins](SecondStream::Replaces) | forwarded; the earlier one ends | yes |
//! | … a second one is [refused](SecondStream::Refused) | 409, −32600 | no |
//! | any other | forwarded | yes |
//!
//! on the response:
//!
//! | response | outcome |
//! |---|---|
//! | an event stream to whoever asked to listen | listed while it is open |
//! | an event stream to any other GET | judged by the table above; if it is refused, what the backend opened is dropped |
//! | an event stream to any other request | listed while it is open, whatever the caps are: it answers a call that was made |
//! | anything else | passed on untouched; room that was found is given back |
//!
//! and while a stream is open:
//!
//! | what happens | outcome |
//! |---|---|
//! | its session ends: by DELETE, by the backend's 404, here or at another replica | it ends |
//! | the lifetime of its session is over | it ends |
//! | [`Streams::end`], [`Streams::end_all_of`] | it ends |
//! | its backend is gone: [`Streams::end_all_on`] | it ends |
//! | the server leaves: [`Streams::shut_down`] | one that somebody listens on ends; one that answers a call may finish, until the deadline |
//! | its backend says nothing for a while ([`keep_alive`](TrackStreamsLayer::keep_alive)) | a comment is sent, unless an event has begun |
//! | its client goes away | the backend's stream is dropped |
//!
//! An end is a clean one: the body is over, with the last chunk of HTTP/1.1 or `END_STREAM` of HTTP/2. An event
//! of which a part was sent is none to its client
//! ([HTML, Interpreting an event stream](https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation)).
//!
//! An open stream is use of its session for as long as it lasts. That is the session layer's rule; this one
//! makes it visible.
//!
//! # Place in the stack
//!
//! Below the layer that finds the session, above the one that chooses a backend. The service inside responds with a
//! body that can be replaced by another of its type
//! ([`ReplaceBody`](bartizan_core::body::ReplaceBody)): the bodies of Bartizan's other layers, http-body-util's
//! boxed bodies and, with the feature `axum` of `bartizan-core`, axum's. Put
//! [`GuardBody::forwarded`](bartizan_core::GuardBody::forwarded) around any other.
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
//! # How an end elsewhere is known
//!
//! The store tells it ([`Session::ended`](bartizan_core::Session::ended)): the one in memory when it removes a
//! session or finds it expired, the one on Redis when its server tells of the change, some milliseconds after it
//! was made; without a near-cache it asks once a second. A lifetime is this layer's own clock.
//!
//! A session that is a sealed token is no object that could be told of: its streams end with its lifetime, by
//! hand, or with the server. A backend that leaves its set ends its streams if the set says so
//! (`Backends::on_removed` of the crate `bartizan-pin`).
//!
//! # Failure modes
//!
//! While a store cannot be reached, nothing is heard of ends elsewhere; streams go on, and end when it is
//! back. Without a session layer there are no sessions: the cap on all streams and the server's leave hold.
//! A client that reads nothing is not told that its stream has ended until it reads: its connection is the
//! server's to cut. Comments in front of a byte order mark would make it one no more; event streams have none.
//!
//! # Security
//!
//! What a session costs in streams is bounded, and so is the sum. Streams that answer calls are as many as there
//! are calls in flight: whoever bounds these bounds those. Ids reach neither logs nor `Debug`.
//!
//! # Cost
//!
//! A response that is not an event stream passes as it is: one copy of a session's handle, and one look at the
//! content type; no allocation. An event stream: four allocations and two locks in its life, and per frame a clock and two
//! flags. The figures are in the README of the workspace.
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
