//! Keeps a session on the backend that opened it.
//!
//! New work gets a backend by a policy, *before* anything is dialled; what it opens there is pinned to
//! it, and every later request of it goes to the same backend for as long as that is there.
//!
//! # When to use it, and when not
//!
//! Below [`ValidateSession`](https://docs.rs/bartizan-session), which finds the session and with it the
//! pin; alone, by a key of your own ([`key`]) with a store of its own. It does not speak to backends:
//! put [`Upstream`](https://docs.rs/bartizan-upstream) or a service like it inside, which reads
//! [`Backend::of`](bartizan_core::Backend::of) the request and leaves an
//! [`UpstreamFailure`](bartizan_core::UpstreamFailure) in a response that stands in for a backend's.
//!
//! # Rules
//!
//! | work | outcome | inner service called? |
//! |---|---|---|
//! | a backend was chosen by an outer layer | goes there; without a session, its name goes out with the response | once |
//! | session or key is pinned, its backend ready or draining | goes there | once |
//! | the same, and no connection can be made | the refusal from inside; the pin stays | once |
//! | the same, and every connection seen was refused, for 5 s without a gap over 2 s | session or backend's key: 404; the pin goes | once |
//! | the same, and no connection could be made for as long for whatever reasons: timeouts, DNS, TLS, no route | session or backend's key: 404; the pin stays | once |
//! | session or backend's key is pinned to a backend that has left the set | 404; the pin goes | no |
//! | session or key is pinned to a backend that was never in the set, and was first asked for less than 10 s ago | 503, `Retry-After`; the pin stays | no |
//! | the same, asked for since longer | session or backend's key: 404; the pin stays | no |
//! | client's key is pinned to a backend that is lost or unknown as above, or [`OnLost::Repin`] | goes to another; the pin moves | once |
//! | the same, and it is time to try the lost backend | stays if it can be reached; else goes to another | once for each |
//! | the backend's own 404 to work pinned by a key | passed on; the pin goes if [`lost_on_404`](PinBackendLayer::lost_on_404), unless it has moved since | once |
//! | the service inside refuses the request without asking a backend | passed on; says nothing of the backend | once |
//! | key whose pin the store cannot look up | 503, `Retry-After` | no |
//! | no pin | goes to a backend by policy, whose name goes out with the response; not to one that an outer layer [has tried](bartizan_core::backend::Tried) | once |
//! | the same, and nobody can have seen it (no connection) | goes to another, within 4 s | once for each |
//! | new work, and the backend answers with an error | the error is passed on; failures keep later new work away (below) | once |
//! | no pin and no backend that takes new work | 503, `Retry-After` | no |
//! | client's key without a pin, and the store has no room for one | 503, `Retry-After` | no |
//! | response names a key, or the client's own key had its first success | stored, then passed on; 503 if the store refuses | – |
//!
//! Nothing else is sent twice. Two copies of a key field are no key.
//!
//! # Place in the stack
//!
//! Below the guard of sessions, so that only a valid one finds its pin; above the service that forwards.
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
//! One failure to connect takes a backend out of service for new work, for 250 ms; then one request
//! tries it, and each try that fails doubles the time, up to 10 s. Failures while it is out change
//! nothing, so that a burst counts once. As long as it fails, a connection is tried in the background once a second
//! ([`Backends::connect_by`]); one that succeeds puts it back. Pinned work is always tried.
//!
//! A session's pin goes only on evidence that its server has ended. A refused connection is evidence, if nothing else
//! was seen for the whole of [`PinBackendLayer::lost_after`]. A timeout or a missing route may have its cause on this
//! side, and what this set has never had may be known to another replica: then a client may be told to open a new
//! session, but the old one stays where it is.
//!
//! When all are out of service, one is tried all the same.
//!
//! New work goes where new work succeeds:
//!
//! | new work at a backend | effect on later new work |
//! |---|---|
//! | 5xx (but 501 and 505), connection reset, no response within the response timeout | a failure |
//! | [`Work::Opening`](bartizan_core::Work::Opening) in flight for more than 2 s | a failure, taken back if the response is a success |
//! | [`Work::Free`](bartizan_core::Work::Free) without a response within the response timeout | none: it may be a call that takes long |
//! | 4xx, 501, 505 | none, unless three clients or more in a row meet it, and the other backends reject so rarely that this is not chance (1 in 500) |
//! | the client leaves before the response | none |
//! | a failure | one more session's worth of load, which halves every five seconds |
//! | at least half of the recent new work failed | a pause of 250 ms; then one request tries the backend, and each try that fails doubles the pause, up to 10 s |
//! | three failures in a row, or in total if at least half failed | out of service, for a second at first |
//! | two openings wait for 250 ms or more, and the backend has answered none for 500 ms | new sessions go elsewhere until it answers |
//! | a success | back in service |
//!
//! At least half of the backends, rounded up, stay in service, so a single backend always does. One that fails but has to
//! stay counts as loaded as the busiest of the others. Work that asks for a session and other new work are judged apart: a
//! backend may serve the one and fail the other. Clients are told apart by
//! [`ClientAddr`](bartizan_core::ClientAddr), or else [`PeerAddr`](bartizan_core::PeerAddr), IPv6 by the first 64 bits. Where
//! neither is known, or a proxy that is not trusted stands in front, all clients are one, and a 4xx never counts.
//!
//! [`Backends::probe`] asks backends whether they are well, and keeps new work from those that are not. [`BackendStatus`]
//! states why a backend is out of service.
//!
//! A drained backend leaves when its last session
//! has, if somebody counts them ([`Backends::counted_by`]), or at its deadline. The pin of a key idles
//! from its last request, whatever stream is open.
//!
//! # Security
//!
//! A pin says where to go, never who may: put the guard of sessions above. Keys of more than 1,024 bytes
//! are none; keys never reach a log. One client cannot take a backend out of service with requests that deserve a 4xx. With
//! requests that a server answers with 5xx it can, for half of the backends at most. Keys that clients make up are stored only after a success, within
//! the caps of the store.
//!
//! # Cost
//!
//! Work pinned by its session: one atomic load of the set, one lookup by id, no allocation. Work pinned
//! by a key: a copy of the key, and what the store takes. New work: nine allocations whatever the number
//! of backends, and a copy of the header fields for another try (`tests/allocations.rs`). Its outcome takes one lock of the
//! backend that nothing is awaited under, and the choice one more atomic load per backend.
//!
//! Work that must wait (for a store that answers later, for the store to have, move or remove a pin, for its turn at
//! another backend) does so in one boxed future.
//!
//! # Bounds
//!
//! A server moves that future between threads. Therefore the service inside and its futures, errors and response
//! bodies must be `Send`, as must the request body; the service and the bodies must be `'static`.
//! [`SessionStore`](bartizan_core::SessionStore) asks the same of a store's futures, and [`key::ExtractKey`] of
//! itself, and that it can be shared.
//!
//! # Sources
//!
//! [RFC 9110 §9.2.2](https://www.rfc-editor.org/rfc/rfc9110#section-9.2.2) (what may be sent twice),
//! [MCP 2025-11-25, Session Management](https://modelcontextprotocol.io/specification/2025-11-25/basic/transports#session-management).
#![cfg_attr(docsrs, feature(doc_cfg))]

mod arrival;
mod attempt;
mod backends;
pub mod balance;
mod bounds;
mod config;
mod event;
mod future;
pub mod key;
mod layer;
mod learn;
mod outcome;
mod owned_key;
mod probe;
mod reclaimable;
mod refusal;
mod response;
mod service;
mod why;
mod within;

/// The rules of this layer as pure functions, for the model of this workspace: no part of the interface, and changed
/// without notice.
#[doc(hidden)]
pub mod deciders {
    pub use crate::{
        backends::{Absence, Absentees, Health},
        why::{absent, unreachable},
    };
}

pub use backends::{BackendState, BackendStatus, Backends, Change, DownCause};
pub use config::OnLost;
pub use future::ResponseFuture;
pub use layer::PinBackendLayer;
pub use probe::Probe;
pub use reclaimable::ReclaimableBody;
pub use service::PinBackend;
