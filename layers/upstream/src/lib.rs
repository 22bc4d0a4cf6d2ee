//! Forwards a request to the backend that a layer chose.
//!
//! The innermost service of a reverse proxy: it strips the fields of one hop, sends the request, streams
//! both ways, and answers for a backend that does not.
//!
//! # When to use it, and when not
//!
//! Below [`PinBackend`](https://docs.rs/bartizan-pin), which chooses a backend for each request; alone,
//! with one fixed backend ([`UpstreamBuilder::to`]). It does not choose, retry or cache.
//!
//! ```no_run
//! use bartizan_upstream::Upstream;
//! use http_body_util::Empty;
//! use tower::ServiceExt;
//!
//! # async fn forward() -> Result<(), Box<dyn std::error::Error>> {
//! let upstream = Upstream::builder().to("http://127.0.0.1:9001".parse()?).build();
//! let request = http::Request::get("/tools").body(Empty::<bytes::Bytes>::new())?;
//! let response = upstream.oneshot(request).await?;
//! # let _ = response; Ok(()) }
//! ```
//!
//! # Rules
//!
//! | request | outcome | backend called? |
//! |---|---|---|
//! | no backend chosen, none fixed | 500 | no |
//! | `Connection` nominates a protected field, or no token | 400 | no |
//! | HTTP/2 with a `Host` other than its authority | 400 | no |
//! | TRACE; CONNECT | 405 | no |
//! | extended CONNECT, unless for a relayed protocol and an HTTP/2 backend | 501 | no |
//! | `Upgrade` to a relayed protocol (`websocket`), HTTP/1.1 or TLS backend | asked of the backend; 101 makes a tunnel | yes |
//! | `Upgrade` to anything else | stripped, forwarded | yes |
//! | anything, for a backend that [somebody else runs](bartizan_core::Backend::third_party) | without `Forwarded` and `X-Forwarded-Host/-Port/-Prefix`; `X-Forwarded-Proto` is the backend's scheme | yes |
//! | anything else | fields of one hop stripped, `Host` the backend's, path and query byte for byte | yes |
//!
//! | backend | outcome |
//! |---|---|
//! | a response | fields of one hop stripped, streamed as it comes, trailers included |
//! | unreachable (refused, no route, no name, TLS, connect deadline), pinned work | 503, `Retry-After`, `Proxy-Status` |
//! | the same, other work | 502; 504 past the connect deadline |
//! | name that does not resolve, or not within 1 s, after it did | dialled at the address that it had |
//! | name with one address of each family (`localhost`, dual stack) | dialled at the one that connected last, then at the other |
//! | name with several addresses of a family | one of them is dialled and kept, see [*Connections*](#connections) |
//! | several addresses, none of which connects | refused only if all refuse, or if the one in use does and the others cannot be reached from this host |
//! | [as many connections as there may be](transport::TransportBuilder::max_connections_per_backend), and none free in time | 503, `Retry-After`, `Proxy-Status` |
//! | no descriptor left for a connection | 503, `Retry-After`, `Proxy-Status`; says nothing of the backend |
//! | connection ended before a response head | 502 |
//! | no response head in time | 504 |
//! | no HTTP, or a 101 that nobody asked for | 502 |
//! | body of the response breaks off | the client's breaks off too |
//!
//! Such an answer has an [`UpstreamFailure`](bartizan_core::UpstreamFailure) in its extensions.
//!
//! # Place in the stack
//!
//! Innermost. The backend is read from [`Backend::of`](bartizan_core::Backend::of) the request; whether
//! it is pinned or opens a session, from its [`Passage`](bartizan_core::Passage).
//!
//! # Failure modes
//!
//! A request is sent once. Another connection is taken only when an idle one was dead before a byte of the
//! request was written. When the client goes away, the exchange is given up at once; when the backend
//! does, so is the response. A response that comes before the request is over is passed on; its
//! connection is used again when the request is over too. There is no deadline on a body; but a silent
//! connection is probed after 60 s, by TCP, and one over HTTP/2 that has anything to do every 30 s: a backend that
//! does not answer is given up.
//!
//! # Connections
//!
//! HTTP/1.1 in clear text goes over connections of this crate's own
//! ([`Http1Transport`](transport::Http1Transport)), HTTP/2 and TLS by hyper-util's client
//! ([`HyperTransport`](transport::HyperTransport)): [`TransportBuilder`](transport::TransportBuilder) sets how
//! both connect and what they keep.
//!
//! A backend is one server, and so is its name: its sessions are at one of its addresses. Names are looked up by the
//! system, for each connection that is made; a failed look-up says nothing about the server. The address that
//! connected is kept for as long as the look-ups have it:
//!
//! | answer of the look-up | dialled |
//! |---|---|
//! | first answer, or the kept address is not among them any more | all addresses by turns, 0.3 s apart, until one connects: that one is kept |
//! | one address of each family at most, the kept one among them | the kept one first, the other 0.3 s later or as soon as it fails; the one that connects is kept |
//! | several of a family, the kept one among them | the kept one alone |
//! | the same, and the kept one has refused for 5 s, or could not be reached for 30 s, tried once a second | the others, then the kept one; the one that connects is kept |
//! | a failure, an empty answer, or none within 1 s | as with the answer before |
//!
//! Addresses of a family are dialled in ascending order, so that proxies that see the same answer choose the same
//! address. When the kept address changes, connections to the old one are not used again; responses that are under way
//! end in their own time. Connections to a name are not closed because its answer has changed: that is noticed when
//! the next one is made.
//!
//! Replicas under one name should be backends of their own: nothing tells them from one server with several addresses,
//! and when the kept one is given up, its sessions reach another replica, which answers 404.
//!
//! What hyper decides: `Expect: 100-continue` is answered by the server as soon as the body is asked
//! for, which is when the backend has been connected to, and the field is passed on; other interim
//! (1xx) responses of the backend are dropped, which RFC 9110 §15.2 allows only for those that the proxy
//! itself asked for: hyper's server has no way to send them.
//!
//! # Security
//!
//! What `Connection` nominates is removed only if nobody relies on it. `Proxy-Status` says what went
//! wrong, never where.
//!
//! # Cost
//!
//! One pass over the names of the request's fields and one over the response's; no allocation but those
//! of the connection; no timer without a deadline. Over HTTP/1.1 in clear text a request costs some 14 %
//! fewer instructions than by hyper-util's client alone.
//!
//! # Sources
//!
//! [RFC 9110 §7](https://www.rfc-editor.org/rfc/rfc9110#section-7),
//! [RFC 9112](https://www.rfc-editor.org/rfc/rfc9112), [RFC 9113 §8](https://www.rfc-editor.org/rfc/rfc9113#section-8),
//! [RFC 9209](https://www.rfc-editor.org/rfc/rfc9209), [RFC 8441](https://www.rfc-editor.org/rfc/rfc8441).
#![cfg_attr(docsrs, feature(doc_cfg))]

mod builder;
mod config;
mod event;
mod failure;
mod future;
mod head;
mod service;
pub mod transport;
mod upgrade;

pub use bartizan_core::TrailerFilterBody;
pub use builder::UpstreamBuilder;
pub use future::ResponseFuture;
pub use service::Upstream;
