//! The adapter that lets hyper call a Tower service.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test")]

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bartizan::{connection::ConnectionService, core::PeerAddr};
use http::{Request, Response};
use hyper::service::Service;
use tokio::sync::Semaphore;
use tower::{BoxError, ServiceBuilder, service_fn};

fn peer() -> PeerAddr {
    PeerAddr::new("192.0.2.7:4711".parse().unwrap())
}

#[tokio::test]
async fn a_request_is_told_its_peer_and_called_before_its_future_is_polled() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&calls);
    let service = service_fn(move |request: Request<()>| {
        counter.fetch_add(1, Ordering::SeqCst);
        let ip = PeerAddr::of(&request).and_then(PeerAddr::ip);
        async move { Ok::<_, Infallible>(Response::new(ip)) }
    });
    let future = ConnectionService::new(service, peer()).call(Request::new(()));
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    assert_eq!(future.await.unwrap().into_body(), Some("192.0.2.7".parse().unwrap()));
}

#[tokio::test]
async fn a_request_waits_for_a_service_that_is_not_ready() {
    let gate = Arc::new(Semaphore::new(0));
    let inside = Arc::clone(&gate);
    let service = service_fn(move |_: Request<()>| {
        let gate = Arc::clone(&inside);
        async move {
            gate.acquire().await.unwrap().forget();
            Ok::<_, Infallible>(Response::new("done"))
        }
    });
    let service = ServiceBuilder::new().concurrency_limit(1).service(service);
    let service = ConnectionService::new(service, peer());
    let first = tokio::spawn(service.call(Request::new(())));
    tokio::task::yield_now().await;
    let second = tokio::spawn(service.call(Request::new(())));
    tokio::task::yield_now().await;
    assert!(!first.is_finished() && !second.is_finished());
    gate.add_permits(2);
    for call in [first, second] {
        assert_eq!(call.await.unwrap().unwrap().into_body(), "done");
    }
}

#[tokio::test]
async fn a_service_that_fails_to_be_ready_is_an_error() {
    struct Broken;
    impl tower::Service<Request<()>> for Broken {
        type Response = Response<()>;
        type Error = BoxError;
        type Future = std::future::Pending<Result<Response<()>, BoxError>>;

        fn poll_ready(
            &mut self,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Result<(), BoxError>> {
            std::task::Poll::Ready(Err("broken".into()))
        }

        fn call(&mut self, _: Request<()>) -> Self::Future {
            panic!("called, though it was not ready");
        }
    }
    impl Clone for Broken {
        fn clone(&self) -> Self {
            Self
        }
    }
    let failed = ConnectionService::new(Broken, peer()).call(Request::new(())).await;
    assert_eq!(failed.unwrap_err().to_string(), "broken");
}
