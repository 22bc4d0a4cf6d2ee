//! The contract of every Tower service.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use bartizan_hops::LimitHopsLayer;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Empty;
use tower::{Layer, Service, ServiceExt, limit::ConcurrencyLimit, service_fn};

/// `ConcurrencyLimit` panics if it is called on an instance that was not polled ready, and a leaked permit would make
/// the second call wait forever.
macro_rules! the_ready_instance_is_called {
    ($layer:expr, $body:ty) => {
        let inner = service_fn(async |_: Request<$body>| {
            Ok::<_, std::convert::Infallible>(Response::new(Empty::<Bytes>::new()))
        });
        let mut service = $layer.layer(ConcurrencyLimit::new(inner, 1));
        for connection in ["close", "via", "close"] {
            let request =
                Request::get("/").header("connection", connection).body(Empty::<Bytes>::new());
            let response = service.ready().await.unwrap().call(request.unwrap()).await.unwrap();
            let expected = if connection == "close" { 200 } else { 400 };
            assert_eq!(response.status(), expected);
        }
        let abandoned = service.ready().await.unwrap().call(Request::default());
        drop(abandoned);
        assert!(service.ready().await.is_ok());
    };
}

#[tokio::test]
async fn the_ready_instance_is_called_and_permits_are_given_back() {
    the_ready_instance_is_called!(LimitHopsLayer::new(), Empty<Bytes>);
}

/// A layer never makes an error itself; it passes on those of the inner service.
#[tokio::test]
async fn errors_are_the_inner_services() {
    let inner = service_fn(async |_: Request<()>| Err::<Response<Empty<Bytes>>, _>("down"));
    let sanitised = LimitHopsLayer::new().layer(inner);
    assert_eq!(sanitised.oneshot(Request::default()).await.unwrap_err(), "down");
}
