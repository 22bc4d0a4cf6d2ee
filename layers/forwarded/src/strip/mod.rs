//! Strips hop-by-hop fields in front of an HTTP client of your own: the pure function that
//! `bartizan-upstream` uses, as a layer.

mod future;
mod layer;
mod service;

pub use future::ResponseFuture;
pub use layer::StripHopByHopLayer;
pub use service::StripHopByHop;
