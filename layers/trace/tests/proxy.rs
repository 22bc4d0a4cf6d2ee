//! Two proxies and their backends, over real connections.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test")]

mod common;

use std::sync::{Arc, Mutex};

use bartizan_core::GuardBody;
use bartizan_pin::{Backends, PinBackendLayer, balance::RoundRobin};
use bartizan_testkit::{Server, serve, server::boxed};
use bartizan_trace::{TraceBackendsLayer, TraceRequestsLayer};
use bartizan_upstream::Upstream;
use http::{Request, Response};
use http_body_util::Full;
use opentelemetry::trace::SpanKind;
use opentelemetry_sdk::trace::SpanData;
use tower::{Layer, ServiceExt};

use common::*;

/// A backend that notes each `traceparent`.
async fn backend() -> (Server, Arc<Mutex<Vec<String>>>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&seen);
    let server = serve(move |request: Request<_>| {
        let line = request.headers()["traceparent"].to_str().unwrap().to_owned();
        noted.lock().unwrap().push(line);
        async { Response::new(boxed(Full::from("done"))) }
    });
    (server.await, seen)
}

/// A proxy of all `backends` that records with `spans`.
async fn proxy(spans: &Spans, backends: Vec<String>) -> Server {
    let backends = Backends::new(backends.iter().map(|uri| uri.parse().unwrap()));
    let tried = TraceBackendsLayer::new(spans.tracer()).layer(Upstream::builder().build());
    let pinned = PinBackendLayer::new(backends).balance(RoundRobin::new()).layer(tried);
    let service = TraceRequestsLayer::new(spans.tracer()).trust_all().layer(pinned);
    serve(move |request: Request<hyper::body::Incoming>| {
        let service = service.clone();
        async move {
            let response = service.oneshot(request.map(GuardBody::forwarded)).await.unwrap();
            response.map(boxed)
        }
    })
    .await
}

/// A port that refuses connections.
async fn refusing() -> String {
    let mut server = serve(async |_| unreachable!()).await;
    server.kill().await;
    server.uri()
}

fn ids(span: &SpanData) -> (String, String, String) {
    let context = &span.span_context;
    (context.trace_id().to_string(), context.span_id().to_string(), span.parent_span_id.to_string())
}

/// agentgateway forwarded what it got, so that its span and the backend's were siblings
/// (<https://github.com/agentgateway/agentgateway/issues/2904>).
#[tokio::test]
async fn one_trace_runs_through_two_proxies_and_a_failover() {
    let (backend, seen) = backend().await;
    let (at_a, at_b) = (Spans::new(), Spans::new());
    let b = proxy(&at_b, vec![backend.uri()]).await;
    let a = proxy(&at_a, vec![refusing().await, b.uri()]).await;
    let client = bartizan_testkit::client::Raw::new(&a.uri());
    // By turns: one of two goes to the first.
    let mut failovers = 0;
    for _ in 0..2 {
        let request = Request::post(format!("{}/mcp", a.uri())).header("traceparent", line("01"));
        let answer = client.send(request.body(Full::default()).unwrap()).await;
        assert_eq!(answer.text(), "done");

        let mut spans = at_a.take();
        let whole = spans.pop().unwrap();
        assert_eq!(whole.span_kind, SpanKind::Server);
        let (trace, request_id, parent) = ids(&whole);
        assert_eq!((&*trace, &*parent), (TRACE, PARENT));
        for tried in &spans {
            assert_eq!(tried.span_kind, SpanKind::Client);
            assert_eq!(ids(tried).2, request_id, "each try is a child of the request");
        }
        let last = spans.pop().unwrap();
        if let Some(first) = spans.pop() {
            failovers += 1;
            assert_eq!(attribute(&first, "error.type").unwrap(), "connection_refused");
            assert_ne!(attribute(&first, "server.port"), attribute(&last, "server.port"));
        }
        assert!(attribute(&last, "error.type").is_none());

        let [tried, whole] = <[SpanData; 2]>::try_from(at_b.take()).unwrap();
        let (_, try_id, _) = ids(&last);
        let (trace, request_id, parent) = ids(&whole);
        assert_eq!((&*trace, parent), (TRACE, try_id), "the other proxy is a child of the try");
        let (trace, try_id, parent) = ids(&tried);
        assert_eq!((&*trace, parent), (TRACE, request_id));
        let line = seen.lock().unwrap().pop().unwrap();
        assert_eq!(
            line,
            format!("00-{TRACE}-{try_id}-01"),
            "the backend is a child of the last try"
        );
    }
    assert_eq!(failovers, 1);
}
