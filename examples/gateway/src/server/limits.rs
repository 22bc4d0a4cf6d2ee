//! The limits for each client of the server.

use std::{net::IpAddr, time::Duration};

use bartizan::forwarded::TrustedPeers;

/// The limits for each client of the server.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    /// From the first byte of a request head to its last; for the first request, from the accept.
    pub(crate) head: Duration,
    /// How long an HTTP/1.1 connection may wait for its next request, and how long an HTTP/2 connection may have no
    /// stream.
    pub(crate) idle: Duration,
    /// The maximum size of a header section, in bytes. Over HTTP/1.1, up to twice that size may pass: hyper reads as
    /// much as its buffer has grown to.
    pub(crate) header_bytes: u32,
    /// How long a request body may pause while the stack waits for it.
    pub(crate) body_pause: Duration,
    /// How large a request body may be, in bytes.
    pub(crate) body_bytes: Option<u64>,
    /// How long a client may read nothing while there is something to write; over HTTP/2, per stream.
    pub(crate) stall: Duration,
    /// How many connections there may be.
    pub(crate) connections: usize,
    /// The proxies in front, which may send the requests of many clients over one connection.
    pub(crate) proxies: Proxies,
    /// How long calls in flight may take after the port is closed.
    pub(crate) drain: Duration,
    /// Whether the server refuses with JSON-RPC errors, unless the request is gRPC.
    pub(crate) speaks_mcp: bool,
}

/// Which peers are proxies.
#[derive(Clone, Debug)]
pub(crate) enum Proxies {
    /// The trusted peers.
    Trusted(TrustedPeers),
    /// All peers, because clients cannot reach this server directly.
    All,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(10),
            // Longer than the 60 s after which common load balancers close an idle connection. If the server closed it
            // first, a request might already be on its way.
            idle: Duration::from_secs(75),
            header_bytes: 64 * 1024,
            body_pause: Duration::from_secs(15),
            body_bytes: None,
            stall: Duration::from_secs(60),
            connections: usize::MAX,
            proxies: Proxies::Trusted(TrustedPeers::default()),
            drain: Duration::from_secs(22),
            speaks_mcp: false,
        }
    }
}

impl Limits {
    /// The factor by which the peer at `ip` may reset more requests than other clients.
    pub(super) fn headroom(&self, ip: IpAddr) -> u32 {
        let is_proxy = match &self.proxies {
            Proxies::Trusted(peers) => peers.contains(ip),
            Proxies::All => true,
        };
        if is_proxy { 10 } else { 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_has_headroom() {
        let proxies = TrustedPeers::networks(["10.0.0.0/8".parse().unwrap()]);
        for (proxies, ip, headroom) in [
            (Proxies::Trusted(proxies.clone()), "10.1.2.3", 10),
            (Proxies::Trusted(proxies), "192.0.2.1", 1),
            (Proxies::All, "192.0.2.1", 10),
        ] {
            let limits = Limits { proxies, ..Limits::default() };
            assert_eq!(limits.headroom(ip.parse().unwrap()), headroom, "{ip}");
        }
    }
}
