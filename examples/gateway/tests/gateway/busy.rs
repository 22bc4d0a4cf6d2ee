//! A backend that has reached its connection limit.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bartizan_testkit::{client::Raw, eventually};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::{net::TcpListener, sync::Semaphore, time::Instant};

use crate::fixtures::{Gateway, PATIENCE};

/// A server that takes one stream per connection of HTTP/2. A request for `/hold` waits for a permit.
struct Counted {
    authority: String,
    accepted: Arc<AtomicUsize>,
    requests: Arc<AtomicUsize>,
    release: Arc<Semaphore>,
}

impl Counted {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let authority = listener.local_addr().unwrap().to_string();
        let (accepted, requests) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let release = Arc::new(Semaphore::new(0));
        let counts = (Arc::clone(&accepted), Arc::clone(&requests), Arc::clone(&release));
        tokio::spawn(async move {
            let (accepted, requests, release) = counts;
            while let Ok((stream, _)) = listener.accept().await {
                accepted.fetch_add(1, Ordering::SeqCst);
                let (requests, release) = (Arc::clone(&requests), Arc::clone(&release));
                let service = service_fn(move |request: Request<Incoming>| {
                    requests.fetch_add(1, Ordering::SeqCst);
                    let release = Arc::clone(&release);
                    async move {
                        if request.uri().path() == "/hold" {
                            release.acquire().await.unwrap().forget();
                        }
                        Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("ok")))
                    }
                });
                tokio::spawn(async move {
                    let mut builder = auto::Builder::new(TokioExecutor::new());
                    builder.http2().max_concurrent_streams(1);
                    let _ = builder.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { authority, accepted, requests, release }
    }
}

/// The status, and how long it took.
async fn get(gateway: &Gateway, path: &str) -> (u16, Duration) {
    let begun = Instant::now();
    let request = Request::get(format!("{}{path}", gateway.uri())).body(Full::default()).unwrap();
    let answer = Raw::new(&gateway.uri()).send(request).await;
    if answer.status == 503 {
        assert!(answer.headers.contains_key("retry-after"));
        let status = answer.headers["proxy-status"].to_str().unwrap();
        assert!(status.ends_with("; error=connection_limit_reached"), "{status}");
    }
    (answer.status.as_u16(), begun.elapsed())
}

async fn is_bounded(scheme: &str) {
    let server = Counted::start().await;
    let origin = format!("{scheme}://{}", server.authority);
    let args = ["--session-header=x-s", "--max-connections-per-backend=1", "--connect-timeout=1s"];
    let gateway = Gateway::before(&[origin], &args).await;
    let waits_and_is_refused = async {
        let held = async || server.requests.load(Ordering::SeqCst) == 1;
        eventually("the only connection is taken", PATIENCE, held).await;
        let (status, took) = get(&gateway, "/").await;
        assert_eq!(status, 503, "{scheme}");
        assert!((4..15).contains(&took.as_secs()), "{scheme}: {took:?}");
        assert_eq!(server.requests.load(Ordering::SeqCst), 1, "{scheme}");
        // A request that is waiting when the connection becomes free is served.
        let release = async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            server.release.add_permits(1);
        };
        let ((status, _), ()) = tokio::join!(get(&gateway, "/"), release);
        assert_eq!(status, 200, "{scheme}");
    };
    let ((held, _), ()) = tokio::join!(get(&gateway, "/hold"), waits_and_is_refused);
    assert_eq!(held, 200);
    assert_eq!(server.accepted.load(Ordering::SeqCst), 1, "{scheme}");
}

#[tokio::test]
async fn past_the_bound_of_a_backend_a_call_waits_and_is_then_refused() {
    tokio::join!(is_bounded("http"), is_bounded("h2c"));
}

#[tokio::test]
async fn without_a_bound_there_are_as_many_connections_as_calls() {
    let server = Counted::start().await;
    let origin = format!("http://{}", server.authority);
    let gateway = Gateway::before(&[origin], &["--session-header=x-s"]).await;
    let release = async {
        let all = async || server.requests.load(Ordering::SeqCst) == 3;
        eventually("all calls are at the backend", PATIENCE, all).await;
        server.release.add_permits(3);
    };
    let hold = || get(&gateway, "/hold");
    let (one, two, three, ()) = tokio::join!(hold(), hold(), hold(), release);
    assert_eq!([one.0, two.0, three.0], [200; 3]);
    assert_eq!(server.accepted.load(Ordering::SeqCst), 3);
}
