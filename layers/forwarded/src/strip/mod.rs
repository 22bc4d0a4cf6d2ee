//! Strips the fields of one hop, for people with a client of their own: the same pure function as
//! `bartizan-upstream` uses, as a layer.

mod future;
mod layer;
mod service;

pub use future::ResponseFuture;
pub use layer::StripHopByHopLayer;
pub use service::StripHopByHop;
