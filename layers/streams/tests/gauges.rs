//! Each number of the streams moves by the event that it names, once, and by no other.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod common;

use std::{convert::Infallible, num::NonZeroUsize, time::Duration};

use bartizan_core::{GuardBody, Record, SessionStore};
use bartizan_streams::{SecondStream, Streams, TrackStreamsLayer};
use bytes::Bytes;
use common::{World, listening, next, request, with_key};
use futures_util::stream;
use gauges::Ledger;
use http::{Method, Response};
use http_body::{Body as _, Frame};
use http_body_util::{BodyExt, Full, StreamBody};
use tokio::time::advance;
use tower::{Layer, ServiceExt, service_fn};

#[path = "../../../tests/support/gauges.rs"]
mod gauges;

const NOTHING: [String; 0] = [];
const LISTENING: [&str; 1] = ["streams_opened_total{kind=listening} 1"];
const ANSWERING: [&str; 1] = ["streams_opened_total{kind=answering} 1"];

fn world(layer: &TrackStreamsLayer) -> (World, Ledger<Streams>) {
    let world = World::new(layer);
    world.open_all(&["a", "b"]);
    let ledger = Ledger::new(world.streams.clone());
    (world, ledger)
}

fn ended(cause: &str) -> [String; 1] {
    [format!("streams_ended_total{{cause={cause}}} 1")]
}

#[tokio::test]
async fn a_stream_is_opened_by_its_response_and_by_who_listens() {
    let (world, mut ledger) = world(&TrackStreamsLayer::new());
    let listening = world.listen("a").await;
    assert_eq!(ledger.moved(), LISTENING);
    let answering = world.call("a").await;
    assert_eq!(ledger.moved(), ANSWERING);
    assert_eq!((ledger.level("streams"), ledger.level("listening_streams")), (2, 1));
    drop((listening, answering));
    assert_eq!(ledger.moved(), ["streams_ended_total{cause=client} 2"]);
    assert_eq!((ledger.level("streams"), ledger.level("listening_streams")), (0, 0));
    // What is no stream is not opened, and does not end.
    world.backend.responds_with(&[("content-type", "application/json")]);
    drop((world.listen("a").await, world.call("a").await));
    assert_eq!(ledger.moved(), NOTHING);
}

#[tokio::test]
async fn what_is_refused_is_not_opened_and_the_limit_is_told() {
    let two = NonZeroUsize::new(2).unwrap();
    let (world, mut ledger) = world(&TrackStreamsLayer::new().max(two));
    let kept = (world.listen("a").await, world.listen("b").await);
    assert_eq!(ledger.moved(), ["streams_opened_total{kind=listening} 2"]);
    assert_eq!(world.listen("a").await.status(), 503);
    assert_eq!(ledger.moved(), NOTHING);
    let levels = ["listening_streams", "listening_streams_max"].map(|name| ledger.level(name));
    assert_eq!(levels, [2, 2]);
    drop(kept);
    let fresh = Ledger::new(TrackStreamsLayer::new().streams());
    assert_eq!(fresh.level("listening_streams_max"), 100_000);
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_for_one_cause() {
    let hour = Duration::from_secs(60 * 60);
    let replaces = TrackStreamsLayer::new().second_stream(SecondStream::Replaces);
    for cause in [
        "backend",
        "client",
        "session_ended",
        "session_expired",
        "replaced",
        "backend_gone",
        "asked",
        "leaving",
    ] {
        let layer = if cause == "replaced" { replaces.clone() } else { TrackStreamsLayer::new() };
        let (world, mut ledger) = world(&layer);
        world.backend.is("http://b:1");
        world.open_with("short", Record::new(hour, Duration::from_secs(60)));
        let mut body = world.listen("short").await.into_body();
        assert_eq!(ledger.moved(), LISTENING, "{cause}");
        let mut expected = ended(cause).to_vec();
        match cause {
            "backend" => world.backend.finish(0),
            "client" => {}
            "session_ended" => {
                with_key("short", |key| world.store.remove(key)).wait().await.unwrap();
            }
            "session_expired" => advance(Duration::from_secs(61)).await,
            "replaced" => {
                drop(world.listen("short").await);
                // The one that came last, and went at once.
                expected.splice(0..0, ended("client"));
                expected.extend(LISTENING.map(str::to_owned));
            }
            "backend_gone" => {
                assert_eq!(world.streams.end_all_on(&"http://b:1".parse().unwrap()), 1);
            }
            "asked" => assert!(world.streams.end(world.streams.list()[0].id())),
            _ => assert_eq!(world.streams.shut_down(Duration::ZERO).await, 1),
        }
        if cause != "client" {
            assert_eq!(next(&mut body).await, None, "{cause}");
            assert_eq!(ledger.moved(), expected, "{cause}");
            expected.clear();
        }
        drop(body);
        assert_eq!(ledger.moved(), expected, "{cause}: once");
    }
}

/// What was to end it stands, though its client reads nothing more.
#[tokio::test]
async fn a_stream_that_was_ended_and_is_not_read_ends_for_that() {
    let (world, mut ledger) = world(&TrackStreamsLayer::new());
    let body = world.listen("a").await.into_body();
    assert_eq!(ledger.moved(), LISTENING);
    assert!(world.streams.end(world.streams.list()[0].id()));
    assert_eq!(ledger.moved(), NOTHING, "it is there until it is let go");
    drop(body);
    assert_eq!(ledger.moved(), ended("asked"));
}

#[tokio::test]
async fn a_stream_that_breaks_off_was_broken_by_its_backend() {
    let layer = TrackStreamsLayer::new();
    let mut ledger = Ledger::new(layer.streams());
    let breaks = service_fn(async |_| {
        let frames = [Ok(Frame::data(Bytes::from_static(b"data: x\n\n"))), Err("reset")];
        let body = GuardBody::forwarded(StreamBody::new(stream::iter(frames)));
        let response = Response::builder().header("content-type", "text/event-stream");
        Ok::<_, Infallible>(response.body(body).unwrap())
    });
    let call = request(Method::POST, None, &[]);
    let body = layer.layer(breaks).oneshot(call).await.unwrap().into_body();
    assert!(body.collect().await.is_err());
    let expected = [ended("backend_failed"), ANSWERING.map(str::to_owned)].concat();
    assert_eq!(ledger.moved(), expected);
}

/// A server does not ask for the end of a body that says with its last frame that this was all.
#[tokio::test]
async fn a_stream_whose_end_is_seen_and_not_asked_for_ended_by_itself() {
    let layer = TrackStreamsLayer::new();
    let mut ledger = Ledger::new(layer.streams());
    let whole = service_fn(async |_| {
        let response = Response::builder().header("content-type", "text/event-stream");
        let body = GuardBody::forwarded(Full::new(Bytes::from_static(b"data: x\n\n")));
        Ok::<_, Infallible>(response.body(body).unwrap())
    });
    let service = layer.layer(whole);
    let mut body = service.clone().oneshot(listening("a")).await.unwrap().into_body();
    assert!(body.frame().await.is_some() && body.is_end_stream());
    drop(body);
    let expected = [ended("backend"), LISTENING.map(str::to_owned)].concat();
    assert_eq!(ledger.moved(), expected);
    // One of which something was left was let go by its client.
    drop(service.oneshot(listening("a")).await.unwrap());
    let expected = [ended("client"), LISTENING.map(str::to_owned)].concat();
    assert_eq!(ledger.moved(), expected);
}
