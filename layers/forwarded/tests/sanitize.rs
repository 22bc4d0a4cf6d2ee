//! What a backend gets, row by row of the crate's front page.
//!
//! `tests/ROWS.md` explains the names of rows.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod common;

use bartizan_core::{ClientAddr, PeerAddr, PublicOrigin, Reason, client::Evidence};
use bartizan_forwarded::{
    Chain, Field, Fields, Naming, SanitizeForwardedLayer, Source, TrustedPeers,
};
use common::{Seen, send};
use http::{HeaderMap, Request, header::HOST};

const CLIENT: &str = "203.0.113.9:50000";
const PROXY: &str = "10.0.0.1:50000";

fn untrusting() -> SanitizeForwardedLayer {
    SanitizeForwardedLayer::new().write(Fields::ALL)
}

fn trusting() -> SanitizeForwardedLayer {
    let networks = ["10.0.0.0/8", "2001:db8:f::/48"].map(|text| text.parse().unwrap());
    untrusting().trust(TrustedPeers::networks(networks))
}

fn by_forwarded() -> SanitizeForwardedLayer {
    trusting().source(Source::Forwarded)
}

fn request(peer: &str, fields: &[(&str, &str)]) -> Request<()> {
    from(PeerAddr::new(peer.parse().unwrap()), fields)
}

fn from(peer: PeerAddr, fields: &[(&str, &str)]) -> Request<()> {
    let mut request = Request::get("/");
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let mut request = request.body(()).unwrap();
    peer.attach(&mut request);
    request
}

/// All lines of a field.
fn lines<'a>(headers: &'a HeaderMap, name: &str) -> Vec<&'a str> {
    headers.get_all(name).iter().map(|line| line.to_str().unwrap()).collect()
}

fn client(seen: &Seen) -> String {
    ClientAddr::of(&seen.request).unwrap().ip().to_string()
}

/// W-5, W-10, W-23, W-26; L-8; HB-16.
#[tokio::test]
async fn of_an_untrusted_peer_nothing_passes_whatever_way_it_is_written() {
    let fields = [
        "Forwarded",
        "X-Forwarded-For",
        "X-Forwarded-Host",
        "X-Forwarded-Port",
        "X-Forwarded-Proto",
        "X-Forwarded-Prefix",
        "X-Forwarded-Server",
        "X-Forwarded-Ssl",
        "X-Forwarded-Client-Cert",
        "X-Real-IP",
        "True-Client-IP",
        "CF-Connecting-IP",
        "Fastly-Client-IP",
        "X-Client-IP",
        "X-Cluster-Client-IP",
        "X-Original-URL",
        "X-Original-Forwarded-For",
        "X-Envoy-External-Address",
        "X-Rewrite-URL",
        "X-Host",
        "Client-IP",
        "X-ProxyUser-Ip",
        "Front-End-Https",
        "Client-Cert",
        "Client-Cert-Chain",
        "X-Bartizan-Anything",
    ];
    for field in fields {
        let mixed: String =
            (field.char_indices())
                .map(|(at, char)| {
                    if at % 2 == 0 { char.to_ascii_uppercase() } else { char.to_ascii_lowercase() }
                })
                .collect();
        for name in [field.to_owned(), mixed, field.replace('-', "_"), field.replacen('-', "_", 1)]
        {
            let spoofed = [(name.as_str(), "6.6.6.6"), (name.as_str(), "6.6.6.7"), ("x-kept", "1")];
            let seen = send(untrusting(), request(CLIENT, &spoofed)).await.unwrap();
            let text = format!("{:?}", seen.request.headers());
            assert!(!text.contains("6.6.6."), "{name}: {text}");
            assert_eq!(seen.request.headers()["x-kept"], "1");
            // The next hop would obey `Connection`, and drop the fields written here.
            if !field.starts_with("X-Bartizan") {
                let nominated = [("connection", "close"), ("connection", name.as_str())];
                let refused = send(untrusting(), request(CLIENT, &nominated)).await;
                assert_eq!(refused.unwrap_err(), Reason::ProtectedField, "{name}");
            }
        }
    }
}

/// W-1, W-6, W-7.
#[tokio::test]
async fn what_is_written_keeps_to_the_grammar_of_each_field() {
    let https = SanitizeForwardedLayer::new().write(Fields::ALL).over_tls();
    let host = [("host", "a.example")];
    for (row, layer, request, forwarded, x_forwarded_for) in [
        (
            "FB-1",
            https.clone(),
            request("192.0.2.7:1", &host),
            "for=192.0.2.7;host=a.example;proto=https",
            Some("192.0.2.7"),
        ),
        (
            "FB-1, of the connection",
            untrusting(),
            from(PeerAddr::new("192.0.2.7:1".parse().unwrap()).over_tls(), &host),
            "for=192.0.2.7;host=a.example;proto=https",
            Some("192.0.2.7"),
        ),
        (
            "FB-2",
            https.clone(),
            request("[2001:db8::7]:1", &host),
            "for=\"[2001:db8::7]\";host=a.example;proto=https",
            Some("2001:db8::7"),
        ),
        (
            "FB-2, W-7",
            untrusting(),
            request("[2001:0DB8:0:0:0:0:0:7]:1", &[]),
            "for=\"[2001:db8::7]\";proto=http",
            Some("2001:db8::7"),
        ),
        (
            "FB-3",
            untrusting().naming(Naming::AddressAndPort),
            request("[2001:db8::7]:443", &[]),
            "for=\"[2001:db8::7]:443\";proto=http",
            Some("2001:db8::7"),
        ),
        (
            "FB-3, IPv4",
            untrusting().naming(Naming::AddressAndPort),
            request("192.0.2.7:443", &[]),
            "for=\"192.0.2.7:443\";proto=http",
            Some("192.0.2.7"),
        ),
        (
            "FB-4",
            untrusting(),
            request("192.0.2.7:1", &[("host", "a.example:8443")]),
            "for=192.0.2.7;host=\"a.example:8443\";proto=http",
            Some("192.0.2.7"),
        ),
        (
            "FB-5",
            untrusting(),
            request("[::ffff:192.0.2.7]:1", &[]),
            "for=192.0.2.7;proto=http",
            Some("192.0.2.7"),
        ),
        ("FB-6", untrusting(), from(PeerAddr::unix(), &[]), "for=unknown;proto=http", None),
        (
            "FB-8",
            untrusting(),
            request("192.0.2.7:1", &[("forwarded", "for=1.2.3.4"), ("x-forwarded-for", "1.2.3.4")]),
            "for=192.0.2.7;proto=http",
            Some("192.0.2.7"),
        ),
        (
            "FB-10",
            untrusting(),
            request("192.0.2.7:1", &[("host", "a\"b")]),
            "for=192.0.2.7;proto=http",
            Some("192.0.2.7"),
        ),
        (
            "W-6, by",
            untrusting().by("_gw1".parse().unwrap()),
            request("192.0.2.7:1", &[]),
            "for=192.0.2.7;by=_gw1;proto=http",
            Some("192.0.2.7"),
        ),
        (
            "W-6, by an address",
            untrusting().by("2001:db8::1".parse().unwrap()),
            request("192.0.2.7:1", &[]),
            "for=192.0.2.7;by=\"[2001:db8::1]\";proto=http",
            Some("192.0.2.7"),
        ),
    ] {
        let seen = send(layer, request).await.unwrap();
        let headers = seen.request.headers();
        assert_eq!(lines(headers, "forwarded"), [forwarded], "{row}");
        assert_eq!(lines(headers, "x-forwarded-for"), Vec::from_iter(x_forwarded_for), "{row}");
        assert_eq!(lines(headers, "x-real-ip"), Vec::from_iter(x_forwarded_for), "{row}");
    }
}

/// FB-7, W-4, W-8, W-11, W-20.
#[tokio::test]
async fn appended_is_what_trusted_proxies_vouched_for_and_no_more() {
    let fields = [("host", "inner"), ("forwarded", "for=192.0.2.7;secret=x")];
    let seen = send(by_forwarded(), request(PROXY, &fields)).await.unwrap();
    let headers = seen.request.headers();
    let kept = ["for=192.0.2.7;secret=x", "for=10.0.0.1;host=inner;proto=http"];
    assert_eq!(lines(headers, "forwarded"), kept); // FB-7
    assert_eq!(lines(headers, "x-forwarded-for"), ["192.0.2.7, 10.0.0.1"]);
    assert_eq!(lines(headers, "x-real-ip"), ["192.0.2.7"]);

    // The client's own entries are removed, on whichever line they are.
    let fields = [
        ("forwarded", "for=\"6.6.6.6"),
        (
            "forwarded",
            "for=6.6.6.7, for=192.0.2.7;proto=https;host=\"a.example:8443\", for=10.0.0.8",
        ),
        ("forwarded", "for=10.0.0.9"),
    ];
    let seen = send(by_forwarded(), request(PROXY, &fields)).await.unwrap();
    let headers = seen.request.headers();
    let kept = [
        "for=192.0.2.7;proto=https;host=\"a.example:8443\", for=10.0.0.8",
        "for=10.0.0.9",
        "for=10.0.0.1;proto=http",
    ];
    assert_eq!(lines(headers, "forwarded"), kept);
    assert_eq!(lines(headers, "x-forwarded-for"), ["192.0.2.7, 10.0.0.8, 10.0.0.9, 10.0.0.1"]);
    assert_eq!(lines(headers, "x-forwarded-host"), ["a.example:8443"]);
    assert_eq!(lines(headers, "x-forwarded-port"), ["8443"]);
    assert_eq!(lines(headers, "x-forwarded-proto"), ["https"]);

    // W-11: from the other field, IPv6 in brackets and quotes; the origin with the client.
    let fields = [
        ("host", "inner"),
        ("x-forwarded-for", "6.6.6.6, 2001:db8:1::5, 10.0.0.8"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "a.example"),
    ];
    let seen = send(trusting(), request(PROXY, &fields)).await.unwrap();
    let headers = seen.request.headers();
    let expected = "for=\"[2001:db8:1::5]\";host=a.example;proto=https, for=10.0.0.8, for=10.0.0.1;host=inner;proto=http";
    assert_eq!(lines(headers, "forwarded"), [expected]);
    assert_eq!(lines(headers, "x-forwarded-for"), ["2001:db8:1::5, 10.0.0.8, 10.0.0.1"]);
    assert_eq!(lines(headers, "x-forwarded-port"), ["443"]);
}

#[tokio::test]
async fn replaced_is_all_but_the_client() {
    let fields = [
        ("x-forwarded-for", "6.6.6.6, 192.0.2.7:4711, 10.0.0.8"),
        ("x-forwarded-host", "a.example"),
        ("x-forwarded-proto", "https"),
    ];
    let layer = trusting().chain(Chain::Replace);
    let seen = send(layer.clone(), request(PROXY, &fields)).await.unwrap();
    let headers = seen.request.headers();
    assert_eq!(lines(headers, "x-forwarded-for"), ["192.0.2.7"]);
    assert_eq!(lines(headers, "forwarded"), ["for=192.0.2.7;host=a.example;proto=https"]);
    let seen = send(layer.naming(Naming::AddressAndPort), request(PROXY, &fields)).await.unwrap();
    let expected = "for=\"192.0.2.7:4711\";host=a.example;proto=https";
    assert_eq!(lines(seen.request.headers(), "forwarded"), [expected]);
}

/// FB-9.
#[tokio::test]
async fn obfuscated_is_every_address() {
    for layer in [trusting(), by_forwarded()] {
        let fields = [("x-forwarded-for", "192.0.2.7"), ("forwarded", "for=192.0.2.7")];
        let seen = send(layer.naming(Naming::Obfuscated), request(PROXY, &fields)).await.unwrap();
        let headers = seen.request.headers();
        let [line] = lines(headers, "forwarded")[..] else { panic!("{headers:?}") };
        let name = line.strip_prefix("for=_").and_then(|rest| rest.strip_suffix(";proto=http"));
        assert!(name.unwrap().bytes().all(|byte| byte.is_ascii_hexdigit()), "{line}");
        assert!(!headers.contains_key("x-forwarded-for") && !headers.contains_key("x-real-ip"));
        let text = format!("{headers:?}");
        assert!(!text.contains("192.0.2.7") && !text.contains("10.0.0.1"), "{text}");
    }
}

/// FB-11, W-24, H-27.
#[tokio::test]
async fn a_stripped_prefix_is_told_after_the_one_that_a_trusted_proxy_stripped() {
    let layer = trusting().stripped_prefix("/api".parse().unwrap());
    let fields = [("x-forwarded-prefix", "/edge")];
    let seen = send(layer.clone(), request(PROXY, &fields)).await.unwrap();
    assert_eq!(lines(seen.request.headers(), "x-forwarded-prefix"), ["/edge/api"]);
    let seen = send(layer, request(CLIENT, &fields)).await.unwrap();
    assert_eq!(lines(seen.request.headers(), "x-forwarded-prefix"), ["/api"]);
    let seen = send(trusting(), request(CLIENT, &fields)).await.unwrap();
    assert!(!seen.request.headers().contains_key("x-forwarded-prefix"));
}

/// W-20 to W-22, the rows about trust; the others are tested next to `chain::believe`.
#[tokio::test]
async fn the_client_is_found_by_whose_word_is_taken() {
    let count = |n: u8| untrusting().trust_count(n.try_into().unwrap());
    for (row, layer, peer, chain, expected) in [
        ("XF-1", trusting(), CLIENT, Some("10.1.1.1"), "203.0.113.9"),
        ("XF-2", trusting(), PROXY, Some("198.51.100.5"), "198.51.100.5"),
        ("XF-7", trusting(), PROXY, None, "10.0.0.1"),
        ("XF-14", trusting(), "[::ffff:10.0.0.1]:1", Some("198.51.100.5"), "198.51.100.5"),
        (
            "XF-19",
            trusting(),
            "[2001:db8:f::1]:1",
            Some("2001:db8:1::5, 2001:db8:f::2"),
            "2001:db8:1::5",
        ),
        ("XF-20", count(1), CLIENT, Some("1.2.3.4, 198.51.100.5"), "198.51.100.5"),
        (
            "XF-21",
            count(3),
            CLIENT,
            Some("1.2.3.4, 198.51.100.5, 10.0.0.8, 10.0.0.7"),
            "198.51.100.5",
        ),
        ("XF-22", count(3), CLIENT, Some("198.51.100.5"), "203.0.113.9"),
        // The leftmost (W-22) and the rightmost entry would both be wrong.
        (
            "three proxies",
            trusting(),
            PROXY,
            Some("6.6.6.6, 198.51.100.5, 10.0.0.8, 10.0.0.7"),
            "198.51.100.5",
        ),
        ("nobody", untrusting(), PROXY, Some("198.51.100.5"), "10.0.0.1"),
    ] {
        let fields = chain.map(|chain| ("x-forwarded-for", chain));
        let seen = send(layer, request(peer, fields.as_slice())).await.unwrap();
        assert_eq!(client(&seen), expected, "{row}");
        let evidence = ClientAddr::of(&seen.request).unwrap().evidence();
        let is_peer = PeerAddr::of(&seen.request).unwrap().ip().unwrap().to_string() == expected;
        assert_eq!(evidence == Evidence::Peer, is_peer, "{row}");
    }
}

/// XF-23.
#[tokio::test]
async fn one_of_the_two_fields_is_believed_and_the_other_is_dropped() {
    let fields = [("x-forwarded-for", "198.51.100.5"), ("forwarded", "for=198.51.100.6")];
    for (layer, expected, other) in [
        (trusting(), "198.51.100.5", "198.51.100.6"),
        (by_forwarded(), "198.51.100.6", "198.51.100.5"),
    ] {
        let seen = send(layer, request(PROXY, &fields)).await.unwrap();
        assert_eq!(client(&seen), expected);
        assert!(!format!("{:?}", seen.request.headers()).contains(other));
    }
    // Even if only that field is present: the proxy that writes one may pass the other on.
    let seen = send(trusting(), request(PROXY, &fields[1..])).await.unwrap();
    assert_eq!(client(&seen), "10.0.0.1");
    let seen = send(by_forwarded(), request(PROXY, &fields[..1])).await.unwrap();
    assert_eq!(client(&seen), "10.0.0.1");
}

/// W-9: a hop that hides its client still reports what the client addressed.
#[tokio::test]
async fn a_hidden_client_has_no_address_but_an_origin() {
    let fields = [("forwarded", "for=6.6.6.6, for=_hidden;host=a.example;proto=https")];
    let seen = send(by_forwarded(), request(PROXY, &fields)).await.unwrap();
    assert_eq!(client(&seen), "10.0.0.1");
    let origin = PublicOrigin::of(&seen.request).unwrap();
    assert_eq!(
        (origin.scheme().as_str(), origin.host().unwrap().as_bytes()),
        ("https", &b"a.example"[..])
    );
    let kept = ["for=_hidden;host=a.example;proto=https", "for=10.0.0.1;proto=http"];
    assert_eq!(lines(seen.request.headers(), "forwarded"), kept);
}

/// W-25: values from untrusted peers decide nothing.
#[tokio::test]
async fn the_origin_is_what_the_client_addressed() {
    let fields =
        [("host", "a.example"), ("x-forwarded-proto", "https"), ("x-forwarded-host", "evil")];
    let seen = send(trusting(), request(CLIENT, &fields)).await.unwrap();
    let origin = PublicOrigin::of(&seen.request).unwrap();
    assert_eq!(
        (origin.scheme().as_str(), origin.port(), origin.evidence()),
        ("http", 80, Evidence::Peer)
    );
    assert_eq!(origin.host().unwrap(), "a.example");
    assert_eq!(lines(seen.request.headers(), "x-forwarded-host"), ["a.example"]);
    let absolute = Request::get("http://b.example:81/").header(HOST, "a.example").body(()).unwrap();
    let seen = send(untrusting(), absolute).await.unwrap();
    assert_eq!(lines(seen.request.headers(), "x-forwarded-host"), ["b.example:81"]);
    assert_eq!(lines(seen.request.headers(), "x-forwarded-port"), ["81"]);
}

#[tokio::test]
async fn fields_that_are_switched_off_are_not_there() {
    let fields =
        [("x-forwarded-for", "198.51.100.5"), ("x-real-ip", "198.51.100.5"), ("host", "a")];
    for field in [
        (Field::XForwardedFor, "x-forwarded-for"),
        (Field::XForwardedProto, "x-forwarded-proto"),
        (Field::XForwardedHost, "x-forwarded-host"),
        (Field::XForwardedPort, "x-forwarded-port"),
        (Field::XForwardedPrefix, "x-forwarded-prefix"),
        (Field::XRealIp, "x-real-ip"),
        (Field::Forwarded, "forwarded"),
    ] {
        let layer = trusting().stripped_prefix("/a".parse().unwrap());
        let all = send(layer.clone(), request(PROXY, &fields)).await.unwrap();
        assert!(all.request.headers().contains_key(field.1), "{field:?}");
        let without = layer.write(Fields::ALL.without(field.0));
        let seen = send(without, request(PROXY, &fields)).await.unwrap();
        assert!(!seen.request.headers().contains_key(field.1), "{field:?}");
    }
    let seen = send(trusting().write(Fields::NONE), request(PROXY, &fields)).await.unwrap();
    assert_eq!(seen.request.headers().len(), 1, "Host");
    assert_eq!(client(&seen), "198.51.100.5", "known all the same");
}

#[tokio::test]
async fn what_a_trusted_proxy_says_beside_the_chain_passes_but_never_by_an_alias() {
    let fields = [
        ("true-client-ip", "198.51.100.5"),
        ("client-cert", ":AAAA:"),
        ("x-bartizan-a", "1"),
        ("x-forwarded-server", "lb"),
        ("x_forwarded_for", "6.6.6.6"),
        ("x_bartizan_b", "1"),
    ];
    let seen = send(trusting(), request(PROXY, &fields)).await.unwrap();
    let headers = seen.request.headers();
    for (name, _) in &fields[..4] {
        assert!(headers.contains_key(*name), "{name}");
    }
    assert!(!headers.contains_key("x_forwarded_for"));
}

/// T-7 to T-9, TP-3, TP-5.
#[tokio::test]
async fn traces_pass_untouched_or_start_anew_at_the_edge() {
    let traced = [
        ("traceparent", "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-extra"),
        ("tracestate", "a=1"),
        ("tracestate", "b=2"),
    ];
    let seen = send(untrusting(), request(CLIENT, &traced)).await.unwrap();
    assert_eq!(lines(seen.request.headers(), "traceparent"), [traced[0].1]);
    assert_eq!(lines(seen.request.headers(), "tracestate"), ["a=1", "b=2"]);
    let seen = send(trusting().restart_traces(), request(PROXY, &traced)).await.unwrap();
    assert_eq!(lines(seen.request.headers(), "tracestate"), ["a=1", "b=2"]);
    let seen = send(trusting().restart_traces(), request(CLIENT, &traced)).await.unwrap();
    let headers = seen.request.headers();
    assert!(!headers.contains_key("traceparent") && !headers.contains_key("tracestate"));
}

/// FB-12, W-3.
#[tokio::test]
async fn a_response_does_not_tell_of_the_way_in() {
    let seen = send(untrusting(), request(CLIENT, &[])).await.unwrap();
    assert!(seen.response.contains_key("x-answer"));
    assert!(
        !seen.response.contains_key("forwarded") && !seen.response.contains_key("x-forwarded-for")
    );
}

#[tokio::test]
async fn an_unknown_peer_is_not_trusted_and_a_hook_may_know_it() {
    let everybody =
        || TrustedPeers::networks(["0.0.0.0/0".parse().unwrap()]).and_loopback().and_unix();
    let spoofed = || Request::get("/").header("x-forwarded-for", "6.6.6.6");
    let layer = untrusting().trust(everybody());
    let seen = send(layer.clone(), spoofed().body(()).unwrap()).await.unwrap();
    assert!(ClientAddr::of(&seen.request).is_none());
    assert!(!seen.request.headers().contains_key("x-forwarded-for"));
    assert_eq!(lines(seen.request.headers(), "forwarded"), ["for=unknown;proto=http"]);

    let hooked = layer.peer_from(|extensions| extensions.get().copied());
    let addr: std::net::SocketAddr = PROXY.parse().unwrap();
    let seen = send(hooked, spoofed().extension(addr).body(()).unwrap()).await.unwrap();
    assert_eq!(client(&seen), "6.6.6.6");
    assert_eq!(PeerAddr::of(&seen.request).unwrap().addr(), Some(addr));
}
