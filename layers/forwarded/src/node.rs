//! A node of `Forwarded` ([RFC 7239 §6](https://www.rfc-editor.org/rfc/rfc7239#section-6)), and the
//! addresses of `X-Forwarded-For`. Pure.
//!
//! ```text
//! node     = nodename [ ":" node-port ]
//! nodename = IPv4address / "[" IPv6address "]" / "unknown" / obfnode
//! port     = 1*5DIGIT / obfport        obfnode, obfport = "_" 1*( ALPHA / DIGIT / "." / "_" / "-" )
//! ```
//!
//! Refused on purpose: zones of IPv6 addresses, numbers that look octal (`010.0.0.1`), host names. An
//! IPv4 address mapped into IPv6 is unmapped.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// One hop on the path from the client.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Hop {
    pub(crate) ip: IpAddr,
    pub(crate) port: Option<u16>,
}

/// How a proxy names its client.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Node {
    Hop(Hop),
    /// `unknown`, or a name that only the proxy understands: valid, but not an address.
    Hidden,
}

/// Reads a node of `Forwarded`, without its quotes.
pub(crate) fn parse(bytes: &[u8]) -> Option<Node> {
    let (name, port) = split(str::from_utf8(bytes).ok()?)?;
    let port = match port {
        Some(port) => node_port(port)?,
        None => None,
    };
    Some(match name {
        Name::Ip(ip) => Node::Hop(Hop { ip, port }),
        Name::Hidden => Node::Hidden,
    })
}

/// Reads a member of `X-Forwarded-For`: an address, alone or with a port. IPv6 may stand in brackets,
/// and must if a port follows.
pub(crate) fn parse_address(bytes: &[u8]) -> Option<Hop> {
    let text = str::from_utf8(bytes).ok()?;
    if let Some(ip) = ipv4(text).or_else(|| ipv6(text)) {
        return Some(Hop { ip, port: None });
    }
    match parse(bytes)? {
        Node::Hop(hop) => Some(hop),
        Node::Hidden => None,
    }
}

fn split(text: &str) -> Option<(Name, Option<&str>)> {
    if let Some(rest) = text.strip_prefix('[') {
        let (address, rest) = rest.split_once(']')?;
        let port = if rest.is_empty() { None } else { Some(rest.strip_prefix(':')?) };
        return Some((Name::Ip(ipv6(address)?), port));
    }
    match text.split_once(':') {
        Some((name, port)) => Some((Name::of(name)?, Some(port))),
        None => Some((Name::of(text)?, None)),
    }
}

enum Name {
    Ip(IpAddr),
    Hidden,
}

impl Name {
    fn of(text: &str) -> Option<Self> {
        if text.eq_ignore_ascii_case("unknown") || is_obfuscated(text) {
            return Some(Self::Hidden);
        }
        ipv4(text).map(Self::Ip)
    }
}

/// Whether `text` is an obfuscated name or port.
pub(crate) fn is_obfuscated(text: &str) -> bool {
    let is_char = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    text.strip_prefix('_').is_some_and(|rest| !rest.is_empty() && rest.bytes().all(is_char))
}

/// A port as a number, or `None` if it is obfuscated, zero or out of range.
#[allow(clippy::option_option, reason = "the outer one says whether it is a port at all")]
fn node_port(text: &str) -> Option<Option<u16>> {
    if is_obfuscated(text) {
        return Some(None);
    }
    let is_number = (1..=5).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok().filter(|port| *port != 0))
}

fn ipv4(text: &str) -> Option<IpAddr> {
    text.parse::<Ipv4Addr>().ok().map(IpAddr::V4)
}

fn ipv6(text: &str) -> Option<IpAddr> {
    text.parse::<Ipv6Addr>().ok().map(|ip| IpAddr::V6(ip).to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hop(ip: &str, port: Option<u16>) -> Node {
        Node::Hop(Hop { ip: ip.parse().unwrap(), port })
    }

    /// The nodes of `element.rs`, without the quotes.
    #[test]
    fn nodes_are_addresses_or_hidden() {
        for (text, expected) in [
            ("192.0.2.43", Some(hop("192.0.2.43", None))),
            ("192.0.2.43:47011", Some(hop("192.0.2.43", Some(47011)))), // FW-8
            ("192.0.2.43:_p1", Some(hop("192.0.2.43", None))),          // FW-9
            ("[2001:db8:cafe::17]:4711", Some(hop("2001:db8:cafe::17", Some(4711)))), // FW-2
            ("[2001:db8::1]", Some(hop("2001:db8::1", None))),
            ("[::ffff:192.0.2.1]:80", Some(hop("192.0.2.1", Some(80)))),
            ("unknown", Some(Node::Hidden)), // FW-6
            ("Unknown:80", Some(Node::Hidden)),
            ("_hidden", Some(Node::Hidden)), // FW-5
            ("_gazonk", Some(Node::Hidden)), // FW-7
            ("_a.b-c_d:_p", Some(Node::Hidden)),
            ("2001:db8::1", None), // FW-12
            ("", None),            // FW-25
            ("192.0.2.999", None), // FW-30
            ("010.0.0.1", None),
            ("x-foo", None),
            ("_", None),
            ("192.0.2.1:99999", Some(hop("192.0.2.1", None))), // FW-31
            ("192.0.2.1:0", Some(hop("192.0.2.1", None))),
            ("192.0.2.1:123456", None),     // FW-32
            ("[2001:db8::1%25eth0]", None), // FW-33
            ("[fe80::1%3]:80", None),
            ("192.0.2.1:", None),
            ("192.0.2.1:+80", None),
            ("[2001:db8::1]80", None),
            ("[2001:db8::1]:", None),
            ("[2001:db8::1", None),
            ("[192.0.2.1]", None),
            ("a,b;c=d", None), // FW-22
            (" 192.0.2.1", None),
            ("\u{e9}", None),
        ] {
            assert_eq!(parse(text.as_bytes()), expected, "{text}");
        }
        assert_eq!(parse(b"\xff"), None);
    }

    #[test]
    fn members_of_x_forwarded_for_are_addresses_with_or_without_a_port() {
        for (text, expected) in [
            ("198.51.100.5", Some(("198.51.100.5", None))),
            ("198.51.100.5:4711", Some(("198.51.100.5", Some(4711)))), // XF-10
            ("2001:db8:1::5", Some(("2001:db8:1::5", None))),          // XF-11
            ("[2001:db8:1::5]:443", Some(("2001:db8:1::5", Some(443)))), // XF-12
            ("[2001:db8:1::5]", Some(("2001:db8:1::5", None))),
            ("::ffff:198.51.100.5", Some(("198.51.100.5", None))), // XF-13
            ("unknown", None),                                     // XF-8
            ("garbage", None),                                     // XF-9
            ("fe80::1%eth0", None),                                // XF-17
            ("010.1.2.3", None),                                   // XF-18
            ("\"198.51.100.5\"", None),
            ("198.51.100.5 ", None),
        ] {
            let expected = expected.map(|(ip, port)| Hop { ip: ip.parse().unwrap(), port });
            assert_eq!(parse_address(text.as_bytes()), expected, "{text}");
        }
    }
}
