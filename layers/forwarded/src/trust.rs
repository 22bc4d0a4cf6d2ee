//! Which peers are trusted to state who the client is.

use std::{net::IpAddr, num::NonZeroU8, str::FromStr};

use bartizan_core::PeerAddr;
use ipnet::{IpNet, Ipv4Net};

use crate::ConfigError;

/// The peers that are trusted to state who the client is. Default: none.
///
/// ```
/// use bartizan_forwarded::TrustedPeers;
///
/// let balancers = TrustedPeers::networks(["10.0.0.0/8".parse()?, "2001:db8:f::/48".parse()?]);
/// let with_sidecar = balancers.and_loopback().and_unix();
/// # let _ = with_sidecar;
/// # Ok::<(), bartizan_forwarded::ConfigError>(())
/// ```
#[must_use]
#[derive(Clone, Debug, Default)]
pub struct TrustedPeers {
    networks: Vec<Network>,
    loopback: bool,
    unix: bool,
}

/// A range of addresses: `10.0.0.0/8`, `2001:db8::/32`, or one address.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Network(IpNet);

/// Which peers are trusted.
#[derive(Clone, Debug)]
pub(crate) enum Trust {
    Peers(TrustedPeers),
    /// This many proxies in front of this server, at any address, including the peer.
    Count(NonZeroU8),
}

impl TrustedPeers {
    /// Trusts the peers in `networks`.
    pub fn networks(networks: impl IntoIterator<Item = Network>) -> Self {
        Self { networks: networks.into_iter().collect(), loopback: false, unix: false }
    }

    /// Trusts every process on this host that connects by TCP, too.
    pub fn and_loopback(self) -> Self {
        Self { loopback: true, ..self }
    }

    /// Trusts every process that may open the unix socket that this server listens on, too.
    pub fn and_unix(self) -> Self {
        Self { unix: true, ..self }
    }

    /// Whether `peer` is one of them.
    #[must_use]
    pub fn include(&self, peer: &PeerAddr) -> bool {
        match peer.ip() {
            Some(ip) => self.contains(ip),
            None => self.unix,
        }
    }

    /// Whether a peer at `ip` is one of them.
    #[must_use]
    pub fn contains(&self, ip: IpAddr) -> bool {
        (self.loopback && ip.is_loopback())
            || self.networks.iter().any(|network| network.0.contains(&ip))
    }
}

impl FromStr for Network {
    type Err = ConfigError;

    /// Reads an address, or an address with a prefix length in bits.
    fn from_str(text: &str) -> Result<Self, ConfigError> {
        let expected = "expected an address or a network such as 10.0.0.0/8 or 2001:db8::/32";
        let network = match text.parse::<IpAddr>() {
            Ok(address) => IpNet::from(address),
            Err(_) => {
                text.parse().map_err(|_| ConfigError::new(format!("{text:?}: {expected}")))?
            }
        };
        if network.trunc() != network {
            let meant = network.trunc();
            return Err(ConfigError::new(format!(
                "{text:?} has bits beyond its prefix: did you mean {meant}?"
            )));
        }
        Ok(Self(unmapped(network)))
    }
}

impl Trust {
    /// Whether `peer` is trusted.
    pub(crate) fn includes(&self, peer: Option<&PeerAddr>) -> bool {
        let peers = match self {
            Self::Count(_) => return true,
            Self::Peers(peers) => peers,
        };
        peer.is_some_and(|peer| peers.include(peer))
    }

    /// Whether the proxy at `ip`, `distance` hops behind the peer, is trusted.
    pub(crate) fn includes_hop(&self, ip: IpAddr, distance: usize) -> bool {
        match self {
            Self::Peers(peers) => peers.contains(ip),
            Self::Count(count) => distance < usize::from(count.get()),
        }
    }

    /// The minimum number of entries in a chain.
    pub(crate) fn shortest_chain(&self) -> usize {
        match self {
            Self::Peers(_) => 0,
            Self::Count(count) => usize::from(count.get()),
        }
    }
}

/// Addresses are compared unmapped, so networks of mapped addresses must be unmapped, too.
fn unmapped(network: IpNet) -> IpNet {
    let IpNet::V6(v6) = network else { return network };
    let mapped = v6.addr().to_ipv4_mapped().zip(v6.prefix_len().checked_sub(96));
    let v4 = mapped.and_then(|(address, bits)| Ipv4Net::new(address, bits).ok());
    v4.map_or(network, IpNet::V4)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Network {
        text.parse().unwrap()
    }

    fn peer(text: &str) -> PeerAddr {
        PeerAddr::new(format!("{text}:1").parse().unwrap())
    }

    #[test]
    fn networks_are_read_and_mistakes_are_told() {
        assert_eq!(network("10.0.0.1"), network("10.0.0.1/32"));
        assert_eq!(network("::ffff:10.0.0.0/104"), network("10.0.0.0/8"));
        for (text, told) in [
            ("10.0.0.1/8", "did you mean 10.0.0.0/8?"),
            ("10.0.0.0/33", "expected an address or a network"),
            ("example.com", "expected an address or a network"),
            ("", "expected an address or a network"),
        ] {
            let error = text.parse::<Network>().unwrap_err().to_string();
            assert!(error.contains(told), "{text}: {error}");
        }
    }

    #[test]
    fn nobody_is_trusted_unless_named() {
        let nobody = Trust::Peers(TrustedPeers::default());
        for peer in [peer("127.0.0.1"), peer("[::1]"), peer("10.0.0.1"), PeerAddr::unix()] {
            assert!(!nobody.includes(Some(&peer)), "{peer:?}");
        }
        let some = TrustedPeers::networks([network("10.0.0.0/8"), network("2001:db8:f::/48")]);
        let trust = Trust::Peers(some.clone());
        for (text, trusted) in [
            ("10.1.2.3", true),
            ("[::ffff:10.0.0.1]", true), // XF-14
            ("[2001:db8:f::1]", true),
            ("[2001:db8:e::1]", false),
            ("11.0.0.1", false),
            ("127.0.0.1", false),
        ] {
            assert_eq!(trust.includes(Some(&peer(text))), trusted, "{text}");
        }
        assert!(!trust.includes(Some(&PeerAddr::unix())) && !trust.includes(None));
        let local = Trust::Peers(some.and_loopback().and_unix());
        assert!(local.includes(Some(&peer("127.0.0.1"))) && local.includes(Some(&peer("[::1]"))));
        assert!(local.includes(Some(&PeerAddr::unix())) && !local.includes(None));
    }
}
