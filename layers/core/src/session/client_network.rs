//! The network by which the sessions of a client are counted.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr},
};

/// The network by which the sessions of one client are counted: its IPv4 address, or the first 64 bits of its IPv6
/// address, because one subscriber has all addresses of a /64 ([RFC 6177
/// §2](https://www.rfc-editor.org/rfc/rfc6177#section-2)).
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub struct ClientNetwork(Network);

#[derive(Clone, Copy, Eq, Hash, PartialEq)]
enum Network {
    V4([u8; 4]),
    V6([u8; 8]),
}

impl ClientNetwork {
    /// The network of the client at `ip`. An IPv4 address mapped into IPv6 is unmapped.
    #[must_use]
    pub fn of(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(ip) => Self(Network::V4(ip.octets())),
            IpAddr::V6(ip) => {
                let [a, b, c, d, e, f, g, h, ..] = ip.octets();
                Self(Network::V6([a, b, c, d, e, f, g, h]))
            }
        }
    }

    /// Its bytes: four for IPv4, eight for IPv6.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Network::V4(bytes) => bytes,
            Network::V6(bytes) => bytes,
        }
    }

    /// Reads what [`Self::as_bytes`] returned; `None` for anything else.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let network = match bytes.len() {
            4 => Network::V4(bytes.try_into().ok()?),
            8 => Network::V6(bytes.try_into().ok()?),
            _ => return None,
        };
        Some(Self(network))
    }
}

impl fmt::Debug for ClientNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Network::V4(bytes) => write!(f, "{}", Ipv4Addr::from(bytes)),
            Network::V6([a, b, c, d, e, f_, g, h]) => {
                let groups = [[a, b], [c, d], [e, f_], [g, h]].map(u16::from_be_bytes);
                let [a, b, c, d] = groups;
                write!(f, "{a:x}:{b:x}:{c:x}:{d:x}::/64")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv4_address_counts_alone_and_ipv6_by_64_bits() {
        let of = |ip: &str| ClientNetwork::of(ip.parse().unwrap());
        assert_ne!(of("192.0.2.7"), of("192.0.2.8"));
        assert_eq!(of("192.0.2.7"), of("::ffff:192.0.2.7"));
        assert_eq!(of("2001:db8:0:1::1"), of("2001:db8:0:1:ffff::2"));
        assert_ne!(of("2001:db8:0:1::1"), of("2001:db8:0:2::1"));
        for ip in ["192.0.2.7", "2001:db8:0:1::1"] {
            assert_eq!(ClientNetwork::from_bytes(of(ip).as_bytes()), Some(of(ip)));
        }
        for bytes in [&b""[..], b"123", b"12345", b"1234567890123456"] {
            assert_eq!(ClientNetwork::from_bytes(bytes), None);
        }
        let printed = format!("{:?} {:?}", of("192.0.2.7"), of("2001:db8:0:1::1"));
        assert_eq!(printed, "192.0.2.7 2001:db8:0:1::/64");
    }
}
