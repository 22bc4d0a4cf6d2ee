//! Detects forwarding loops from four independent signals, and refuses the requests that are in one.
//!
//! Gateways that know each other can be configured into a ring, and then one request keeps all of them
//! busy until something breaks. Each gateway with this layer counts itself, writes its name, and refuses a
//! request that has been there before or has come too far: any method, websocket upgrades and gRPC alike.
//!
//! # When to use it, and when not
//!
//! Wherever a request may be forwarded to another gateway. It limits neither rates nor the depth of calls
//! that a backend makes on its own, unless the backend passes the fields on.
//!
//! # Rules
//!
//! On arrival:
//!
//! | signal | on by default | request | outcome | inner service called? |
//! |---|---|---|---|---|
//! | the mark of a guard of the same name, in this process | yes | with the mark | forwarded unchanged, the mark is used up | yes |
//! | hop count (`X-Hop-Count`) | yes | absent | forwarded with 1 | yes |
//! | | | below the limit | forwarded with one more | yes |
//! | | | at the limit or above | 508 | no |
//! | | | not a number: a sign, a fraction, a quote, nothing; one bad member among good ones | 400 | no |
//! | | | [signed](HopCount::sign), and without a valid signature | 400 | no |
//! | `Via` | yes | without this gateway's name | forwarded, with its name on a line of its own | yes |
//! | | | with it, in any case, with a port or without | 508 | no |
//! | | | more members than [`Via::max_members`] | 508 | no |
//! | `CDN-Loop` | no | own id less often than [`CdnLoop::passes`] | forwarded, with the id added | yes |
//! | | | as often or more | 508 | no |
//! | `Max-Forwards`, `OPTIONS` and `TRACE` only | no | above zero | forwarded with the smaller of one less and the own maximum | yes |
//! | | | `OPTIONS`, zero | 204 with `Allow` | no |
//! | | | `TRACE`, not switched on | 405 | no |
//! | | | `TRACE`, zero | 200 with the head, without credentials | no |
//! | | | not a number, or two | 400 | no |
//! | any | | named in `Connection` | 400 | no |
//!
//! The limit is inclusive: with limit 4, a request that crossed 3 gateways is forwarded with 4, one that
//! crossed 4 is refused. A chain of four gateways works, a chain of five does not. Of several numbers the
//! largest counts. Exactly one line leaves; in responses the count is dropped.
//!
//! A loop is refused with 508 and `Proxy-Status: …; error=proxy_loop_detected`; 502 and 404 are a
//! [choice](LoopStatus).
//!
//! # Names
//!
//! A layer has the name that it was [given](LimitHopsLayer::name), or draws one. Its clones and services
//! share it: together they are one gateway. Two layers with names of their own are two gateways, and a
//! request may cross one after the other, even in one process.
//!
//! Two guards of one name may stand on the way of one request: around a router and around a route in it,
//! say. The first one leaves a mark in the request's extensions, where no client can write, and the second
//! one lets the request pass unchanged and takes the mark away: the settings of the first apply. A router
//! that nests itself is refused all the same, since the third guard finds its name in `Via` and no mark. A
//! guard of another name between the two replaces the mark by its own.
//!
//! # Place in the stack
//!
//! Below the layer that sanitises forwarding headers, whose judgement of the peer [`Inbound`] may use; above
//! anything that is expensive: a store, a connection. This layer both reads and writes `Via`: a layer above
//! it that wrote this gateway's name first would make every request a loop.
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
//! The layer depends on nothing that can be down. A count that cannot be read is refused and never taken for
//! zero, since a loop could live on it. A member of `Via` or `CDN-Loop` that does not follow the grammar is
//! not a signal, and stays.
//!
//! # Security
//!
//! All of these fields can be forged. What protects from what:
//!
//! | sender | action | protection |
//! |---|---|---|
//! | a client | sends a high count, so that the federation refuses its request | none needed: it refuses its own request. [`Inbound::Ignored`] at the edge, if a page of another site can make a browser do it |
//! | a client | sends a low count | none needed: a new request has a low count, too |
//! | a hop in the ring | lowers or drops the count | `Via`, which it must drop, too; a signature, against lowering |
//! | a hop in the ring | drops `Via` | the count |
//! | a hop in the ring | drops both, knowingly | none: it could make requests of its own as well |
//! | a client | names this gateway in `Via` | none needed: it refuses its own request |
//! | a client | pretends that a guard in this process has marked its request | the mark is not a header field: it does not travel over a connection |
//!
//! `Via` shows the gateway's name to the servers behind it. The default name reveals only that there is one.
//!
//! # Cost
//!
//! One look-up of the count and one of `Via`, and one insert each; no allocation when the count is absent or
//! up to 16, and none for the mark where the [`Passage`](bartizan_core::Passage) of the request exists: a
//! server that attaches a [`PeerAddr`](bartizan_core::PeerAddr) makes it, and so does `SanitizeForwarded`.
//! Where neither is there, this layer makes it, for itself and the layers below. A signature costs two
//! hashes of SHA-256 each way. The figures are in the README of the workspace.
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
