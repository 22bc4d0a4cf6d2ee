//! The contract of every Tower service.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::convert::Infallible;

use bartizan_core::GuardBody;
use bartizan_origin::GuardOriginLayer;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Empty;
use tower::{Layer, Service, ServiceExt, limit::ConcurrencyLimit, service_fn};

type Body = GuardBody<Empty<Bytes>>;

/// `ConcurrencyLimit` panics if it is called on an instance that was not polled ready, and a leaked permit would make
/// the second call wait forever.
#[tokio::test]
async fn the_ready_instance_is_called_and_permits_are_given_back() {
    let inner = service_fn(async |_: Request<()>| {
        Ok::<_, Infallible>(Response::new(Body::forwarded(Empty::new())))
    });
    let mut service = GuardOriginLayer::new().layer(ConcurrencyLimit::new(inner, 1));
    for (origin, expected) in
        [("http://localhost", 200), ("http://evil.example", 403), ("http://localhost", 200)]
    {
        let request = Request::get("/").header("host", "localhost").header("origin", origin);
        let request = request.body(()).unwrap();
        let response = service.ready().await.unwrap().call(request).await.unwrap();
        assert_eq!(response.status(), expected);
    }
    drop(service.ready().await.unwrap().call(Request::default()));
    assert!(service.ready().await.is_ok());
}

/// A layer never makes an error itself; it passes on those of the inner service.
#[tokio::test]
async fn errors_are_the_inner_services() {
    let inner = service_fn(async |_: Request<()>| Err::<Response<Body>, _>("down"));
    let guarded = GuardOriginLayer::new().layer(inner);
    assert_eq!(guarded.oneshot(Request::default()).await.unwrap_err(), "down");
}
