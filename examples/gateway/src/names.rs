//! Warnings about backend names that resolve to several servers.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
};

use bartizan::core::Backend;
use tokio::net::lookup_host;

/// Looks up the names of `backends` and logs a warning for each that has several addresses. A name that does not
/// resolve is reported when a request needs it.
pub(crate) async fn check(backends: Vec<Backend>) {
    for backend in backends {
        let authority = backend.authority();
        let host = authority.host();
        // An address; those of IPv6 are in brackets.
        if host.starts_with('[') || host.parse::<IpAddr>().is_ok() {
            continue;
        }
        let Ok(addresses) = lookup_host((host, authority.port_u16().unwrap_or(0))).await else {
            continue;
        };
        if let Some(warning) = warning(&backend, addresses) {
            tracing::warn!("{warning}");
        }
    }
}

/// The warning about `backend`, if its name has several addresses of one family. One IPv4 and one IPv6 address are a
/// single server.
fn warning(backend: &Backend, addresses: impl Iterator<Item = SocketAddr>) -> Option<String> {
    let addresses: BTreeSet<_> = addresses.map(|address| address.ip()).collect();
    let v6 = addresses.iter().filter(|address| address.is_ipv6()).count();
    if v6 <= 1 && addresses.len() - v6 <= 1 {
        return None;
    }
    let count = addresses.len();
    // Enough of them to recognise the servers.
    let shown: Vec<_> = addresses.iter().take(8).map(ToString::to_string).collect();
    let rest = if count > shown.len() { ", …" } else { "" };
    Some(format!(
        "backend {} has {count} addresses ({}{rest}), and only one of them is used: if they are replicas, give \
         each its own --backend; if they lead to the same server, nothing is wrong",
        backend.id().as_str(),
        shown.join(", "),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warning_of(addresses: &[&str]) -> Option<String> {
        let backend = "http://tools:9001".parse().unwrap();
        let addresses = addresses.iter().map(|ip| SocketAddr::new(ip.parse().unwrap(), 9001));
        warning(&backend, addresses)
    }

    #[test]
    fn a_name_of_several_servers_is_warned_of() {
        let warning = warning_of(&["10.0.0.2", "10.0.0.1", "10.0.0.2"]).unwrap();
        assert!(warning.starts_with(
            "backend http://tools:9001 has 2 addresses (10.0.0.1, 10.0.0.2), and only one of them is used"
        ));
        assert!(warning.contains("--backend"));
        assert!(warning_of(&["::1", "::2", "10.0.0.1"]).is_some());
        let many: Vec<_> = (0..100).map(|n| format!("10.0.0.{n}")).collect();
        let many: Vec<_> = many.iter().map(String::as_str).collect();
        let long = warning_of(&many).unwrap();
        assert!(long.contains("has 100 addresses (10.0.0.0, ") && long.contains("10.0.0.7, …)"));
    }

    #[test]
    fn one_server_is_not() {
        for addresses in [&[][..], &["127.0.0.1"], &["::1", "127.0.0.1"], &["10.0.0.1", "10.0.0.1"]]
        {
            assert_eq!(warning_of(addresses), None, "{addresses:?}");
        }
    }
}
