//! The allocations of a request, in addition to those of the inner service.
#![allow(clippy::unwrap_used, reason = "test support")]

use std::{convert::Infallible, future::ready};

use bartizan_core::{GuardBody, PeerAddr};
use bartizan_origin::GuardOriginLayer;
use bytes::Bytes;
use futures_util::FutureExt;
use http::{Request, Response};
use http_body_util::Empty;
use tower::{Layer, Service, service_fn};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

#[test]
fn a_request_that_passes_costs_none_whether_a_browser_sent_it_or_not() {
    let _profiler = dhat::Profiler::builder().testing().build();
    let inner = service_fn(|_: Request<()>| {
        ready(Ok::<_, Infallible>(Response::new(GuardBody::forwarded(Empty::<Bytes>::new()))))
    });
    let layer = GuardOriginLayer::new()
        .allow_host("gw.example".parse().unwrap())
        .allow_origin("https://app.example".parse().unwrap());
    let mut service = layer.layer(inner);
    for fields in [
        &[("host", "any.example")][..],
        &[("host", "gw.example"), ("origin", "https://app.example")],
        &[("host", "[::1]:81"), ("origin", "http://[::1]:81"), ("sec-fetch-site", "same-origin")],
    ] {
        let request =
            fields.iter().fold(Request::get("/"), |all, (name, value)| all.header(*name, *value));
        let mut request = request.body(()).unwrap();
        PeerAddr::new("127.0.0.1:1".parse().unwrap()).attach(&mut request);
        let before = dhat::HeapStats::get().total_blocks;
        let response = service.call(request).now_or_never().unwrap().unwrap();
        let allocated = dhat::HeapStats::get().total_blocks - before;
        assert_eq!((response.status().as_u16(), allocated), (200, 0), "{fields:?}");
    }
}
