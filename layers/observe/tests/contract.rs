//! What any Tower service must keep to.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::convert::Infallible;

use bartizan_observe::Metrics;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Empty;
use tower::{Layer, Service, ServiceExt, limit::ConcurrencyLimit, service_fn};

/// `ConcurrencyLimit` panics if an instance is called that was not polled ready; and a permit that is not
/// given back makes the second call wait for ever.
#[tokio::test]
async fn the_ready_instance_is_called_and_permits_are_given_back() {
    for is_on in [true, false] {
        let inner = service_fn(async |_: Request<()>| {
            Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
        });
        let metrics = Metrics::new();
        let inner = metrics.backends().only_if(is_on).layer(ConcurrencyLimit::new(inner, 1));
        let mut service = metrics.edge().only_if(is_on).layer(inner);
        for _ in 0..2 {
            let response = service.ready().await.unwrap().call(Request::default()).await.unwrap();
            assert_eq!(response.status(), 200);
        }
        drop(service.ready().await.unwrap().call(Request::default()));
        assert!(service.ready().await.is_ok());
    }
}

/// A layer makes no error of its own, and passes that of the service inside on.
#[tokio::test]
async fn errors_are_the_inner_services() {
    let inner = service_fn(async |_: Request<()>| Err::<Response<Empty<Bytes>>, _>("down"));
    let metrics = Metrics::new();
    let service = metrics.edge().layer(metrics.backends().layer(inner));
    assert_eq!(service.oneshot(Request::default()).await.unwrap_err(), "down");
    let snapshot = metrics.snapshot();
    assert_eq!(snapshot.number("http_server_active_requests", &[]), Some(0));
    let labels = [("http_request_method", "GET"), ("status_class", "none")];
    let none = snapshot.durations("http_server_request_duration_seconds", &labels);
    assert_eq!(none.unwrap().count(), 1);
}
