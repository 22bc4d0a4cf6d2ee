//! Reading header fields: lists, hop-by-hop fields, media types, and fields that may appear only once.
//!
//! `HeaderMap::get` returns the first line of a field. Where a field is a list, or must not be repeated, that
//! is the wrong question: a proxy that reads the first line and a server that reads the last one disagree,
//! and an attacker chooses who is right.

pub mod browser;
pub mod hop_by_hop;
mod length;
pub mod list;
pub mod media;
mod only_line;

pub use length::{InvalidLength, settle_length};
pub use only_line::{Repeated, only_line};
