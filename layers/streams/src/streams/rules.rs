//! How many streams there may be.

use std::num::NonZeroUsize;

/// What to do with a request to listen in a session that already has a listening stream.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum SecondStream {
    /// It is forwarded: the transport of MCP allows several
    /// ([MCP 2025-11-25, Multiple Connections](https://modelcontextprotocol.io/specification/2025-11-25/basic/transports#multiple-connections)).
    #[default]
    Allowed,
    /// It is forwarded, and the earlier one ends: the last one in wins. For clients that come back while
    /// their old connection is not known to be dead. The earlier one ends when the request arrives, so that a backend
    /// which allows only one does not keep refusing the new one.
    Replaces,
    /// It is refused with 409.
    Refused,
}

/// How many streams there may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) max: NonZeroUsize,
    pub(crate) max_per_session: NonZeroUsize,
    pub(crate) second: SecondStream,
}
