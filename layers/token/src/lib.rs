//! Session records as sealed tokens that clients keep, instead of a store.
//!
//! The session id that a client gets is a token. It contains the backend, the backend's id of the session and its
//! expiry, sealed for one route and principal. Any replica with the keys can read it. Nothing is stored, so nothing
//! can be lost with a store.
//!
//! | operation | outcome |
//! |---|---|
//! | `insert_if_absent` | `Inserted`: the session has a token for its id, and the backend's id is in the record |
//! | `get` | the session, if the token was sealed with one of the keys for this route and principal, and its lifetime is not over |
//! | `remove` | ends streams of the session in this process; with [`TokenStore::remembering_ends`], ends it until its lifetime is over |
//! | `remove_if_unchanged` | the same: a token never changes |
//! | `replace` | `Changed`: a token that was handed out cannot be changed |
//! | `touch` | nothing: there is no idle time |
//!
//! # When to use it, and when not
//!
//! If pins must survive restarts and every replica must know them, but there is no store. It cannot:
//!
//! - **End a session early.** DELETE reaches the backend and ends the streams of the session in this process, but the
//!   token stays valid, and the backend answers 404 from then on. A second store can remember which sessions have
//!   ended; another replica then ends the streams of such a session when it gets the next request of it.
//! - **Notice that a session is idle**, limit the number of sessions, or count them: balance with round robin.
//! - **Move a session** to another backend.
//!
//! ```
//! use bartizan_session::ValidateSessionLayer;
//! use bartizan_token::{KeyRing, TokenStore};
//!
//! # fn main() -> Result<(), bartizan_token::ConfigError> {
//! # let (new, old) = ([7; 32], [8; 32]);
//! let keys = KeyRing::new(2, &new)?.accept(1, &old)?;
//! let layer = ValidateSessionLayer::mcp(TokenStore::new(keys));
//! # let _ = layer;
//! # Ok(())
//! # }
//! ```
//!
//! # Failure modes
//!
//! The store itself cannot fail. If a store that remembers ends does not answer, the result is an error (503), never
//! "ended" and never "live". A session is refused when it opens if the backend's id is so long that the token would
//! exceed 1024 bytes.
//!
//! # Security
//!
//! XChaCha20-Poly1305 with a random nonce of 24 bytes. A token is sealed for its route and principal, so it is
//! unknown when another caller uses it. The backend's own id of the session never reaches the client. Keys are 32
//! random bytes, never derived from a password.
//!
//! # Cost
//!
//! One decryption per lookup and a few small allocations; no round trip. A session that a request or a stream uses in
//! this process takes some 300 bytes. A token of a session with an id of 36 bytes on `http://10.0.0.7:9001` has 148
//! bytes.
//!
//! # Sources
//!
//! [XChaCha20-Poly1305](https://datatracker.ietf.org/doc/html/draft-irtf-cfrg-xchacha-03).
#![cfg_attr(docsrs, feature(doc_cfg))]

mod content;
mod store;

pub use bartizan_core::{ConfigError, seal::KeyRing};
pub use store::{NotEnded, Noted, NotedEnd, TokenStore};

/// The example in the README, as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
