//! Switching the layer at run time: as an `Option` of a layer, or with its own switch.
#![allow(clippy::unwrap_used, reason = "test support")]

mod common;

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use bartizan_core::GuardBody;
use bartizan_memory::MemoryStore;
use bartizan_pin::{Backends, PinBackendLayer};
use bartizan_resume::{
    ResumeSessionLayer,
    split::{Gateways, PathSegment, SplitSessionLayer},
};
use bartizan_session::ValidateSessionLayer;
use bytes::Bytes;
use common::{World, open, post};
use http::{Request, Response};
use http_body::Body;
use http_body_util::Full;
use tower::{Layer, Service, ServiceBuilder, ServiceExt};

/// The world, for requests with any body: as the innermost service of a stack has to be.
#[derive(Clone, Debug)]
struct Any(World);

impl<B> Service<Request<B>> for Any
where
    B: Body<Data = Bytes, Error: std::fmt::Debug> + Send + 'static,
{
    type Response = Response<GuardBody<Full<Bytes>>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        Box::pin(self.0.clone().respond(request))
    }
}

fn pin() -> PinBackendLayer {
    PinBackendLayer::new(Backends::new(["http://a:1", "http://b:1"].map(|it| it.parse().unwrap())))
}

/// The status of a call in a session whose backend is lost, through `$layer` over the layer that pins.
macro_rules! after_loss {
    ($store:expr, $method:ident($layer:expr)) => {{
        let world = World::default();
        let service = ServiceBuilder::new()
            .layer(ValidateSessionLayer::mcp($store.clone()))
            .$method($layer)
            .layer(pin())
            .service(Any(world.clone()));
        let id = open(&service).await;
        assert_eq!(post(&service, &id).await, 200);
        assert_eq!(world.lose_all(), 1);
        post(&service, &id).await
    }};
}

#[tokio::test(start_paused = true)]
async fn a_stack_has_the_layer_or_not() {
    for (is_there, status) in [(true, 200), (false, 503)] {
        let store = MemoryStore::new();
        let resume = is_there.then(|| ResumeSessionLayer::new(store.clone()));
        assert_eq!(after_loss!(store, option_layer(resume)), status, "{is_there}");
    }
}

/// Without a session layer above it, in the order that the builder gives.
#[tokio::test]
async fn an_optional_layer_stands_directly_over_the_one_that_pins() {
    for resume in [Some(ResumeSessionLayer::new(MemoryStore::new())), None] {
        let service =
            ServiceBuilder::new().option_layer(resume).layer(pin()).service(Any(World::default()));
        let body = GuardBody::forwarded(Full::<Bytes>::from("{}"));
        let request = Request::post("/mcp").body(body).unwrap();
        assert_eq!(service.oneshot(request).await.unwrap().status(), 200);
    }
}

#[tokio::test(start_paused = true)]
async fn a_layer_that_is_off_resumes_nothing() {
    for (is_on, status) in [(true, 200), (false, 503)] {
        let store = MemoryStore::new();
        let resume = ResumeSessionLayer::new(store.clone()).only_if(is_on);
        let counts = resume.counts();
        assert_eq!(after_loss!(store, layer(resume)), status, "{is_on}");
        assert_eq!(counts.resumed(), u64::from(is_on));
    }
}

#[tokio::test]
async fn a_stack_splits_sessions_or_not() {
    let split = SplitSessionLayer::new(MemoryStore::new(), PathSegment::new(0), Gateways::new());
    for (split, status) in [(Some(split), 503), (None, 200)] {
        let service =
            ServiceBuilder::new().option_layer(split).layer(pin()).service(Any(World::default()));
        let body = GuardBody::forwarded(Full::<Bytes>::from("{}"));
        let request = Request::post("/unknown/mcp").body(body).unwrap();
        assert_eq!(service.oneshot(request).await.unwrap().status(), status);
    }
}

#[test]
fn layers_and_services_print_their_names() {
    let resume = ResumeSessionLayer::new(MemoryStore::new());
    let split = SplitSessionLayer::new(MemoryStore::new(), PathSegment::new(0), Gateways::new());
    let inner = Any(World::default());
    for (printed, name) in [
        (format!("{resume:?}"), "ResumeSessionLayer {"),
        (format!("{:?}", resume.layer(inner.clone())), "ResumeSession {"),
        (format!("{split:?}"), "SplitSessionLayer {"),
        (format!("{:?}", split.layer(inner)), "SplitSession {"),
    ] {
        assert!(printed.starts_with(name), "{printed}");
    }
}
