//! Reading header fields: lists, hop-by-hop fields, media types, and fields that may appear only once.
//!
//! `HeaderMap::get` returns the first line of a field. For a field that is a list or must not be repeated, that is not
//! enough: if a proxy reads the first line and a server the last one, they disagree, and an attacker can choose what
//! each of them sees.

pub mod browser;
pub mod hop_by_hop;
mod length;
pub mod list;
pub mod media;
mod only_line;

pub use length::{InvalidLength, settle_length};
pub use only_line::{Repeated, only_line};
