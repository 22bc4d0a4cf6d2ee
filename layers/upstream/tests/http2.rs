//! How HTTP/2 connections to backends are managed: how many, how many streams each, and which requests wait.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test")]

mod common;

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bartizan_core::{UpstreamFailure, Work, failure::FailureKind};
use bartizan_testkit::{BoxBody, eventually, server::boxed};
use bartizan_upstream::{Upstream, transport::TransportBuilder};
use bytes::Bytes;
use common::send;
use futures_util::{StreamExt, future::join_all, stream};
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Channel, Full, StreamBody};
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{
    net::TcpListener,
    sync::Notify,
    time::{sleep, timeout},
};

const SOON: Duration = Duration::from_secs(5);

/// An HTTP/2 server (prior knowledge) that counts its connections and streams.
#[derive(Clone, Default)]
struct Counts {
    accepted: Arc<AtomicUsize>,
    open: Arc<AtomicUsize>,
    requests: Arc<AtomicUsize>,
    go_away: Arc<Notify>,
}

/// Serves `streams` streams per connection: `/open` never ends, `/ignore` leaves the request unread.
async fn server(streams: u32) -> (SocketAddr, Counts) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let counts = Counts::default();
    let counted = counts.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let counts = counted.clone();
            counts.accepted.fetch_add(1, Ordering::SeqCst);
            counts.open.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(async move {
                let requests = Arc::clone(&counts.requests);
                let service = service_fn(move |request| answer(request, Arc::clone(&requests)));
                let mut builder = http2::Builder::new(TokioExecutor::new());
                builder.timer(TokioTimer::new()).max_concurrent_streams(streams);
                let mut serving =
                    std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
                tokio::select! {
                    _ = &mut serving => {}
                    () = counts.go_away.notified() => {
                        serving.as_mut().graceful_shutdown();
                        let _ = serving.await;
                    }
                }
                counts.open.fetch_sub(1, Ordering::SeqCst);
            });
        }
    });
    (addr, counts)
}

async fn answer(
    request: Request<Incoming>,
    requests: Arc<AtomicUsize>,
) -> Result<Response<BoxBody>, Infallible> {
    requests.fetch_add(1, Ordering::SeqCst);
    let is_open = request.uri().path() == "/open";
    if request.uri().path() == "/ignore" {
        tokio::spawn(async move {
            sleep(Duration::from_secs(60)).await;
            drop(request);
        });
    }
    let body = if is_open {
        let first = stream::iter([Ok::<_, Infallible>(Frame::data(Bytes::from("first")))]);
        boxed(StreamBody::new(first.chain(stream::pending())))
    } else {
        boxed(Full::from("ok"))
    };
    Ok(Response::new(body))
}

fn upstream(transport: TransportBuilder) -> Upstream {
    Upstream::builder().connections(transport).build()
}

fn get(path: &str) -> Request<BoxBody> {
    Request::get(path).body(boxed(Full::<Bytes>::default())).unwrap()
}

async fn call(upstream: &Upstream, origin: &str) {
    let response = timeout(SOON, send(upstream, origin, Work::Pinned, get("/"))).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "ok");
}

async fn open(upstream: &Upstream, origin: &str) -> BoxBody {
    let response = timeout(SOON, send(upstream, origin, Work::Pinned, get("/open"))).await.unwrap();
    assert_eq!(response.status(), 200);
    let mut body = response.into_body();
    body.frame().await.unwrap().unwrap();
    body
}

#[tokio::test]
async fn streams_that_never_end_leave_room_for_calls() {
    let (addr, counts) = server(10).await;
    let origin = format!("h2c://{addr}");
    let upstream = upstream(TransportBuilder::new());
    let streams = join_all((0..200).map(|_| open(&upstream, &origin))).await;
    let calls = (0..50).map(|_| call(&upstream, &origin));
    join_all(calls).await;
    assert_eq!(counts.requests.load(Ordering::SeqCst), 250);
    let accepted = counts.accepted.load(Ordering::SeqCst);
    assert!((20..=26).contains(&accepted), "{accepted} connections for 250 streams of 10 each");
    drop(streams);
}

#[tokio::test]
async fn a_stream_is_used_again_when_both_halves_have_ended() {
    let (addr, counts) = server(2).await;
    let origin = format!("h2c://{addr}");
    let upstream = upstream(TransportBuilder::new().max_connections_per_backend(1));
    for _ in 0..50 {
        // To the end, given up before the head, and given up before the end.
        call(&upstream, &origin).await;
        drop(timeout(Duration::ZERO, send(&upstream, &origin, Work::Free, get("/open"))).await);
        drop(open(&upstream, &origin).await);
    }
    // A response before the request is complete: the client keeps sending.
    let (mut client, body) = Channel::<Bytes, Infallible>::new(1);
    let post = Request::post("/ignore").body(boxed(body)).unwrap();
    let response = send(&upstream, &origin, Work::Free, post).await;
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "ok");
    let held = open(&upstream, &origin).await;
    let waiting = timeout(Duration::from_millis(100), open(&upstream, &origin)).await;
    assert!(waiting.is_err(), "two streams are open, by either half");
    let _ = client.send_data(Bytes::from("x")).await;
    drop(client);
    drop(held);
    call(&upstream, &origin).await;
    assert_eq!(counts.accepted.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn past_the_bound_of_connections_a_request_waits_and_is_refused() {
    let (addr, counts) = server(3).await;
    let origin = format!("h2c://{addr}");
    let wait = Duration::from_millis(200);
    let transport = TransportBuilder::new()
        .max_connections_per_backend(2)
        .connect_timeout(Duration::from_secs(1))
        .connection_wait(wait);
    let upstream = upstream(transport);
    let mut streams = join_all((0..6).map(|_| open(&upstream, &origin))).await;
    let refused = timeout(SOON, send(&upstream, &origin, Work::Pinned, get("/"))).await.unwrap();
    assert_eq!(refused.status(), 503);
    assert_eq!(UpstreamFailure::of(&refused).unwrap().kind(), FailureKind::ConnectionLimit);
    assert_eq!(counts.requests.load(Ordering::SeqCst), 6, "the backend has seen nothing of it");
    let (called, ()) = tokio::join!(call(&upstream, &origin), async {
        sleep(Duration::from_millis(50)).await;
        streams.pop();
    });
    let () = called;
    assert_eq!(counts.accepted.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_backend_that_goes_away_gets_new_calls_over_a_new_connection() {
    let (addr, counts) = server(100).await;
    let origin = format!("h2c://{addr}");
    let upstream = upstream(TransportBuilder::new());
    for round in 1..=20 {
        let mut stream = open(&upstream, &origin).await;
        call(&upstream, &origin).await;
        counts.go_away.notify_waiters();
        for _ in 0..20 {
            call(&upstream, &origin).await;
        }
        // Streams that were open when it sent GOAWAY continue.
        let more = timeout(Duration::from_millis(5), stream.frame()).await;
        assert!(more.is_err(), "ended in round {round}: {more:?}");
    }
    assert_eq!(counts.requests.load(Ordering::SeqCst), 20 * 22);
}

#[tokio::test]
async fn connections_that_are_not_used_are_closed() {
    let (addr, counts) = server(1).await;
    let origin = format!("h2c://{addr}");
    let upstream = upstream(TransportBuilder::new().idle_timeout(Duration::from_millis(300)));
    let streams = join_all((0..5).map(|_| open(&upstream, &origin))).await;
    assert_eq!(counts.open.load(Ordering::SeqCst), 5);
    drop(streams);
    let closed = || async { counts.open.load(Ordering::SeqCst) == 0 };
    eventually("idle connections close", SOON, closed).await;
    call(&upstream, &origin).await;
}

/// Cancelling the request that started the connection does not cancel the connection.
#[tokio::test]
async fn a_request_that_is_given_up_takes_no_connection_from_the_others() {
    let (addr, counts) = server(100).await;
    let origin = format!("h2c://{addr}");
    let upstream = upstream(TransportBuilder::new());
    let first = timeout(Duration::ZERO, send(&upstream, &origin, Work::Free, get("/"))).await;
    assert!(first.is_err());
    join_all((0..20).map(|_| call(&upstream, &origin))).await;
    assert_eq!(counts.accepted.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn where_no_connection_can_be_made_all_that_wait_are_told_so() {
    let addr = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let origin = format!("h2c://{addr}");
    let upstream = upstream(TransportBuilder::new());
    let requests = (0..20).map(|_| send(&upstream, &origin, Work::Pinned, get("/")));
    for refused in timeout(SOON, join_all(requests)).await.unwrap() {
        assert_eq!(UpstreamFailure::of(&refused).unwrap().kind(), FailureKind::Refused);
    }
}

/// The peer accepts one stream or none, whatever it announces.
#[tokio::test]
async fn a_peer_that_is_silent_holds_a_request_for_as_long_as_its_deadline_and_no_other() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("h2c://{}", listener.local_addr().unwrap());
    let silent = tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            held.push(stream);
        }
    });
    let transport = TransportBuilder::new()
        .connect_timeout(Duration::from_millis(300))
        .connection_wait(Duration::from_millis(200));
    let upstream = Upstream::builder()
        .response_timeout(Some(Duration::from_secs(1)))
        .connections(transport)
        .build();
    let requests = (0..10).map(|_| send(&upstream, &origin, Work::Free, get("/")));
    for refused in timeout(SOON, join_all(requests)).await.unwrap() {
        let kind = UpstreamFailure::of(&refused).unwrap().kind();
        assert!(matches!(kind, FailureKind::ResponseTimeout | FailureKind::ConnectionLimit));
    }
    silent.abort();
}

/// Each request has its answer at once, after one connection at most.
#[tokio::test]
async fn a_backend_that_does_not_speak_http_2_is_not_dialled_again_and_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("h2c://{}", listener.local_addr().unwrap());
    let accepted = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&accepted);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            let answer = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n";
            let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, answer).await;
        }
    });
    let upstream = upstream(TransportBuilder::new());
    for _ in 0..5 {
        let refused = timeout(SOON, send(&upstream, &origin, Work::Free, get("/"))).await.unwrap();
        assert_eq!(refused.status(), 502);
        assert_eq!(UpstreamFailure::of(&refused).unwrap().kind(), FailureKind::Terminated);
    }
    assert!(accepted.load(Ordering::SeqCst) <= 5);
}
