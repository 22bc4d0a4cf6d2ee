//! HTTP/2: hyper's connections, as many to each backend as its requests need.
//!
//! A peer limits the number of streams on one connection. A request beyond the limit would wait in the connection,
//! behind streams that may never end. So streams are counted here, and another connection is made when the existing
//! ones have none free. Each stream is counted until both of its halves have ended.

mod body;
mod connection;
mod dial;
mod future;
mod head;
mod outgoing;
mod pool;
mod stream;
mod upload;

pub(super) use body::Http2Body;
pub(super) use future::{Http2Future, Unsent};
pub(super) use pool::Pool;
pub(crate) use stream::HeldStream;
