//! `SanitizeForwarded` below another, row by row of the second table of the crate's front page.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod common;

use std::net::SocketAddr;

use bartizan_core::{ClientAddr, Passage, PeerAddr, PublicOrigin, Reason, client::Evidence};
use bartizan_forwarded::{Fields, SanitizeForwardedLayer, TrustedPeers};
use common::Seen;
use http::{HeaderMap, Request};
use tower::{ServiceBuilder, util::MapRequestLayer};

const CLIENT: &str = "203.0.113.9:50000";
const PROXY: &str = "10.0.0.1:50000";

fn untrusting() -> SanitizeForwardedLayer {
    SanitizeForwardedLayer::new().write(Fields::ALL)
}

fn trusting() -> SanitizeForwardedLayer {
    untrusting().trust(TrustedPeers::networks(["10.0.0.0/8".parse().unwrap()]))
}

fn request(peer: &str, fields: &[(&str, &str)]) -> Request<()> {
    let request = fields
        .iter()
        .fold(Request::get("/"), |request, (name, value)| request.header(*name, *value));
    let mut request = request.body(()).unwrap();
    PeerAddr::new(peer.parse().unwrap()).attach(&mut request);
    request
}

/// Sends a request through two layers and a service between them.
async fn send(
    outer: &SanitizeForwardedLayer,
    between: fn(Request<()>) -> Request<()>,
    inner: &SanitizeForwardedLayer,
    request: Request<()>,
) -> Result<Seen, Reason> {
    let both = ServiceBuilder::new()
        .layer(outer.clone())
        .layer(MapRequestLayer::new(between))
        .layer(inner.clone());
    common::send(both, request).await
}

fn nothing(request: Request<()>) -> Request<()> {
    request
}

fn client(seen: &Seen) -> String {
    ClientAddr::of(&seen.request).unwrap().ip().to_string()
}

fn lines<'a>(headers: &'a HeaderMap, name: &str) -> Vec<&'a str> {
    headers.get_all(name).iter().map(|line| line.to_str().unwrap()).collect()
}

const CHAIN: [(&str, &str); 7] = [
    ("host", "inner"),
    ("x-forwarded-for", "6.6.6.6, 198.51.100.5"),
    ("x-forwarded-proto", "https"),
    ("x-forwarded-host", "a.example"),
    ("x-forwarded-prefix", "/edge"),
    ("cf-connecting-ip", "198.51.100.5"),
    ("x-bartizan-a", "1"),
];

#[tokio::test]
async fn what_the_outer_layer_found_and_wrote_is_kept() {
    let alone = common::send(trusting(), request(PROXY, &CHAIN)).await.unwrap();
    for inner in [
        SanitizeForwardedLayer::new(),
        untrusting(),
        untrusting().write(Fields::NONE),
        trusting(),
        trusting().trust_count(1.try_into().unwrap()),
        untrusting().over_tls().restart_traces(),
    ] {
        let seen = send(&trusting(), nothing, &inner, request(PROXY, &CHAIN)).await.unwrap();
        assert_eq!(seen.request.headers(), alone.request.headers(), "{inner:?}");
        assert_eq!(client(&seen), "198.51.100.5");
        let evidence = ClientAddr::of(&seen.request).unwrap().evidence();
        assert_eq!(evidence, Evidence::Forwarded);
        let passage = Passage::of(&seen.request).unwrap();
        assert_eq!(passage.trusts_peer(), Some(true));
        assert_eq!(PublicOrigin::of(&seen.request), PublicOrigin::of(&alone.request));
    }
    assert_eq!(lines(alone.request.headers(), "x-forwarded-for"), ["198.51.100.5, 10.0.0.1"]);
}

#[tokio::test]
async fn the_inner_prefix_is_added_to_the_outer_one() {
    let prefix = |layer: SanitizeForwardedLayer, prefix: &str| {
        layer.stripped_prefix(prefix.parse().unwrap())
    };
    let (outer, inner) = (prefix(trusting(), "/api"), prefix(untrusting(), "/v1"));
    for (outer, inner, peer, expected) in [
        (&outer, &inner, PROXY, "/edge/api/v1"),
        (&trusting(), &inner, PROXY, "/edge/v1"),
        (&outer, &inner, CLIENT, "/api/v1"),
        (&outer, &untrusting(), PROXY, "/edge/api"),
        (&untrusting(), &inner, CLIENT, "/v1"),
        (&outer, &prefix(untrusting().write(Fields::NONE), "/v1"), PROXY, "/edge/api/v1"),
    ] {
        let seen = send(outer, nothing, inner, request(peer, &CHAIN)).await.unwrap();
        assert_eq!(lines(seen.request.headers(), "x-forwarded-prefix"), [expected]);
        let origin = PublicOrigin::of(&seen.request).unwrap();
        assert_eq!(origin.prefix().unwrap(), expected);
    }
    // Neither layer writes the field, and both facts are known.
    let silent = |layer: &SanitizeForwardedLayer| layer.clone().write(Fields::NONE);
    let seen = send(&silent(&outer), nothing, &silent(&inner), request(PROXY, &CHAIN)).await;
    let seen = seen.unwrap();
    assert!(!seen.request.headers().contains_key("x-forwarded-prefix"));
    assert_eq!(PublicOrigin::of(&seen.request).unwrap().prefix().unwrap(), "/edge/api/v1");
}

/// Whatever the inner layer trusts, fields from an untrusted peer do not pass the outer one.
#[tokio::test]
async fn a_strangers_fields_do_not_survive() {
    let spoofed = [
        ("x-forwarded-for", "6.6.6.6"),
        ("forwarded", "for=6.6.6.6"),
        ("x-real-ip", "6.6.6.6"),
        ("x_forwarded_for", "6.6.6.6"),
        ("cf-connecting-ip", "6.6.6.6"),
        ("x-bartizan-a", "6.6.6.6"),
        ("x-internal-a", "6.6.6.6"),
        ("traceparent", "6.6.6.6"),
    ];
    let inner = untrusting()
        .trust_count(1.try_into().unwrap())
        .internal_prefixes(["x-internal-".parse().unwrap()])
        .restart_traces();
    let seen = send(&trusting(), nothing, &inner, request(CLIENT, &spoofed)).await.unwrap();
    let text = format!("{:?}", seen.request.headers());
    assert!(!text.contains("6.6.6.6"), "{text}");
    assert_eq!(client(&seen), "203.0.113.9");
    assert_eq!(Passage::of(&seen.request).unwrap().trusts_peer(), Some(false));
    // An alias is never kept, even if it is added between the layers.
    let alias = |mut request: Request<()>| {
        request.headers_mut().insert("x_forwarded_for", "6.6.6.6".parse().unwrap());
        request
    };
    let seen = send(&trusting(), alias, &trusting(), request(PROXY, &CHAIN)).await.unwrap();
    assert!(!seen.request.headers().contains_key("x_forwarded_for"));
    let nominating = |mut request: Request<()>| {
        request.headers_mut().insert("connection", "x-forwarded-for".parse().unwrap());
        request
    };
    let refused = send(&trusting(), nominating, &untrusting(), request(PROXY, &CHAIN)).await;
    assert_eq!(refused.unwrap_err(), Reason::ProtectedField);
}

/// The layer that validates origins relies on what the nearest layer has seen.
#[tokio::test]
async fn a_browsers_field_that_appears_in_between_is_seen() {
    for (name, from_browser) in [("accept", false), ("origin", true), ("sec-fetch-site", true)] {
        let adding = MapRequestLayer::new(move |mut request: Request<()>| {
            request.headers_mut().insert(name, "x".parse().unwrap());
            request
        });
        let both = ServiceBuilder::new().layer(untrusting()).layer(adding).layer(untrusting());
        let seen = common::send(both, request(CLIENT, &[])).await.unwrap();
        let recorded = Passage::of(&seen.request).unwrap().from_browser();
        assert_eq!(recorded, Some(from_browser), "{name}");
    }
}

/// A user's own layer may decide whether the peer is trusted; that alone does not sanitise any field.
#[tokio::test]
async fn a_request_that_only_a_users_layer_has_judged_is_sanitised() {
    let mut judged = request(CLIENT, &[("x-forwarded-for", "6.6.6.6")]);
    Passage::with(&mut judged, |passage| {
        passage.set_trusts_peer(true);
        let origin = PublicOrigin::new(http::uri::Scheme::HTTPS, Evidence::Forwarded);
        passage.set_client(None, origin);
    });
    let seen = common::send(untrusting(), judged).await.unwrap();
    assert_eq!(client(&seen), "203.0.113.9");
    assert_eq!(lines(seen.request.headers(), "x-forwarded-for"), ["203.0.113.9"]);
}

#[tokio::test]
async fn another_peer_is_judged_again() {
    // As if the PROXY protocol were read between the two.
    let attach = |mut request: Request<()>| {
        PeerAddr::new(CLIENT.parse().unwrap()).attach(&mut request);
        request
    };
    let seen = send(&trusting(), attach, &trusting(), request(PROXY, &CHAIN)).await.unwrap();
    assert_eq!(client(&seen), "203.0.113.9");
    assert_eq!(lines(seen.request.headers(), "x-forwarded-for"), ["203.0.113.9"]);
    assert!(!seen.request.headers().contains_key("cf-connecting-ip"));
    // The outer layer does not know the peer, and the inner one finds it.
    let hooked = untrusting().peer_from(|extensions| extensions.get::<SocketAddr>().copied());
    let addr: SocketAddr = CLIENT.parse().unwrap();
    let unknown = Request::get("/").header("x-forwarded-for", "6.6.6.6").extension(addr);
    let seen = send(&untrusting(), nothing, &hooked, unknown.body(()).unwrap()).await.unwrap();
    assert_eq!(client(&seen), "203.0.113.9");
    assert_eq!(lines(seen.request.headers(), "x-forwarded-for"), ["203.0.113.9"]);
}

/// The mark is in the extensions of the request, which a client cannot reach.
#[tokio::test]
async fn the_judgement_does_not_come_by_the_wire() {
    let wire = |mut request: Request<()>| {
        request.extensions_mut().clear();
        PeerAddr::new("127.0.0.1:1".parse().unwrap()).attach(&mut request);
        request
    };
    let seen = send(&trusting(), wire, &trusting(), request(PROXY, &CHAIN)).await.unwrap();
    assert_eq!(client(&seen), "127.0.0.1");
    assert_eq!(lines(seen.request.headers(), "x-forwarded-for"), ["127.0.0.1"]);
}
