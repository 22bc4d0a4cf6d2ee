//! When a session counts as lost, and when nothing is known of it: the rows of the crate's table about backends that
//! cannot be reached or are not in the set.
#![allow(clippy::unwrap_used, reason = "test support")]

mod common;

use std::{
    future::ready,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bartizan_core::{Backend, Key, Reason, Record, Route, SessionStore, failure::FailureKind};
use bartizan_memory::MemoryStore;
use bartizan_pin::{
    BackendState, Backends, OnLost, PinBackendLayer,
    key::{HeaderKey, QueryKey},
};
use http::Request;
use http_body_util::Full;
use tokio::time::sleep;
use tower::Layer;

use common::*;

/// Decides what background checks find, and counts them.
fn finds(set: Backends, found: Result<(), FailureKind>) -> (Backends, Arc<AtomicUsize>) {
    let tries = Arc::<AtomicUsize>::default();
    let counter = Arc::clone(&tries);
    let set = set.connect_by(move |_: &Backend| {
        counter.fetch_add(1, Ordering::Relaxed);
        ready(found)
    });
    (set, tries)
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// This once failed: two refused connections, 5.5 s apart with nothing between them, ended a
/// session.
#[tokio::test(start_paused = true)]
async fn two_blips_are_not_an_outage() {
    let world = World::default();
    let (set, tries) = finds(backends([A, B]), Ok(()));
    let service = PinBackendLayer::new(set).layer(world.clone());
    for blip in 0..3 {
        world.fail(A, FailureKind::Refused, Reads::Nothing);
        let response = send(&service, of_session(A)).await;
        assert_eq!(Reason::of(&response), Some(Reason::BackendUnreachable), "blip {blip}");
        world.mend(A);
        sleep(Duration::from_millis(5_500)).await;
    }
    assert_eq!(tries.load(Ordering::Relaxed), 3, "once for each: then it was back");
    assert_eq!(send(&service, of_session(A)).await.status(), 200);

    // The same if background checks find nothing.
    let service = PinBackendLayer::new(backends([A, B])).layer(world.clone());
    world.fail(A, FailureKind::Refused, Reads::Nothing);
    for _ in 0..3 {
        assert_eq!(send(&service, of_session(A)).await.status(), 503);
        sleep(Duration::from_millis(5_500)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_has_ended_is_found_out_without_any_traffic() {
    let world = World::default();
    let (set, tries) = finds(backends([A, B]), Err(FailureKind::Refused));
    let service = PinBackendLayer::new(set.clone()).layer(world.clone());
    world.fail(A, FailureKind::Refused, Reads::Nothing);
    assert_eq!(send(&service, of_session(A)).await.status(), 503);
    sleep(Duration::from_millis(5_100)).await;
    let response = send(&service, of_session(A)).await;
    assert_eq!(Reason::of(&response), Some(Reason::BackendLost));
    assert_eq!(tries.load(Ordering::Relaxed), 5, "once a second");
    // The backend is still tried, and is back as soon as it answers.
    world.mend(A);
    assert_eq!(send(&service, of_session(A)).await.status(), 200);
    sleep(secs(60)).await;
    assert_eq!(tries.load(Ordering::Relaxed), 5, "no more background checks");
    // Until it fails again.
    world.fail(A, FailureKind::Refused, Reads::Nothing);
    send(&service, of_session(A)).await;
    sleep(secs(2)).await;
    assert!(tries.load(Ordering::Relaxed) > 5);
    drop((service, set));
    let before = tries.load(Ordering::Relaxed);
    sleep(secs(60)).await;
    assert!(tries.load(Ordering::Relaxed) <= before + 1, "it ends with the set");
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_can_be_connected_to_is_back_in_service() {
    let world = World::default();
    let (set, _) = finds(backends([A]), Ok(()));
    let service = PinBackendLayer::new(set.clone()).layer(world.clone());
    world.fail(A, FailureKind::Refused, Reads::Nothing);
    send(&service, of_session(A)).await;
    assert_eq!(set.snapshot()[0].state(), BackendState::Down);
    sleep(Duration::from_millis(1_001)).await;
    assert_eq!(set.snapshot()[0].state(), BackendState::Ready);
}

/// Each of these once ended the session after 5 s.
#[tokio::test(start_paused = true)]
async fn what_may_be_the_fault_of_this_side_ends_no_session() {
    for kind in
        [FailureKind::NoRoute, FailureKind::ConnectTimeout, FailureKind::Dns, FailureKind::Tls]
    {
        let world = World::default();
        let (set, _) = finds(backends([A, B]), Err(kind));
        let service = PinBackendLayer::new(set).layer(world.clone());
        world.fail(A, kind, Reads::Nothing);
        assert_eq!(send(&service, of_session(A)).await.status(), 503, "{kind:?}");
        sleep(secs(4)).await;
        assert_eq!(send(&service, of_session(A)).await.status(), 503, "{kind:?}");
        sleep(secs(2)).await;
        let response = send(&service, of_session(A)).await;
        assert_eq!(response.status(), 404, "{kind:?}");
        // The layer that guards sessions keeps the record for this reason.
        assert_eq!(Reason::of(&response), Some(Reason::BackendOutOfReach), "{kind:?}");
        world.mend(A);
        assert_eq!(send(&service, of_session(A)).await.status(), 200, "{kind:?}");
    }
    // This host's own lack of ports or descriptors is not even a failure of the backend.
    let world = World::default();
    let set = backends([A]);
    let service = PinBackendLayer::new(set.clone()).layer(world.clone());
    world.fail(A, FailureKind::ConnectionLimit, Reads::Nothing);
    for _ in 0..10 {
        assert_eq!(send(&service, of_session(A)).await.status(), 503);
        sleep(secs(1)).await;
    }
    assert_eq!(set.snapshot()[0].state(), BackendState::Ready);
}

#[tokio::test(start_paused = true)]
async fn how_long_a_server_must_refuse_is_an_option() {
    let world = World::default();
    let (set, _) = finds(backends([A]), Err(FailureKind::Refused));
    let service = PinBackendLayer::new(set).lost_after(secs(60)).layer(world.clone());
    world.fail(A, FailureKind::Refused, Reads::Nothing);
    assert_eq!(send(&service, of_session(A)).await.status(), 503);
    sleep(secs(58)).await;
    assert_eq!(send(&service, of_session(A)).await.status(), 503);
    sleep(secs(3)).await;
    let response = send(&service, of_session(A)).await;
    assert_eq!(Reason::of(&response), Some(Reason::BackendLost));
}

/// The span of refusals is complete, but the server may have come back since.
#[tokio::test(start_paused = true)]
async fn a_request_that_was_not_refused_itself_ends_no_session() {
    let world = World::default();
    let (set, _) = finds(backends([A, B]), Err(FailureKind::Refused));
    let service = PinBackendLayer::new(set).layer(world.clone());
    world.fail(A, FailureKind::Refused, Reads::Nothing);
    assert_eq!(send(&service, of_session(A)).await.status(), 503);
    sleep(secs(6)).await;
    world.fail(A, FailureKind::ConnectTimeout, Reads::Nothing);
    let response = send(&service, of_session(A)).await;
    assert_eq!(Reason::of(&response), Some(Reason::BackendOutOfReach));
    world.fail(A, FailureKind::Refused, Reads::Nothing);
    let response = send(&service, of_session(A)).await;
    assert_eq!(Reason::of(&response), Some(Reason::BackendLost));
}

/// This once failed: a replica with a shorter list of backends ended live sessions of all replicas.
#[tokio::test(start_paused = true)]
async fn a_backend_that_was_never_here_is_unknown_and_not_lost() {
    let world = World::default();
    let set = backends([B]);
    let service = PinBackendLayer::new(set.clone()).layer(world.clone());
    for second in 0..10 {
        let response = send(&service, of_session(A)).await;
        assert_eq!(Reason::of(&response), Some(Reason::BackendUnknown), "{second} s");
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()["retry-after"], "1");
        sleep(secs(1)).await;
    }
    let response = send(&service, of_session(A)).await;
    assert_eq!(Reason::of(&response), Some(Reason::BackendOutOfReach));
    assert_eq!(response.status(), 404);
    assert!(world.backends_called().is_empty());
    // The backend becomes known.
    set.add(A.parse().unwrap());
    assert_eq!(send(&service, of_session(A)).await.status(), 200);
    set.remove(&id(A));
    let response = send(&service, of_session(A)).await;
    assert_eq!(Reason::of(&response), Some(Reason::BackendLost), "seen to leave");

    let service = PinBackendLayer::new(backends([B]).settle(secs(0))).layer(world.clone());
    let response = send(&service, of_session(A)).await;
    assert_eq!(Reason::of(&response), Some(Reason::BackendOutOfReach));
    // Servers that share their state need not wait.
    let layer = PinBackendLayer::new(backends([B])).on_lost(OnLost::Repin);
    let service = layer.layer(world.clone());
    assert_eq!(send(&service, of_session(A)).await.status(), 200);
    assert_eq!(world.last().backend, B);
}

#[tokio::test(start_paused = true)]
async fn a_key_whose_backend_was_never_here_keeps_its_pin_unless_the_client_made_it() {
    let pinned = |key: &'static [u8]| {
        let (store, route) = (MemoryStore::new(), Route::new("pins"));
        let record = Record::new(Record::IDLE, Record::LIFETIME).with_backend(id(A));
        let _ = store.insert_if_absent(Key::new(&route, None, key), record);
        store
    };
    let world = World::default();
    let store = pinned(b"k");
    let field = HeaderKey::new("x-s".parse().unwrap());
    let service = PinBackendLayer::new(backends([B])).key(field, store.clone());
    let service = service.layer(world.clone());
    let response = send(&service, shows("k")).await;
    assert_eq!(Reason::of(&response), Some(Reason::BackendUnknown));
    sleep(secs(10)).await;
    let response = send(&service, shows("k")).await;
    assert_eq!(Reason::of(&response), Some(Reason::BackendOutOfReach));
    assert_eq!(store.len(), 1, "another replica may serve it");

    let query = QueryKey::new("s");
    let service = PinBackendLayer::new(backends([B])).key(query, pinned(b"1"));
    let service = service.layer(world.clone());
    let shown = || Request::get("/?s=1").body(Full::from("")).unwrap();
    assert_eq!(send(&service, shown()).await.status(), 503);
    sleep(secs(10)).await;
    // The client could not choose another key.
    assert_eq!(send(&service, shown()).await.status(), 200);
    assert_eq!(world.last().backend, B);
}
