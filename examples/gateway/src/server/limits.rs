//! The bounds of what a client may demand of the server.

use std::time::Duration;

/// What a client may demand of the server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// From the first byte of a request head to its last; also from the accept to the first request.
    pub(crate) head: Duration,
    /// How long an HTTP/1.1 connection may wait for its next request.
    pub(crate) idle: Duration,
    /// How large a header section may be, in bytes. Over HTTP/1.1, one of up to twice that size may pass:
    /// hyper reads as much as its buffer has grown to.
    pub(crate) header_bytes: u32,
    /// How long a request body may pause while the stack waits for it.
    pub(crate) body_pause: Duration,
    /// How large a request body may be, in bytes.
    pub(crate) body_bytes: Option<u64>,
    /// How long calls in flight may take after the port is closed.
    pub(crate) drain: Duration,
    /// Whether the server refuses with JSON-RPC errors, unless the request is gRPC.
    pub(crate) speaks_mcp: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(10),
            // Above the 60 s after which common load balancers close an idle connection: the side that closes
            // first must not be the one that a request is on its way to.
            idle: Duration::from_secs(75),
            header_bytes: 64 * 1024,
            body_pause: Duration::from_secs(15),
            body_bytes: None,
            drain: Duration::from_secs(22),
            speaks_mcp: false,
        }
    }
}
