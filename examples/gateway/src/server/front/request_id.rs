//! The id of each request, for tower-http's `SetRequestIdLayer`.

use bartizan::{
    core::{PeerAddr, fields::only_line},
    forwarded::TrustedPeers,
};
use http::{HeaderName, Request};

/// Which field holds the id, and which peers may set it.
#[derive(Clone, Debug)]
pub(crate) struct RequestIds {
    name: HeaderName,
    /// `None` if all peers are trusted proxies.
    trusted: Option<TrustedPeers>,
}

impl RequestIds {
    /// Keeps the id in the field `name` if a peer in `trusted` sent it; with `None`, from any peer.
    pub(crate) const fn new(name: HeaderName, trusted: Option<TrustedPeers>) -> Self {
        Self { name, trusted }
    }

    pub(super) const fn name(&self) -> &HeaderName {
        &self.name
    }

    pub(super) fn trust(&self, peer: &PeerAddr) -> bool {
        self.trusted.as_ref().is_none_or(|trusted| trusted.include(peer))
    }

    /// Removes the id unless it is a single line from a trusted peer, so that the request gets a
    /// new one.
    pub(super) fn keep_if<B>(&self, is_trusted: bool, mut request: Request<B>) -> Request<B> {
        let is_one = matches!(only_line(request.headers(), &self.name), Ok(Some(_)));
        if !(is_trusted && is_one) {
            request.headers_mut().remove(&self.name);
        }
        request
    }
}
