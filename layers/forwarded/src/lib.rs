//! Drops spoofed forwarding headers, finds the client address, and writes `X-Forwarded-*` and `Forwarded`.
//!
//! Any client can write any address into these fields. This layer trusts only the peers that you name. It drops what
//! other peers wrote, finds the client by reading the chain of proxies from the right, and writes the fields for the
//! backend from what it knows. Your own layers and handlers read the same facts:
//! [`ClientAddr`](bartizan_core::ClientAddr) and [`PublicOrigin`](bartizan_core::PublicOrigin).
//!
//! # When to use it, and when not
//!
//! In front of everything that relies on these fields: rate limits, access lists, logs, redirects. It works at the
//! edge, where no peer is trusted, and behind trusted load balancers. It needs the peer's address: attach a
//! [`PeerAddr`](bartizan_core::PeerAddr) where you accept connections, or read it from where your framework keeps it
//! ([`SanitizeForwardedLayer::peer_from`]). The PROXY protocol is not read.
//!
//! # Rules
//!
//! On arrival:
//!
//! | field | from an untrusted peer | from a trusted peer | inner service called? |
//! |---|---|---|---|
//! | `Forwarded`, `X-Forwarded-For/-Host/-Port/-Prefix/-Proto` | dropped | read, then rewritten | yes |
//! | `X-Real-IP` | dropped | dropped; written if switched on | yes |
//! | every other `X-Forwarded-*`, `X-Original-*`, `Client-Cert*`, `True-Client-IP`, `CF-Connecting-IP`, `Fastly-Client-IP`, `Client-IP`, `X-Client-IP`, `X-Cluster-Client-IP`, `X-Envoy-External-Address`, `X-ProxyUser-Ip` and their like; `X-Rewrite-URL`, `X-Host`, `Front-End-Https` | dropped; passed on with [`SanitizeForwardedLayer::keep`] | passed on | yes |
//! | the field of [`SanitizeForwardedLayer::client_ip_header`] | dropped | read for the client's address, passed on | yes |
//! | any of these with `_` for `-` | dropped | dropped | yes |
//! | internal prefixes (`x-bartizan-*`) | dropped | passed on | yes |
//! | `traceparent`, `tracestate` | passed on; dropped with [`SanitizeForwardedLayer::restart_traces`] | passed on | yes |
//! | any of these except internal prefixes and trace fields, named in `Connection` | 400 | 400 | no |
//!
//! Ambiguous requests, which servers interpret in different ways, from any peer:
//!
//! | request | outcome | inner service called? |
//! |---|---|---|
//! | target `*` without OPTIONS; only a host, without CONNECT; a URI whose scheme is not `http` or `https` | 400 | no |
//! | `Transfer-Encoding` other than a single `chunked` | 501 | no |
//! | HTTP/2 or later: several equal values of `Content-Length` | reduced to one | yes |
//! | HTTP/2 or later: `Content-Length` that is not a number, or values that differ | 400 | no |
//!
//! Below another `SanitizeForwarded` in the same process, which has already judged the peer of the request:
//!
//! | fact | outcome |
//! |---|---|
//! | [`ClientAddr`](bartizan_core::ClientAddr), and whether the peer is trusted | kept, regardless of what this layer trusts |
//! | `Forwarded`, `X-Forwarded-For/-Host/-Port/-Proto`, `X-Real-IP` | passed on as the outer layer wrote them, regardless of what this layer writes |
//! | [`PublicOrigin`](bartizan_core::PublicOrigin), `X-Forwarded-Prefix` | kept; with [`SanitizeForwardedLayer::stripped_prefix`], that prefix is appended |
//! | every other field above | as from a peer that the outer layer trusts or does not trust |
//! | a peer that is attached, or found by [`SanitizeForwardedLayer::peer_from`], after the outer layer | judged by this layer, as if there were no other |
//!
//! The client is the first entry from the right that is not the address of a trusted hop. `Forwarded` and
//! `X-Forwarded-For` are lists over all their field lines; IPv4 addresses mapped into IPv6 are unmapped.
//!
//! | entry | outcome |
//! |---|---|
//! | an address of a trusted proxy | the next one to the left is read |
//! | any other address | the client |
//! | `unknown`, an obfuscated name | the last address before it; its scheme and host count |
//! | anything else; a malformed line of `Forwarded` | the last address before it |
//! | with a count of proxies, fewer entries than that | the peer |
//!
//! Written for the backend, by [`Fields`]:
//!
//! | field | what | by default |
//! |---|---|---|
//! | `X-Forwarded-For` | the chain that trusted proxies reported, then the peer; with [`Chain::Replace`], the client | yes |
//! | `X-Forwarded-Proto`, `-Host` | what the client addressed | yes |
//! | `X-Forwarded-Prefix` | the path prefix that was stripped, if any | yes |
//! | `X-Forwarded-Port`, `X-Real-IP` | the port that the client addressed; the client's address | no |
//! | `Forwarded` | all of it ([RFC 7239](https://www.rfc-editor.org/rfc/rfc7239)), on a separate line | no |
//!
//! `Forwarded` and `X-Forwarded-For` are dropped from responses: they would reveal the internal route.
//!
//! # Place in the stack
//!
//! Outermost: nothing below may see a spoofed field. The layer that limits hops
//! (`bartizan-hops`) reads here whether the peer is trusted.
//!
//! ```
//! use bartizan_core::{ClientAddr, PeerAddr};
//! use bartizan_forwarded::SanitizeForwardedLayer;
//! # use {http::{Request, Response}, http_body_util::Empty, bytes::Bytes, tower::{Layer, ServiceExt, service_fn}};
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let server = service_fn(async |request: Request<()>| {
//!     assert_eq!(request.headers()["x-forwarded-for"], "203.0.113.9");
//!     assert_eq!(ClientAddr::of(&request).unwrap().ip().to_string(), "203.0.113.9");
//!     # Ok::<_, std::convert::Infallible>(
//!     Response::new(Empty::<Bytes>::new())
//!     # )
//! });
//! let guarded = SanitizeForwardedLayer::new().layer(server);
//!
//! let mut request = Request::get("/").header("x-forwarded-for", "1.2.3.4").body(()).unwrap();
//! PeerAddr::new("203.0.113.9:50000".parse().unwrap()).attach(&mut request);
//! guarded.oneshot(request).await.unwrap();
//! # }
//! ```
//!
//! Behind balancers, for a backend that reads `Forwarded`:
//!
//! ```
//! use bartizan_forwarded::{Field, Fields, SanitizeForwardedLayer, TrustedPeers};
//!
//! let balancers = TrustedPeers::networks(["10.0.0.0/8".parse()?, "2001:db8:f::/48".parse()?]);
//! let layer = SanitizeForwardedLayer::new()
//!     .trust(balancers)
//!     .write(Fields::default().with(Field::Forwarded))
//!     .stripped_prefix("/api".parse()?);
//! # let _ = layer;
//! # Ok::<(), bartizan_forwarded::ConfigError>(())
//! ```
//!
//! # Failure modes
//!
//! The layer depends on nothing that can be down. An unknown peer (no `PeerAddr`) is untrusted: its forwarding
//! headers are dropped, and no address is written. Values from a trusted proxy are checked: an invalid scheme, host,
//! port or path is ignored.
//!
//! # Security
//!
//! A trusted proxy must write or remove each field of its [`Source`]: a field that it passes through counts as its
//! own statement. The other source is never trusted. Use [`SanitizeForwardedLayer::trust_count`] only if clients
//! cannot reach the server directly. The part of a chain beyond the client is the client's own claim; it is cut, so
//! that a backend that reads from the left finds no forged address. The judgement of an outer layer is in the
//! request's extensions, where no client can write.
//!
//! # Cost
//!
//! From an untrusted peer without forwarding headers: one pass over the field names and one insert for each field
//! that is written; no allocation but the shared [`Passage`](bartizan_core::Passage) where this layer is the first to
//! record something, and for `Forwarded` its text. Reading a chain allocates twice. Measured figures are in the guide
//! of the crate `bartizan`.
//!
//! # Sources
//!
//! [RFC 7239](https://www.rfc-editor.org/rfc/rfc7239),
//! [RFC 9110 §7.6.1](https://www.rfc-editor.org/rfc/rfc9110#section-7.6.1) and
//! [§8.6](https://www.rfc-editor.org/rfc/rfc9110#section-8.6),
//! [RFC 9112 §3.2](https://www.rfc-editor.org/rfc/rfc9112#section-3.2) and
//! [§6.1](https://www.rfc-editor.org/rfc/rfc9112#section-6.1),
//! [RFC 9440](https://www.rfc-editor.org/rfc/rfc9440) (`Client-Cert`),
//! [RFC 5952](https://www.rfc-editor.org/rfc/rfc5952) (the text of IPv6 addresses),
//! [MDN, `X-Forwarded-For`](https://developer.mozilla.org/en-US/docs/Web/HTTP/Reference/Headers/X-Forwarded-For).
#![cfg_attr(docsrs, feature(doc_cfg))]

mod by;
mod chain;
mod config;
mod element;
mod event;
mod field;
mod future;
#[cfg(feature = "__fuzz")]
#[doc(hidden)]
pub mod fuzz;
mod internal_prefix;
mod layer;
mod name;
mod named;
mod node;
mod origin;
mod path_prefix;
mod sanitize;
mod scan;
mod service;
pub mod strip;
mod target;
mod trust;
mod write;

pub use bartizan_core::ConfigError;
pub use by::ForwardedBy;
pub use config::Source;
pub use field::{Field, Fields};
pub use future::ResponseFuture;
pub use internal_prefix::InternalPrefix;
pub use layer::SanitizeForwardedLayer;
pub use named::{ClientIpHeader, KeptField};
pub use path_prefix::PathPrefix;
pub use service::SanitizeForwarded;
pub use strip::{StripHopByHop, StripHopByHopLayer};
pub use trust::{Network, TrustedPeers};
pub use write::{Chain, Naming};

/// The example in the README, as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
