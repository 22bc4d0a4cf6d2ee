//! Reading a host with an optional port ([RFC 3986 §3.2](https://www.rfc-editor.org/rfc/rfc3986#section-3.2)). Pure.
//!
//! Refused on purpose: user information, percent-encoding, bytes outside ASCII, IPv6 zones, empty labels.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A host with an optional port.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Authority<'a> {
    pub(crate) host: Host<'a>,
    pub(crate) port: Option<u16>,
}

/// A host.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Host<'a> {
    /// A name in any case, without its trailing dot.
    Name(&'a str),
    /// An address, unmapped.
    Ip(IpAddr),
}

impl<'a> Authority<'a> {
    /// Reads `text`; `None` if it is not a host with an optional port.
    pub(crate) fn parse(text: &'a [u8]) -> Option<Self> {
        if text.len() > MAX_BYTES {
            return None;
        }
        if let Some(rest) = text.strip_prefix(b"[") {
            let (address, rest) = split_before(rest, b']')?;
            let address: Ipv6Addr = str::from_utf8(address).ok()?.parse().ok()?;
            let port = match rest {
                b"]" => None,
                _ => port(rest.strip_prefix(b"]:")?)?,
            };
            return Some(Self { host: Host::Ip(IpAddr::V6(address).to_canonical()), port });
        }
        let (name, port) = match split_before(text, b':') {
            Some((name, rest)) => (name, port(rest.strip_prefix(b":")?)?),
            None => (text, None),
        };
        Some(Self { host: Host::parse(name)?, port })
    }
}

impl<'a> Host<'a> {
    /// Reads a name or an IPv4 address.
    fn parse(name: &'a [u8]) -> Option<Self> {
        let name = name.strip_suffix(b".").unwrap_or(name);
        let name = str::from_utf8(name).ok().filter(|_| are_labels(name))?;
        // An address ends with a digit; most names do not.
        let may_be_address = name.as_bytes().last().is_some_and(u8::is_ascii_digit);
        let address = if may_be_address { name.parse::<Ipv4Addr>().ok() } else { None };
        Some(address.map_or(Self::Name(name), |address| Self::Ip(address.into())))
    }

    /// Whether it means the local machine everywhere: `localhost`, or a loopback address.
    pub(crate) fn is_loopback(self) -> bool {
        match self {
            Self::Name(name) => name.eq_ignore_ascii_case("localhost"),
            Self::Ip(ip) => ip.is_loopback(),
        }
    }
}

impl PartialEq for Host<'_> {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Name(one), Self::Name(other)) => is_same(one, other),
            (Self::Ip(one), Self::Ip(other)) => one == other,
            _ => false,
        }
    }
}

impl Eq for Host<'_> {}

/// A name of 253 characters with its dot, and a port.
const MAX_BYTES: usize = 260;

/// Whether two texts are equal without regard to case. Browsers send lower case and settings use it, so exact equality
/// is checked first.
pub(crate) fn is_same(one: &str, other: &str) -> bool {
    one == other || one.eq_ignore_ascii_case(other)
}

/// Splits before the first `byte`; the rest begins with it.
fn split_before(text: &[u8], byte: u8) -> Option<(&[u8], &[u8])> {
    text.split_at_checked(text.iter().position(|one| *one == byte)?)
}

/// Whether `name` consists of labels separated by dots.
fn are_labels(name: &[u8]) -> bool {
    let mut is_after_dot = true;
    for byte in name {
        let is_dot = *byte == b'.';
        let may_stand_here = if is_dot { !is_after_dot } else { is_name_char(*byte) };
        if !may_stand_here {
            return false;
        }
        is_after_dot = is_dot;
    }
    !is_after_dot
}

/// The characters in names that browsers send; names of containers have `_`.
fn is_name_char(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'~')
}

/// Digits, or nothing at all.
#[allow(clippy::option_option, reason = "no port is not the same as a bad one")]
fn port(digits: &[u8]) -> Option<Option<u16>> {
    let mut port = 0_u16;
    for digit in digits {
        let digit = digit.is_ascii_digit().then(|| u16::from(digit - b'0'))?;
        port = port.checked_mul(10)?.checked_add(digit)?;
    }
    match (digits, port) {
        ([], _) => Some(None),
        (_, 0) => None,
        _ => Some(Some(port)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(text: &str) -> Option<(String, Option<u16>)> {
        let Authority { host, port } = Authority::parse(text.as_bytes())?;
        let host = match host {
            Host::Name(name) => name.to_owned(),
            Host::Ip(ip) => ip.to_string(),
        };
        Some((host, port))
    }

    #[test]
    fn a_host_is_a_name_or_an_address_with_a_port_at_most() {
        for (text, host, port) in [
            ("a", "a", None),
            ("A.example.:81", "A.example", Some(81)),
            ("a:", "a", None),
            ("a_b-c~d.example:443", "a_b-c~d.example", Some(443)),
            ("xn--mnchen-3ya.example", "xn--mnchen-3ya.example", None),
            ("127.0.0.1:8080", "127.0.0.1", Some(8080)),
            ("127.0.0.1.", "127.0.0.1", None),
            ("127.1", "127.1", None),
            ("0x7f000001", "0x7f000001", None),
            ("[::1]", "::1", None),
            ("[0:0::1]:81", "::1", Some(81)),
            ("[::ffff:127.0.0.1]:81", "127.0.0.1", Some(81)),
            ("[::1]:", "::1", None),
        ] {
            assert_eq!(parsed(text), Some((host.to_owned(), port)), "{text}");
        }
        for text in [
            "",
            ".",
            "a..b",
            ".a",
            "a..",
            ":80",
            "a:0",
            "a:65536",
            // Port 80, if the number overflowed.
            "a:65616",
            "a:+80",
            "a:80:80",
            "a b",
            "a/b",
            "a,b",
            "a%2e",
            "user@a",
            "user:secret@a:80",
            "münchen.example",
            "::1",
            "[::1",
            "[::1]80",
            "[fe80::1%25eth0]",
            "[127.0.0.1]",
            "[a]",
            "a\"",
            "*",
        ] {
            assert_eq!(parsed(text), None, "{text}");
        }
        assert_eq!(parsed(&"a".repeat(261)), None);
    }

    #[test]
    fn names_are_compared_in_any_case_and_addresses_as_addresses() {
        let host = |text: &'static str| Authority::parse(text.as_bytes()).unwrap().host;
        assert_eq!(host("LocalHost."), host("localhost:80"));
        assert_eq!(host("[::FFFF:7f00:1]"), host("127.0.0.1"));
        assert_ne!(host("a"), host("a.example"));
        for (text, is_loopback) in [
            ("LOCALHOST.", true),
            ("127.8.9.10", true),
            ("[::1]", true),
            ("[::ffff:127.0.0.1]", true),
            ("a.localhost", false),
            ("localhost.evil.example", false),
            ("0.0.0.0", false),
            ("[::]", false),
            ("127.1", false),
            ("128.0.0.1", false),
        ] {
            assert_eq!(host(text).is_loopback(), is_loopback, "{text}");
        }
    }

    proptest! {
        /// No input causes a panic, and the result contains no separator.
        #[test]
        fn any_bytes_are_read(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Some(Authority { host: Host::Name(name), .. }) = Authority::parse(&bytes) {
                prop_assert!(!name.contains(['/', '@', ':', ' ', ',', '%', '[', ']']));
            }
        }
    }
}
