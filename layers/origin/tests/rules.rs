//! The rules of the crate's front page, in their order.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bartizan_core::{
    ClientAddr, Dialect, GuardBody, Passage, PeerAddr, PublicOrigin, Reason, client::Evidence,
};
use bartizan_origin::GuardOriginLayer;
use bytes::Bytes;
use http::{HeaderValue, Request, Response, Version, request::Builder, uri::Scheme};
use http_body_util::{BodyExt, Empty};
use tower::{Layer, ServiceExt, service_fn};

type Answer = Response<GuardBody<Empty<Bytes>>>;

const REMOTE: &str = "203.0.113.9:50000";
const LOCAL: &str = "127.0.0.1:50000";

/// The response, and whether the inner service was called.
async fn send(layer: &GuardOriginLayer, request: Request<()>) -> (Answer, bool) {
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&calls);
    let inner = service_fn(move |_: Request<()>| {
        counter.fetch_add(1, Ordering::SeqCst);
        std::future::ready(Ok::<_, Infallible>(Response::new(GuardBody::forwarded(Empty::new()))))
    });
    let response = layer.layer(inner).oneshot(request).await.unwrap();
    (response, calls.load(Ordering::SeqCst) == 1)
}

/// The status. Also checks that the inner service was called exactly if the request was not
/// refused.
async fn status(layer: &GuardOriginLayer, request: Request<()>) -> u16 {
    let (response, was_called) = send(layer, request).await;
    let status = response.status().as_u16();
    let reason = match status {
        200 => None,
        400 => Some(Reason::InvalidHost),
        421 => Some(Reason::HostNotAllowed),
        403 => Some(Reason::OriginNotAllowed),
        other => unreachable!("{other}"),
    };
    assert_eq!((Reason::of(&response), was_called), (reason, reason.is_none()));
    status
}

fn request(fields: &[(&str, &str)]) -> Builder {
    fields
        .iter()
        .fold(Request::post("/mcp"), |request, (name, value)| request.header(*name, *value))
}

fn from(peer: &str, request: Builder) -> Request<()> {
    let mut request = request.body(()).unwrap();
    PeerAddr::new(peer.parse().unwrap()).attach(&mut request);
    request
}

async fn of(layer: &GuardOriginLayer, peer: &str, fields: &[(&str, &str)]) -> u16 {
    status(layer, from(peer, request(fields))).await
}

fn guard() -> GuardOriginLayer {
    GuardOriginLayer::new()
}

#[tokio::test]
async fn what_no_browser_sent_passes_whatever_its_host() {
    for fields in [
        &[("host", "evil.example")][..],
        &[],
        &[("host", "a"), ("host", "b")],
        &[("host", "not a host")],
        &[("host", "evil.example"), ("user-agent", "Mozilla/5.0"), ("referer", "http://evil/")],
    ] {
        assert_eq!(of(&guard(), REMOTE, fields).await, 200, "{fields:?}");
    }
}

#[tokio::test]
async fn without_one_valid_host_a_browsers_request_is_malformed() {
    for hosts in [&[][..], &["localhost", "localhost"], &[""], &["u@localhost"], &["localhost:x"]] {
        let fields: Vec<_> = hosts.iter().map(|host| ("host", *host)).collect();
        for browser in [("origin", "http://localhost"), ("sec-fetch-mode", "cors")] {
            let fields = [&fields[..], &[browser]].concat();
            assert_eq!(of(&guard(), LOCAL, &fields).await, 400, "{fields:?}");
        }
    }
    // Bytes that are not ASCII.
    let host = HeaderValue::from_bytes("münchen.example".as_bytes()).unwrap();
    let request = request(&[("sec-fetch-mode", "cors")]).header("host", host);
    assert_eq!(status(&guard(), from(LOCAL, request)).await, 400);
}

/// RFC 9113 §8.3.1.
#[tokio::test]
async fn over_http2_host_must_be_the_authority_and_that_counts() {
    for (authority, host, expected) in [
        ("localhost:8080", None, 200),
        ("localhost:8080", Some("LOCALHOST:8080"), 200),
        ("localhost:8080", Some("evil.example"), 400),
        ("evil.example", Some("localhost"), 400),
        ("evil.example", None, 421),
    ] {
        let request = Request::post(format!("http://{authority}/mcp")).version(Version::HTTP_2);
        let request = request.header("sec-fetch-mode", "cors");
        let request = match host {
            Some(host) => request.header("host", host),
            None => request,
        };
        assert_eq!(status(&guard(), from(LOCAL, request)).await, expected, "{authority} {host:?}");
    }
}

/// RFC 9112 §3.2.2.
#[tokio::test]
async fn an_absolute_target_counts_over_host() {
    for (target, host, expected) in [
        ("http://localhost/mcp", "evil.example", 200),
        ("http://evil.example/mcp", "localhost", 421),
        ("http://user@localhost/mcp", "localhost", 400),
    ] {
        let request = Request::post(target).header("host", host).header("sec-fetch-mode", "cors");
        assert_eq!(status(&guard(), from(LOCAL, request)).await, expected, "{target} {host}");
    }
}

#[tokio::test]
async fn the_host_must_be_loopback_or_the_listeners_or_allowed() {
    let layer = guard()
        .allow_host("gw.example".parse().unwrap())
        .allow_host("gw.example.org:8443".parse().unwrap())
        .allow_host("xn--mnchen-3ya.example".parse().unwrap())
        .allow_host("2001:db8::7".parse().unwrap());
    for (host, expected) in [
        ("localhost", 200),
        ("LOCALHOST.:8080", 200),
        ("127.0.0.1:8080", 200),
        ("127.8.8.8", 200),
        ("[::1]:8080", 200),
        ("[0:0::1]", 200),
        ("[::ffff:127.0.0.1]", 200),
        ("gw.example", 200),
        ("GW.Example.:9999", 200),
        ("gw.example.org:8443", 200),
        ("xn--mnchen-3ya.example", 200),
        ("[2001:db8:0::7]:1", 200),
        ("gw.example.org", 421),
        ("gw.example.org:443", 421),
        ("evil.example", 421),
        ("sub.gw.example", 421),
        ("gw.example.evil.example", 421),
        ("a.localhost", 421),
        ("127.1", 421),
        ("0x7f000001", 421),
        ("2130706433", 421),
        ("0.0.0.0", 421),
        ("[::]", 421),
        ("192.0.2.7", 421),
        ("[2001:db8::8]", 421),
    ] {
        // A top-level navigation has no `Origin`.
        let fields = [("host", host), ("sec-fetch-mode", "navigate")];
        assert_eq!(of(&layer, REMOTE, &fields).await, expected, "{host}");
    }
    // An allowed port is the default one of the scheme if none is named.
    let layer = guard().allow_host("gw.example:443".parse().unwrap());
    let fields = [("host", "gw.example"), ("sec-fetch-mode", "navigate")];
    assert_eq!(of(&layer, REMOTE, &fields).await, 421);
    assert_eq!(of(&layer.over_tls(), REMOTE, &fields).await, 200);
}

#[tokio::test]
async fn the_addresses_of_the_listener_are_allowed() {
    let accepted = |local: &str, host: &str| {
        let mut request = request(&[("host", host), ("sec-fetch-mode", "cors")]).body(()).unwrap();
        let peer = PeerAddr::new(REMOTE.parse().unwrap());
        peer.accepted_at(local.parse().unwrap()).attach(&mut request);
        request
    };
    for (local, host, expected) in [
        ("192.0.2.7:8080", "192.0.2.7:8080", 200),
        ("192.0.2.7:8080", "192.0.2.7", 200),
        ("[::ffff:192.0.2.7]:8080", "192.0.2.7", 200),
        ("[2001:db8::7]:8080", "[2001:db8::7]:8080", 200),
        ("192.0.2.7:8080", "192.0.2.8:8080", 421),
        ("192.0.2.7:8080", "evil.example", 421),
    ] {
        assert_eq!(status(&guard(), accepted(local, host)).await, expected, "{local} {host}");
    }
    // Stated by the user of the layer.
    for (listener, host, expected) in [
        ("192.0.2.7:8080", "192.0.2.7", 200),
        ("192.0.2.7:8080", "192.0.2.8", 421),
        ("0.0.0.0:8080", "192.0.2.8", 200),
        ("[::]:8080", "[2001:db8::8]:1", 200),
        ("0.0.0.0:8080", "evil.example", 421),
    ] {
        let layer = guard().listener(listener.parse::<SocketAddr>().unwrap());
        let fields = [("host", host), ("sec-fetch-mode", "cors")];
        assert_eq!(of(&layer, REMOTE, &fields).await, expected, "{listener} {host}");
    }
}

#[tokio::test]
async fn an_origin_must_be_the_host_itself() {
    let layer = guard().allow_host("gw.example".parse().unwrap());
    for (host, origin, expected) in [
        ("gw.example", "http://gw.example", 200),
        ("gw.example", "http://GW.example.:80", 200),
        ("gw.example:80", "http://gw.example", 200),
        ("gw.example:", "http://gw.example", 200),
        ("gw.example:8080", "http://gw.example:8080", 200),
        ("[::1]:81", "http://[0::1]:81", 200),
        ("localhost:8080", "http://localhost:8080", 200),
        ("gw.example", "https://gw.example", 403),
        ("gw.example:443", "https://gw.example", 403),
        ("gw.example:8080", "http://gw.example", 403),
        ("gw.example", "http://sub.gw.example", 403),
        ("localhost:8080", "http://127.0.0.1:8080", 403),
        ("localhost:8080", "http://localhost:8081", 403),
    ] {
        let fields = [("host", host), ("origin", origin)];
        assert_eq!(of(&layer, REMOTE, &fields).await, expected, "{host} {origin}");
    }
    let tls = layer.over_tls();
    for (host, origin, expected) in [
        ("gw.example", "https://gw.example", 200),
        ("gw.example:443", "https://gw.example", 200),
        ("gw.example", "https://gw.example:443", 200),
        ("gw.example", "http://gw.example", 403),
    ] {
        let fields = [("host", host), ("origin", origin)];
        assert_eq!(of(&tls, REMOTE, &fields).await, expected, "{host} {origin}");
    }
    // The connection shows TLS.
    let mut request = request(&[("host", "localhost"), ("origin", "https://localhost")]);
    request = request.version(Version::HTTP_11);
    let mut request = request.body(()).unwrap();
    PeerAddr::new(REMOTE.parse().unwrap()).over_tls().attach(&mut request);
    assert_eq!(status(&guard(), request).await, 200);
}

#[tokio::test]
async fn loopback_pages_are_allowed_to_local_clients_only() {
    let page = [("host", "localhost:8080"), ("origin", "http://localhost:6274")];
    for origin in ["http://localhost:6274", "http://127.0.0.1", "https://[::1]:1"] {
        let page = [("host", "localhost:8080"), ("origin", origin)];
        assert_eq!(of(&guard(), LOCAL, &page).await, 200, "{origin}");
        assert_eq!(of(&guard(), "[::1]:1", &page).await, 200, "{origin}");
        assert_eq!(of(&guard(), REMOTE, &page).await, 403, "{origin}");
    }
    for origin in ["http://a.localhost", "tauri://localhost", "http://localhost.evil.example"] {
        let page = [("host", "localhost:8080"), ("origin", origin)];
        assert_eq!(of(&guard(), LOCAL, &page).await, 403, "{origin}");
    }
    // Unknown is not local.
    assert_eq!(status(&guard(), request(&page).body(()).unwrap()).await, 403);
    let found = guard().peer_from(|_| "[::ffff:127.0.0.1]:1".parse().ok());
    assert_eq!(status(&found, request(&page).body(()).unwrap()).await, 200);
    // A trusted proxy on this machine forwards for a client elsewhere.
    let mut forwarded = from(LOCAL, request(&page));
    let client = REMOTE.parse::<SocketAddr>().unwrap().ip();
    ClientAddr::new(client, None, Evidence::Forwarded).attach(&mut forwarded);
    assert_eq!(status(&guard(), forwarded).await, 403);
}

#[tokio::test]
async fn an_allowed_origin_passes_and_null_or_any_other_does_not() {
    let layer = guard()
        .allow_origin("https://app.example".parse().unwrap())
        .allow_origin("http://[2001:db8::7]:81".parse().unwrap())
        .allow_origin("chrome-extension://abcdef".parse().unwrap());
    for (origin, expected) in [
        ("https://app.example", 200),
        ("https://APP.example:443", 200),
        ("http://[2001:db8:0::7]:81", 200),
        ("chrome-extension://abcdef", 200),
        ("http://app.example", 403),
        ("https://app.example:8443", 403),
        ("https://app.example.evil.example", 403),
        ("https://app.example/", 403),
        ("https://u@app.example", 403),
        ("https://app.example https://app.example", 403),
        ("null", 403),
        ("", 403),
        ("*", 403),
        ("evil", 403),
    ] {
        for peer in [LOCAL, REMOTE] {
            let fields = [("host", "localhost:8080"), ("origin", origin)];
            assert_eq!(of(&layer, peer, &fields).await, expected, "{origin}");
        }
    }
    let twice = [("host", "localhost"), ("origin", "https://app.example")];
    let twice = [&twice[..], &twice[1..]].concat();
    assert_eq!(of(&layer, LOCAL, &twice).await, 403);
    // Allowing an origin does not allow its host.
    let rebound = [("host", "evil.example"), ("origin", "https://app.example")];
    assert_eq!(of(&layer, LOCAL, &rebound).await, 421);
}

/// The facts that a layer above has established count, not the fields.
#[tokio::test]
async fn behind_a_trusted_proxy_the_public_origin_counts() {
    let layer = guard().allow_host("gw.example".parse().unwrap());
    let behind = |public: PublicOrigin, origin: &str| {
        let mut request = from(REMOTE, request(&[("host", "10.0.0.7:8080"), ("origin", origin)]));
        public.attach(&mut request);
        request
    };
    let public = |scheme: Scheme, host: &'static str| {
        PublicOrigin::new(scheme, Evidence::Forwarded)
            .with_host(Some(HeaderValue::from_static(host)))
    };
    for (public, origin, expected) in [
        (public(Scheme::HTTPS, "gw.example"), "https://gw.example", 200),
        (public(Scheme::HTTPS, "gw.example").with_port(Some(8443)), "https://gw.example:8443", 200),
        (public(Scheme::HTTPS, "gw.example").with_port(Some(8443)), "https://gw.example", 403),
        (public(Scheme::HTTPS, "gw.example"), "http://gw.example", 403),
        (public(Scheme::HTTP, "gw.example:81"), "http://gw.example:81", 200),
        (public(Scheme::HTTPS, "evil.example"), "https://evil.example", 421),
        (PublicOrigin::new(Scheme::HTTP, Evidence::Peer), "http://10.0.0.7:8080", 400),
    ] {
        assert_eq!(status(&layer, behind(public.clone(), origin)).await, expected, "{public:?}");
    }
}

#[tokio::test]
async fn a_refusal_takes_the_form_of_the_protocol_and_names_the_option() {
    let layer = guard().refuse_as(Dialect::JsonRpc(None));
    let text = async |request: Request<()>| {
        let body = send(&layer, request).await.0.into_body().collect().await.unwrap();
        String::from_utf8(body.to_bytes().into()).unwrap()
    };
    let rebound = [("host", "evil.example"), ("origin", "http://evil.example")];
    let body = text(from(LOCAL, request(&rebound))).await;
    assert!(body.starts_with(r#"{"jsonrpc":"2.0","error":{"code":-32600,"#), "{body}");
    assert!(body.contains("--allow-host") && !body.contains("evil"), "{body}");
    let foreign = [("host", "localhost"), ("origin", "http://evil.example")];
    let body = text(from(LOCAL, request(&foreign))).await;
    assert!(body.contains("--allow-origin") && !body.contains("\"id\""), "{body}");
    let grpc = [&foreign[..], &[("content-type", "application/grpc")]].concat();
    let (response, _) = send(&layer, from(LOCAL, request(&grpc))).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["grpc-status"], "7");
    let (response, _) = send(&guard(), from(LOCAL, request(&foreign))).await;
    assert_eq!(response.headers()["content-type"], "application/problem+json");
}

#[tokio::test]
async fn switched_off_it_passes_everything() {
    let off = guard().only_if(false);
    assert_eq!(of(&off, LOCAL, &[("host", "evil.example"), ("origin", "null")]).await, 200);
}

/// A layer of this process has looked and recorded the result, which a client cannot forge.
#[tokio::test]
async fn it_looks_itself_unless_a_layer_above_has() {
    let foreign = [("host", "localhost"), ("origin", "https://evil.example")];
    let recorded = |from_browser: Option<bool>| {
        let mut request = from(LOCAL, request(&foreign));
        if let Some(from_browser) = from_browser {
            Passage::with(&mut request, |passage| passage.set_from_browser(from_browser));
        }
        request
    };
    for (from_browser, expected) in [(None, 403), (Some(true), 403), (Some(false), 200)] {
        assert_eq!(status(&guard().scanned_above(), recorded(from_browser)).await, expected);
        assert_eq!(status(&guard(), recorded(from_browser)).await, 403);
    }
}
