//! The backends: one span per try.

mod future;
mod layer;
mod service;

pub use future::TryFuture;
pub use layer::TraceBackendsLayer;
pub use service::TraceBackends;
