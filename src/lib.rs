//! Tower layers that turn any HTTP service into a session-keeping, loop-proof, spoof-proof reverse
//! proxy.
//!
//! A stateful HTTP service, an MCP server above all, works with one replica and answers "session not
//! found" as soon as there are two: the session lives in the memory of the replica that opened it, and
//! its id is born in the response, after the load balancer chose. Bartizan is the cure in parts: each
//! layer is a crate, useful alone, and together they are a gateway inside your own axum, hyper or tonic
//! server.
//!
//! | module | crate | what it does |
//! |---|---|---|
//! | [`core`] | `bartizan-core` | the vocabulary: sessions, backends, refusals, the store trait |
//! | `memory` | `bartizan-memory` | a session store for one process |
//! | `forwarded` | `bartizan-forwarded` | drops spoofed provenance, finds the client, writes `X-Forwarded-*` |
//! | `hops` | `bartizan-hops` | refuses requests that go round |
//! | `principal` | `bartizan-principal` | names the caller by its token, so that a session belongs to the caller that opened it |
//! | `redis` | `bartizan-redis` | a session store for many replicas, on Redis or Valkey |
//! | `token` | `bartizan-token` | sessions in the hands of their clients: no store at all |
//! | `session` | `bartizan-session` | lets only well-formed, known and owned session ids pass |
//! | `resume` | `bartizan-resume` | resumes a session on another backend when its own is lost |
//! | `pin` | `bartizan-pin` | keeps a session on the backend that opened it |
//! | `streams` | `bartizan-streams` | knows the open event streams of each session, and ends them |
//! | `upstream` | `bartizan-upstream` | forwards to that backend |
//! | `connection` | this one | serves the layers with hyper, in an accept loop of your own |
//! | `peer` | this one | finds the peer where axum or tonic keeps it |
//! | `stack` | this one | the layers in their order, ready made |
//!
//! Each module is there with the feature of its name (`connection` with `hyper`, `peer` with `axum` or `tonic`);
//! `full` is all of them. The guide says
//! [why the layers are in this order](guide::order), [what ends a session](guide::endings) and
//! [what Bartizan guarantees](guide::guarantees).
#![cfg_attr(docsrs, feature(doc_cfg))]

pub use bartizan_core as core;
#[cfg(feature = "forwarded")]
#[cfg_attr(docsrs, doc(cfg(feature = "forwarded")))]
pub use bartizan_forwarded as forwarded;
#[cfg(feature = "hops")]
#[cfg_attr(docsrs, doc(cfg(feature = "hops")))]
pub use bartizan_hops as hops;
#[cfg(feature = "memory")]
#[cfg_attr(docsrs, doc(cfg(feature = "memory")))]
pub use bartizan_memory as memory;
#[cfg(feature = "pin")]
#[cfg_attr(docsrs, doc(cfg(feature = "pin")))]
pub use bartizan_pin as pin;
#[cfg(feature = "principal")]
#[cfg_attr(docsrs, doc(cfg(feature = "principal")))]
pub use bartizan_principal as principal;
#[cfg(feature = "redis")]
#[cfg_attr(docsrs, doc(cfg(feature = "redis")))]
pub use bartizan_redis as redis;
#[cfg(feature = "resume")]
#[cfg_attr(docsrs, doc(cfg(feature = "resume")))]
pub use bartizan_resume as resume;
#[cfg(feature = "session")]
#[cfg_attr(docsrs, doc(cfg(feature = "session")))]
pub use bartizan_session as session;
#[cfg(feature = "streams")]
#[cfg_attr(docsrs, doc(cfg(feature = "streams")))]
pub use bartizan_streams as streams;
#[cfg(feature = "token")]
#[cfg_attr(docsrs, doc(cfg(feature = "token")))]
pub use bartizan_token as token;
#[cfg(feature = "upstream")]
#[cfg_attr(docsrs, doc(cfg(feature = "upstream")))]
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
pub use stack::{BoxedBody, BoxedProxy, ReverseProxy, ReverseProxyStack, SessionProxy, Shutdown};

/// The program in the README, as a test.
#[cfg(all(doctest, feature = "full"))]
#[doc = include_str!("../README.md")]
mod readme {}
