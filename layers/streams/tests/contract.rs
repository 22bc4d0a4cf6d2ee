//! The contract of every Tower service, and that ids are secrets.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod common;

use std::num::NonZeroUsize;

use bartizan_core::{GuardBody, Reason};
use bartizan_streams::TrackStreamsLayer;
use bytes::Bytes;
use common::World;
use http::{Request, Response};
use http_body_util::Empty;
use tower::{Layer, Service, ServiceExt, limit::ConcurrencyLimit, service_fn};

fn listening() -> Request<()> {
    Request::get("/").header("accept", "text/event-stream").body(()).unwrap()
}

/// `ConcurrencyLimit` panics if it is called on an instance that was not polled ready, and a leaked permit would make
/// the second call wait forever.
#[tokio::test]
async fn the_ready_instance_is_called_and_permits_are_given_back() {
    let inner = service_fn(async |_: Request<()>| {
        let response = Response::builder().header("content-type", "text/event-stream");
        Ok::<_, std::convert::Infallible>(
            response.body(GuardBody::forwarded(Empty::<Bytes>::new())).unwrap(),
        )
    });
    let layer = TrackStreamsLayer::new().max(NonZeroUsize::MIN);
    let mut service = layer.layer(ConcurrencyLimit::new(inner, 1));
    let kept = service.ready().await.unwrap().call(listening()).await.unwrap();
    for (request, expected) in
        [(listening(), 503), (Request::default(), 503), (Request::post("/").body(()).unwrap(), 200)]
    {
        let response = service.ready().await.unwrap().call(request).await.unwrap();
        assert_eq!(response.status(), expected);
        assert_eq!(Reason::of(&response).is_some(), expected != 200);
    }
    drop(kept);
    let abandoned = service.ready().await.unwrap().call(listening());
    drop(abandoned);
    assert!(service.ready().await.is_ok());
}

/// A layer never makes an error itself; it passes on those of the inner service.
#[tokio::test]
async fn errors_are_the_inner_services() {
    let inner =
        service_fn(async |_: Request<()>| Err::<Response<GuardBody<Empty<Bytes>>>, _>("down"));
    let layer = TrackStreamsLayer::new();
    assert_eq!(layer.layer(inner).oneshot(listening()).await.unwrap_err(), "down");
    assert!(layer.streams().is_empty());
}

/// An inner service that is neither `Clone` nor `Send` works, too.
#[tokio::test]
async fn the_inner_service_need_not_be_clone_or_send() {
    struct Plain(std::rc::Rc<()>);
    impl Service<Request<()>> for Plain {
        type Response = Response<GuardBody<Empty<Bytes>>>;
        type Error = std::convert::Infallible;
        type Future = std::future::Ready<Result<Self::Response, Self::Error>>;
        fn poll_ready(
            &mut self,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Result<(), Self::Error>> {
            std::task::Poll::Ready(Ok(()))
        }
        fn call(&mut self, _: Request<()>) -> Self::Future {
            let _ = &self.0;
            std::future::ready(Ok(Response::new(GuardBody::forwarded(Empty::new()))))
        }
    }
    let response = TrackStreamsLayer::new().layer(Plain(std::rc::Rc::default()));
    assert_eq!(response.oneshot(listening()).await.unwrap().status(), 200);
}

#[tokio::test]
async fn no_id_is_printed() {
    let layer = TrackStreamsLayer::new();
    let world = World::new(&layer);
    world.open("secret-id");
    let response = world.listen("secret-id").await;
    let all = format!("{:?} {:?} {:?} {layer:?}", world.streams.list(), response, world.streams);
    assert!(!all.contains("secret"), "{all}");
    assert!(format!("{:?}", world.streams.list()[0].id()).starts_with("StreamId("));
}
