//! The rule tables of the front page, row by row.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod common;

use std::{convert::Infallible, future::pending, num::NonZeroUsize, time::Duration};

use bartizan_core::{GuardBody, Key, Principal, Reason, Record, Route, SessionStore};
use bartizan_pin::Backends;
use bartizan_streams::{SecondStream, TrackStreamsLayer};
use bytes::Bytes;
use common::{Body, World, is_quiet, listening, next, request, with_key};
use futures_util::FutureExt;
use http::{Method, Response};
use http_body::Body as _;
use http_body_util::{BodyExt, Full};
use tokio::time::{Instant, advance};
use tower::{Layer, Service, ServiceExt, service_fn};

const SECOND: Duration = Duration::from_secs(1);
/// The end of a stream.
const END: Option<String> = None;

fn world() -> World {
    World::new(&TrackStreamsLayer::new())
}

fn two() -> NonZeroUsize {
    NonZeroUsize::new(2).unwrap()
}

fn is_refused(response: &Response<Body>, reason: Reason) -> bool {
    assert_eq!(response.headers().contains_key("retry-after"), reason == Reason::TooManyStreams);
    response.status() == reason.status() && Reason::of(response) == Some(reason)
}

// On arrival.

#[tokio::test(start_paused = true)]
async fn whoever_asks_to_listen_is_let_through_and_listed_while_the_stream_is_open() {
    let world = world();
    let session = world.open("a");
    let mut body = world.listen("a").await.into_body();
    assert!(world.backend.say(0, "data: x\n\n").await);
    assert_eq!(next(&mut body).await.unwrap(), "data: x\n\n");
    advance(SECOND).await;

    let listed = world.streams.list();
    assert_eq!((listed.len(), world.streams.len()), (1, 1));
    let stream = &listed[0];
    assert_eq!(stream.session().unwrap().key(), session.key());
    assert_eq!((stream.age(), stream.bytes(), stream.is_listening()), (SECOND, 9, true));
    assert_eq!(world.streams.of(session.key()).len(), 1);
    assert_eq!(with_key("b", |key| world.streams.of(key).len()), 0);

    world.backend.finish(0);
    assert_eq!(next(&mut body).await, END);
    assert!(world.streams.is_empty(), "over, though the body is still there");
    drop(body);
    let body = world.listen("a").await.into_body();
    drop(body);
    assert!(world.streams.is_empty(), "the client went away");
}

#[tokio::test]
async fn past_the_cap_nobody_listens_until_somebody_leaves() {
    let world = World::new(&TrackStreamsLayer::new().max(two()));
    world.open_all(&["a", "b", "c"]);
    let kept = (world.listen("a").await, world.listen("b").await);
    assert!(is_refused(&world.listen("c").await, Reason::TooManyStreams));
    let subscription = request(
        Method::POST,
        None,
        &[("mcp-method", "subscriptions/listen"), ("mcp-protocol-version", "2026-07-28")],
    );
    assert!(is_refused(&world.send(subscription).await, Reason::TooManyStreams));
    assert_eq!(world.backend.calls(), 2, "no backend is asked for what there is no room for");
    drop(kept.0);
    assert_eq!(world.listen("c").await.status(), 200);
}

#[tokio::test]
async fn past_its_own_cap_a_session_does_not_listen_and_others_do() {
    let world = World::new(&TrackStreamsLayer::new().max_per_session(two()));
    world.open_all(&["a", "b"]);
    let kept = (world.listen("a").await, world.listen("a").await);
    assert!(is_refused(&world.listen("a").await, Reason::TooManyStreams));
    let other = world.listen("b").await;
    assert_eq!((other.status().as_u16(), world.backend.calls()), (200, 3));
    drop(kept.0);
    assert_eq!(world.listen("a").await.status(), 200);
}

#[tokio::test]
async fn sessions_of_two_principals_are_two_though_they_have_one_id() {
    let one = TrackStreamsLayer::new().second_stream(SecondStream::Refused);
    let world = World::new(&one);
    world.open("a");
    let alice = Principal::new("issuer", "alice");
    let route = Route::default();
    let key = Key::new(&route, Some(&alice), b"a");
    let _ = world.store.insert_if_absent(key, Record::new(Record::IDLE, Record::LIFETIME));
    let anonymous = world.listen("a").await;
    let mut hers = listening("a");
    alice.clone().attach(&mut hers);
    let hers = world.send(hers).await;
    assert_eq!((anonymous.status().as_u16(), hers.status().as_u16()), (200, 200));
    assert_eq!(world.streams.end_all_of(key), 1);
    assert_eq!(next(&mut hers.into_body()).await, END);
    assert!(is_quiet(&mut anonymous.into_body()));
}

#[tokio::test]
async fn by_default_a_session_may_listen_on_several_streams() {
    let world = world();
    world.open("a");
    let (one, two) = (world.listen("a").await, world.listen("a").await);
    assert!(is_quiet(&mut one.into_body()) && is_quiet(&mut two.into_body()));
}

#[tokio::test]
async fn the_last_one_in_wins_if_so_chosen() {
    let layer = TrackStreamsLayer::new().second_stream(SecondStream::Replaces);
    let world = World::new(&layer);
    world.open_all(&["a", "b"]);
    let (mut first, mut other) =
        (world.listen("a").await.into_body(), world.listen("b").await.into_body());
    let mut call = world.call("a").await.into_body();
    let mut second = world.listen("a").await.into_body();
    assert_eq!(next(&mut first).await, END);
    assert!(!world.backend.say(0, "data: x\n\n").await, "the backend is told");
    assert!(is_quiet(&mut second) && is_quiet(&mut other) && is_quiet(&mut call));
}

#[tokio::test]
async fn a_second_one_is_refused_if_so_chosen_until_the_first_has_ended() {
    let layer = TrackStreamsLayer::new().second_stream(SecondStream::Refused);
    let world = World::new(&layer);
    world.open_all(&["a", "b"]);
    let mut first = world.listen("a").await.into_body();
    let second = world.listen("a").await;
    assert!(is_refused(&second, Reason::AlreadyListening));
    assert_eq!(second.headers()["content-type"], "application/json", "as MCP has it");
    assert_eq!(world.backend.calls(), 1);
    assert_eq!(world.call("a").await.status(), 200, "a call is no second one");
    assert_eq!(world.listen("b").await.status(), 200);
    assert!(is_quiet(&mut first));
    assert_eq!(with_key("a", |key| world.streams.end_all_of(key)), 1);
    // The body of the ended stream still exists, but no longer counts.
    assert_eq!(world.listen("a").await.status(), 200);
}

#[tokio::test]
async fn other_requests_are_let_through_whatever_the_caps_are() {
    let layer = TrackStreamsLayer::new().max(NonZeroUsize::MIN).max_per_session(NonZeroUsize::MIN);
    let world = World::new(&layer);
    world.open("a");
    let _listening = world.listen("a").await;
    let mut calls = Vec::new();
    for _ in 0..5 {
        calls.push(world.call("a").await);
    }
    assert!(calls.iter().all(|call| call.status() == 200));
    assert_eq!(world.streams.len(), 6, "they are listed all the same");
    assert_eq!(world.streams.list().iter().filter(|stream| stream.is_listening()).count(), 1);
}

// On the response.

#[tokio::test]
async fn a_get_that_turns_out_to_listen_is_judged_by_its_response() {
    let layer = TrackStreamsLayer::new().max(two()).second_stream(SecondStream::Refused);
    let world = World::new(&layer);
    world.open_all(&["a", "b", "c"]);
    let get = |id| request(Method::GET, Some(id), &[("accept", "*/*")]);
    let first = world.send(get("a")).await;
    assert_eq!(first.status(), 200);
    let second = world.send(get("a")).await;
    assert!(is_refused(&second, Reason::AlreadyListening));
    assert!(!world.backend.say(1, "data: x\n\n").await, "what it had opened is dropped");
    let _other = world.listen("b").await;
    assert!(is_refused(&world.send(get("c")).await, Reason::TooManyStreams));
    drop(first);
    assert_eq!(world.send(get("c")).await.status(), 200);
}

#[tokio::test]
async fn what_is_no_event_stream_passes_untouched_and_takes_no_room() {
    let layer = TrackStreamsLayer::new().max(NonZeroUsize::MIN);
    let world = World::new(&layer);
    world.open("a");
    world.backend.responds_with(&[("content-type", "application/json")]);
    let listened = world.listen("a").await;
    let called = world.call("a").await;
    assert!(world.streams.is_empty());
    // The only place is free again.
    world.backend.responds_with(&[("content-type", "text/event-stream")]);
    let events = world.listen("a").await;
    assert_eq!(events.status(), 200);
    let _ = with_key("a", |key| world.store.remove(key));
    assert_eq!(next(&mut events.into_body()).await, END);
    assert!(is_quiet(&mut called.into_body()) && is_quiet(&mut listened.into_body()));
}

#[tokio::test]
async fn a_request_that_is_given_up_takes_no_room() {
    type Answer = Result<Response<GuardBody<Full<Bytes>>>, Infallible>;
    let never = service_fn(|_: http::Request<()>| pending::<Answer>());
    let layer = TrackStreamsLayer::new().max(NonZeroUsize::MIN);
    let mut service = layer.layer(never);
    let listen = || http::Request::get("/").header("accept", "text/event-stream").body(()).unwrap();
    for _ in 0..3 {
        let answered = service.call(listen()).now_or_never();
        assert!(answered.is_none(), "it waits, and was not refused");
    }
    assert!(layer.streams().is_empty());
}

// While it is open.

#[tokio::test]
async fn a_stream_ends_with_its_session_and_with_no_other() {
    let world = world();
    world.open_all(&["a", "b"]);
    let (mut a, mut b) = (world.listen("a").await.into_body(), world.listen("b").await.into_body());
    let mut call = world.call("a").await.into_body();
    let anonymous = request(Method::POST, None, &[("mcp-protocol-version", "2026-07-28")]);
    let mut anonymous = world.send(anonymous).await.into_body();
    // The streams are already waiting, as in a server.
    assert!([&mut a, &mut b, &mut call, &mut anonymous].into_iter().all(is_quiet));
    let a = tokio::spawn(async move { next(&mut a).await });
    tokio::task::yield_now().await;
    let deleted = world.send(request(Method::DELETE, Some("a"), &[])).await;
    assert_eq!(deleted.status(), 200);
    assert_eq!(a.await.unwrap(), END);
    assert_eq!(next(&mut call).await, END);
    assert!(!world.backend.say(0, "data: x\n\n").await, "the backend is told");
    assert!(is_quiet(&mut b) && is_quiet(&mut anonymous));
    // A busy stream that never waits ends, too.
    assert!(world.backend.say(1, "data: x\n\n").await);
    let _ = with_key("b", |key| world.store.remove(key));
    assert_eq!(next(&mut b).await, END);
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_when_the_lifetime_of_its_session_is_over_but_not_by_idling() {
    let world = world();
    let (idle, lifetime) = (10 * SECOND, 100 * SECOND);
    world.open_with("a", Record::new(idle, lifetime));
    advance(9 * SECOND).await;
    let begun = Instant::now();
    let mut body = world.listen("a").await.into_body();
    assert_eq!(next(&mut body).await, END);
    assert_eq!(begun.elapsed(), 91 * SECOND, "the time that the session had left");

    // A stream that never waits.
    world.open_with("b", Record::new(idle, lifetime));
    let mut body = world.listen("b").await.into_body();
    advance(lifetime).await;
    assert!(world.backend.say(1, "data: x\n\n").await);
    assert_eq!(next(&mut body).await, END);
}

#[tokio::test]
async fn the_handle_ends_one_stream_or_all_of_a_session() {
    let world = world();
    let a = world.open("a");
    world.open("b");
    let mut bodies = Vec::new();
    for id in ["a", "a", "a", "b"] {
        bodies.push(world.listen(id).await.into_body());
    }
    let [one, two, three, other] = bodies.as_mut_slice() else { unreachable!() };
    let first = world.streams.of(a.key()).iter().map(|stream| stream.id()).min().unwrap();
    assert!(world.streams.end(first) && !world.streams.end(first), "once");
    assert_eq!(next(one).await, END);
    assert!(is_quiet(two) && is_quiet(three) && is_quiet(other));
    assert!(!world.streams.end(first), "it is gone");
    assert_eq!(world.streams.end_all_of(a.key()), 2);
    assert_eq!((next(two).await, next(three).await), (END, END));
    assert!(is_quiet(other));
    assert!(world.store.get(a.key()).wait().await.unwrap().is_some(), "the session lives on");
}

#[tokio::test]
async fn a_stream_ends_with_its_backend() {
    let world = world();
    let on = |origin: &str| {
        Record::new(Record::IDLE, Record::LIFETIME).with_backend(origin.parse().unwrap())
    };
    world.open_with("a", on("http://a:1"));
    world.open_with("b", on("http://b:1"));
    let (mut a, mut b) = (world.listen("a").await.into_body(), world.listen("b").await.into_body());
    assert_eq!(world.streams.list().len(), 2);
    // The response takes precedence over the record.
    world.backend.is("http://c:1");
    let mut c = world.listen("b").await.into_body();
    assert_eq!(world.streams.end_all_on(&"http://a:1".parse().unwrap()), 1);
    assert_eq!(next(&mut a).await, END);
    assert!(is_quiet(&mut b) && is_quiet(&mut c));
    assert_eq!(world.streams.end_all_on(&"http://c:1".parse().unwrap()), 1);
    assert_eq!(next(&mut c).await, END);
    assert!(is_quiet(&mut b));
    assert_eq!(world.streams.end_all_on(&"http://d:1".parse().unwrap()), 0);
}

#[tokio::test(start_paused = true)]
async fn when_the_server_leaves_listening_ends_and_calls_are_answered_within_the_deadline() {
    let world = world();
    world.open("a");
    let mut listening = world.listen("a").await.into_body();
    let mut answered = world.call("a").await.into_body();
    let mut late = world.call("a").await.into_body();
    let (streams, begun) = (world.streams.clone(), Instant::now());
    let leaving = tokio::spawn(async move { streams.shut_down(30 * SECOND).await });
    assert_eq!(next(&mut listening).await, END);
    assert!(is_quiet(&mut answered) && is_quiet(&mut late));
    assert!(is_refused(&world.listen("a").await, Reason::TooManyStreams));
    assert!(world.backend.say(1, "data: x\n\n").await);
    world.backend.finish(1);
    assert_eq!(next(&mut answered).await.unwrap(), "data: x\n\n", "it is finished");
    assert_eq!(next(&mut answered).await, END);
    // Another one waits past the deadline.
    assert_eq!(next(&mut late).await, END);
    assert_eq!(begun.elapsed(), 30 * SECOND);
    assert_eq!(leaving.await.unwrap(), 1);
    let mut after = world.call("a").await.into_body();
    assert_eq!(next(&mut after).now_or_never(), Some(END), "nothing begins any more");
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_begins_while_the_server_leaves_ends_in_time() {
    let world = world();
    world.open("a");
    let begun = Instant::now();
    assert_eq!(world.streams.shut_down(30 * SECOND).await, 0, "none was open");
    // A call was in flight, and gets its response only now.
    advance(10 * SECOND).await;
    let mut late = world.call("a").await.into_body();
    assert!(is_quiet(&mut late));
    assert_eq!(next(&mut late).await, END);
    assert_eq!(begun.elapsed(), 30 * SECOND);
    // A stream that never waits.
    let mut busy = world.call("a").await.into_body();
    assert!(world.backend.say(1, "data: x\n\n").await);
    assert_eq!(next(&mut busy).await, END);
}

#[tokio::test(start_paused = true)]
async fn a_server_without_calls_leaves_at_once() {
    let world = world();
    world.open("a");
    assert_eq!(World::new(&TrackStreamsLayer::new()).streams.shut_down(30 * SECOND).await, 0);
    let mut body = world.listen("a").await.into_body();
    let reading = tokio::spawn(async move { next(&mut body).await });
    let begun = Instant::now();
    assert_eq!(world.streams.shut_down(30 * SECOND).await, 0);
    assert_eq!((reading.await.unwrap(), begun.elapsed()), (END, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn a_silent_stream_gets_comments_between_events_only() {
    let world = World::new(&TrackStreamsLayer::new().keep_alive(10 * SECOND));
    world.open("a");
    let mut body = world.listen("a").await.into_body();
    let begun = Instant::now();
    for round in 1..=3 {
        assert_eq!(next(&mut body).await.unwrap(), ":\n\n");
        assert_eq!(begun.elapsed(), round * 10 * SECOND);
    }
    // Data from the backend postpones the next comment.
    advance(9 * SECOND).await;
    assert!(world.backend.say(0, "data: half").await);
    assert_eq!(next(&mut body).await.unwrap(), "data: half");
    let said = Instant::now();
    let waiting = tokio::time::timeout(100 * SECOND, next(&mut body));
    assert!(waiting.await.is_err(), "not inside an event, however long it takes");
    assert!(world.backend.say(0, "\n\n").await);
    assert_eq!(next(&mut body).await.unwrap(), "\n\n");
    assert_eq!(said.elapsed(), 100 * SECOND);
    assert_eq!(next(&mut body).await.unwrap(), ":\n\n");
    assert_eq!(said.elapsed(), 110 * SECOND);
    assert_eq!(world.streams.list()[0].bytes(), 12, "the backend's own");
}

#[tokio::test(start_paused = true)]
async fn no_comment_by_default_nor_in_what_is_encoded_or_has_a_length() {
    let events = ("content-type", "text/event-stream");
    for (fields, keeps_alive, comes) in [
        (vec![events], false, false),
        (vec![events], true, true),
        (vec![events, ("content-encoding", "gzip")], true, false),
        (vec![events, ("content-encoding", "identity")], true, true),
        (vec![events, ("content-length", "100")], true, false),
        (vec![("content-type", "application/json")], true, false),
    ] {
        let layer = TrackStreamsLayer::new();
        let layer = if keeps_alive { layer.keep_alive(Duration::ZERO) } else { layer };
        let world = World::new(&layer);
        world.open("a");
        world.backend.responds_with(&fields);
        let mut body = world.listen("a").await.into_body();
        let begun = Instant::now();
        let comment = tokio::time::timeout(10 * SECOND, next(&mut body)).await;
        assert_eq!(comment.is_ok(), comes, "{fields:?}");
        let waited = if comes { SECOND / 10 } else { 10 * SECOND };
        assert_eq!(begun.elapsed(), waited, "never more often, whatever is asked for");
    }
}

#[tokio::test]
async fn a_stream_has_no_length_and_another_body_has_its_own() {
    for (kind, expected) in [("text/event-stream", None), ("text/plain", Some(3))] {
        let inner = service_fn(async |_: http::Request<()>| {
            let response = Response::builder().header("content-type", kind);
            let body = GuardBody::forwarded(Full::<Bytes>::from("abc"));
            Ok::<_, Infallible>(response.body(body).unwrap())
        });
        let response = TrackStreamsLayer::new().layer(inner).oneshot(http::Request::default());
        let body = response.await.unwrap().into_body();
        assert_eq!(body.size_hint().exact(), expected);
        assert_eq!(body.collect().await.unwrap().to_bytes(), "abc");
    }
}

/// The set of backends reports which backend leaves it.
#[tokio::test]
async fn a_backend_that_leaves_its_set_ends_its_streams() {
    let world = world();
    let streams = world.streams.clone();
    let origins = ["http://a:1", "http://b:1"].map(|origin| origin.parse().unwrap());
    let backends = Backends::new(origins).on_removed(move |id| {
        streams.end_all_on(id);
    });
    world.open("s");
    world.backend.is("http://a:1");
    let mut a = world.listen("s").await.into_body();
    world.backend.is("http://b:1");
    let mut b = world.listen("s").await.into_body();
    backends.remove(&"http://a:1".parse().unwrap());
    assert_eq!(next(&mut a).await, END);
    assert!(is_quiet(&mut b));
}
