//! Names the caller of a request, so that a session belongs to the caller that opened it.
//!
//! A session id alone proves nothing. A caller that has learned the id of another caller's session can use it with
//! its own token, which the backend accepts. With this layer above the one that validates sessions, such an id is
//! unknown (404): a session is found by its id *and* its [`Principal`](bartizan_core::Principal).
//!
//! # It verifies nothing
//!
//! **The layer reads names from credentials. It checks neither signature nor expiry nor audience.** Any client can
//! write a token that names another caller. That is safe if the backend verifies the credentials of *each* request: a
//! forged token reaches the backend together with the stolen session id, and is refused there. It is not
//! authentication. Never base a decision on this layer's principal unless the backend checks it again, and never put
//! the layer in front of servers that accept every token. If you verify tokens yourself, use `Principal::attach`
//! instead: the layer keeps a principal that a layer above has attached.
//!
//! # When to use it, and when not
//!
//! In front of backends that verify tokens and keep sessions, such as MCP servers with authorization. Do not use it
//! if several users share one session on purpose: each of them would be a different caller.
//!
//! # Rules
//!
//! | source | request | principal | inner service called? |
//! |---|---|---|---|
//! | [`jwt`](NamePrincipalLayer::jwt) | `Authorization: Bearer` and a JWT with `iss` and `sub` | these two, unverified: a refreshed token is the same caller | yes |
//! | | other credentials: an opaque token, another scheme, a JWT without either, encrypted or malformed | as for `authorization` | yes |
//! | [`authorization`](NamePrincipalLayer::authorization) | credentials | a digest of the value: another token is another caller | yes |
//! | both | empty credentials | a digest of nothing | yes |
//! | | two lines of `Authorization` | a digest of both, which is neither of the callers that they name | yes |
//! | | no credentials | none | yes |
//! | [`header`](NamePrincipalLayer::header) | the field, from a trusted peer | its value | yes |
//! | | two lines of it, from a trusted peer | a digest of both | yes |
//! | | the field, from any other peer | none; the field is removed | yes |
//! | | absent or empty | none | yes |
//! | | spelled with `_` for `-` | removed, whatever the peer | yes |
//! | any | a principal from a layer above | kept | yes |
//! | [`none`](NamePrincipalLayer::none) | any | unchanged | yes |
//!
//! No request is refused. The layer fails closed: unreadable credentials name a caller that has no sessions. They do
//! not count as missing credentials, because a request without a principal may use sessions that were opened without
//! credentials. During a migration to JWTs, an opaque token works as it would with `authorization`.
//!
//! Issuer and subject together have at most 512 bytes, and the payload of a token has at most 8 KiB. Longer ones are
//! named by their digest.
//!
//! # Sessions that were opened without credentials
//!
//! Some servers open a session for any client and ask for a token when a call needs one (401, and the client retries
//! with a token). A caller with credentials may use such a session. It then belongs to the first caller that gets a
//! 2xx in it, because the backend has accepted those credentials. From then on it is unknown to all others, and to
//! callers without credentials. If several callers race, one wins.
//! [`binds_anonymous(false)`](NamePrincipalLayer::binds_anonymous) switches this off.
//!
//! # Place in the stack
//!
//! Below the layer that decides which peers are trusted, above the one that validates sessions. In the ready-made
//! stack of the crate `bartizan`: `ReverseProxyStack::auth(NamePrincipalLayer::jwt())`.
//!
//! With axum:
//!
//! ```
//! use axum::{Router, body::Body, routing::get};
//! use bartizan_core::Principal;
//! use bartizan_principal::NamePrincipalLayer;
//! use http::Request;
//! # use tower::ServiceExt;
//!
//! // {"iss":"https://issuer.example","sub":"alice"}, and a signature that the handler's own code would verify.
//! const TOKEN: &str =
//!     "Bearer e30.eyJpc3MiOiJodHRwczovL2lzc3Vlci5leGFtcGxlIiwic3ViIjoiYWxpY2UifQ.c2ln";
//!
//! async fn who(request: Request<Body>) -> String { Principal::of(&request).map_or("anonymous",
//! Principal::subject).to_owned() }
//!
//! let app: Router = Router::new().route("/", get(who)).layer(NamePrincipalLayer::jwt());
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//!
//! let request = Request::get("/").header("authorization", TOKEN).body(Body::empty()).unwrap();
//! let response = app.oneshot(request).await.unwrap();
//! let body = axum::body::to_bytes(response.into_body(), 100).await.unwrap();
//! assert_eq!(body, "alice");
//! # });
//! ```
//!
//! Behind a proxy that authenticates callers and names them in `X-User`:
//!
//! ```
//! use bartizan_principal::NamePrincipalLayer;
//!
//! let layer = NamePrincipalLayer::header("x-user".parse()?)?;
//! # let _ = layer;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Failure modes
//!
//! The layer depends on nothing that can be down, and never makes a response or an error itself.
//!
//! # Security
//!
//! A digest is SHA-256 without a key, so that all replicas give a caller the same name, also after a restart. A token
//! cannot be recovered from its digest, because it has too much entropy to be guessed. That does not hold for
//! passwords that people choose (`Basic`). But a digest stays in the process, and `RedisStore` stores it only hashed
//! together with the session id, which is a secret. Issuers that begin with `bartizan:` are reserved for this crate:
//! a token that states one is not read.
//!
//! Credentials are never printed. Each thread keeps the last 256 values in memory (at most 4 KiB each) with the names
//! that were read from them, and zeroes them when others take their place.
//!
//! # Cost
//!
//! No allocation for a value that this thread has seen recently, if a layer above has made the
//! [`Passage`](bartizan_core::Passage) of the request (`tests/allocations.rs`). Otherwise one decoding or one
//! SHA-256, and some allocations. [`header`](NamePrincipalLayer::header) also looks at the names of all fields. The
//! figures are in `benches/README.md`.
//!
//! # Sources
//!
//! [RFC 6750 §2.1](https://www.rfc-editor.org/rfc/rfc6750#section-2.1) (bearer tokens),
//! [RFC 7515 §7.1](https://www.rfc-editor.org/rfc/rfc7515#section-7.1),
//! [RFC 7519 §4.1](https://www.rfc-editor.org/rfc/rfc7519#section-4.1) (issuer, subject),
//! [RFC 9110 §11.6.2](https://www.rfc-editor.org/rfc/rfc9110#section-11.6.2) (`Authorization`),
//! [MCP 2025-11-25, Session Hijacking](https://modelcontextprotocol.io/specification/2025-11-25/basic/security_best_practices#session-hijacking).
#![cfg_attr(docsrs, feature(doc_cfg))]

mod bounds;
mod digest;
mod field;
mod jwt;
mod layer;
mod recent;
mod service;
mod source;

pub use bartizan_core::ConfigError;
pub use layer::NamePrincipalLayer;
pub use service::NamePrincipal;

/// The example in the README, as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
