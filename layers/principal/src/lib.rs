//! Names the caller of a request, so that a session belongs to the caller that opened it.
//!
//! A session id alone proves nothing: a caller that has learned the id of another one's session uses it with a
//! token of its own, which the backend finds valid. With this layer above the one that validates sessions, such
//! an id is unknown (404): sessions are found by their id *and* their [`Principal`](bartizan_core::Principal).
//!
//! # It verifies nothing
//!
//! **The layer reads names out of credentials; it checks neither signature nor expiry nor audience.** Anybody
//! can write a token that names somebody else. That is safe where the backend verifies the credentials of
//! *each* request, since a forged token gets to the backend with the stolen session id and is refused there.
//! It is not authentication: never base a decision on a principal of this layer that the backend does not
//! check again, and never put it in front of servers that take everybody. If you verify tokens yourself, use
//! `Principal::attach` instead: a principal that a layer above has named is left as it is.
//!
//! # When to use it, and when not
//!
//! In front of backends that verify tokens and keep sessions, as servers of the Model Context Protocol with
//! authorization do. Not where one session is shared by the tokens of several users on purpose: each of them would
//! be another caller.
//!
//! # Rules
//!
//! | source | request | principal | inner service called? |
//! |---|---|---|---|
//! | [`jwt`](NamePrincipalLayer::jwt) | `Authorization: Bearer` and a JWT with `iss` and `sub` | these two, unverified: a refreshed token is the same caller | yes |
//! | | other credentials: an opaque token, another scheme, a JWT without either, encrypted or malformed | as for `authorization` | yes |
//! | [`authorization`](NamePrincipalLayer::authorization) | credentials | a digest of the value: another token is another caller | yes |
//! | both | empty credentials | a digest of nothing | yes |
//! | | two lines of `Authorization` | a digest of both, which is nobody that one of them names | yes |
//! | | no credentials | none | yes |
//! | [`header`](NamePrincipalLayer::header) | the field, from a trusted peer | its value | yes |
//! | | two lines of it, from a trusted peer | a digest of both | yes |
//! | | the field, from any other peer | none; the field is removed | yes |
//! | | absent or empty | none | yes |
//! | | spelled with `_` for `-` | removed, whatever the peer | yes |
//! | any | a principal that a layer above has named | left as it is | yes |
//! | [`none`](NamePrincipalLayer::none) | any | left as it is | yes |
//!
//! No request is refused: the layer fails closed by naming a caller that has no sessions, never by naming none.
//! A caller without a principal owns what was opened without credentials, so that credentials that cannot be
//! read must not count as none. An opaque token during a migration to JWTs works as it would with
//! `authorization`.
//!
//! A name is at most 512 bytes long, issuer and subject together, and the payload of a token 8 KiB: what is longer is
//! named by its digest, too.
//!
//! # Sessions that were opened without credentials
//!
//! Some servers open a session for anybody and ask for a token when a call needs one (401, and the client comes
//! back with a token). Such a session is found by a caller with credentials, too, and belongs to the first one
//! whose request in it is answered with 2xx: the backend has accepted the credentials then. From then on it is
//! unknown to all others, and to callers without credentials. Of several at once, one wins.
//! [`binds_anonymous(false)`](NamePrincipalLayer::binds_anonymous) switches that off.
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
//! async fn who(request: Request<Body>) -> String {
//!     Principal::of(&request).map_or("nobody", Principal::subject).to_owned()
//! }
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
//! The layer depends on nothing that can be down, and makes neither responses nor errors of its own.
//!
//! # Security
//!
//! A digest is SHA-256 without a key, so that all replicas name a caller alike, and a replica that was restarted as
//! well. From the digest of a token nobody finds the token, which has too much entropy to be guessed. That does not
//! hold for the passwords of people (`Basic`); but a digest stays in the process, and `RedisStore` writes it down
//! only hashed together with the session id, a secret. Issuers that begin with `bartizan:` are this crate's:
//! a token that states one is not read.
//!
//! Credentials are never printed. The last 256 values of each thread, of at most 4 KiB each, are kept in memory with
//! the names that they were read to, and zeroed when others take their place.
//!
//! # Cost
//!
//! No allocation for a value that this thread has seen lately, if a layer above has made the
//! [`Passage`](bartizan_core::Passage) of the request (`tests/allocations.rs`); else one decoding, or one SHA-256,
//! and some allocations. [`header`](NamePrincipalLayer::header) looks at all names, too. The figures are in
//! `benches/README.md`.
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
