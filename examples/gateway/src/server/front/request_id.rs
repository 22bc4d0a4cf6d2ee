//! The id of each request, for tower-http's `SetRequestIdLayer`.

use bartizan::{
    core::{PeerAddr, fields::only_line},
    forwarded::TrustedPeers,
};
use http::{HeaderName, Request};

/// In which field the id is, and whose is kept.
#[derive(Clone, Debug)]
pub(crate) struct RequestIds {
    name: HeaderName,
    /// None: all peers are trusted proxies.
    trusted: Option<TrustedPeers>,
}

impl RequestIds {
    /// Keeps the id that a peer in `trusted` sends in the field `name`, or that any peer sends.
    pub(crate) const fn new(name: HeaderName, trusted: Option<TrustedPeers>) -> Self {
        Self { name, trusted }
    }

    pub(super) const fn name(&self) -> &HeaderName {
        &self.name
    }

    pub(super) fn trust(&self, peer: &PeerAddr) -> bool {
        self.trusted.as_ref().is_none_or(|trusted| trusted.include(peer))
    }

    /// Removes an id that is not one line of a trusted peer, so that the request gets a new one.
    pub(super) fn keep_if<B>(&self, is_trusted: bool, mut request: Request<B>) -> Request<B> {
        let is_one = matches!(only_line(request.headers(), &self.name), Ok(Some(_)));
        if !(is_trusted && is_one) {
            request.headers_mut().remove(&self.name);
        }
        request
    }
}
