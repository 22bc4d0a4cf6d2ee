//! Properties that hold for any request, constructed or random.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod common;

use bartizan_core::{ClientAddr, PeerAddr};
use bartizan_forwarded::{Chain, Fields, SanitizeForwardedLayer, Source, TrustedPeers};
use common::{Seen, send};
use http::{HeaderMap, Request};
use proptest::prelude::*;

fn trusting(source: Source) -> SanitizeForwardedLayer {
    let proxies = TrustedPeers::networks(["10.0.0.0/8".parse().unwrap()]);
    SanitizeForwardedLayer::new().trust(proxies).source(source).write(Fields::ALL)
}

fn sanitised(layer: SanitizeForwardedLayer, peer: &str, headers: HeaderMap) -> Seen {
    let mut request = Request::new(());
    *request.headers_mut() = headers;
    PeerAddr::new(peer.parse().unwrap()).attach(&mut request);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(send(layer, request)).unwrap()
}

/// Writes a chain as one field, split into lines at `cuts`.
fn chain(source: Source, entries: &[String], cuts: &[bool]) -> HeaderMap {
    let name = if source == Source::Forwarded { "forwarded" } else { "x-forwarded-for" };
    let mut lines = vec![String::new()];
    for (entry, cut) in entries.iter().zip(cuts.iter().chain(std::iter::repeat(&false))) {
        if *cut {
            lines.push(String::new());
        }
        let line = lines.last_mut().unwrap();
        let comma = if line.is_empty() { "" } else { ", " };
        let prefix = if source == Source::Forwarded { "for=" } else { "" };
        *line = format!("{line}{comma}{prefix}{entry}");
    }
    lines.iter().map(|line| (name.parse().unwrap(), line.parse().unwrap())).collect()
}

fn source() -> impl Strategy<Value = Source> {
    prop_oneof![Just(Source::XForwardedFor), Just(Source::Forwarded)]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// The client is found whatever it claims, behind any number of trusted proxies, with any split
    /// into lines.
    #[test]
    fn no_address_leaves_that_no_trusted_hop_vouched_for(
        source in source(),
        claims in prop::collection::vec("6\\.6\\.6\\.[1-9]|unknown|_x|garbage|\"6\\.6\\.6\\.6", 0..5),
        client in 1..=9_u8,
        proxies in prop::collection::vec(1..=9_u8, 0..5),
        cuts in prop::collection::vec(any::<bool>(), 0..10),
    ) {
        let client = format!("198.51.100.{client}");
        let entries: Vec<_> = claims
            .iter()
            .cloned()
            .chain([client.clone()])
            .chain(proxies.iter().map(|last| format!("10.0.0.{last}")))
            .collect();
        // The client's claims are on separate lines; otherwise a malformed one could make the proxies' line unreadable.
        let cuts: Vec<_> = (0..entries.len())
            .map(|at| at == claims.len() || cuts.get(at).copied().unwrap_or(false))
            .collect();
        let seen = sanitised(trusting(source), "10.0.0.1:1", chain(source, &entries, &cuts));
        let found = ClientAddr::of(&seen.request).unwrap().ip().to_string();
        prop_assert_eq!(&found, &client);
        let text = format!("{:?}", seen.request.headers());
        prop_assert!(!text.contains("6.6.6."), "{}", text);
        let proxies = proxies.iter().map(|last| format!("10.0.0.{last}"));
        let expected: Vec<_> = std::iter::once(client).chain(proxies).chain(["10.0.0.1".into()]).collect();
        prop_assert_eq!(seen.request.headers()["x-forwarded-for"].to_str().unwrap(), expected.join(", "));
    }

    #[test]
    fn sanitised_twice_is_sanitised_once(
        source in source(),
        is_trusted in any::<bool>(),
        lines in prop::collection::vec(
            (
                "(x-forwarded-(for|host|proto|port|prefix|x)|forwarded|x-real-ip|host|x_real_ip|x-a)",
                "(for=)?[0-9a-f.:,;=\"/ \\[\\]]{0,20}|https|a\\.example:81|10\\.0\\.0\\.7, 10\\.0\\.0\\.8",
            ),
            0..8,
        ),
    ) {
        let headers: HeaderMap = lines
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect();
        let peer = if is_trusted { "10.0.0.1:1" } else { "203.0.113.9:1" };
        let layer = trusting(source).chain(Chain::Replace);
        let once = sanitised(layer.clone(), peer, headers).request.headers().clone();
        let twice = sanitised(layer, peer, once.clone());
        prop_assert_eq!(&once, twice.request.headers());
        // The result is a chain that the next proxy can read.
        let next = trusting(source).trust(TrustedPeers::networks(["0.0.0.0/0".parse().unwrap()]));
        let read = sanitised(next, "10.0.0.2:1", once);
        let (ours, theirs) = (ClientAddr::of(&twice.request), ClientAddr::of(&read.request));
        prop_assert_eq!(ours.map(ClientAddr::ip), theirs.map(ClientAddr::ip));
    }

    #[test]
    fn no_input_panics(
        source in source(),
        lines in prop::collection::vec(("[a-z_-]{1,20}", prop::collection::vec(any::<u8>(), 0..40)), 0..8),
    ) {
        let headers: HeaderMap = lines
            .iter()
            .filter_map(|(name, value)| {
                Some((name.parse().ok()?, http::HeaderValue::from_bytes(value).ok()?))
            })
            .collect();
        sanitised(trusting(source), "10.0.0.1:1", headers);
    }
}
