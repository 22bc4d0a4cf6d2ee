//! What a request that is not recorded costs in allocations, beside those of the service inside.
#![allow(clippy::unwrap_used, reason = "test support")]

use std::{convert::Infallible, future::ready};

use bartizan_core::{Passage, PeerAddr};
use bartizan_trace::{Ratio, TraceBackendsLayer, TraceRequestsLayer};
use bytes::Bytes;
use futures_util::FutureExt;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use opentelemetry::trace::TracerProvider;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tower::{Layer, Service, service_fn};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

const LINE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-";

#[test]
fn a_request_that_is_not_recorded_costs_none() {
    let _profiler = dhat::Profiler::builder().testing().build();
    let tracer = SdkTracerProvider::builder().build().tracer("test");
    let inner = service_fn(|_: Request<()>| {
        ready(Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"abc")))))
    });
    let tried = TraceBackendsLayer::new(tracer.clone()).layer(inner);
    let layer = TraceRequestsLayer::new(tracer).sample(Ratio::new(1e-12).unwrap());
    let mut service = layer.layer(tried);
    let (off, on) = (format!("{LINE}00"), format!("{LINE}01"));
    for (parent, is_trusted, expected) in [
        (None, false, 0),
        (Some(&*off), true, 0),
        (Some(&*off), false, 0),
        (Some("malformed"), false, 0),
        // A stranger's flag is taken back in a line of its own.
        (Some(&*on), false, 1),
    ] {
        // The first request may set up what the thread keeps.
        for round in 0..2 {
            let request = parent
                .into_iter()
                .fold(Request::get("/"), |all, line| all.header("traceparent", line));
            let mut request = request.header("tracestate", "a=1").body(()).unwrap();
            PeerAddr::new("127.0.0.1:1".parse().unwrap()).attach(&mut request);
            Passage::with(&mut request, |passage| passage.set_trusts_peer(is_trusted));
            let before = dhat::HeapStats::get().total_blocks;
            let response = service.call(request).now_or_never().unwrap().unwrap();
            let mut body = response.into_body();
            assert!(body.frame().now_or_never().unwrap().is_some());
            assert!(body.frame().now_or_never().unwrap().is_none());
            let allocated = dhat::HeapStats::get().total_blocks - before;
            if round > 0 {
                assert_eq!(allocated, expected, "{parent:?}");
            }
        }
    }
    assert_eq!(layer.counts().recorded(), 0);
}
