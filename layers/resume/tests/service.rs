//! The contract of the service: which requests are passed on, with which instance, and what is held in the meantime.
#![allow(clippy::unwrap_used, reason = "test support")]

mod common;

use bartizan_core::{GuardBody, Key, Record, Route, Session};
use bartizan_memory::MemoryStore;
use bartizan_pin::{Backends, PinBackendLayer};
use bartizan_resume::{KeyRing, ResumeSessionLayer};
use bartizan_session::ValidateSessionLayer;
use common::{World, delete, open, post};
use http_body_util::Full;
use tower::{Layer, ServiceExt, limit::ConcurrencyLimit, service_fn};

fn backends() -> Backends {
    Backends::new(["http://a:1", "http://b:1"].map(|origin| origin.parse().unwrap()))
}

macro_rules! stack {
    ($world:expr, $store:expr, $resume:expr) => {{
        let world = $world.clone();
        let upstream = service_fn(move |request| world.clone().respond(request));
        // Its `call` panics on an instance that was not polled ready, and there is only one permit.
        let limited = ConcurrencyLimit::new(PinBackendLayer::new(backends()).layer(upstream), 1);
        ValidateSessionLayer::mcp($store.clone()).layer($resume.layer(limited))
    }};
}

#[tokio::test(start_paused = true)]
async fn the_ready_instance_is_called_and_no_permit_is_kept_while_others_need_it() {
    let (world, store) = (World::default(), MemoryStore::new());
    let service = stack!(world, store, ResumeSessionLayer::new(store.clone()));
    let id = open(&service).await;
    assert_eq!(post(&service, &id).await, 200);
    world.lose_all();
    assert_eq!(post(&service, &id).await, 200, "resumed through the one permit");
    world.lose_all();
    let (call, end) = tokio::join!(post(&service, &id), delete(&service, &id));
    assert!([200, 404].contains(&call) && [200, 204].contains(&end), "{call} {end}");
    assert_eq!((post(&service, &id).await, store.len()), (404, 0));
}

#[tokio::test(start_paused = true)]
async fn what_is_recorded_is_sealed_and_opens_with_the_keys_alone() {
    let (world, store) = (World::default(), MemoryStore::new());
    let keys = || KeyRing::new(1, &[7; 32]).unwrap();
    let service = stack!(world, store, ResumeSessionLayer::new(store.clone()).seal(keys()));
    let id = open(&service).await;
    let route = Route::default();
    let found = bartizan_core::SessionStore::get(&store, Key::new(&route, None, id.as_bytes()));
    let record = found.wait().await.unwrap().unwrap().record().clone();
    let entry = record.field("resume").unwrap();
    assert!(!entry.windows(10).any(|bytes| bytes == b"initialize"));
    let without = stack!(world, store, ResumeSessionLayer::new(store.clone()));
    let lost = world.lose_all();
    assert_eq!(post(&without, &id).await, 404, "without the keys it cannot be resumed");
    assert_eq!(lost, 1);
}

#[tokio::test(start_paused = true)]
async fn a_session_without_a_record_of_its_opening_is_passed_on() {
    let (world, store) = (World::default(), MemoryStore::new());
    let record =
        Record::new(Record::IDLE, Record::LIFETIME).with_backend("http://a:1".parse().unwrap());
    let route = Route::default();
    let key = Key::new(&route, None, b"plain");
    let _ = bartizan_core::SessionStore::insert_if_absent(&store, key, record);
    let service = stack!(world, store, ResumeSessionLayer::new(store.clone()));
    world.lose("http://a:1");
    assert_eq!(post(&service, "plain").await, 503);
    assert_eq!(store.len(), 1);
}

#[tokio::test]
async fn a_request_without_a_session_is_passed_on() {
    let store = MemoryStore::new();
    type Body = GuardBody<Full<bytes::Bytes>>;
    let inner = service_fn(async |request: http::Request<Body>| {
        assert!(Session::of(&request).is_none());
        Ok::<_, std::convert::Infallible>(http::Response::new(request.into_body()))
    });
    let service = ResumeSessionLayer::new(store).layer(inner);
    let response =
        service.oneshot(http::Request::new(GuardBody::forwarded(Full::default()))).await.unwrap();
    assert_eq!(response.status(), 200);
}
