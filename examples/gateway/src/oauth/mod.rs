//! Keeps the requests of one OAuth client on one backend, for authorization servers whose clients, codes and tokens are
//! in the memory of one process. `--pin-oauth`.
//!
//! | file | what it does |
//! |---|---|
//! | `key` | what distinguishes the requests and responses of one client, as a digest |
//! | `shown` | the keys that a request shows: in its query, its form, its credentials |
//! | `named` | the keys that a response names for the first time |
//! | `peek` | reads a small body, and gives it back |
//! | `pins` | which key belongs to which backend, in a store |
//! | `layer` | the Tower layer: finds the backend of a request, and learns from the response |
//!
//! # Rules
//!
//! | request | outcome |
//! |---|---|
//! | with a session id | passed on untouched: its session says where |
//! | shows a key that is known: a bearer token; a code or transaction; a refresh token; a client; a state | to the backend of the first of these |
//! | shows none, or none that is known | to any backend |
//! | shows a key, and the store does not answer | 503 |
//!
//! | response | outcome |
//! |---|---|
//! | redirect with a code, a transaction or else a state that its request did not show, and no error | that, and the client that the request shows, belong to the backend |
//! | JSON to a POST, 2xx, of at most 16 KiB, with a client, an access token or a refresh token | these belong to the backend |
//! | the backend of a known key cannot be reached | the keys of the request are forgotten |
//!
//! A key is a hint where to go and says nothing of who may: a request that lies about it gets the answer of another
//! backend. Only what a backend has made is learned, so that made-up values take no room; when there is no room, nothing
//! more is learned. Of two backends that name one key, the first keeps it.

mod key;
mod layer;
mod named;
mod peek;
mod pins;
mod shown;

pub(crate) use layer::PinOauthLayer;
pub(crate) use pins::Pins;
