//! Tower layers that turn any HTTP service into a session-keeping, loop-proof, spoof-proof reverse
//! proxy.
//!
//! A stateful HTTP service (typically an MCP server) works with one replica and starts answering "session not found"
//! when you add a second: the session lives in the memory of the replica that opened it, and the load balancer chooses
//! a replica before the session has an id. Bartizan is the fix, in composable parts. Each layer is a crate that works
//! alone; together they are a gateway inside your own axum, hyper or tonic server.
//!
//! ```
//! # #[cfg(feature = "full")] {
//! use bartizan::{ReverseProxyStack, memory::MemoryStore, pin::Backends, upstream::Upstream};
//! use tower::{Layer, ServiceExt};
//! # use {bytes::Bytes, http::Request, http_body_util::Empty};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let backends = Backends::new(["http://10.0.0.7:9001".parse()?, "http://10.0.0.8:9001".parse()?]);
//! let stack = ReverseProxyStack::mcp(MemoryStore::new(), backends);
//! let proxy = stack.layer(Upstream::builder().build());
//!
//! // Any server takes `proxy`: `Router::new().route_service("/mcp", proxy)` in axum. A session id that no
//! // backend has issued does not reach one:
//! let guess = Request::get("/mcp").header("mcp-session-id", "guess").body(Empty::<Bytes>::new())?;
//! assert_eq!(proxy.oneshot(guess).await?.status(), 404);
//! # Ok(()) }
//! # main().unwrap(); }
//! ```
//!
//! | module | crate | what it does |
//! |---|---|---|
//! | [`core`] | `bartizan-core` | the shared types: sessions, backends, refusals, the store trait |
//! | `memory` | `bartizan-memory` | a session store for one process |
//! | `forwarded` | `bartizan-forwarded` | drops spoofed forwarding headers, finds the client, writes `X-Forwarded-*` |
//! | `hops` | `bartizan-hops` | detects forwarding loops and rejects them |
//! | `origin` | `bartizan-origin` | validates `Host` and `Origin` of browser requests, against DNS rebinding |
//! | `principal` | `bartizan-principal` | names the caller by its token, so that a session belongs to the caller that opened it |
//! | `redis` | `bartizan-redis` | a session store for many replicas, on Redis or Valkey |
//! | `token` | `bartizan-token` | sessions as sealed tokens that the clients keep: no server needed |
//! | `session` | `bartizan-session` | lets only well-formed, known and owned session ids pass |
//! | `resume` | `bartizan-resume` | resumes a session on another backend when its own is lost |
//! | `pin` | `bartizan-pin` | keeps a session on the backend that opened it |
//! | `streams` | `bartizan-streams` | tracks the open event streams of each session, and ends them with it |
//! | `trace` | `bartizan-trace` | continues W3C traces, with an OpenTelemetry span per request and per try |
//! | `upstream` | `bartizan-upstream` | forwards to that backend |
//! | `observe` | `bartizan-observe` | counts requests at the edge and at the backends, for Prometheus |
//! | `connection` | this one | serves the layers with hyper, in your own accept loop |
//! | `peer` | this one | reads the peer's address from where axum or tonic keeps it |
//! | `stack` | this one | the layers in their order, connected: `ReverseProxyStack`, at the root |
//!
//! Each module has a feature of the same name (`connection`: `hyper`; `peer`: `axum` or `tonic`); `full` enables all.
//! The [guide] shows how to do things by task, [why the layers are in this order](guide::order), [what ends a
//! session](guide::endings) and [what Bartizan guarantees](guide::guarantees).
#![cfg_attr(docsrs, feature(doc_cfg))]

#[doc(inline)]
pub use bartizan_core as core;
#[cfg(feature = "forwarded")]
#[cfg_attr(docsrs, doc(cfg(feature = "forwarded")))]
#[doc(inline)]
pub use bartizan_forwarded as forwarded;
#[cfg(feature = "hops")]
#[cfg_attr(docsrs, doc(cfg(feature = "hops")))]
#[doc(inline)]
pub use bartizan_hops as hops;
#[cfg(feature = "memory")]
#[cfg_attr(docsrs, doc(cfg(feature = "memory")))]
#[doc(inline)]
pub use bartizan_memory as memory;
#[cfg(feature = "observe")]
#[cfg_attr(docsrs, doc(cfg(feature = "observe")))]
#[doc(inline)]
pub use bartizan_observe as observe;
#[cfg(feature = "origin")]
#[cfg_attr(docsrs, doc(cfg(feature = "origin")))]
#[doc(inline)]
pub use bartizan_origin as origin;
#[cfg(feature = "pin")]
#[cfg_attr(docsrs, doc(cfg(feature = "pin")))]
#[doc(inline)]
pub use bartizan_pin as pin;
#[cfg(feature = "principal")]
#[cfg_attr(docsrs, doc(cfg(feature = "principal")))]
#[doc(inline)]
pub use bartizan_principal as principal;
#[cfg(feature = "redis")]
#[cfg_attr(docsrs, doc(cfg(feature = "redis")))]
#[doc(inline)]
pub use bartizan_redis as redis;
#[cfg(feature = "resume")]
#[cfg_attr(docsrs, doc(cfg(feature = "resume")))]
#[doc(inline)]
pub use bartizan_resume as resume;
#[cfg(feature = "session")]
#[cfg_attr(docsrs, doc(cfg(feature = "session")))]
#[doc(inline)]
pub use bartizan_session as session;
#[cfg(feature = "streams")]
#[cfg_attr(docsrs, doc(cfg(feature = "streams")))]
#[doc(inline)]
pub use bartizan_streams as streams;
#[cfg(feature = "token")]
#[cfg_attr(docsrs, doc(cfg(feature = "token")))]
#[doc(inline)]
pub use bartizan_token as token;
#[cfg(feature = "trace")]
#[cfg_attr(docsrs, doc(cfg(feature = "trace")))]
#[doc(inline)]
pub use bartizan_trace as trace;
#[cfg(feature = "upstream")]
#[cfg_attr(docsrs, doc(cfg(feature = "upstream")))]
#[doc(inline)]
pub use bartizan_upstream as upstream;

#[cfg(feature = "hyper")]
#[cfg_attr(docsrs, doc(cfg(feature = "hyper")))]
pub mod connection;
pub mod guide;
#[cfg(any(feature = "axum", feature = "tonic"))]
#[cfg_attr(docsrs, doc(cfg(any(feature = "axum", feature = "tonic"))))]
pub mod peer;
#[cfg(feature = "stack")]
#[cfg_attr(docsrs, doc(cfg(feature = "stack")))]
mod stack;

#[doc(inline)]
pub use bartizan_core::{
    Backend, BackendId, Carrier, ClientAddr, ConfigError, PeerAddr, Principal, PublicOrigin,
    Reason, Route, Session, SessionId, SessionStore, UpstreamFailure,
};
#[cfg(feature = "stack")]
#[cfg_attr(docsrs, doc(cfg(feature = "stack")))]
#[doc(inline)]
pub use stack::{
    BoxedBody, BoxedProxy, ReverseProxy, ReverseProxyStack, SessionProxy, Shutdown, StackGauges,
};

/// The program in the README, as a test.
#[cfg(all(doctest, feature = "full"))]
#[doc = include_str!("../README.md")]
mod readme {}
