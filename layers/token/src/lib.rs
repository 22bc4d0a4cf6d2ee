//! Session records in the hands of their clients: sealed tokens instead of a store.
//!
//! The session id that a client gets is a token: which backend holds the session, by which id it knows it,
//! and until when, sealed for its route and principal. Any replica with the keys reads it; nothing is
//! stored, and nothing can be lost with a store.
//!
//! | operation | outcome |
//! |---|---|
//! | `insert_if_absent` | `Inserted`: the session has a token for its id, and the backend's id is in the record |
//! | `get` | the session, if the token was sealed with one of the keys for this route and principal, and its lifetime is not over |
//! | `remove` | nothing; with [`TokenStore::remembering_ends`], ends it until its lifetime is over |
//! | `remove_if_unchanged` | the same: a token never changes |
//! | `replace` | `Changed`: a token that is out cannot be changed |
//! | `touch` | nothing: no idle time runs |
//!
//! # When to use it, and when not
//!
//! Where pins must survive restarts and be known to every replica, and there is no store to be had. What it
//! cannot do:
//!
//! - **End a session early.** DELETE reaches the backend, and the token still names it; the backend answers
//!   404 then. With a store beside it, ends are kept there, and nothing else.
//! - **Notice that a session is idle**, cap the number of sessions, or count them: balance by turns.
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
//! None of its own. A store that remembers ends and cannot answer is an error: 503, never "ended" and never
//! "live". A backend's id so long that the token would pass 1024 bytes is refused when the session opens.
//!
//! # Security
//!
//! XChaCha20-Poly1305 with a random nonce of 24 bytes; route and principal are what it is sealed for, so
//! that a token shown by somebody else is unknown. The id by which the backend knows the session never
//! reaches the client. Keys are 32 random bytes; none is derived from a password.
//!
//! # Cost
//!
//! One decryption per look-up and four small allocations; no round trip. A token of a session with an id of
//! 36 bytes on `http://10.0.0.7:9001` has 148 bytes.
//!
//! # Sources
//!
//! [XChaCha20-Poly1305](https://datatracker.ietf.org/doc/html/draft-irtf-cfrg-xchacha-03).
#![cfg_attr(docsrs, feature(doc_cfg))]

mod content;
mod store;

pub use bartizan_core::{ConfigError, seal::KeyRing};
pub use store::{NotEnded, Noted, NotedEnd, TokenStore};
