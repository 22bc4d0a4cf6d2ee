//! What any Tower service must keep to.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod common;

use std::convert::Infallible;

use bartizan_trace::{TraceBackendsLayer, TraceRequestsLayer};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Empty;
use tower::{Layer, Service, ServiceExt, limit::ConcurrencyLimit, service_fn};

/// `ConcurrencyLimit` panics if an instance is called that was not polled ready; and a permit that is not
/// given back makes the second call wait for ever.
#[tokio::test]
async fn the_ready_instance_is_called_and_permits_are_given_back() {
    let spans = common::Spans::new();
    let inner = service_fn(async |_: Request<()>| {
        Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
    });
    let tried = TraceBackendsLayer::new(spans.tracer()).layer(ConcurrencyLimit::new(inner, 1));
    let mut service = TraceRequestsLayer::new(spans.tracer()).layer(tried);
    for _ in 0..3 {
        let response = service.ready().await.unwrap().call(Request::new(())).await.unwrap();
        assert_eq!(response.status(), 200);
    }
    drop(service.ready().await.unwrap().call(Request::new(())));
    assert!(service.ready().await.is_ok());
}
