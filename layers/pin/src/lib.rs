//! Keeps a session on the backend that opened it.
//!
//! A policy chooses a backend for new work, *before* any connection is made. What the work opens there is pinned:
//! later requests go to the same backend for as long as it exists.
//!
//! # When to use it, and when not
//!
//! Below [`ValidateSession`](https://docs.rs/bartizan-session), which finds the session and its pin; or alone, with a
//! key of your own ([`key`]) and a store for its pins. It does not connect to backends: put
//! [`Upstream`](https://docs.rs/bartizan-upstream) or a similar service inside, which reads
//! [`Backend::of`](bartizan_core::Backend::of) the request and inserts an
//! [`UpstreamFailure`](bartizan_core::UpstreamFailure) into a response that it makes in place of the backend's.
//!
//! # Rules
//!
//! | work | outcome | inner service called? |
//! |---|---|---|
//! | an outer layer chose a backend | goes there; without a session, the response names the backend | once |
//! | session or key is pinned, its backend ready or draining | goes there | once |
//! | the same, and no connection can be made | the inner service's refusal; the pin stays | once |
//! | the same, and every connection was refused for 5 s, with no gap over 2 s | session or backend's key: 404; the pin is removed | once |
//! | the same, and no connection could be made for 5 s for other reasons: timeouts, DNS, TLS, no route | session or backend's key: 404; the pin stays | once |
//! | session or backend's key is pinned to a backend that has left the set | 404; the pin is removed | no |
//! | session or key is pinned to a backend that was never in the set, first requested less than 10 s ago | 503, `Retry-After`; the pin stays | no |
//! | the same, first requested longer ago | session or backend's key: 404; the pin stays | no |
//! | client's key, or any pin with [`OnLost::Repin`], and its backend is lost or unknown as above | goes to another backend; the pin moves | once |
//! | the same, and it is time to try the lost backend again | stays if it can be reached; otherwise goes to another | once for each |
//! | the backend's own 404 to work pinned by a key | passed on; with [`lost_on_404`](PinBackendLayer::lost_on_404) the pin is removed, unless it has moved since | once |
//! | the inner service refuses the request without calling a backend | passed on; does not count for or against the backend | once |
//! | key whose pin the store cannot look up | 503, `Retry-After` | no |
//! | no pin | goes to a backend by policy, and the response names it; not to one that an outer layer [has tried](bartizan_core::backend::Tried) | once |
//! | the same, and no backend can have seen it (no connection) | goes to another, within 4 s | once for each |
//! | new work, and the backend answers with an error | the error is passed on; failures keep later new work away (below) | once |
//! | no pin and no backend that takes new work | 503, `Retry-After` | no |
//! | client's key without a pin, and the store has no room for one | 503, `Retry-After` | no |
//! | response names a key, or is the first success for a client's key | stored, then passed on; 503 if the store refuses | – |
//!
//! Nothing else is sent twice. A key field that appears twice is ignored.
//!
//! With an [`AffinityCookie`] (feature `affinity`), for work without a session or key:
//!
//! | cookie | outcome | response sets the cookie? |
//! |---|---|---|
//! | none, or names no backend of the set (forged, signed with another secret, of a removed backend) | as without a pin | yes |
//! | names a backend that is ready or draining | goes there | only if an [accepted](AffinityCookie::accept) secret signed it |
//! | the same, and no connection can be made | the inner service's refusal (503) | no |
//! | names a backend that could not be reached for 5 s | goes to another, as if there were no cookie | yes |
//! | several with the name, in one field or in many | the first one that names a backend of the set counts | as above |
//! | on a request that asks for a session, or with a session or key | ignored | no |
//! | the backend answers 5xx, or 4xx without setting a cookie itself | passed on | no |
//!
//! The cookie is taken out of what the backend receives. The other cookies, and those that the backend sets, stay
//! as they are.
//!
//! A JSON-RPC refusal carries the id of its request, which is in the request body. This layer does not read bodies.
//! Where a refusal is JSON-RPC and lacks the id, the layer returns the body, and
//! [`ValidateSession`](https://docs.rs/bartizan-session) reads the id from it:
//!
//! | refusal | [`ReturnedBody`](bartizan_core::refusal::ReturnedBody) in its extensions |
//! |---|---|
//! | on arrival: backend lost or unknown, no backend for new work | the request body |
//! | 404 that replaces a refusal of the inner service | the body that the inner service returned |
//! | new or moved work, no connection to any backend | the request body |
//! | a backend may have read part of the request body | none |
//!
//! # Place in the stack
//!
//! Below the layer that validates sessions, so that only a valid session finds its pin; above the service that
//! forwards.
//!
//! ```
//! use bartizan_core::Backend;
//! use bartizan_pin::{Backends, PinBackendLayer, balance::RoundRobin};
//! # use {http::{Request, Response}, http_body_util::Empty, tower::{Layer, ServiceExt, service_fn}};
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let backends = Backends::new(["http://a:1".parse()?, "http://b:1".parse()?]);
//! let layer = PinBackendLayer::new(backends.clone()).balance(RoundRobin::new());
//! let upstream = service_fn(async |request: Request<_>| {
//!     let backend = Backend::of(&request).unwrap().id().to_string();
//!     Ok::<_, std::convert::Infallible>(Response::new(backend))
//! });
//! # let request = Request::new(Empty::<bytes::Bytes>::new());
//! let response = layer.layer(upstream).oneshot(request).await?;
//! assert_eq!(response.extensions().get::<Backend>().unwrap().id().as_str(), "http://a:1");
//! # Ok(()) }
//! ```
//!
//! # Failure modes
//!
//! One failed connection takes a backend out of service for new work for 250 ms. Then one request tries it, and each
//! failed try doubles the time, up to 10 s. Failures during that time change nothing, so a burst counts once. While
//! the backend fails, a connection is attempted in the background once a second ([`Backends::connect_by`]), and a
//! success puts it back into service. Pinned work is always tried.
//!
//! A session's pin is removed only on evidence that its server is gone: connections were refused, and nothing else
//! was seen, for the whole of [`PinBackendLayer::lost_after`]. The cause of a timeout or a missing route may be on
//! this side, and a backend that was never in this set may be known to another replica. In these cases the client may
//! get a 404 and open a new session, but the old one stays in the store.
//!
//! If all backends are out of service, one is tried anyway.
//!
//! New work goes to backends where new work succeeds:
//!
//! | new work at a backend | effect on later new work |
//! |---|---|
//! | 5xx (except 501 and 505), connection reset, no response within the response timeout | a failure |
//! | [`Work::Opening`](bartizan_core::Work::Opening) in flight for more than 2 s | a failure, reverted if the response is a success |
//! | [`Work::Free`](bartizan_core::Work::Free) without a response within the response timeout | none: it may be a long call |
//! | 4xx, 501, 505 | none, unless at least three clients in a row get it, and the other backends reject so rarely that chance is unlikely (1 in 500) |
//! | the client goes away before the response | none |
//! | a failure | one more session's worth of load, which halves every five seconds |
//! | at least half of the recent new work failed | a pause of 250 ms; then one request tries the backend, and each try that fails doubles the pause, up to 10 s |
//! | three failures in a row, or in total if at least half failed | out of service, for a second at first |
//! | two openings wait for 250 ms or more, and the backend has answered none for 500 ms | new sessions go elsewhere until it answers |
//! | a success | back in service |
//!
//! At least half of the backends, rounded up, stay in service, so a single backend always does. A failing backend
//! that has to stay counts as loaded as the busiest of the others. Requests that open a session and other new work
//! are judged separately: a backend may serve the one and fail the other. Clients are distinguished by
//! [`ClientAddr`](bartizan_core::ClientAddr), or else by [`PeerAddr`](bartizan_core::PeerAddr); for IPv6 by the first
//! 64 bits. If neither is known, or an untrusted proxy is in front, all clients look like one, and a 4xx never
//! counts.
//!
//! [`Backends::probe`] checks the health of backends, and keeps new work away from failing ones. [`BackendStatus`]
//! states why a backend is out of service.
//!
//! A drained backend is removed when its last session has ended, if sessions are counted ([`Backends::counted_by`]),
//! or at its deadline. Cookies are not counted: give a drain a deadline ([`Backends::drain_within`]) that leaves clients
//! with a cookie enough time. The idle time of a key's pin starts with its last request, even while a stream is open.
//!
//! # Security
//!
//! A pin decides where a request goes, not whether it is allowed: put the layer that validates sessions above. Keys
//! longer than 1,024 bytes are ignored. Keys never reach a log. A client cannot take a backend out of service with
//! requests that deserve a 4xx. It can with requests that the backend answers with 5xx, but at most half of the
//! backends. Keys that clients make are stored only after a success, within the limits of the store. A response that
//! sets the affinity cookie may be stored by a shared cache, like any response with `Set-Cookie`: the cache then
//! sends all its clients to one backend.
//!
//! # Cost
//!
//! Work pinned by its session: one atomic load of the set, one lookup by id, no allocation. Work pinned by a key: a
//! copy of the key, and the store's cost. New work: nine allocations for any number of backends, and a copy of the
//! header fields for another try (`tests/allocations.rs`). Recording its outcome takes one lock of the backend, not
//! held across an await, and the choice one more atomic load per backend.
//!
//! With an affinity cookie: a search of the `Cookie` fields, and three allocations to take the cookie out from among
//! others, none if it is alone. If the cookie can pin the request, also a lookup in a table, and no hashing with a key.
//! Work pinned by the cookie costs three more allocations, for the backend that its response names, and a response that
//! sets the cookie two for the field (`tests/cookie_allocations.rs`). The table is made again when a backend has joined
//! or left, with one HMAC per backend and secret.
//!
//! Work that must wait (for the store, or for its turn at another backend) does so in one boxed future.
//!
//! # Metrics
//!
//! [`Backends`] implements [`Gauges`](bartizan_core::gauges::Gauges): the state and the sessions of each backend, how the
//! requests to it were chosen (`pinned`, `named`, `chosen`, `failover`), how often and why it went out of service and
//! came back, and the pins that were lost or moved. A live pinned request pays one atomic addition for it.
//!
//! # Bounds
//!
//! A server moves that future between threads. Therefore the inner service, its futures, errors and response bodies,
//! and the request body must be `Send`; the service and the bodies must be `'static`.
//! [`SessionStore`](bartizan_core::SessionStore) requires the same of a store's futures; a [`key::ExtractKey`] must
//! also be `Sync`.
//!
//! # Sources
//!
//! [RFC 9110 §9.2.2](https://www.rfc-editor.org/rfc/rfc9110#section-9.2.2) (what may be sent twice),
//! [RFC 6265](https://www.rfc-editor.org/rfc/rfc6265) (cookies),
//! [MCP 2025-11-25, Session Management](https://modelcontextprotocol.io/specification/2025-11-25/basic/transports#session-management).
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "affinity")]
mod affinity;
#[cfg(not(feature = "affinity"))]
#[path = "no_affinity.rs"]
mod affinity;
mod arrival;
mod attempt;
mod backends;
pub mod balance;
mod bounds;
mod config;
mod cookie_pair;
mod event;
mod future;
mod gauges;
mod kept_key;
pub mod key;
mod layer;
mod learn;
mod outcome;
mod probe;
mod reclaimable;
mod refusal;
mod response;
mod service;
mod sync;
mod why;
mod within;

/// The rules of this layer as pure functions, for the model in this workspace. Not part of the public API; may change
/// without notice.
#[doc(hidden)]
pub mod deciders {
    pub use crate::{
        backends::{Absence, Absentees, Health},
        why::{absent, unreachable},
    };
}

#[cfg(feature = "affinity")]
#[cfg_attr(docsrs, doc(cfg(feature = "affinity")))]
pub use affinity::AffinityCookie;
pub use backends::{BackendState, BackendStatus, Backends, Change, DownCause};
pub use config::OnLost;
pub use future::ResponseFuture;
pub use layer::PinBackendLayer;
pub use probe::Probe;
pub use reclaimable::ReclaimableBody;
pub use service::PinBackend;

/// The example in the README, as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
