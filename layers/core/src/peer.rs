//! Who connected, and who the client is.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use http::{HeaderValue, Request};

use crate::Passage;

/// The other end of the connection that a request came on, with its text, made once per connection.
#[derive(Clone, Debug)]
pub struct PeerAddr(Arc<Peer>);

#[derive(Debug)]
struct Peer {
    addr: SocketAddr,
    text: HeaderValue,
}

/// The address of the client as far as it could be established.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ClientAddr {
    ip: IpAddr,
    port: Option<u16>,
    evidence: Evidence,
}

/// How a [`ClientAddr`] was established.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Evidence {
    /// It is the peer of the connection.
    Peer,
    /// A trusted proxy said so.
    Forwarded,
}

impl PeerAddr {
    /// Takes the address of an accepted connection. An IPv4 address mapped into IPv6 is unmapped.
    #[must_use]
    pub fn new(addr: SocketAddr) -> Self {
        let addr = SocketAddr::new(addr.ip().to_canonical(), addr.port());
        // An address prints as ASCII, so the fallback is never met.
        let text = HeaderValue::try_from(addr.ip().to_string())
            .unwrap_or(HeaderValue::from_static("unknown"));
        Self(Arc::new(Peer { addr, text }))
    }

    /// The peer of `request`, if the server or a layer attached it.
    pub fn of<B>(request: &Request<B>) -> Option<&Self> {
        Passage::of(request)?.peer.as_ref()
    }

    /// Hands the peer on with `request`.
    pub fn attach<B>(self, request: &mut Request<B>) {
        Passage::with(request, |passage| passage.peer = Some(self));
    }

    /// Address and port.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.0.addr
    }

    /// The IP address as a field value (IPv6 without brackets).
    #[must_use]
    pub fn ip_text(&self) -> &HeaderValue {
        &self.0.text
    }
}

impl ClientAddr {
    /// States a client address, its port where known, and how it was established.
    #[must_use]
    pub fn new(ip: IpAddr, port: Option<u16>, evidence: Evidence) -> Self {
        Self { ip: ip.to_canonical(), port, evidence }
    }

    /// The client address of `request`, if a layer established it.
    pub fn of<B>(request: &Request<B>) -> Option<&Self> {
        Passage::of(request)?.client.as_ref()
    }

    /// Hands the client address on with `request`.
    pub fn attach<B>(self, request: &mut Request<B>) {
        Passage::with(request, |passage| passage.client = Some(self));
    }

    /// The address.
    #[must_use]
    pub fn ip(&self) -> IpAddr {
        self.ip
    }

    /// The port, where known.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// How it was established.
    #[must_use]
    pub fn evidence(&self) -> Evidence {
        self.evidence
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapped_peer_is_unmapped_and_its_text_has_no_port() {
        let peer = PeerAddr::new("[::ffff:192.0.2.7]:80".parse().unwrap());
        assert_eq!(peer.addr(), "192.0.2.7:80".parse().unwrap());
        assert_eq!(peer.ip_text(), "192.0.2.7");
        let mut request = Request::new(());
        assert!(PeerAddr::of(&request).is_none());
        peer.attach(&mut request);
        assert_eq!(PeerAddr::of(&request).unwrap().addr().port(), 80);
    }
}
