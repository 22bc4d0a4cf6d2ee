//! Guards that a request passes one after the other: in routers of one server, and in servers of one process.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test support")]

mod common;

use std::convert::Infallible;

use axum::{Router, body::Body, routing::get};
use bartizan::{
    ReverseProxyStack,
    core::{ClientAddr, PeerAddr, PublicOrigin, Reason},
    forwarded::{SanitizeForwardedLayer, TrustedPeers},
    hops::LimitHopsLayer,
    memory::MemoryStore,
    pin::Backends,
    upstream::Upstream,
};
use bartizan_testkit::{
    Wire,
    server::{Server, boxed, serve},
};
use bytes::Bytes;
use common::Gateway;
use http::{HeaderMap, HeaderName, Request, Response};
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tower::{Layer, ServiceExt};

/// Requests without it are forwarded.
const SESSION_ID: HeaderName = HeaderName::from_static("x-session-id");

/// A separate stack, with a random name, in front of `origin`.
async fn default_stack(origin: &str) -> Gateway {
    stack_with(origin, LimitHopsLayer::new()).await
}

async fn stack_with(origin: &str, hops: LimitHopsLayer) -> Gateway {
    let store = MemoryStore::new();
    let backends = Backends::new([origin.parse().unwrap()]);
    let stack =
        ReverseProxyStack::header(SESSION_ID, store.clone(), backends.clone()).hops(|_| hops);
    Gateway::serve(stack.layer(Upstream::builder().build()), store, backends).await
}

/// A backend that responds with the loop-detection fields of the request.
async fn backend() -> Server {
    serve(async |request: Request<Incoming>| {
        let marks = [marks(request.headers(), "x-hop-count"), marks(request.headers(), "via")];
        Response::new(boxed(Full::<Bytes>::from(marks.join("; "))))
    })
    .await
}

fn marks(headers: &HeaderMap, name: &str) -> String {
    let lines = headers.get_all(name).iter().map(|line| line.to_str().unwrap());
    lines.collect::<Vec<_>>().join(", ")
}

/// The status of the response to a plain request, and its body.
async fn ask(uri: String) -> (u16, String) {
    let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
    let response = client.get(uri.parse().unwrap()).await.unwrap();
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.into()).unwrap())
}

#[tokio::test]
async fn two_default_stacks_of_one_process_are_a_chain() {
    let backend = backend().await;
    let b = default_stack(&backend.uri()).await;
    let a = default_stack(&b.uri()).await;
    let (status, marks) = ask(a.uri()).await;
    assert_eq!(status, 200, "{marks}");
    let (count, via) = marks.split_once("; ").unwrap();
    assert_eq!((count, via.matches("bartizan-").count()), ("2", 2), "{marks}");
}

#[tokio::test]
async fn two_default_stacks_of_one_process_that_point_at_each_other_are_a_loop() {
    let wire = Wire::lay().await;
    let b = default_stack(&format!("http://{}", wire.addr)).await;
    let a = default_stack(&b.uri()).await;
    wire.lead_to(a.addr);
    assert_eq!(ask(a.uri()).await.0, 508);
    assert_eq!(wire.requests(), 1);
}

/// Two services of one layer are one gateway, which a request may cross once.
#[tokio::test]
async fn two_services_of_one_layer_are_a_loop_over_the_network() {
    let backend = backend().await;
    let hops = LimitHopsLayer::new();
    let b = stack_with(&backend.uri(), hops.clone()).await;
    assert_eq!(ask(b.uri()).await.0, 200);
    let a = stack_with(&b.uri(), hops).await;
    assert_eq!(ask(a.uri()).await.0, 508);
}

async fn echo(request: Request<Body>) -> String {
    let headers = request.headers();
    format!("{}; {}", marks(headers, "x-hop-count"), marks(headers, "via"))
}

#[tokio::test]
async fn a_router_may_be_guarded_twice_by_one_layer_and_a_third_time_is_a_loop() {
    let guard = LimitHopsLayer::new();
    let mut router = Router::new().route("/", get(echo));
    for depth in 1..=3 {
        router = Router::new().nest("/in", router).layer(guard.clone());
        let path = "/in".repeat(depth);
        let request = Request::get(&path).body(Body::empty()).unwrap();
        let response = router.clone().oneshot(request).await.unwrap();
        if depth == 3 {
            assert_eq!(response.status(), 508);
            assert_eq!(Reason::of(&response), Some(Reason::LoopDetected));
            continue;
        }
        assert_eq!(response.status(), 200, "{depth}");
        let marks = response.into_body().collect().await.unwrap().to_bytes();
        let marks = std::str::from_utf8(&marks).unwrap();
        assert!(marks.starts_with("1; 1.1 bartizan-") && !marks.contains(','), "{marks}");
    }
}

/// A user's own guard, around a router in which the stack is nested.
#[tokio::test]
async fn a_nested_stack_keeps_the_client_that_the_outer_layer_found() {
    let hops = LimitHopsLayer::new();
    let store = MemoryStore::new();
    let backends = Backends::new(["http://a:1".parse().unwrap()]);
    let stack = ReverseProxyStack::header(SESSION_ID, store, backends)
        .hops(|_| hops.clone())
        .forwarded(|layer| layer.stripped_prefix("/api".parse().unwrap()));
    let inside = tower::service_fn(async |request: Request<_>| {
        let client = ClientAddr::of(&request).unwrap().ip();
        let prefix = PublicOrigin::of(&request).unwrap().prefix().cloned();
        let headers = request.headers();
        let text = [
            client.to_string(),
            marks(headers, "x-forwarded-for"),
            marks(headers, "x-hop-count"),
            prefix.expect("a prefix").to_str().unwrap().to_owned(),
        ];
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(text.join("; "))))
    });
    let proxies = TrustedPeers::networks(["10.0.0.0/8".parse().unwrap()]);
    let app = Router::new()
        .nest_service("/api", stack.layer(inside))
        .layer(hops)
        .layer(SanitizeForwardedLayer::new().trust(proxies));
    let request = Request::get("/api/x").header("x-forwarded-for", "198.51.100.5");
    let mut request = request.body(Body::empty()).unwrap();
    PeerAddr::new("10.0.0.1:1".parse().unwrap()).attach(&mut request);
    let response = app.oneshot(request).await.unwrap();
    assert_eq!(response.status(), 200);
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, "198.51.100.5; 198.51.100.5, 10.0.0.1; 1; /api");
}
