//! A connection that requests are sent on.

use hyper::client::conn::http1::SendRequest;

use super::super::outgoing::OutgoingBody;

/// The sending half of a connection.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) sender: SendRequest<OutgoingBody>,
    /// The epoch of the address that it leads to.
    pub(super) epoch: u64,
}
