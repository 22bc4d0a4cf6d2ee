//! The stack in an axum application: its type, what handlers read, and its shutdown.
#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "test support")]

use std::{net::SocketAddr, time::Duration};

use axum::{
    Json, Router,
    body::Body,
    extract::{Request, State},
    response::{IntoResponse, Response},
    routing::{any, post},
};
use bartizan::{
    BoxedProxy, ClientAddr, ReverseProxy, ReverseProxyStack, Session, SessionProxy,
    forwarded::{SanitizeForwardedLayer, TrustedPeers},
    hops::LimitHopsLayer,
    memory::MemoryStore,
    peer,
    pin::Backends,
    upstream::Upstream,
};
use bartizan_testkit::{CounterServer, client::Raw};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    sync::oneshot,
    time::{Instant, timeout},
};
use tower::{Layer, ServiceExt};

fn stack(servers: &[CounterServer]) -> ReverseProxyStack<MemoryStore> {
    let backends = servers.iter().map(|server| server.uri().parse().unwrap());
    ReverseProxyStack::mcp(MemoryStore::new(), Backends::new(backends))
}

async fn start(app: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, app).await });
    format!("http://{address}")
}

/// Opens a session and counts to three in it.
async fn count(origin: &str) {
    let client = Raw::new(origin);
    let id = client.initialize().await;
    for expected in 1..=3 {
        assert_eq!(client.increment(&id).await.count(), Some(expected));
    }
}

/// The type can be named: in a field, and in the state that handlers share.
#[derive(Clone)]
struct App {
    proxy: ReverseProxy<SessionProxy<Upstream, MemoryStore>>,
}

async fn from_field(State(app): State<App>, request: Request) -> Response {
    app.proxy.oneshot(request).await.into_response()
}

#[tokio::test]
async fn the_proxy_is_kept_in_a_field_of_the_state() {
    let servers = CounterServer::start_many(2).await;
    let app = App { proxy: stack(&servers).layer(Upstream::builder().build()) };
    let router = Router::new().route("/mcp", any(from_field)).with_state(app);
    count(&start(router).await).await;
}

async fn from_box(State(proxy): State<BoxedProxy<Body>>, request: Request) -> Response {
    proxy.oneshot(request).await.into_response()
}

#[tokio::test]
async fn a_boxed_proxy_is_state_by_itself() {
    let servers = CounterServer::start_many(2).await;
    let proxy = stack(&servers).layer(Upstream::builder().build()).boxed();
    let router = Router::new().route("/mcp", any(from_box)).with_state(proxy);
    count(&start(router).await).await;
}

async fn who(client: ClientAddr, session: Option<Session>, Json(body): Json<Value>) -> Json<Value> {
    Json(json!({ "client": client.ip(), "has_session": session.is_some(), "asked": body["ask"] }))
}

/// The guards once, in front of all routes, and the stack without them.
fn guarded(servers: &[CounterServer]) -> Router {
    let proxy = stack(servers).without_guards().layer(Upstream::builder().build());
    let balancer = TrustedPeers::default().and_loopback();
    Router::new()
        .route("/who", post(who))
        .route_service("/mcp", proxy)
        .layer(LimitHopsLayer::new())
        .layer(SanitizeForwardedLayer::new().trust(balancer).peer_from(peer::of_axum))
}

#[tokio::test]
async fn a_handler_extracts_the_client_beside_its_body() {
    let servers = CounterServer::start_many(1).await;
    let origin = start(guarded(&servers)).await;
    let request = http::Request::post(format!("{origin}/who"))
        .header("content-type", "application/json")
        .header("x-forwarded-for", "198.51.100.5")
        .body(Full::from(r#"{"ask":1}"#));
    let answer = Raw::new(&origin).send(request.unwrap()).await;
    let answer: Value = serde_json::from_str(&answer.text()).unwrap();
    assert_eq!(answer, json!({ "client": "198.51.100.5", "has_session": false, "asked": 1 }));
    count(&origin).await;
    // The application's guards wrote the fields that the backend sees, once.
    let journal = servers[0].journal();
    assert!(journal.iter().all(|entry| entry.headers["x-hop-count"] == "1"));
}

#[tokio::test]
async fn a_fact_that_no_layer_recorded_is_rejected_with_the_reason() {
    let router = Router::new().route("/who", post(who));
    let request = http::Request::post("/who").header("content-type", "application/json");
    let response = router.oneshot(request.body(Body::from("{}")).unwrap()).await.unwrap();
    assert_eq!(response.status(), 500);
    let text = response.into_body().collect().await.unwrap().to_bytes();
    assert!(String::from_utf8_lossy(&text).contains("SanitizeForwardedLayer"));
}

/// Without `shut_down`, axum would wait for the stream forever.
#[tokio::test]
async fn a_graceful_shutdown_ends_an_open_stream_within_a_second() {
    let servers = CounterServer::start_many(1).await;
    let stack = stack(&servers);
    let (shutdown, open) = (stack.shutdown(), stack.open_streams());
    let app = Router::new().route_service("/mcp", stack.layer(Upstream::builder().build()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let (stop, stopping) = oneshot::channel::<()>();
    let serving = tokio::spawn(async move {
        let stopped = async move {
            let _ = stopping.await;
            shutdown.shut_down(Duration::from_secs(10)).await;
        };
        axum::serve(listener, app).with_graceful_shutdown(stopped).await
    });
    let client = Raw::new(&origin);
    let id = client.initialize().await;
    let mut stream = client.get_stream(&id).await.unwrap().into_body();
    assert_eq!(open.len(), 1);

    let start = Instant::now();
    stop.send(()).unwrap();
    while let Some(Ok(_)) = stream.frame().await {}
    timeout(Duration::from_secs(5), serving).await.unwrap().unwrap().unwrap();
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
}
