//! HTTP/2: hyper's connections, as many to each backend as its requests need.
//!
//! A peer bounds how many streams it takes over one connection. A request beyond them would wait in the connection,
//! behind streams that may never end; so streams are counted here, and the next connection is made when those that
//! there are have none free. Each stream is counted until both of its halves have ended.

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
