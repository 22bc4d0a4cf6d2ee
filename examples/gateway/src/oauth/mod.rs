//! Keeps the requests of one OAuth client on one backend (`--pin-oauth`), for authorization servers that keep clients,
//! codes and tokens in the memory of one process.
//!
//! | file | what it does |
//! |---|---|
//! | `key` | identifies the requests and responses of one client, as a digest |
//! | `shown` | the keys that a request shows: in its query, its form, its credentials |
//! | `named` | the keys that a response names for the first time |
//! | `peek` | reads a small body, and restores it |
//! | `pins` | which key belongs to which backend, in a store |
//! | `layer` | the Tower layer: finds the backend of a request, and learns from the response |
//!
//! # Rules
//!
//! | request | outcome |
//! |---|---|
//! | with a session id | passed on unchanged: its session decides the backend |
//! | has a known key: a bearer token; a code or transaction; a refresh token; a client; a state | to the backend of the first of these |
//! | has no key, or no known key | to any backend |
//! | has a key, but the store does not answer | 503 |
//!
//! | response | outcome |
//! |---|---|
//! | redirect, without an error, with a code, a transaction or else a state that its request did not have | this key and the client of the request now belong to the backend |
//! | JSON to a POST, 2xx, of at most 16 KiB, with a client, an access token or a refresh token | these now belong to the backend |
//! | the backend of a known key cannot be reached | the keys of the request are forgotten |
//!
//! A key only routes a request and authorises nothing: a request with a false key gets the answer of another backend.
//! Keys are learned only from backends, so a client cannot fill the store with made-up values; when the store is full,
//! no more keys are learned. If two backends name the same key, it stays with the first.

mod key;
mod layer;
mod named;
mod peek;
mod pins;
mod shown;

pub(crate) use layer::PinOauthLayer;
pub(crate) use pins::Pins;
