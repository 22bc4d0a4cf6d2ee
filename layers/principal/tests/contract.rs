//! The contract of every Tower service.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::convert::Infallible;

use bartizan_principal::NamePrincipalLayer;
use http::{Request, Response};
use tower::{Layer, Service, ServiceExt, limit::ConcurrencyLimit, service_fn};

/// `ConcurrencyLimit` panics if it is called on an instance that was not polled ready, and a leaked permit would make
/// the second call wait forever.
#[tokio::test]
async fn the_ready_instance_is_called_and_permits_are_given_back() {
    for layer in [NamePrincipalLayer::jwt(), NamePrincipalLayer::none()] {
        let inner = service_fn(async |_: Request<()>| Ok::<_, Infallible>(Response::new(())));
        let mut service = layer.layer(ConcurrencyLimit::new(inner, 1));
        for _ in 0..2 {
            service.ready().await.unwrap().call(Request::default()).await.unwrap();
        }
        drop(service.ready().await.unwrap().call(Request::default()));
        assert!(service.ready().await.is_ok());
    }
}

#[tokio::test]
async fn errors_are_the_inner_services() {
    let inner = service_fn(async |_: Request<()>| Err::<Response<()>, _>("down"));
    let named = NamePrincipalLayer::authorization().layer(inner);
    assert_eq!(named.oneshot(Request::default()).await.unwrap_err(), "down");
}
