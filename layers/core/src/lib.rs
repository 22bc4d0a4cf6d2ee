//! The types that Bartizan's layers share: sessions, backends, refusals, the store trait, and the facts that one
//! layer passes to the next.
//!
//! Layers never depend on each other. This crate holds what two or more of them need, and nothing else. It has no
//! runtime, no Tower and no logging.
//!
//! | module | what it holds |
//! |---|---|
//! | [`passage`] | the request extension through which layers pass facts on |
//! | [`session`] | session ids, principals, routes, records, and the shared [`Session`] |
//! | [`store`] | the [`SessionStore`] trait: where records live |
//! | [`backend`] | a server that requests are forwarded to |
//! | [`peer`], [`client`] | the address of the peer; the address of the client, and the origin that it addressed |
//! | [`refusal`] | a response made by a layer, in three formats, and the body of the request that it refuses |
//! | [`failure`] | why a backend gave no response |
//! | [`body`] | response bodies that are forwarded, refused or replaced, and bodies with filtered trailers |
//! | [`ProxyName`] | the name of a proxy in `Via` and `Proxy-Status` |
//! | [`OpeningHead`] | the part of a request that opens a session which is needed to end that session |
//! | [`take_ready`] | the instance of a service that was polled ready |
//! | [`guard`] | the future of a layer that forwards or refuses a request |
//! | [`fields`] | list headers over all field lines, hop-by-hop fields, media types |
//! | [`gauges`] | numbers that a part of the stack keeps about itself, for whatever exports metrics |
//! | [`mcp`] | header names, versions and eras of MCP, and the relevant parts of a message |
//! | `seal` | a ring of keys for data that others store (feature `seal`) |
//! | `axum` | the facts of a request as axum extractors (feature `axum`) |
//! | [`TraceContext`] | the place of a request in a distributed trace |
//! | [`ConfigError`] | the error for an invalid setting, in every layer |
//!
//! # Security
//!
//! Session ids are secrets: their `Debug` output is redacted, and logs contain a [`session::Fingerprint`] instead.
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "axum")]
#[cfg_attr(docsrs, doc(cfg(feature = "axum")))]
pub mod axum;
pub mod backend;
pub mod body;
mod carrier;
pub mod client;
mod config_error;
mod facts;
pub mod failure;
pub mod fields;
pub mod gauges;
pub mod guard;
pub mod mcp;
mod opening;
pub mod passage;
pub mod peer;
mod proxy_name;
mod ready;
pub mod refusal;
#[cfg(feature = "seal")]
#[cfg_attr(docsrs, doc(cfg(feature = "seal")))]
pub mod seal;
pub mod session;
pub mod store;
mod sync;
mod trace;

pub use backend::{Backend, BackendId};
pub use body::{GuardBody, TrailerFilterBody};
pub use carrier::Carrier;
pub use client::{ClientAddr, PublicOrigin};
pub use config_error::ConfigError;
pub use failure::UpstreamFailure;
pub use opening::OpeningHead;
pub use passage::{Passage, Work};
pub use peer::PeerAddr;
pub use proxy_name::ProxyName;
pub use ready::take_ready;
pub use refusal::{Dialect, Reason, Refusal};
pub use session::{Principal, Record, Route, Session, SessionId};
pub use store::{Answer, Key, SessionStore, StoreError};
pub use trace::TraceContext;

/// The example in the README, as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
