//! What a request costs in allocations, beside those of the services around.
#![allow(clippy::unwrap_used, reason = "test support")]

use std::{convert::Infallible, future::ready};

use bartizan_core::{Backend, Passage, Work};
use bartizan_observe::Metrics;
use bytes::Bytes;
use futures_util::FutureExt;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use tower::{Layer, Service, service_fn};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

#[test]
fn a_request_that_is_counted_at_both_ends_costs_none() {
    let _profiler = dhat::Profiler::builder().testing().build();
    let inner = service_fn(|_: Request<()>| {
        ready(Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"text")))))
    });
    let metrics = Metrics::new();
    let mut service = metrics.edge().layer(metrics.backends().layer(inner));
    let backends: [Backend; 2] = ["http://a:1", "http://b:1"].map(|origin| origin.parse().unwrap());
    for round in 0..3 {
        for backend in &backends {
            let mut request = Request::post("/").body(()).unwrap();
            Passage::with(&mut request, |passage| {
                passage.set_backend(backend.clone());
                passage.set_work(Work::Pinned);
            });
            let before = dhat::HeapStats::get().total_blocks;
            let response = service.call(request).now_or_never().unwrap().unwrap();
            let body = response.into_body();
            let mut body = std::pin::pin!(body);
            while body.frame().now_or_never().unwrap().is_some() {}
            let allocated = dhat::HeapStats::get().total_blocks - before;
            // The first request to a backend makes its numbers.
            assert!(round == 0 || allocated == 0, "{allocated}");
        }
    }
}
