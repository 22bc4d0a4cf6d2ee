//! The peer of a connection.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use http::HeaderValue;

/// The peer of the connection on which a request arrived, with its address as text, formatted once
/// per connection.
#[derive(Clone, Debug)]
pub struct PeerAddr(Arc<Peer>);

#[derive(Clone, Debug)]
struct Peer {
    /// `None` for a unix socket.
    addr: Option<SocketAddr>,
    text: Option<HeaderValue>,
    /// The local address of the connection, if the server stated it.
    local: Option<SocketAddr>,
    is_over_tls: bool,
}

impl PeerAddr {
    /// Takes the address of an accepted connection. An IPv4 address mapped into IPv6 is unmapped.
    #[must_use]
    pub fn new(addr: SocketAddr) -> Self {
        let addr = unmapped(addr);
        let text = HeaderValue::try_from(addr.ip().to_string()).ok();
        Self(Arc::new(Peer { addr: Some(addr), text, local: None, is_over_tls: false }))
    }

    /// The peer at the other end of a unix socket, which has no address.
    #[must_use]
    pub fn unix() -> Self {
        Self(Arc::new(Peer { addr: None, text: None, local: None, is_over_tls: false }))
    }

    /// States the server's own end of the connection, which the socket shows as its local address. An IPv4 address
    /// mapped into IPv6 is unmapped. Default: not known.
    #[must_use]
    pub fn accepted_at(self, local: SocketAddr) -> Self {
        Self(Arc::new(Peer { local: Some(unmapped(local)), ..(*self.0).clone() }))
    }

    /// States that the connection is encrypted, so that the client's URIs are `https`.
    #[must_use]
    pub fn over_tls(self) -> Self {
        Self(Arc::new(Peer { is_over_tls: true, ..(*self.0).clone() }))
    }

    /// Address and port; `None` for a unix socket.
    #[must_use]
    pub fn addr(&self) -> Option<SocketAddr> {
        self.0.addr
    }

    /// The IP address; `None` for a unix socket.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        self.0.addr.map(|addr| addr.ip())
    }

    /// The IP address as a field value (IPv6 without brackets).
    #[must_use]
    pub fn ip_text(&self) -> Option<&HeaderValue> {
        self.0.text.as_ref()
    }

    /// The address and port at which the server accepted the connection, if it stated them.
    #[must_use]
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.0.local
    }

    /// Whether the connection is encrypted.
    #[must_use]
    pub fn is_over_tls(&self) -> bool {
        self.0.is_over_tls
    }
}

fn unmapped(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip().to_canonical(), addr.port())
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    #[test]
    fn a_mapped_peer_is_unmapped_and_its_text_has_no_port() {
        let peer = PeerAddr::new("[::ffff:192.0.2.7]:80".parse().unwrap());
        assert_eq!(peer.addr(), "192.0.2.7:80".parse().ok());
        assert_eq!(peer.ip_text().unwrap(), "192.0.2.7");
        let mut request = Request::new(());
        assert!(PeerAddr::of(&request).is_none());
        peer.over_tls().attach(&mut request);
        let peer = PeerAddr::of(&request).unwrap();
        assert_eq!(peer.addr().unwrap().port(), 80);
        assert!(peer.is_over_tls());
        assert!(peer.local_addr().is_none());
        let local = peer.clone().accepted_at("[::ffff:192.0.2.8]:81".parse().unwrap());
        assert_eq!(local.local_addr(), "192.0.2.8:81".parse().ok());
        assert!(local.is_over_tls() && local.addr() == peer.addr());
        assert!(PeerAddr::unix().ip_text().is_none() && !PeerAddr::unix().is_over_tls());
    }
}
