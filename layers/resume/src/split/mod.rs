//! One client session, several gateways: each has a session of its own for it.
//!
//! A client of a federation has one session with the gateway in front of it. The gateways behind that one are
//! servers of their own, and open sessions of their own. [`SplitSession`] keeps one there for each
//! pair of a client session and a gateway: the first is the one that the client opened; each other is opened
//! by the first request that names its gateway, as the client opened its own.
//!
//! | request | outcome |
//! |---|---|
//! | names no gateway | passed on as it is |
//! | names one that is not known | 503, `Retry-After` |
//! | opens a session, or belongs to none | goes to its gateway |
//! | of a session that has one open at its gateway, opened by any replica | goes there by the id that the gateway gave; others are not waited for |
//! | the same, not open yet | opens it once for all requests that need it, lists it in the session's record, and goes there |
//! | another replica opens one at the same time | the one that the record lists first is used; the other is ended |
//! | the gateway does not know the session any more | it is opened again, and the request is sent again, once; what is open at other gateways stays |
//! | the gateway cannot be reached, for however long, or opens nothing | 503, `Retry-After`; nothing else is touched |
//! | the store does not answer when one is to be listed, or a later release has written the list | 503, `Retry-After`; what was opened is ended |
//! | the record lists 64 gateways, or 16 KiB of them | 503, `Retry-After`; those that are listed go on |
//! | DELETE, and its own gateway says that it is over, or cannot be reached | ends the session at every other gateway at once, each within a bound |
//! | DELETE, and its own gateway refuses | passed on; nothing changes |
//! | no record of how the client opened the session | goes to its own gateway; 503 for any other |
//!
//! A session at a gateway is never shared by two client sessions, and lasts as long as its client session: when that
//! one expires, each replica ends what it has used of it. Its use shows whether it is alive: there is no probe that a
//! hung server could pass. What changes how a gateway is reached (its origin, TLS or credentials) ends its sessions; a
//! new [`label`](Gateway::label) does not. While replicas reach a gateway in two ways, as during a rolling deploy, each
//! way has a session of its own.
//!
//! # The record
//!
//! The field `split` of the session's record lists its sessions at gateways: the name of the gateway, the id that it
//! gave, where it was asked for there, and a digest of how it was reached (SHA-256, with the id). It changes by
//! compare-and-set alone, so that all replicas that share a store use one session at each gateway. A record without the
//! field, as earlier releases wrote it, lists none.
//!
//! # Cost
//!
//! For a request of a session that is open: a look into a table of this process; the record is read again after it has
//! changed. For one that is opened: one read and one write of the store, beside the requests to the gateway. For a
//! DELETE: one write.
//!
//! # Place in the stack
//!
//! Below the guard of sessions, which should [mint ids](https://docs.rs/bartizan-session), since the ids of
//! several gateways are nothing to show a client; above the service that forwards, with or without a layer
//! that pins. It takes the place of [`ResumeSession`](crate::ResumeSession), and opens again what a gateway
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
