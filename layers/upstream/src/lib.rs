//! Forwards a request to the backend that a layer chose.
//!
//! The innermost service of a reverse proxy: it strips hop-by-hop fields, sends the request, streams both ways, and
//! responds itself when the backend fails.
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
//! | no backend was chosen, and there is no fixed one | 500 | no |
//! | `Connection` names a protected field, or something that is not a token | 400 | no |
//! | HTTP/2 with a `Host` other than its authority | 400 | no |
//! | TRACE; CONNECT | 405 | no |
//! | extended CONNECT, unless for a relayed protocol and an HTTP/2 backend | 501 | no |
//! | `Upgrade` to a relayed protocol (`websocket`), HTTP/1.1 or TLS backend | forwarded over HTTP/1.1; a 101 opens a tunnel | yes |
//! | `Upgrade` to anything else | stripped, forwarded | yes |
//! | anything, for a [third-party backend](bartizan_core::Backend::third_party) | without `Forwarded` and `X-Forwarded-Host/-Port/-Prefix`; `X-Forwarded-Proto` is the backend's scheme | yes |
//! | anything else | hop-by-hop fields stripped, `Host` of the backend, path and query byte for byte | yes |
//!
//! | backend | outcome |
//! |---|---|
//! | a response | hop-by-hop fields stripped, streamed as it arrives, including trailers |
//! | unreachable (refused, no route, DNS, TLS, connect timeout), pinned work | 503, `Retry-After`, `Proxy-Status` |
//! | the same, other work | 502; 504 after the connect timeout |
//! | host name that no longer resolves, or not within 1 s | its last address is dialled |
//! | host name with one address of each family (`localhost`, dual stack) | the one that connected last is dialled, then the other |
//! | host name with several addresses of a family | one of them is dialled and kept, see [*Connections*](#connections) |
//! | several addresses, none of which connects | counts as refused only if all refuse, or if the one in use does and the others cannot be reached from this host |
//! | [connection limit](transport::TransportBuilder::max_connections_per_backend) reached, and no connection (over HTTP/2: no stream) free in time | 503, `Retry-After`, `Proxy-Status` |
//! | no file descriptor left | 503, `Retry-After`, `Proxy-Status`; does not count against the backend |
//! | connection ended before a response head | 502 |
//! | no response head in time, or the backend [reads no more of the request](transport::TransportBuilder::write_timeout) | 504; over HTTP/2, only that stream is reset |
//! | not HTTP, or an unrequested 101 | 502 |
//! | several equal values of `Content-Length` | passed on as one |
//! | `Content-Length` that is not a number, or values that differ | 502 |
//! | response body cut off | the client's is cut off too |
//!
//! The response to a failure has an [`UpstreamFailure`](bartizan_core::UpstreamFailure) in its extensions.
//!
//! A JSON-RPC refusal carries the id of its request, which is in the request body. This service does not read bodies.
//! Where a refusal is JSON-RPC and lacks the id, the service returns the body, and
//! [`ValidateSession`](https://docs.rs/bartizan-session) reads the id from it:
//!
//! | refused request | [`ReturnedBody`](bartizan_core::refusal::ReturnedBody) in the extensions |
//! |---|---|
//! | refused on arrival (400, 405, 500, 501) | the request body |
//! | no connection, or no stream of one, for any reason | the request body |
//! | a new connection that ended before any of the request was written | the request body |
//! | any of the request may have been sent | none |
//!
//! # Place in the stack
//!
//! Innermost. The backend is read from [`Backend::of`](bartizan_core::Backend::of) the request; whether
//! it is pinned or opens a session, from its [`Passage`](bartizan_core::Passage).
//!
//! # Failure modes
//!
//! A request is sent once. Another connection is used only if an idle one turns out to be closed before a byte of
//! the request was written. When the client goes away, the exchange is dropped at once; over HTTP/1.1 without TLS,
//! a response of at most 64 KiB that arrives within 100 ms is still read, so that its connection is kept. When the
//! backend goes away, the response is cut off. A response that arrives before the request has ended is passed on,
//! and its connection is reused when the request has ended too. Bodies have no timeout as long as they make
//! progress. A silent connection is probed by TCP after 60 s, and an HTTP/2 connection in use every 30 s; if the
//! backend does not answer, the connection is closed.
//!
//! # Connections
//!
//! [`TransportBuilder`](transport::TransportBuilder) configures how connections are made and which are kept. Over TLS the
//! backend chooses between HTTP/2 and HTTP/1.1 ([ALPN, RFC 7301](https://www.rfc-editor.org/rfc/rfc7301)).
//! hyper-util's client is available as a [transport](transport::HyperTransport), too.
//!
//! A connection over HTTP/1.1 carries one request at a time. One over HTTP/2 carries as many streams as the backend
//! allows (`SETTINGS_MAX_CONCURRENT_STREAMS`,
//! [RFC 9113 §5.1.2](https://www.rfc-editor.org/rfc/rfc9113#section-5.1.2)), at most 256; when none is free, another
//! connection is opened. Over HTTP/2, `Host` is sent as the authority only.
//!
//! A connection is driven by the runtime that made it. A server with one current-thread runtime per core gives each of
//! them a separate service: [`Upstream::for_worker`].
//!
//! A tunnel ends when both sides have closed it, when its session ends, when one side has closed its half and the other
//! is silent for 10 s, and when [no byte has moved for an hour](UpstreamBuilder::tunnel_idle_timeout).
//!
//! A backend is one server, and its host name stands for that server: its sessions are at one of its addresses. Names
//! are looked up by the system for each new connection; a failed lookup says nothing about the server. The address
//! that connected is kept for as long as lookups return it:
//!
//! | answer of the lookup | dialled |
//! |---|---|
//! | first answer, or the kept address is no longer in it | all addresses in turn, 0.3 s apart, until one connects: that one is kept |
//! | at most one address of each family, including the kept one | the kept one first, the other 0.3 s later or as soon as it fails; the one that connects is kept |
//! | several of a family, including the kept one | only the kept one |
//! | the same, and the kept one, tried once a second, has refused for 5 s or was unreachable for 30 s | the others, then the kept one; the one that connects is kept |
//! | a failure, an empty answer, or none within 1 s | the previous answer stays in use |
//!
//! HTTP/1.1 responses are read in pieces of 8 KiB, and a head may have 64 KiB. An HTTP/2 stream has a window of 64 KiB,
//! a connection of 16 MiB. So a response that the client does not read stays at the backend.
//!
//! Addresses of a family are dialled in ascending order, so that proxies that see the same answer choose the same
//! address. When the kept address changes, connections to the old one are not reused; responses in flight continue. A
//! changed answer does not close connections: it is noticed when the next one is opened.
//!
//! List replicas that share a name as separate backends. They cannot be distinguished from one server with several
//! addresses, and when the kept address is given up, its sessions reach another replica, which answers 404.
//!
//! Trailers are forwarded both ways ([RFC 9110 §6.5](https://www.rfc-editor.org/rfc/rfc9110#section-6.5)), except fields
//! that no trailer may carry. `TE: trailers` is passed on. Over HTTP/1.1, hyper's server sends trailers only to a client
//! that sent `TE: trailers`, and hyper sends in either direction only the fields that the `Trailer` field of the message
//! announced ([RFC 9110 §6.6.2](https://www.rfc-editor.org/rfc/rfc9110#section-6.6.2)); others are dropped, as [RFC 9110
//! §6.5.1](https://www.rfc-editor.org/rfc/rfc9110#section-6.5.1) allows. gRPC backends do not announce theirs, so their
//! names are added for such a client.
//!
//! hyper decides two more things. The server answers `Expect: 100-continue` as soon as the body is read, which is when the
//! backend is connected, and the field is passed on. Other interim (1xx) responses of the backend are dropped,
//! because hyper's server cannot send them; RFC 9110 §15.2 allows that only for those that the proxy itself
//! requested.
//!
//! # Security
//!
//! A field that `Connection` names is removed unless it is protected. `Proxy-Status` states what went wrong, never
//! where.
//!
//! # Cost
//!
//! One pass over the field names of the request and one over those of the response; no allocation except those of the
//! connection; a timer only if a timeout is set. Over HTTP/1.1 without TLS, a request costs about 14 % fewer
//! instructions than with hyper-util's client alone.
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
mod trailers;
pub mod transport;
mod tunnel;
mod upgrade;

pub use bartizan_core::TrailerFilterBody;
pub use builder::UpstreamBuilder;
pub use future::ResponseFuture;
pub use service::Upstream;

/// The example in the README, as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
