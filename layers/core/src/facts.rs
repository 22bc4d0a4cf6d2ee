//! The getters of the facts that a [`Passage`] holds.

use http::{Request, request::Parts};

use crate::{
    Backend, Carrier, ClientAddr, Dialect, Passage, PeerAddr, Principal, PublicOrigin, Session,
};

impl PeerAddr {
    /// The peer of the request, if the server or a layer attached it.
    pub fn of(carrier: &impl Carrier) -> Option<&Self> {
        Passage::of(carrier)?.peer()
    }

    /// Attaches the peer to the request. This discards what a layer decided about the forwarding fields of another
    /// peer.
    pub fn attach(self, carrier: &mut impl Carrier) {
        Passage::with(carrier, |passage| {
            passage.peer = Some(self);
            passage.is_sanitized = false;
        });
    }
}

impl ClientAddr {
    /// The client address of the request, if a layer established it.
    pub fn of(carrier: &impl Carrier) -> Option<&Self> {
        Passage::of(carrier)?.client.as_ref()
    }

    /// Attaches the client address to the request.
    pub fn attach(self, carrier: &mut impl Carrier) {
        Passage::with(carrier, |passage| passage.client = Some(self));
    }
}

impl PublicOrigin {
    /// What the client addressed, if a layer established it.
    pub fn of(carrier: &impl Carrier) -> Option<&Self> {
        Passage::of(carrier)?.origin.as_ref()
    }

    /// Attaches it to the request.
    pub fn attach(self, carrier: &mut impl Carrier) {
        Passage::with(carrier, |passage| passage.origin = Some(self));
    }
}

impl Principal {
    /// The caller of the request, if a layer named one.
    pub fn of(carrier: &impl Carrier) -> Option<&Self> {
        Passage::of(carrier)?.principal()
    }

    /// Attaches the caller to the request.
    pub fn attach(self, carrier: &mut impl Carrier) {
        Passage::with(carrier, |passage| passage.set_principal(self));
    }
}

impl Session {
    /// The session that the request belongs to, if a layer found it to be live.
    pub fn of(carrier: &impl Carrier) -> Option<&Self> {
        Passage::of(carrier)?.session()
    }
}

impl Backend {
    /// The backend that the request must go to, if a layer chose one.
    pub fn of(carrier: &impl Carrier) -> Option<&Self> {
        Passage::of(carrier)?.backend()
    }

    /// Sends the request to this backend: layers that choose one keep this choice.
    pub fn attach(self, carrier: &mut impl Carrier) {
        Passage::with(carrier, |passage| passage.set_backend(self));
    }
}

impl Dialect {
    /// The format for `request`: as an outer layer decided, or else by its header fields.
    pub fn of<B>(request: &Request<B>) -> Self {
        match Passage::of(request).and_then(Passage::dialect) {
            Some(dialect) => dialect.clone(),
            None => Self::detect(request.headers()),
        }
    }

    /// The same for a request of which this is the head.
    #[must_use]
    pub fn of_parts(head: &Parts) -> Self {
        match Passage::of(head).and_then(Passage::dialect) {
            Some(dialect) => dialect.clone(),
            None => Self::detect(&head.headers),
        }
    }

    /// The format for `request` in a layer that may have a `fixed` format.
    pub fn fixed_or_of<B>(fixed: Option<&Self>, request: &Request<B>) -> Self {
        match fixed {
            Some(dialect) => dialect.clone().unless_grpc(request.headers()),
            None => Self::of(request),
        }
    }
}
