//! Keys whose store answers late or never: which responses are held back, and which are replaced.
#![allow(clippy::unwrap_used, reason = "test support")]

mod common;

use std::{
    future::pending,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
    time::Duration,
};

use bartizan_core::{
    Answer as StoreAnswer, Backend, BackendId, Key, Reason, Record, Route, Session, SessionStore,
    StoreError, Work,
    failure::FailureKind,
    store::{CountSessions, Inserted, RecordVersion, Replaced, StoreErrorKind},
};
use bartizan_memory::MemoryStore;
use bartizan_pin::{
    BackendStatus, Backends, OnLost, PinBackendLayer, ReclaimableBody,
    balance::Candidate,
    key::{HeaderKey, PathSegmentKey, QueryKey},
};
use futures_util::FutureExt;
use http::Request;
use http_body_util::Full;
use tokio::time::{Instant, sleep};
use tower::{Layer, Service, ServiceExt, limit::ConcurrencyLimit};

use common::*;

type Later<V> = Pin<Box<dyn Future<Output = Result<V, StoreError>> + Send>>;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Operation {
    Get,
    Insert,
    Replace,
    Remove,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    Broken,
    Silent,
}

/// A store that answers after ten milliseconds.
#[derive(Clone)]
struct Late {
    store: MemoryStore,
    fault: Arc<Mutex<Option<(Operation, Fault)>>>,
}

impl Late {
    fn new() -> Self {
        Self { store: MemoryStore::new(), fault: Arc::default() }
    }

    fn fails(&self, operation: Operation, fault: Fault) {
        *self.fault.lock().unwrap() = Some((operation, fault));
    }

    fn works(&self) {
        *self.fault.lock().unwrap() = None;
    }

    fn later<V, F>(
        &self,
        operation: Operation,
        answer: StoreAnswer<Result<V, StoreError>, F>,
    ) -> Later<V>
    where
        V: Send + 'static,
        F: Future<Output = Result<V, StoreError>> + Send + 'static,
    {
        let fault = *self.fault.lock().unwrap();
        Box::pin(async move {
            sleep(Duration::from_millis(10)).await;
            match fault.filter(|(at, _)| *at == operation) {
                None => answer.wait().await,
                Some((_, Fault::Broken)) => Err(StoreError::new(StoreErrorKind::Unavailable)),
                Some((_, Fault::Silent)) => pending().await,
            }
        })
    }
}

impl SessionStore for Late {
    type Get = Later<Option<Session>>;
    type Insert = Later<Inserted>;
    type Replace = Later<Replaced>;
    type Remove = Later<()>;
    type RemoveIfUnchanged = Later<bool>;

    fn get(&self, key: Key<'_>) -> StoreAnswer<Result<Option<Session>, StoreError>, Self::Get> {
        StoreAnswer::Later(self.later(Operation::Get, self.store.get(key)))
    }

    fn insert_if_absent(
        &self,
        key: Key<'_>,
        record: Record,
    ) -> StoreAnswer<Result<Inserted, StoreError>, Self::Insert> {
        let answer = self.store.insert_if_absent(key, record);
        StoreAnswer::Later(self.later(Operation::Insert, answer))
    }

    fn replace(
        &self,
        key: Key<'_>,
        seen: RecordVersion,
        record: Record,
    ) -> StoreAnswer<Result<Replaced, StoreError>, Self::Replace> {
        let answer = self.store.replace(key, seen, record);
        StoreAnswer::Later(self.later(Operation::Replace, answer))
    }

    fn remove(&self, key: Key<'_>) -> StoreAnswer<Result<(), StoreError>, Self::Remove> {
        StoreAnswer::Later(self.later(Operation::Remove, self.store.remove(key)))
    }

    fn remove_if_unchanged(
        &self,
        key: Key<'_>,
        seen: RecordVersion,
    ) -> StoreAnswer<Result<bool, StoreError>, Self::RemoveIfUnchanged> {
        let answer = self.store.remove_if_unchanged(key, seen);
        StoreAnswer::Later(self.later(Operation::Remove, answer))
    }

    fn insert_unconfirmed(
        &self,
        key: Key<'_>,
        record: Record,
    ) -> StoreAnswer<Result<Inserted, StoreError>, Self::Insert> {
        let answer = self.store.insert_unconfirmed(key, record);
        StoreAnswer::Later(self.later(Operation::Insert, answer))
    }

    bartizan_core::store_parts!(store: take_evicted touch has_room reserve counts_clients answers);
}

fn by_field(set: Backends, store: &Late) -> PinBackendLayer<HeaderKey, Late> {
    PinBackendLayer::new(set).key(HeaderKey::new("x-s".parse().unwrap()), store.clone())
}

fn room() -> Request<Body> {
    Request::get("/rooms/1").body(Full::from("")).unwrap()
}

#[tokio::test(start_paused = true)]
async fn work_waits_for_its_pin_and_keeps_the_instance_that_was_ready() {
    let (world, store) = (World::default(), Late::new());
    let limited = ConcurrencyLimit::new(world.clone(), 1);
    let service = by_field(backends([A, B, C]), &store).layer(limited);
    world.name("x-s", "k");
    let began = Instant::now();
    send(&service, request("open")).await;
    assert!(began.elapsed().as_millis() >= 10, "the response waits for the store");
    let home = world.last().backend;
    for _ in 0..10 {
        assert_eq!(send(&service, shows("k")).await.status(), 200);
        assert_eq!(
            world.last(),
            Call { backend: home.clone(), work: Work::Pinned, body: "call".into() }
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_pin_that_cannot_be_looked_up_is_a_503_within_the_deadline_and_nobody_is_called() {
    let (world, store) = (World::default(), Late::new());
    let service = by_field(backends([A]), &store).layer(world.clone());
    for (fault, within_ms) in [(Fault::Broken, 0..20), (Fault::Silent, 250..260)] {
        store.fails(Operation::Get, fault);
        let began = Instant::now();
        let response = send(&service, shows("k")).await;
        assert_eq!(Reason::of(&response), Some(Reason::StoreUnavailable), "{fault:?}");
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()["retry-after"], "1");
        assert!(within_ms.contains(&began.elapsed().as_millis()), "{fault:?}");
    }
    assert!(world.backends_called().is_empty());
    // Work without a key does not need the store.
    assert_eq!(send(&service, request("new")).await.status(), 200);
    let patient = by_field(backends([A]), &store).store_timeout(Duration::from_secs(2));
    let began = Instant::now();
    send(&patient.layer(world), shows("k")).await;
    assert_eq!(began.elapsed().as_secs(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_the_store_did_not_take_is_not_handed_out() {
    for fault in [Fault::Broken, Fault::Silent] {
        let (world, store) = (World::default(), Late::new());
        let service = by_field(backends([A]), &store).layer(world.clone());
        world.name("x-s", "k");
        store.fails(Operation::Insert, fault);
        let response = send(&service, request("open")).await;
        assert_eq!(Reason::of(&response), Some(Reason::StoreUnavailable), "{fault:?}");
        assert_eq!(response.status(), 503);
        assert!(!response.headers().contains_key("x-s"), "{fault:?}");
        // An error opens nothing: there is nothing to store.
        world.answer(500);
        assert_eq!(send(&service, request("open")).await.status(), 500);
    }
}

#[tokio::test]
async fn a_full_store_and_a_key_of_two_backends_are_told_apart() {
    let world = World::default();
    let field = || HeaderKey::new("x-s".parse().unwrap());
    let full = MemoryStore::builder().max_sessions(1).build();
    let service = PinBackendLayer::new(backends([A])).key(field(), full).layer(world.clone());
    world.name("x-s", "k1");
    assert_eq!(send(&service, request("open")).await.status(), 200);
    // If the same backend names it again, it is the same key.
    assert_eq!(send(&service, request("open")).await.status(), 200);
    world.name("x-s", "k2");
    let response = send(&service, request("open")).await;
    assert_eq!(Reason::of(&response), Some(Reason::TooManySessions));
    assert_eq!(response.status(), 503);

    let store = MemoryStore::new();
    let of = |backend| {
        PinBackendLayer::new(backends([backend])).key(field(), store.clone()).layer(world.clone())
    };
    assert_eq!(send(&of(A), request("open")).await.status(), 200);
    let response = send(&of(B), request("open")).await;
    assert_eq!(Reason::of(&response), Some(Reason::InvalidResponse));
    assert!(!response.headers().contains_key("x-s"), "it would lead to the other backend");
}

#[tokio::test(start_paused = true)]
async fn of_two_first_requests_with_a_clients_key_both_pass_and_one_pins() {
    let (world, store) = (World::default(), Late::new());
    let by_room = PathSegmentKey::after("/rooms/");
    let of = |backend| {
        let layer = PinBackendLayer::new(backends([backend]));
        layer.key(by_room.clone(), store.clone()).layer(world.clone())
    };
    let (a, b) = (of(A), of(B));
    let (first, second) = tokio::join!(send(&a, room()), send(&b, room()));
    assert_eq!((first.status().as_u16(), second.status().as_u16()), (200, 200));
    let both = PinBackendLayer::new(backends([A, B])).key(by_room, store.clone());
    let service = both.layer(world.clone());
    world.calls.lock().unwrap().clear();
    for _ in 0..10 {
        send(&service, room()).await;
    }
    let home = world.last().backend;
    assert_eq!(world.backends_called(), vec![home; 10]);
}

#[tokio::test(start_paused = true)]
async fn a_lost_pin_is_removed_before_the_refusal_leaves_and_whatever_the_store_says() {
    for fault in [None, Some(Fault::Broken), Some(Fault::Silent)] {
        // The backend has left the set.
        let (world, store, set) = (World::default(), Late::new(), backends([A]));
        let service = by_field(set.clone(), &store).layer(world.clone());
        world.name("x-s", "k");
        send(&service, request("open")).await;
        set.remove(&id(A));
        let break_it = || match fault {
            Some(fault) => store.fails(Operation::Remove, fault),
            None => store.works(),
        };
        break_it();
        let response = send(&service, shows("k")).await;
        assert_eq!(Reason::of(&response), Some(Reason::BackendLost), "{fault:?}");
        assert_eq!(response.status(), 404);
        assert_eq!(world.backends_called().len(), 1);
        assert!(store.store.is_empty(), "{fault:?}");

        // The backend is in the set, but has refused connections for too long.
        let (world, store) = (World::default(), Late::new());
        let service = by_field(backends([A]), &store).layer(world.clone());
        world.name("x-s", "k");
        send(&service, request("open")).await;
        world.fail(A, FailureKind::Refused, Reads::Nothing);
        for _ in 0..5 {
            assert_eq!(send(&service, shows("k")).await.status(), 503);
            assert_eq!(store.store.len(), 1, "the pin stays");
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        let response = send(&service, shows("k")).await;
        assert_eq!(Reason::of(&response), Some(Reason::BackendLost), "{fault:?}");
        assert!(store.store.is_empty(), "{fault:?}");
    }
}

/// Counts the sessions in a store, without those that are still being stored.
struct Nobody;

impl CountSessions for Nobody {
    fn sessions_on(&self, _: &BackendId) -> usize {
        0
    }
}

#[tokio::test(start_paused = true)]
async fn a_backend_does_not_leave_while_a_pin_to_it_is_on_its_way_to_the_store() {
    let (world, store) = (World::default(), Late::new());
    let set = backends([A]).counted_by(Arc::new(Nobody));
    let service = by_field(set.clone(), &store).layer(world.clone());
    world.name("x-s", "k");
    let opens = tokio::spawn(async move { send(&service, request("open")).await });
    sleep(Duration::from_millis(5)).await;
    assert_eq!(world.backends_called(), [A]);
    set.drain(&id(A));
    assert_eq!(set.snapshot().len(), 1, "it has answered, and the store has not");
    let response = opens.await.unwrap();
    assert_eq!((response.status().as_u16(), store.store.len()), (200, 1));
    assert_eq!(set.snapshot().len(), 1, "the session layer has not stored it yet, either");
    drop(response);
    assert!(set.snapshot().is_empty());
}

#[tokio::test(start_paused = true)]
async fn anew_moves_the_pin_of_a_backends_key() {
    for fault in [None, Some(Fault::Broken), Some(Fault::Silent)] {
        let (world, store, set) = (World::default(), Late::new(), backends([A]));
        let layer = by_field(set.clone(), &store).on_lost(OnLost::Repin);
        let service = layer.layer(world.clone());
        world.name("x-s", "k");
        send(&service, request("open")).await;
        set.add(B.parse().unwrap());
        set.remove(&id(A));
        if let Some(fault) = fault {
            store.fails(Operation::Replace, fault);
        }
        let response = send(&service, shows("k")).await;
        assert_eq!(response.status(), 200, "{fault:?}");
        assert_eq!(response.extensions().get::<Backend>().unwrap().id(), &id(B));
        store.works();
        set.add(A.parse().unwrap());
        send(&service, shows("k")).await;
        assert_eq!(world.last().backend, B, "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_backends_own_404_ends_the_pin_of_a_key_only_if_that_is_asked_for() {
    for ends in [false, true] {
        let (world, store) = (World::default(), Late::new());
        let service = by_field(backends([A]), &store).lost_on_404(ends).layer(world.clone());
        world.name("x-s", "k");
        send(&service, request("open")).await;
        for (status, left) in [(410, true), (500, true), (404, !ends)] {
            world.answer(status);
            let response = send(&service, shows("k")).await;
            assert_eq!(response.status(), status, "passed on");
            assert_eq!(Reason::of(&response), None);
            assert_eq!(store.store.len(), usize::from(left), "{status} {ends}");
        }
    }
}

/// A late response of the old backend is about the pin that its request saw.
#[tokio::test(start_paused = true)]
async fn a_404_of_the_backend_that_a_key_has_left_does_not_unpin_it() {
    for moves in [true, false] {
        let (world, store) = (World::default(), Late::new());
        let (inside, table) = (world.clone(), store.store.clone());
        let meanwhile = tower::service_fn(move |request: Request<ReclaimableBody<Body>>| {
            let (route, key) = (Route::new("pins"), b"k");
            let key = Key::new(&route, None, key);
            let pin = table.get(key);
            if let (true, StoreAnswer::Now(Ok(Some(pin)))) = (moves, pin) {
                let record = pin.record().clone().with_backend(id(B));
                let replaced = table.replace(key, pin.version(), record);
                assert!(matches!(replaced, StoreAnswer::Now(Ok(Replaced::Replaced(_)))));
            }
            inside.clone().oneshot(request)
        });
        let service = by_field(backends([A]), &store).lost_on_404(true).layer(meanwhile);
        world.name("x-s", "k");
        send(&service, request("open")).await;
        world.answer(404);
        assert_eq!(send(&service, shows("k")).await.status(), 404, "passed on");
        assert_eq!(store.store.len(), usize::from(moves));
    }
}

#[tokio::test]
async fn what_is_too_long_or_empty_is_no_key() {
    let world = World::default();
    let store = MemoryStore::new();
    let layer = PinBackendLayer::new(backends([A])).key(QueryKey::new("s"), store.clone());
    let service = layer.layer(world.clone());
    let shown = |key: &str| Request::get(format!("/?s={key}")).body(Full::from("")).unwrap();
    for (key, pinned) in [("", 0), (&*"k".repeat(1025), 0), (&*"k".repeat(1024), 1)] {
        assert_eq!(send(&service, shown(key)).await.status(), 200);
        assert_eq!(store.len(), pinned, "{} bytes", key.len());
    }
    // A first request that fails pins nothing.
    world.answer(404);
    send(&service, shown("other")).await;
    assert_eq!(store.len(), 1);
}

/// Every wait takes some milliseconds: for the store, for each backend, and for the store again.
#[tokio::test(start_paused = true)]
async fn wherever_a_client_leaves_no_count_and_no_permit_stays() {
    let (world, store) = (World::default(), Late::new());
    let set = backends([A, B]).counted_by(Arc::new(Nobody));
    let slow = tower::ServiceBuilder::new().concurrency_limit(1).map_future(|future| async {
        sleep(Duration::from_millis(3)).await;
        future.await
    });
    let layer = by_field(set.clone(), &store).on_lost(OnLost::Repin);
    let layer = layer.balance(|all: &[Candidate<'_>], _: Option<&[u8]>| all.len().checked_sub(1));
    let mut service = layer.layer(slow.service(world.clone()));
    let lost = Record::new(Record::IDLE, Record::LIFETIME).with_backend(id(C));
    let (route, mut ends) = (Route::new("pins"), [0; 2]);
    for after_ms in 0..60 {
        let key = format!("k{after_ms}").leak();
        let key_of_it = Key::new(&route, None, key.as_bytes());
        store.store.insert_if_absent(key_of_it, lost.clone()).wait().await.unwrap();
        // The key is looked up, refused by one backend, accepted by another, moved there, and
        // renamed.
        set.ready(&id(B));
        world.fail(B, FailureKind::Refused, Reads::Nothing);
        world.name("x-s", &format!("n{after_ms}"));
        let work = service.ready().await.unwrap().call(shows(key));
        let left = tokio::time::timeout(Duration::from_millis(after_ms), work).await;
        ends[usize::from(left.is_ok())] += 1;
        drop(left);
        let open: Vec<_> = set.snapshot().iter().map(BackendStatus::opening).collect();
        assert_eq!(open, [0, 0], "{after_ms} ms");
        assert!(service.ready().now_or_never().is_some(), "{after_ms} ms");
    }
    assert!(ends[0] > 30 && ends[1] > 10, "{ends:?}");
}

/// In each state: waiting for a backend, waiting for the store, answered here.
#[tokio::test(start_paused = true)]
async fn a_future_that_is_polled_again_says_so_in_debug_builds_and_stays_pending() {
    let store = Late::new();
    for (set, request) in [
        (backends([A]), request("new")),
        (backends([A]), shows("k")),
        (backends([]), request("new")),
    ] {
        let mut call = pin!(by_field(set, &store).layer(World::default()).call(request));
        (&mut call).await.unwrap();
        let mut cx = Context::from_waker(Waker::noop());
        let again = catch_unwind(AssertUnwindSafe(|| call.as_mut().poll(&mut cx)));
        assert_eq!(again.is_err(), cfg!(debug_assertions));
        match again {
            Err(panic) => {
                let message = panic.downcast_ref::<&str>().unwrap();
                assert!(message.contains("polled after it had finished"), "{message}");
            }
            Ok(poll) => assert!(matches!(poll, Poll::Pending)),
        }
    }
}

#[test]
fn layer_and_service_print_their_names() {
    let layer = PinBackendLayer::new(backends([A]));
    assert!(format!("{layer:?}").starts_with("PinBackendLayer { backends: ["));
    let printed = format!("{:?}", layer.layer("inside"));
    assert!(printed.starts_with("PinBackend { inner: \"inside\", backends: ["), "{printed}");
}
