//! Lets only well-formed, known and owned session ids pass.
//!
//! A backend opens a session and names it in its response. This layer stores the session before the response is sent.
//! From then on, a request with that id passes only if the session is live and belongs to the caller. The layer
//! implements the rules of the Model Context Protocol ([`ValidateSessionLayer::mcp`]), and works for any header with
//! a session id ([`ValidateSessionLayer::header`]).
//!
//! # When to use it, and when not
//!
//! In a proxy for servers that keep sessions, where it finds the session's backend; or alone, in front of a service
//! that keeps its own sessions and should only see ids that it has issued. It does not authenticate: an id is never
//! proof of identity. Put your own authentication above it, and let that attach a
//! [`Principal`](bartizan_core::Principal).
//!
//! # Rules
//!
//! A request is an MCP request if it has a session id or `MCP-Protocol-Version`, accepts `text/event-stream` by name
//! (`*/*` and `text/*` do not count), or goes to an [endpoint](ValidateSessionLayer::endpoint), in any spelling of
//! the path. Anything else is plain HTTP. For MCP, on arrival:
//!
//! | request | outcome | inner service called? |
//! |---|---|---|
//! | plain HTTP, any method | forwarded untouched, as work that opens no session | yes |
//! | session id malformed (not 1 to 1024 bytes of 0x21 to 0x7E), empty, or on two lines | 400, −32600 | no |
//! | session id unknown, expired, ended, another principal's, another route's | 404, −32001 | no |
//! | POST that needs a session id and has none | 400, −32600 | no |
//! | GET without a session id | 405, `Allow: POST, DELETE` | no |
//! | DELETE without a session id | 400, −32600 | no |
//! | GET or DELETE without a session id that claims the modern era | 405, `Allow: POST` | no |
//! | method other than GET, POST, DELETE, OPTIONS | 405, `Allow` | no |
//! | POST without a session id, from a browser (`Origin` or `Sec-Fetch-Site`), with another content type than JSON | 415, −32600 | no |
//! | POST without a session id whose body is a batch (2025-06-18 or later) or not JSON-RPC | 400, −32600 | no |
//! | the same, longer than the peek limit | 413 | no |
//! | the same, with a version in the body that the header does not have | 400, −32020 | no |
//! | `initialize` with an unknown id | forwarded as a new session, without the id | yes |
//! | `initialize` with a live id | forwarded; the backend decides | yes |
//! | OPTIONS; GET of a path that leads below `/.well-known/`, with dot segments resolved | forwarded | yes |
//! | modern POST without a session id | forwarded untouched, as work that opens no session | yes |
//! | session id *and* a modern version | the id decides | – |
//! | the id of a session without a principal, from a caller that may bind it | forwarded; belongs to the caller from the first 2xx on | yes |
//! | the id of a session that another caller has bound | 404, −32001 | no |
//! | store unreachable or timed out | 503, `Retry-After: 1`, −32603 | no |
//! | too many sessions, including those that are being opened; or too many of its principal or of its client's network | 503, `Retry-After`, −32603 | no |
//!
//! and on the response:
//!
//! | response | outcome |
//! |---|---|
//! | names a new session of MCP | stored as [unconfirmed](bartizan_core::SessionStore::insert_unconfirmed): until a request presents its id, a store that is nearly full may evict it, and its backend gets a DELETE |
//! | names a new session | stored, with what [layers inside leave](bartizan_core::session::Additions), then passed on; if the store refuses: 503, and the backend gets a DELETE |
//! | names a new session, but the client has gone away | the backend gets a DELETE; the session is not stored |
//! | names a new session, but the id is in use: by another backend's session, or by one that has moved | 502, and the backend gets a DELETE |
//! | names a session with a malformed id | 502 |
//! | an error to a request without a session that names one | passed on without the id |
//! | 2xx to a caller that may bind its session | passed on after the session is bound to the caller; 404 if another caller was faster |
//! | plain HTTP or a modern response that names a session | passed on without the id; if the request was a POST and the store does not have the session, the backend gets a DELETE first |
//! | 2xx to DELETE, or a 404 that ends a session as below | passed on; the record is removed |
//! | any other response to DELETE | passed on; the record is kept |
//! | backend unreachable for DELETE | 204; the record is removed |
//! | backend lost | passed on; the record is removed, unless it has been replaced since the request |
//! | the backend's own 404, at the path on which the session was opened (`/mcp` is `/mcp/`) | the same, unless the body is a JSON-RPC error about something else (−32601 to −32603, −32020 to −32022), a page (`text/html`), or does not arrive within 2 s |
//! | any other 404 | passed on; the record is kept |
//! | an inner layer's refusal that [returns the request body](bartizan_core::refusal::ReturnedBody) | passed on with the JSON-RPC id of the request |
//!
//! A refusal echoes the JSON-RPC id of its request byte for byte, if the body of the POST has one:
//!
//! | request body | refusal |
//! |---|---|
//! | a request with a string or a number as id | with the id |
//! | a notification, a response (the id belongs to a request of the server), a batch, not JSON-RPC | without an id |
//! | larger than [`peek_limit`](ValidateSessionLayer::peek_limit) | without an id |
//! | incomplete after 1 s, or broken off | without an id |
//! | already sent to a backend, and not kept for a retry | without an id |
//!
//! A store may know a session under another id than its backend does (the record's upstream id). Then the backend
//! sees its own id in requests, and the client sees its own in responses. [`MintIds`] turns any store into such a
//! store.
//!
//! [`Sessionless::Forward`] forwards requests that need a session id and have none, for servers without sessions.
//! With [`ValidateSessionLayer::header`], methods make no difference, bodies are not read, a 404 of the backend has
//! no effect, and sessions end by expiry or with their backend.
//!
//! # Place in the stack
//!
//! Below authentication, so that sessions belong to principals; above the layer that chooses a backend, so that only
//! a valid session reaches one.
//!
//! ```
//! use bartizan_memory::MemoryStore;
//! use bartizan_session::ValidateSessionLayer;
//! # use {bytes::Bytes, http::{Request, Response}, http_body_util::Full, tower::{Layer, ServiceExt, service_fn}};
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! # let server = service_fn(async |_: Request<_>| Ok::<_, std::convert::Infallible>(Response::new(Full::<Bytes>::default())));
//! let guarded = ValidateSessionLayer::mcp(MemoryStore::new()).layer(server);
//!
//! let stranger = Request::get("/mcp").header("mcp-session-id", "a-guess").body(Full::<Bytes>::default());
//! # let stranger = stranger.unwrap();
//! assert_eq!(guarded.oneshot(stranger).await.unwrap().status(), 404);
//! # }
//! ```
//!
//! Configured:
//!
//! ```
//! use std::time::Duration;
//! use bartizan_memory::MemoryStore;
//! use bartizan_session::{Sessionless, ValidateSessionLayer};
//!
//! let layer = ValidateSessionLayer::mcp(MemoryStore::new())
//!     .route("tools")
//!     .idle(Duration::from_secs(30 * 60))
//!     .sessionless(Sessionless::Forward);
//! # let _ = layer;
//! ```
//!
//! # Failure modes
//!
//! A store that fails or is slow costs a bounded wait and a 503. That never counts as "unknown session", which would
//! make clients throw live sessions away. A session is in use while one of its requests, response streams or tunnels
//! is open (a tunnel holds its [`Lease`](bartizan_core::passage::Lease)).
//!
//! # Metrics
//!
//! [`ValidateSessionLayer::counts`] counts the sessions that were opened and moved, and those that ended, by cause:
//! `delete`, `backend_404`, `backend_lost`, `undelivered`. Sessions that expire or are evicted are counted by the store.
//!
//! # Security
//!
//! The key of a session is (route, principal, id): a stolen id is unknown to other callers. A session that was opened
//! without a principal has no owner, and any caller with its id can use it, unless a layer above lets callers bind
//! such sessions ([`Passage::set_may_bind`](bartizan_core::Passage::set_may_bind)). Then it belongs to the first
//! caller whose request the backend answers with 2xx; its record names the owner by a digest, in the field `owner`. A
//! store that cannot replace records, such as `TokenStore`, binds no sessions. Ids reach neither logs nor error
//! bodies. No value of `MCP-Protocol-Version` bypasses the check of the session id.
//!
//! Plain HTTP does not bypass it either. A request with a session id is never plain, and a session that a plain
//! response opens is ended, neither stored nor handed out. So a request cannot open a session at an endpoint that
//! only the backend knows. The transport of MCP 2024-11-05 (HTTP with SSE) has its session ids in the query. They are
//! not checked here; if its paths are listed as endpoints, its requests are refused.
//!
//! A web page can send a POST to any server with a content type that needs no
//! [preflight](https://fetch.spec.whatwg.org/#cors-preflight-fetch). Such a request opens no session here.
//!
//! A client that opens sessions and never uses them cannot lock other clients out: such sessions make room for new
//! ones in a store that is nearly full, if the store evicts. The DELETE for them carries no credentials, because
//! those of the request that opened the session are not kept; a backend that requires credentials keeps the session
//! until it idles out there.
//!
//! A cap on the sessions of one client counts by the client's address, where a layer outside has [established
//! it](bartizan_core::ClientAddr). Requests from a trusted proxy that does not state the client's address are not
//! counted.
//!
//! # Cost
//!
//! For a live session and a store that answers at once: one lookup, and no allocation, except for the shared
//! [`Passage`](bartizan_core::Passage) if this is the first layer that writes to it. A body is read only for a POST
//! without a session id, or to echo the request's id in a refusal, and only up to 64 KiB. A refusal waits for that at
//! most 1 s. A plain or modern POST
//! costs an allocation and a copy of its header fields, which are needed to end a session that its response may open.
//!
//! A session that was bound costs its owner two lookups per request (with `RedisStore`, the first of them goes to the
//! server), a SHA-256 and an allocation.
//!
//! A request that must wait (for the store or for its own body) does so in one boxed future, together with the inner
//! service that was ready.
//!
//! # Bounds
//!
//! A server moves that future between threads. Therefore the inner service, its futures, errors and response bodies,
//! and the request body must be `Send`; the service and the bodies must be `'static`.
//! [`SessionStore`](bartizan_core::SessionStore) requires the same of a store's futures.
//!
//! # Sources
//!
//! [MCP 2025-11-25, Session Management](https://modelcontextprotocol.io/specification/2025-11-25/basic/transports#session-management),
//! [MCP 2026-07-28, Streamable HTTP](https://modelcontextprotocol.io/specification/2026-07-28/basic/transports/streamable-http),
//! [RFC 9110 §5.3](https://www.rfc-editor.org/rfc/rfc9110#section-5.3),
//! [RFC 3986 §6.2](https://www.rfc-editor.org/rfc/rfc3986#section-6.2) (spellings of a path),
//! [Fetch, CORS-safelisted request headers](https://fetch.spec.whatwg.org/#cors-safelisted-request-header).
#![cfg_attr(docsrs, feature(doc_cfg))]

mod alias;
mod arrival;
mod binding;
mod body;
mod bounds;
mod change;
mod config;
mod denial;
mod echo;
mod endpoints;
mod event;
mod evicted;
mod future;
mod gauges;
mod insert;
mod judge;
mod kind;
mod layer;
mod mint;
mod opening;
mod owner;
mod paths;
mod peek;
mod peeked_body;
mod peeking;
mod refusal;
mod response;
mod run_on;
mod service;
mod stray;
mod within;

/// The rules of this layer as pure functions, for the model of this workspace: no part of the interface, and changed
/// without notice.
#[doc(hidden)]
pub mod deciders {
    pub use crate::{
        change::{Asked, Change, change},
        config::Protocol,
        insert::{Known, on_insert},
    };
}

pub use body::SessionBody;
pub use config::Sessionless;
pub use future::ResponseFuture;
pub use gauges::SessionCounts;
pub use layer::ValidateSessionLayer;
pub use mint::MintIds;
pub use peeked_body::PeekedBody;
pub use service::ValidateSession;

/// The example in the README, as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
