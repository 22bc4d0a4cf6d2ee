//! Each row of the crate's table, in its order, with a service that simulates the backends.
#![allow(clippy::unwrap_used, reason = "test support")]

mod common;

use std::{sync::Arc, time::Duration};

use bartizan_core::{
    Backend, Key, Passage, Reason, Record, Route, SessionStore, UpstreamFailure, Work,
    backend::Tried, failure::FailureKind, store::CountSessions,
};
use bartizan_memory::MemoryStore;
use bartizan_pin::{
    BackendState, Change, OnLost, PinBackendLayer,
    balance::{Candidate, Rendezvous, RoundRobin},
    key::{CookieKey, ExtractKey, HeaderKey, PathSegmentKey, QueryKey},
};
use futures_util::stream;
use http::{HeaderValue, Request};
use http_body_util::Full;
use tower::{Layer, Service, ServiceExt, limit::ConcurrencyLimit};

use common::*;

#[tokio::test]
async fn a_backend_that_an_outer_layer_chose_is_honoured() {
    let world = World::default();
    let service = PinBackendLayer::new(backends([A])).layer(world.clone());
    let mut chosen = of_session(A);
    Passage::with(&mut chosen, |passage| passage.set_backend(B.parse().unwrap()));
    assert_eq!(send(&service, chosen).await.status(), 200);
    assert_eq!(world.backends_called(), [B]);
}

#[tokio::test]
async fn what_opens_at_a_backend_that_an_outer_layer_chose_belongs_there() {
    let world = World::default();
    let service = PinBackendLayer::new(backends([A, B])).layer(world.clone());
    for chosen in [A, B] {
        let mut opening = request("new");
        Passage::with(&mut opening, |passage| passage.set_backend(chosen.parse().unwrap()));
        let response = send(&service, opening).await;
        assert_eq!(world.last().backend, chosen);
        assert_eq!(response.extensions().get::<Backend>().unwrap().id().as_str(), chosen);
        // A session's record names its backend; if the session moves, the layer that moves it names
        // the new one.
        let mut call = of_session(A);
        Passage::with(&mut call, |passage| passage.set_backend(chosen.parse().unwrap()));
        assert!(send(&service, call).await.extensions().get::<Backend>().is_none());
    }
}

#[tokio::test]
async fn a_session_goes_to_its_backend_ready_or_draining_and_nowhere_else() {
    let world = World::default();
    let set = backends([A, B, C]);
    let service = PinBackendLayer::new(set.clone()).layer(world.clone());
    for _ in 0..20 {
        send(&service, of_session(B)).await;
    }
    assert_eq!(world.backends_called(), vec![B; 20]);
    assert_eq!(world.last().work, Work::Pinned);
    assert_eq!(world.last().body, "call");
    assert!(set.drain(&id(B)));
    assert_eq!(send(&service, of_session(B)).await.status(), 200);
    assert_eq!(world.last().backend, B);
    // New work goes elsewhere, and the response names the backend.
    for _ in 0..20 {
        let response = send(&service, request("new")).await;
        let chosen = response.extensions().get::<Backend>().unwrap().id().to_string();
        assert_eq!(chosen, world.last().backend);
        assert_ne!(chosen, B);
    }
}

#[tokio::test(start_paused = true)]
async fn a_pin_stays_for_five_seconds_of_refusals_and_goes_then() {
    let world = World::default();
    let service = PinBackendLayer::new(backends([A, B])).layer(world.clone());
    world.fail(A, FailureKind::Refused, Reads::Nothing);
    for second in 0..5 {
        let response = send(&service, of_session(A)).await;
        assert_eq!(Reason::of(&response), Some(Reason::BackendUnreachable), "{second} s");
        assert_eq!(response.status(), 503);
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    let response = send(&service, of_session(A)).await;
    assert_eq!(Reason::of(&response), Some(Reason::BackendLost));
    assert_eq!(
        (response.status().as_u16(), &response.headers()["content-type"]),
        (404, &HeaderValue::from_static("application/json"))
    );
    // Each was sent once, and only to its backend.
    assert_eq!(world.backends_called(), vec![A; 6]);
    // Any response ends the silence.
    world.mend(A);
    assert_eq!(send(&service, of_session(A)).await.status(), 200);
    world.fail(A, FailureKind::Refused, Reads::Nothing);
    assert_eq!(send(&service, of_session(A)).await.status(), 503);
    // A connection that breaks proves nothing.
    world.fail(A, FailureKind::Terminated, Reads::Nothing);
    tokio::time::advance(Duration::from_secs(60)).await;
    let response = send(&service, of_session(A)).await;
    assert_ne!(Reason::of(&response), Some(Reason::BackendLost));
}

#[tokio::test]
async fn a_session_whose_backend_has_left_is_lost_and_the_backend_is_not_called() {
    let world = World::default();
    let set = backends([A, B]);
    let service = PinBackendLayer::new(set.clone()).layer(world.clone());
    assert!(set.remove(&id(A)) && !set.remove(&id(A)));
    let response = send(&service, of_session(A)).await;
    assert_eq!(Reason::of(&response), Some(Reason::BackendLost));
    assert_eq!(response.status(), 404);
    assert!(world.backends_called().is_empty());
    // With another origin it is another backend.
    set.add(Backend::new(id(B), &"http://elsewhere:1".parse().unwrap()).unwrap());
    assert_eq!(set.snapshot().len(), 1);
    set.add(A.parse().unwrap());
    assert_eq!(send(&service, of_session(A)).await.status(), 200, "it came back as new");
}

#[tokio::test(start_paused = true)]
async fn anew_moves_a_lost_session_to_another_backend() {
    let world = World::default();
    let set = backends([A, B]);
    let layer = PinBackendLayer::new(set.clone()).on_lost(OnLost::Repin);
    let service = layer.layer(world.clone());
    world.fail(A, FailureKind::Refused, Reads::Nothing);
    for second in 0..6 {
        assert_eq!(send(&service, of_session(A)).await.status(), 503, "not yet lost: {second} s");
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    let response = send(&service, of_session(A)).await;
    // The session layer reads here where the session has gone.
    assert_eq!(response.extensions().get::<Backend>().unwrap().id(), &id(B));
    set.remove(&id(A));
    assert_eq!(send(&service, of_session(A)).await.status(), 200);
    assert_eq!(world.last().backend, B);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_from_inside_says_nothing_of_the_backend() {
    let world = World::default();
    let set = backends([A]);
    let service = PinBackendLayer::new(set.clone()).layer(world.clone());
    world.fail(A, FailureKind::Refused, Reads::Nothing);
    for second in 0..5 {
        assert_eq!(send(&service, of_session(A)).await.status(), 503, "{second} s");
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    assert_eq!(send(&service, refused_inside(of_session(A))).await.status(), 400);
    let response = send(&service, refused_inside(request("new"))).await;
    assert_eq!(response.status(), 400);
    assert!(response.extensions().get::<Backend>().is_none(), "nothing opened there");
    assert_eq!(set.snapshot()[0].failures(), 5);
    assert_eq!(send(&service, of_session(A)).await.status(), 404, "refused for five seconds");
}

#[tokio::test(start_paused = true)]
async fn a_clients_key_moves_when_its_backend_is_silent_for_too_long() {
    let world = World::default();
    let (store, set) = (MemoryStore::new(), backends([A, B]));
    let layer = PinBackendLayer::new(set.clone()).balance(first);
    let service = layer.key(PathSegmentKey::after("/rooms/"), store).layer(world.clone());
    let room = || Request::get("/rooms/1").body(Full::from("")).unwrap();
    send(&service, room()).await;
    assert_eq!(world.last().backend, A);
    world.fail(A, FailureKind::Refused, Reads::Nothing);
    for second in 0..6 {
        assert_eq!(send(&service, room()).await.status(), 503, "{second} s");
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    // The client cannot choose another key, so "not found" would be permanent.
    assert_eq!(send(&service, room()).await.status(), 200);
    assert_eq!(world.last().backend, B);
    world.mend(A);
    send(&service, room()).await;
    assert_eq!(world.last().backend, B, "the pin has moved");
}

#[tokio::test(start_paused = true)]
async fn a_clients_key_is_not_lost_while_a_connection_is_waited_for() {
    let world = World::default();
    let slow = tower::ServiceBuilder::new().map_future(|future| async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        future.await
    });
    let layer = PinBackendLayer::new(backends([A])).key(QueryKey::new("s"), MemoryStore::new());
    let service = layer.layer(slow.service(world.clone()));
    let shown = || Request::get("/?s=1").body(Full::from("")).unwrap();
    assert_eq!(send(&service, shown()).await.status(), 200);
    world.fail(A, FailureKind::ConnectTimeout, Reads::Nothing);
    // Silent since 3 s; at 6 s, the limit is reached not when the request arrives but when it
    // fails.
    for _ in 0..3 {
        assert_eq!(send(&service, shown()).await.status(), 503);
    }
}

/// Takes the first candidate.
fn first(candidates: &[Candidate<'_>], _: Option<&[u8]>) -> Option<usize> {
    (!candidates.is_empty()).then_some(0)
}

#[tokio::test]
async fn new_work_that_nobody_can_have_seen_goes_to_another_backend() {
    for kind in [
        FailureKind::Refused,
        FailureKind::Dns,
        FailureKind::Tls,
        FailureKind::ConnectTimeout,
        FailureKind::RefusedStream,
    ] {
        let world = World::default();
        let layer = PinBackendLayer::new(backends([A, B, C])).balance(first);
        let service = layer.layer(world.clone());
        world.fail(A, kind, Reads::Nothing);
        world.fail(B, kind, Reads::Nothing);
        let mut opening = request("initialize");
        Passage::with(&mut opening, |passage| passage.set_work(Work::Opening));
        let response = send(&service, opening).await;
        assert_eq!(response.status(), 200, "{kind:?}");
        assert_eq!(response.extensions().get::<Backend>().unwrap().id(), &id(C));
        assert_eq!(
            world.last(),
            Call { backend: C.into(), work: Work::Opening, body: "initialize".into() }
        );
        let mut called = world.backends_called();
        called.sort();
        assert_eq!(called, [A, B, C], "each once");
    }
}

#[tokio::test]
async fn a_backend_that_an_outer_layer_has_tried_is_not_chosen_and_the_choice_is_noted() {
    let world = World::default();
    let service = PinBackendLayer::new(backends([A, B, C])).layer(world.clone());
    let (tried, work) = (Tried::default(), |tried: &Tried| {
        let mut work = request("new");
        Passage::with(&mut work, |passage| passage.set_tried(tried.clone()));
        work
    });
    tried.add(&id(B));
    world.fail(A, FailureKind::Refused, Reads::Nothing);
    // To C, or to A and then to C.
    assert_eq!(send(&service, work(&tried)).await.status(), 200);
    assert_eq!(world.last().backend, C);
    assert!(tried.snapshot().contains(&id(C)));
    tried.add(&id(A));
    let response = send(&service, work(&tried)).await;
    assert_eq!(Reason::of(&response), Some(Reason::NoBackend));
    assert!(!world.backends_called().contains(&B.to_owned()));
    // Work without a list of tried backends is not affected.
    assert_eq!(send(&service, request("new")).await.status(), 200);
}

#[tokio::test]
async fn work_that_somebody_may_have_seen_is_sent_once() {
    for (kind, reads) in [
        (FailureKind::Terminated, Reads::Nothing),
        (FailureKind::Terminated, Reads::Body),
        (FailureKind::ResponseTimeout, Reads::Body),
        (FailureKind::Protocol, Reads::Body),
        // A faulty transport: it reports "refused", but has already read from the body.
        (FailureKind::Refused, Reads::Body),
    ] {
        let world = World::default();
        let service = PinBackendLayer::new(backends([A, B])).layer(world.clone());
        world.fail(A, kind, reads);
        world.fail(B, kind, reads);
        let response = send(&service, request("once")).await;
        assert_eq!(response.status(), 502);
        assert_eq!(UpstreamFailure::of(&response).unwrap().kind(), kind);
        assert!(response.extensions().get::<Backend>().is_none());
        assert_eq!(world.backends_called().len(), 1, "{kind:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_time_for_another_try_is_bounded() {
    let world = World::default();
    world.fail(A, FailureKind::ConnectTimeout, Reads::Nothing);
    world.fail(B, FailureKind::ConnectTimeout, Reads::Nothing);
    let slow = tower::ServiceBuilder::new().map_future(|future| async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        future.await
    });
    let service = PinBackendLayer::new(backends([A, B])).layer(slow.service(world.clone()));
    // Two silent backends in a row would take twice the connect deadline.
    let response = service.oneshot(request("new")).await.unwrap();
    assert_eq!(response.status(), 502);
    assert_eq!(world.backends_called().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_backend_out_of_service_gets_no_new_work_until_its_time_is_up() {
    let world = World::default();
    let set = backends([A, B]);
    let service = PinBackendLayer::new(set.clone()).layer(world.clone());
    world.fail(A, FailureKind::Refused, Reads::Nothing);
    while set.snapshot()[0].failures() == 0 {
        assert_eq!(send(&service, request("new")).await.status(), 200);
    }
    assert_eq!(set.snapshot()[0].state(), BackendState::Down);
    world.calls.lock().unwrap().clear();
    for _ in 0..20 {
        send(&service, request("new")).await;
    }
    assert_eq!(world.backends_called(), vec![B; 20]);
    world.mend(A);
    tokio::time::advance(Duration::from_millis(251)).await;
    world.calls.lock().unwrap().clear();
    for _ in 0..20 {
        send(&service, request("new")).await;
    }
    assert!(world.backends_called().contains(&A.to_owned()));
    assert_eq!(set.snapshot()[0].state(), BackendState::Ready);
    // With all of them out of service, one is tried anyway.
    world.fail(A, FailureKind::Refused, Reads::Nothing);
    world.fail(B, FailureKind::Refused, Reads::Nothing);
    for _ in 0..3 {
        let response = send(&service, request("new")).await;
        assert_eq!(Reason::of(&response), Some(Reason::ConnectFailed));
    }
    world.mend(B);
    assert_eq!(send(&service, request("new")).await.status(), 200);
}

#[tokio::test]
async fn without_a_backend_new_work_is_refused() {
    let world = World::default();
    let set = backends([A]);
    let service = PinBackendLayer::new(set.clone()).layer(world.clone());
    set.drain(&id(A));
    let response = send(&service, request("new")).await;
    assert_eq!(Reason::of(&response), Some(Reason::NoBackend));
    assert_eq!(
        (response.status().as_u16(), &response.headers()["retry-after"]),
        (503, &HeaderValue::from_static("1"))
    );
    assert!(world.backends_called().is_empty());
}

#[tokio::test]
async fn a_key_that_a_response_names_is_pinned() {
    let world = World::default();
    let store = MemoryStore::new();
    let field = HeaderKey::new("x-s".parse().unwrap());
    let layer = PinBackendLayer::new(backends([A, B, C])).key(field, store.clone());
    let service = layer.layer(world.clone());
    let shown = |key: &'static str| {
        let mut request = request("call");
        request.headers_mut().insert("x-s", HeaderValue::from_static(key));
        request
    };
    // An unknown key counts as new work, and sending it does not pin it.
    send(&service, shown("made-up")).await;
    assert_eq!(store.len(), 0);
    world.name("x-s", "k1");
    send(&service, request("open")).await;
    let home = world.last().backend;
    assert_eq!(store.len(), 1);
    for _ in 0..10 {
        send(&service, shown("k1")).await;
        assert_eq!((world.last().backend, world.last().work), (home.clone(), Work::Pinned));
    }
    // If a later response names another key, that key is pinned to the same backend.
    world.name("x-s", "k2");
    send(&service, shown("k1")).await;
    for _ in 0..10 {
        send(&service, shown("k2")).await;
        assert_eq!(world.last().backend, home);
    }
}

#[tokio::test]
async fn the_pin_of_a_backends_key_goes_with_the_backend_and_a_clients_key_moves() {
    let world = World::default();
    let (store, set) = (MemoryStore::new(), backends([A, B]));
    let cookie = PinBackendLayer::new(set.clone()).key(CookieKey::new("sid"), store.clone());
    let service = cookie.layer(world.clone());
    world.name("set-cookie", "sid=v; Path=/");
    send(&service, request("login")).await;
    let home = id(&world.last().backend);
    let mut shown = request("call");
    shown.headers_mut().insert("cookie", HeaderValue::from_static("a=1; sid=v"));
    set.remove(&home);
    let response = send(&service, shown).await;
    assert_eq!(Reason::of(&response), Some(Reason::BackendLost));
    assert_eq!(store.len(), 0);

    let world = World::default();
    let (store, set) = (MemoryStore::new(), backends([A, B]));
    let path = PinBackendLayer::new(set.clone()).balance(Rendezvous::new());
    let path = path.key(PathSegmentKey::after("/rooms/"), store.clone());
    let service = path.layer(world.clone());
    let room = || Request::get("/rooms/1/x").body(Full::from("")).unwrap();
    send(&service, room()).await;
    let home = world.last().backend;
    assert_eq!(store.len(), 1, "its first success pins it");
    send(&service, room()).await;
    assert_eq!(world.last(), Call { backend: home.clone(), work: Work::Pinned, body: "".into() });
    set.remove(&id(&home));
    assert_eq!(send(&service, room()).await.status(), 200);
    let moved = world.last().backend;
    assert_ne!(moved, home);
    set.add(home.parse().unwrap());
    send(&service, room()).await;
    assert_eq!(world.last().backend, moved, "the pin has moved");
}

#[tokio::test]
async fn new_work_goes_where_the_fewest_sessions_are_and_counts_while_it_is_on_its_way() {
    let world = World::default();
    let store = MemoryStore::new();
    let set = backends([A, B]).counted_by(Arc::new(store.clone()));
    let service = PinBackendLayer::new(set.clone()).layer(world.clone());
    let route = Route::default();
    for n in 0..10_u8 {
        let record = Record::new(Record::IDLE, Record::LIFETIME).with_backend(id(A));
        store.insert_if_absent(Key::new(&route, None, &[n]), record).wait().await.unwrap();
    }
    assert_eq!(store.sessions_on(&id(A)), 10);
    for _ in 0..10 {
        send(&service, request("new")).await;
        assert_eq!(world.last().backend, B);
    }
    // Work that does not open a session goes to all of them.
    let mut seen = Vec::new();
    for _ in 0..40 {
        let mut free = request("modern");
        Passage::with(&mut free, |passage| passage.set_work(Work::Free));
        send(&service, free).await;
        seen.push(world.last().backend);
    }
    assert!(seen.contains(&A.to_owned()) && seen.contains(&B.to_owned()));
    let on_their_way: Vec<_> = (0..10).map(|_| service.clone().call(request("new"))).collect();
    assert_eq!(set.snapshot()[1].opening(), 10);
    drop(on_their_way);
    assert_eq!(set.snapshot()[1].opening(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_drained_backend_leaves_with_its_last_session_or_at_its_deadline() {
    let store = MemoryStore::new();
    let set = backends([A, B]).counted_by(Arc::new(store.clone()));
    let route = Route::default();
    let key = Key::new(&route, None, b"s");
    let record = Record::new(Record::IDLE, Record::LIFETIME).with_backend(id(A));
    store.insert_if_absent(key, record).wait().await.unwrap();
    set.drain(&id(A));
    assert_eq!(set.snapshot()[0].state(), BackendState::Draining);
    assert_eq!(set.snapshot()[0].sessions(), 1);
    store.remove(key).wait().await.unwrap();
    assert_eq!(set.snapshot().len(), 1);

    let world = World::default();
    let set = backends([A, B]);
    let service = PinBackendLayer::new(set.clone()).layer(world.clone());
    set.drain_within(&id(A), Duration::from_secs(60));
    assert_eq!(send(&service, of_session(A)).await.status(), 200);
    tokio::time::advance(Duration::from_secs(60)).await;
    assert_eq!(send(&service, of_session(A)).await.status(), 404);
    assert_eq!(set.snapshot().len(), 1);
    // If it is added again in time, it stays.
    set.drain_within(&id(B), Duration::from_secs(60));
    set.add(B.parse().unwrap());
    tokio::time::advance(Duration::from_secs(61)).await;
    assert_eq!(set.snapshot()[0].state(), BackendState::Ready);
}

#[tokio::test]
async fn the_set_follows_a_stream_of_changes() {
    let set = backends([A]);
    let changes = [Change::Add(B.parse().unwrap()), Change::Drain(id(B)), Change::Remove(id(A))];
    set.clone().follow(stream::iter(changes)).await;
    let left = set.snapshot();
    assert_eq!(left.len(), 1);
    assert_eq!((left[0].backend().id(), left[0].state()), (&id(B), BackendState::Draining));
}

/// `ConcurrencyLimit` panics if it is called on an instance that was not polled ready.
#[tokio::test]
async fn the_instance_that_was_ready_is_the_one_that_is_called() {
    let world = World::default();
    world.fail(A, FailureKind::Refused, Reads::Nothing);
    let limited = ConcurrencyLimit::new(world.clone(), 1);
    let layer = PinBackendLayer::new(backends([A, B])).balance(RoundRobin::new());
    let service = layer.layer(limited);
    for request in [of_session(B), request("new"), of_session(B), request("new")] {
        assert_eq!(send(&service, request).await.status(), 200);
    }
}

/// If the pin had moved, the next request could go anywhere.
#[tokio::test(start_paused = true)]
async fn a_key_that_a_response_names_while_a_pin_moves_is_pinned_too() {
    let world = World::default();
    let (store, set) = (MemoryStore::new(), backends([A, B, C]));
    let layer = PinBackendLayer::new(set.clone()).on_lost(OnLost::Repin).balance(first);
    let field = HeaderKey::new("x-s".parse().unwrap());
    let service = layer.key(field, store.clone()).layer(world.clone());
    world.name("x-s", "k1");
    send(&service, request("open")).await;
    assert_eq!(world.last().backend, A);
    set.remove(&id(A));
    // The new backend does not know the key, and names another one.
    world.name("x-s", "k2");
    send(&service, shows("k1")).await;
    assert_eq!(world.last().backend, B);
    set.add(A.parse().unwrap());
    set.remove(&id(C));
    set.drain(&id(B));
    for key in ["k2", "k1"] {
        send(&service, shows(key)).await;
        assert_eq!((world.last().backend, world.last().work), (B.into(), Work::Pinned), "{key}");
    }
}

#[tokio::test]
async fn a_key_that_two_backends_name_is_refused_whatever_the_client_showed() {
    let world = World::default();
    let field = HeaderKey::new("x-s".parse().unwrap());
    let layer = PinBackendLayer::new(backends([A, B])).balance(RoundRobin::new());
    let key = field.or(PathSegmentKey::after("/rooms/"));
    let service = layer.key(key, MemoryStore::new()).layer(world.clone());
    world.name("x-s", "k");
    let room = |room: &str| Request::get(format!("/rooms/{room}")).body(Full::from("")).unwrap();
    assert_eq!(send(&service, room("1")).await.status(), 200);
    let response = send(&service, room("2")).await;
    assert_eq!(world.backends_called(), [A, B]);
    assert_eq!(Reason::of(&response), Some(Reason::InvalidResponse));
    assert!(!response.headers().contains_key("x-s"), "it would lead to the other one");
}

#[tokio::test]
async fn a_clients_key_that_cannot_be_kept_is_refused_before_a_backend_is_bothered() {
    let world = World::default();
    let store = MemoryStore::builder().max_sessions(1).build();
    let layer = PinBackendLayer::new(backends([A])).key(PathSegmentKey::after("/rooms/"), store);
    let service = layer.layer(world.clone());
    let room = |room: &str| Request::post(format!("/rooms/{room}")).body(Full::from("")).unwrap();
    assert_eq!(send(&service, room("1")).await.status(), 200);
    let response = send(&service, room("2")).await;
    assert_eq!(Reason::of(&response), Some(Reason::TooManySessions));
    assert_eq!(world.backends_called().len(), 1, "a retry would do the work twice");
    assert_eq!(send(&service, room("1")).await.status(), 200, "pinned work is not affected");
}

/// A backend that gets no requests after one failure does not count as silent.
#[tokio::test(start_paused = true)]
async fn what_would_move_stays_where_the_backend_is_back() {
    let world = World::default();
    let set = backends([A, B]);
    let layer = PinBackendLayer::new(set.clone()).on_lost(OnLost::Repin);
    let layer = layer.balance(|all: &[Candidate<'_>], _: Option<&[u8]>| all.len().checked_sub(1));
    let service =
        layer.key(PathSegmentKey::after("/rooms/"), MemoryStore::new()).layer(world.clone());
    set.drain(&id(B));
    let room = || Request::get("/rooms/1").body(Full::from("")).unwrap();
    send(&service, room()).await;
    set.ready(&id(B));
    for request in [room, || of_session(A)] {
        world.fail(A, FailureKind::Refused, Reads::Nothing);
        assert_eq!(send(&service, request()).await.status(), 503);
        world.mend(A);
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(send(&service, request()).await.status(), 200);
        assert_eq!(world.last().backend, A, "others are there");
        assert_eq!(set.snapshot()[0].failures(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_try_that_was_given_up_is_followed_by_another() {
    let world = World::default();
    let set = backends([A, B]);
    let service = PinBackendLayer::new(set.clone()).balance(first).layer(world.clone());
    world.fail(A, FailureKind::Refused, Reads::Nothing);
    assert_eq!(send(&service, request("new")).await.status(), 200);
    world.mend(A);
    tokio::time::advance(Duration::from_millis(250)).await;
    for _ in 0..5 {
        // The request is in flight to A when its client disconnects.
        drop(service.clone().call(request("given up")));
        assert_eq!((set.snapshot()[0].opening(), set.snapshot()[1].opening()), (0, 0));
        send(&service, request("new")).await;
        assert_eq!(world.last().backend, B);
        tokio::time::advance(Duration::from_millis(250)).await;
    }
    send(&service, request("new")).await;
    assert_eq!(world.last().backend, A);
    assert_eq!(set.snapshot()[0].state(), BackendState::Ready);
}
