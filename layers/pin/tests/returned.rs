//! A refusal returns the body of a request that was not sent, because it contains the id of the
//! request.
#![allow(clippy::unwrap_used, reason = "test support")]

mod common;

use std::{convert::Infallible, time::Duration};

use bartizan_core::{
    Backend, Dialect, GuardBody, Passage, Reason, Refusal, UpstreamFailure,
    failure::FailureKind,
    refusal::{RequestId, ReturnedBody},
};
use bartizan_pin::{Backends, OnLost, PinBackendLayer, ReclaimableBody};
use bytes::Bytes;
use common::*;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Empty, Full};
use tokio::time::sleep;
use tower::{Layer, Service, ServiceExt};

const CALL: &str = r#"{"jsonrpc":"2.0","id":7,"method":"ping"}"#;

/// A call of a session whose backend is at `backend`, as the guard of MCP sessions passes it on.
fn call(backend: &str) -> Request<Body> {
    let mut request = of_session(backend).map(|_| Full::from(CALL));
    *request.method_mut() = Method::POST;
    Passage::with(&mut request, |passage| passage.set_dialect(Dialect::JsonRpc(None)));
    request
}

async fn returned<R>(mut response: Response<R>) -> Option<Bytes> {
    let body = ReturnedBody::take(&mut response)?;
    Some(body.collect().await.unwrap().to_bytes())
}

async fn refused<S, R>(service: &S, request: Request<Body>, reason: Reason) -> Option<Bytes>
where
    S: Service<Request<Body>, Response = Response<R>, Error = Infallible> + Clone,
{
    let response = service.clone().oneshot(request).await.unwrap();
    assert_eq!(Reason::of(&response), Some(reason));
    returned(response).await
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_on_arrival_has_its_body() {
    let set = backends([A, B]);
    let service = PinBackendLayer::new(set.clone()).layer(World::default());
    set.remove(&A.parse::<Backend>().unwrap().id().clone());
    assert_eq!(refused(&service, call(A), Reason::BackendLost).await.unwrap(), CALL);
    let unknown = "http://unknown:1";
    assert_eq!(refused(&service, call(unknown), Reason::BackendUnknown).await.unwrap(), CALL);
    sleep(Duration::from_secs(11)).await;
    assert_eq!(refused(&service, call(unknown), Reason::BackendOutOfReach).await.unwrap(), CALL);
    // New work that no backend takes: only the body has the id.
    let service = PinBackendLayer::new(Backends::new([])).layer(World::default());
    let new = |dialect| {
        let mut request = Request::post("/mcp").body(Full::from(CALL)).unwrap();
        Passage::with(&mut request, |passage| passage.set_dialect(dialect));
        request
    };
    let without_id = new(Dialect::JsonRpc(None));
    assert_eq!(refused(&service, without_id, Reason::NoBackend).await.unwrap(), CALL);
    for dialect in [Dialect::JsonRpc(RequestId::from_raw("7")), Dialect::Problem, Dialect::Grpc] {
        assert!(refused(&service, new(dialect), Reason::NoBackend).await.is_none());
    }
}

#[tokio::test]
async fn nothing_is_returned_of_a_request_without_a_body() {
    let service = PinBackendLayer::new(backends([B])).layer(tower::service_fn(
        async |_: Request<ReclaimableBody<Empty<Bytes>>>| Ok::<_, Infallible>(Response::new(())),
    ));
    let request = call("http://unknown:1").map(|_| Empty::new());
    let response = service.oneshot(request).await.unwrap();
    assert_eq!(Reason::of(&response), Some(Reason::BackendUnknown));
    assert!(!ReturnedBody::is_in(&response));
}

/// The inner service returns the body; the refusal that replaces its own keeps it.
#[tokio::test(start_paused = true)]
async fn a_loss_hands_on_the_body_that_comes_from_inside() {
    let upstream = tower::service_fn(async |request: Request<ReclaimableBody<Body>>| {
        let mut response =
            Refusal::new(Reason::BackendUnreachable).respond::<Body>(&Dialect::of(&request));
        response.extensions_mut().insert(UpstreamFailure::new(FailureKind::Refused));
        ReturnedBody::new(request.into_body()).unwrap().attach(&mut response);
        Ok::<_, Infallible>(response)
    });
    let service = PinBackendLayer::new(backends([A])).layer(upstream);
    assert_eq!(refused(&service, call(A), Reason::BackendUnreachable).await.unwrap(), CALL);
    for _ in 0..3 {
        sleep(Duration::from_millis(1_900)).await;
        service.clone().oneshot(call(A)).await.unwrap();
    }
    assert_eq!(refused(&service, call(A), Reason::BackendLost).await.unwrap(), CALL);
}

/// Work that may go elsewhere lends its body: if no backend has read it, it is still there.
#[tokio::test(start_paused = true)]
async fn work_that_finds_no_other_backend_returns_what_nobody_has_read() {
    let world = World::default();
    let layer = PinBackendLayer::new(backends([A, B])).on_lost(OnLost::Repin);
    let service = layer.layer(world.clone());
    let lost = || call("http://gone:1");
    for backend in [A, B] {
        world.fail(backend, FailureKind::Refused, Reads::Nothing);
    }
    assert_eq!(refused(&service, lost(), Reason::ConnectFailed).await.unwrap(), CALL);
    assert_eq!(world.backends_called().len(), 2, "both were tried");
    // A reset after the body was read, or before it was: either may have reached the backend.
    for reads in [Reads::Body, Reads::Nothing] {
        for backend in [A, B] {
            world.fail(backend, FailureKind::Terminated, reads);
        }
        assert!(refused(&service, lost(), Reason::ConnectFailed).await.is_none());
    }
}

/// A backend's response does not get the body.
#[tokio::test]
async fn a_response_returns_nothing() {
    let service = PinBackendLayer::new(backends([A])).layer(World::default());
    let response: Response<GuardBody<_>> = service.oneshot(call(A)).await.unwrap();
    assert!(response.status().is_success() && returned(response).await.is_none());
}
