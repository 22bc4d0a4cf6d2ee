//! A stream that is counted.

use std::sync::{Arc, Weak};

use super::{pool::Pool, upload::Upload};

/// One of the streams of a connection. When it is dropped, another request may use it.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) pool: Weak<Pool>,
    pub(super) connection: u64,
    /// The progress of its request body.
    pub(super) upload: Upload,
}

/// A stream that has become a tunnel: in the extensions of the response that agrees to it.
#[derive(Clone, Debug)]
pub(crate) struct HeldStream {
    _stream: Arc<Stream>,
}

impl Stream {
    pub(super) fn new(pool: Weak<Pool>, connection: u64) -> Self {
        Self { pool, connection, upload: Upload::new() }
    }
}

impl HeldStream {
    pub(super) const fn new(stream: Arc<Stream>) -> Self {
        Self { _stream: stream }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if let Some(pool) = self.pool.upgrade() {
            pool.release(self.connection);
        }
    }
}
