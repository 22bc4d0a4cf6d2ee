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
//! | of a session, its gateway's open | goes there by the id that the gateway gave; others are not waited for |
//! | the same, not open yet | opens it once for all requests that need it, and goes there |
//! | the gateway does not know the session any more | it is opened again, and the request is sent again, once |
//! | the gateway cannot be reached, for however long, or opens nothing | 503, `Retry-After`; nothing else is touched |
//! | DELETE | ends the session at every gateway at once, each within a bound |
//!
//! A session at a gateway is never shared by two client sessions. Its use shows whether it is alive: there is
//! no probe that a hung server could pass. What changes how a gateway is reached (its origin, TLS or
//! credentials) ends its sessions; a new [`label`](Gateway::label) does not. Sessions at gateways are kept in
//! this process; one that was not used for as long as its client session may idle is ended.
//!
//! # Place in the stack
//!
//! Below the guard of sessions, which should [mint ids](https://docs.rs/bartizan-session), since the ids of
//! several gateways are nothing to show a client; above the service that forwards, with or without a layer
//! that pins. It takes the place of [`ResumeSession`](crate::ResumeSession), and opens again what a gateway
//! has forgotten.
//!
//! ```
//! use bartizan_resume::split::{Gateway, Gateways, PathSegment, SplitSessionLayer};
//!
//! let gateways = Gateways::new();
//! gateways.set("tools", Gateway::new("http://10.0.0.7:9001".parse()?));
//! gateways.set("search", Gateway::new("https://search.example".parse()?));
//! // `/tools/mcp` and `/search/mcp`.
//! let layer = SplitSessionLayer::new(PathSegment::new(0), gateways);
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
mod name;
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
