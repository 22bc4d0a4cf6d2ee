//! DNS rebinding and foreign pages, against the whole stack in hyper and in axum.
#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "test support")]

mod common;

use std::net::SocketAddr;

use axum::{Router, routing::get};
use bartizan::{
    ReverseProxyStack, forwarded::TrustedPeers, memory::MemoryStore, origin::GuardOriginLayer,
    peer, pin::Backends, upstream::Upstream,
};
use bartizan_testkit::{
    CounterServer,
    client::{Answer, INITIALIZE, Raw},
};
use common::Gateway;
use http::Method;
use http_body_util::Full;
use tokio::net::TcpListener;
use tower::Layer;

fn stack(server: &CounterServer) -> ReverseProxyStack<MemoryStore> {
    let backends = Backends::new([server.uri().parse().unwrap()]);
    ReverseProxyStack::mcp(MemoryStore::new(), backends)
}

/// Serves `stack` with axum, and gives its origin.
async fn axum(stack: ReverseProxyStack<MemoryStore>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let proxy =
        stack.forwarded(|layer| layer.peer_from(peer::of_axum)).layer(Upstream::builder().build());
    let app = Router::new().route_service("/mcp", proxy);
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, app).await });
    format!("http://{address}")
}

/// Serves `stack` in an accept loop, and gives its origin.
async fn hyper(stack: ReverseProxyStack<MemoryStore>) -> (Gateway, String) {
    let gateway = Gateway::serve(
        stack.layer(Upstream::builder().build()),
        MemoryStore::new(),
        Backends::new([]),
    );
    let gateway = gateway.await;
    let origin = gateway.uri();
    (gateway, origin)
}

/// Asks for a session as a page would.
async fn open(origin: &str, fields: &[(&str, &str)]) -> Answer {
    let client = Raw::new(origin);
    let request = client.request(Method::POST, None);
    let request = fields.iter().fold(request, |all, (name, value)| all.header(*name, *value));
    client.send(request.body(Full::from(INITIALIZE)).unwrap()).await
}

const REBOUND: [(&str, &str); 2] = [("host", "evil.example"), ("origin", "http://evil.example")];
const APP: &str = "https://app.example";

/// The checks for both servers.
async fn check(server: &CounterServer, origin: &str) {
    let refused = open(origin, &REBOUND).await;
    assert_eq!(refused.status, 421);
    assert!(refused.message()["error"]["message"].as_str().unwrap().contains("--allow-host"));
    assert!(refused.message().get("id").is_none());
    for page in ["https://evil.example", "null"] {
        let refused = open(origin, &[("origin", page)]).await;
        assert_eq!(refused.status, 403, "{page}");
        assert!(refused.message()["error"]["message"].as_str().unwrap().contains("--allow-origin"));
    }
    assert!(server.journal().is_empty(), "a backend was called");
    for fields in [
        &[("origin", APP)][..],
        &[("origin", origin), ("sec-fetch-site", "same-origin")],
        &[("origin", "http://localhost:6274")],
        &[("host", "gw.example"), ("origin", "http://gw.example")],
        // Not a browser.
        &[("host", "tunnel.example")],
    ] {
        assert!(open(origin, fields).await.session().is_some(), "{fields:?}");
    }
}

fn allow(layer: GuardOriginLayer) -> GuardOriginLayer {
    layer.allow_host("gw.example".parse().unwrap()).allow_origin(APP.parse().unwrap())
}

#[tokio::test]
async fn a_rebound_page_opens_no_session_through_axum() {
    let server = CounterServer::start().await;
    check(&server, &axum(stack(&server).origin(allow)).await).await;
}

#[tokio::test]
async fn a_rebound_page_opens_no_session_through_hyper() {
    let server = CounterServer::start().await;
    let (_gateway, origin) = hyper(stack(&server).origin(allow)).await;
    check(&server, &origin).await;
}

#[tokio::test]
async fn behind_a_trusted_terminator_the_public_name_counts() {
    let server = CounterServer::start().await;
    let trusting = stack(&server)
        .origin(allow)
        .forwarded(|layer| layer.trust(TrustedPeers::networks(["127.0.0.0/8".parse().unwrap()])));
    let origin = axum(trusting).await;
    let behind = |host, page| {
        let fields = [("x-forwarded-proto", "https"), ("x-forwarded-host", host), ("origin", page)];
        let origin = origin.clone();
        async move { open(&origin, &fields).await.status }
    };
    assert_eq!(behind("gw.example", "https://gw.example").await, 200);
    assert_eq!(behind("gw.example", "http://gw.example").await, 403);
    assert_eq!(behind("evil.example", "https://evil.example").await, 421);
}

#[tokio::test]
async fn it_can_be_switched_off_and_is_off_for_other_protocols() {
    let server = CounterServer::start().await;
    let off = axum(stack(&server).origin(|layer| layer.only_if(false))).await;
    assert!(open(&off, &REBOUND).await.session().is_some());
    let bare = axum(stack(&server).without_guards()).await;
    assert!(open(&bare, &REBOUND).await.session().is_some());
    let header = || {
        let backends = Backends::new([server.uri().parse().unwrap()]);
        ReverseProxyStack::header("mcp-session-id".parse().unwrap(), MemoryStore::new(), backends)
    };
    assert!(open(&axum(header()).await, &REBOUND).await.session().is_some());
    assert_eq!(open(&axum(header().origin(|layer| layer)).await, &REBOUND).await.status, 421);
}

/// Around an application's own routes.
#[tokio::test]
async fn the_layer_guards_routes_of_axum_by_itself() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let guard = allow(GuardOriginLayer::new()).peer_from(peer::of_axum);
    let app = Router::new().route("/mcp", get(async || "hello")).layer(guard);
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, app).await });
    let client = Raw::new(&format!("http://{address}"));
    for (page, status) in [(APP, 200), ("http://localhost:1", 200), ("http://evil.example", 403)] {
        let request = client.request(Method::GET, None).header("origin", page);
        let answer = client.send(request.body(Full::default()).unwrap()).await;
        assert_eq!(answer.status, status, "{page}");
    }
}
