//! Uploads over HTTP/2 that the backend does not read: only their streams end.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test")]

mod common;

use std::{
    convert::Infallible,
    future::pending,
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
use futures_util::{StreamExt, stream};
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Channel, Full, StreamBody};
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    net::TcpListener,
    time::{Instant, sleep, timeout},
};

const LIMIT: Duration = Duration::from_millis(800);
const SOON: Duration = Duration::from_secs(10);
const PIECE: usize = 16 * 1024;

#[derive(Clone, Default)]
struct Counts {
    accepted: Arc<AtomicUsize>,
    reset: Arc<AtomicUsize>,
}

/// hyper's server drops a cancelled response when its stream is reset.
struct CountsReset(Arc<AtomicUsize>);

impl Drop for CountsReset {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// A server whose streams have a window of `window` bytes: `/deaf` never reads its request, `/slow` reads a piece 16
/// times per timeout, `/events` never ends, and others report how much they have read.
async fn server(window: u32) -> (SocketAddr, Counts) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let counts = Counts::default();
    let counted = counts.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            counted.accepted.fetch_add(1, Ordering::SeqCst);
            let reset = Arc::clone(&counted.reset);
            tokio::spawn(async move {
                let service = service_fn(move |request| answer(request, Arc::clone(&reset)));
                let mut builder = http2::Builder::new(TokioExecutor::new());
                builder.initial_stream_window_size(window);
                let _ = builder.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    (addr, counts)
}

async fn answer(
    request: Request<Incoming>,
    reset: Arc<AtomicUsize>,
) -> Result<Response<BoxBody>, Infallible> {
    let path = request.uri().path().to_owned();
    let mut body = request.into_body();
    match path.as_str() {
        "/deaf" => {
            let _counts = CountsReset(reset);
            pending().await
        }
        "/events" => {
            let first = stream::iter([Ok::<_, Infallible>(Frame::data(Bytes::from("first")))]);
            Ok(Response::new(boxed(StreamBody::new(first.chain(stream::pending())))))
        }
        _ => {
            let mut read = 0;
            while let Some(frame) = body.frame().await {
                let Ok(frame) = frame else { break };
                read += frame.data_ref().map_or(0, Bytes::len);
                if path == "/slow" {
                    sleep(LIMIT / 16).await;
                }
            }
            Ok(Response::new(boxed(Full::from(read.to_string()))))
        }
    }
}

fn upstream() -> Upstream {
    let connections = TransportBuilder::new().write_timeout(Some(LIMIT));
    Upstream::builder().connections(connections).build()
}

fn post(path: &str, body: BoxBody) -> Request<BoxBody> {
    Request::post(path).body(body).unwrap()
}

/// A body of this many pieces, each available at once.
fn pieces(count: usize) -> BoxBody {
    let piece = || Ok::<_, Infallible>(Frame::data(Bytes::from_static(&[b'x'; PIECE])));
    boxed(StreamBody::new(stream::iter((0..count).map(move |_| piece()))))
}

async fn text(response: Response<BoxBody>) -> String {
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.into()).unwrap()
}

#[tokio::test]
async fn a_backend_that_reads_nothing_of_an_upload_is_504_and_only_its_stream_is_reset() {
    // With a window of zero, not even the single piece of a short body is sent.
    for (window, count) in [(65_535, 1000), (0, 1)] {
        let (addr, counts) = server(window).await;
        let (origin, upstream) = (format!("h2c://{addr}"), upstream());
        let events = post("/events", boxed(Full::<Bytes>::default()));
        let mut events = send(&upstream, &origin, Work::Free, events).await.into_body();
        events.frame().await.unwrap().unwrap();

        let begun = Instant::now();
        let stalled = send(&upstream, &origin, Work::Pinned, post("/deaf", pieces(count)));
        let stalled = timeout(SOON, stalled).await.unwrap();
        assert!(begun.elapsed() >= LIMIT, "{:?}", begun.elapsed());
        assert_eq!(stalled.status(), 504);
        let failure = UpstreamFailure::of(&stalled).unwrap().kind();
        assert_eq!(failure, FailureKind::ResponseTimeout);
        let is_reset = async || counts.reset.load(Ordering::SeqCst) == 1;
        eventually("the stream is reset", SOON, is_reset).await;

        // The other streams of the connection continue.
        let get = post("/", boxed(Full::<Bytes>::default()));
        assert_eq!(text(send(&upstream, &origin, Work::Free, get).await).await, "0");
        assert!(timeout(LIMIT, events.frame()).await.is_err());
        assert_eq!(counts.accepted.load(Ordering::SeqCst), 1);
    }
}

#[tokio::test]
async fn uploads_that_are_read_slowly_or_come_slowly_go_on() {
    let (addr, counts) = server(65_535).await;
    let (origin, upstream) = (format!("h2c://{addr}"), upstream());
    // More data than one window, for longer than the timeout.
    let slow = send(&upstream, &origin, Work::Free, post("/slow", pieces(40)));
    let (mut client, channel) = Channel::<Bytes, Infallible>::new(1);
    let pausing = send(&upstream, &origin, Work::Free, post("/", boxed(channel)));
    let sending = async {
        for _ in 0..2 {
            client.send_data(Bytes::from_static(&[b'x'; PIECE])).await.unwrap();
            sleep(LIMIT * 2).await;
        }
        drop(client);
    };
    let (slow, pausing, ()) = tokio::join!(slow, pausing, sending);
    assert_eq!(text(slow).await, (40 * PIECE).to_string());
    assert_eq!(text(pausing).await, (2 * PIECE).to_string());
    assert_eq!(counts.reset.load(Ordering::SeqCst), 0);
}
