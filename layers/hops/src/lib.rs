//! Detects forwarding loops from four independent signals and rejects them.
//!
//! Gateways that forward to each other can be configured into a ring. One request then keeps all of them busy until
//! something breaks. A gateway with this layer increments a hop count, writes its name, and refuses a request that
//! has been there before or has crossed too many gateways. That holds for all methods, websocket upgrades and gRPC.
//!
//! # When to use it, and when not
//!
//! Wherever a request may be forwarded to another gateway. It does not limit rates, nor the depth of calls that a
//! backend makes itself, unless the backend passes the fields on.
//!
//! # Rules
//!
//! On arrival:
//!
//! | signal | on by default | request | outcome | inner service called? |
//! |---|---|---|---|---|
//! | the mark of a guard of the same name, in this process | yes | with the mark | forwarded unchanged; the mark is removed | yes |
//! | hop count (`X-Hop-Count`) | yes | absent | forwarded with 1 | yes |
//! | | | below the limit | forwarded with one more | yes |
//! | | | at the limit or above | 508 | no |
//! | | | malformed: a sign, a fraction, a quote, empty; one bad member among good ones | 400 | no |
//! | | | [signed](HopCount::sign), and without a valid signature | 400 | no |
//! | `Via` | yes | without this gateway's name | forwarded, with its name on a separate line | yes |
//! | | | with it, in any case, with a port or without | 508 | no |
//! | | | more members than [`Via::max_members`] | 508 | no |
//! | `CDN-Loop` | no | own id, fewer times than [`CdnLoop::passes`] | forwarded, with the id added | yes |
//! | | | that many times or more | 508 | no |
//! | `Max-Forwards`, `OPTIONS` and `TRACE` only | no | above zero | forwarded with the smaller of one less and the own maximum | yes |
//! | | | `OPTIONS`, zero | 204 with `Allow` | no |
//! | | | `TRACE`, not switched on | 405 | no |
//! | | | `TRACE`, zero | 200 with the head, without credentials | no |
//! | | | not a number, or two | 400 | no |
//! | any | | named in `Connection` | 400 | no |
//!
//! The limit is inclusive: with limit 4, a request that crossed 3 gateways is forwarded with count 4, and one that
//! crossed 4 is refused. A chain of four gateways works, a chain of five does not. If there are several numbers, the
//! largest counts. The forwarded request has exactly one line; responses have none.
//!
//! A loop is refused with 508 and `Proxy-Status: …; error=proxy_loop_detected`; 502 and 404 [can be
//! chosen](LoopStatus).
//!
//! # Names
//!
//! A layer has the name that you [set](LimitHopsLayer::name), or a random one. Its clones and services share it:
//! together they are one gateway. Two layers with different names are two gateways, and a request may cross both,
//! even in one process.
//!
//! One request may meet two guards of the same name, for example around a router and around one of its routes. The
//! first leaves a mark in the request's extensions, where no client can write. The second forwards the request
//! unchanged and removes the mark: the settings of the first apply. A router that nests itself is still refused,
//! because the third guard finds its name in `Via` and no mark. A guard of another name between the two replaces the
//! mark with its own.
//!
//! # Place in the stack
//!
//! Below the layer that sanitizes forwarding headers, because [`Inbound`] may depend on whether the peer is trusted;
//! above everything expensive, such as a store or a connection. This layer both reads and writes `Via`: if a layer
//! above it wrote this gateway's name first, every request would be a loop.
//!
//! ```
//! use bartizan_hops::LimitHopsLayer;
//! # use {http::{Request, Response}, http_body_util::Empty, bytes::Bytes, tower::{Layer, ServiceExt, service_fn}};
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let server = service_fn(async |request: Request<()>| {
//!     assert_eq!(request.headers()["x-hop-count"], "3");
//!     # Ok::<_, std::convert::Infallible>(
//!     Response::new(Empty::<Bytes>::new())
//!     # )
//! });
//! let guarded = LimitHopsLayer::new().layer(server);
//!
//! let far = |hops: &str| Request::get("/").header("x-hop-count", hops).body(()).unwrap();
//! assert_eq!(guarded.clone().oneshot(far("2")).await.unwrap().status(), 200);
//! assert_eq!(guarded.clone().oneshot(far("10")).await.unwrap().status(), 508);
//! assert_eq!(guarded.oneshot(far("-1")).await.unwrap().status(), 400);
//! # }
//! ```
//!
//! Configured, for replicas that are one gateway at the edge of a federation:
//!
//! ```
//! use bartizan_hops::{HopCount, Inbound, LimitHopsLayer};
//!
//! let count = HopCount::new().limit(4.try_into()?).inbound(Inbound::CountedIfTrusted);
//! let layer = LimitHopsLayer::new().name("edge-eu".parse()?).count(count);
//! # let _ = layer;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Failure modes
//!
//! The layer depends on nothing that can be down. A malformed count is refused and never taken for zero, which would
//! let a loop continue. A malformed member of `Via` or `CDN-Loop` is not a signal, and is passed on.
//!
//! # Security
//!
//! All of these fields can be forged:
//!
//! | sender | action | protection |
//! |---|---|---|
//! | a client | sends a high count, so that its request is refused | none needed: only its own request suffers. Use [`Inbound::Ignored`] at the edge if a page of another site can make a browser do it |
//! | a client | sends a low count | none needed: a new request has a low count too |
//! | a hop in the ring | lowers or drops the count | `Via`, unless it drops that too; a signature, against lowering |
//! | a hop in the ring | drops `Via` | the count |
//! | a hop in the ring | drops both on purpose | none: it could just as well send its own requests |
//! | a client | names this gateway in `Via` | none needed: only its own request suffers |
//! | a client | pretends that a guard in this process has marked its request | the mark is not a header field, so no client can send it |
//!
//! `Via` shows the gateway's name to the servers behind it. The default name reveals only that a gateway exists.
//!
//! # Cost
//!
//! One lookup and one insert for the count, and the same for `Via`. There is no allocation if the count is absent or
//! up to 16, and none for the mark if the request has a [`Passage`](bartizan_core::Passage): a server that attaches a
//! [`PeerAddr`](bartizan_core::PeerAddr) makes it, and so does `SanitizeForwarded`. Otherwise this layer makes it,
//! for itself and the layers below. A signature costs two SHA-256 hashes each way. Measured figures are in the guide
//! of the crate `bartizan`.
//!
//! # Sources
//!
//! [RFC 9110 §7.6.2, §7.6.3](https://www.rfc-editor.org/rfc/rfc9110#section-7.6.2) (`Max-Forwards`, `Via`),
//! [RFC 8586](https://www.rfc-editor.org/rfc/rfc8586) (`CDN-Loop`),
//! [RFC 9209](https://www.rfc-editor.org/rfc/rfc9209) (`Proxy-Status`),
//! [RFC 5842 §7.2](https://www.rfc-editor.org/rfc/rfc5842#section-7.2) (508).
#![cfg_attr(docsrs, feature(doc_cfg))]

mod cdn_loop;
mod config;
mod count;
mod event;
mod future;
#[cfg(feature = "__fuzz")]
#[doc(hidden)]
pub mod fuzz;
mod hop_count;
mod hop_header;
mod judge;
mod layer;
mod max_forwards;
mod service;
#[cfg(feature = "sign")]
mod signature;
mod verdict;
mod via;

pub use bartizan_core::{ConfigError, ProxyName};
pub use cdn_loop::{CdnId, CdnLoop};
pub use config::LoopStatus;
pub use future::ResponseFuture;
pub use hop_count::{HopCount, Inbound};
pub use hop_header::HopHeader;
pub use layer::LimitHopsLayer;
pub use max_forwards::MaxForwards;
pub use service::LimitHops;
#[cfg(feature = "sign")]
#[cfg_attr(docsrs, doc(cfg(feature = "sign")))]
pub use signature::SigningKeys;
pub use via::Via;

/// The example in the README, as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
