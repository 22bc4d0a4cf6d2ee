//! The edge: one span per request.

mod body;
mod future;
mod layer;
mod service;

pub use body::TracedBody;
pub use future::ResponseFuture;
pub use layer::TraceRequestsLayer;
pub use service::TraceRequests;
