//! How much of a chain of hops can be trusted. Pure.
//!
//! The chain is read from the right, from the peer towards the client: an entry counts only if the hop that wrote it is
//! trusted. It ends at the first hop that is not trusted, which is the client. It also ends at an entry that is not an
//! address: then the last address before it counts as the client, because nothing beyond it is known.

use bartizan_core::fields::list;
use http::{HeaderMap, HeaderName};

use crate::{
    element::{self, Client, Element, MAX_ELEMENTS},
    node::{self, Hop, Node},
    trust::Trust,
};

/// What a trusted hop wrote.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Said {
    Hop(Hop),
    /// The hop hides the address.
    Hidden,
    /// The entry cannot be read.
    Garbage,
}

/// The part of a chain that trusted hops wrote.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Believed {
    /// From the peer to the client, which is last.
    pub(crate) hops: Vec<Hop>,
    /// How many entries from the right were used.
    pub(crate) entries: usize,
}

/// Reads `entries` from the right.
pub(crate) fn believe(trust: &Trust, entries: impl Iterator<Item = Said>) -> Believed {
    let mut believed = Believed::default();
    for (distance, said) in (1..=MAX_ELEMENTS).zip(entries) {
        match said {
            Said::Garbage => return believed,
            Said::Hidden => {
                believed.entries = distance;
                return believed;
            }
            Said::Hop(hop) => {
                believed.entries = distance;
                believed.hops.push(hop);
                if !trust.includes_hop(hop.ip, distance) {
                    return believed;
                }
            }
        }
    }
    // If the number of proxies is configured, a shorter chain bypassed some of them, so nothing in
    // it is known.
    if believed.entries < trust.shortest_chain() { Believed::default() } else { believed }
}

/// The members of `X-Forwarded-For`, from the right.
pub(crate) fn addresses<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> impl Iterator<Item = Said> + use<'a> {
    let lines = headers.get_all(name).into_iter().rev();
    lines
        .flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','))
        .map(list::trim)
        .filter(|member| !member.is_empty())
        .map(|member| node::parse_address(member).map_or(Said::Garbage, Said::Hop))
}

/// The elements of `Forwarded`, from the right, each with its line. A malformed line yields one entry that cannot be
/// read, and ends the list.
pub(crate) fn elements<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> impl Iterator<Item = Result<(usize, Element<'a>), element::Malformed>> + use<'a> {
    let lines = headers.get_all(name).into_iter().rev().enumerate();
    lines.flat_map(|(line, value)| {
        let (elements, fault) = match element::parse_line(value.as_bytes()) {
            Ok(elements) => (elements, None),
            Err(malformed) => (Vec::new(), Some(Err(malformed))),
        };
        elements.into_iter().rev().map(move |element| Ok((line, element))).chain(fault)
    })
}

impl From<&Element<'_>> for Said {
    fn from(element: &Element<'_>) -> Self {
        match element.client {
            Client::Node(Node::Hop(hop)) => Self::Hop(hop),
            Client::Node(Node::Hidden) | Client::Absent => Self::Hidden,
            Client::Invalid => Self::Garbage,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU8;

    use http::HeaderName;

    use super::*;
    use crate::TrustedPeers;

    const XFF: HeaderName = HeaderName::from_static("x-forwarded-for");

    fn networks() -> Trust {
        let networks = ["10.0.0.0/8", "2001:db8:f::/48"].map(|text| text.parse().unwrap());
        Trust::Peers(TrustedPeers::networks(networks))
    }

    fn proxies(count: u8) -> Trust {
        Trust::Count(NonZeroU8::new(count).unwrap())
    }

    fn headers(lines: &[&str]) -> HeaderMap {
        lines.iter().map(|line| (XFF, line.parse().unwrap())).collect()
    }

    /// The client behind a trusted peer, or nothing if the peer is the client.
    fn client(trust: &Trust, lines: &[&str]) -> Option<String> {
        let believed = believe(trust, addresses(&headers(lines), &XFF));
        believed.hops.last().map(|hop| hop.ip.to_string())
    }

    /// The rows with a trusted peer.
    #[test]
    fn the_client_is_the_first_from_the_right_that_is_not_trusted() {
        let (networks, peer) = (networks(), None);
        for (row, trust, lines, expected) in [
            ("XF-2", &networks, &["198.51.100.5"][..], Some("198.51.100.5")),
            ("XF-3", &networks, &["1.2.3.4, 198.51.100.5"], Some("198.51.100.5")),
            ("XF-4", &networks, &["1.2.3.4, 198.51.100.5, 10.0.0.7"], Some("198.51.100.5")),
            ("XF-5", &networks, &["1.2.3.4", "198.51.100.5, 10.0.0.7"], Some("198.51.100.5")),
            ("XF-6", &networks, &["10.0.0.9, 10.0.0.7"], Some("10.0.0.9")),
            ("XF-7", &networks, &[], peer),
            ("XF-8", &networks, &["198.51.100.5, unknown"], peer),
            ("XF-9", &networks, &["198.51.100.5, garbage, 10.0.0.7"], Some("10.0.0.7")),
            ("XF-10", &networks, &["198.51.100.5:4711"], Some("198.51.100.5")),
            ("XF-11", &networks, &["2001:db8:1::5"], Some("2001:db8:1::5")),
            ("XF-12", &networks, &["[2001:db8:1::5]:443"], Some("2001:db8:1::5")),
            ("XF-13", &networks, &["::ffff:198.51.100.5"], Some("198.51.100.5")),
            ("XF-15", &networks, &["198.51.100.5, ::ffff:10.0.0.7"], Some("198.51.100.5")),
            ("XF-16", &networks, &["198.51.100.5,,10.0.0.7,"], Some("198.51.100.5")),
            ("XF-17", &networks, &["fe80::1%eth0"], peer),
            ("XF-18", &networks, &["010.1.2.3"], peer),
            ("XF-19", &networks, &["2001:db8:1::5, 2001:db8:f::2"], Some("2001:db8:1::5")),
            ("XF-20", &proxies(1), &["1.2.3.4, 198.51.100.5"], Some("198.51.100.5")),
            (
                "XF-21",
                &proxies(3),
                &["1.2.3.4, 198.51.100.5, 10.0.0.8, 10.0.0.7"],
                Some("198.51.100.5"),
            ),
            ("XF-22", &proxies(3), &["198.51.100.5"], peer),
            ("count, garbage", &proxies(2), &["1.2.3.4, garbage, 10.0.0.7"], Some("10.0.0.7")),
        ] {
            assert_eq!(client(trust, lines).as_deref(), expected, "{row}");
        }
    }

    /// W-8, W-9, FW-4, FW-35.
    #[test]
    fn elements_are_read_over_all_lines_and_a_malformed_line_hides_what_is_left_of_it() {
        let read = |lines: &[&str]| {
            let headers = headers(lines);
            let said = elements(&headers, &XFF)
                .map(|element| element.as_ref().map_or(Said::Garbage, |(_, one)| Said::from(one)));
            let believed = believe(&networks(), said);
            let hops: Vec<_> = believed.hops.iter().map(|hop| hop.ip.to_string()).collect();
            (hops.join(" "), believed.entries)
        };
        let two = ("10.0.0.7 198.51.100.5".to_owned(), 2);
        assert_eq!(read(&["for=198.51.100.5, for=10.0.0.7"]), two); // FW-3
        assert_eq!(read(&["for=198.51.100.5", "for=10.0.0.7"]), two); // FW-4
        assert_eq!(read(&["for=\"1.2.3.4", "for=198.51.100.5"]), ("198.51.100.5".into(), 1)); // FW-35
        assert_eq!(read(&["for=\"1.2.3.4", "for=10.0.0.7"]), ("10.0.0.7".into(), 1));
        assert_eq!(read(&["for=1.2.3.4", "for=10.0.0.7;for=1.1.1.1"]), (String::new(), 0));
        assert_eq!(read(&["for=1.2.3.4, for=_x, for=10.0.0.7"]), ("10.0.0.7".into(), 2)); // W-9
        assert_eq!(read(&["for=1.2.3.4, proto=https"]), (String::new(), 1));
    }

    #[test]
    fn a_chain_without_an_end_is_read_to_a_bound() {
        let long = vec!["10.0.0.1"; MAX_ELEMENTS * 2].join(",");
        let believed = believe(&networks(), addresses(&headers(&[&long]), &XFF));
        assert_eq!(believed.hops.len(), MAX_ELEMENTS);
    }
}
