//! The address of the client and the origin that it addressed, as far as they could be established.

use std::net::IpAddr;

use http::{HeaderValue, uri::Scheme};

/// The address of the client, as far as it could be established.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ClientAddr {
    ip: IpAddr,
    port: Option<u16>,
    evidence: Evidence,
}

/// The scheme, host and port that the client addressed, before any proxy rewrote them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PublicOrigin {
    scheme: Scheme,
    host: Option<HeaderValue>,
    port: Option<u16>,
    // Boxed, because it is mostly absent and moves with every request.
    prefix: Option<Box<HeaderValue>>,
    evidence: Evidence,
}

/// The source of what is known about the client.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Evidence {
    /// The connection shows it.
    Peer,
    /// A trusted proxy said so.
    Forwarded,
}

impl ClientAddr {
    /// States a client address, its port where known, and how it was established.
    #[must_use]
    pub fn new(ip: IpAddr, port: Option<u16>, evidence: Evidence) -> Self {
        Self { ip: ip.to_canonical(), port, evidence }
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

impl PublicOrigin {
    /// States what the client addressed by its scheme alone, and how that was established.
    #[must_use]
    pub fn new(scheme: Scheme, evidence: Evidence) -> Self {
        Self { scheme, host: None, port: None, prefix: None, evidence }
    }

    /// Adds the host, with a port where the client named one.
    #[must_use]
    pub fn with_host(self, host: Option<HeaderValue>) -> Self {
        Self { host, ..self }
    }

    /// Adds the port.
    #[must_use]
    pub fn with_port(self, port: Option<u16>) -> Self {
        Self { port, ..self }
    }

    /// Adds the path prefix that was stripped on the way.
    #[must_use]
    pub fn with_prefix(self, prefix: Option<HeaderValue>) -> Self {
        Self { prefix: prefix.map(Box::new), ..self }
    }

    /// Replaces the path prefix that was stripped on the way.
    pub fn set_prefix(&mut self, prefix: Option<HeaderValue>) {
        self.prefix = prefix.map(Box::new);
    }

    /// `http` or `https`.
    #[must_use]
    pub fn scheme(&self) -> &Scheme {
        &self.scheme
    }

    /// The host, with the port where the client named one.
    #[must_use]
    pub fn host(&self) -> Option<&HeaderValue> {
        self.host.as_ref()
    }

    /// The port: the one that was stated, else the one in the host, else the one that goes with the
    /// scheme.
    #[must_use]
    pub fn port(&self) -> u16 {
        let of_scheme = if self.scheme == Scheme::HTTPS { 443 } else { 80 };
        self.port.or_else(|| port_of(self.host.as_ref()?)).unwrap_or(of_scheme)
    }

    /// The path prefix that was stripped on the way.
    #[must_use]
    pub fn prefix(&self) -> Option<&HeaderValue> {
        self.prefix.as_deref()
    }

    /// How it was established.
    #[must_use]
    pub fn evidence(&self) -> Evidence {
        self.evidence
    }
}

/// The text after the last colon of a host. A colon within brackets belongs to an address.
fn port_of(host: &HeaderValue) -> Option<u16> {
    let (_, port) = host.to_str().ok()?.rsplit_once(':')?;
    let is_number = port.bytes().all(|byte| byte.is_ascii_digit());
    port.parse().ok().filter(|port| is_number && *port != 0)
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    #[test]
    fn a_mapped_client_is_unmapped() {
        let client = ClientAddr::new("::ffff:192.0.2.7".parse().unwrap(), None, Evidence::Peer);
        assert_eq!(client.ip(), "192.0.2.7".parse::<IpAddr>().unwrap());
        let mut request = Request::new(());
        assert!(ClientAddr::of(&request).is_none());
        client.attach(&mut request);
        assert_eq!(ClientAddr::of(&request), Some(&client));
    }

    #[test]
    fn a_port_that_nobody_stated_is_the_schemes() {
        let origin = PublicOrigin::new(Scheme::HTTPS, Evidence::Peer);
        assert_eq!(origin.port(), 443);
        assert_eq!(origin.with_port(Some(8443)).port(), 8443);
        let of = |host| {
            let host = Some(HeaderValue::from_static(host));
            PublicOrigin::new(Scheme::HTTP, Evidence::Peer).with_host(host).port()
        };
        assert_eq!(
            (of("a:81"), of("[::1]:81"), of("[::1]"), of("a"), of("a:")),
            (81, 81, 80, 80, 80)
        );
        assert_eq!((of("a:+81"), of("a:0"), of("a:65536")), (80, 80, 80));
    }
}
