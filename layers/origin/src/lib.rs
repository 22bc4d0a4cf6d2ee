//! Validates `Host` and `Origin` of the requests that browsers send, and refuses those of foreign pages.
//!
//! In DNS rebinding, a page at `http://evil.example` points that name at `127.0.0.1` (or at an address of the user's
//! network) and then calls a server there. For the browser these are requests to the page's own site, so it lets the
//! page read the responses. The server can tell: `Host` is `evil.example`. A proxy that writes the backend's `Host`
//! hides that from the backend, so the proxy must validate both fields itself. MCP requires it of servers: they MUST
//! validate `Origin` and answer 403 if it is invalid.
//!
//! # When to use it, and when not
//!
//! In front of any server that a browser can reach on the user's machine or network, and of every MCP server. It is
//! not authentication and not CORS: a client that is not a browser passes, and a page of an allowed origin still
//! needs CORS fields in the response to read it.
//!
//! # Rules
//!
//! A request is a browser's if it has `Origin`, or a field whose name begins with `Sec-Fetch-`. Some GETs of browsers have
//! neither, and pass ([Security](#security)).
//!
//! | request | outcome | inner service called? |
//! |---|---|---|
//! | neither `Origin` nor `Sec-Fetch-*` | forwarded, with any `Host` | yes |
//! | a browser's: no host, several lines of `Host`, or not a host | 400 | no |
//! | over HTTP/2, with `Host` and another `:authority` | 400 | no |
//! | `Host` is neither a loopback name, nor an address of the listener, nor [allowed](GuardOriginLayer::allow_host) | 421 | no |
//! | such a `Host`, and no `Origin` | forwarded | yes |
//! | `Origin` equals the scheme and `Host` of the request | forwarded | yes |
//! | `Origin` is a loopback name over `http` or `https`, and the client's address is loopback | forwarded | yes |
//! | `Origin` is [allowed](GuardOriginLayer::allow_origin) | forwarded | yes |
//! | `Origin: null`, several lines of `Origin`, not an origin | 403 | no |
//! | any other `Origin` | 403 | no |
//!
//! How hosts and origins are read and compared:
//!
//! | detail | rule |
//! |---|---|
//! | loopback names | `localhost`, `127.0.0.0/8`, `::1`; not `name.localhost`, which some resolvers look up in the DNS, and not `0.0.0.0` |
//! | upper and lower case | equal |
//! | one trailing dot | ignored: `localhost.` is `localhost` |
//! | port of `Host` | free, unless the allowed host names one; an empty or absent port is 80 for `http` and 443 for `https` |
//! | port of `Origin` | must be equal; the default of the scheme is equal to none |
//! | IPv6 | compared as addresses, in brackets: `[0:0::1]` is `[::1]`; mapped IPv4 is IPv4; a zone is not a host |
//! | other spellings of IPv4 (`127.1`, `0x7f000001`) | names like any other, so not allowed; browsers never send them |
//! | internationalized names | compared in their ASCII form (`xn--…`), as browsers send them; other bytes are not a host |
//! | user information (`user@host`) | not a host |
//! | absolute-form target beside `Host` | over HTTP/1.1 the target counts ([RFC 9112 §3.2.2](https://www.rfc-editor.org/rfc/rfc9112#section-3.2.2)) |
//! | `:authority` | counts as `Host` |
//! | behind a trusted proxy | the scheme, host and port of the [`PublicOrigin`](bartizan_core::PublicOrigin) count |
//!
//! # Place in the stack
//!
//! Below the layer that sanitizes forwarding headers, which establishes the public scheme and host and the client's
//! address; above everything expensive: loops, authentication, stores, bodies. Below a CORS layer, so that a page of
//! an allowed origin can read the refusals of the layers below, too.
//!
//! ```
//! use bartizan_core::GuardBody;
//! use bartizan_origin::GuardOriginLayer;
//! # use {http::{Request, Response}, http_body_util::Empty, bytes::Bytes, tower::{Layer, ServiceExt, service_fn}};
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let server = service_fn(async |_: Request<()>| {
//!     # Ok::<_, std::convert::Infallible>(
//!     Response::new(GuardBody::forwarded(Empty::<Bytes>::new()))
//!     # )
//! });
//! let guarded = GuardOriginLayer::new().layer(server);
//!
//! let from = |host: &str, origin: &str| {
//!     Request::post("/mcp").header("host", host).header("origin", origin).body(()).unwrap()
//! };
//! let rebound = from("evil.example", "http://evil.example");
//! assert_eq!(guarded.clone().oneshot(rebound).await.unwrap().status(), 421);
//! let foreign = from("localhost:8080", "https://evil.example");
//! assert_eq!(guarded.clone().oneshot(foreign).await.unwrap().status(), 403);
//! let own = from("localhost:8080", "http://localhost:8080");
//! assert_eq!(guarded.clone().oneshot(own).await.unwrap().status(), 200);
//! let not_a_browser = Request::post("/mcp").header("host", "tunnel.example").body(()).unwrap();
//! assert_eq!(guarded.oneshot(not_a_browser).await.unwrap().status(), 200);
//! # }
//! ```
//!
//! Configured, for a public name and a web application on another one:
//!
//! ```
//! use bartizan_origin::GuardOriginLayer;
//!
//! let layer = GuardOriginLayer::new()
//!     .allow_host("mcp.example.com".parse()?)
//!     .allow_origin("https://app.example.com".parse()?);
//! # let _ = layer;
//! # Ok::<(), bartizan_origin::ConfigError>(())
//! ```
//!
//! The inner service responds with a body that implements [`ReplaceBody`](bartizan_core::body::ReplaceBody): a body
//! of Bartizan's layers, a boxed one of http-body-util, axum's (feature `axum`), or any other in
//! [`GuardBody::forwarded`](bartizan_core::GuardBody::forwarded).
//!
//! # The addresses of the listener
//!
//! A browser that is given an address instead of a name sends that address as `Host`, and no DNS is involved. The
//! layer allows the address at which the connection was accepted, if the server states it
//! ([`PeerAddr::accepted_at`](bartizan_core::PeerAddr::accepted_at)), and those given to
//! [`GuardOriginLayer::listener`]. Behind address translation (a container's published port, say) the address that
//! users type is another one: allow it as a host.
//!
//! # Failure modes
//!
//! The layer depends on nothing that can be down. It refuses what it cannot read. Without a
//! [`PeerAddr`](bartizan_core::PeerAddr) or a [`ClientAddr`](bartizan_core::ClientAddr), no client counts as local:
//! loopback origins must equal the host or be allowed.
//!
//! # Security
//!
//! The layer trusts what browsers do not let pages set: `Host`, `Origin`, `Sec-Fetch-*`. It does not protect from
//! clients that make up these fields. Over plain HTTP to a name that is not loopback, browsers send neither `Origin`
//! nor `Sec-Fetch-*` with a same-origin GET: a rebound page can send such a GET, but no POST and no websocket
//! handshake, so it cannot open an MCP session. Pages of a loopback origin are allowed, whichever program on the
//! user's machine serves them.
//!
//! # Cost
//!
//! One pass over the field names, or none below a layer that recorded the result
//! ([`GuardOriginLayer::scanned_above`]); no allocation, and nothing on the way back. A refusal allocates its response.
//! The figures are in `benches/README.md`.
//!
//! # Sources
//!
//! [MCP 2025-11-25, Security Warning](https://modelcontextprotocol.io/specification/2025-11-25/basic/transports#security-warning),
//! [RFC 6454 §7](https://www.rfc-editor.org/rfc/rfc6454#section-7) (`Origin`),
//! [Fetch Metadata](https://www.w3.org/TR/fetch-metadata/) (`Sec-Fetch-*`),
//! [RFC 9110 §7.2, §15.5.20](https://www.rfc-editor.org/rfc/rfc9110#section-7.2) (`Host`, 421),
//! [RFC 9113 §8.3.1](https://www.rfc-editor.org/rfc/rfc9113#section-8.3.1) (`:authority`),
//! [RFC 6761 §6.3](https://www.rfc-editor.org/rfc/rfc6761#section-6.3) (`localhost`).
#![cfg_attr(docsrs, feature(doc_cfg))]

mod allowed;
mod authority;
mod config;
mod event;
mod future;
mod judge;
mod layer;
mod origin;
mod seen;
mod service;

pub use allowed::{AllowedHost, AllowedOrigin};
pub use bartizan_core::ConfigError;
pub use future::ResponseFuture;
pub use layer::GuardOriginLayer;
pub use service::GuardOrigin;

/// The example in the README, as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
