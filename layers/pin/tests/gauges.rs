//! Each number of a set of backends moves by the event that it names, once, and by no other.
#![allow(clippy::unwrap_used, reason = "test support")]

mod common;

use std::{convert::Infallible, future::pending, sync::Arc, time::Duration};

use bartizan_core::{
    Backend, BackendId, GuardBody, Passage, Work, failure::FailureKind, store::CountSessions,
};
use bartizan_memory::MemoryStore;
use bartizan_pin::{
    AffinityCookie, Backends, OnLost, PinBackendLayer, Probe,
    balance::Candidate,
    key::{CookieKey, PathSegmentKey},
};
use gauges::Ledger;
use http::{HeaderValue, Request, Response};
use http_body_util::Full;
use tokio::time::{advance, sleep};
use tower::{Layer, service_fn};

use common::*;

#[path = "../../../tests/support/gauges.rs"]
mod gauges;

const SECOND: Duration = Duration::from_secs(1);
const NOTHING: [String; 0] = [];

/// Takes the first there is.
fn first(candidates: &[Candidate<'_>], _: Option<&[u8]>) -> Option<usize> {
    (!candidates.is_empty()).then_some(0)
}

fn layer(set: &Backends) -> PinBackendLayer {
    PinBackendLayer::new(set.clone()).balance(first)
}

fn opening() -> Request<Body> {
    let mut opening = request("initialize");
    Passage::with(&mut opening, |passage| passage.set_work(Work::Opening));
    opening
}

fn requests(backend: &str, choice: &str) -> String {
    format!("backend_requests_total{{backend={backend},choice={choice}}} 1")
}

fn out(backend: &str, cause: &str) -> String {
    format!("backend_out_total{{backend={backend},cause={cause}}} 1")
}

fn back(backend: &str, cause: &str) -> String {
    format!("backend_back_total{{backend={backend},cause={cause}}} 1")
}

fn lost(cause: &str) -> String {
    format!("pins_lost_total{{cause={cause}}} 1")
}

#[tokio::test(start_paused = true)]
async fn a_request_counts_where_it_is_sent_and_by_how_that_was_chosen() {
    let (world, set) = (World::default(), backends([A, B, C]));
    let mut ledger = Ledger::new(set.clone());
    let service = layer(&set).layer(world.clone());
    send(&service, of_session(B)).await;
    assert_eq!(ledger.moved(), [requests(B, "pinned")]);
    send(&service, request("new")).await;
    assert_eq!(ledger.moved(), [requests(A, "chosen")]);
    let mut named = request("new");
    Passage::with(&mut named, |passage| passage.set_backend(C.parse().unwrap()));
    send(&service, named).await;
    assert_eq!(ledger.moved(), [requests(C, "named")]);
    // What is sent and refused by the service inside is sent.
    send(&service, refused_inside(of_session(B))).await;
    assert_eq!(ledger.moved(), [requests(B, "pinned")]);
    // A backend that is in no set has no number.
    let mut named = request("new");
    Passage::with(&mut named, |passage| passage.set_backend("http://d:1".parse().unwrap()));
    send(&service, named).await;
    assert_eq!(ledger.moved(), NOTHING);
    world.fail(A, FailureKind::Refused, Reads::Nothing);
    send(&service, request("new")).await;
    assert_eq!(
        ledger.moved(),
        [out(A, "unreachable"), requests(A, "chosen"), requests(B, "failover")]
    );
}

#[tokio::test]
async fn a_key_and_a_cookie_are_pins_and_one_that_moves_is_counted_as_chosen() {
    let (world, set) = (World::default(), backends([A, B]));
    let mut ledger = Ledger::new(set.clone());
    let by_path = layer(&set).key(PathSegmentKey::after("/rooms/"), MemoryStore::new());
    let service = by_path.layer(world.clone());
    let room = || Request::get("/rooms/1").body(Full::from("")).unwrap();
    send(&service, room()).await;
    assert_eq!(ledger.moved(), [requests(A, "chosen")]);
    send(&service, room()).await;
    assert_eq!(ledger.moved(), [requests(A, "pinned")]);
    set.remove(&id(A));
    send(&service, room()).await;
    assert_eq!(ledger.moved(), [requests(B, "chosen"), "pins_moved_total 1".to_owned()]);
    send(&service, room()).await;
    assert_eq!(ledger.moved(), [requests(B, "pinned")]);

    let cookie = AffinityCookie::new(&[7; 32]).unwrap();
    let service = layer(&set).affinity(cookie).layer(world);
    let response = send(&service, request("new")).await;
    let cookie = response.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap();
    assert_eq!(ledger.moved(), [requests(B, "chosen")]);
    let mut again = request("again");
    again.headers_mut().insert("cookie", HeaderValue::from_str(cookie).unwrap());
    send(&service, again).await;
    assert_eq!(ledger.moved(), [requests(B, "pinned")]);
}

#[tokio::test(start_paused = true)]
async fn a_request_whose_backend_is_gone_or_silent_for_long_is_a_lost_pin() {
    for (kind, cause) in
        [(FailureKind::Refused, "backend_lost"), (FailureKind::ConnectTimeout, "out_of_reach")]
    {
        let (world, set) = (World::default(), backends([A, B]));
        let mut ledger = Ledger::new(set.clone());
        let service = layer(&set).layer(world.clone());
        world.fail(A, kind, Reads::Nothing);
        send(&service, of_session(A)).await;
        assert_eq!(ledger.moved(), [out(A, "unreachable"), requests(A, "pinned")]);
        for _ in 1..5 {
            advance(SECOND).await;
            send(&service, of_session(A)).await;
            assert_eq!(ledger.moved(), [requests(A, "pinned")], "not yet");
        }
        advance(SECOND).await;
        assert_eq!(send(&service, of_session(A)).await.status(), 404);
        assert_eq!(ledger.moved(), [requests(A, "pinned"), lost(cause)]);
        world.mend(A);
        send(&service, of_session(A)).await;
        assert_eq!(ledger.moved(), [back(A, "unreachable"), requests(A, "pinned")]);
        set.remove(&id(A));
        assert_eq!(send(&service, of_session(A)).await.status(), 404);
        assert_eq!(ledger.moved(), [lost("backend_lost")]);
        // One that was never here may be found yet, and is not here in the end.
        assert_eq!(send(&service, of_session(C)).await.status(), 503);
        assert_eq!(ledger.moved(), NOTHING);
        advance(10 * SECOND).await;
        assert_eq!(send(&service, of_session(C)).await.status(), 404);
        assert_eq!(ledger.moved(), [lost("out_of_reach")]);
    }
}

#[tokio::test]
async fn a_pin_of_a_backends_key_is_lost_with_it_or_by_its_404() {
    let (world, set) = (World::default(), backends([A, B]));
    let mut ledger = Ledger::new(set.clone());
    let by_cookie = layer(&set).key(CookieKey::new("sid"), MemoryStore::new());
    let service = by_cookie.clone().lost_on_404(true).layer(world.clone());
    let shown = || {
        let mut shown = request("call");
        shown.headers_mut().insert("cookie", HeaderValue::from_static("sid=v"));
        shown
    };
    world.name("set-cookie", "sid=v; Path=/");
    send(&service, request("login")).await;
    assert_eq!(ledger.moved(), [requests(A, "chosen")]);
    world.answer(404);
    send(&by_cookie.layer(world.clone()), shown()).await;
    assert_eq!(ledger.moved(), [requests(A, "pinned")], "a 404 is usually about a path");
    send(&service, shown()).await;
    assert_eq!(ledger.moved(), [requests(A, "pinned"), lost("backend_404")]);
    world.answer(200);
    world.name("set-cookie", "sid=w; Path=/");
    send(&service, request("login")).await;
    ledger.moved();
    set.remove(&id(A));
    let mut shown = request("call");
    shown.headers_mut().insert("cookie", HeaderValue::from_static("sid=w"));
    assert_eq!(send(&service, shown).await.status(), 404);
    assert_eq!(ledger.moved(), [lost("backend_lost")]);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_moves_is_no_lost_pin() {
    let (world, set) = (World::default(), backends([A, B]));
    let mut ledger = Ledger::new(set.clone());
    let service = layer(&set).on_lost(OnLost::Repin).layer(world);
    set.remove(&id(A));
    assert_eq!(send(&service, of_session(A)).await.status(), 200);
    // That its record moves is the session layer's to count.
    assert_eq!(ledger.moved(), [requests(B, "chosen")]);
}

#[tokio::test(start_paused = true)]
async fn failed_openings_take_a_backend_out_once_and_a_success_puts_it_back_once() {
    let (world, set) = (World::default(), backends([A, B]));
    let mut ledger = Ledger::new(set.clone());
    let service = layer(&set).layer(world.clone());
    world.fail(A, FailureKind::Terminated, Reads::Body);
    let mut moved = Vec::new();
    for _ in 0..40 {
        send(&service, opening()).await;
        moved.extend(ledger.moved().into_iter().filter(|name| !name.contains("requests")));
        advance(SECOND / 4).await;
    }
    assert_eq!(moved, [out(A, "failed_openings")]);
    assert_eq!(ledger.level(&format!("backend_state{{backend={A},state=down}}")), 1);
    world.mend(A);
    let mut moved = Vec::new();
    for _ in 0..80 {
        send(&service, opening()).await;
        moved.extend(ledger.moved().into_iter().filter(|name| !name.contains("requests")));
        advance(SECOND / 4).await;
    }
    assert_eq!(moved, [back(A, "failed_openings")]);
    assert_eq!(ledger.level(&format!("backend_state{{backend={A},state=ready}}")), 1);
}

#[tokio::test(start_paused = true)]
async fn probes_take_a_backend_out_and_back_and_so_does_their_end() {
    let set = backends([A, B]);
    let mut ledger = Ledger::new(set.clone());
    let is_sick = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let sick = Arc::clone(&is_sick);
    let service = service_fn(move |request: Request<String>| {
        let backend = Backend::of(&request).unwrap().id().to_string();
        let is_sick = backend == A && sick.load(std::sync::atomic::Ordering::Relaxed);
        async move {
            let mut response = Response::new(GuardBody::forwarded(Body::default()));
            *response.status_mut() = if is_sick { 500 } else { 200 }.try_into().unwrap();
            Ok::<_, Infallible>(response)
        }
    });
    let set_sick = |sick| is_sick.store(sick, std::sync::atomic::Ordering::Relaxed);
    let probe = || Probe::get("/").unwrap().interval(SECOND);
    let task = tokio::spawn(set.clone().probe(probe(), service.clone()));
    sleep(5 * SECOND).await;
    assert_eq!(ledger.moved(), NOTHING);
    set_sick(true);
    sleep(10 * SECOND).await;
    assert_eq!(ledger.moved(), [out(A, "probe")]);
    assert_eq!(ledger.level(&format!("backend_state{{backend={A},state=down}}")), 1);
    set_sick(false);
    sleep(10 * SECOND).await;
    assert_eq!(ledger.moved(), [back(A, "probe")]);
    set_sick(true);
    sleep(10 * SECOND).await;
    assert_eq!(ledger.moved(), [out(A, "probe")]);
    task.abort();
    sleep(SECOND).await;
    assert_eq!(ledger.moved(), [back(A, "probe")]);
}

struct Seven;

impl CountSessions for Seven {
    fn sessions_on(&self, backend: &BackendId) -> usize {
        if backend.as_str() == A { 7 } else { 0 }
    }
}

#[tokio::test(start_paused = true)]
async fn each_backend_has_all_its_states_and_levels_though_nothing_happens() {
    let set = backends([A, B]).counted_by(Arc::new(Seven));
    let ledger = Ledger::new(set.clone());
    let states = |backend: &str| {
        ["ready", "draining", "down"]
            .map(|state| ledger.level(&format!("backend_state{{backend={backend},state={state}}}")))
    };
    assert_eq!((states(A), states(B)), ([1, 0, 0], [1, 0, 0]));
    assert_eq!(ledger.level(&format!("backend_sessions{{backend={A}}}")), 7);
    assert_eq!(ledger.level(&format!("backend_sessions{{backend={B}}}")), 0);
    let silent = service_fn(async |_: Request<_>| {
        pending::<Result<Response<GuardBody<Body>>, Infallible>>().await
    });
    let silent = layer(&set).layer(silent);
    let mut hanging = Box::pin(send(&silent, opening()));
    assert!(futures_util::poll!(&mut hanging).is_pending());
    assert_eq!(ledger.level(&format!("backend_opening{{backend={A}}}")), 1);
    drop(hanging);
    assert_eq!(ledger.level(&format!("backend_opening{{backend={A}}}")), 0);
    set.drain(&id(A));
    let world = World::default();
    world.fail(B, FailureKind::Refused, Reads::Nothing);
    send(&layer(&set).layer(world), of_session(B)).await;
    assert_eq!((states(A), states(B)), ([0, 1, 0], [0, 0, 1]));
    set.remove(&id(A));
    assert_eq!(ledger.all("backend_state").len(), 3, "one that has left has no numbers");
}
