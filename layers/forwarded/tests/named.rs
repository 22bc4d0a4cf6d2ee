//! Fields that a setting exempts, and requests that servers interpret differently.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod common;

use bartizan_core::{ClientAddr, PeerAddr, Reason};
use bartizan_forwarded::{Field, Fields, SanitizeForwardedLayer, TrustedPeers};
use common::{Seen, send};
use http::{Request, Version};

const STRANGER: &str = "203.0.113.9:50000";
const PROXY: &str = "10.0.0.1:50000";

fn layer() -> SanitizeForwardedLayer {
    let proxies = TrustedPeers::networks(["10.0.0.0/8".parse().unwrap()]);
    let fields = Fields::default().with(Field::XRealIp).with(Field::Forwarded);
    SanitizeForwardedLayer::new().trust(proxies).write(fields)
}

fn request(peer: &str, fields: &[(&str, &str)]) -> Request<()> {
    let request =
        fields.iter().fold(Request::get("/"), |all, (name, value)| all.header(*name, *value));
    let mut request = request.body(()).unwrap();
    PeerAddr::new(peer.parse().unwrap()).attach(&mut request);
    request
}

/// The client, and what the backend is sent about it.
fn told(seen: &Seen) -> [String; 3] {
    let line = |name: &str| seen.request.headers()[name].to_str().unwrap().to_owned();
    let client = ClientAddr::of(&seen.request).unwrap().ip().to_string();
    [client, line("x-forwarded-for"), line("x-real-ip")]
}

#[tokio::test]
async fn the_client_is_read_from_the_named_field_of_a_trusted_peer_only() {
    let layer = layer().client_ip_header("CF-Connecting-IP".parse().unwrap());
    let (cdn, chain) = ("cf-connecting-ip", "x-forwarded-for");
    for (peer, fields, expected) in [
        (
            PROXY,
            &[(cdn, "198.51.100.7")][..],
            ["198.51.100.7", "198.51.100.7, 10.0.0.1", "198.51.100.7"],
        ),
        (PROXY, &[(cdn, "2001:db8::7")], ["2001:db8::7", "2001:db8::7, 10.0.0.1", "2001:db8::7"]),
        (
            PROXY,
            &[(cdn, "[2001:db8::7]:443")],
            ["2001:db8::7", "2001:db8::7, 10.0.0.1", "2001:db8::7"],
        ),
        // The field agrees with the chain, which is kept.
        (
            PROXY,
            &[(cdn, "198.51.100.7"), (chain, "6.6.6.6, 198.51.100.7, 10.0.0.9")],
            ["198.51.100.7", "198.51.100.7, 10.0.0.9, 10.0.0.1", "198.51.100.7"],
        ),
        // The field disagrees with the chain.
        (
            PROXY,
            &[(cdn, "198.51.100.7"), (chain, "198.51.100.8, 10.0.0.9")],
            ["198.51.100.7", "198.51.100.7, 10.0.0.1", "198.51.100.7"],
        ),
        // The field is unreadable or appears twice: the chain counts.
        (
            PROXY,
            &[(cdn, "me"), (chain, "198.51.100.8")],
            ["198.51.100.8", "198.51.100.8, 10.0.0.1", "198.51.100.8"],
        ),
        (
            PROXY,
            &[(cdn, "6.6.6.6"), (cdn, "6.6.6.7"), (chain, "198.51.100.8")],
            ["198.51.100.8", "198.51.100.8, 10.0.0.1", "198.51.100.8"],
        ),
        (PROXY, &[(cdn, "6.6.6.6, 6.6.6.7")], ["10.0.0.1"; 3]),
        // The claim of an untrusted peer.
        (STRANGER, &[(cdn, "6.6.6.6")], ["203.0.113.9"; 3]),
    ] {
        let seen = send(layer.clone(), request(peer, fields)).await.unwrap();
        assert_eq!(told(&seen), expected, "{fields:?}");
        let forwarded = seen.request.headers()["forwarded"].to_str().unwrap();
        assert!(forwarded.contains(expected[0]), "{forwarded}");
        assert_eq!(seen.request.headers().contains_key(cdn), peer == PROXY, "{fields:?}");
    }
    // Without the setting, the field is dropped or passed on, but not read.
    let seen = send(self::layer(), request(PROXY, &[(cdn, "6.6.6.6")])).await.unwrap();
    assert_eq!(told(&seen), ["10.0.0.1"; 3]);
}

#[tokio::test]
async fn a_named_field_that_is_on_no_list_is_dropped_of_strangers_too() {
    let layer = layer().client_ip_header("X-Our-Edge".parse().unwrap());
    let seen = send(layer.clone(), request(STRANGER, &[("x-our-edge", "6.6.6.6")])).await.unwrap();
    assert!(!seen.request.headers().contains_key("x-our-edge"));
    let seen = send(layer, request(PROXY, &[("x-our-edge", "198.51.100.7")])).await.unwrap();
    assert_eq!(told(&seen)[0], "198.51.100.7");
    let seen = send(self::layer(), request(STRANGER, &[("x-our-edge", "1")])).await.unwrap();
    assert_eq!(seen.request.headers()["x-our-edge"], "1");
}

#[tokio::test]
async fn a_kept_field_passes_and_no_other() {
    let layer = layer().keep(["X-Host", "Client-IP"].map(|name| name.parse().unwrap()));
    let fields = [("x-host", "1"), ("client-ip", "2"), ("x-rewrite-url", "3"), ("x_host", "4")];
    let seen = send(layer, request(STRANGER, &fields)).await.unwrap();
    let headers = seen.request.headers();
    assert!(headers["x-host"] == "1" && headers["client-ip"] == "2");
    assert!(!headers.contains_key("x-rewrite-url") && !headers.contains_key("x_host"));
}

#[tokio::test]
async fn a_request_with_more_than_one_meaning_goes_no_further_whoever_sends_it() {
    for peer in [STRANGER, PROXY] {
        let mut star = request(peer, &[]);
        *star.uri_mut() = "*".parse().unwrap();
        assert_eq!(send(layer(), star).await.unwrap_err(), Reason::InvalidTarget);
        let mut ftp = request(peer, &[]);
        *ftp.uri_mut() = "ftp://a/b".parse().unwrap();
        assert_eq!(send(layer(), ftp).await.unwrap_err(), Reason::InvalidTarget);
        let coded = request(peer, &[("transfer-encoding", "gzip, chunked")]);
        assert_eq!(send(layer(), coded).await.unwrap_err(), Reason::CodingNotSupported);
        send(layer(), request(peer, &[("transfer-encoding", "chunked")])).await.unwrap();
    }
}

#[tokio::test]
async fn over_http2_one_length_is_left() {
    let lengths = |values: &[&str]| {
        let fields: Vec<_> = values.iter().map(|value| ("content-length", *value)).collect();
        let mut request = request(STRANGER, &fields);
        *request.version_mut() = Version::HTTP_2;
        request
    };
    let seen = send(layer(), lengths(&["5", "5"])).await.unwrap();
    let left: Vec<_> = seen.request.headers().get_all("content-length").iter().collect();
    assert_eq!(left, ["5"]);
    for values in [&["5", "6"][..], &["5, 6"], &["+5"]] {
        assert_eq!(send(layer(), lengths(values)).await.unwrap_err(), Reason::InvalidLength);
    }
}
