//! tower-http's layers around the stack: those that fit, and the effects of those that break it. These tests show what
//! the guide page `tower_http` says.
#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "test support")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{Router, body::Body, response::Response};
use bartizan::{
    ReverseProxyStack, core::mcp, memory::MemoryStore, origin::AllowedOrigin, pin::Backends,
    upstream::Upstream,
};
use bartizan_testkit::{
    BoxBody, Server,
    client::{INITIALIZE, call},
    serve,
    server::boxed,
};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, header::AUTHORIZATION};
use http_body_util::{BodyExt, Full, channel::Channel};
use hyper::body::Incoming;
use tokio::time::{sleep, timeout};
use tower::{
    Layer, ServiceBuilder, ServiceExt,
    retry::{Policy, RetryLayer},
};
use tower_http::{
    catch_panic::CatchPanicLayer,
    compression::{CompressionLayer, predicate::SizeAbove},
    cors::{AllowHeaders, CorsLayer},
    limit::RequestBodyLimitLayer,
    request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer},
    sensitive_headers::SetSensitiveHeadersLayer,
    timeout::{ResponseBodyDeadlineLayer, ResponseBodyTimeoutLayer, TimeoutLayer},
    trace::TraceLayer,
};

const SESSION: &str = "session-1";
const PAGE: &str = "https://app.example";
const EVENT: &[u8] = b"data: hello\n\n";
const SHORT: Duration = Duration::from_millis(100);
/// Long enough for data that arrives at once.
const WAIT: Duration = Duration::from_millis(400);

/// A backend whose calls take three times [`SHORT`] and then fail, and whose event streams send one event and are
/// silent afterwards. It counts the calls.
async fn backend() -> (Server, Arc<AtomicUsize>) {
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&calls);
    let server = serve(move |request| respond(request, Arc::clone(&counter))).await;
    (server, calls)
}

async fn respond(request: Request<Incoming>, calls: Arc<AtomicUsize>) -> http::Response<BoxBody> {
    let (mut response, content_type) = if request.method() == Method::GET {
        let (mut sender, body) = Channel::<Bytes>::new(1);
        tokio::spawn(async move {
            let _ = sender.send_data(Bytes::from_static(EVENT)).await;
            sleep(Duration::from_secs(60)).await;
        });
        (http::Response::new(boxed(body)), "text/event-stream")
    } else {
        let is_call = request.headers().contains_key(&mcp::SESSION_ID);
        if is_call {
            calls.fetch_add(1, Ordering::SeqCst);
            sleep(SHORT * 3).await;
        }
        let text = Bytes::from(format!("{{\"text\":\"{}\"}}", "x".repeat(1_000)));
        let mut response = http::Response::new(boxed(Full::from(text)));
        if is_call {
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        }
        (response, "application/json")
    };
    response.headers_mut().insert("content-type", HeaderValue::from_static(content_type));
    response.headers_mut().insert(&mcp::SESSION_ID, HeaderValue::from_static(SESSION));
    response
}

fn stack(server: &Server) -> ReverseProxyStack<MemoryStore> {
    let page: AllowedOrigin = PAGE.parse().unwrap();
    let backends = Backends::new([server.uri().parse().unwrap()]);
    ReverseProxyStack::mcp(MemoryStore::new(), backends).origin(|layer| layer.allow_origin(page))
}

/// The stack on a route of axum.
fn router(server: &Server) -> Router {
    Router::new().route_service("/mcp", stack(server).layer(Upstream::builder().build()))
}

fn request(method: Method, session: Option<&str>, body: impl Into<Body>) -> Request<Body> {
    let request = Request::builder().method(method).uri("/mcp").header("host", "localhost");
    let request = request
        .header("accept", "application/json, text/event-stream")
        .header("accept-encoding", "gzip")
        .header("content-type", "application/json");
    let request = match session {
        Some(id) => request.header(&mcp::SESSION_ID, id),
        None => request,
    };
    request.body(body.into()).unwrap()
}

async fn open(app: &Router) -> Response {
    let opened = app.clone().oneshot(request(Method::POST, None, INITIALIZE)).await.unwrap();
    assert_eq!(opened.status(), 200);
    opened
}

async fn listen(app: &Router) -> Response {
    app.clone().oneshot(request(Method::GET, Some(SESSION), Body::empty())).await.unwrap()
}

/// The next bytes of the body, if they come in time; an error if it breaks off.
async fn next(body: &mut Body) -> Option<Result<Bytes, axum::Error>> {
    let frame = timeout(WAIT, body.frame()).await.ok()??;
    Some(frame.map(|frame| frame.into_data().unwrap_or_default()))
}

/// All layers that fit, in their order.
#[tokio::test]
async fn these_fit_around_the_stack() {
    let (server, calls) = backend().await;
    let around = ServiceBuilder::new()
        .layer(SetSensitiveHeadersLayer::new([AUTHORIZATION, mcp::SESSION_ID.clone()]))
        .layer(SetRequestIdLayer::x_request_id(MakeRequestUuid))
        .layer(TraceLayer::new_for_http())
        .layer(PropagateRequestIdLayer::x_request_id())
        .layer(
            CorsLayer::new()
                .allow_origin(PAGE.parse::<HeaderValue>().unwrap())
                .allow_headers(AllowHeaders::mirror_request())
                .expose_headers([mcp::SESSION_ID.clone()]),
        )
        .layer(CatchPanicLayer::new())
        .layer(RequestBodyLimitLayer::new(10_000));
    let app = router(&server).layer(around);
    let opened = open(&app).await;
    assert_eq!(opened.headers()[&mcp::SESSION_ID], SESSION);
    assert!(opened.headers().contains_key("x-request-id"));
    let mut stream = listen(&app).await.into_body();
    assert_eq!(next(&mut stream).await.unwrap().unwrap(), EVENT);
    // The stream stays open.
    assert!(next(&mut stream).await.is_none());
    // A refusal of the stack is readable to the page, and so is its id.
    let mut unknown = request(Method::POST, Some("unknown"), call(1, "any"));
    unknown.headers_mut().insert("origin", PAGE.parse().unwrap());
    let refused = app.clone().oneshot(unknown).await.unwrap();
    assert_eq!(refused.status(), 404);
    assert_eq!(refused.headers()["access-control-allow-origin"], PAGE);
    assert!(refused.headers().contains_key("x-request-id"));
    let large = request(Method::POST, Some(SESSION), vec![b' '; 10_001]);
    let mut large = large;
    large.headers_mut().insert("content-length", "10001".parse().unwrap());
    assert_eq!(app.oneshot(large).await.unwrap().status(), 413);
    assert_eq!(calls.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn compression_spares_event_streams_only_by_its_default_predicate_and_flushes_others() {
    let (server, _) = backend().await;
    let spared = router(&server).layer(CompressionLayer::new());
    assert_eq!(open(&spared).await.headers()["content-encoding"], "gzip");
    let stream = listen(&spared).await;
    assert!(!stream.headers().contains_key("content-encoding"));
    assert_eq!(next(&mut stream.into_body()).await.unwrap().unwrap(), EVENT);

    let compressed =
        router(&server).layer(CompressionLayer::new().compress_when(SizeAbove::new(0)));
    open(&compressed).await;
    let stream = listen(&compressed).await;
    assert_eq!(stream.headers()["content-encoding"], "gzip");
    let mut stream = stream.into_body();
    let mut received = Vec::new();
    while let Some(Ok(bytes)) = next(&mut stream).await {
        received.extend_from_slice(&bytes);
    }
    // The whole event, up to the flush marker.
    assert!(received.len() > 10 && received.ends_with(&[0, 0, 0xff, 0xff]), "{received:?}");
}

#[tokio::test]
async fn a_timeout_ends_long_calls_with_an_empty_body() {
    let (server, calls) = backend().await;
    let layer = TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, SHORT);
    let app = router(&server).layer(layer);
    open(&app).await;
    let ended = app.oneshot(request(Method::POST, Some(SESSION), call(1, "any"))).await.unwrap();
    assert_eq!(ended.status(), 504);
    assert_eq!(ended.into_body().collect().await.unwrap().to_bytes(), "");
    // The backend had begun the work.
    assert_eq!(calls.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn limits_on_response_bodies_cut_event_streams_off() {
    let (server, _) = backend().await;
    for app in [
        router(&server).layer(ResponseBodyTimeoutLayer::new(SHORT)),
        router(&server).layer(ResponseBodyDeadlineLayer::new(SHORT)),
    ] {
        open(&app).await;
        let mut stream = listen(&app).await.into_body();
        assert_eq!(next(&mut stream).await.unwrap().unwrap(), EVENT);
        assert!(next(&mut stream).await.unwrap().is_err());
    }
}

/// Sends a request again that was answered with 500.
#[derive(Clone)]
struct Once(bool);

impl<B: Clone, R, E> Policy<Request<B>, http::Response<R>, E> for Once {
    type Future = std::future::Ready<()>;

    fn retry(
        &mut self,
        _: &mut Request<B>,
        result: &mut Result<http::Response<R>, E>,
    ) -> Option<Self::Future> {
        let failed = result.as_ref().is_ok_and(|response| response.status() == 500);
        let retries = failed && !std::mem::replace(&mut self.0, true);
        retries.then(|| std::future::ready(()))
    }

    fn clone_request(&mut self, request: &Request<B>) -> Option<Request<B>> {
        Some(request.clone())
    }
}

#[tokio::test]
async fn a_retry_makes_the_backend_work_twice() {
    let (server, calls) = backend().await;
    let proxy = stack(&server).layer(Upstream::builder().build());
    let app = RetryLayer::new(Once(false)).layer(proxy);
    let of = |session, body: String| {
        let (head, _) = request(Method::POST, session, Body::empty()).into_parts();
        Request::from_parts(head, Full::<Bytes>::from(body))
    };
    let opened = app.clone().oneshot(of(None, INITIALIZE.to_owned())).await.unwrap();
    assert_eq!(opened.status(), 200);
    app.oneshot(of(Some(SESSION), call(1, "any"))).await.unwrap();
    assert_eq!(calls.load(Ordering::SeqCst), 2);
}
