//! Requests that wait: for a store that answers late, never or with an error; for a body that arrives late; for an
//! inner service that is not ready.
#![allow(clippy::unwrap_used, reason = "test support")]

mod common;

use std::{
    convert::Infallible,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use bartizan_core::{Answer, Key, Reason, Route, SessionStore};
use bartizan_memory::MemoryStore;
use bartizan_session::{MintIds, PeekedBody, ValidateSessionLayer};
use bytes::Bytes;
use common::{CALL, INITIALIZE, Mood, Moody, Server, guard, live, post, send, text};
use futures_util::{FutureExt, StreamExt, stream};
use http::{Method, Request, Response};
use http_body::Frame;
use http_body_util::{Full, StreamBody};
use tower::{Layer, Service, ServiceExt, limit::ConcurrencyLimit};

#[tokio::test(start_paused = true)]
async fn a_store_that_does_not_answer_is_503_and_the_backend_is_not_touched() {
    for mood in [Mood::Failing, Mood::Stuck] {
        let store = Moody { get: Some(mood), ..Moody::new() };
        live(&store.inner, "s1").await;
        let server = Server::mcp();
        let begun = tokio::time::Instant::now();
        let response = send(&guard(&store, &server), post(Some("s1"), CALL)).await;
        assert_eq!(Reason::of(&response), Some(Reason::StoreUnavailable), "{mood:?}");
        assert!(begun.elapsed() <= Duration::from_millis(251));
        assert!(text(response).await.contains("-32603"));
        assert_eq!(server.calls(), 0);
    }
}

#[tokio::test]
async fn a_store_that_answers_later_is_waited_for() {
    let store = Moody { get: Some(Mood::Late), ..Moody::new() };
    live(&store.inner, "s1").await;
    let server = Server::mcp();
    let service = guard(&store, &server);
    assert_eq!(send(&service, post(Some("s1"), CALL)).await.status(), 200);
    assert_eq!(send(&service, post(Some("zz"), CALL)).await.status(), 404);
    assert_eq!(send(&service, post(Some("zz"), INITIALIZE)).await.status(), 200);
}

/// `ConcurrencyLimit` panics when an instance is called that was not polled ready.
#[tokio::test]
async fn the_instance_that_was_ready_is_the_one_that_is_called() {
    for mood in [None, Some(Mood::Late)] {
        let store = Moody { get: mood, ..Moody::new() };
        live(&store.inner, "s1").await;
        let limited = ConcurrencyLimit::new(Server::mcp(), 1);
        let service = ValidateSessionLayer::mcp(store).layer(limited);
        for _ in 0..3 {
            for request in [post(Some("s1"), CALL), post(None, INITIALIZE), post(Some("x"), CALL)] {
                // If a refusal or a dropped future kept a permit, the next round would hang.
                let response = send(&service, request).await;
                assert!(response.status().is_success() || response.status() == 404);
            }
        }
    }
}

#[tokio::test]
async fn a_dropped_request_gives_its_permit_back() {
    let store = Moody { get: Some(Mood::Stuck), ..Moody::new() };
    let limited = ConcurrencyLimit::new(Server::mcp(), 1);
    let mut service = ValidateSessionLayer::mcp(store).layer(limited);
    let pending = service.ready().await.unwrap().call(post(Some("s1"), CALL));
    let ready = service.ready();
    assert!(ready.now_or_never().is_none(), "the permit is taken");
    drop(pending);
    service.ready().await.unwrap();
}

type Pieces = StreamBody<stream::BoxStream<'static, Result<Frame<Bytes>, &'static str>>>;

fn body(pieces: Vec<Result<&'static str, &'static str>>, then_hangs: bool) -> Pieces {
    let frames = pieces.into_iter().map(|piece| piece.map(|text| Frame::data(Bytes::from(text))));
    let frames = stream::iter(frames);
    if then_hangs {
        StreamBody::new(frames.chain(stream::pending()).boxed())
    } else {
        StreamBody::new(frames.boxed())
    }
}

async fn status_of(pieces: Pieces) -> (u16, Option<Reason>) {
    let inner = tower::service_fn(async |_: Request<PeekedBody<Pieces>>| {
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
    });
    let service = ValidateSessionLayer::mcp(MemoryStore::new()).layer(inner);
    let response = service.oneshot(Request::post("/mcp").body(pieces).unwrap()).await.unwrap();
    (response.status().as_u16(), Reason::of(&response))
}

#[tokio::test(start_paused = true)]
async fn a_body_that_comes_in_pieces_is_judged_and_one_that_does_not_come_is_refused() {
    let (head, tail) = INITIALIZE.split_at(30);
    assert_eq!(status_of(body(vec![Ok(head), Ok(""), Ok(tail)], false)).await, (200, None));
    let (status, reason) = status_of(body(vec![Ok(head)], true)).await;
    assert_eq!((status, reason), (408, Some(Reason::BodyTimeout)));
    let (status, reason) = status_of(body(vec![Ok(head), Err("gone")], false)).await;
    assert_eq!((status, reason), (400, Some(Reason::BodyBroken)));
}

/// The backend takes three milliseconds for each request. An opening that the store refuses makes two requests.
#[tokio::test(start_paused = true)]
async fn wherever_a_client_leaves_its_session_stays_as_it_is_and_no_permit_is_kept() {
    for insert in [None, Some(Mood::Late), Some(Mood::Failing), Some(Mood::Stuck)] {
        let store = Moody { get: Some(Mood::Late), insert, ..Moody::new() };
        live(&store.inner, "live").await;
        let slow = tower::ServiceBuilder::new().concurrency_limit(1).map_future(|future| async {
            tokio::time::sleep(Duration::from_millis(3)).await;
            future.await
        });
        let inner = slow.service(Server::mcp());
        let mut service = ValidateSessionLayer::mcp(store.clone()).layer(inner);
        let route = Route::default();
        let find = |id: &'static str| match store.inner.get(Key::new(&route, None, id.as_bytes())) {
            Answer::Now(found) => found.unwrap(),
            Answer::Later(_) => panic!("the memory store answers now"),
        };
        for after_ms in [300, 254, 252, 100, 7, 6, 5, 4, 3, 2, 1, 0] {
            for (request, opens) in [
                (post(Some("live"), CALL), false),
                (post(Some("gone"), CALL), false),
                (post(None, INITIALIZE), true),
            ] {
                let call = service.ready().await.unwrap().call(request);
                let left = tokio::time::timeout(Duration::from_millis(after_ms), call).await;
                drop(left);
                if opens {
                    // The opening continues, to end the session that the backend opens.
                    tokio::time::sleep(Duration::from_secs(2)).await;
                }
                let again = service.ready();
                assert!(again.now_or_never().is_some(), "{insert:?}, {after_ms} ms");
                assert!(!find("live").unwrap().is_held(), "{insert:?}, {after_ms} ms");
                assert!(find("s1").is_none_or(|opened| !opened.is_held()));
            }
        }
        let opens = matches!(insert, None | Some(Mood::Late));
        assert_eq!(find("s1").is_some(), opens, "{insert:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_does_not_end_a_session_is_waited_for_a_second() {
    let store = Moody { insert: Some(Mood::Failing), ..Moody::new() };
    let silent = tower::service_fn(async |request: Request<common::ReqBody>| {
        if request.method() == Method::DELETE {
            std::future::pending::<()>().await;
        }
        Ok::<_, Infallible>(common::opened("s1"))
    });
    let service = ValidateSessionLayer::mcp(store).layer(silent);
    let begun = tokio::time::Instant::now();
    let response = service.oneshot(post(None, INITIALIZE)).await.unwrap();
    assert_eq!(Reason::of(&response), Some(Reason::StoreUnavailable));
    assert_eq!(begun.elapsed().as_secs(), 1);
}

/// A timer would need a runtime, and there is none here.
#[test]
fn what_is_there_at_once_is_waited_for_without_a_timer() {
    let store = Moody { get: Some(Mood::Late), ..Moody::new() };
    live(&store.inner, "s1").now_or_never().unwrap();
    let service = guard(&store, &Server::mcp());
    for (request, status) in
        [(post(Some("s1"), CALL), 200), (post(Some("x"), CALL), 404), (post(None, INITIALIZE), 200)]
    {
        assert_eq!(send(&service, request).now_or_never().unwrap().status(), status);
    }
}

/// In each state: waiting for the inner service, waiting for the store, answered here.
#[tokio::test]
async fn a_future_that_is_polled_again_says_so_in_debug_builds_and_stays_pending() {
    for (get, request) in [
        (None, post(Some("s1"), CALL)),
        (Some(Mood::Late), post(Some("s1"), CALL)),
        (None, common::request(Method::PUT, Some("s1"), "")),
    ] {
        let store = Moody { get, ..Moody::new() };
        live(&store.inner, "s1").await;
        let mut call = pin!(guard(&store, &Server::mcp()).call(request));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(call.as_mut().poll(&mut cx).is_ready());
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
    let layer = ValidateSessionLayer::mcp(MemoryStore::new());
    assert!(format!("{layer:?}").starts_with("ValidateSessionLayer { protocol: Mcp, "));
    let printed = format!("{:?}", layer.layer("inside"));
    assert!(
        printed.starts_with("ValidateSession { inner: \"inside\", protocol: Mcp, "),
        "{printed}"
    );
}

/// This once failed: if a client disconnected while its session was being opened, the session
/// stayed at the backend.
#[tokio::test(start_paused = true)]
async fn a_session_whose_client_left_meanwhile_is_ended() {
    // It disconnects after 100 ms: before the backend has answered, or before the store has.
    for (backend_ms, insert) in
        [(500, None), (0, Some(Mood::Slow)), (0, Some(Mood::Stuck)), (500, Some(Mood::Slow))]
    {
        for mints in [false, true] {
            let store = Moody { insert, ..Moody::new() };
            let server = Server::mcp();
            let slow = tower::ServiceBuilder::new().map_future(move |future| async move {
                tokio::time::sleep(Duration::from_millis(backend_ms)).await;
                future.await
            });
            let layer = ValidateSessionLayer::mcp(MintIds::new(store.clone()).only_if(mints));
            let service = layer.layer(slow.service(server.clone()));
            let opening = service.oneshot(post(None, INITIALIZE));
            let left = tokio::time::timeout(Duration::from_millis(100), opening).await;
            assert!(left.is_err());
            tokio::time::sleep(Duration::from_secs(10)).await;
            let case = format!("{backend_ms} ms, {insert:?}, mints: {mints}");
            let journal = server.journal();
            let methods: Vec<_> = journal.iter().map(|seen| &seen.method).collect();
            assert_eq!(methods, [Method::POST, Method::DELETE], "{case}");
            assert_eq!(journal[1].headers["mcp-session-id"], "s1", "as the backend knows it");
            assert_eq!(store.inner.len(), 0, "{case}");
        }
    }
}
