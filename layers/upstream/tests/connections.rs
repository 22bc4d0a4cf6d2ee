//! How the lean transport manages its connections: which are reused, which are closed, and which requests wait.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test")]

mod common;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bartizan_core::{Reason, UpstreamFailure, Work, failure::FailureKind};
use bartizan_testkit::{BoxBody, Silent, eventually, server::boxed};
use bartizan_upstream::{Upstream, transport::TransportBuilder};
use bytes::Bytes;
use common::send;
use futures_util::future::join_all;
use http::Request;
use http_body_util::{BodyExt, Channel, Full};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::{Instant, sleep, timeout},
};

type Up = Upstream;

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const SOON: Duration = Duration::from_secs(5);

fn upstream(transport: TransportBuilder) -> Up {
    Upstream::builder().connections(transport).build()
}

fn get() -> Request<BoxBody> {
    Request::get("/").body(boxed(Full::<Bytes>::default())).unwrap()
}

async fn ok(upstream: &Up, origin: &str) {
    let response = send(upstream, origin, Work::Pinned, get()).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "ok");
}

/// A scripted backend that counts its connections.
#[derive(Clone)]
struct Counted {
    addr: SocketAddr,
    accepted: Arc<AtomicUsize>,
    open: Arc<AtomicUsize>,
    requests: Arc<AtomicUsize>,
}

impl Counted {
    /// Serves each connection by `script`.
    async fn start<F>(script: impl Fn(TcpStream, Self) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (accepted, open, requests) = Default::default();
        let counted = Self { addr, accepted, open, requests };
        let counts = counted.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                counts.accepted.fetch_add(1, Ordering::SeqCst);
                counts.open.fetch_add(1, Ordering::SeqCst);
                let (serving, open) = (script(stream, counts.clone()), Arc::clone(&counts.open));
                tokio::spawn(async move {
                    serving.await;
                    open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        counted
    }

    /// Answers each request with "ok".
    async fn plain() -> Self {
        Self::start(|mut stream, counts| async move {
            while counts.request(&mut stream).await.is_some() {
                if stream.write_all(OK).await.is_err() {
                    return;
                }
            }
        })
        .await
    }

    fn origin(&self) -> String {
        format!("http://{}", self.addr)
    }

    fn counts(&self) -> (usize, usize) {
        (self.accepted.load(Ordering::SeqCst), self.open.load(Ordering::SeqCst))
    }

    /// Reads the head of a request without a body.
    async fn request(&self, stream: &mut TcpStream) -> Option<String> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            if stream.read(&mut byte).await.ok()? == 0 {
                return None;
            }
            head.push(byte[0]);
        }
        self.requests.fetch_add(1, Ordering::SeqCst);
        String::from_utf8(head).ok()
    }
}

#[tokio::test]
async fn a_connection_is_used_again_and_no_more_are_made_than_there_are_requests_at_a_time() {
    let backend = Counted::plain().await;
    let upstream = upstream(TransportBuilder::new());
    for _ in 0..50 {
        ok(&upstream, &backend.origin()).await;
    }
    assert_eq!(backend.counts(), (1, 1));
    for _ in 0..20 {
        let origin = backend.origin();
        join_all((0..10).map(|_| ok(&upstream, &origin))).await;
    }
    assert_eq!(backend.counts(), (10, 10));
}

#[tokio::test]
async fn an_unused_connection_is_closed_after_the_idle_time_and_with_the_transport() {
    let backend = Counted::plain().await;
    let up = upstream(TransportBuilder::new().idle_timeout(Duration::from_millis(200)));
    ok(&up, &backend.origin()).await;
    assert_eq!(backend.counts(), (1, 1));
    let closed = async || backend.counts() == (1, 0);
    eventually("it is closed", SOON, closed).await;
    ok(&up, &backend.origin()).await;
    assert_eq!(backend.counts(), (2, 1));
    drop(up);
    eventually("it goes with the transport", SOON, async || backend.counts() == (2, 0)).await;
    let kept = upstream(TransportBuilder::new().max_idle_per_backend(2));
    let origin = backend.origin();
    join_all((0..5).map(|_| ok(&kept, &origin))).await;
    eventually("two are kept", SOON, async || backend.counts() == (7, 2)).await;
    drop(kept);
    eventually("none is left", SOON, async || backend.counts() == (7, 0)).await;
}

/// A backend that closes idle connections, as all do eventually.
#[tokio::test]
async fn an_idle_connection_that_died_is_replaced_and_nothing_is_sent_twice() {
    let backend = Counted::start(|mut stream, counts| async move {
        if counts.request(&mut stream).await.is_some() {
            stream.write_all(OK).await.unwrap();
        }
    })
    .await;
    let (upstream, origin) = (upstream(TransportBuilder::new()), backend.origin());
    for round in 1..=100 {
        ok(&upstream, &origin).await;
        assert_eq!(backend.requests.load(Ordering::SeqCst), round);
    }
    // Many at a time, so that many are closed at once.
    for _ in 0..10 {
        join_all((0..20).map(|_| ok(&upstream, &origin))).await;
    }
    assert_eq!(backend.requests.load(Ordering::SeqCst), 300);
    assert_eq!(backend.counts().0, 300);
}

#[tokio::test]
async fn past_the_bound_requests_wait_for_a_connection() {
    let backend = Counted::plain().await;
    let upstream = upstream(TransportBuilder::new().max_connections_per_backend(3));
    let origin = backend.origin();
    for _ in 0..20 {
        join_all((0..50).map(|_| ok(&upstream, &origin))).await;
    }
    assert_eq!(backend.counts(), (3, 3));
}

#[tokio::test]
async fn who_waits_too_long_is_refused_and_the_backend_sees_nothing_of_it() {
    let backend = Counted::start(|mut stream, counts| async move {
        counts.request(&mut stream).await;
        let head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: 1\n\n";
        stream.write_all(head).await.unwrap();
        // Until the proxy closes it.
        let _ = stream.read(&mut [0]).await;
    })
    .await;
    let wait = Duration::from_millis(100);
    let limits = TransportBuilder::new().max_connections_per_backend(1).connection_wait(wait);
    let (up, origin) = (upstream(limits), backend.origin());
    let stream = send(&up, &origin, Work::Pinned, get()).await;
    assert_eq!(stream.status(), 200);
    for (work, status) in [(Work::Pinned, 503), (Work::Free, 503)] {
        let start = Instant::now();
        let refused = send(&up, &origin, work, get()).await;
        assert!(start.elapsed() >= wait);
        assert_eq!(
            (refused.status().as_u16(), Reason::of(&refused)),
            (status, Some(Reason::BackendBusy))
        );
        assert_eq!(refused.headers()["retry-after"], "1");
        let proxy_status = &refused.headers()["proxy-status"];
        assert_eq!(proxy_status, "bartizan; error=connection_limit_reached");
        let failure = UpstreamFailure::of(&refused).unwrap();
        assert_eq!(failure.kind(), FailureKind::ConnectionLimit);
        assert!(failure.is_untouched() && !failure.is_unreachable());
    }
    assert_eq!(backend.requests.load(Ordering::SeqCst), 1);
    // A waiting request gets its turn when the stream is dropped, and a cancelled one does not
    // block others.
    let patient = upstream(TransportBuilder::new().max_connections_per_backend(1));
    let stream = send(&patient, &origin, Work::Pinned, get()).await;
    let gone = timeout(wait, send(&patient, &origin, Work::Pinned, get())).await;
    assert!(gone.is_err());
    let waiting = tokio::spawn({
        let (patient, origin) = (patient.clone(), origin.clone());
        async move { send(&patient, &origin, Work::Pinned, get()).await.status() }
    });
    sleep(wait).await;
    assert!(!waiting.is_finished());
    drop(stream);
    assert_eq!(timeout(SOON, waiting).await.unwrap().unwrap(), 200);
}

#[tokio::test]
async fn a_turn_to_connect_that_fails_is_the_next_ones() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let upstream = upstream(TransportBuilder::new().max_connections_per_backend(1));
    let origin = format!("http://{nobody}");
    let all = join_all((0..20).map(|_| send(&upstream, &origin, Work::Free, get())));
    for refused in timeout(SOON, all).await.unwrap() {
        assert_eq!(refused.status(), 502);
    }
}

#[tokio::test]
async fn an_attempt_that_is_given_up_keeps_no_turn() {
    let silent = Silent::start().await;
    let transport = TransportBuilder::new().max_connections_per_backend(1);
    let upstream = upstream(transport.connect_timeout(Duration::from_millis(100)));
    let origin = format!("http://{}", silent.addr);
    for _ in 0..5 {
        let given_up = send(&upstream, &origin, Work::Free, get());
        assert!(timeout(Duration::from_millis(20), given_up).await.is_err());
    }
    let in_turn = send(&upstream, &origin, Work::Free, get()).await;
    assert_eq!(Reason::of(&in_turn), Some(Reason::ConnectTimeout), "it had its turn");
}

/// The backend answers before it has read the request: the response is passed on, and the connection
/// is used again only when the request is over too.
#[tokio::test]
async fn an_early_response_does_not_hold_up_the_next_request() {
    let backend = Counted::start(|mut stream, counts| async move {
        while let Some(head) = counts.request(&mut stream).await {
            stream.write_all(OK).await.unwrap();
            if head.starts_with("POST") {
                // The body comes later, in one chunk, and its end.
                let mut body = Vec::new();
                while !body.ends_with(b"0\r\n\r\n") {
                    let mut byte = [0];
                    if stream.read(&mut byte).await.unwrap() == 0 {
                        return;
                    }
                    body.push(byte[0]);
                }
            }
        }
    })
    .await;
    let (upstream, origin) =
        (upstream(TransportBuilder::new().max_connections_per_backend(2)), backend.origin());
    let upload = async || {
        let (sender, channel) = Channel::<Bytes, std::io::Error>::new(4);
        let request = Request::post("/").body(boxed(channel)).unwrap();
        let early = send(&upstream, &origin, Work::Pinned, request).await;
        assert_eq!(early.into_body().collect().await.unwrap().to_bytes(), "ok");
        sender
    };
    let mut first = upload().await;
    timeout(SOON, ok(&upstream, &origin)).await.unwrap();
    assert_eq!(backend.counts(), (2, 2), "another connection was taken");
    let second = upload().await;
    // Both connections are in use until one of the uploads is complete.
    assert!(timeout(Duration::from_millis(100), ok(&upstream, &origin)).await.is_err());
    first.send_data(Bytes::from("late")).await.unwrap();
    drop(first);
    timeout(SOON, ok(&upstream, &origin)).await.unwrap();
    assert_eq!(backend.counts(), (2, 2));
    drop(second);
}

#[tokio::test]
async fn a_body_that_is_dropped_unread_takes_its_connection_along() {
    let backend = Counted::start(|mut stream, counts| async move {
        while counts.request(&mut stream).await.is_some() {
            let head = b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\nsome";
            stream.write_all(head).await.unwrap();
        }
    })
    .await;
    let (upstream, origin) = (upstream(TransportBuilder::new()), backend.origin());
    for round in 1..=3 {
        let response = send(&upstream, &origin, Work::Pinned, get()).await;
        assert_eq!(response.status(), 200);
        drop(response);
        let closed = async || backend.counts() == (round, 0);
        eventually("it is closed", SOON, closed).await;
    }
}

#[tokio::test]
async fn responses_without_a_body_bring_their_connection_back() {
    let backend = Counted::start(|mut stream, counts| async move {
        while let Some(head) = counts.request(&mut stream).await {
            let answer: &[u8] = match head.split(' ').next() {
                Some("HEAD") => b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n",
                Some("DELETE") => b"HTTP/1.1 204 No Content\r\n\r\n",
                _ => b"HTTP/1.1 304 Not Modified\r\netag: \"x\"\r\n\r\n",
            };
            stream.write_all(answer).await.unwrap();
        }
    })
    .await;
    let (upstream, origin) = (upstream(TransportBuilder::new()), backend.origin());
    for method in ["HEAD", "DELETE", "GET", "HEAD"] {
        let request = Request::builder().method(method).uri("/");
        let request = request.body(boxed(Full::<Bytes>::default())).unwrap();
        let response = send(&upstream, &origin, Work::Pinned, request).await;
        assert!(response.into_body().collect().await.unwrap().to_bytes().is_empty());
    }
    assert_eq!(backend.counts(), (1, 1));
}

/// If a name has addresses of both families and one does not answer, the other is tried in the
/// meantime.
#[tokio::test]
async fn a_name_with_two_addresses_is_reached_by_either() {
    let backend = Counted::plain().await;
    let origin = format!("http://localhost:{}", backend.addr.port());
    ok(&upstream(TransportBuilder::new()), &origin).await;
}

/// A connection may close while it is handed from one request to another.
#[tokio::test]
async fn who_is_given_a_connection_that_dies_gets_another() {
    let close = Arc::new(tokio::sync::Notify::new());
    let closing = Arc::clone(&close);
    let backend = Counted::start(move |mut stream, counts| {
        let closing = Arc::clone(&closing);
        async move {
            let is_first = counts.counts().0 == 1;
            while counts.request(&mut stream).await.is_some() {
                stream.write_all(OK).await.unwrap();
                if is_first {
                    closing.notified().await;
                    stream.shutdown().await.unwrap();
                    // Until the proxy has seen it.
                    assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
                    return;
                }
            }
        }
    })
    .await;
    let upstream = upstream(TransportBuilder::new().max_connections_per_backend(1));
    let origin = backend.origin();
    let first = send(&upstream, &origin, Work::Pinned, get()).await;
    let mut waiting = Box::pin(send(&upstream, &origin, Work::Pinned, get()));
    assert!(futures_util::poll!(waiting.as_mut()).is_pending());
    assert_eq!(first.into_body().collect().await.unwrap().to_bytes(), "ok");
    // It is handed over in the meantime, and closed before it is checked.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    close.notify_one();
    eventually("it is closed", SOON, async || backend.counts() == (1, 0)).await;
    let second = timeout(SOON, waiting).await.unwrap();
    assert_eq!(second.status(), 200);
    assert_eq!(backend.requests.load(Ordering::SeqCst), 2);
}

/// A reader of a body stops at its trailers, because nothing follows them.
#[tokio::test]
async fn trailers_bring_their_connection_back() {
    let backend = Counted::start(|mut stream, counts| async move {
        while counts.request(&mut stream).await.is_some() {
            let answer = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nx-sum: 1\r\n\r\n";
            stream.write_all(answer).await.unwrap();
        }
    })
    .await;
    let (upstream, origin) = (upstream(TransportBuilder::new()), backend.origin());
    for _ in 0..3 {
        let mut body = send(&upstream, &origin, Work::Pinned, get()).await.into_body();
        while !body.frame().await.unwrap().unwrap().is_trailers() {}
        drop(body);
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(backend.counts(), (1, 1));
}

/// A body of unknown length cannot be sent to an HTTP/1.0 server, and only its first response shows that it is one.
#[tokio::test]
async fn a_body_is_not_lost_on_a_connection_to_a_server_of_http_1_0() {
    let backend = Counted::start(|mut stream, counts| async move {
        while let Some(head) = counts.request(&mut stream).await {
            let mut body = Vec::new();
            while head.starts_with("POST") && !body.ends_with(b"0\r\n\r\n") {
                let mut byte = [0];
                if !head.contains("chunked") || stream.read(&mut byte).await.unwrap() == 0 {
                    return;
                }
                body.push(byte[0]);
            }
            let answer =
                b"HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\nok";
            stream.write_all(answer).await.unwrap();
        }
    })
    .await;
    let (upstream, origin) = (upstream(TransportBuilder::new()), backend.origin());
    ok(&upstream, &origin).await;
    let (mut sender, channel) = Channel::<Bytes, std::io::Error>::new(4);
    sender.send_data(Bytes::from("body")).await.unwrap();
    drop(sender);
    let request = Request::post("/").body(boxed(channel)).unwrap();
    let response = send(&upstream, &origin, Work::Pinned, request).await;
    assert_eq!(response.status(), 200);
}

/// Requests are cancelled wherever they wait: for their turn, for a connection, for the head, in the body.
#[tokio::test]
async fn however_requests_are_given_up_no_turn_is_lost_and_no_answer_goes_to_another() {
    let backend = Counted::start(|mut stream, counts| async move {
        let mut round = 0;
        while let Some(head) = counts.request(&mut stream).await {
            let name = head.split(' ').nth(1).unwrap();
            let (first, rest) = name.split_at(name.len() / 2);
            let length = name.len();
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{first}");
            if stream.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
            for _ in 0..round % 4 {
                tokio::task::yield_now().await;
            }
            round += 1;
            // Some connections close without a word.
            if stream.write_all(rest.as_bytes()).await.is_err() || round == 7 {
                return;
            }
        }
    })
    .await;
    let limits = TransportBuilder::new().max_connections_per_backend(3);
    let upstream = upstream(limits.connection_wait(Duration::from_secs(1)));
    let origin = backend.origin();
    let one = async |name: usize, polls: usize| {
        let request = Request::get(format!("/request-{name}"));
        let request = request.body(boxed(Full::<Bytes>::default())).unwrap();
        let exchange = async {
            let response = send(&upstream, &origin, Work::Pinned, request).await;
            // 502 where the backend closed as it was written.
            if response.status() == 200 {
                // Cut short where it closed in the middle.
                let body = response.into_body().collect().await.unwrap().to_bytes();
                assert_eq!(body, format!("/request-{name}"));
            }
        };
        let mut exchange = std::pin::pin!(exchange);
        for _ in 0..polls {
            if futures_util::poll!(exchange.as_mut()).is_ready() {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    for seed in 0..200 {
        timeout(SOON, join_all((0..12).map(|i| one(seed * 12 + i, (seed * 7 + i * 5) % 60))))
            .await
            .unwrap();
        // A response that was cancelled halfway is drained, and its connection is available again.
        sleep(Duration::from_millis(20)).await;
    }
    let (accepted, requests) = (backend.counts().0, backend.requests.load(Ordering::SeqCst));
    assert!(accepted > 20 && requests > 200, "{accepted} {requests}");
    // All three connections are still available at once; one may just be closing.
    let all = async || {
        let all = join_all((0..3).map(|_| send(&upstream, &origin, Work::Pinned, get()))).await;
        all.iter().all(|response| response.status() == 200)
    };
    eventually("all can be had", SOON, all).await;
}

/// Such as 408 from a backend that is tired of an idle connection.
#[tokio::test]
async fn an_answer_that_nobody_asked_for_goes_to_nobody() {
    let backend = Counted::start(|mut stream, counts| async move {
        while counts.request(&mut stream).await.is_some() {
            stream.write_all(OK).await.unwrap();
            if counts.counts().0 == 1 {
                // Until the response is over and the connection waits among the others.
                for _ in 0..100 {
                    tokio::task::yield_now().await;
                }
                let unasked = b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 4\r\n\r\nevil";
                stream.write_all(unasked).await.unwrap();
            }
        }
    })
    .await;
    let (upstream, origin) = (upstream(TransportBuilder::new()), backend.origin());
    ok(&upstream, &origin).await;
    eventually("it is closed", SOON, async || backend.counts() == (1, 0)).await;
    ok(&upstream, &origin).await;
    assert_eq!(backend.counts(), (2, 1));
}
