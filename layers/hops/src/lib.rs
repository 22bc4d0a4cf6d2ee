//! Refuses requests that go round in a circle, by four independent evidences.
//!
//! Gateways that know each other can be configured into a ring, and then one request keeps all of them
//! busy until something breaks. Each gateway with this layer counts itself, signs, and refuses what has
//! been there before or has come too far: methods of any kind, websocket upgrades and gRPC alike.
//!
//! # When to use it, and when not
//!
//! Wherever a request may be forwarded to another gateway. It limits no rate and no depth of calls that
//! a backend makes on its own, unless the backend passes the fields on.
//!
//! # Rules
//!
//! On arrival:
//!
//! | evidence | on by default | request | outcome | inner service called? |
//! |---|---|---|---|---|
//! | hop count (`X-Hop-Count`) | yes | absent | forwarded with 1 | yes |
//! | | | below the limit | forwarded with one more | yes |
//! | | | at the limit or above | 508 | no |
//! | | | no number: a sign, a fraction, a quote, nothing; one bad member among good ones | 400 | no |
//! | | | sealed ([`seal`](LimitHopsLayer::seal)), and without a good seal | 400 | no |
//! | `Via` | yes | without this gateway's name | forwarded, signed on a line of its own | yes |
//! | | | with it, in any case, with a port or without | 508 | no |
//! | | | more members than [`max_via_members`](LimitHopsLayer::max_via_members) | 508 | no |
//! | `CDN-Loop` | no | own id seen less often than [`cdn_passes`](LimitHopsLayer::cdn_passes) | forwarded, signed | yes |
//! | | | as often or more | 508 | no |
//! | `Max-Forwards`, `OPTIONS` and `TRACE` only | no | above zero | forwarded with the smaller of one less and the own maximum | yes |
//! | | | `OPTIONS`, zero | 204 with `Allow` | no |
//! | | | `TRACE`, not switched on | 405 | no |
//! | | | `TRACE`, zero | 200 with the head, without credentials | no |
//! | | | no number, or two | 400 | no |
//! | any | | nominated in `Connection` | 400 | no |
//!
//! The limit is inclusive: with limit 4, a request that crossed 3 gateways is forwarded with 4, one that
//! crossed 4 is refused. A chain of four gateways works, a chain of five does not. Of several numbers the
//! largest counts. Exactly one line leaves; in responses the count is dropped.
//!
//! A loop is refused with 508 and `Proxy-Status: …; error=proxy_loop_detected`; 502 and 404 are a
//! [choice](LoopStatus).
//!
//! # Place in the stack
//!
//! Below the layer that sanitises provenance, whose judgement of the peer [`Inbound`] may use; above
//! anything that costs: a store, a dial. Reader and writer of `Via` are this one layer: one above it that
//! signed first would make every request a loop.
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
//! use bartizan_hops::{Inbound, LimitHopsLayer, Pseudonym};
//!
//! let layer = LimitHopsLayer::new()
//!     .limit(4.try_into()?)
//!     .name(Pseudonym::new("edge-eu")?)
//!     .inbound(Inbound::CountedIfTrusted);
//! # let _ = layer;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Failure modes
//!
//! There is nothing that can be down. A count that cannot be read is refused and never taken for zero, since
//! a loop could live on it. A member of `Via` or `CDN-Loop` that keeps to no grammar is no evidence and stays.
//!
//! # Security
//!
//! All of these fields can be forged. What protects from what:
//!
//! | who | does | what stops it |
//! |---|---|---|
//! | a client | sends a high count, so that the federation refuses its request | nothing need: it refuses its own. [`Inbound::Ignored`] at the edge, if a stranger's page can make a browser do it |
//! | a client | sends a low count | it is as far as a new request is, which is the truth |
//! | a hop in the ring | lowers or drops the count | `Via`, which it must drop, too; a seal, against lowering |
//! | a hop in the ring | drops `Via` | the count |
//! | a hop in the ring | drops both, knowingly | nothing here: it could make requests of its own as well |
//! | a client | names this gateway in `Via` | it refuses its own request |
//!
//! `Via` shows the gateway's name to whoever is behind it; the default name says nothing but that it is one.
//!
//! # Cost
//!
//! One look-up of the count and one of `Via`, and one insert each; no allocation when the count is absent or
//! up to 16. A seal costs two hashes of SHA-256 each way. The figures are in the README of the workspace.
//!
//! # Sources
//!
//! [RFC 9110 §7.6.2, §7.6.3](https://www.rfc-editor.org/rfc/rfc9110#section-7.6.2) (`Max-Forwards`, `Via`),
//! [RFC 8586](https://www.rfc-editor.org/rfc/rfc8586) (`CDN-Loop`),
//! [RFC 9209](https://www.rfc-editor.org/rfc/rfc9209) (`Proxy-Status`),
//! [RFC 5842 §7.2](https://www.rfc-editor.org/rfc/rfc5842#section-7.2) (508).
#![cfg_attr(docsrs, feature(doc_cfg))]

mod cdn_loop;
mod count;
mod event;
mod future;
#[cfg(feature = "__fuzz")]
#[doc(hidden)]
pub mod fuzz;
mod judge;
mod layer;
mod max_forwards;
mod pseudonym;
#[cfg(feature = "seal")]
mod seal;
mod service;
mod via;

pub use bartizan_core::ConfigError;
pub use future::ResponseFuture;
pub use layer::{Inbound, LimitHopsLayer, LoopStatus};
pub use pseudonym::Pseudonym;
#[cfg(feature = "seal")]
#[cfg_attr(docsrs, doc(cfg(feature = "seal")))]
pub use seal::SealKeys;
pub use service::LimitHops;
