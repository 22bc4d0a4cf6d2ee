//! The connection of a cancelled exchange, and exchanges whose request the backend does not read.
#![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::panic, reason = "test")]

mod common;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bartizan_core::{Reason, Work};
use bartizan_testkit::{BoxBody, eventually, server::boxed};
use bartizan_upstream::{Upstream, transport::TransportBuilder};
use bytes::Bytes;
use common::send;
use futures_util::future::{BoxFuture, join_all};
use http::Request;
use http_body_util::{BodyExt, Channel, Full};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{sleep, timeout},
};

const SOON: Duration = Duration::from_secs(5);
const SHORT: Duration = Duration::from_millis(20);

/// A backend that answers each request, whose head it does not look at.
struct Backend {
    origin: String,
    accepted: Arc<AtomicUsize>,
    open: Arc<AtomicUsize>,
    received: Arc<AtomicUsize>,
}

impl Backend {
    /// It answers with `answer` after `pause`.
    async fn start(answer: &'static str, pause: Duration) -> Self {
        Self::start_when(answer, move || sleep(pause)).await
    }

    /// It answers with `answer` when the future that `ready` returns for the request is ready.
    async fn start_when<R: Future + Send>(
        answer: &'static str,
        ready: impl Fn() -> R + Clone + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let (accepted, open) = <(Arc<AtomicUsize>, Arc<AtomicUsize>)>::default();
        let counts = (Arc::clone(&accepted), Arc::clone(&open));
        let received = Arc::<AtomicUsize>::default();
        let requests = Arc::clone(&received);
        let ready = move || {
            requests.fetch_add(1, Ordering::SeqCst);
            ready()
        };
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                counts.0.fetch_add(1, Ordering::SeqCst);
                counts.1.fetch_add(1, Ordering::SeqCst);
                let (open, ready) = (Arc::clone(&counts.1), ready.clone());
                tokio::spawn(async move {
                    respond(stream, answer, ready).await;
                    open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Self { origin, accepted, open, received }
    }

    /// Waits until it has received `count` requests in all.
    async fn received(&self, count: usize) {
        let received = async || self.received.load(Ordering::SeqCst) == count;
        eventually("the requests have arrived", SOON, received).await;
    }

    /// How many connections it has accepted, and how many of them are open.
    fn counts(&self) -> (usize, usize) {
        (self.accepted.load(Ordering::SeqCst), self.open.load(Ordering::SeqCst))
    }
}

async fn respond<R: Future>(mut stream: TcpStream, answer: &str, ready: impl Fn() -> R) {
    let mut seen = Vec::new();
    loop {
        let mut bytes = [0; 4096];
        match stream.read(&mut bytes).await {
            Ok(0) | Err(_) => return,
            Ok(read) => seen.extend(&bytes[..read]),
        }
        if seen.ends_with(b"\r\n\r\n") {
            seen.clear();
            // A client that closes in the meantime is noticed.
            tokio::select! {
                biased;
                read = stream.read(&mut bytes) => {
                    assert!(!matches!(read, Ok(read) if read > 0), "one request at a time");
                    return;
                }
                _ = ready() => {}
            }
            if stream.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
    }
}

/// Each request is answered for a permit of `answering`.
fn permits(
    answering: &Arc<Semaphore>,
) -> impl Fn() -> BoxFuture<'static, ()> + Clone + Send + Sync + 'static {
    let answering = Arc::clone(answering);
    move || {
        let answering = Arc::clone(&answering);
        Box::pin(async move { answering.acquire_owned().await.unwrap().forget() })
    }
}

fn get() -> Request<BoxBody> {
    Request::get("/").body(boxed(Full::<Bytes>::default())).unwrap()
}

fn upstream() -> Upstream {
    Upstream::builder().build()
}

/// Cancels the `nth` request to arrive, before its response begins.
async fn give_up(upstream: &Upstream, backend: &Backend, nth: usize) {
    tokio::select! {
        _ = send(upstream, &backend.origin, Work::Pinned, get()) => panic!("it is not answered yet"),
        () = backend.received(nth) => {}
    }
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

#[tokio::test]
async fn a_request_that_is_given_up_and_answered_soon_keeps_its_connection() {
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";
    for answer in [OK, chunked, "HTTP/1.1 204 No Content\r\n\r\n"] {
        let answering = Arc::new(Semaphore::new(0));
        let backend = Backend::start_when(answer, permits(&answering)).await;
        let upstream = upstream();
        for nth in 1..=10 {
            give_up(&upstream, &backend, nth).await;
            answering.add_permits(1);
            for _ in 0..5 {
                sleep(SHORT / 2).await;
            }
        }
        answering.add_permits(1);
        let response = send(&upstream, &backend.origin, Work::Pinned, get()).await;
        assert!(response.status().is_success());
        assert_eq!(backend.counts(), (1, 1), "{answer}");
    }
}

#[tokio::test]
async fn a_request_that_is_given_up_and_not_answered_soon_or_at_length_takes_its_connection_along()
{
    let long: &str = Box::leak(
        format!("HTTP/1.1 200 OK\r\ncontent-length: 70000\r\n\r\n{}", "x".repeat(70_000))
            .into_boxed_str(),
    );
    let endless = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n";
    let switch = "HTTP/1.1 101 Switching Protocols\r\nupgrade: a\r\nconnection: upgrade\r\n\r\n";
    let old = "HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok";
    for (answer, pause) in
        [(OK, SOON), (long, SHORT * 2), (endless, SHORT * 2), (switch, SHORT * 2), (old, SHORT * 2)]
    {
        let backend = Backend::start(answer, pause).await;
        let upstream = upstream();
        give_up(&upstream, &backend, 1).await;
        let closed = async || backend.counts() == (1, 0);
        eventually("it is closed", SOON / 2, closed).await;
    }
}

#[tokio::test]
async fn no_more_than_64_connections_are_read_out_at_once() {
    let answering = Arc::new(Semaphore::new(0));
    let backend = Backend::start_when(OK, permits(&answering)).await;
    let upstream = upstream();
    let exchanges =
        join_all((0..100).map(|_| send(&upstream, &backend.origin, Work::Pinned, get())));
    tokio::select! {
        _ = exchanges => panic!("nothing is answered yet"),
        () = backend.received(100) => {}
    }
    // All are cancelled: 36 connections are closed, and 64 wait for their responses.
    answering.add_permits(1_000);
    eventually("the others are closed", SOON, async || backend.counts() == (100, 64)).await;
    // Once their turn is over, they serve others.
    sleep(Duration::from_millis(150)).await;
    assert_eq!(backend.counts(), (100, 64));
    join_all((0..64).map(|_| send(&upstream, &backend.origin, Work::Pinned, get()))).await;
    assert_eq!(backend.counts(), (100, 64));
}

#[tokio::test]
async fn a_short_body_that_is_dropped_keeps_its_connection_and_a_long_one_does_not() {
    for (bytes, counts) in [(30_000, (1, 1)), (65_537, (3, 0))] {
        let answer =
            format!("HTTP/1.1 200 OK\r\ncontent-length: {bytes}\r\n\r\n{}", "x".repeat(bytes));
        let backend = Backend::start(Box::leak(answer.into_boxed_str()), Duration::ZERO).await;
        let upstream = upstream();
        for _ in 0..3 {
            let response = send(&upstream, &backend.origin, Work::Pinned, get()).await;
            assert_eq!(response.status(), 200);
            drop(response);
            sleep(SHORT * 3).await;
        }
        eventually("it is so", SOON, async || backend.counts() == counts).await;
    }
}

#[tokio::test]
async fn an_event_stream_that_is_given_up_ends_at_once() {
    let events = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\
                  transfer-encoding: chunked\r\n\r\n5\r\n: a\n\n\r\n";
    let backend = Backend::start(events, Duration::ZERO).await;
    let upstream = upstream();
    let mut response = send(&upstream, &backend.origin, Work::Pinned, get()).await;
    assert!(response.body_mut().frame().await.is_some());
    drop(response);
    sleep(SHORT).await;
    assert_eq!(backend.counts(), (1, 0));
}

/// The backend accepts the connection, and reads nothing.
async fn upload(write_timeout: Duration, takes: bool) -> http::Response<BoxBody> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut bytes = vec![0; 1 << 20];
        while takes
            && !stream.read(&mut bytes).await.is_ok_and(|read| bytes[..read].contains(&b'!'))
        {
            sleep(Duration::from_millis(10)).await;
        }
        if takes {
            stream.write_all(OK.as_bytes()).await.unwrap();
        }
        std::future::pending::<()>().await;
    });
    let (mut sender, body) = Channel::<Bytes, std::io::Error>::new(1);
    tokio::spawn(async move {
        // More than the buffers of both sockets.
        for _ in 0..200 {
            if sender.send_data(Bytes::from(vec![b'.'; 1 << 16])).await.is_err() {
                return;
            }
        }
        let _ = sender.send_data(Bytes::from("!")).await;
    });
    let transport = TransportBuilder::new().write_timeout(Some(write_timeout));
    let upstream = Upstream::builder().connections(transport).build();
    let request = Request::post("/").body(boxed(body)).unwrap();
    timeout(SOON * 2, send(&upstream, &origin, Work::Pinned, request)).await.unwrap()
}

#[tokio::test]
async fn a_backend_that_takes_no_more_of_a_request_is_given_up_with_504() {
    let response = upload(Duration::from_millis(300), false).await;
    assert_eq!(Reason::of(&response), Some(Reason::ResponseTimeout));
    let response = upload(Duration::from_millis(300), true).await;
    assert_eq!(response.status(), 200);
}
