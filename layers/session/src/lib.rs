//! Lets only well-formed, known and owned session ids pass.
//!
//! A session is opened by a backend and named in its response; this layer puts it into a store before
//! the response leaves, and from then on lets a request with that id pass only if the session is live
//! and belongs to the caller. It knows the rules of the Model Context Protocol
//! ([`ValidateSessionLayer::mcp`]) and works for any header that carries a session
//! ([`ValidateSessionLayer::header`]).
//!
//! # When to use it, and when not
//!
//! In front of servers that keep sessions and of a proxy that must find their backend again; alone, in
//! front of a service that keeps its own sessions and should not be asked about foreign ones. It does
//! not authenticate: possession of an id is never proof of identity, so put your own authentication
//! above it and let it name a [`Principal`](bartizan_core::Principal).
//!
//! # Rules
//!
//! A request is MCP's if it shows a session id or `MCP-Protocol-Version`, accepts `text/event-stream` by name (`*/*` and
//! `text/*` do not), or goes to an [endpoint](ValidateSessionLayer::endpoint), in whatever spelling of its path.
//! Anything else is plain HTTP. For MCP, on arrival:
//!
//! | request | outcome | inner service called? |
//! |---|---|---|
//! | plain HTTP, whatever its method | forwarded untouched, as work that opens no session | yes |
//! | session id malformed (not 1 to 1024 bytes of 0x21 to 0x7E), empty, or on two lines | 400, −32600 | no |
//! | session id unknown, expired, ended, another principal's, another route's | 404, −32001 | no |
//! | POST without a session id, in need of one | 400, −32600 | no |
//! | GET without a session id | 405, `Allow: POST, DELETE` | no |
//! | DELETE without a session id | 400, −32600 | no |
//! | GET or DELETE without a session id that claims the modern era | 405, `Allow: POST` | no |
//! | method other than GET, POST, DELETE, OPTIONS | 405, `Allow` | no |
//! | POST without a session id, from a browser (`Origin` or `Sec-Fetch-Site`) and of another content type than JSON | 415, −32600 | no |
//! | POST without a session id whose body is a batch (2025-06-18 or later) or no JSON-RPC | 400, −32600 | no |
//! | the same, past the bound of the look into it | 413 | no |
//! | the same, claiming a version in the body that the header does not | 400, −32020 | no |
//! | `initialize` with an id that is not found | forwarded as new work, the id removed | yes |
//! | `initialize` with a live id | forwarded; the backend decides | yes |
//! | OPTIONS; GET of a path with `/.well-known/` in it | forwarded | yes |
//! | modern POST without a session id | forwarded untouched, as work that opens no session | yes |
//! | session id present *and* a modern version claimed | the id decides | – |
//! | the id of a session without a principal, from a caller that may bind it | forwarded; the caller's from the first 2xx on | yes |
//! | the id of a session that another caller has bound | 404, −32001 | no |
//! | store unreachable or past its deadline | 503, `Retry-After: 1`, −32603 | no |
//! | too many sessions | 503, `Retry-After`, −32603 | no |
//!
//! and on the response:
//!
//! | response | outcome |
//! |---|---|
//! | names a new session | stored, with what [layers inside leave](bartizan_core::session::Additions), then passed on; if the store refuses: 503, and the backend gets a DELETE |
//! | names a new session, and the client has left meanwhile | the session is ended by a DELETE, and not stored |
//! | names a new session by the id of another one: another backend's, or one that has moved | 502, and the backend gets a DELETE |
//! | names a session by something that is no id | 502 |
//! | an error to a request without a session that names one | passed on without the id |
//! | 2xx to a caller that may bind its session | the session is bound to the caller, then passed on; if another caller was faster: 404 |
//! | plain HTTP or a modern response that names a session | passed on without the id; if the request was a POST and the store does not have the session, the backend gets a DELETE first |
//! | 2xx to DELETE, or a 404 that ends a session as below | passed on; the record is removed |
//! | any other to DELETE | passed on; the record is kept |
//! | backend unreachable for DELETE | 204; the record is removed |
//! | the loss of the backend | passed on; the record that the request saw is removed, one that has been replaced since stays |
//! | the backend's own 404, at the path on which the session was opened (`/mcp` is `/mcp/`) | likewise, unless the body is a JSON-RPC error about something else (−32601 to −32603, −32020 to −32022), a page (`text/html`), or does not arrive within 2 s |
//! | any other 404 | passed on; the record is kept |
//!
//! A store may know a session by another id than its backend does (the record's upstream id): then requests
//! carry the backend's id inwards, and responses the client's outwards. [`MintIds`] makes such a store of any.
//!
//! [`Sessionless::Forward`] forwards what needs a session id and has none, for servers that keep no
//! sessions. With [`ValidateSessionLayer::header`] all methods are alike, bodies are not looked into, a
//! 404 is the backend's own affair, and sessions end by expiry or with their backend.
//!
//! # Place in the stack
//!
//! Below authentication, so that sessions belong to principals; above whatever chooses a backend, so
//! that only a valid session chooses one.
//!
//! ```
//! use bartizan_memory::MemoryStore;
//! use bartizan_session::ValidateSessionLayer;
//! # use {bytes::Bytes, http::{Request, Response}, http_body_util::Full, tower::{Layer, ServiceExt, service_fn}};
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! # let server = service_fn(async |_: Request<_>| Ok::<_, std::convert::Infallible>(Response::new(Full::<Bytes>::default())));
//! let guarded = ValidateSessionLayer::mcp(MemoryStore::new()).layer(server);
//!
//! let stranger = Request::get("/mcp").header("mcp-session-id", "nobody's").body(Full::<Bytes>::default());
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
//! A store that fails or is slow costs a bounded wait and a 503; it never counts as "unknown session",
//! which would make clients throw live sessions away. A session is in use while a request or a response
//! stream of it is open, and while a tunnel holds its [`Lease`](bartizan_core::passage::Lease).
//!
//! # Security
//!
//! The key of a session is (route, principal, id): a stolen id is unknown to anybody else. A session that was opened
//! without a principal has no owner: any caller that shows its id uses it, unless a layer above lets callers bind
//! such sessions ([`Passage::set_may_bind`](bartizan_core::Passage::set_may_bind)). Then it belongs to the first
//! one whose request the backend answers with 2xx; its record names the owner by a digest, in the field `owner`. A store
//! that cannot replace records, such as `TokenStore`, binds none. Ids reach neither logs nor error bodies. What `MCP-Protocol-Version` claims never opens a way past the guard.
//!
//! Nor does being plain HTTP. A request with a session id is never plain, and what a plain response opens is neither
//! stored nor handed out, and is ended: a path that only the backend knows to be an endpoint leads to no session. The
//! transport of MCP 2024-11-05 (HTTP with SSE) shows its sessions in the query; they are unknown here, and not guarded
//! unless its paths are named as endpoints, which refuses them.
//!
//! A web page may send a POST to any server with a content type that needs no
//! [preflight](https://fetch.spec.whatwg.org/#cors-preflight-fetch). Such a request opens no session here.
//!
//! # Cost
//!
//! For a live session and a store that answers at once: one lookup, no allocation except the shared
//! [`Passage`](bartizan_core::Passage) where this is the first layer that writes to it. A body is looked
//! into, up to 64 KiB, only of a POST without a session id, or to echo its id in a refusal. A plain or modern POST costs
//! an allocation and a copy of its header fields, for the end of a session that its response may name.
//!
//! A session that was bound costs its owner two look-ups per request (with `RedisStore`, the first of them goes to the
//! server), a SHA-256 and an allocation.
//!
//! A request that must wait (for a store that answers later, for its own body, for the store to have what a
//! response changes) does so in one boxed future, with the instance of the service inside that was ready.
//!
//! # Bounds
//!
//! A server moves that future between threads. Therefore the service inside and its futures, errors and response
//! bodies must be `Send`, as must the request body; the service and the bodies must be `'static`.
//! [`SessionStore`](bartizan_core::SessionStore) asks the same of a store's futures.
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
mod endpoints;
mod event;
mod future;
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
pub use layer::ValidateSessionLayer;
pub use mint::MintIds;
pub use peeked_body::PeekedBody;
pub use service::ValidateSession;
