//! Keeps one client session at several gateways, each with its own session.
//!
//! In a federation, a client has one session with the gateway in front. The gateways behind it are separate servers
//! that open their own sessions. [`SplitSession`] keeps one session there for each pair of a client session and a
//! gateway. The first is the one that the client opened; each further one is opened by the first request that names its
//! gateway, in the way in which the client opened its own.
//!
//! | request | outcome |
//! |---|---|
//! | names no gateway | passed on unchanged |
//! | names an unknown gateway | 503, `Retry-After` |
//! | opens a session, or has none | forwarded to its gateway |
//! | the session has one at the gateway, opened by any replica | forwarded with the id that the gateway gave; does not wait for other requests |
//! | the session has none at the gateway yet | one is opened for all requests that need it and listed in the session's record; then forwarded |
//! | two replicas open one at the same time | both use the one that is listed first; the other is ended |
//! | the gateway does not know the session any more | it is opened again and the request is sent again, once; sessions at other gateways are not touched |
//! | the gateway is unreachable, for any length of time, or opens nothing | 503, `Retry-After`; nothing else changes |
//! | the store does not answer during an opening, or a later release wrote the list | 503, `Retry-After`; the new session is ended |
//! | the record lists 64 gateways already, or 16 KiB of them | 503, `Retry-After`; the listed ones keep working |
//! | DELETE, and its own gateway reports the end, or is unreachable | ends the sessions at all other gateways at once, each within a timeout |
//! | DELETE, and its own gateway refuses | passed on; nothing changes |
//! | DELETE, and the store does not accept the mark that the session is about to end | 503, `Retry-After`; the client can retry |
//! | no record of how the client opened the session | forwarded to its own gateway; 503 for any other |
//!
//! Two client sessions never share a session at a gateway. A session at a gateway lasts as long as its client session;
//! when that expires, each replica ends the ones that it has used. There are no probes, since a server that hangs could
//! still pass them. A change of how a gateway is reached (its origin, TLS or credentials) ends its sessions; a new
//! [`label`](Gateway::label) does not. While two replicas reach a gateway in different ways, as during a rolling deploy,
//! each way has a separate session.
//!
//! # The record
//!
//! The field `split` of the session's record lists its sessions at gateways: the name of the gateway, the id that it
//! gave, the path and query of the request that opened it, and a digest of how the gateway was reached (SHA-256, with the
//! session id). The list changes only by compare-and-set, so all replicas that share a store use the same session at each
//! gateway. A record without the field, as earlier releases wrote it, lists none.
//!
//! # Cost
//!
//! A request of a session that is open: one lookup in a table of this process; the record is read again when its version
//! has changed. An opening: one read and one write of the store, in addition to the requests to the gateway. A DELETE:
//! two writes.
//!
//! # Place in the stack
//!
//! Below the layer that validates sessions, which should [mint ids](https://docs.rs/bartizan-session), since the client
//! must not see the ids of several gateways; above the service that forwards, with or without a layer
//! that pins. It replaces [`ResumeSession`](crate::ResumeSession), and opens sessions again that a gateway
//! has forgotten.
//!
//! ```
//! use bartizan_memory::MemoryStore;
//! use bartizan_resume::split::{Gateway, Gateways, PathSegment, SplitSessionLayer};
//!
//! let gateways = Gateways::new();
//! gateways.set("tools", Gateway::new("http://10.0.0.7:9001".parse()?));
//! gateways.set("search", Gateway::new("https://search.example".parse()?));
//! // `/tools/mcp` and `/search/mcp`.
//! let layer = SplitSessionLayer::new(MemoryStore::new(), PathSegment::new(0), gateways);
//! let sessions = layer.sessions();
//! assert!(sessions.snapshot().is_empty());
//! # Ok::<(), bartizan_core::backend::InvalidBackend>(())
//! ```

mod config;
mod flow;
mod gateway;
mod gateway_session;
mod gateways;
mod layer;
mod listed;
mod name;
mod reach;
mod service;
mod sessions;
mod splitter;
mod status;
mod table;

pub use gateway::Gateway;
pub use gateways::Gateways;
pub use layer::SplitSessionLayer;
pub use name::{HeaderField, NameGateway, PathSegment};
pub use service::{ResponseFuture, SplitSession};
pub use sessions::SplitSessions;
pub use status::SplitStatus;
