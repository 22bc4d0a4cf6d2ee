//! Drops spoofed provenance, finds the client address, and writes `X-Forwarded-*` and `Forwarded`.
//!
//! Whoever sends a request can write any address into it. This layer takes the word of the peers that you
//! name, and of nobody else: what others wrote is dropped, the client is found by reading the chain of
//! proxies from the right, and what a backend gets is made anew from what is known. Your own layers and
//! handlers read the same facts: [`ClientAddr`](bartizan_core::ClientAddr) and
//! [`PublicOrigin`](bartizan_core::PublicOrigin).
//!
//! # When to use it, and when not
//!
//! In front of anything that believes these fields: rate limits, access lists, logs, redirects. At the
//! edge, where nobody is trusted, as behind balancers that are. It needs the peer's address: attach a
//! [`PeerAddr`](bartizan_core::PeerAddr) where you accept connections, or say where your framework keeps
//! it ([`SanitizeForwardedLayer::peer_from`]). The PROXY protocol is not read.
//!
//! # Rules
//!
//! On arrival:
//!
//! | field | from an untrusted peer | from a trusted peer | inner service called? |
//! |---|---|---|---|
//! | `Forwarded`, `X-Forwarded-For/-Host/-Port/-Prefix/-Proto` | dropped | read, then written anew | yes |
//! | `X-Real-IP` | dropped | dropped, and written anew if switched on | yes |
//! | every other `X-Forwarded-*`, `X-Original-*`, `Client-Cert*`, `True-Client-IP`, `CF-Connecting-IP`, `Fastly-Client-IP`, `X-Client-IP`, `X-Cluster-Client-IP`, `X-Envoy-External-Address` and their like | dropped | passed on | yes |
//! | any of these with `_` for `-` | dropped | dropped | yes |
//! | internal prefixes (`x-bartizan-*`) | dropped | passed on | yes |
//! | `traceparent`, `tracestate` | passed on; dropped with [`SanitizeForwardedLayer::restart_traces`] | passed on | yes |
//! | any of these, but for the last two rows, nominated in `Connection` | 400 | 400 | no |
//!
//! The client is who is named by the first entry from the right that no trusted hop owns. `Forwarded` and
//! `X-Forwarded-For` are lists over all their field lines; IPv4 addresses mapped into IPv6 are unmapped.
//!
//! | entry | outcome |
//! |---|---|
//! | an address of a trusted proxy | the next one to the left is read |
//! | any other address | the client |
//! | `unknown`, an obfuscated name | the last address before it; what it says of scheme and host counts |
//! | anything else; a line of `Forwarded` that keeps to no grammar | the last address before it |
//! | with a count of proxies, fewer entries than that | the peer |
//!
//! Written for the backend, by [`Fields`]:
//!
//! | field | what | by default |
//! |---|---|---|
//! | `X-Forwarded-For` | the hops that trusted proxies vouched for, then the peer; with [`Chain::Replace`], the client | yes |
//! | `X-Forwarded-Proto`, `-Host` | what the client addressed | yes |
//! | `X-Forwarded-Prefix` | the path that was stripped, where one was | yes |
//! | `X-Forwarded-Port`, `X-Real-IP` | the port that the client addressed; the client's address | no |
//! | `Forwarded` | all of it ([RFC 7239](https://www.rfc-editor.org/rfc/rfc7239)), on a line of its own | no |
//!
//! `Forwarded` and `X-Forwarded-For` of a response are dropped: they would tell of the way in.
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
//!     .stripped_prefix("/api")?;
//! # let _ = layer;
//! # Ok::<(), bartizan_forwarded::ConfigError>(())
//! ```
//!
//! # Failure modes
//!
//! There is nothing that can be down. An unknown peer (no `PeerAddr`) is an untrusted one: what it says is
//! dropped, and no address is written. What a trusted proxy says is checked: a scheme, host, port or path
//! that is none is as if it had not been said.
//!
//! # Security
//!
//! A trusted proxy must write or remove each of the fields of its [`Source`]: what it passes on as it came
//! counts as its word. The other source is never believed. Give [`SanitizeForwardedLayer::trust_count`] only
//! to a server that cannot be reached past its proxies. The part of a chain that lies beyond the client was
//! the client's own word; it is cut, so that a backend that reads from the left finds no forged address.
//!
//! # Cost
//!
//! From an untrusted peer without provenance fields: one pass over the field names and one insert for each
//! field that is written; no allocation but the shared [`Passage`](bartizan_core::Passage) where this layer
//! is the first to leave a word, and for `Forwarded` its text. Reading a chain allocates twice.
//! The figures are in the README of the workspace.
//!
//! # Sources
//!
//! [RFC 7239](https://www.rfc-editor.org/rfc/rfc7239),
//! [RFC 9110 §7.6.1](https://www.rfc-editor.org/rfc/rfc9110#section-7.6.1),
//! [RFC 9440](https://www.rfc-editor.org/rfc/rfc9440) (`Client-Cert`),
//! [RFC 5952](https://www.rfc-editor.org/rfc/rfc5952) (the text of IPv6 addresses),
//! [MDN, `X-Forwarded-For`](https://developer.mozilla.org/en-US/docs/Web/HTTP/Reference/Headers/X-Forwarded-For).
#![cfg_attr(docsrs, feature(doc_cfg))]

mod chain;
mod element;
mod event;
mod field;
mod future;
#[cfg(feature = "__fuzz")]
#[doc(hidden)]
pub mod fuzz;
mod layer;
mod name;
mod node;
mod origin;
mod sanitize;
mod service;
pub mod strip;
mod trust;
mod write;

pub use bartizan_core::ConfigError;
pub use field::{Field, Fields};
pub use future::ResponseFuture;
pub use layer::{SanitizeForwardedLayer, Source};
pub use service::SanitizeForwarded;
pub use strip::{StripHopByHop, StripHopByHopLayer};
pub use trust::{Network, TrustedPeers};
pub use write::{Chain, Naming};
